"""The text of the ledger: a chain of entries, each of which says what was done with a person of a customer, such as
erased, and until when.

The file is JSON, one object per line. The first line names the ledger, and each other line is an entry. An entry's body
is hidden behind a salted digest, its commitment, and the chain runs over these. So when a tombstone ends, the body and
its salt can go, and the chain still verifies. A body holds no name, number or pseudonym: only HMACs.
"""

import json
import secrets
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from hashlib import sha256
from typing import Any

FORMAT = 1
_SALT = 32  # bytes


class Broken(Exception):
    """A text that is no whole ledger. The message says where it breaks."""


@dataclass(frozen=True)
class Body:
    """What was done with one person of a customer: mostly, what was erased."""

    customer_id: int
    kind: str  # agent, caller, contact or recipient
    key: str | None  # the fingerprint of the customer's key that the tombstones were made with
    until: datetime  # what came later is not concerned
    at: datetime  # when the entry was written
    request: int | None
    tombstones: Mapping[str, tuple[str, ...]]  # by kind: of the person, and of each of a caller's calls
    # Or an objection, which leaves the person out, a lifting, which ends that, or a rectification, which gives events
    # of the person to another agent.
    right: str = "erasure"
    since: datetime | None = None  # of a rectification

    def says_the_same(self, other: "Body | None") -> bool:
        """Whether both say the same, whenever they were written."""
        return other is not None and replace(self, at=other.at) == other


@dataclass(frozen=True)
class Entry:
    """One entry of the chain. `salt` and `body` are None once its tombstones have ended."""

    number: int
    previous: str
    commitment: str
    digest: str
    salt: str | None
    body: Body | None

    def without_body(self) -> "Entry":
        """The entry as it stays when its tombstones have ended."""
        return replace(self, salt=None, body=None)


@dataclass(frozen=True)
class Chain:
    """A whole ledger: its id, and its entries from number 1 on."""

    ledger: str
    entries: tuple[Entry, ...] = ()

    @property
    def by_number(self) -> dict[int, Entry]:
        """The entries by their numbers."""
        return {entry.number: entry for entry in self.entries}

    @property
    def last(self) -> tuple[int, str]:
        """The number and the digest of the last entry. An answer carries them: nobody can change the ledger after."""
        if not self.entries:
            return 0, beginning(self.ledger)
        return self.entries[-1].number, self.entries[-1].digest

    def followed_by(self, body: Body, salt: str | None = None) -> Entry:
        """The entry that comes next with this body."""
        number, previous = self.last
        salt = salt or secrets.token_hex(_SALT)
        commitment = commitment_of(salt, body)
        digest = digest_of(self.ledger, number + 1, previous, commitment)
        return Entry(number + 1, previous, commitment, digest, salt, body)

    def common(self, other: "Chain") -> int:
        """How many entries both have at their beginning. It is -1 if they are different ledgers."""
        if self.ledger != other.ledger:
            return -1
        pairs = zip(self.entries, other.entries, strict=False)
        return next(
            (number for number, (one, another) in enumerate(pairs) if one.digest != another.digest),
            min(len(self.entries), len(other.entries)),
        )

    def text(self) -> bytes:
        """The ledger as it is written."""
        return header(self.ledger) + b"".join(map(line, self.entries))


def new_ledger() -> str:
    """An id for a new ledger."""
    return secrets.token_hex(16)


def beginning(ledger: str) -> str:
    """The digest that the first entry follows."""
    return sha256(header(ledger)).hexdigest()


def commitment_of(salt: str, body: Body) -> str:
    """The digest that stands for a body. Without the salt nobody can try what it was made from."""
    return sha256(bytes.fromhex(salt) + _compact(_of_body(body))).hexdigest()


def digest_of(ledger: str, number: int, previous: str, commitment: str) -> str:
    """The digest of an entry, which the next one follows."""
    return sha256(f"{ledger} {number} {previous} {commitment}".encode()).hexdigest()


