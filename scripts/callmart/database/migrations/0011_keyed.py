"""Keys what stands as landing keys what comes: calls, events, names that look like telephone numbers, and files.

A batch is a customer's rows of one table; of one month, if the table has months. New keys are computed here, and only
they reach the server.
"""

from typing import Any, NamedTuple

import psycopg
from psycopg import sql

from callmart.base import keys, telephone
from callmart.base.settings import Settings

KINDS = {"event_key": "event", "call_key": "call"}
NAMES = ("queue", "line", "target")

# The tables and months that have such columns. Names come quoted from the catalogue.
TABLES = """
select
    format('%%I.%%I', nspname, relname),
    array_agg(attname::text),
    (select m.mart_group from access.mart as m where m.relation = coalesce(inhparent, c.oid)),
    (select p.relname::text from pg_class as p where p.oid = coalesce(inhparent, c.oid))
from pg_class as c
inner join pg_namespace as n on n.oid = relnamespace
inner join pg_attribute on attrelid = c.oid and attname = any(%s) and not attisdropped
left join pg_inherits on inhrelid = c.oid
where relkind = 'r' and nspname in ('raw', 'registry', 'store') and relname !~ '^incoming'
group by c.oid, nspname, relname, inhparent
"""
CUSTOMERS = """
select customer_id, key_fingerprint from registry.customer where key_fingerprint is not null order by 1
"""

# Two names can be one number. Their rows in a mart go, and the days are computed again.
FORGET = """
with gone as (
    delete from {table} where customer_id = %(customer)s and {column} = any(%(names)s) returning call_date
),

days as (
    select call_date, count(*) as gone from gone group by call_date
),

counted as (
    update ops.opened_day as o
    set row_count = o.row_count - days.gone
    from days
    where o.customer_id = %(customer)s and o.mart = %(mart)s and o.call_date = days.call_date
)

insert into ops.dirty_day (customer_id, call_date, cause)
select %(customer)s, call_date, 'keyed' from days
on conflict (customer_id, call_date) do update set mark = nextval('ops.mark'), cause = excluded.cause
"""


class Table(NamedTuple):
    """A table or a month with something to key. `group` is null if it is no mart."""

    name: str
    columns: list[str]
    group: str | None
    mart: str


def check(connection: psycopg.Connection, settings: Settings) -> None:
    """Raise UserError if the key of a customer is missing."""
    if connection.execute("select to_regclass('registry.customer')").fetchone() != (None,):
        for customer, fingerprint in connection.execute(CUSTOMERS).fetchall():
            keys.known_key(settings.home, customer, fingerprint)


def step(connection: psycopg.Connection, settings: Settings, place: Any) -> list[int | str] | None:
    """Key all files, or the next table of a customer."""
    if place is None:
        _key_files(connection, settings)
        return [0, ""]
    found = connection.execute(TABLES, [[*KINDS, *NAMES]]).fetchall()
    tables = sorted(Table(*table) for table in found)
    for customer, fingerprint in connection.execute(CUSTOMERS).fetchall():
        for table in tables:
            if [customer, table.name] > place:
                _key_table(connection, keys.known_key(settings.home, customer, fingerprint), customer, table)
                return [customer, table.name]
    return None


def _key_files(connection: psycopg.Connection, settings: Settings) -> None:
    """Key the names and contents of files. What was computed and not opened is discarded: its days are still dirty."""
    key = keys.ensure_key(settings.home, keys.INSTALLATION, None)
    connection.execute(
        "insert into ops.installation (key_fingerprint) values (%s)", [keys.fingerprint_of(key)]
    )
    files = connection.execute("select file_id, name, sha256 from raw.file").fetchall()
    with connection.cursor() as cursor:
        cursor.executemany(
            "update raw.file set name = %s, sha256 = %s where file_id = %s",
            [
                (keys.keyed(key, "file", name), keys.keyed(key, "content", content), file)
                for file, name, content in files
            ],
        )
    _vacuum(connection, "raw.file")
    connection.execute("update ops.build set tables = '{}' where opened_at is null")


