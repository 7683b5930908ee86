"""Who a request is about, from the words of a letter to the keys that the register has instead."""

from collections.abc import Iterable

import psycopg

from callmart.base import sql_file, telephone
from callmart.base.errors import UserError
from callmart.base.keys import first_layer, keyed, known_key
from callmart.base.person import Blocked, Person
from callmart.base.settings import Settings
from callmart.base.spelling import is_address, plain
from callmart.database import fingerprints
from callmart.database.tombstones import of_address
from callmart.registry.contacts import key_contacts

SQL = sql_file.statements(__file__)

KEYS = "keys and secrets"  # the place
_PSEUDONYMS = {"caller": "number", "agent": "agent"}


def customer_key(connection: psycopg.Connection, settings: Settings, customer_id: int) -> bytes | None:
    """The key of a customer. None if there is no such customer, or if it never had data. Raises Blocked if the key is
    missing: without it nobody can be found.
    """
    fingerprint = fingerprints.of_customers(connection, [customer_id]).get(customer_id)
    try:
        return known_key(settings.home, customer_id, fingerprint) if fingerprint else None
    except UserError as missing:
        blocked = Blocked(
            "key", f"{missing}; tell the contact why it takes longer (docs/privacy.md has the letter)"
        )
        blocked.place = KEYS
        raise blocked from None


def normalised(connection: psycopg.Connection, customer_id: int, key: bytes, kind: str, word: str) -> str:
    """A person's number, id or address as it is keyed: however it is spelt, one person is one text.

    `connection` is the owner's. Raises UserError, without the word, if it can't be of a person of this kind.
    """
    word = word.strip()
    match kind:
        case "caller":
            return _number(word)
        case "agent":
            return _id_of_agent(connection, customer_id, key, word)
        case _:
            return _address(word)


def subject(key: bytes, kind: str, normal: str) -> str:
    """How the register knows a person. A rotation adds its layer to the whole, and so not to the pseudonym in it."""
    pseudonym = _PSEUDONYMS.get(kind)
    return keyed(key, f"privacy:{kind}", keyed(first_layer(key), pseudonym, normal) if pseudonym else normal)


def subjects(key: bytes, person: Person, addresses: Iterable[str]) -> set[str]:
    """How the register knows the person, under each id, or by the number, and as a contact or recipient with one of the
    addresses.
    """
    found = {subject(key, kind, plain(address)) for kind in ("contact", "recipient") for address in addresses}
    if pseudonym := _PSEUDONYMS.get(person.kind):
        ids = {word for word in person.words if keyed(key, pseudonym, word) in person.keys}
        found |= {subject(key, person.kind, id) for id in ids}
    return found


def asker(connection: psycopg.Connection, customer_id: int, key: bytes, word: str) -> str:
    """How the register knows the contact who asks, by the contact's address. Contacts that the registry has without a
    key, from an earlier version, get theirs. `connection` is the owner's; commits.
    """
    contact = of_address(key, _address(word))
    key_contacts(connection, {customer_id: key})
    connection.commit()
    return contact


def _number(word: str) -> str:
    number = telephone.number_of(word)
    if number is None:
        raise UserError(
            "that is not a telephone number: enter it as it is in the letter, with its area code or country code"
        )
    return number


def _address(word: str) -> str:
    if not is_address(word.strip()):
        raise UserError("that is not a mail address: enter it as it is in registry.yml")
    return plain(word)


def _id_of_agent(connection: psycopg.Connection, customer_id: int, key: bytes, word: str) -> str:
    """The id, as it is. A name is refused, because several agents can have it, and none may be missed. The id of an
    agent who objects is known by its key alone.
    """
    if not word:
        raise UserError("that is empty: enter the agent's id in the telephone system")
    agents = connection.execute(SQL["agents"], {"customer": customer_id}).fetchall()
    names = sum(plain(name) == plain(word) for _, name in agents if name)
    if names and keyed(key, "agent", word) not in (agent_key for agent_key, _ in agents):
        raise UserError(
            f"that is the name of {names} agent{'s' if names > 1 else ''} and no id: "
            "ask the contact for the id in the telephone system, and enter that"
        )
    return word
