"""Mends ledger, copy and database, and does again what they say of persons: after a restore, a crash, or a loss of one
of them.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.keys import epochs, known_key
from callmart.base.person import Person, Place, Work
from callmart.base.progress import quietly
from callmart.base.raw_format import LONGEST_PHASE
from callmart.base.settings import Settings
from callmart.database import audit_log, ledger, ledger_mending, vacuum
from callmart.database.ledger import Act
from callmart.database.ledger_mending import Lost
from callmart.database.tombstones import of_address, of_name
from callmart.declarations import mart_tables
from callmart.environments.places import Environments
from callmart.land.places import Doorway, Events
from callmart.mailing.places import Outbox
from callmart.opening import places as opened
from callmart.opening.places import Computed
from callmart.privacy import correcting, objecting
from callmart.privacy.correcting import Correction
from callmart.privacy.package.shelf import Packages
from callmart.privacy.places import PLACES
from callmart.registry.erased import ends, known_until
from callmart.registry.places import Persons
from callmart.reports.places import Pages

SQL = sql_file.statements(__file__)

# What shows agents, and what no run makes anew.
_COPIES: tuple[Place, ...] = (Environments(), Pages(), Outbox())

# What is treated while the customer is still closed. By what is in the last two a person is found again, if it breaks
# off. The other places are made anew from what is open.
_WHILE_CLOSED: tuple[Place, ...] = (
    Doorway(), Computed(), *_COPIES, Packages(), Events(), Persons(),
)  # fmt: skip


@dataclass(frozen=True)
class Replayed:
    """What was done. `customers` had lost something that the ledger knows; `persons` were found again and erased, and
    `objectors` are the agents of these customers of whom it was made sure that they are left out or shown. `changed`
    are the persons of customers that may open, with what was done again: `follow` does the rest. `problems` has a
    sentence per person who could not be erased, and per key that is missing: these customers stay closed.
    """

    entries: int
    customers: tuple[int, ...]
    persons: int
    objectors: int
    changed: tuple[tuple[Person, Act], ...]
    problems: list[str]


def replay(
    connection: psycopg.Connection,
    settings: Settings,
    erase: Callable[[Person], None],
    lost: Lost | None = None,
    keyed_anew: Collection[int] = (),
) -> Replayed:
    """Let ledger, copy and database say the same again, erase whoever came back, and correct events and leave out or
    show agents as the ledger says. Commits: first the tombstones, so that nobody else comes back, with the days that
    change by what was lost, so that a crash can't part the two; then each person, and what no run makes anew of those
    agents; then the opening of what was closed. `keyed_anew` are customers whose keys were rotated since the last
    replay: only now what the ledger says of their agents under that key is understood. Requests are numbered after
    those that the ledger knows.

    From the first commit on ledger and database agree. So it notes there which customers stay closed until nobody who
    was erased is in the database any more, nor in the marts: if it breaks off, the next replay goes on.

    Raises UserError if ledger and copy can't be read and `lost` gives no reason, or if they contradict each other.
    """
    work = Work(connection, settings, quietly)
    mended = ledger_mending.mend(connection, settings, lost)
    connection.execute(SQL["number_on"])
    differing = mended.differing | ledger.unfinished(connection)
    closed = differing | set(keyed_anew)
    customers = closed | {customer for customer, _ in _waiting_corrections(connection)}
    corrected = list(_correct(work, customers))
    objectors = list(_objectors(connection, customers))
    for person in objectors:
        objecting.settle(connection, person)
    shown = {person.customer_id: person for person in (*corrected, *objectors)}
    ledger.begin_replay(connection, closed | shown.keys())
    connection.commit()
    keys, missing = known_keys(connection, settings)
    found = list(returned(connection, keys))
    closed |= {person.customer_id for person in found}
    ledger.begin_replay(connection, closed)
    connection.commit()
    problems = [*missing.items()]
    erased: list[Person] = []
    for person in found:
        with _noting(problems, connection, person):
            erase(person)
            erased.append(person)
    for person in shown.values():
        with _noting(problems, connection, person):
            for place in _COPIES:  # in each everything of the customer goes
                place.treat(work, person)
    names = _forget_names(connection, keys)
    stuck = {customer_id for customer_id, _ in problems}
    for customer_id in closed - stuck:
        _hide_waiting_days(connection, customer_id)
    ledger.end_replay(connection, (closed | shown.keys()) - stuck)
    ledger.close(connection, settings)
    audit_log.note(
        connection,
        "ledger replayed",
        {
            "entries": mended.entries,
            "customers": sorted(differing),
            "erased again": len(erased),
            "objectors": len(objectors),
            "names": names,
        },
    )
    connection.commit()
    changed: list[tuple[Person, Act]] = [
        *((person, "erasure") for person in erased),
        *((person, "rectification") for person in corrected),
        *((person, "objection") for person in objectors),
    ]
    return Replayed(
        mended.entries,
        tuple(sorted(differing)),
        len(erased),
        len(objectors),
        tuple(one for one in changed if one[0].customer_id not in stuck),
        [problem for _, problem in problems],
    )


def uncorrected(connection: psycopg.Connection) -> list[str]:
    """One sentence per customer of whom the ledger corrects events, and nobody knows here the agent whose they are."""
    return [
        f"customer {customer}: {several(count, 'correction')} could not be made again, as nothing is here of the agent "
        "whose the events are: when something of that agent has landed, run `callmart privacy replay`"
        for customer, count in _waiting_corrections(connection)
    ]


def erase(work: Work, person: Person) -> None:
    """Erase somebody who came back where that needs nothing that is closed. Commits. Raises Blocked if a place can't be
    treated.
    """
    with work.connection.transaction():
        opened.mark_days_and_delete_name(work.connection, person)
    for place in _WHILE_CLOSED:
        place.treat(work, person)


def erase_restored(work: Work, person: Person) -> None:
    """The same in a database that is being restored, which has nothing else yet. Commits."""
    for place in (Events(), Persons()):
        place.treat(work, person)


def follow(work: Work, changed: Iterable[tuple[Person, Act]]) -> list[str]:
    """Make the other places anew, when the customers are open. Commits. Returns a sentence per place that can't be
    treated now.
    """
    problems: list[tuple[int, str]] = []
    for person, right in changed:
        steps: list[Callable[[], object]] = [partial(objecting.follow, work, person, quietly)]
        if right == "erasure":
            done = {place.name for place in _WHILE_CLOSED}
            steps = [partial(place.treat, work, person) for place in PLACES if place.name not in done]
        for step in steps:
            with _noting(problems, work.connection, person):
                step()
    return [problem for _, problem in problems]


@contextmanager
def _noting(
    problems: list[tuple[int, str]], connection: psycopg.Connection, person: Person
) -> Iterator[None]:
    """Within it, what can't be done now is rolled back, and noted with the customer."""
    try:
        yield
    except (UserError, OSError) as error:
        connection.rollback()
        problems.append((person.customer_id, _left(person.customer_id, error)))


