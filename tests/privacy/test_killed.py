"""Kill -9 at each step that changes something, for each kind of person: the same end, and nothing closed too early.

Afterwards a program that knows nothing of callmart looks for the person in all bytes of the home.
"""

from collections.abc import Iterator

import pytest

from callmart.base.person import Kind, Work
from callmart.database import ledger
from callmart.land import places as landed
from callmart.privacy import kept
from callmart_home import Callmart
from erasures import ANOTHER, CONTACT, STAYER, case, do, kill_after, left, of, prove
from searching import files_with

pytestmark = [pytest.mark.server, pytest.mark.thorough, pytest.mark.usefixtures("unchecked")]

STEPS: dict[Kind, tuple[str, ...]] = {
    "agent": ("doorway", "events", "registry", "marts", "extracts", "tableau content", "server files"),
    "caller": ("events", "marts", "extracts", "emulator", "server files"),
    "contact": ("registry", "tableau users", "server files"),
    "recipient": ("registry", "tableau users", "emulator"),
}
PEOPLE: dict[Kind, str] = {
    "agent": STAYER, "caller": ANOTHER, "contact": CONTACT, "recipient": "planner@een.example",
}  # fmt: skip


def traces_of(work: Work, kind: Kind) -> Iterator[bytes]:
    """Some of the keys that lead to what was landed, as the database stores them."""
    for trace in sorted(landed.look(work.connection, of(work, kind, PEOPLE[kind])).traces)[:5]:
        yield trace.to_bytes(8, "little", signed=True)


@pytest.mark.parametrize("kind", STEPS)
def test_killed_at_any_step_it_comes_to_the_same_end(home: Callmart, work: Work, kind: Kind) -> None:
    request = list(STEPS).index(kind) + 1
    person = of(work, kind, PEOPLE[kind])
    killed = case(work, person, request)
    # Bytes alone, and not those of a spelling that is part of keys and counts by chance.
    words = {word.encode() for word in person.words | person.keys if len(word) > 11} | set(
        traces_of(work, kind)
    )
    entries = ledger.last(home.settings)[0]
    assert files_with(home.home, words)
    for place in STEPS[kind]:
        kill_after(home.home, "treat", place, kind, PEOPLE[kind], request)
        assert kept.recall(killed) is not None
    do(work, person, request)
    kill_after(home.home, "prove", "marts", kind, PEOPLE[kind], request)
    assert kept.recall(killed) is not None, "nothing is proved yet"
    assert left(prove(work, person, request)) == {}
    assert kept.recall(killed) is None
    assert ledger.last(home.settings)[0] == entries + 1
    assert files_with(home.home, words) == set()
