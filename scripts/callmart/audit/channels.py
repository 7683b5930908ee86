"""The audit's matrix: every customer and mart through every channel: login, publisher, file, Tableau.

The owner finds the rows that a customer should see, with an explicit filter on customer, contract and floor. They are
compared with what each channel shows, by the number of rows and a checksum. Neither of these is reported.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import psycopg
from psycopg import sql
from tableauhyperapi import HyperException

from callmart.access import logins, roles
from callmart.audit.scene import Attacker, Scene
from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.matrix import OPTIONS, USAGE, matrix
from callmart.base.settings import Settings
from callmart.declarations import data_through
from callmart.declarations.data_through import THROUGH
from callmart.declarations.mart import Mart
from callmart.extract import extract
from callmart.tableau_files import hyper

SQL = sql_file.statements(__file__)

Channel = Literal["login", "publisher", "file", "Tableau"]
CHANNELS: tuple[Channel, ...] = ("login", "publisher", "file", "Tableau")

Outcome = Literal["own rows only", "no rows", "closed", "DIFFERS", "OPEN", "MISSING"]
GOOD: tuple[Outcome, ...] = ("own rows only", "no rows", "closed")

# What says that somebody has no login, or no role that can be set: that of a contract that begins today is made by the
# next run.
LOCKED_OUT = (
    psycopg.OperationalError, psycopg.errors.InvalidParameterValue, psycopg.errors.InsufficientPrivilege,
)  # fmt: skip

# With these every session prints a row as the same text. A session that may write can try to.
SESSION = "-c default_transaction_read_only=off -c timezone=UTC -c datestyle=ISO -c intervalstyle=postgres"


@dataclass(frozen=True)
class Cell:
    """The outcome for one customer, mart and channel."""

    customer_id: int
    option: str
    mart: str
    channel: Channel
    outcome: Outcome


class Noted(NamedTuple):
    """What the books say of an extract: the hash of its rows, and that of the file that was proved and published."""

    content_hash: str
    file_hash: str | None  # None if the books don't know it


class Rows(NamedTuple):
    """The number of rows and their checksum. Never reported."""

    rows: int
    checksum: int


@dataclass(frozen=True)
class Board:
    """The expectations that cells are compared with."""

    customers: dict[int, str]  # all of the registry, with the option of today or `none`
    marts: tuple[Mart, ...]
    rows: dict[tuple[int, str], Rows]  # by customer and mart that its contract opens, the rows it should see
    opened: dict[tuple[int, str], int]  # likewise, the number of rows that were opened, from the books
    floor: str
    live: frozenset[int]  # the customers with live connections
    groups: dict[int, frozenset[str]]  # by customer with a contract, the mart groups that it opens
    extracts: dict[tuple[int, str], Noted] = field(default_factory=dict)  # by customer and mart group

    def opens(self, customer_id: int, mart: Mart) -> bool:
        """Whether a customer's contract opens a mart today."""
        return mart.group in self.groups.get(customer_id, ())

    def cell(self, customer_id: int, mart: Mart, channel: Channel, outcome: Outcome) -> Cell:
        """Make a cell of the matrix."""
        return Cell(customer_id, self.customers[customer_id], mart.name, channel, outcome)


def log_in(settings: Settings, role: str) -> psycopg.Connection:
    """Connect as a login, with its own password. The session is not read-only, so that it may try to write."""
    return psycopg.connect(
        logins.login_uri(settings, role),
        options=SESSION,
        autocommit=True,
        prepare_threshold=None,
        application_name="callmart audit",
    )


def log_in_as(settings: Settings, attacker: Attacker) -> psycopg.Connection:
    """Connect as an attacker: with its own login, or as the publisher with the attacker's role set. Raises one of
    LOCKED_OUT if it can't.
    """
    session = log_in(settings, attacker.login)
    if attacker.login != attacker.role:
        try:
            session.execute(sql.SQL("set role {}").format(sql.Identifier(attacker.role)))
        except LOCKED_OUT:
            session.close()
            raise
    return session


