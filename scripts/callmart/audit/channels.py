"""The audit's matrix: every customer and every mart, looked at through every channel by which its rows get out.

What a customer should see is found by the owner, by an explicit filter on customer, contract and floor; each channel
is then asked what it shows. Compared are the number of rows and a checksum; neither is ever reported.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import psycopg
from psycopg import sql
from tableauhyperapi import HyperException

from callmart.access import logins, roles
from callmart.audit.attempts import Attacker, Scene, name_of, table_of
from callmart.base import sql_file
from callmart.base.settings import Settings
from callmart.declarations.dbt_project import Mart
from callmart.extract import extract
from callmart.tableau_files import hyper

SQL = sql_file.statements(__file__)

Channel = Literal["login", "publisher", "file", "Tableau"]
CHANNELS: tuple[Channel, ...] = ("login", "publisher", "file", "Tableau")

Outcome = Literal["own rows only", "no rows", "closed", "DIFFERS", "OPEN", "MISSING"]
GOOD: tuple[Outcome, ...] = ("own rows only", "no rows", "closed")

# The same text of a row whoever asks, and the permission to make temporary things, where there is one.
SESSION = "-c default_transaction_read_only=off -c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres"


@dataclass(frozen=True)
class Cell:
    """What one channel shows one customer of one mart."""

    customer_id: int
    option: str
    mart: str
    channel: Channel
    outcome: Outcome


class Rows(NamedTuple):
    """How many rows, and a checksum of them; never shown."""

    rows: int
    checksum: int


@dataclass(frozen=True)
class Board:
    """What the cells are compared with."""

    customers: dict[int, str]  # all of the registry, with the option of today or none
    marts: tuple[Mart, ...]
    rows: dict[tuple[int, str], Rows]  # what a customer should see of a mart that its contract opens
    opened: dict[tuple[int, str], int]  # what was opened of it, by the books
    floor: str
    live: frozenset[int]  # the customers whose data sources on Tableau read the database itself

    def opens(self, customer_id: int, mart: Mart) -> bool:
        """Whether a customer's contract opens a mart today."""
        option = self.customers[customer_id]
        return option != "none" and mart.group in roles.opens(option)

    def cell(self, customer_id: int, mart: Mart, channel: Channel, outcome: Outcome) -> Cell:
        """The cell of a customer, a mart and a channel."""
        return Cell(customer_id, self.customers[customer_id], mart.name, channel, outcome)


def log_in(settings: Settings, role: str) -> psycopg.Connection:
    """A session of a login, with its own password, that may try to write."""
    return psycopg.connect(
        logins.login_uri(settings, role),
        options=SESSION,
        autocommit=True,
        prepare_threshold=None,
        application_name="callmart audit",
    )


def log_in_as(settings: Settings, attacker: Attacker) -> psycopg.Connection:
    """An attacker's session: by its own login, or as the publisher who has become it."""
    session = log_in(settings, attacker.login)
    if attacker.login != attacker.role:
        session.execute(sql.SQL("set role {}").format(sql.Identifier(attacker.role)))
    return session


def board(connection: psycopg.Connection, scene: Scene) -> Board:
    """What every customer should see, by explicit filters. In the caller's transaction."""
    connection.execute(
        "set local timezone = 'UTC'; set local datestyle = 'ISO'; set local intervalstyle = 'postgres'"
    )
    customers: dict[int, str] = dict(
        connection.execute(
            "select customer_id, coalesce(option, 'none') from registry.customer"
            " left join registry.current_option using (customer_id) order by 1"
        ).fetchall()
    )
    marts = tuple(mart for mart in scene.marts if mart.group != "usage")
    options = {option: roles.opens(option) for option in set(customers.values()) - {"none"}}
    rows = {}
    for mart in marts:
        opening = [option for option, groups in options.items() if mart.group in groups]
        for customer, option in customers.items():
            if option in opening:
                rows[customer, mart.name] = _own_rows(connection, mart, customer, scene.floor)
    opened = connection.execute(
        """
        select customer_id, mart, sum(row_count)::bigint from ops.opened_day
        where call_date >= %s or not isfinite(call_date)
        group by 1, 2
        """,
        [scene.floor],
    ).fetchall()
    live = connection.execute(
        "select customer_id from registry.customer where connection = 'live'"
    ).fetchall()
    return Board(
        customers, marts, rows, {(who, mart): count for who, mart, count in opened}, scene.floor,
        frozenset(customer for (customer,) in live),
    )  # fmt: skip


def _own_rows(connection: psycopg.Connection, mart: Mart, customer: int, floor: str) -> Rows:
    """What the owner finds of a customer on days that are kept, under a contract that opens the mart's group."""
    where = sql.SQL("customer_id = {}").format(customer)
    if mart.day:
        opening = [option for option in ("standard", "detailed") if mart.group in roles.opens(option)]
        day = sql.Identifier(mart.day)
        kept = sql.SQL(SQL["kept"]).format(customer=customer, options=opening, day=day)
        where += sql.SQL(" and m.{} >= {} and exists ({})").format(day, floor, kept)
    return _rows(connection, table_of(mart), where)