def _left(customer_id: int, error: UserError | OSError) -> str:
    """A sentence about what is left to do of a customer."""
    if isinstance(error, UserError):
        return f"customer {customer_id}: {error}"
    return (
        f"customer {customer_id}: {error.filename or 'a file'} can't be changed ({error.strerror}): "
        "give it to the user who runs callmart, and run the same command again"
    )


def _hide_waiting_days(connection: psycopg.Connection, customer_id: int) -> None:
    """Take the customer's days that wait because of a person out of the marts, in the caller's transaction: the next
    build computes them.
    """
    for mart in mart_tables.of_customers(connection):
        statement = "hide_days" if mart.day else "hide_customer"
        names = {
            "mart": sql.Identifier(*mart.table.split(".")),
            "day": sql.Identifier("t", str(mart.day)),
            "table": sql.Literal(mart.table),
        }
        query = sql.SQL(SQL[statement]).format(**names)
        hidden = [relation for (relation,) in connection.execute(query, {"customer": customer_id})]
        if hidden:
            vacuum.note(connection, mart.table, *hidden)
    connection.execute(SQL["forget_hidden"], {"customer": customer_id})


def _correct(work: Work, customers: Collection[int]) -> Iterator[Person]:
    """Correct what the ledger corrects of these customers, where there is something of the agent whose the events are.
    Landing finds it from here on. In the caller's transaction. Yields the agents whose the events seemed to be.
    """
    found = work.connection.execute(SQL["corrections"], {"customers": list(customers)}).fetchall()
    for entry, customer_id, since, until, agent_key, mistaken in found:
        correcting.enter(work.connection, entry, agent_key)
        person = Person(customer_id, "agent", frozenset(), frozenset(mistaken), until)
        Correction(agent_key, since).correct(work, person)
        yield person


