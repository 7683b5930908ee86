"""Extract: one .hyper a customer and mart group, read as the customer's own role and proved before it may leave."""

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
from callmart.database import server
from callmart.declarations import dbt_project
from callmart.tableau_files import fields, hyper

SQL = sql_file.statements(__file__)

WORKERS = 2  # PostgreSQL reads one customer's rows while Hyper writes another's


@dataclass(frozen=True)
class Extract:
    """A customer's file of a mart group."""

    customer_id: int
    group: str
    path: Path
    rows: int
    content_hash: str
    written: bool  # false: what it would hold is what it held


class Unproven(UserError):
    """A file that does not hold what it should, or could not be made; the one before it stays."""


class _Order(NamedTuple):
    """A file that a contract orders, and all that its rows follow from."""

    customer_id: int
    group: str
    marts: list[dbt_project.Mart]
    basis: dict[str, Any]


class _Kept(NamedTuple):
    """What the books say of a file."""

    content_hash: str
    rows: int
    basis: dict[str, Any]


class _Content(NamedTuple):
    """How much was read, and its hash."""

    rows: int
    content_hash: str


class _Session(NamedTuple):
    """The owner, who keeps the books and knows what a file must add up to, and the publisher, who reads for it."""

    owner: psycopg.Connection
    reader: Any


def extract(
    connection: psycopg.Connection, settings: Settings, on_file: Callable[[int, int, int], None]
) -> list[Extract | Unproven]:
    """Write the files of all customers whose rows changed; remove those that no contract orders. Commits.

    A customer whose connection is live has none. Where files are not kept, one that is gone was published, and is
    written when its rows are others. A failure is returned in a file's place and leaves the others alone.
    `on_file(customer, finished, of)` is told of each.
    """
    orders = _orders(connection, settings)
    _remove_unordered(connection, settings, {(order.customer_id, order.group) for order in orders})
    kept = _kept(connection)
    connection.commit()
    found: list[Extract | Unproven] = []
    with _sessions(settings) as session, ThreadPoolExecutor(WORKERS) as pool:

        def make(order: _Order) -> Extract | Unproven:
            path, before = place(settings, order.customer_id, order.group), kept.get(order[:2])
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
            except UserError as error:  # no session is to be had, for anybody
                return Unproven(str(error))
            except Exception as error:  # of this customer; a session in which it happened is used no more
                return Unproven(
                    f"the {order.group} extract of customer {order.customer_id} was not made ({kind(error)}): "
                    "run this again"
                )

        for order, made in zip(orders, pool.map(make, orders), strict=True):
            found.append(made)
            on_file(order.customer_id, len(found), len(orders))
    return found


def restore(
    settings: Settings, customer_id: int, group: str, marts: list[dbt_project.Mart], content_hash: str
) -> None:
    """Write a file again that is gone, with the rows of that hash. Unproven where they are others now."""
    path = place(settings, customer_id, group)
    with _sessions(settings) as session, session() as own, _beside(path) as arrow:
        if _read(own, customer_id, group, marts, arrow).content_hash != content_hash:
            raise Unproven(
                f"the {group} marts of customer {customer_id} have changed since they were extracted: "
                "run `callmart extract`, and then this again"
            )
        _write(own.owner, path, customer_id, marts, arrow)


def folder(settings: Settings) -> Path:
    """Where the files stand: a folder a customer."""
    return settings.home / "extracts"


def place(settings: Settings, customer_id: int, group: str) -> Path:
    """Where a customer's file of a group stands, if it does."""
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
            of_group,
            {
                "opened": build_id,
                "registry": version and version[0],
                "oldest": oldest,  # a day that grows too old takes its rows with it
                "columns": {mart.name: list(mart.columns) for mart in of_group},
            },
        )
        for customer_id, option, build_id, oldest in ordered
        for group in roles.opens(option)
        if (of_group := [mart for mart in marts if mart.group == group])
    ]


def _remove_unordered(
    connection: psycopg.Connection, settings: Settings, wanted: set[tuple[int, str]]
) -> None:
    """What no contract orders any more goes, from the disk and from the books."""
    files = {place(settings, customer_id, group) for customer_id, group in wanted}
    for path in folder(settings).rglob("*"):
        if path.is_file() and path not in files:  # also what a publication left that was killed
            path.unlink()
    for customer_id, group in _kept(connection).keys() - wanted:
        connection.execute(
            "delete from ops.extract where customer_id = %s and mart_group = %s", [customer_id, group]
        )


def _kept(connection: psycopg.Connection) -> dict[tuple[int, str], _Kept]:
    return {
        (customer_id, group): _Kept(*books)
        for customer_id, group, *books in connection.execute(
            "select customer_id, mart_group, content_hash, row_count, basis from ops.extract"
        )
    }


