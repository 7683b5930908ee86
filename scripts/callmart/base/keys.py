"""The keys behind the pseudonyms: one per customer and one of the installation, kept in CALLMART_HOME and never in the
database.

Whoever has a key can try all telephone numbers in minutes. Data is pseudonymous, not anonymous.

A file holds layers of 32 bytes. The first makes pseudonyms of values. A rotation adds a layer, which makes a new
pseudonym of the old one, so that what is stored can be keyed anew without the values. The database has the fingerprint
of as many layers as its data was keyed with; a further layer is of a rotation that is not finished.
"""

import hmac
import re
import secrets
from collections.abc import Mapping
from functools import reduce
from hashlib import sha256
from pathlib import Path
from typing import Literal

from callmart.base.disk import sync
from callmart.base.errors import UserError
from callmart.base.secret_files import secret_file

RESTORE = "run `callmart restore FOLDER --keys` with the folder of a backup"
LAYER = 32  # bytes

# Its key is that of the names and contents of landed files.
INSTALLATION: Literal["installation"] = "installation"
Whose = int | Literal["installation"]  # a customer's number, or the installation


def ensure_key(home: Path, whose: Whose, fingerprint: str | None) -> bytes:
    """Return a key. It is made if the database has no fingerprint of one yet.

    Raises UserError as `known_key` does if the database has a fingerprint.
    """
    if fingerprint is not None:
        return known_key(home, whose, fingerprint)
    try:
        return key_file(home, whose).read_bytes()
    except FileNotFoundError:
        return new_key(home, whose)


def known_key(home: Path, whose: Whose, fingerprint: str) -> bytes:
    """Return a key, with the layers that its data was keyed with. Raises UserError if it is missing, can't be read, or
    has another fingerprint.
    """
    path = key_file(home, whose)
    try:
        file = path.read_bytes()
    except FileNotFoundError:
        raise UserError(f"the key of {named(whose)} is missing ({path}): {RESTORE}") from None
    except OSError as error:
        raise UserError(
            f"the key of {named(whose)} can't be read ({path}: {error.strerror}): give the file and its folder to the "
            "user who runs callmart"
        ) from None
    key = with_fingerprint(file, fingerprint)
    if key is None:
        raise UserError(f"{path} is not the key of {named(whose)}'s data: {RESTORE}")
    return key


def fits(home: Path, whose: Whose, fingerprint: str) -> bool:
    """Whether the home has the key with this fingerprint."""
    try:
        file = key_file(home, whose).read_bytes()
    except FileNotFoundError:
        return False
    return with_fingerprint(file, fingerprint) is not None


def with_fingerprint(file: bytes, fingerprint: str) -> bytes | None:
    """The layers of a file, from the first on, that have this fingerprint together; None if none have."""
    return next((key for key in epochs(file) if fingerprint_of(key) == fingerprint), None)


def layers_of(key: bytes) -> list[bytes]:
    """The layers of a key; none if the text is not as long as a key is."""
    whole = range(0, len(key), LAYER) if len(key) % LAYER == 0 else ()
    return [key[at : at + LAYER] for at in whole]


def epochs(key: bytes) -> list[bytes]:
    """The key as it was after each rotation, from its first layer alone to the whole."""
    return [key[: LAYER * number] for number in range(1, len(layers_of(key)) + 1)]


def first_layer(key: bytes) -> bytes:
    """The key as it was before any rotation."""
    return key[:LAYER]


def add_layer(home: Path, whose: Whose, key: bytes) -> bytes:
    """Write a key with a new layer behind it, synced to the disk, and return it. If the file already has a layer that
    no data was keyed with, that one is taken.
    """
    path = key_file(home, whose)
    if path.stat().st_size == len(key):
        write_keys(home, {whose: key + secrets.token_bytes(LAYER)})
    return path.read_bytes()[: len(key) + LAYER]


def key_file(home: Path, whose: Whose) -> Path:
    """The file of a key."""
    return home / "keys" / (f"{whose}.key" if whose == INSTALLATION else f"customer_{whose}.key")


def named(whose: Whose) -> str:
    """Whose key it is, in words."""
    return "this installation" if whose == INSTALLATION else f"customer {whose}"


def random_key() -> bytes:
    """A key of one layer that nobody has had."""
    return secrets.token_bytes(LAYER)


def new_key(home: Path, whose: Whose) -> bytes:
    """Make a new key and replace the old one. Earlier callers, agents, calls or files are not recognised any more."""
    key = random_key()
    write_keys(home, {whose: key})
    return key


def write_keys(home: Path, keys: Mapping[Whose, bytes]) -> None:
    """Write keys, synced to the disk: the database may know them by their fingerprints a moment later."""
    for whose, key in keys.items():
        secret_file(key_file(home, whose), key)
    if keys:
        sync(home / "keys")
        sync(home)  # in which the folder may be new


def fingerprint_of(key: bytes) -> str:
    """Sixteen characters that differ between keys and reveal nothing of a key."""
    return sha256(b"callmart key " + key).hexdigest()[:16]


def keyed(key: bytes, kind: str, value: str) -> str:
    """The pseudonym of a value: 128 bits of its HMAC, in hex. `kind` says of what: an agent, a number, an event
    and so on; the same value of another kind has another pseudonym."""
    first, *others = layers_of(key)
    return reduce(lambda pseudonym, layer: layered(layer, pseudonym), others, _hmac(first, f"{kind}:{value}"))


def is_pseudonym(text: str) -> bool:
    """Whether a text has the form of a pseudonym, as raw.is_key says it. A name has another."""
    return re.fullmatch("[0-9a-f]{32}", text) is not None


def layered(layer: bytes, pseudonym: str) -> str:
    """The pseudonym that an added layer makes of a pseudonym."""
    return _hmac(layer, pseudonym)


def _hmac(layer: bytes, text: str) -> str:
    return hmac.digest(layer, text.encode(), "sha256").hex()[:32]


def prefix_of(layer: bytes, kind: str) -> bytes:
    """The secret that keys the numbers of one kind. In the first layer it is call or event. Each other layer makes one
    number of another, whatever it is of.
    """
    return hmac.digest(layer, f"prefix:{kind}".encode(), "sha256")


def keyed_number(prefix: bytes, number: int) -> int:
    """The key of a call or an event: 64 bits, of the secret and of the 64 bits that anybody can compute. The secret and
    the number fit into one block of SHA-256, which is all that a landing can afford per event.
    """
    digest = sha256(prefix + str(number + 2**63).encode()).digest()
    return int.from_bytes(digest[:8]) - 2**63
