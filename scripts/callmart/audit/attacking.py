"""Makes every attack as every login, and counts what came of them."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from typing import NamedTuple

import psycopg

from callmart.access import logins
from callmart.audit import attempts, channels
from callmart.audit.attacks import ATTACKS
from callmart.audit.attacks.attack import Attack
from callmart.audit.attempts import Answer, Attempt
from callmart.audit.channels import Board, Cell, session_of
from callmart.audit.check import Check
from callmart.audit.scene import Attacker, Scene
from callmart.base.progress import OnStep
from callmart.base.settings import Settings
from callmart.database import embedded_server


class Attacked(NamedTuple):
    """What came of the attacks: what customers see by their logins, who can log in and how, and a check per attack."""

    cells: list[Cell]
    logins: list[Check]
    checks: list[Check]


class _Tally:
    """Counts the outcomes of each attack, over all attackers and targets."""

    def __init__(self) -> None:
        self.controls: dict[tuple[str, str], Answer] = {}  # many attackers have the same control
        self.made: Counter[Attack] = Counter()
        self.proven: Counter[Attack] = Counter()
        self.absent: Counter[Attack] = Counter()
        self.succeeded: dict[Attack, list[str]] = defaultdict(list)

    def count(self, attacker: Attacker, attempt: Attempt, answer: Answer, control: Answer) -> None:
        """Count one attempt."""
        self.made[attempt.attack] += 1
        self.proven[attempt.attack] += control.proves(attempt)
        self.absent[attempt.attack] += control.absent() and answer.withstood(attempt)
        if not answer.withstood(attempt):
            self.succeeded[attempt.attack].append(f"{attacker.name} {attempt.place}".rstrip())

    def checks(self) -> Iterator[Check]:
        """One check per attack."""
        for attack in ATTACKS:
            found = self.succeeded[attack]
            absent = self.absent[attack] == self.made[attack] > 0  # this server lacks what the attack needs
            # No mart is closed to any customer, no duty reads a relation in part, or no customer is of that kind.
            nobody = not self.made[attack] and attack.aim in (
                "closed mart", "columns", "standard's doorway", "anonymous doorway",
            )  # fmt: skip
            yield Check.of(
                f"attacks: {attack.family}",
                attack.name if attack.name == attack.tries else f"{attack.name}: {attack.tries}",
                self.proven[attack],
                found,
                applies=not (absent or nobody),
            )


def attack_as_each(
    owner: psycopg.Connection,
    settings: Settings,
    scene: Scene,
    board: Board,
    everybody: list[Attacker],
    on_step: OnStep,
) -> Attacked:
    """Make all attacks."""
    tally, cells, locked_out = _Tally(), list[Cell](), list[str]()
    ordered = logins.of_customers(owner)
    owner.execute("set lock_timeout = '1s'")
    for number, attacker in enumerate(everybody):
        on_step("attack", attacker.name, number, len(everybody))
        with session_of(settings, attacker) as session:
            if attacker.customer and attacker.role not in ordered:
                cells += channels.without_login(scene, board, attacker.own)
            elif attacker.customer and session is None:
                cells += channels.locked_out(board, "login", attacker.own)
            elif attacker.customer and session is not None:
                cells += channels.login_cells(board, session, attacker.own)
            if session is None:
                locked_out.append(attacker.name)
                continue
            _attack(scene, attacker, session, owner, tally)
    on_step("attack", "", len(everybody), len(everybody))
    of_logins = [_of_logins(everybody, locked_out), of_passwords(owner, settings)]
    return Attacked(cells, of_logins, list(tally.checks()))


def _attack(
    scene: Scene, attacker: Attacker, session: psycopg.Connection, owner: psycopg.Connection, tally: _Tally
) -> None:
    for attempt in attempts.attempts(scene, attacker, ATTACKS):
        answer = attempts.make(session, attempt.sql, attempt.attack)
        key = attempt.attack.via, attempt.control
        if key not in tally.controls:
            tally.controls[key] = attempts.make(owner, attempt.control, attempt.attack)
        tally.count(attacker, attempt, answer, tally.controls[key])


def _of_logins(everybody: list[Attacker], locked_out: list[str]) -> Check:
    return Check.of(
        "logins",
        "every duty whose password is in a file can log in, and every customer that has ordered a login",
        len(everybody),
        locked_out,
    )


def of_passwords(owner: psycopg.Connection, settings: Settings) -> Check:
    """Check that nobody gets in as somebody else."""
    found = [f"{role} gets in with any password" for role in logins.let_in_anyhow(owner, settings)]
    if settings.dsn is None:
        found += [
            f"{name} of the embedded server is not as callmart made it"
            for name in embedded_server.other_doors(settings.home)
        ]
    tried = len(logins.of_duties(owner.info.dbname)) + len(logins.of_customers(owner))
    return Check.of("logins", "nobody gets in without the password of the login", tried, found)