def header(ledger: str) -> bytes:
    """The first line."""
    return _compact({"format": FORMAT, "ledger": ledger}) + b"\n"


def line(entry: Entry) -> bytes:
    """The line of an entry."""
    written = {
        "number": entry.number,
        "previous": entry.previous,
        "commitment": entry.commitment,
        "digest": entry.digest,
        "salt": entry.salt,
        "body": None if entry.body is None else _of_body(entry.body),
    }
    return _compact(written) + b"\n"


def whole_lines(text: bytes) -> bytes:
    """The text without a last line that was never finished: nothing had been deleted yet."""
    return text[: text.rfind(b"\n") + 1]


def parse(text: bytes) -> Chain:
    """Read a ledger of whole lines. Raises Broken if a single byte is not as it was written, but the end can be
    missing: that shows only beside another copy.
    """
    lines = text.splitlines(keepends=True)
    ledger = _ledger(lines[0]) if lines else None
    if ledger is None:
        raise Broken("it does not begin like a ledger")
    return Chain(ledger, tuple(_entries(ledger, lines[1:])))


def whole(ledger: Chain) -> Chain | None:
    """A ledger if it is whole, otherwise None."""
    try:
        return parse(ledger.text()) if ledger.ledger else None
    except Broken:
        return None


def longest(ledgers: Iterable[Chain]) -> Chain:
    """The ledger with the most entries."""
    return max(ledgers, key=lambda each: len(each.entries))


def _ledger(first: bytes) -> str | None:
    found = _loaded(first)
    ledger = found.get("ledger")
    return ledger if isinstance(ledger, str) and first == header(ledger) else None


def _entries(ledger: str, lines: Iterable[bytes]) -> Iterator[Entry]:
    previous = beginning(ledger)
    for number, text in enumerate(lines, 1):
        try:
            entry = _entry(_loaded(text))
            sound = (
                text == line(entry)
                and (entry.number, entry.previous) == (number, previous)
                and entry.digest == digest_of(ledger, number, previous, entry.commitment)
                and (entry.body is None) == (entry.salt is None)
            )
            if entry.body is not None and entry.salt is not None:
                as_hex = bytes.fromhex(entry.salt).hex()  # a salt with spaces in it would be the same bytes
                sound = (
                    sound and entry.salt == as_hex and entry.commitment == commitment_of(as_hex, entry.body)
                )
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError):
            sound = False
        if not sound:
            raise Broken(f"entry {number} is not as it was written")
        previous = entry.digest
        yield entry


def _loaded(text: bytes) -> Any:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _entry(found: Any) -> Entry:
    body = found["body"]
    return Entry(
        found["number"],
        found["previous"],
        found["commitment"],
        found["digest"],
        found["salt"],
        None if body is None else _body(body),
    )


def _body(found: Any) -> Body:
    return Body(
        found["customer"],
        found["kind"],
        found["key"],
        datetime.fromisoformat(found["until"]),
        datetime.fromisoformat(found["at"]),
        found["request"],
        {kind: tuple(tombstones) for kind, tombstones in found["tombstones"].items()},
        found.get("right", "erasure"),
        datetime.fromisoformat(found["since"]) if "since" in found else None,
    )


def _of_body(body: Body) -> dict[str, Any]:
    # An erasure is written as it was before the ledger knew other rights.
    other = {} if body.right == "erasure" else {"right": body.right}
    if body.since is not None:
        other["since"] = body.since.astimezone(UTC).isoformat()
    return {
        **other,
        "customer": body.customer_id,
        "kind": body.kind,
        "key": body.key,
        "until": body.until.astimezone(UTC).isoformat(),
        "at": body.at.astimezone(UTC).isoformat(),
        "request": body.request,
        "tombstones": {kind: sorted(body.tombstones[kind]) for kind in sorted(body.tombstones)},
    }


def _compact(written: dict[str, Any]) -> bytes:
    return json.dumps(written, separators=(",", ":"), ensure_ascii=True).encode()
