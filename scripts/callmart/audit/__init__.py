"""The audit: evidence that nobody sees data that is not theirs.

It looks at every customer, mart and channel, makes every attack as every login, and compares the tables with the
contracts and the floor. A check that had nothing to look at fails, because it proves nothing. The audit changes
nothing, and its result has no data of customers: only customer numbers, names of marts and reports, and shortened
addresses.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import version

import psycopg

from callmart.access import logins
from callmart.audit import (
    agents,
    attempts,
    channels,
    drawn,
    environments,
    inference,
    ledger,
    limits,
    names,
    objectors,
    on_tableau,
    options,
    persons,
    tables,
)
from callmart.audit.attacks import ATTACKS
from callmart.audit.attacks.attack import Attack
from callmart.audit.attempts import Answer, Attempt
from callmart.audit.channels import CHANNELS, GOOD, LOCKED_OUT, Board, Cell, Channel, log_in_as
from callmart.audit.check import Check, few
from callmart.audit.on_tableau import Published
from callmart.audit.scene import Attacker, Scene, attackers, scene_of
from callmart.base.errors import UserError
from callmart.base.progress import OnStep
from callmart.base.settings import Settings
from callmart.database import clock, server
from callmart.publish import tableau

VISIBLE = (
    "The names of all roles. They include the customers' numbers, so a customer can see which numbers are customers. "
    "The roles' settings, memberships and comments are visible as well, but not their passwords. So are the names of "
    "databases: an environment's comment says which customers and days are tried in it.",
    "The names of schemas, tables, columns, functions and policies, the text of functions and views, and whom each "
    "column points to. They are the same for everybody and contain no data.",
    "Totals over all customers: pg_class.reltuples and relpages, and in EXPLAIN ANALYZE the rows removed and the pages "
    "read. They show about how many rows a mart, a month or another table has, but never for a condition that a "
    "customer chooses. If there are only two customers, each can subtract its own rows. If administrator.sql has not "
    "been run, the counters in pg_stat_all_tables and similar views are visible too, and show how many rows each query "
    "of others read, and sizes and the position of the write-ahead log, which show how many bytes each transaction "
    "wrote.",
    "EXPLAIN's estimate for a day, which comes from a sample over all customers: about how many rows a day has. There "
    "is no sample of any other column, and the customer's number is a constant, the reader's own.",
    "Rows of days that are too old are hidden at once, but they are counted in those totals until the next run deletes "
    "them.",
    "pg_stat_activity: who else is connected and since when, but not their queries and not their addresses.",
    "pg_locks: which tables others are using.",
    "LISTEN and NOTIFY: everybody may send a message on any channel, and hear the messages of others. callmart sends "
    "none, so there are only messages that customers send on purpose.",
    "Reading takes a weak lock on a mart's tables until the transaction ends. The owner waits for it only for seconds, "
    "then ends the session that is in its way and makes its change; the audit log records it. Only an expired month is "
    "emptied at once, and dropped when the reader has finished.",
    "Large objects: everybody sees their numbers, never their contents. If administrator.sql has been run, nobody may "
    "make any.",
    "A login may change its own password and its own defaults, such as read-only and the timeouts. These defaults only "
    "prevent mistakes and protect nothing. `callmart access diff` shows a change, `callmart access apply` undoes it.",
    "A login can use what its sessions are given: memory (work_mem, savepoints, prepared statements), temporary files "
    "up to temp_file_limit each, processor time, and the queue of NOTIFY. docs/security.md says what limits it.",
)


@dataclass(frozen=True)
class Audit:
    """The result of an audit."""

    at: datetime
    versions: dict[str, str]
    customers: int
    cells: tuple[Cell, ...]
    checks: tuple[Check, ...]
    # Users who see customers' content because of their position: how many per position.
    persons: dict[str, int]

    @property
    def failed(self) -> list[Check]:
        """The checks that failed."""
        return [check for check in self.checks if not check.good]


def audit(connection: psycopg.Connection, settings: Settings, on_step: OnStep) -> Audit:
    """Make all checks and attacks. Changes nothing. The connection is the owner's.

    `on_step(stage, item, finished, of)` reports progress.
    """
    scene = scene_of(connection, settings)
    board = channels.board(connection, scene)
    connection.rollback()
    tally = _Tally()
    # The audit has no password of those that choose their own; their rights are compared.
    unknown = logins.typed(scene.database)
    everybody = [one for one in attackers(scene) if one.role not in unknown]
    with server.connect(settings, autocommit=True) as owner:
        cells, locked_out = _attack_as_each(owner, settings, scene, board, everybody, tally, on_step)
        inferred = list(inference.checks(owner, settings, scene, on_step))
    cells += _publisher_and_files(settings, scene, board, everybody, on_step)
    of_tableau = _tableau(connection, settings, board, on_step)
    cells += of_tableau.cells
    on_step("look", "at tables and rights", 0, 1)
    checks = [
        _logins(everybody, locked_out),
        *_of_cells(settings, board, cells),
        *_of_files(settings, board),
        *of_tableau.checks,
        *tally.checks(),
        names.of_names(connection, settings, scene),
        *inferred,
        *_looks(connection, settings, scene, board, of_tableau),
    ]  # fmt: skip
    connection.rollback()
    on_step("look", "", 1, 1)
    return Audit(
        at=clock.now(connection).astimezone(settings.zone),
        versions=_versions(connection),
        customers=len(board.customers),
        cells=tuple(
            sorted(cells, key=lambda cell: (cell.customer_id, cell.mart, CHANNELS.index(cell.channel)))
        ),
        checks=tuple(checks),
        persons=of_tableau.persons,
    )


def _looks(
    connection: psycopg.Connection, settings: Settings, scene: Scene, board: Board, of_tableau: Published
) -> list[Check]:
    """What is looked at as the owner: rights, limits, tables, words in files, books, pages, persons."""
    of_extracts, is_kept = agents.in_extracts(settings, scene), settings.tableau.keeps_extracts
    return [
        *tables.of_rights(connection, settings, scene),
        *limits.of_limits(connection, settings),
        *tables.of_tables(connection, settings, scene),
        options.of_agents(connection, scene),
        *tables.of_usage(connection),
        agents.of_marts(connection, scene),
        agents.of_files(connection, scene, "extracts", of_extracts, is_kept=is_kept),
        agents.of_files(connection, scene, "Tableau", of_tableau.words, is_kept=False),
        objectors.of_marts(connection),
        objectors.of_files(connection, "extracts", of_extracts),
        objectors.of_files(connection, "Tableau", of_tableau.words),
        *tables.of_books(connection, scene, board),
        drawn.of_pages(connection, settings),
        environments.of_environments(connection, settings),
        ledger.of_ledger(connection, settings),
        persons.of_places(connection, settings),
        persons.of_erasure(connection, settings),
        persons.of_returned(connection, settings),
    ]  # fmt: skip


def _versions(connection: psycopg.Connection) -> dict[str, str]:
    number = connection.info.server_version
    return {
        "callmart": version("callmart"),
        "PostgreSQL": f"{number // 10000}.{number % 10000}",
        "dbt": version("dbt-core"),
        "Great Expectations": version("great_expectations"),
        "Tableau Server Client": version("tableauserverclient"),
    }


@contextmanager
def _session(settings: Settings, attacker: Attacker) -> Iterator[psycopg.Connection | None]:
    """An attacker's session, or None if it can't log in or its role can't be set."""
    try:
        session = log_in_as(settings, attacker)
    except LOCKED_OUT:
        yield None
        return
    with session:
        yield session


