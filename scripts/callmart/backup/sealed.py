"""The file of the keys in a backup: encrypted with a passphrase, and bound to the database that it is a backup of.

The key of the encryption comes from the passphrase by scrypt. AES-GCM also authenticates the hash of the database's
dump. So if somebody exchanges or changes the dump, the file does not open.
"""

import json
import secrets

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from callmart.base.errors import UserError
from callmart.base.keys import INSTALLATION, Whose
from callmart.base.secret_files import secret_of
from callmart.base.settings import Settings

_HEADER = b"callmart keys 1\n"
_SALT, _NONCE = 16, 12  # bytes
_COST = 2**17  # takes 128 MB of memory
SHORTEST_PASSPHRASE = 16

Keys = dict[Whose, bytes]


def passphrase(settings: Settings) -> str:
    """Return the passphrase of backups. Raises UserError if there is none, or a short one."""
    if settings.backup_passphrase is None and settings.backup_passphrase_file is None:
        raise UserError(
            "there is no passphrase for the keys in a backup: let backup_passphrase_file name a file with one "
            "(mode 0600), or set CALLMART_BACKUP_PASSPHRASE"
        )
    found = secret_of("backup_passphrase_file", settings.backup_passphrase, settings.backup_passphrase_file)
    if len(found) < SHORTEST_PASSPHRASE:
        raise UserError(
            f"the passphrase for backups is shorter than {SHORTEST_PASSPHRASE} characters: make one with "
            "`openssl rand -base64 24`"
        )
    return found


def seal(keys: Keys, phrase: str, dump: str) -> bytes:
    """Return the encrypted file. `dump` is the hash of the database's dump."""
    content = json.dumps({str(whose): key.hex() for whose, key in keys.items()})
    salt, nonce = secrets.token_bytes(_SALT), secrets.token_bytes(_NONCE)
    return (
        _HEADER
        + salt
        + nonce
        + _cipher(phrase, salt).encrypt(nonce, content.encode(), _HEADER + dump.encode())
    )


def unseal(sealed: bytes, phrase: str, dump: str) -> Keys:
    """Return the keys. Raises UserError if the passphrase is wrong, or if the file belongs to another dump."""
    body = sealed.removeprefix(_HEADER)
    salt, nonce, encrypted = body[:_SALT], body[_SALT : _SALT + _NONCE], body[_SALT + _NONCE :]
    try:
        content = _cipher(phrase, salt).decrypt(nonce, encrypted, _HEADER + dump.encode())
    except (InvalidTag, ValueError):
        raise UserError(
            "the keys of this backup can't be decrypted: give the passphrase that it was made with; if this is the "
            "one, its database was exchanged, so use another backup"
        ) from None
    return {
        INSTALLATION if whose == INSTALLATION else int(whose): bytes.fromhex(key)
        for whose, key in json.loads(content).items()
    }


def _cipher(phrase: str, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, n=_COST, r=8, p=1).derive(phrase.encode()))
