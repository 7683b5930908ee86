"""What was landed of a person, and how it is erased.

Outside calls an agent's events are deleted. In calls an agent gets another random key in each call, with a prefix that
nothing else has, so that queues keep their figures. A caller's calls lose the number, and get random keys.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from typing import Any, Literal, LiteralString, NamedTuple

import psycopg

from callmart.base import sql_file
from callmart.base.matrix import DOORWAY
from callmart.base.person import Blocked, Counts, Person, Proof, Work
from callmart.base.raw_format import LONGEST_PHASE
from callmart.database import cluster, lock, searching, vacuum

SQL = sql_file.statements(__file__)

Change = Literal["hidden", "staffing", "callers"]


class Cell(NamedTuple):
    """A queue and day whose figures change: what agents did is hidden, staffing changes, or the callers do."""

    change: Change
    queue: str
    call_date: date


class Cells(NamedTuple):
    """All cells whose figures change. `to_come` are those after the last day of the data, on which something without an
    end would go on: they have no figures yet. The two together stay the same from night to night.
    """

    known: tuple[Cell, ...] = ()
    to_come: tuple[Cell, ...] = ()


class Doorway:
    """The tables into which the loader writes a file. They are empty unless a file lands at this moment."""

    name = "doorway"
    tables = DOORWAY
    paths = ()
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Nothing: nobody can see what is in a landing that is not committed."""
        return Counts()

    def treat(self, work: Work, person: Person) -> Counts:
        """Empty the tables. Nothing can be landing then."""
        try:
            with work.connection.transaction():
                lock.wait_at_most(work.connection, lock.TIMEOUT)
                work.connection.execute(f"truncate {', '.join(self.tables)}".encode())
        except psycopg.errors.LockNotAvailable:
            raise Blocked(
                "landing",
                "a file is landing: wait until it has landed, then run this again; if none is landing, "
                "`callmart access rotate --duty loader` ends what keeps it waiting",
            ) from None
        return Counts()

    def prove(self, work: Work, person: Person) -> Proof:
        """Look whether the tables are empty."""
        rows = Counts()
        for table in self.tables:
            ((rows[table],),) = work.connection.execute(f"select count(*) from {table}".encode()).fetchall()
        work.connection.rollback()
        return Proof(Counts(tables=len(self.tables)), +rows)


class Events:
    """The events, and the calls that they belong to."""

    name = "events"
    tables = ("raw.event", "raw.call")
    paths = ()
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Count the events and calls of an agent or a caller up to the moment."""
        with _gathered(work.connection, person, keeps=False) as parameters:
            return _counts(work.connection) if parameters else Counts()

    def treat(self, work: Work, person: Person) -> Counts:
        """Delete or change them, and mark the days whose marts change."""
        connection = work.connection
        with _gathered(connection, person, keeps=True) as parameters:
            if not parameters:
                return Counts()
            counts = _counts(connection)
            _reach(connection, person, parameters)
            connection.execute(SQL["mark_days"], parameters)
            connection.execute(SQL[f"changes_of_{person.kind}"], parameters)
            connection.execute("analyze changed_event")
            if person.kind == "agent":
                if connection.execute(SQL["give_up_corrections"], parameters).rowcount:
                    vacuum.note(connection, "privacy.correction")
                days = {
                    day
                    for change in ("delete_outside", "cut_reaching_back", "erase_agent")
                    for (day,) in connection.execute(SQL[change], parameters)
                }
            else:
                days = {day for (day,) in connection.execute(SQL["erase_caller"], parameters)}
                if connection.execute(SQL["rename_calls"], parameters).rowcount:
                    vacuum.note(connection, "raw.event", "raw.call")
            if days:
                vacuum.note(connection, "raw.event", *vacuum.months(connection, "raw.event", days))
            return counts

    def prove(self, work: Work, person: Person) -> Proof:
        """Count again, and search the customer's rows. In a cluster no copy of a shard may be left that nobody sees."""
        if cluster.has_copies(work.connection):
            raise Blocked(
                "shards",
                "the cluster is moving shards, or has just done so; wait until it has, then run this again",
            )
        searched = searching.prove(work, person, self.tables, own_rows=True)
        return Proof(searched.searched, searched.left | self.find(work, person))


class Stored(NamedTuple):
    """What is stored of an agent or a caller, as it is before the erasure."""

    cells: Cells = Cells()
    traces: frozenset[int] = frozenset()  # the keys of the events, and of a caller's calls
    calls: frozenset[int] = frozenset()  # a caller's calls, each of which gets a tombstone
    devices: frozenset[str] = frozenset()  # that only this agent used
    is_active_later: bool = False  # whether there is something that came later, and stays


