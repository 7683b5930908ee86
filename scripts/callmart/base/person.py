"""Who a request is about, and what each place where a person can be must be able to do."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, Protocol, Self

import psycopg

from callmart.base.errors import UserError
from callmart.base.needles import Needles
from callmart.base.settings import Settings

Kind = Literal["agent", "caller", "contact", "recipient"]
Counts = Counter[str]  # by what is counted: a table, a kind of file, a kind of content on Tableau


@dataclass(frozen=True)
class Person:
    """The person whom a request is about, up to a moment. Words and keys never appear in a message."""

    customer_id: int
    kind: Kind
    words: frozenset[str] = field(repr=False)  # in clear: ids, name, address, spellings of the number
    keys: frozenset[str] = field(repr=False)  # the pseudonyms that the database has instead
    until: datetime  # the end, in UTC, of a local day that is over: what came later is not concerned
    addresses: frozenset[str] = field(default=frozenset(), repr=False)  # as the registry spells them
    # The pseudonyms of addresses and names by which the registry can name the person elsewhere, as kind:pseudonym.
    named: frozenset[str] = field(default=frozenset(), repr=False)
    # What an agent's keys were before rotations: pairs of a key and a former one.
    former: frozenset[tuple[str, str]] = field(default=frozenset(), repr=False)
    # Of the keys, those of ids that nobody entered: who is 1001 is also 1001.0.
    implied: frozenset[str] = field(default=frozenset(), repr=False)

    @property
    def all_keys(self) -> list[tuple[str, str]]:
        """Each key with itself, and with what it was before rotations."""
        return sorted({(key, key) for key in self.keys} | self.former)

    @property
    def entered(self) -> frozenset[str]:
        """The keys of what was entered."""
        return self.keys - self.implied


class Seal(Protocol):
    """How a package for a person is encrypted (privacy/package/sealing.py)."""

    @property
    def how(self) -> str:
        """As evidence says it."""

    @property
    def seal(self) -> Callable[[bytes], bytes]:
        """What encrypts."""


@dataclass
class Work:
    """What a place works with. The owner's connection is in no transaction; a place begins its own, or commits."""

    connection: psycopg.Connection
    settings: Settings
    # The signed-in server of a site, by default of the one that customers share. It signs in when it is asked for.
    tableau: Callable[..., Any]
    needles: Needles = field(default_factory=lambda: Needles(()))  # what may be left nowhere of the person
    seal: Seal | None = None  # for a package, if one is made


@dataclass(frozen=True)
class Proof:
    """What was looked at, and where the person still is."""

    searched: Counts
    left: Counts
    # What callmart can't look at itself, such as the log of a server elsewhere: its operator attests it.
    to_attest: tuple[str, ...] = ()

    @classmethod
    def of_files(cls, are_in: Iterable[object], left: Counts | None = None) -> Self:
        """Of files: for each, whether the person is in it. Something else may be `left` beside."""
        found = list(map(bool, are_in))
        return cls(+Counts(files=len(found)), Counts(files=sum(found)) + (left or Counts()))


class Place(Protocol):
    """A place where a person can be. Each raises Blocked if it can't be reached.

    Every table, path and kind of content belongs to exactly one place (privacy/places.py), by the patterns of
    base/patterns.py.
    """

    @property
    def name(self) -> str:
        """The place's name in the plan and in the register."""

    @property
    def tables(self) -> tuple[str, ...]:
        """The patterns of its tables, as schema.table."""

    @property
    def paths(self) -> tuple[str, ...]:
        """The patterns of its files in CALLMART_HOME."""

    @property
    def contents(self) -> tuple[str, ...]:
        """Its kinds of content on Tableau."""

    def find(self, work: Work, person: Person) -> Counts:
        """Count what there is of the person. Changes nothing."""

    def treat(self, work: Work, person: Person) -> Counts:
        """Erase the person, and count what was treated. Doing it again treats what is left."""

    def prove(self, work: Work, person: Person) -> Proof:
        """Look for the person again."""


class Blocked(UserError):
    """A place that can't be treated or proved now. The request stays open with the code."""

    place = ""  # whoever works through the places fills it in

    def __init__(self, code: str, remedy: str) -> None:
        super().__init__(remedy)
        self.code = code
