"""Erases persons of the customer NAMED (centre.py) from all places, and looks for them."""

from datetime import date

from callmart.base.keys import key_file, keyed
from callmart.base.person import Counts, Kind, Person, Proof, Work
from callmart.privacy import erasing, persons
from callmart_home import Callmart, ignore_step
from centre import DAYS, NAMED


def of(work: Work, kind: Kind, *words: str, day: date | None = None) -> Person:
    """The person, up to the end of a day; by default of the last one."""
    until = persons.end_of(work.connection, NAMED, day or DAYS[-1])
    key = key_of(work)
    found = persons.person(work.connection, key, NAMED, kind, words, until)
    work.connection.commit()
    return found


def plan_of(work: Work, person: Person) -> erasing.Plan:
    """What would be erased."""
    return erasing.plan(work, person, key_of(work))


def do(work: Work, person: Person, request: int) -> dict[str, Counts]:
    """Erase, without a register; returns what was treated in each place."""
    treated: dict[str, Counts] = {}
    key = key_of(work)
    erasing.do(work, person, key, request, ignore_step, ignore_step, treated.__setitem__)
    return treated


def prove(work: Work, person: Person, request: int) -> dict[str, Proof]:
    """Look for the person again."""
    proofs: dict[str, Proof] = {}
    key = key_of(work)
    erasing.prove(work, person, key, request, proofs.__setitem__)
    return proofs


def left(proofs: dict[str, Proof]) -> dict[str, Counts]:
    """The places in which something is left."""
    return {name: proof.left for name, proof in proofs.items() if proof.left}


def key_of(work: Work | Callmart) -> bytes:
    """The customer's key."""
    return key_file(work.settings.home, NAMED).read_bytes()


def agent_key(home: Callmart, agent: str) -> str:
    """The key of an agent, by id."""
    return keyed(key_of(home), "agent", agent)


def stored(number: int) -> tuple[bytes, bytes]:
    """A bigint as PostgreSQL stores it, in both byte orders."""
    return number.to_bytes(8, "little", signed=True), number.to_bytes(8, "big", signed=True)