def look(connection: psycopg.Connection, person: Person, *, with_cells: bool = True) -> Stored:
    """Find out what an erasure would change. Changes nothing. Cells take the longest, and only a plan needs them."""
    with _gathered(connection, person, keeps=False) as parameters:
        if not parameters:
            return Stored()
        if with_cells:
            _reach(connection, person, parameters)
        return Stored(
            _cells(connection, SQL[f"cells_of_{person.kind}"], parameters) if with_cells else Cells(),
            _first(connection, SQL[f"traces_of_{person.kind}"]),
            _first(connection, "select call_key from erased_call")
            if person.kind == "caller"
            else frozenset(),
            _first(connection, "select device_key from own_device")
            if person.kind == "agent"
            else frozenset(),
            connection.execute(SQL["later"], parameters).fetchone() == (True,),
        )


def newest(connection: psycopg.Connection) -> tuple[Any, ...] | None:
    """A mark of what has landed: it differs as soon as another file has."""
    found = connection.execute("select count(*), max(file_id) from raw.file").fetchone()
    connection.commit()
    return found


def look_at_shown(connection: psycopg.Connection, person: Person) -> Cells:
    """The queues and days in which what an agent did is no longer shown if the agent is left out. Changes nothing."""
    with _gathered(connection, person, keeps=False) as parameters:
        if not parameters:
            return Cells()
        _reach_own(connection, person, parameters)
        return _cells(connection, SQL["cells_of_agent"], parameters)


def mark_shown(connection: psycopg.Connection, person: Person) -> None:
    """Mark the days whose marts change if an agent is left out, or no longer, in the caller's transaction."""
    with _gathered(connection, person, keeps=True) as parameters:
        if parameters:
            _reach_own(connection, person, parameters)
            connection.execute(SQL["mark_days"], parameters)


def _cells(connection: psycopg.Connection, query: LiteralString, parameters: dict[str, Any]) -> Cells:
    found = connection.execute(query, parameters).fetchall()
    known, to_come = (
        tuple(Cell(*cell) for *cell, later in found if later == wanted) for wanted in (False, True)
    )
    return Cells(known, to_come)


def _first(connection: psycopg.Connection, query: LiteralString) -> frozenset[Any]:
    return frozenset(value for (value,) in connection.execute(query))


@contextmanager
def _gathered(
    connection: psycopg.Connection, person: Person, *, keeps: bool
) -> Iterator[dict[str, Any] | None]:
    """Gather what is erased of an agent or a caller in temporary tables, in a transaction. Yields the parameters of the
    statements; None for other kinds of persons, and for one without a key.
    """
    if person.kind not in ("agent", "caller") or not person.keys:
        yield None
        return
    parameters = {
        "customer": person.customer_id,
        "kind": person.kind,
        "target_kind": {"agent": "agent", "caller": "number"}[person.kind],
        "keys": sorted(person.keys),
        "until": person.until,
        "longest_phase": LONGEST_PHASE,
    }
    with connection.transaction(force_rollback=not keeps):
        connection.execute("set local client_min_messages = warning")
        connection.execute(SQL["forget"])
        connection.execute(SQL["named_calls"], parameters)
        connection.execute(SQL["erased_calls"], parameters)
        if person.kind == "agent":
            connection.execute(SQL["own_devices"], parameters)
        connection.execute(SQL[f"erased_events_of_{person.kind}"], parameters)
        connection.execute("analyze erased_call, erased_event")
        yield parameters


def _counts(connection: psycopg.Connection) -> Counts:
    ((outside, inside, calls),) = connection.execute(SQL["counts"]).fetchall()
    return +Counts({"events outside calls": outside, "events in calls": inside, "calls": calls})


def _reach(connection: psycopg.Connection, person: Person, parameters: dict[str, Any]) -> None:
    """Find the days whose marts change."""
    of_agent = ("ends", "login_days", "reached_days")
    for name in of_agent if person.kind == "agent" else ("days_of_calls",):
        connection.execute(SQL[name], parameters)


def _reach_own(connection: psycopg.Connection, person: Person, parameters: dict[str, Any]) -> None:
    """Find the days that the agent is on. As nothing is deleted, the data and the logins end where they do."""
    _reach(connection, person, parameters)
    connection.execute("delete from erased_day where cause = 'others'")
