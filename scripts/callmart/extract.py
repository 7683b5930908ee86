"""Extract: one .hyper a customer and mart group, read as the customer's own role and proved before it may leave."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pantab
import psycopg
import pyarrow as pa
import pyarrow.csv
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import dbapi
from psycopg.types.json import Jsonb

from callmart import dbt, logins, roles
from callmart.errors import UserError
from callmart.settings import Settings

SCHEMA = "Extract"  # what Tableau looks for
HYPER = {"default_database_version": "2"}  # pantab keeps no log unless log_config is named


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


def extract(
    connection: psycopg.Connection, settings: Settings, on_customer: Callable[[int, int, int], None]
) -> list[Extract | Unproven]:
    """Write the files of all customers whose rows changed; remove those that no contract orders. Commits.

    A customer whose connection is live has none. One customer's failure is returned in its place and leaves the
    others alone.
    """
    marts = dbt.marts(settings)
    ordered = connection.execute(
        """
        select customer_id, option
        from registry.current_option
        join registry.customer using (customer_id)
        where connection = 'extract'
        order by 1
        """
    ).fetchall()
    _remove_unordered(connection, settings, ordered)
    found: list[Extract | Unproven] = []
    with dbapi.connect(logins.duty_uri(settings, "publisher"), autocommit=True) as reader:
        for number, (customer_id, option) in enumerate(ordered):
            for group in roles.opens(option):
                of_group = [mart for mart in marts if mart.group == group]
                if of_group:
                    try:
                        found.append(_extract(connection, reader, settings, customer_id, group, of_group))
                    except Unproven as failure:
                        connection.rollback()
                        found.append(failure)
                    connection.commit()
            on_customer(customer_id, number + 1, len(ordered))
    return found


def folder(settings: Settings) -> Path:
    """Where the files stand: a folder a customer."""
    return settings.home / "extracts"


def _extract(
    connection: psycopg.Connection,
    reader: Any,
    settings: Settings,
    customer_id: int,
    group: str,
    marts: list[dbt.Mart],
) -> Extract:
    path = folder(settings) / str(customer_id) / f"{group}.hyper"
    basis = _basis(connection, customer_id, marts)
    kept = connection.execute(
        "select content_hash, row_count, basis from ops.extract where customer_id = %s and mart_group = %s",
        [customer_id, group],
    ).fetchone()
    if kept is not None and path.exists() and kept[2] == basis:
        return Extract(customer_id, group, path, kept[1], kept[0], False)

    try:
        tables = _read(reader, roles.customer_role(connection.info.dbname, customer_id), marts)
    except AdbcError as error:
        raise Unproven(
            f"the {group} marts of customer {customer_id} can't be read as its own role "
            f"(SQLSTATE {error.sqlstate}): run `callmart access apply`, and then this again"
        ) from None
    rows = sum(table.num_rows for table in tables.values())
    content_hash = _content_hash(tables)
    written = kept is None or kept[0] != content_hash or not path.exists()
    if written:
        _write(connection, path, customer_id, tables)
    connection.execute(
        """
        insert into ops.extract (customer_id, mart_group, path, content_hash, row_count, basis)
        values (%s, %s, %s, %s, %s, %s)
        on conflict (customer_id, mart_group) do update set
            path = excluded.path, content_hash = excluded.content_hash, row_count = excluded.row_count,
            basis = excluded.basis, written_at = excluded.written_at
        """,
        [customer_id, group, str(path), content_hash, rows, Jsonb(basis)],
    )
    return Extract(customer_id, group, path, rows, content_hash, written)


def _basis(connection: psycopg.Connection, customer_id: int, marts: list[dbt.Mart]) -> dict[str, Any]:
    """All that the rows follow from: what was opened, the registry, the columns, and the oldest day still kept."""
    opened, version, oldest = connection.execute(
        """
        select
            (select max(build_id) from ops.opened_day where customer_id = %(customer)s),
            (select max(version) from registry.version),
            (
                select min(call_date)::text from ops.opened_day
                where customer_id = %(customer)s and call_date >= access.retention_floor()
            )
        """,
        {"customer": customer_id},
    ).fetchall()[0]
    columns = {mart.name: list(mart.columns) for mart in marts}
    return {"opened": opened, "registry": version, "oldest": oldest, "columns": columns}


def _read(reader: Any, role: str, marts: list[dbt.Mart]) -> dict[str, pa.Table]:
    """The rows of each mart as the customer itself sees them, in the order of their key."""
    tables = {}
    with reader.cursor() as cursor:
        cursor.execute(f'set role "{role}"')
        try:
            for mart in marts:
                columns = ", ".join(f'"{column}"' for column in mart.columns)
                key = ", ".join(f'"{column}"' for column in mart.key)
                cursor.execute(f'select {columns} from mart."{mart.name}" order by {key}')
                tables[mart.name] = cursor.fetch_arrow_table()
        finally:
            cursor.execute("reset role")
    return tables


def _content_hash(tables: dict[str, pa.Table]) -> str:
    """Tells two contents apart; two files of the same rows differ in their bytes."""
    digest = sha256()
    for name, table in sorted(tables.items()):
        digest.update(name.encode())
        sink = pa.BufferOutputStream()
        pyarrow.csv.write_csv(table, sink)
        digest.update(sink.getvalue())
    return digest.hexdigest()


def _write(connection: psycopg.Connection, path: Path, customer_id: int, tables: dict[str, pa.Table]) -> None:
    """Write the file beside its place, prove it, then put it there."""
    for private in (path.parent.parent, path.parent):  # the mode is the last folder's alone
        private.mkdir(exist_ok=True, mode=0o700)
    draft = path.with_suffix(".new.hyper")
    draft.unlink(missing_ok=True)
    try:
        pantab.frames_to_hyper(
            {(SCHEMA, name): table for name, table in tables.items()}, draft, process_params=HYPER
        )
        draft.chmod(0o600)
        _prove(connection, draft, customer_id, list(tables))
    except Unproven:
        draft.unlink()
        raise
    draft.replace(path)


def _prove(connection: psycopg.Connection, path: Path, customer_id: int, marts: list[str]) -> None:
    """The file, opened again, holds this customer alone and as many rows as `open` recorded."""
    # One query: each starts a hyperd of its own.
    held = pantab.frame_from_hyper_query(
        path,
        " union all ".join(
            f"select '{mart}' as mart, count(*) as rows,"
            f" coalesce(sum(case when customer_id = {customer_id} then 1 end), 0) as own"
            f' from "{SCHEMA}"."{mart}"'
            for mart in marts
        ),
        return_type="pyarrow",
        process_params=HYPER,
    ).to_pylist()
    opened: dict[str, int] = dict(
        connection.execute(
            """
            select mart, sum(row_count)::bigint from ops.opened_day
            where customer_id = %s and (call_date >= access.retention_floor() or not isfinite(call_date))
            group by mart
            """,
            [customer_id],
        ).fetchall()
    )
    for mart, rows, own in ((one["mart"], one["rows"], one["own"]) for one in held):
        if own != rows:
            raise Unproven(
                f"the extract of customer {customer_id} held rows of another customer in {mart}: it was deleted; "
                "run `callmart audit` before anything else"
            )
        if rows != opened.get(mart, 0):
            raise Unproven(
                f"the extract of customer {customer_id} holds {rows} rows of {mart} where {opened.get(mart, 0)} were "
                "opened: it was deleted; run `callmart run` again, and if it stays so read docs/runbook.md"
            )


def _remove_unordered(
    connection: psycopg.Connection, settings: Settings, ordered: list[tuple[int, str]]
) -> None:
    """What no contract orders any more goes, from the disk and from the books."""
    wanted = {(customer_id, group) for customer_id, option in ordered for group in roles.opens(option)}
    files = {folder(settings) / str(customer_id) / f"{group}.hyper" for customer_id, group in wanted}
    for path in folder(settings).rglob("*"):
        if path.is_file() and path not in files:  # also what a publication left that was killed
            path.unlink()
    for customer_id, group in connection.execute(
        "select customer_id, mart_group from ops.extract"
    ).fetchall():
        if (customer_id, group) not in wanted:
            connection.execute(
                "delete from ops.extract where customer_id = %s and mart_group = %s", [customer_id, group]
            )
    connection.commit()