def _waiting_corrections(connection: psycopg.Connection) -> list[tuple[int, int]]:
    """How many corrections of each customer wait for something of the agent whose the events are."""
    return connection.execute(SQL["uncorrected"]).fetchall()


def _objectors(connection: psycopg.Connection, customers: Collection[int]) -> Iterator[Person]:
    """The agents of these customers of whom the ledger has said that they are left out, or shown again."""
    for customer_id, key in connection.execute(SQL["objectors"], {"customers": list(customers)}).fetchall():
        yield Person(customer_id, "agent", frozenset(), frozenset({key}), objecting.ALWAYS)


def known_keys(connection: psycopg.Connection, settings: Settings) -> tuple[dict[int, bytes], dict[int, str]]:
    """The keys by which addresses and names are known again, by customer, and a sentence per customer whose key is
    missing.
    """
    keys, missing = dict[int, bytes](), dict[int, str]()
    for customer_id, fingerprint in connection.execute(SQL["keyed"]).fetchall():
        try:
            keys[customer_id] = known_key(settings.home, customer_id, fingerprint)
        except UserError as error:
            missing[customer_id] = str(error)
    return keys, missing


def _forget_names(connection: psycopg.Connection, keys: Mapping[int, bytes]) -> int:
    """Take erased agents' names from contacts and labels, in the caller's transaction: an older registry has brought
    them back. A contact is called by the address until the registry file is applied again. Returns how many there were.
    """
    rows = connection.execute(SQL["names"]).fetchall()
    erased = ends(connection, ["name"])
    forgotten = 0
    for customer_id, table, name in rows:
        if (key := keys.get(customer_id)) is None:
            continue
        if known_until(erased, customer_id, "name", key, (of_name(epoch, name) for epoch in epochs(key))):
            connection.execute(SQL[f"forget_{table}"], {"customer": customer_id, "name": name})
            vacuum.note(connection, f"registry.{table}")
            forgotten += 1
    return forgotten


def returned(connection: psycopg.Connection, keys: Mapping[int, bytes]) -> Iterator[Person]:
    """The persons with a tombstone of whom the database has something from before its end. They are known by their keys
    alone: nobody kept their names. `keys` are those of the customers, as `known_keys` has them.
    """
    for customer_id, kind, key, until in connection.execute(
        SQL["returned"], {"longest_phase": LONGEST_PHASE}
    ).fetchall():
        yield Person(customer_id, kind, frozenset(), frozenset({key}), until)
    addresses = connection.execute(SQL["addresses"]).fetchall()
    erased = ends(connection, ("contact", "recipient"))
    for customer_id, kind, address in addresses:
        if (key := keys.get(customer_id)) is None:
            continue
        pseudonyms = (of_address(epoch, address) for epoch in epochs(key))
        if until := known_until(erased, customer_id, kind, key, pseudonyms):
            own = frozenset({address})
            yield Person(customer_id, kind, own, frozenset({of_address(key, address)}), until, own)