# -- making a file ---------------------------------------------------------------------------------------------------


@contextmanager
def _sessions(settings: Settings) -> Iterator[Callable[[], AbstractContextManager[_Session]]]:
    """Lends sessions: to each that works at the same time its own, opened when it is first needed."""
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
        return dbapi.connect(logins.duty_uri(settings, "publisher"), autocommit=True)
    except AdbcError as error:
        raise UserError(logins.refusal("publisher", error)) from None


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """A folder for the rows on their way into a file, as private as the file."""
    for private in (path.parent.parent, path.parent):  # the mode is the last folder's alone
        private.mkdir(exist_ok=True, mode=0o700)
    with TemporaryDirectory(dir=path.parent, prefix=".arrow-") as folder:
        yield Path(folder)


def _make(session: _Session, path: Path, order: _Order, before: _Kept | None) -> Extract:
    """The file with the rows of now, written where they are not those of before, and noted in the books."""
    customer_id, group, marts, basis = order
    with _beside(path) as arrow:
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
    """Put the rows of each mart into a stream of Arrow, as the customer sees them.

    The hash tells two contents apart; two .hyper files of the same rows differ in their bytes.
    """
    role = roles.customer_role(session.owner.info.dbname, customer_id)
    rows, digest = 0, sha256()
    try:
        for mart in sorted(marts, key=lambda mart: mart.name):
            stream = arrow / mart.name
            with (
                _reading(session.reader, role, mart) as reader,
                pa.OSFile(str(stream), "wb") as file,
                pa.ipc.new_stream(file, reader.schema) as writer,
            ):
                for batch in reader:
                    # Put together from two it is copied: where the driver left bits unused, they are anything.
                    writer.write_batch(pa.concat_batches([batch, batch.slice(0, 0)]))
                    rows += batch.num_rows
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
    """The rows of a mart as a role sees them, in the order of their key."""
    columns, key = (", ".join(f'"{name}"' for name in names) for names in (mart.columns, mart.key))
    with reader.cursor() as cursor:
        cursor.execute(f'set role "{role}"')
        try:
            cursor.execute(f'select {columns} from mart."{mart.name}" order by {key}')
            yield cursor.fetch_record_batch()
        finally:
            cursor.execute("reset role")


def _write(
    owner: psycopg.Connection, path: Path, customer_id: int, marts: list[dbt_project.Mart], arrow: Path
) -> None:
    """Write the file beside its place, prove it, then put it there."""
    draft = path.with_suffix(".new.hyper")
    draft.unlink(missing_ok=True)
    try:
        with hyper.opened(draft, new=True) as file:
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
            "look whether the disk is full, and run this again"
        ) from None
    finally:
        draft.unlink(missing_ok=True)


# -- the proof -------------------------------------------------------------------------------------------------------


def _prove(owner: psycopg.Connection, path: Path, customer_id: int, marts: list[dbt_project.Mart]) -> None:
    """The file, opened again, holds this customer alone, as many rows as `open` recorded, and the sums of the marts."""
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
            summed = [column for column in mart.additive if fields.type_of(mart, column).tableau == "integer"]
            sums = ", ".join(["count(*)", *(f'sum("{column}")' for column in summed)])
            own, rows, *totals = file.execute_list_query(
                f"select count(case when customer_id = {customer_id} then 1 end), {sums}"
                f" from {TableName(hyper.SCHEMA, mart.name)}"
            )[0]
            if own != rows:
                raise Unproven(
                    f"the extract of customer {customer_id} held rows of another customer in {mart.name}: "
                    "it was deleted; run `callmart audit` before anything else"
                )
            wrong = None
            if rows != opened.get(mart.name, 0):
                wrong = f"holds {rows} rows of {mart.name} where {opened.get(mart.name, 0)} were opened"
            elif [rows, *totals] != _totals(owner, customer_id, mart, sums):
                wrong = f"does not add up to what stands in mart.{mart.name}"
            if wrong:
                raise Unproven(
                    f"the extract of customer {customer_id} {wrong}: it was deleted; "
                    "run `callmart run` again, and if it stays so read docs/runbook.md"
                )


def _totals(owner: psycopg.Connection, customer_id: int, mart: dbt_project.Mart, sums: str) -> list[Any]:
    """The same sums in the mart, found without a policy."""
    kept = f' and "{mart.day}" >= access.retention_floor()' if mart.day else ""
    row = owner.execute(
        f'select {sums} from store."{mart.name}" where customer_id = %s{kept}', [customer_id]
    ).fetchone()
    assert row is not None
    return list(row)
