"""How a right is carried out: each has a module that plans, does and proves, such as erasing.py.

privacy/by_right.py says which module.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Protocol, Self

import psycopg

from callmart.access import sessions
from callmart.base.errors import UserError
from callmart.base.keys import keyed
from callmart.base.person import Blocked, Counts, Person, Proof, Work
from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.database import ledger
from callmart.database.tombstones import Kind, secret_of, tombstone
from callmart.land.places import Cells
from callmart.opening.places import Marts
from callmart.privacy.letters import CELLS
from callmart.publish import tableau

OnPlace = Callable[[str, Counts], None]
OnProof = Callable[[str, Proof], None]
Begin = Callable[[str | None], None]


@dataclass(frozen=True)
class Plan:
    """What a request would change or show: counts per place, and the queues and days whose figures change. `whose` is
    that of the case.
    """

    whose: str
    counts: Mapping[str, Counts]
    cells: Cells = field(default_factory=Cells)

    @property
    def hash(self) -> str:
        """By which a person approves the plan. Any other person, count or cell gives another one; that a day to come
        has come does not.
        """
        counts = {place: dict(sorted(_without_cells(found).items())) for place, found in self.counts.items()}
        all_cells = sorted(self.cells.known + self.cells.to_come)
        cells = [(cell.change, cell.queue, str(cell.call_date)) for cell in all_cells]
        return sha256(json.dumps([self.whose, counts, cells], sort_keys=True).encode()).hexdigest()[:16]

    def with_cells(self, cells: Cells) -> Self:
        """The plan with these cells as well. The known ones are counted among the marts."""
        known, to_come = (tuple(sorted({*own, *more})) for own, more in zip(self.cells, cells, strict=True))
        of_marts = _without_cells(self.counts[Marts.name]) + Counts(f"{CELLS}{cell.change}" for cell in known)
        return replace(self, counts={**self.counts, Marts.name: of_marts}, cells=Cells(known, to_come))


def _without_cells(counts: Counts) -> Counts:
    return Counts({what: count for what, count in counts.items() if not what.startswith(CELLS)})


@dataclass(frozen=True)
class Case:
    """A request that is carried out: about whom, and with what."""

    work: Work
    person: Person
    key: bytes = field(repr=False)  # the customer's
    request: int

    @property
    def whose(self) -> str:
        """Stands for the person and the moment; nobody can make it without the customer's key."""
        person = self.person
        return keyed(self.key, "plan", f"{' '.join(sorted(person.keys))} {person.until.timestamp()}")

    def tombstones(self, kind: Kind, pseudonyms: Iterable[str]) -> list[str]:
        """What the ledger has of these."""
        secret = secret_of(self.key)
        return [tombstone(secret, kind, one) for one in sorted(pseudonyms)]

    def is_in_ledger(self, kind: Kind, pseudonyms: Iterable[str]) -> bool:
        """Whether the ledger has it that this request was done to one of these, or is about to be."""
        connection = self.work.connection
        with connection.transaction():
            tombstones = self.tombstones(kind, pseudonyms)
            return ledger.secures(connection, self.person, self.request, kind, tombstones)


@dataclass(frozen=True)
class Steps:
    """What is told while a request is done.

    `begin` comes before anything changes, with the hash of the plan as it is now, or with None if the ledger has it
    already; it raises UserError if another plan was approved. `on_control` comes before that, with what a search has
    found that is to find nothing later. `on_place` comes after each place, with what was done there. `needs_control`
    says that no control is recorded, so that one comes even if the ledger has it already: a register that was restored
    does not know what was done since its backup.
    """

    begin: Begin = quietly
    on_control: OnPlace = quietly
    on_place: OnPlace = quietly
    needs_control: bool = False


class Procedure(Protocol):
    """What a right's module offers. A plan and a proof have all places of privacy/places.py; the register refuses one
    that lacks a place. Each raises Blocked if a place can't be reached: then the same call goes on later.
    """

    def plan(self, case: Case) -> Plan:
        """Find out what would be done. Changes nothing."""

    def do(self, case: Case, steps: Steps) -> None:
        """Do it."""

    def prove(self, case: Case, on_place: OnProof) -> int:
        """Look whether it is done. `on_place` is called after each place. Returns how many words could be sought as
        whole values only.
        """


@contextmanager
def working(connection: psycopg.Connection, settings: Settings) -> Iterator[Work]:
    """What the places work with. `connection` is the owner's. Signs in to Tableau when that is first needed."""
    with sessions.making_way(connection, spares_landings=True), tableau.at_sites(settings) as at:
        yield Work(connection, settings, at)


@contextmanager
def blocked(place: str) -> Iterator[None]:
    """Within it, whatever is in the way blocks the request, in the name of the place."""
    try:
        yield
    except UserError as error:
        blocked = error if isinstance(error, Blocked) else Blocked("failed", str(error))
        blocked.place = blocked.place or place
        raise blocked from None
