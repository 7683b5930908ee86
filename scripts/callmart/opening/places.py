"""Erases a person from the marts: they are computed again, checked and opened as every night, never edited.

The mart that names agents has no days, so nothing would compute it without the person: there the row is deleted.
"""

from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.counting import several
from callmart.base.person import Blocked, Counts, Person, Proof, Work
from callmart.base.progress import quietly
from callmart.build import window
from callmart.database import searching, vacuum
from callmart.declarations import dbt_project, mart_tables
from callmart.declarations.mart import Mart
from callmart.opening import opening
from callmart.validate import suites

SQL = sql_file.statements(__file__)
_KEY = "agent_key"


class Computed:
    """What a build computed and nobody has opened."""

    name = "build"
    tables = ("build.*",)
    paths = ()
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Nothing: it is emptied, whoever is in it."""
        return Counts()

    def treat(self, work: Work, person: Person) -> Counts:
        """Discard it. Its days are still dirty."""
        with work.connection.transaction():
            opening.forget_build(work.connection)
        return Counts()

    def prove(self, work: Work, person: Person) -> Proof:
        """Search its tables."""
        return searching.prove(work, person, self.tables)


class Marts:
    """The marts' tables, with what their readers see."""

    name = "marts"
    tables = (f"{mart_tables.SCHEMA}.*",)
    paths = ()
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Count the agent's rows, of the days up to the moment."""
        with work.connection.transaction():
            return _rows(work.connection, person)

    def treat(self, work: Work, person: Person) -> Counts:
        """Build, check and open the days that the person is on. Commits. Raises Blocked if one is held back."""
        connection = work.connection
        with connection.transaction():
            counts = _rows(connection, person)
            _delete_days_too_old(connection, person.customer_id)
            mark_days_and_delete_name(connection, person)
            _note_months(work, person)
        if waiting_days(connection, person.customer_id):
            window.build(connection, work.settings, quietly)
            suites.validate(connection, work.settings, quietly)
            try:
                opening.open_build(connection, work.settings)
            except opening.Drifted as drifted:
                raise Blocked("drift", str(drifted)) from None
            if waiting := waiting_days(connection, person.customer_id):
                raise Blocked(
                    "held back",
                    f"the checks hold back {several(waiting, 'day')} of customer {person.customer_id} (`callmart "
                    "status` says which): correct the data or run `callmart release`, then run this again",
                )
        return counts

    def prove(self, work: Work, person: Person) -> Proof:
        """Count again, and search the tables whole."""
        searched = searching.prove(work, person, self.tables)
        return Proof(searched.searched, searched.left | self.find(work, person))


def follow_rights(work: Work) -> None:
    """Make rights follow today's contracts before anything leaves, also if no day was opened. Commits. Raises Blocked
    while they differ from what is declared.
    """
    try:
        opening.follow_rights(work.connection, work.settings, opens=False)
    except opening.Drifted as drifted:
        raise Blocked("drift", str(drifted)) from None


def waiting_days(connection: psycopg.Connection, customer_id: int) -> int:
    """How many days of the customer change because of a person and were not opened since."""
    ((waiting,),) = connection.execute(SQL["waiting"], {"customer": customer_id}).fetchall()
    connection.commit()
    return int(waiting)


def _of_agents(connection: psycopg.Connection) -> list[Mart]:
    return [mart for mart in mart_tables.of_customers(connection) if _KEY in mart.columns]


def _parameters(connection: psycopg.Connection, person: Person) -> dict[str, Any]:
    parameters = {"customer": person.customer_id, "keys": sorted(person.keys), "until": person.until}
    bound = connection.execute(SQL["bound"], parameters).fetchone()
    return parameters | {"bound": bound[0] if bound else person.until.date()}


def _rows(connection: psycopg.Connection, person: Person) -> Counts:
    if person.kind != "agent":
        return Counts()
    parameters = _parameters(connection, person)
    found = Counts()
    for mart, condition in _conditions(connection):
        query = _filled("rows_of_agent", mart, condition)
        ((found[f"{mart_tables.SHOWN}.{mart.name}"],),) = connection.execute(query, parameters).fetchall()
    return +found


def mark_days_and_delete_name(connection: psycopg.Connection, person: Person) -> None:
    """Mark the days on which a mart shows the agent, and delete the name, in the caller's transaction."""
    if person.kind != "agent":
        return
    parameters = _parameters(connection, person)
    for mart, condition in _conditions(connection):
        connection.execute(_filled("mark_days" if mart.day else "delete_named", mart, condition), parameters)
        if not mart.day:
            vacuum.note(connection, mart.table, whole=True)


def _conditions(connection: psycopg.Connection) -> Iterator[tuple[Mart, sql.Composable]]:
    """The marts with agents, those with days first, each with the condition that a row `t` goes. A row without a day
    stays as long as a later day refers to it.
    """
    marts = _of_agents(connection)
    for mart in marts:
        if mart.day:
            yield mart, sql.SQL("{} < %(bound)s").format(sql.Identifier("t", mart.day))
    for mart in marts:
        if not mart.day:
            condition = mart_tables.unreferenced(mart, marts, sql.SQL("{day} >= %(bound)s"))
            yield mart, condition or sql.SQL("true")


def _filled(statement: str, mart: Mart, condition: sql.Composable) -> sql.Composed:
    return sql.SQL(SQL[statement]).format(
        mart=sql.Identifier(*mart.table.split(".")),
        mart_name=sql.Literal(mart.name),
        day=sql.Identifier("t", str(mart.day)),
        condition=condition,
    )


def _delete_days_too_old(connection: psycopg.Connection, customer_id: int) -> None:
    """Delete the customer's days that no build computes any more, as the next run would: between midnight and that run
    the person would still be on them.
    """
    for mart in mart_tables.of_customers(connection):
        if not mart.day:
            continue
        is_too_old = sql.SQL("{} < access.retention_floor()").format(sql.Identifier("t", mart.day))
        query = _filled("months_with", mart, is_too_old)
        months = connection.execute(query, {"customer": customer_id}).fetchall()
        vacuum.note(connection, *(month for (month,) in months))
        connection.execute(_filled("delete_days", mart, is_too_old), {"customer": customer_id})
    connection.execute(SQL["close_days_too_old"], {"customer": customer_id})


def _note_months(work: Work, person: Person) -> None:
    """Note the months that the build will write anew: their former rows are to leave the files."""
    marts = dbt_project.marts(work.settings)
    reach = max((mart.reach_days for mart in marts), default=0)
    for mart in marts:
        query = sql.SQL(SQL["months"]).format(mart_name=sql.Literal(mart.table), reach=sql.Literal(reach))
        months = work.connection.execute(query, {"customer": person.customer_id}).fetchall()
        vacuum.note(work.connection, *(month for (month,) in months))