# -- attacks ---------------------------------------------------------------------------------------------------------


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
            yield Check(
                f"attacks: {attack.family}",
                attack.name if attack.name == attack.tries else f"{attack.name}: {attack.tries}",
                self.proven[attack],
                len(found),
                few(found),
                applies=not (absent or nobody),
            )


def _attack_as_each(
    owner: psycopg.Connection,
    settings: Settings,
    scene: Scene,
    board: Board,
    everybody: list[Attacker],
    tally: _Tally,
    on_step: OnStep,
) -> tuple[list[Cell], list[str]]:
    """Make all attacks. Returns what customers see, and who could not log in."""
    cells: list[Cell] = []
    locked_out = []
    ordered = logins.of_customers(owner)
    owner.execute("set lock_timeout = '1s'")
    for number, attacker in enumerate(everybody):
        on_step("attack", attacker.name, number, len(everybody))
        with _session(settings, attacker) as session:
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
    return cells, locked_out


def _attack(
    scene: Scene, attacker: Attacker, session: psycopg.Connection, owner: psycopg.Connection, tally: _Tally
) -> None:
    for attempt in attempts.attempts(scene, attacker, ATTACKS):
        answer = attempts.make(session, attempt.sql, attempt.attack)
        key = attempt.attack.via, attempt.control
        if key not in tally.controls:
            tally.controls[key] = attempts.make(owner, attempt.control, attempt.attack)
        tally.count(attacker, attempt, answer, tally.controls[key])