def _rows(connection: psycopg.Connection, relation: str, where: sql.Composable) -> Rows:
    query = sql.SQL(
        "select count(*), coalesce(sum(hashtextextended(m::text, 0)::numeric), 0)::text from {} as m where {}"
    ).format(sql.Identifier(*relation.split(".")), where)
    count, checksum = connection.execute(query).fetchall()[0]
    return Rows(count, int(checksum))


# -- the server ------------------------------------------------------------------------------------------------------


def login_cells(scene: Scene, board: Board, session: psycopg.Connection, customer: int) -> Iterator[Cell]:
    """What a customer's own login shows."""
    for mart in board.marts:
        yield board.cell(customer, mart, "login", _shown(session, board, customer, mart))


def publisher_cells(
    scene: Scene, board: Board, publisher: psycopg.Connection, customer: int
) -> Iterator[Cell]:
    """What the publisher sees when it has become a customer."""
    publisher.execute(
        sql.SQL("set role {}").format(sql.Identifier(roles.customer_role(scene.database, customer)))
    )
    for mart in board.marts:
        yield board.cell(customer, mart, "publisher", _shown(publisher, board, customer, mart))
    publisher.execute("reset role")


def without_login(scene: Scene, board: Board, customer: int) -> Iterator[Cell]:
    """The role of a customer that has ordered no login must not log in."""
    outcome: Outcome = "OPEN" if roles.customer_role(scene.database, customer) in scene.logins else "closed"
    for mart in board.marts:
        yield board.cell(customer, mart, "login", outcome)


def without_role(scene: Scene, board: Board, customer: int) -> Iterator[Cell]:
    """A customer without a contract must not have a role at all."""
    outcome: Outcome = "OPEN" if roles.customer_role(scene.database, customer) in scene.roles else "closed"
    for channel in ("login", "publisher"):
        for mart in board.marts:
            yield board.cell(customer, mart, channel, outcome)


def _shown(session: psycopg.Connection, board: Board, customer: int, mart: Mart) -> Outcome:
    try:
        rows = _rows(session, name_of(mart), sql.SQL("true"))
    except psycopg.errors.InsufficientPrivilege:
        return "MISSING" if board.opens(customer, mart) else "closed"
    if not board.opens(customer, mart):
        return "OPEN"
    if rows != board.rows[customer, mart.name]:
        return "DIFFERS"
    return "own rows only" if rows.rows else "no rows"


# -- files -----------------------------------------------------------------------------------------------------------


def file_cells(settings: Settings, board: Board, customer: int) -> Iterator[Cell]:
    """What the files on disk hold of each mart: an extract a group, opened again; where they are not kept, one may be
    gone.
    """
    folder = extract.folder(settings) / str(customer)
    files = {file.stem: file for file in folder.glob("*.hyper")}
    gone: Outcome = "MISSING" if settings.tableau.keeps_extracts else "closed"
    yield from held_cells(board, "file", files, customer, gone)


def held_cells(
    board: Board, channel: Channel, files: dict[str, Path], customer: int, gone: Outcome = "MISSING"
) -> Iterator[Cell]:
    """What the .hyper files of a customer, by group, hold of each mart, against what the customer should have."""
    held = {group: _held(board, file, customer, group) for group, file in files.items()}
    for mart in board.marts:
        ordered = board.opens(customer, mart) and customer not in board.live
        rows = held.get(mart.group, {}).get(mart.name)
        outcome: Outcome
        if mart.group not in files:
            outcome = gone if ordered else "closed"
        elif not ordered:
            outcome = "OPEN"
        elif rows is None or rows != board.opened.get((customer, mart.name), 0):
            outcome = "DIFFERS"
        else:
            outcome = "own rows only" if rows else "no rows"
        yield board.cell(customer, mart, channel, outcome)


def _held(board: Board, file: Path, customer: int, group: str) -> dict[str, int]:
    """How many rows a file holds of each mart of its group; a mart with a row of another customer, or of a day that is
    too old, is left out, and all are where the file has not just these tables.
    """
    marts = [mart for mart in board.marts if mart.group == group]
    counts = {}
    try:
        with hyper.opened(file) as held:
            tables = held.execute_list_query("select tablename from pg_catalog.pg_tables")
            if sorted(name for (name,) in tables) != sorted(mart.name for mart in marts):
                return {}
            for mart in marts:
                kept = f"and \"{mart.day}\" >= date '{board.floor}'" if mart.day else ""
                (counts[mart.name],) = held.execute_list_query(
                    f"select count(*), count(case when customer_id = {customer} {kept} then 1 end)"
                    f' from "{hyper.SCHEMA}"."{mart.name}"'
                )
    except HyperException:
        return {}
    return {name: rows for name, (rows, good) in counts.items() if rows == good}


def stray_files(settings: Settings, board: Board) -> tuple[int, list[str]]:
    """How many files stand among the extracts, and those that no contract orders."""
    wanted = {
        extract.place(settings, customer, mart.group)
        for customer in board.customers
        for mart in board.marts
        if board.opens(customer, mart) and customer not in board.live
    }
    found = [file for file in extract.folder(settings).rglob("*") if not file.is_dir()]
    return len(found), [str(file.relative_to(settings.home)) for file in sorted(set(found) - wanted)]