def _key_table(connection: psycopg.Connection, key: bytes, customer: int, table: Table) -> None:
    """Key a customer's rows of a table. The registry keeps its names, and gets their keys beside them."""
    connection.execute(
        "create temporary table new_number (old bigint, kind text, new bigint, primary key (old, kind))"
    )
    connection.execute("create temporary table new_name (old text primary key, new text)")
    for column in table.columns:
        if column in KINDS:
            _number(connection, key, customer, table, column)
        else:
            _name(connection, key, customer, table, column)
    if connection.execute(
        "select exists (select from new_number), exists (select from new_name)"
    ).fetchone() != (
        False,
        False,
    ):
        _rewrite(connection, customer, table)
    connection.execute("drop table new_number, new_name")


def _number(connection: psycopg.Connection, key: bytes, customer: int, table: Table, column: str) -> None:
    """Compute the keys of calls or events."""
    prefix = keys.prefix_of(key, KINDS[column])
    found = _values(connection, customer, table, column)
    with connection.cursor() as cursor, cursor.copy("copy new_number (old, kind, new) from stdin") as copy:
        for number in found:
            copy.write_row((number, column, keys.keyed_number(prefix, number)))


def _name(connection: psycopg.Connection, key: bytes, customer: int, table: Table, column: str) -> None:
    """Compute the keys of names. A mart shows them as labels, unless they are the customer's own."""
    new = telephone.keys_of_names(key, _values(connection, customer, table, column))
    if table.group:
        own = {
            name
            for (name,) in connection.execute(
                "select queue from registry.queue where customer_id = %s", [customer]
            )
        }
        new = {name: telephone.label(key) for name, key in new.items() if name not in own}
        if len(set(new.values())) < len(new):
            forget = sql.SQL(FORGET).format(table=sql.SQL(table.name), column=sql.Identifier(column))
            connection.execute(forget, {"customer": customer, "names": list(new), "mart": table.mart})
    with connection.cursor() as cursor:
        cursor.executemany("insert into new_name values (%s, %s) on conflict do nothing", list(new.items()))


def _values(connection: psycopg.Connection, customer: int, table: Table, column: str) -> list[Any]:
    query = sql.SQL("select distinct {} from {} where customer_id = %s and {} is not null").format(
        sql.Identifier(column), sql.SQL(table.name), sql.Identifier(column)
    )
    return [value for (value,) in connection.execute(query, [customer])]


def _rewrite(connection: psycopg.Connection, customer: int, table: Table) -> None:
    """Write the new keys. The extracts that have the old ones are made again, and the old rows leave the files."""
    changes = []
    for column in table.columns:
        if column in KINDS:
            new = "{0} = (select n.new from new_number as n where n.old = t.{0} and n.kind = {1})"
        elif table.name == "registry.queue":
            new = "queue_key = (select n.new from new_name as n where n.old = t.queue)"
        else:
            new = "{0} = coalesce((select n.new from new_name as n where n.old = t.{0}), t.{0})"
        changes.append(sql.SQL(new).format(sql.Identifier(column), sql.Literal(column)))
    connection.execute(
        sql.SQL("update {} as t set {} where customer_id = %s").format(
            sql.SQL(table.name), sql.SQL(", ").join(changes)
        ),
        [customer],
    )
    connection.execute(
        "update ops.extract set basis = '{}' where customer_id = %s and mart_group = %s",
        [customer, table.group],
    )
    _vacuum(connection, table.name)


def _vacuum(connection: psycopg.Connection, table: str) -> None:
    """Note that nothing of the former rows may be left in the table's free space."""
    connection.execute(
        "insert into ops.to_vacuum (relation, is_whole) values (%s::regclass::text, true)"
        " on conflict (relation) do update set is_whole = true",
        [table],
    )