# -- channels --------------------------------------------------------------------------------------------------------


def _publisher_and_files(
    settings: Settings, scene: Scene, board: Board, everybody: list[Attacker], on_step: OnStep
) -> Iterator[Cell]:
    with _session(settings, next(duty for duty in everybody if duty.name == "publisher")) as publisher:
        for number, customer in enumerate(board.customers):
            on_step("compare", f"customer {customer}", number, len(board.customers))
            yield from channels.file_cells(settings, board, customer)
            if customer not in scene.customers:
                yield from channels.without_role(scene, board, customer)
            elif publisher is not None:
                yield from channels.publisher_cells(scene, board, publisher, customer)
    on_step("compare", "", len(board.customers), len(board.customers))


def _tableau(connection: psycopg.Connection, settings: Settings, board: Board, on_step: OnStep) -> Published:
    """What is on Tableau. If it can't be told, the result is a check that looked at nothing."""
    try:
        with tableau.at_sites(settings) as at:
            return on_tableau.look(connection, settings, at, board, on_step)
    except UserError as error:
        check = Check("Tableau", "its content can be read", 0, 0, (str(error),))
        return Published((), (check,), {}, agents.Words())


def _of_cells(settings: Settings, board: Board, cells: list[Cell]) -> Iterator[Check]:
    for channel in CHANNELS:
        of_channel = [cell for cell in cells if cell.channel == channel]
        bad = [cell for cell in of_channel if cell.outcome not in GOOD]
        own = sum(cell.outcome == "own rows only" for cell in of_channel)
        yield Check(
            "every customer and mart",
            f"{channel}: own rows only, and all of them, if the contract opens the mart; otherwise nothing",
            own,
            len(bad),
            few([f"customer {cell.customer_id}, {cell.mart}: {cell.outcome}" for cell in bad]),
            applies=bool(own) or bool(bad) or not _may_be_empty(settings, channel),
        )
    holders = Counter(mart for (_, mart), rows in board.rows.items() if rows.rows)
    several = [mart for mart, customers in holders.items() if customers > 1]
    yield Check(
        "every customer and mart",
        "there are marts with rows of several customers to keep apart",
        len(several),
        0,
    )


def _may_be_empty(settings: Settings, channel: Channel) -> bool:
    """Whether a channel may have no rows at all: perhaps nobody has ordered a login, or files are not kept."""
    return channel == "login" or (channel == "file" and not settings.tableau.keeps_extracts)


def _logins(everybody: list[Attacker], locked_out: list[str]) -> Check:
    return Check(
        "logins",
        "every duty whose password is in a file can log in, and every customer that has ordered a login",
        len(everybody),
        len(locked_out),
        few(locked_out),
    )


def _of_files(settings: Settings, board: Board) -> Iterator[Check]:
    looked_at, stray = channels.stray_files(settings, board)
    applies = bool(looked_at) or settings.tableau.keeps_extracts
    yield Check("extracts", "no file that no contract orders", looked_at, len(stray), few(stray), applies)
