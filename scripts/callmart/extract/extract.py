"""Writes one .hyper file per customer and mart group. It is read as the customer's own role, and checked before it may
be published.
"""

import json
import shutil
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from datetime import date
from hashlib import file_digest, sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import psycopg
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import dbapi
from psycopg.types.json import Jsonb
from tableauhyperapi import HyperException

from callmart.access import logins, roles
from callmart.base import disk, sql_file
from callmart.base.errors import UserError, is_disk_full, kind
from callmart.base.secret_files import private_folder
from callmart.base.settings import Settings
from callmart.database import ledger, server
from callmart.declarations import data_through, dbt_project
from callmart.declarations.data_through import THROUGH
from callmart.declarations.mart import Mart
from callmart.extract import drafts, reading
from callmart.extract.drafts import Draft, Unproven
from callmart.extract.reading import ALL, Contents, Part
from callmart.tableau_files import fields

SQL = sql_file.statements(__file__)

MOST_MONTHS = 4  # more are read faster together with all others
WORKERS = 4  # while some read from PostgreSQL or are written by Hyper, others wait for the disk

# Of the publisher's session. A customer's rows are taken from the index of the key, so that they come nearly in their
# order. To start workers for a small file takes longer than they save.
IN_KEY_ORDER = ("set random_page_cost = 1.1", "set max_parallel_workers_per_gather = 0")

# The SQLSTATEs of a role that may not read or be taken on, and of one that does not exist.
NOT_ALLOWED = ("42501", "22023")
# Those of a mart, or of a column of it, that no build has made yet.
NOT_BUILT = ("42P01", "42703")


@dataclass(frozen=True)
class Extract:
    """The extract of a customer and mart group."""

    customer_id: int
    group: str
    path: Path
    rows: int
    content_hash: str
    written: bool  # false if its contents have not changed


class _Order(NamedTuple):
    """A file that a contract orders, its tables, and everything that determines its rows (`basis`)."""

    customer_id: int
    group: str
    marts: list[Mart]
    basis: dict[str, Any]


class _Recorded(NamedTuple):
    """What the books, ops.extract, say about a file."""

    content_hash: str
    rows: int
    basis: dict[str, Any]
    part_hashes: dict[str, str]  # of its months and of the rest, as reading.Contents has them
    file_hash: str | None  # None if there was none


class _Session(NamedTuple):
    """Two connections: the owner's, for the books and the checks, and the publisher's, which reads as customers."""

    owner: psycopg.Connection
    reader: Any

    def close(self) -> None:
        """Close both."""
        self.owner.close()  # never fails; the other one can
        self.reader.close()


def extract(
    connection: psycopg.Connection, settings: Settings, on_file: Callable[[int, int, int], None]
) -> list[Extract | Unproven]:
    """Write the files whose rows have changed, and remove files that no contract orders. Commits.

    Customers with live connections have no files. If `keep_extracts` is off, a missing file has been published, and is
    written again only when its rows change. If a file fails, its place in the list has the failure, and the other files
    are still made. `on_file(customer, finished, of)` is called after each.
    """
    orders = _orders(connection, settings)
    bases = {order[:2]: order.basis for order in orders}
    paths = {name: place(settings, *name) for name in bases}
    recorded, closed = _recorded(connection), ledger.closed(connection)
    there = _remove_unordered(connection, settings, recorded, paths)
    connection.commit()
    if settings.tableau.keeps_extracts:
        recorded = {name: books for name, books in recorded.items() if name in there}
    # Not each by a worker: there may be thousands.
    unchanged = {
        name: Extract(*name, paths[name], before.rows, before.content_hash, written=False)
        for name, before in recorded.items()
        if before.basis == bases.get(name) and name[0] not in closed
    }
    found: list[Extract | Unproven] = []
    with _sessions(settings) as session, ThreadPoolExecutor(WORKERS) as pool:

        def make(order: _Order) -> Extract | Unproven:
            if order.customer_id in closed:
                return Unproven(f"customer {order.customer_id}: {ledger.DIFFERS}")
            try:
                with session() as own:
                    try:
                        return _make(own, paths[order[:2]], order, recorded.get(order[:2]))
                    except Unproven as failure:
                        return failure
            except UserError as error:  # no session could be opened
                return Unproven(str(error))
            except Exception as error:  # about this customer; its session is not used again
                return Unproven(
                    f"the {order.group} extract of customer {order.customer_id} was not made ({kind(error)}): "
                    f"{_remedy(error)}"
                )

        making = pool.map(make, [order for order in orders if order[:2] not in unchanged])
        for order in orders:
            made = unchanged.get(order[:2]) or next(making)
            if isinstance(made, Unproven):
                made.customer_id = order.customer_id
            found.append(made)
            on_file(order.customer_id, len(found), len(orders))
    return found