@contextmanager
def session_of(settings: Settings, attacker: Attacker) -> Iterator[psycopg.Connection | None]:
    """An attacker's session, or None if it can't log in or its role can't be set."""
    try:
        session = log_in_as(settings, attacker)
    except LOCKED_OUT:
        yield None
        return
    with session:
        yield session


def board(connection: psycopg.Connection, scene: Scene) -> Board:
    """Find what every customer should see, with explicit filters, in the caller's transaction."""
    connection.execute(
        "set local timezone = 'UTC'; set local datestyle = 'ISO'; set local intervalstyle = 'postgres'"
    )
    customers: dict[int, str] = dict(
        connection.execute(
            "select customer_id, coalesce(option, 'none') from registry.customer"
            " left join registry.current_option using (customer_id) order by 1"
        ).fetchall()
    )
    marts = tuple(mart for mart in scene.marts if mart.group != USAGE)
    rows = {
        (customer, mart.name): _own_rows(connection, mart, customer, scene.floor)
        for mart in marts
        for customer, groups in scene.opens.items()
        if mart.group in groups
    }
    opened = connection.execute(SQL["opened"], {"floor": scene.floor}).fetchall()
    live = connection.execute(
        "select customer_id from registry.customer where connection = 'live'"
    ).fetchall()
    return Board(
        customers, marts, rows, {(who, mart): count for who, mart, count in opened}, scene.floor,
        frozenset(customer for (customer,) in live), scene.opens,
        {(customer, group): Noted(*noted) for customer, group, *noted in connection.execute(SQL["extracts"])},
    )  # fmt: skip


def _own_rows(connection: psycopg.Connection, mart: Mart, customer: int, floor: str) -> Rows:
    """The rows of a customer on days that are kept, under a contract that opens the mart's group."""
    where = sql.SQL("customer_id = {}").format(customer)
    if mart.day:
        opening = [option for option in OPTIONS if mart.group in roles.opens(option, matrix().ordered)]
        day = sql.Identifier(mart.day)
        kept = sql.SQL(SQL["kept"]).format(customer=customer, options=opening, day=day)
        where += sql.SQL(" and m.{} >= {} and exists ({})").format(day, floor, kept)
    return _rows(connection, mart.table, where)


def _rows(connection: psycopg.Connection, relation: str, where: sql.Composable) -> Rows:
    query = sql.SQL(
        "select count(*), coalesce(sum(hashtextextended(m::text, 0)::numeric), 0)::text from {} as m where {}"
    ).format(sql.Identifier(*relation.split(".")), where)
    count, checksum = connection.execute(query).fetchall()[0]
    return Rows(count, int(checksum))


# -- the server ------------------------------------------------------------------------------------------------------


def login_cells(board: Board, session: psycopg.Connection, customer: int) -> Iterator[Cell]:
    """The outcomes for a customer's own login."""
    for mart in board.marts:
        yield board.cell(customer, mart, "login", _shown(session, board, customer, mart))


def publisher_cells(
    scene: Scene, board: Board, publisher: psycopg.Connection, customer: int
) -> Iterator[Cell]:
    """The outcomes for the publisher with a customer's role set."""
    role = sql.Identifier(roles.customer_role(scene.database, customer))
    try:
        publisher.execute(sql.SQL("set role {}").format(role))
    except LOCKED_OUT:
        yield from locked_out(board, "publisher", customer)
        return
    for mart in board.marts:
        yield board.cell(customer, mart, "publisher", _shown(publisher, board, customer, mart))
    publisher.execute("reset role")


def locked_out(board: Board, channel: Channel, customer: int) -> Iterator[Cell]:
    """The outcomes for a customer whose login or role can't be used: what it should see is missing."""
    for mart in board.marts:
        outcome: Outcome = "MISSING" if board.opens(customer, mart) else "closed"
        yield board.cell(customer, mart, channel, outcome)


