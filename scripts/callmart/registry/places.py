"""Erases a person from the registry: the ids, names and addresses of agents, contacts and recipients."""

from dataclasses import replace

import psycopg
from psycopg import sql

from callmart.base.needles import SHORTEST
from callmart.base.person import Counts, Person, Proof, Work
from callmart.base.spelling import plain
from callmart.database import searching, vacuum

# An agent who had events later under a detailed contract has an id there, too.
_AGENT = "agent_key = any(%(keys)s) and not coalesce(last_day >= (%(until)s at time zone t.time_zone)::date, false)"
_ADDRESS = "email = any(%(addresses)s)"
# A person who speaks for the customer may get its mails as well.
_OF_ADDRESS = {
    "registry.contact": _ADDRESS,
    "registry.recipient": _ADDRESS,
    "registry.mailed": "recipient_key = any(%(recipients)s)",
}
_DELETED = {
    "agent": {"registry.agent": _AGENT, **_OF_ADDRESS},
    "caller": {},
    "contact": _OF_ADDRESS,
    "recipient": _OF_ADDRESS,
}
_USE = "registry.report_use"
# An agent with the address of the person stays, without it.
_CLEARED = {"registry.agent": _ADDRESS}


class Persons:
    """The rows of the registry that name a person."""

    name = "registry"
    tables = ("registry.agent", *_OF_ADDRESS, _USE)
    paths = ()
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Count the rows of the person, and those with the person's address."""
        with work.connection.transaction(force_rollback=True):
            return _erase(work.connection, person)

    def treat(self, work: Work, person: Person) -> Counts:
        """Delete them, and the address."""
        with work.connection.transaction():
            treated = _erase(work.connection, person)
            vacuum.note(work.connection, *treated, *_forget_use(work.connection, person))
            return treated

    def prove(self, work: Work, person: Person) -> Proof:
        """Count again, and search the tables whole."""
        searched = searching.prove(work, person, self.tables)
        left = searched.left | self.find(work, person)
        with work.connection.transaction(force_rollback=True):
            left |= _forget_use(work.connection, person)
        to_attest = () if person.kind == "caller" else ("registry.yml",)
        return Proof(searched.searched, left, to_attest)


class Customers(searching.Books):
    """What the registry has of customers, their queues and lines. What the telephone system calls a queue or a line is
    not ours to change, and is sought nowhere: if it is the person, somebody attests it.
    """

    def prove(self, work: Work, person: Person) -> Proof:
        """Search the tables whole, and look whether a queue or line of the customer is called like the person."""
        searched = super().prove(work, person)
        called = any(_is_called(name, person) for name in _names_at_source(work, person.customer_id))
        return replace(searched, to_attest=("queue or line of that name",) if called else ())


def _names_at_source(work: Work, customer_id: int) -> list[str]:
    with work.connection.transaction():
        names = work.connection.execute(
            "select queue from registry.queue where customer_id = %(customer)s"
            " union all select line from registry.line where customer_id = %(customer)s",
            {"customer": customer_id},
        ).fetchall()
    return [plain(name) for (name,) in names]


def _is_called(name: str, person: Person) -> bool:
    """Whether a name is one of the person's words. One that is not too short can be a part of it."""
    words = map(plain, person.words)
    return any(word in name if len(word.encode()) >= SHORTEST else word == name for word in words)


def _erase(connection: psycopg.Connection, person: Person) -> Counts:
    """Delete and clear, in the caller's transaction. Counts rows per table."""
    parameters = {
        "customer": person.customer_id,
        "keys": sorted(person.keys),
        "addresses": sorted(person.addresses),
        "recipients": sorted(person.keys | {one.rpartition(":")[2] for one in person.named}),
        "until": person.until,
    }
    erased = Counts()
    for statement, conditions in (
        ("delete from {} as p using registry.customer as t where {}", _DELETED[person.kind]),
        ("update {} as p set email = null from registry.customer as t where {}", _CLEARED),
    ):
        for table, condition in conditions.items():
            of_person = f"p.customer_id = %(customer)s and t.customer_id = p.customer_id and {condition}"
            query = sql.SQL(statement).format(sql.SQL(table), sql.SQL(of_person))
            erased[table] += connection.execute(query, parameters).rowcount
    return +erased


def _forget_use(connection: psycopg.Connection, person: Person) -> Counts:
    """Delete since when nobody has opened the customer's reports, if the person gets them: Tableau does not count by
    whom. The next publication notes it anew, so a plan does not count it. In the caller's transaction.
    """
    if not (person.kind in ("contact", "recipient") or person.addresses):
        return Counts()
    forgotten = connection.execute(
        "delete from registry.report_use as u using registry.customer as t"
        " where u.customer_id = %s and t.customer_id = u.customer_id"
        " and u.since < (%s at time zone t.time_zone)::date",
        [person.customer_id, person.until],
    )
    return +Counts({_USE: forgotten.rowcount})