def restore(settings: Settings, customer_id: int, group: str, marts: list[Mart], content_hash: str) -> None:
    """Write a file again, and note what it is. Raises Unproven if its rows no longer have this hash: then the next
    extraction reads them, also if it knows of no reason.
    """
    path, order = place(settings, customer_id, group), _Order(customer_id, group, marts, {"oldest": None})
    with _sessions(settings) as session, session() as own, _folder_beside(path) as arrow:
        if _content_hash(_read(own, order, [ALL], arrow)) != content_hash:
            read_again(own.owner, customer_id, group)
            raise Unproven(
                f"the {group} marts of customer {customer_id} have changed since they were extracted: "
                "run `callmart extract`, and then this again"
            )
        opened = drafts.opened_rows(own.owner, customer_id)
        with _proven(own.owner, path, order, [ALL], arrow, opened) as draft:
            draft.replace(path)
        own.owner.execute(
            SQL["note_file"], {"customer": customer_id, "mart_group": group, "file_hash": file_hash(path)}
        )


def holds(
    settings: Settings, customer_id: int, group: str, marts: list[Mart], content_hash: str, file: Path
) -> bool:
    """Return whether a file, wherever it comes from, has exactly the rows that have this hash. Not if the marts have
    other rows by now. Raises Unproven if they can't be read, and HyperException if the file can't be.
    """
    order = _Order(customer_id, group, marts, {"oldest": None})
    with _sessions(settings) as session, session() as own, disk.temporary(settings.home) as folder:
        if _content_hash(_read(own, order, [ALL], folder)) != content_hash:
            return False
        draft = Draft(folder / file.name, customer_id, marts, [ALL])
        draft.write(folder, file, None)
        return draft.has_same_rows(file)


def read_again(connection: psycopg.Connection, customer_id: int, group: str | None = None) -> None:
    """Let the next extraction read all rows of a customer's file of a group, or of all its files. Until then, mails
    wait. In the caller's transaction.
    """
    connection.execute(SQL["read_again"], {"customer": customer_id, "mart_group": group})


def folder(settings: Settings) -> Path:
    """The folder of all extracts. It has one folder per customer."""
    return settings.home / "extracts"


def place(settings: Settings, customer_id: int, group: str) -> Path:
    """The path of a customer's file of a group, whether it exists or not."""
    return folder(settings) / str(customer_id) / f"{group}.hyper"


# -- what is ordered -------------------------------------------------------------------------------------------------


def _orders(connection: psycopg.Connection, settings: Settings) -> list[_Order]:
    """The files that the contracts order."""
    marts = dbt_project.marts(settings)
    held = {group: data_through.tables(marts, group) for group in {mart.group for mart in marts}}
    types = {group: fields.hyper_types(tables) for group, tables in held.items()}
    version = connection.execute("select max(version) from registry.version").fetchone()
    ordered = connection.execute(SQL["orders"]).fetchall()
    return [
        _Order(
            customer_id,
            group,
            held[group],
            {
                "opened": build_id,
                "registry": version and version[0],
                "oldest": oldest,  # changes when a day becomes too old
                "types": types[group],
            },
        )
        for customer_id, option, orders, build_id, oldest in ordered
        for group in roles.opens(option, orders)
        if group in held
    ]


def _remove_unordered(
    connection: psycopg.Connection,
    settings: Settings,
    recorded: Mapping[tuple[int, str], _Recorded],
    wanted: Mapping[tuple[int, str], Path],
) -> set[tuple[int, str]]:
    """Remove files that no contract orders any more, from the disk and from the books. Returns which are there."""
    ordered = {str(path): name for name, path in wanted.items()}
    there = set()
    for found in disk.entries(folder(settings)):
        if found.path in ordered:
            there.add(ordered[found.path])
        else:  # also files that a killed publication left
            Path(found.path).unlink()
    for left in folder(settings).glob("*/.*"):  # temporary folders of what was killed
        shutil.rmtree(left)
    for customer_id, group in recorded.keys() - wanted.keys():
        connection.execute(
            "delete from ops.extract where customer_id = %s and mart_group = %s", [customer_id, group]
        )
    return there


