"""The keys behind the pseudonyms: one a customer, kept in CALLMART_HOME and never in the database.

Whoever has a key can try all telephone numbers in minutes: these are pseudonyms, not anonymity.
"""

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path

from callmart.base.errors import UserError


def secret_file(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner reads, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    draft.replace(path)


def refuse_shared(path: Path, named: str) -> None:
    """UserError where a file that holds a secret is open to others than its owner; OSError where it can't be seen."""
    if path.stat().st_mode & 0o077:
        raise UserError(f"{named}: {path} is open to others than its owner; close it with `chmod 600 {path}`")


def ensure_key(home: Path, customer_id: int, fingerprint: str | None) -> bytes:
    """The customer's key; made where the registry has never seen one.

    Raises UserError where the registry knows a fingerprint and the key is gone or is another.
    """
    path = key_file(home, customer_id)
    if path.exists():
        key = path.read_bytes()
    elif fingerprint is None:
        key = new_key(home, customer_id)
    else:
        raise UserError(f"the key of customer {customer_id} is missing: restore {path} from your backup")
    if fingerprint is not None and fingerprint_of(key) != fingerprint:
        raise UserError(
            f"{path} is not the key that customer {customer_id}'s data was made with: restore it from your backup"
        )
    return key


def key_file(home: Path, customer_id: int) -> Path:
    """Where a customer's key stands."""
    return home / "keys" / f"customer_{customer_id}.key"


def new_key(home: Path, customer_id: int) -> bytes:
    """Make a key, in the place of any that the customer had: nobody of before is recognised any more."""
    key = secrets.token_bytes(32)
    secret_file(key_file(home, customer_id), key)
    return key


def fingerprint_of(key: bytes) -> str:
    """What tells two keys apart without giving either away."""
    return sha256(b"callmart key " + key).hexdigest()[:16]


def keyed(key: bytes, kind: str, value: str) -> str:
    """The pseudonym of a value: 128 bits of an HMAC in hex. `kind` is agent, number, device or event."""
    return hmac.digest(key, f"{kind}:{value}".encode(), "sha256").hex()[:32]
