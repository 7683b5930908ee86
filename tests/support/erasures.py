"""A home from which persons are erased, and the steps of that, without the register."""

import os
import signal
from datetime import date, datetime, time, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from callmart.access import logins
from callmart.base.keys import key_file, keyed
from callmart.base.person import Counts, Kind, Person, Proof, Work
from callmart.base.progress import quietly
from callmart.database import server
from callmart.operations import run, stages
from callmart.privacy import erasing, persons, places, procedure, register
from callmart.privacy.procedure import Case, Steps
from callmart_home import Callmart
from centre import DAYS, NAMED, REGISTRY, agent_of
from events import AMSTERDAM, Row, event
from home_settings import settings_of

LEAVER, STAYER, PARTLY = (agent_of(NAMED, number) for number in (1, 2, 3))
CONTACT, CHEF = "piet@een.example", "chef@een.example"
AS_RECIPIENT = "      - {email: Noor@Example.org, reports: [agents]}\n"  # the leaver again
WITH_CONTACTS = REGISTRY.replace(
    "    recipients:\n      - {email: chef@een",
    "    contacts:\n"
    f"      - {{name: Piet Jansen-Vries, email: {CONTACT}, authorised: true}}\n"
    "      - {name: Q. Een, email: q@een.example, authorised: true}\n"
    f"    recipients:\n{AS_RECIPIENT}      - {{email: chef@een",
)


HELP, CALLER, ANOTHER = "hulplijn", "+31612345678", "+31698765432"
CALLS = [
    (CALLER, DAYS[0], "09:00"),
    (CALLER, DAYS[0], "15:00"),
    (ANOTHER, DAYS[0], "16:00"),
    (CALLER, DAYS[2], "09:00"),
    (ANOTHER, DAYS[2], "10:00"),
]


def given_up(number: str, day: date, clock: str) -> list[Row]:
    """A call that nobody answered."""
    joined = datetime.combine(day, time.fromisoformat(clock), AMSTERDAM)
    of_call = {"call_id": f"help {joined}", "queue": HELP}
    return [
        event("queue_joined", joined, other_number=number, **of_call),
        event("queue_left", joined + timedelta(minutes=1), reason="abandoned", **of_call),
    ]


def deliver(played: Callmart) -> None:
    """With contacts, and what is extracted and published. Calls in another queue have landed since and are not built
    yet: on a Monday they would suspend the weekly mail.
    """
    played.apply(WITH_CONTACTS)
    with played.connect() as connection:
        run.deliver(connection, played.settings, stages.Ran(), quietly)
    played.land_together(
        {NAMED: [row for number, day, clock in CALLS for row in given_up(number, day, clock)]}
    )
    next(played.home.glob("landed-*")).unlink()
    (played.home / "registry.yml").unlink()


def of(work: Work, kind: Kind, *words: str, day: date | None = None) -> Person:
    """The person, up to the end of a day; by default of the last one."""
    until = persons.end_of(work.connection, NAMED, day or DAYS[-1])
    key = key_of(work)
    found = persons.person(work.connection, key, NAMED, kind, words, until)
    work.connection.commit()
    return found


def case(work: Work, person: Person, request: int = 1) -> Case:
    """What the module of a right works with."""
    return Case(work, person, key_of(work), request)


def plan_of(work: Work, person: Person) -> procedure.Plan:
    """What would be erased."""
    return erasing.plan(case(work, person))


def do(work: Work, person: Person, request: int) -> dict[str, Counts]:
    """Erase, without a register; returns what was treated in each place."""
    treated: dict[str, Counts] = {}
    erasing.do(case(work, person, request), Steps(on_place=treated.__setitem__))
    return treated


def prove(work: Work, person: Person, request: int) -> dict[str, Proof]:
    """Look for the person again."""
    proofs: dict[str, Proof] = {}
    erasing.prove(case(work, person, request), proofs.__setitem__)
    return proofs


def left(proofs: dict[str, Proof]) -> dict[str, Counts]:
    """The places in which something is left."""
    return {name: proof.left for name, proof in proofs.items() if proof.left}


def die_after(
    home: Path, step: str, place: str, kind: Kind, word: str, request: int, *, is_registered: bool = False
) -> None:
    """In a process of its own: erase (`treat`) or `prove`, and end without a word after this place."""
    changed: Any = next(type(each) for each in places.PLACES if each.name == place)
    inner = getattr(changed, step)

    def killed(self: Any, *given: Any) -> Any:
        done = inner(self, *given)
        if self.name == place:
            os.kill(os.getpid(), signal.SIGKILL)
        return done

    setattr(changed, step, killed)
    settings = settings_of(home)
    with (
        server.connect(settings) as connection,
        procedure.working(connection, settings) as work,
        logins.connect(settings, "privacy_officer") as officer,
    ):
        steps = Steps()
        if is_registered:
            begin = partial(register.begin_doing, officer, request)
            notes: list[Any] = [
                lambda place, counts, step=step: register.note_step(connection, request, place, step, counts)
                for step in ("control", "treat")
            ]
            steps = Steps(begin, *notes)
        erased = case(work, of(work, kind, word), request)
        if step == "treat":
            erasing.do(erased, steps)
        else:
            erasing.prove(erased, quietly)


def kill_after(
    home: Path, step: str, place: str, kind: Kind, word: str, request: int, **registered: bool
) -> None:
    """Let a process begin, and wait until it has been killed."""
    callmart = Callmart(settings_of(home))
    callmart.kill(die_after, step, place, kind, word, request, **registered)


def key_of(work: Work | Callmart) -> bytes:
    """The customer's key."""
    return key_file(work.settings.home, NAMED).read_bytes()


def agent_key(home: Callmart, agent: str) -> str:
    """The key of an agent, by id."""
    return keyed(key_of(home), "agent", agent)


def stored(number: int) -> tuple[bytes, bytes]:
    """A bigint as PostgreSQL stores it, in both byte orders."""
    return number.to_bytes(8, "little", signed=True), number.to_bytes(8, "big", signed=True)
