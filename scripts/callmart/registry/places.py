"""Erases a person from the registry: the ids, names and addresses of agents, contacts and recipients."""

from dataclasses import replace

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.keys import keyed
from callmart.base.needles import SHORTEST
from callmart.base.person import Counts, Person, Proof, Work
from callmart.base.spelling import plain
from callmart.database import searching, vacuum

SQL = sql_file.statements(__file__)

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
        with work.connection.transaction():
            is_called = _is_called(work.connection, person) or keys_of_names(work.connection, person)
        return replace(searched, to_attest=("queue or line of that name",) if is_called else ())


def keys_of_names(connection: psycopg.Connection, person: Person) -> frozenset[str]:
    """The keys of a caller that a queue or line of the customer has as well, because it is called like the number."""
    if person.kind != "caller":
        return frozenset()
    parameters = {"customer": person.customer_id, "keys": sorted(person.keys)}
    return frozenset(key for (key,) in connection.execute(SQL["keys_of_names"], parameters))


def _is_called(connection: psycopg.Connection, person: Person) -> bool:
    """Whether a queue or line is called by one of the person's words. One that is not too short can be a part of it."""
    found = connection.execute(SQL["names_at_source"], {"customer": person.customer_id})
    names = [plain(name) for (name,) in found]
    words = [plain(word) for word in person.words]
    return any(
        word in name if len(word.encode()) >= SHORTEST else word == name for word in words for name in names
    )


def drop_names(connection: psycopg.Connection, person: Person) -> None:
    """Forget the ids (they can be names), the names and the addresses of agents who object to being shown, in the
    caller's transaction. An agent who was never seen is of no use without a name.
    """
    whose = (
        "customer_id = %(customer)s and agent_key = any(%(keys)s) and privacy.objects(customer_id, agent_key)"
    )
    parameters = {"customer": person.customer_id, "keys": sorted(person.keys)}
    for statement in (
        f"delete from registry.agent where {whose} and last_day is null",
        "update registry.agent set agent = null, name = null, email = null"
        f" where {whose} and num_nonnulls(agent, name, email) > 0",
    ):
        if connection.execute(statement.encode(), parameters).rowcount:
            vacuum.note(connection, "registry.agent", whole=True)


def name_again(connection: psycopg.Connection, person: Person, key: bytes) -> None:
    """Note the ids of an agent who is shown again, as they were entered. Commits."""
    words = {word: keyed(key, "agent", word) for word in sorted(person.words)}
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(
            "update registry.agent set agent = %s where customer_id = %s and agent_key = %s and agent is null",
            # The agent's name can be another agent's id.
            [(word, person.customer_id, own) for word, own in words.items() if own in person.keys],
        )


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
