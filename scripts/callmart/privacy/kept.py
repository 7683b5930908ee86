"""What has to be remembered of a person from the erasure to its proof: names, and the keys of events that are gone.

It is in a file of the home, encrypted with a key that only somebody can make who names the person again and has the
customer's key. The file goes when nothing is left of the person.
"""

import hmac
import json
import os
import secrets
from dataclasses import replace
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from callmart.base.errors import UserError
from callmart.base.keys import secret_file
from callmart.base.person import Person

_NONCE = 12  # bytes


def keep(home: Path, key: bytes, request: int, person: Person, subject: str) -> None:
    """Write the file, unless it is there: then an erasure that began before goes on."""
    path = _path(home, request)
    if path.exists():
        return
    content = json.dumps(
        {"words": sorted(person.words), "keys": sorted(person.keys), "traces": sorted(person.traces)}
    )
    nonce = secrets.token_bytes(_NONCE)
    secret_file(path, nonce + _cipher(key, request, subject).encrypt(nonce, content.encode(), None))
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def recall(home: Path, key: bytes, request: int, person: Person, subject: str) -> Person:
    """The person, with what the file remembers. Without a file, nothing was erased yet."""
    path = _path(home, request)
    if not path.exists():
        return person
    sealed = path.read_bytes()
    try:
        content = _cipher(key, request, subject).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
    except InvalidTag:
        raise UserError(f"request {request} is about somebody else: name the person whom it is about") from None
    kept = json.loads(content)
    return replace(
        person,
        words=person.words | set(kept["words"]),
        keys=person.keys | set(kept["keys"]),
        traces=person.traces | set(kept["traces"]),
    )


def forget(home: Path, request: int) -> None:
    """Delete the file."""
    _path(home, request).unlink(missing_ok=True)


def _path(home: Path, request: int) -> Path:
    return home / "privacy" / f"request-{request}"


def _cipher(key: bytes, request: int, subject: str) -> AESGCM:
    return AESGCM(hmac.digest(key, f"proof:{request}:{subject}".encode(), "sha256"))
