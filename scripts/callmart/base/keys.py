"""The keys behind the pseudonyms: one per customer and one of the installation, kept in CALLMART_HOME and never in the
database.

Whoever has a key can try all telephone numbers in minutes. Data is pseudonymous, not anonymous.

A file holds one layer of 32 bytes. A rotated key will be the file with another layer behind the first: then the new
pseudonym is the layer's HMAC of the old one. This version knows one layer, and refuses a file of another size.
"""

import hmac
import os
import secrets
from hashlib import sha256
from pathlib import Path
from typing import Literal

from pydantic import SecretStr

from callmart.base.errors import UserError

RESTORE = "run `callmart restore FOLDER --keys` with the folder of a backup"
LAYER = 32  # bytes

# Its key is that of the names and contents of landed files.
INSTALLATION: Literal["installation"] = "installation"
Whose = int | Literal["installation"]  # a customer's number, or the installation


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


def ensure_key(home: Path, whose: Whose, fingerprint: str | None) -> bytes:
    """Return a key. It is made if the database has no fingerprint of one yet.

    Raises UserError if the database has a fingerprint, and the key is missing or has another fingerprint.
    """
    if fingerprint is not None:
        return known_key(home, whose, fingerprint)
    path = key_file(home, whose)
    return path.read_bytes() if path.exists() else new_key(home, whose)


def known_key(home: Path, whose: Whose, fingerprint: str) -> bytes:
    """Return a key. Raises UserError if it is missing or has another fingerprint."""
    path = key_file(home, whose)
    if not path.exists():
        raise UserError(f"the key of {named(whose)} is missing ({path}): {RESTORE}")
    key = path.read_bytes()
    if len(key) != LAYER or fingerprint_of(key) != fingerprint:
        raise UserError(f"{path} is not the key of {named(whose)}'s data: {RESTORE}")
    return key


def key_file(home: Path, whose: Whose) -> Path:
    """The file of a key."""
    return home / "keys" / (f"{whose}.key" if whose == INSTALLATION else f"customer_{whose}.key")


def named(whose: Whose) -> str:
    """Whose key it is, in words."""
    return "this installation" if whose == INSTALLATION else f"customer {whose}"


def new_key(home: Path, whose: Whose) -> bytes:
    """Make a new key and replace the old one. Earlier callers, agents, calls or files are not recognised any more."""
    key = secrets.token_bytes(LAYER)
    secret_file(key_file(home, whose), key)
    return key


def fingerprint_of(key: bytes) -> str:
    """Sixteen characters that differ between keys and reveal nothing of a key."""
    return sha256(b"callmart key " + key).hexdigest()[:16]


def keyed(key: bytes, kind: str, value: str) -> str:
    """The pseudonym of a value: 128 bits of its HMAC, in hex. `kind` is agent, number, device, status, event
    or contact; of the installation, file or content."""
    return hmac.digest(key, f"{kind}:{value}".encode(), "sha256").hex()[:32]


def prefix_of(key: bytes, kind: str) -> bytes:
    """The secret that keys the numbers of one kind: call or event."""
    return hmac.digest(key, f"prefix:{kind}".encode(), "sha256")


def keyed_number(prefix: bytes, number: int) -> int:
    """The key of a call or an event: 64 bits, of the secret and of the 64 bits that anybody can compute. The secret and
    the number fit into one block of SHA-256, which is all that a landing can afford per event.
    """
    digest = sha256(prefix + str(number + 2**63).encode()).digest()
    return int.from_bytes(digest[:8]) - 2**63
