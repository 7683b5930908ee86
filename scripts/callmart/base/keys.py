"""The keys behind the pseudonyms: one per customer, kept in CALLMART_HOME and never in the database.

Whoever has a key can try all telephone numbers in minutes. Data is pseudonymous, not anonymous.
"""

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path

from pydantic import SecretStr

from callmart.base.errors import UserError

RESTORE = "run `callmart restore FOLDER --keys` with the folder of a backup"


def secret_file(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner can read. It is written whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = path.with_name(path.name + ".new")
    draft.unlink(missing_ok=True)
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content.encode() if isinstance(content, str) else content)
    draft.replace(path)


def refuse_shared(path: Path, named: str) -> None:
    """Raise UserError if other users can open a file that holds a secret; OSError if it can't be looked at."""
    if path.stat().st_mode & 0o077:
        raise UserError(f"{named}: other users can open {path}; close it with `chmod 600 {path}`")


def set_secret(setting: str, value: SecretStr | None, file: Path | None) -> str:
    """Return a secret that is set by its value or by a file. `setting` is the name of the setting of the file. Raises
    UserError if the file can't be read, or if other users can open it, or if the secret is empty.
    """
    try:
        if file is not None and value is None:
            refuse_shared(file, f"setting {setting}")
        secret = value.get_secret_value() if value else file.read_text().strip() if file else ""
    except (OSError, UnicodeDecodeError):
        raise UserError(
            f"setting {setting}: {file} can't be read; create it with the secret in it."
        ) from None
    if not secret:
        raise UserError(f"setting {setting}: the secret is empty; name a file that contains it.")
    return secret


def ensure_key(home: Path, customer_id: int, fingerprint: str | None) -> bytes:
    """Return the customer's key. It is made if the registry has no fingerprint of one yet.

    Raises UserError if the registry has a fingerprint, and the key is missing or has another fingerprint.
    """
    if fingerprint is not None:
        return known_key(home, customer_id, fingerprint)
    path = key_file(home, customer_id)
    return path.read_bytes() if path.exists() else new_key(home, customer_id)


def known_key(home: Path, customer_id: int, fingerprint: str) -> bytes:
    """Return the customer's key. Raises UserError if it is missing or has another fingerprint."""
    path = key_file(home, customer_id)
    if not path.exists():
        raise UserError(f"the key of customer {customer_id} is missing ({path}): {RESTORE}")
    key = path.read_bytes()
    if fingerprint_of(key) != fingerprint:
        raise UserError(f"{path} is not the key of customer {customer_id}'s data: {RESTORE}")
    return key


def key_file(home: Path, customer_id: int) -> Path:
    """The file of a customer's key."""
    return home / "keys" / f"customer_{customer_id}.key"


def new_key(home: Path, customer_id: int) -> bytes:
    """Make a new key for a customer and replace the old one. Earlier callers and agents are not recognised any more."""
    key = secrets.token_bytes(32)
    secret_file(key_file(home, customer_id), key)
    return key


def fingerprint_of(key: bytes) -> str:
    """Sixteen characters that differ between keys and reveal nothing of a key."""
    return sha256(b"callmart key " + key).hexdigest()[:16]


def keyed(key: bytes, kind: str, value: str) -> str:
    """The pseudonym of a value: 128 bits of its HMAC, in hex. `kind` is agent, number, device or event."""
    return hmac.digest(key, f"{kind}:{value}".encode(), "sha256").hex()[:32]