def without_login(scene: Scene, board: Board, customer: int) -> Iterator[Cell]:
    """The outcomes for a customer that has ordered no login: its role must not be able to log in."""
    outcome: Outcome = "OPEN" if roles.customer_role(scene.database, customer) in scene.logins else "closed"
    for mart in board.marts:
        yield board.cell(customer, mart, "login", outcome)


def without_role(scene: Scene, board: Board, customer: int) -> Iterator[Cell]:
    """The outcomes for a customer without a contract: it must not have a role."""
    outcome: Outcome = "OPEN" if roles.customer_role(scene.database, customer) in scene.roles else "closed"
    for channel in ("login", "publisher"):
        for mart in board.marts:
            yield board.cell(customer, mart, channel, outcome)


def _shown(session: psycopg.Connection, board: Board, customer: int, mart: Mart) -> Outcome:
    try:
        rows = _rows(session, mart.shown_as, sql.SQL("true"))
    except psycopg.errors.InsufficientPrivilege:
        return "MISSING" if board.opens(customer, mart) else "closed"
    if not board.opens(customer, mart):
        return "OPEN"
    if rows != board.rows[customer, mart.name]:
        return "DIFFERS"
    return "own rows only" if rows.rows else "no rows"


# -- files -----------------------------------------------------------------------------------------------------------


def file_cells(settings: Settings, board: Board, customer: int) -> Iterator[Cell]:
    """The outcomes for a customer's extracts on disk, which are opened again. If extracts are not kept, one may be
    missing.
    """
    folder = extract.folder(settings) / str(customer)
    files = {file.stem: file for file in folder.glob("*.hyper")}
    gone: Outcome = "MISSING" if settings.tableau.keeps_extracts else "closed"
    yield from held_cells(settings, board, "file", files, customer, gone)


def held_cells(
    settings: Settings,
    board: Board,
    channel: Channel,
    files: dict[str, Path],
    customer: int,
    gone: Outcome = "MISSING",
) -> Iterator[Cell]:
    """Compare a customer's .hyper files, given by group, with what the customer should have. `gone` is the outcome for
    a file that should be there and is not.
    """
    held = {
        group: _held(board, file, customer, group) if _is_ours(settings, board, customer, group, file) else {}
        for group, file in files.items()
    }
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


def _is_ours(settings: Settings, board: Board, customer: int, group: str, file: Path) -> bool:
    """Whether a file has what was proved: it is that file, byte for byte, or has exactly the same rows. Tableau may
    write a file anew, and then its rows are compared with the marts.
    """
    noted = board.extracts.get((customer, group))
    if noted is None:
        return False
    if noted.file_hash is not None and extract.file_hash(file) == noted.file_hash:
        return True
    marts = data_through.tables(board.marts, group)
    try:
        return extract.holds(settings, customer, group, marts, noted.content_hash, file)
    except (UserError, HyperException):
        return False


def _held(board: Board, file: Path, customer: int, group: str) -> dict[str, int]:
    """The number of rows in a file, by mart of its group. A mart is left out if it has a row of another customer or of
    a day that is too old. All are left out if the file has other tables than these, or says of another customer how far
    its data goes.
    """
    marts = data_through.tables(board.marts, group)
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
    if counts.pop(THROUGH.name) != [1, 1]:
        return {}
    return {name: rows for name, (rows, good) in counts.items() if rows == good}


def stray_files(settings: Settings, board: Board) -> tuple[int, list[str]]:
    """The number of files in the folder of extracts, and those that no contract orders."""
    wanted = {
        extract.place(settings, customer, mart.group)
        for customer in board.customers
        for mart in board.marts
        if board.opens(customer, mart) and customer not in board.live
    }
    found = [file for file in extract.folder(settings).rglob("*") if not file.is_dir()]
    return len(found), [str(file.relative_to(settings.home)) for file in sorted(set(found) - wanted)]
