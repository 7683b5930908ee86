"""Erases a person from the registry: the ids, names and addresses of agents, contacts and recipients."""

import psycopg
from psycopg import sql

from callmart.base.person import Counts, Person, Proof, Work
from callmart.database import searching, vacuum

# An agent who had events later under a detailed contract has an id there, too.
_AGENT = "agent_key = any(%(keys)s) and not coalesce(last_day >= (%(until)s at time zone t.time_zone)::date, false)"
_BY_ADDRESS = "lower(trim(email)) = any(%(words)s)"
_OF_ADDRESS = {
    "registry.contact": _BY_ADDRESS,
    "registry.recipient": _BY_ADDRESS,
    "registry.mailed": "recipient_key = any(%(keys)s)",
}
_CONDITIONS = {
    "agent": {"registry.agent": _AGENT},
    "caller": {},
    # A person who speaks for the customer may get its mails as well.
    "contact": _OF_ADDRESS,
    "recipient": _OF_ADDRESS,
}


class Persons:
    """The rows of the registry that name a person."""

    name = "registry"
    tables = ("registry.agent", "registry.contact", "registry.recipient", "registry.mailed")
    paths = ()
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Count the rows of the person."""
        with work.connection.transaction():
            return _each(
                work.connection, person, "select count(*) from {} as p, registry.customer as t where {}"
            )

    def treat(self, work: Work, person: Person) -> Counts:
        """Delete them."""
        with work.connection.transaction():
            deleted = _each(
                work.connection,
                person,
                "with gone as (delete from {} as p using registry.customer as t where {} returning p.customer_id)"
                " select count(*) from gone",
            )
            if deleted:
                vacuum.note(work.connection, *deleted)
            return deleted

    def prove(self, work: Work, person: Person) -> Proof:
        """Count again, and search the tables whole."""
        searched = searching.prove(work, person, self.tables)
        to_attest = () if person.kind == "caller" else ("registry.yml",)
        return Proof(searched.searched, searched.left | self.find(work, person), to_attest)


def _each(connection: psycopg.Connection, person: Person, statement: str) -> Counts:
    """A number per table, from a statement with the table and the condition that a row is of the person."""
    found = Counts()
    parameters = {
        "customer": person.customer_id,
        "keys": sorted(person.keys),
        "words": sorted(word.strip().lower() for word in person.words),
        "until": person.until,
    }
    for table, condition in _CONDITIONS[person.kind].items():
        of_person = f"p.customer_id = %(customer)s and t.customer_id = p.customer_id and {condition}"
        query = sql.SQL(statement).format(sql.SQL(table), sql.SQL(of_person))
        ((found[table],),) = connection.execute(query, parameters).fetchall()
    return +found
