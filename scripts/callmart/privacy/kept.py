"""What has to be remembered of a person from the erasure to its proof: words, and the keys of events that are gone.

It is in a file of the home, encrypted with a key that only somebody can make who names the person again and has the
customer's key. For a name that is corrected, what the register knows the person by stands for the person. The file goes
when nothing is left of the person.
"""

import hmac
import json
import secrets
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Self

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from callmart.base.disk import sync
from callmart.base.errors import UserError
from callmart.base.person import Person, Proof
from callmart.base.secret_files import secret_file
from callmart.land.places import Stored
from callmart.privacy.procedure import Case

_NONCE = 12  # bytes


@dataclass(frozen=True)
class Remembered:
    """What is remembered of an erasure."""

    words: frozenset[str] = field(default=frozenset(), repr=False)
    traces: frozenset[int] = field(default=frozenset(), repr=False)  # former keys of events and calls
    calls: frozenset[int] = field(default=frozenset(), repr=False)  # former keys of a caller's calls
    devices: frozenset[str] = field(default=frozenset(), repr=False)  # keys of those only this agent used
    named: frozenset[str] = field(default=frozenset(), repr=False)  # as Person has it
    addresses: frozenset[str] = field(default=frozenset(), repr=False)  # as Person has them

    @classmethod
    def of(cls, person: Person, stored: Stored) -> Self:
        """What there is to remember now."""
        return cls(person.words, stored.traces, stored.calls, stored.devices, person.named, person.addresses)

    def completed(self, person: Person) -> Person:
        """The person with what the registry has no more."""
        return replace(
            person,
            words=person.words | self.words,
            named=person.named | self.named,
            addresses=person.addresses | self.addresses,
        )

    def __or__(self, other: Self) -> Self:
        return replace(
            self, **{each.name: getattr(self, each.name) | getattr(other, each.name) for each in fields(self)}
        )


def keep(case: Case, content: Remembered) -> None:
    """Write the file, synced to the disk."""
    path = _path(case.work.settings.home, case.request)
    nonce = secrets.token_bytes(_NONCE)
    written = json.dumps({name: sorted(values) for name, values in asdict(content).items()})
    secret_file(path, nonce + _cipher(case).encrypt(nonce, written.encode(), None))
    sync(path.parent)


def recall(case: Case) -> Remembered | None:
    """What the file remembers; None if there is none. Raises UserError if it is about other ids than the person's."""
    try:
        sealed = _path(case.work.settings.home, case.request).read_bytes()
    except FileNotFoundError:
        return None
    try:
        content = _cipher(case).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
    except InvalidTag:
        raise UserError(
            f"request {case.request} is about somebody else, or about more ids: name the person as in its plan"
        ) from None
    return Remembered(**{name: frozenset(values) for name, values in json.loads(content).items()})


def is_kept(home: Path, request: int) -> bool:
    """Whether there is a file."""
    return _path(home, request).exists()


def forget_if_gone(case: Case, proofs: Iterable[Proof]) -> None:
    """Delete the file if nothing is left of the person."""
    if not any(proof.left.total() for proof in proofs):
        forget(case.work.settings.home, case.request)


def forget(home: Path, request: int) -> None:
    """Delete the file."""
    _path(home, request).unlink(missing_ok=True)


def _path(home: Path, request: int) -> Path:
    return home / "privacy" / f"request-{request}"


def _cipher(case: Case) -> AESGCM:
    named = " ".join(sorted(case.person.entered))
    return AESGCM(hmac.digest(case.key, f"proof:{case.request}:{named}".encode(), "sha256"))
