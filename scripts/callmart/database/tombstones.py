"""Tombstones: what is kept of a person who was erased, so that nobody brings the person back; and of an agent who
objects, so that nothing shows the agent, and of one whose events were another's.

A tombstone is made of a pseudonym, not of a name or number, with a secret that follows from the customer's key. The
database has that secret (privacy.secret), because it looks up tombstones itself; the customer's key stays outside.
privacy.tombstone_of and the landing make the same tombstones in SQL.
"""

import hmac
from hashlib import sha256
from typing import Literal, cast

from callmart.base.keys import first_layer, keyed
from callmart.base.person import Person
from callmart.base.spelling import plain

Kind = Literal[
    "agent", "device", "caller", "call", "contact", "recipient", "name", "objector", "mistaken", "corrected"
]

# A tombstone begins like its pseudonym. So a landing has to make tombstones of the few keys only that begin like one,
# and not of every call.
BEGINNING = 6  # characters


def secret_of(key: bytes) -> bytes:
    """The secret of a customer's tombstones. A rotation leaves it as it is: what was erased can't be keyed anew."""
    return hmac.digest(first_layer(key), b"tombstones", "sha256")


def tombstone(secret: bytes, kind: Kind, pseudonym: str) -> str:
    """The tombstone of a pseudonym: the key of an agent, device or number, or what `of_call` or `of_address` says."""
    digest = sha256(secret + f"{kind}:{pseudonym}".encode()).hexdigest()
    return pseudonym[:BEGINNING] + digest[: 32 - BEGINNING]


def pseudonyms(person: Person) -> list[tuple[Kind, str]]:
    """What the tombstones of a person are made of: the keys, and by what the registry can name the person elsewhere."""
    named = [one.partition(":") for one in person.named]
    return [
        *((person.kind, key) for key in person.keys),
        *((cast(Kind, kind), one) for kind, _, one in named),
    ]


def of_call(call_key: int) -> str:
    """A call's key as the text that its tombstone is made of."""
    return f"{call_key & (2**64 - 1):016x}"


def of_address(key: bytes, address: str) -> str:
    """The pseudonym of a contact or recipient, however the address is spelt. The register knows who asks by it, too."""
    return keyed(key, "contact", plain(address))


def of_name(key: bytes, name: str) -> str:
    """The pseudonym of a name, by which a registry file can name an agent among the contacts."""
    return keyed(key, "name", plain(name))
