"""What is wrong with this callmart, so that somebody learns that the night failed. Changes nothing.

Each trouble is one sentence with its remedy. It names customers by number, and holds no name and no value of a row.
"""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import NamedTuple

import psycopg

from callmart.base import disk, sql_file
from callmart.base.counting import several
from callmart.base.errors import UserError, kind
from callmart.base.keys import INSTALLATION, known_key
from callmart.base.settings import Settings
from callmart.database import clock, ledger, rotation, schema, server
from callmart.database.rotation import Unfinished
from callmart.operations import certificates, record
from callmart.operations.certificates import Ends
from callmart.operations.record import AT_WORK, DONE, INTERRUPTED, PROBLEMS, Run
from callmart.privacy import register, unknown
from callmart.privacy.register import Request
from callmart.privacy.unknown import Unknown
from callmart.publish import installation

SQL = sql_file.statements(__file__)

# Every kind of trouble, and what it is called when it has ended.
KINDS = {
    "database": "the database can't be used",
    "clock": "the clock is in doubt",
    "run_failed": "the last run was not good",
    "run_late": "the last good run lies too far back",
    "silent": "no data",
    "held_back": "days held back",
    "tableau": "Tableau is behind",
    "key": "the key is missing or does not fit",
    "rotation": "a rotation of keys broke off",
    "objectors": "nobody knows who objected",
    "home_disk": "the volume of CALLMART_HOME is nearly full",
    "database_disk": "the volume of the database is nearly full",
    "database_certificate": "the certificate of the database server ends soon",
    "tableau_certificate": "the certificate of Tableau ends soon",
    "backup": "the last backup lies too far back",
    "privacy": "a request of a person waits for its answer",
    "ledger": "the privacy ledger and the database differ",
    "ledger_copy": "the privacy ledger has no second copy",
    "ledger_lost": "the privacy ledger was lost",
}


@dataclass(frozen=True)
class Trouble:
    """Something that a person should look at. `what` is a sentence with the remedy. `request` is the number of a
    request of a person, and `days_left` the warning that is due.
    """

    kind: str
    customer_id: int | None
    what: str
    request: int | None = None
    days_left: int | None = None

    def __str__(self) -> str:
        return self.what if self.customer_id is None else f"customer {self.customer_id}: {self.what}"


class Disk(NamedTuple):
    """The bytes of a volume, and the share of its files (inodes) that is free."""

    free: int
    total: int
    files: float = 1

    def least_free(self, settings: Settings) -> float:
        """The bytes that should be free."""
        wanted = settings.health
        return max(wanted.disk_free_gib * 2**30, wanted.disk_free_share * self.total)


class _Moments(NamedTuple):
    good_run_at: datetime | None
    installed_at: datetime | None
    backed_up_at: datetime | None
    now: datetime


@dataclass(frozen=True)
class Books:
    """What the database says."""

    clock_doubt: str | None
    run: Run | None  # the last one that is not at work
    is_at_work: bool
    moments: _Moments
    silent: list[tuple[int, date]]  # customer, and its first day without the usual data
    held_back: list[tuple[int, int]]  # customer, days
    behind: list[tuple[int, str]]  # customer, reason
    keys: list[tuple[int | None, str]]  # customer, or none for the installation; what is wrong with its key
    requests: list[Request]  # of persons
    ledger: list[Trouble] = field(default_factory=list)
    rotation: Unfinished | None = None
    unknown: list[Unknown] = field(default_factory=list)  # who objected under a key that is gone


@dataclass(frozen=True)
class Health:
    """What was found. `books` is None if the database can't be used."""

    books: Books | None
    disks: dict[str, Disk | str]  # or why the volume can't be looked at
    certificates: Ends
    troubles: list[Trouble]


def look(settings: Settings) -> Health:
    """Look at everything. Raises nothing if the database can't be used: that is a trouble as well."""
    books, lost = None, ""
    try:
        with server.connect(server.if_running(settings)) as connection:
            schema.require(connection, settings.time_zone)
            books = _books(connection, settings)
    except UserError as error:
        lost = f"the database can't be used: {error}"
    except psycopg.Error as error:
        lost = f"the database broke off ({kind(error)}): look at its server, then run `callmart health` again"
    except OSError as error:
        lost = f"not everything could be looked at ({kind(error)}): let this user read all of {settings.home}"
    disks = _disks(settings)
    ends = certificates.ends(settings) if settings.health.certificate_days else {}
    return Health(
        books,
        disks,
        ends,
        [
            *([Trouble("database", None, lost)] if lost else ()),
            *(_troubles_of(books, settings) if books else ()),
            *_full_disks(disks, settings),
            *_ending(ends, settings),
        ],
    )