def _recorded(connection: psycopg.Connection) -> dict[tuple[int, str], _Recorded]:
    return {
        (customer_id, group): _Recorded(*books)
        for customer_id, group, *books in connection.execute(
            "select customer_id, mart_group, content_hash, row_count, basis, part_hashes, file_hash"
            " from ops.extract"
        )
    }


# -- making a file ---------------------------------------------------------------------------------------------------


@contextmanager
def _sessions(settings: Settings) -> Iterator[Callable[[], AbstractContextManager[_Session]]]:
    """A pool of sessions: each worker borrows its own, and one is opened if none is idle. If something is raised while
    it is borrowed, it may be lost, and nobody gets it again.
    """
    idle: SimpleQueue[_Session] = SimpleQueue()

    @contextmanager
    def lend() -> Iterator[_Session]:
        try:
            session = idle.get_nowait()
        except Empty:
            session = _opened(settings)
        try:
            yield session
        except BaseException:
            session.close()  # the logins have few connections
            raise
        idle.put(session)

    try:
        yield lend
    finally:
        while not idle.empty():
            idle.get_nowait().close()


def _remedy(error: Exception) -> str:
    """What helps against what went wrong while a file was made."""
    if is_disk_full(error):
        return "make room on the disk, and run this again"
    if getattr(error, "sqlstate", None) in NOT_BUILT:
        return "run `callmart build`, and then this again"
    return "run this again"


def _opened(settings: Settings) -> _Session:
    owner = server.connect(settings, autocommit=True)
    try:
        return _Session(owner, _publisher(settings))
    except Exception:
        owner.close()
        raise


def _publisher(settings: Settings) -> Any:
    try:
        publisher = dbapi.connect(logins.duty_uri(settings, "publisher"), autocommit=True)
    except AdbcError as error:
        raise UserError(logins.refusal("publisher", error)) from None
    with publisher.cursor() as cursor:
        for setting in IN_KEY_ORDER:
            cursor.execute(setting)
    return publisher


@contextmanager
def _folder_beside(path: Path) -> Iterator[Path]:
    """A temporary folder beside a file, for the rows on their way into it. As private as the file."""
    private_folder(path.parent)
    with TemporaryDirectory(dir=path.parent, prefix=".arrow-") as folder:
        yield Path(folder)


def _make(session: _Session, path: Path, order: _Order, before: _Recorded | None) -> Extract:
    """Make a file from the earlier one and the months that changed, if the books know what it has, or else from all
    rows.
    """
    there = file_hash(path) if before else None
    parts = _changed_parts(session.owner, there, order, before)
    try:
        return _make_of(parts, session, path, there, order, before)
    except Unproven as failure:
        if parts == [ALL] or isinstance(failure, drafts.OtherCustomers):
            raise
    # Rows have gone that no build has computed again, as after a change of contract.
    return _make_of([ALL], session, path, there, order, before)


def _changed_parts(
    owner: psycopg.Connection, there: str | None, order: _Order, before: _Recorded | None
) -> list[Part]:
    """The months that have changed since the file was written, or all rows if many have, or nobody knows. `there` is
    the hash of the file.
    """
    # What the registry changes in days, a build computes again; what it changes in marts without days is read.
    if (
        before is None
        or not before.part_hashes
        or before.basis.get("opened") is None
        or before.basis.get("types") != order.basis["types"]
        or before.file_hash is None
        or there != before.file_hash
    ):
        return [ALL]
    found = owner.execute(
        SQL["changed_months"], {"customer": order.customer_id, "build": before.basis["opened"]}
    )
    months = {month for (month,) in found}
    if order.basis["oldest"] and order.basis["oldest"] != before.basis["oldest"]:
        months.add(date.fromisoformat(order.basis["oldest"]).replace(day=1))  # it has lost days
    return [Part(month) for month in sorted(months)] if len(months) <= MOST_MONTHS else [ALL]


