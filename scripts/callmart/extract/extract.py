"""Writes one .hyper file per customer and mart group. It is read as the customer's own role, and checked before it may
be published.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import file_digest, sha256
from pathlib import Path
from queue import Empty, SimpleQueue
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import psycopg
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import dbapi
from psycopg.types.json import Jsonb
from tableauhyperapi import HyperException, TableName, escape_name, escape_string_literal

from callmart.access import logins, roles
from callmart.base import sql_file
from callmart.base.errors import UserError, kind
from callmart.base.settings import Settings
from callmart.database import ledger, server
from callmart.declarations import dbt_project, through
from callmart.declarations.through import THROUGH
from callmart.tableau_files import fields, hyper

SQL = sql_file.statements(__file__)

WORKERS = 4  # while some read from PostgreSQL or are written by Hyper, others wait for the disk

# Of the publisher's session. A customer's rows are taken from the index of the key, so that they come nearly in their
# order. To start workers for a small file takes longer than they save.
IN_KEY_ORDER = ("set random_page_cost = 1.1", "set max_parallel_workers_per_gather = 0")


@dataclass(frozen=True)
class Extract:
    """The extract of a customer and mart group."""

    customer_id: int
    group: str
    path: Path
    rows: int
    content_hash: str
    written: bool  # false if its contents have not changed


class Unproven(UserError):
    """A file that could not be made, or failed its checks. The earlier file stays."""

    customer_id: int | None = None


class _Order(NamedTuple):
    """A file that a contract orders, its tables, and everything that determines its rows (`basis`)."""

    customer_id: int
    group: str
    marts: list[dbt_project.Mart]
    basis: dict[str, Any]


class _Recorded(NamedTuple):
    """What the books, ops.extract, say about a file."""

    content_hash: str
    rows: int
    basis: dict[str, Any]


class _Content(NamedTuple):
    """The number of rows that were read, and the hash of their contents."""

    rows: int
    content_hash: str


class _Session(NamedTuple):
    """Two connections: the owner's, for the books and the checks, and the publisher's, which reads as customers."""

    owner: psycopg.Connection
    reader: Any


def extract(
    connection: psycopg.Connection, settings: Settings, on_file: Callable[[int, int, int], None]
) -> list[Extract | Unproven]:
    """Write the files whose rows have changed, and remove files that no contract orders. Commits.

    Customers with live connections have no files. If `keep_extracts` is off, a missing file has been published, and is
    written again only when its rows change. If a file fails, its place in the list has the failure, and the other files
    are still made. `on_file(customer, finished, of)` is called after each.
    """
    orders = _orders(connection, settings)
    _remove_unordered(connection, settings, {(order.customer_id, order.group) for order in orders})
    recorded, closed = _recorded(connection), ledger.closed(connection)
    connection.commit()
    found: list[Extract | Unproven] = []
    with _sessions(settings) as session, ThreadPoolExecutor(WORKERS) as pool:

        def make(order: _Order) -> Extract | Unproven:
            if order.customer_id in closed:
                return Unproven(f"customer {order.customer_id}: {ledger.DIFFERS}")
            path, before = place(settings, order.customer_id, order.group), recorded.get(order[:2])
            if not path.exists() and settings.tableau.keeps_extracts:
                before = None
            if before is not None and before.basis == order.basis:
                return Extract(*order[:2], path, before.rows, before.content_hash, written=False)
            try:
                with session() as own:
                    try:
                        return _make(own, path, order, before)
                    except Unproven as failure:
                        return failure
            except UserError as error:  # the connection failed, which says nothing about this customer
                return Unproven(str(error))
            except Exception as error:  # about this customer; its session is not used again
                return Unproven(
                    f"the {order.group} extract of customer {order.customer_id} was not made ({kind(error)}): "
                    "run this again"
                )

        for order, made in zip(orders, pool.map(make, orders), strict=True):
            if isinstance(made, Unproven):
                made.customer_id = order.customer_id
            found.append(made)
            on_file(order.customer_id, len(found), len(orders))
    return found


def restore(
    settings: Settings, customer_id: int, group: str, marts: list[dbt_project.Mart], content_hash: str
) -> None:
    """Write a missing file again. Raises Unproven if its rows no longer have this hash."""
    path = place(settings, customer_id, group)
    with _sessions(settings) as session, session() as own, _private_folder(path) as arrow:
        if _read(own, customer_id, group, marts, arrow).content_hash != content_hash:
            raise Unproven(
                f"the {group} marts of customer {customer_id} have changed since they were extracted: "
                "run `callmart extract`, and then this again"
            )
        _write(own.owner, path, customer_id, marts, arrow)


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
    version = connection.execute("select max(version) from registry.version").fetchone()
    ordered = connection.execute(SQL["orders"]).fetchall()
    return [
        _Order(
            customer_id,
            group,
            held,
            {
                "opened": build_id,
                "registry": version and version[0],
                "oldest": oldest,  # changes when a day becomes too old
                "types": fields.hyper_types(held),
            },
        )
        for customer_id, option, orders, build_id, oldest in ordered
        for group in roles.opens(option, orders)
        if len(held := through.tables(marts, group)) > 1
    ]


def _remove_unordered(
    connection: psycopg.Connection, settings: Settings, wanted: set[tuple[int, str]]
) -> None:
    """Remove files that no contract orders any more, from the disk and from the books."""
    files = {place(settings, customer_id, group) for customer_id, group in wanted}
    for path in folder(settings).rglob("*"):
        if path.is_file() and path not in files:  # also files that a killed publication left
            path.unlink()
    for customer_id, group in _recorded(connection).keys() - wanted:
        connection.execute(
            "delete from ops.extract where customer_id = %s and mart_group = %s", [customer_id, group]
        )


def _recorded(connection: psycopg.Connection) -> dict[tuple[int, str], _Recorded]:
    return {
        (customer_id, group): _Recorded(*books)
        for customer_id, group, *books in connection.execute(
            "select customer_id, mart_group, content_hash, row_count, basis from ops.extract"
        )
    }


# -- making a file ---------------------------------------------------------------------------------------------------


@contextmanager
def _sessions(settings: Settings) -> Iterator[Callable[[], AbstractContextManager[_Session]]]:
    """A pool of sessions: each worker borrows its own, and one is opened if none is idle."""
    idle: SimpleQueue[_Session] = SimpleQueue()
    with ExitStack() as opened:

        @contextmanager
        def lend() -> Iterator[_Session]:
            try:
                session = idle.get_nowait()
            except Empty:
                owner = opened.enter_context(server.connect(settings, autocommit=True))
                session = _Session(owner, opened.enter_context(_publisher(settings)))
            yield session
            idle.put(session)

        yield lend


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
def _private_folder(path: Path) -> Iterator[Path]:
    """A temporary folder beside a file, for the rows on their way into it. As private as the file."""
    for private in (path.parent.parent, path.parent):  # with parents=True only the last gets the mode
        private.mkdir(exist_ok=True, mode=0o700)
    with TemporaryDirectory(dir=path.parent, prefix=".arrow-") as folder:
        yield Path(folder)


def _make(session: _Session, path: Path, order: _Order, before: _Recorded | None) -> Extract:
    """Read the rows, write the file if they have changed, and note it in the books."""
    customer_id, group, marts, basis = order
    with _private_folder(path) as arrow:
        rows, content_hash = _read(session, customer_id, group, marts, arrow)
        written = before is None or before.content_hash != content_hash
        if written:
            _write(session.owner, path, customer_id, marts, arrow)
    session.owner.execute(
        SQL["note"],
        {
            "customer": customer_id,
            "mart_group": group,
            "content_hash": content_hash,
            "rows": rows,
            "basis": Jsonb(basis),
        },
    )
    return Extract(customer_id, group, path, rows, content_hash, written)


def _read(
    session: _Session, customer_id: int, group: str, marts: list[dbt_project.Mart], arrow: Path
) -> _Content:
    """Write the rows of each mart, as the customer sees them, into one Arrow stream per mart.

    The hash shows whether the contents have changed. Comparing .hyper files would not: they differ for the same rows.
    """
    role = roles.customer_role(session.owner.info.dbname, customer_id)
    rows, digest = 0, sha256()
    try:
        for mart in sorted(marts, key=lambda mart: (mart is THROUGH, mart.name)):
            stream = arrow / mart.name
            with (
                _reading(session.reader, role, mart) as reader,
                pa.OSFile(str(stream), "wb") as file,
                pa.ipc.new_stream(file, reader.schema) as writer,
            ):
                for batch in reader:
                    # Concatenating copies the batch. The driver's own has random unused bits, which change the hash.
                    writer.write_batch(pa.concat_batches([batch, batch.slice(0, 0)]))
                    rows += batch.num_rows if mart is not THROUGH else 0
            if mart is THROUGH and not rows:
                continue  # nobody asks how far no rows go, and each night would make a new file
            digest.update(mart.name.encode())
            with stream.open("rb") as written:
                digest.update(file_digest(written, sha256).digest())
    except AdbcError as error:
        raise Unproven(
            f"the {group} marts of customer {customer_id} can't be read as its own role "
            f"(SQLSTATE {error.sqlstate}): run `callmart access apply`, and then this again"
        ) from None
    return _Content(rows, digest.hexdigest())


@contextmanager
def _reading(reader: Any, role: str, mart: dbt_project.Mart) -> Iterator[pa.RecordBatchReader]:
    """The rows of a mart as a role sees them, ordered by the key."""
    # Of the key without the customer, whose number is a constant here.
    columns, order = (
        ", ".join(f'"{name}"' for name in names) for names in (mart.columns, mart.key[1:] or mart.key)
    )
    with reader.cursor() as cursor:
        cursor.execute(f'set role "{role}"')
        try:
            cursor.execute(f'select {columns} from mart."{mart.name}" order by {order}')
            yield cursor.fetch_record_batch()
        finally:
            cursor.execute("reset role")


def _write(
    owner: psycopg.Connection, path: Path, customer_id: int, marts: list[dbt_project.Mart], arrow: Path
) -> None:
    """Write the file under another name, check it, then rename it."""
    draft = path.with_suffix(".new.hyper")
    draft.unlink(missing_ok=True)
    try:
        with hyper.written(draft) as file:
            file.catalog.create_schema(hyper.SCHEMA)
            for mart in marts:
                table, stream = (
                    TableName(hyper.SCHEMA, mart.name),
                    escape_string_literal(str(arrow / mart.name)),
                )
                columns = ", ".join(
                    f"{escape_name(column)} {fields.type_of(mart, column).hyper}" for column in mart.columns
                )
                file.execute_command(f"create table {table} ({columns})")
                file.execute_command(f"copy {table} from {stream} with (format => 'arrowstream')")
        draft.chmod(0o600)
        _prove(owner, draft, customer_id, marts)
        draft.replace(path)
    except HyperException as error:
        raise Unproven(
            f"Hyper could not write the extract of customer {customer_id} ({error.context_id!r}): "
            "check whether the disk is full, and run this again"
        ) from None
    finally:
        draft.unlink(missing_ok=True)


# -- the proof -------------------------------------------------------------------------------------------------------


def _prove(owner: psycopg.Connection, path: Path, customer_id: int, marts: list[dbt_project.Mart]) -> None:
    """Open the file again and check it: it has rows of this customer only, as many as `open` recorded, the same sums as
    the marts, and the last open day. Raises Unproven if not.
    """
    opened: dict[str, int] = dict(
        owner.execute(
            """
            select mart, sum(row_count)::bigint from ops.opened_day
            where customer_id = %s and (call_date >= access.retention_floor() or not isfinite(call_date))
            group by mart
            """,
            [customer_id],
        ).fetchall()
    )
    with hyper.opened(path) as file:
        for mart in marts:
            if mart is THROUGH:
                continue
            summed = [column for column in mart.additive if fields.type_of(mart, column).tableau == "integer"]
            sums = ", ".join(["count(*)", *(f'sum("{column}")' for column in summed)])
            own, rows, *totals = file.execute_list_query(
                f"select count(case when customer_id = {customer_id} then 1 end), {sums}"
                f" from {TableName(hyper.SCHEMA, mart.name)}"
            )[0]
            if own != rows:
                raise Unproven(
                    f"the extract of customer {customer_id} had rows of another customer in {mart.name}: "
                    "it was deleted; run `callmart audit` before anything else"
                )
            wrong = None
            if rows != opened.get(mart.name, 0):
                wrong = f"has {rows} rows of {mart.name} where {opened.get(mart.name, 0)} were opened"
            elif [rows, *totals] != _totals(owner, customer_id, mart, sums):
                wrong = f"does not have the same sums as mart.{mart.name}"
            if wrong:
                raise _broken(customer_id, wrong)
        through = owner.execute(SQL["through"], {"customer": customer_id}).fetchone() or (None, None)
        day, moment = (
            f"{kind} '{value}'" if value else "null"
            for kind, value in zip(("date", "timestamp"), through, strict=True)
        )
        said = file.execute_list_query(
            f"select customer_id = {customer_id} and through is not distinct from {day}"
            f" and so_far is not distinct from {moment}"
            f" from {TableName(hyper.SCHEMA, THROUGH.name)}"
        )
        if said != [[True]]:
            raise _broken(customer_id, "does not say how far the data goes")


def _broken(customer_id: int, wrong: str) -> Unproven:
    return Unproven(
        f"the extract of customer {customer_id} {wrong}: it was deleted; "
        "run `callmart run` again, and if it stays so read docs/runbook.md"
    )


def _totals(owner: psycopg.Connection, customer_id: int, mart: dbt_project.Mart, sums: str) -> list[Any]:
    """The same sums in the mart's table, read without the customers' policy."""
    kept = f' and "{mart.day}" >= access.retention_floor()' if mart.day else ""
    row = owner.execute(
        f'select {sums} from store."{mart.name}" where customer_id = %s{kept}', [customer_id]
    ).fetchone()
    assert row is not None
    return list(row)