def _books(connection: psycopg.Connection, settings: Settings) -> Books:
    run = record.last_run(connection)
    at_work = run if run is not None and run.outcome == AT_WORK else None
    ((*moments,),) = connection.execute(SQL["moments"]).fetchall()
    days = settings.health.silent_days
    return Books(
        clock.read(connection, settings).doubt,
        record.last_run(connection, before=at_work.run_id) if at_work else run,
        at_work is not None,
        _Moments(*moments),
        connection.execute(SQL["silent"], {"days": days}).fetchall() if days else [],
        connection.execute(SQL["held_back"]).fetchall(),
        connection.execute(SQL["behind"], {"since": at_work.began_at if at_work else "infinity"}).fetchall(),
        list(_wrong_keys(connection, settings)),
        register.requests(connection),
        list(_of_ledger(connection, settings)),
        rotation.look(connection),
        unknown.look(connection),
    )


def _wrong_keys(connection: psycopg.Connection, settings: Settings) -> Iterator[tuple[int | None, str]]:
    for customer_id, fingerprint in connection.execute(SQL["keys"]).fetchall():
        try:
            known_key(settings.home, customer_id or INSTALLATION, fingerprint)
        except UserError as error:
            yield customer_id, str(error)


def _of_ledger(connection: psycopg.Connection, settings: Settings) -> Iterator[Trouble]:
    found = ledger.compare(connection, settings)
    if found.unreadable:
        yield Trouble("ledger", None, found.unreadable)
    for customer_id in sorted(found.differing):
        yield Trouble("ledger", customer_id, ledger.DIFFERS)
    copy = settings.privacy.ledger_copy
    if not found.unreadable and not (copy and ledger.had_copy(connection)) and ledger.last(settings)[0]:
        unmade = f"the second copy of the privacy ledger, {copy}, is missing: `callmart run` makes it, or says why not"
        yield Trouble("ledger_copy", None, f"somebody was erased, and {unmade if copy else ledger.NO_COPY}")
    for (lost_at,) in connection.execute(SQL["ledger_lost"]).fetchall():
        yield Trouble(
            "ledger_lost",
            None,
            f"the privacy ledger was lost on {lost_at:%Y-%m-%d}: go through the answered requests, and erase again who "
            "was erased since the backup; this is said for four weeks",
        )


def _troubles_of(books: Books, settings: Settings) -> Iterator[Trouble]:
    wanted, moments = settings.health, books.moments
    if books.clock_doubt:
        yield Trouble("clock", None, f"the clock is in doubt, so no run begins: {books.clock_doubt}")
    if books.run and books.run.outcome != DONE:
        yield Trouble("run_failed", None, _failed(books.run))
    if (hours := _past(moments, moments.good_run_at, hours=wanted.good_run_hours)) is not None:
        good = (
            f"the last good run ended {hours / 24:.1f} days ago"
            if moments.good_run_at
            else "no run was good yet"
        )
        yield Trouble("run_late", None, f"{good}: see `callmart status`, and run `callmart run`")
    for customer_id, since in books.silent:
        yield Trouble(
            "silent",
            customer_id,
            f"no data of {since}, although that day of the week usually has some: ask whether its telephone system "
            "still delivers",
        )
    for customer_id, days in books.held_back:
        yield Trouble("held_back", customer_id, record.held_back(days))
    yield from _behind(books.behind, settings)
    for whose, wrong in books.keys:
        yield Trouble("key", whose, wrong)
    if books.rotation and not books.rotation.is_at_work:
        yield Trouble("rotation", books.rotation.customer_id, str(books.rotation))
    for one in books.unknown:
        yield Trouble("objectors", one.customer_id, str(one))
    yield from books.ledger
    if (hours := _past(moments, moments.backed_up_at, hours=wanted.backup_days * 24)) is not None:
        last = (
            f"the last backup is {hours / 24:.0f} days old"
            if moments.backed_up_at
            else "there is no backup yet"
        )
        yield Trouble(
            "backup",
            None,
            f"{last}: run `callmart backup FOLDER`, or set health.backup_days = 0 if something else makes backups",
        )
    yield from _waiting(books.requests)