def _make_of(
    parts: list[Part],
    session: _Session,
    path: Path,
    there: str | None,
    order: _Order,
    before: _Recorded | None,
) -> Extract:
    """Read these parts, write the file if its contents have changed, and note it in the books."""
    with _folder_beside(path) as arrow:
        found = _read(session, order, parts, arrow)
        opened = drafts.opened_rows(session.owner, order.customer_id)
        if before is not None and parts != [ALL]:
            found = _continued(opened, order, parts, found, before)
        content_hash = _content_hash(found)
        written = (
            before is None or before.content_hash != content_hash or there not in (before.file_hash, None)
        )
        if written:
            with _proven(session.owner, path, order, parts, arrow, opened) as draft:
                # Until the file is noted, nobody knows which rows it has.
                read_again(session.owner, order.customer_id, order.group)
                draft.replace(path)
    # If the clock has jumped meanwhile, the file can lack days, and the proof as well.
    oldest = session.owner.execute(SQL["oldest"], {"customer": order.customer_id}).fetchone()
    basis = order.basis if oldest == (order.basis["oldest"],) else order.basis | {"opened": None}
    session.owner.execute(
        SQL["note"],
        {
            "customer": order.customer_id,
            "mart_group": order.group,
            "content_hash": content_hash,
            "rows": found.rows,
            "basis": Jsonb(basis),
            "part_hashes": Jsonb(found.part_hashes),
            # Tableau has the earlier file, also if it is no longer here.
            "file_hash": file_hash(path) if written or before is None else before.file_hash,
        },
    )
    return Extract(*order[:2], path, found.rows, content_hash, written)


def _continued(
    opened: Mapping[str, int], order: _Order, parts: list[Part], found: Contents, before: _Recorded
) -> Contents:
    """What a file has that is made from an earlier one: these parts, and the other months. Raises Unproven if no month
    that was read accounts for other rows.
    """
    rows = sum(opened.get(mart.name, 0) for mart in order.marts)
    oldest = str(order.basis["oldest"])[:7]
    replaced = {part.name for part in parts}
    kept = {
        name: of_rows
        for name, of_rows in before.part_hashes.items()
        if name[:1].isdigit() and name[:7] >= oldest and name not in replaced  # of months that stay
    }
    contents = Contents(rows, kept | found.part_hashes)
    if rows != before.rows and contents.part_hashes == before.part_hashes:
        raise Unproven(f"the {order.group} extract of customer {order.customer_id} has lost rows")
    return contents


def _content_hash(contents: Contents) -> str:
    """The hash of all that a file has. Nobody asks how far no rows go, and each night would make a new file."""
    said = {
        name: of_rows
        for name, of_rows in contents.part_hashes.items()
        if contents.rows or name != THROUGH.name
    }
    return sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()


def file_hash(path: Path) -> str | None:
    """The hash of a file's bytes. Only a file that is as it was written is trusted to have what the books say."""
    if not path.exists():
        return None
    with path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()


def _read(session: _Session, order: _Order, parts: list[Part], arrow: Path) -> Contents:
    """Write the rows into Arrow streams. Raises Unproven if the customer's role may not read them, or is missing."""
    role = roles.customer_role(session.owner.info.dbname, order.customer_id)
    try:
        return reading.read(session.reader, role, order.marts, parts, arrow)
    except AdbcError as error:
        if error.sqlstate not in NOT_ALLOWED:
            raise
        raise Unproven(
            f"the {order.group} marts of customer {order.customer_id} can't be read as its own role "
            f"(SQLSTATE {error.sqlstate}): run `callmart access apply`, and then this again"
        ) from None


@contextmanager
def _proven(
    owner: psycopg.Connection,
    path: Path,
    order: _Order,
    parts: list[Part],
    arrow: Path,
    opened: Mapping[str, int],
) -> Iterator[Path]:
    """A draft of the file, which is proven. If it is not moved away, it is deleted."""
    draft = Draft(path, order.customer_id, order.marts, parts)
    draft.path.unlink(missing_ok=True)
    try:
        draft.write(arrow, path, order.basis["oldest"])
        draft.prove(owner, opened)
        yield draft.path
    except HyperException as error:  # which does not say why; the draft is still there
        is_full = disk.is_full(path.parent)
        full = "its disk is full: make room" if is_full else "check whether the disk or the memory is full"
        raise Unproven(
            f"Hyper could not write the extract of customer {order.customer_id} ({error.context_id!r}): {full}, and "
            "run this again"
        ) from None
    finally:
        draft.path.unlink(missing_ok=True)
