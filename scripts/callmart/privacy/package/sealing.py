"""Encrypts a package for whoever asked, as a file of age (age-encryption.org): to a public key or with a passphrase."""

import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pyrage

from callmart.base.errors import UserError

# Letters that nobody mistakes for another when they are told on the telephone.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"
_GROUPS, _GROUP = 6, 4  # 24 of 31 letters: 118 bits


@dataclass(frozen=True)
class Seal:
    """How a package is encrypted. The passphrase is told once, and nowhere kept."""

    how: str  # as evidence says it
    seal: Callable[[bytes], bytes] = field(repr=False)
    passphrase: str = field(default="", repr=False)


def with_passphrase() -> Seal:
    """With a new passphrase."""
    passphrase = "-".join("".join(secrets.choice(_LETTERS) for _ in range(_GROUP)) for _ in range(_GROUPS))
    return Seal(
        "with a passphrase", lambda content: pyrage.passphrase.encrypt(content, passphrase), passphrase
    )


def to_key(file: Path) -> Seal:
    """To the public key in a file: of age (age1…) or of SSH (ssh-ed25519 or ssh-rsa). Raises UserError if there is no
    such key in it, or more than one.
    """
    try:
        lines = [line.strip() for line in file.read_text("utf-8").splitlines()]
    except (OSError, UnicodeDecodeError):
        raise UserError(f"{file} can't be read: name the file with the public key of whoever asked") from None
    keys = [line for line in lines if line and not line.startswith("#")]
    if any("PRIVATE KEY" in key or key.startswith("AGE-SECRET-KEY") for key in keys):
        raise UserError(f"{file} has a private key, which nobody else may have: ask for the public one")
    if len(keys) != 1:
        raise UserError(
            f"{file} has {len(keys)} lines with a key: leave only the public key of whoever asked"
        )
    recipient = _recipient(file, keys[0])
    return Seal("to a public key", lambda content: pyrage.encrypt(content, [recipient]))


def _recipient(file: Path, key: str) -> pyrage.x25519.Recipient | pyrage.ssh.Recipient:
    for kind in (pyrage.x25519.Recipient, pyrage.ssh.Recipient):
        try:
            return kind.from_str(key)
        except pyrage.RecipientError:
            continue
    if key.startswith(("age1", "ssh-ed25519 ", "ssh-rsa ")):
        raise UserError(
            f"{file} has a public key that is damaged or cut off, or of a kind that callmart does not know: ask "
            "whoever asked to send it again, or another one (age1… without a plugin, ssh-ed25519 or ssh-rsa)"
        )
    raise UserError(
        f"{file} has no public key: it begins with age1, ssh-ed25519 or ssh-rsa; ask for one of these"
    )