def _behind(behind: list[tuple[int, str]], settings: Settings) -> Iterator[Trouble]:
    """The customers of whom Tableau is behind. No run of a restored home publishes, which is said once."""
    if not behind:
        return
    try:
        installation.refuse_restored(settings.home)
    except UserError as refusal:
        customers = several(len(behind), "customer")
        yield Trouble("tableau", None, f"Tableau is behind for {customers}: {refusal}")
        return
    for customer_id, reason in behind:
        yield Trouble("tableau", customer_id, f"Tableau is behind, {reason}: run `callmart run`")


def _waiting(requests: list[Request]) -> Iterator[Trouble]:
    """The requests of persons that have to be answered soon, or should have been."""
    for one in requests:
        if one.warning is not None:
            said = f"request {one.number} is due on {one.due}, {one.left}: {one.todo}"
            yield Trouble("privacy", one.customer_id, said, one.number, one.warning)


def _past(moments: _Moments, last: datetime | None, *, hours: float) -> float | None:
    """For how many hours something has not been done, if that is longer than `hours`; 0 is no limit. If it was never
    done, the first registry counts.
    """
    since = last or moments.installed_at
    gone = (moments.now - since) / timedelta(hours=1) if since else 0
    return gone if hours and gone > hours else None


def _failed(run: Run) -> str:
    stages = ", ".join(one.stage for one in run.stages if one.outcome != DONE)
    place = f" in {stages}" if stages else ""
    if run.outcome == PROBLEMS:
        return f"the last run left problems{place}: its output and its log name them"
    error = f" ({run.error})" if run.error else ""
    happened = "was interrupted" if run.outcome == INTERRUPTED else run.outcome
    return f"the last run {happened}{place}{error}: `callmart run` continues from there"


def _disks(settings: Settings) -> dict[str, Disk | str]:
    """The volumes of callmart's home and of the database, once if they are the same. A database on another machine
    can't be looked at.
    """
    embedded = settings.home / "postgres" if settings.dsn is None else None
    folders = {"home": settings.home, "database": settings.health.database_folder or embedded}
    found: dict[str, Disk | str] = {}
    for name, folder in folders.items():
        if folder is not None and not (name == "database" and disk.on_one_volume(folder, settings.home)):
            try:
                found[name] = disk_of(folder)
            except OSError as error:
                found[name] = kind(error)
    return found


def disk_of(folder: Path) -> Disk:
    """The volume of a folder. Raises OSError if it can't be looked at."""
    total, _, free = shutil.disk_usage(folder)
    return Disk(free, total, disk.free_files(folder))


def _full_disks(disks: dict[str, Disk | str], settings: Settings) -> Iterator[Trouble]:
    for name, one in disks.items():
        volume = f"the volume of {'CALLMART_HOME' if name == 'home' else 'the database'}"
        if isinstance(one, str):
            yield Trouble(f"{name}_disk", None, f"{volume} can't be looked at ({one}): correct its folder")
        elif one.free < one.least_free(settings):
            said = f"{volume} has {one.free / 2**30:.1f} GiB left, {one.free / one.total:.0%}: make room"
            yield Trouble(f"{name}_disk", None, said)
        elif one.files < settings.health.disk_free_share:
            said = f"{volume} has {one.files:.0%} of its inodes left, one per file: delete files that nobody needs"
            yield Trouble(f"{name}_disk", None, said)


def _ending(ends: Ends, settings: Settings) -> Iterator[Trouble]:
    for name, end in ends.items():
        certificate = f"the certificate of {'Tableau' if name == 'tableau' else 'the database server'}"
        if isinstance(end, str):
            said = f"{certificate} can't be looked at ({end}): look whether the server is up"
            yield Trouble(f"{name}_certificate", None, said)
        elif end < datetime.now(UTC) + timedelta(days=settings.health.certificate_days):
            yield Trouble(
                f"{name}_certificate", None, f"{certificate} ends on {end:%Y-%m-%d}: have it renewed"
            )
