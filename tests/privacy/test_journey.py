"""A person objects, is corrected, is erased, comes back as new, and leaves again; then the customer leaves.

After each step the marts are those of a twin, a customer who landed only what should be there: the events as they were
corrected, by a person who had objected or was erased before the first row came. So what is changed in the rows is
compared with what is computed afresh, through another door.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import date, timedelta
from itertools import pairwise
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet
import pytest

from callmart.base.keys import key_file, keyed
from callmart.base.person import Person, Proof, Work
from callmart.database import ledger
from callmart.database.tombstones import Kind, secret_of, tombstone
from callmart.privacy import erasing, lifting, objecting, persons, procedure
from callmart.privacy.correcting import Correction
from callmart.privacy.procedure import Case, Steps
from callmart_home import Callmart
from centre import DAYS, agent_of, events
from twins import ONE, given, of_customer, parquet

pytestmark = [
    pytest.mark.dated,
    pytest.mark.server,
    pytest.mark.thorough,
    pytest.mark.usefixtures("unchecked"),
]

PERSON = agent_of(ONE, 1)
# Whose events on a day are the person's.
MISTAKES = [(agent_of(ONE, 2), DAYS[1]), (agent_of(ONE, 3), DAYS[0])]
LAST = DAYS[-1] + timedelta(days=1)  # today


class Twin(NamedTuple):
    """What a customer landed, and what was known of the person before."""

    objects: bool
    mistakes: int  # that were corrected
    erased: date | None  # up to this day
    returned: bool  # with what came later


TWINS = {
    "objected": Twin(True, 0, None, False),
    "corrected": Twin(True, 1, None, False),
    "erased": Twin(True, 1, DAYS[1], False),
    "came back": Twin(False, 1, DAYS[1], True),
    "left again": Twin(False, 1, DAYS[2], True),
    "corrected again": Twin(False, 2, DAYS[2], True),
}
NUMBERS = {name: ONE + place for place, name in enumerate(TWINS, 1)}


def registry(*customers: int) -> str:
    return "customers:\n" + "".join(
        f"  - {{id: {number}, name: C{number}, contracts: [{{option: detailed, from: 2020-01-01}}]}}\n"
        for number in customers
    )


def land(home: Callmart, customer: int, table: pa.Table) -> int:
    """Returns how many events were new."""
    path = parquet(home, of_customer(table, customer), f"{customer}.parquet")
    landed = home.land(path).landed
    path.unlink()
    return landed


def know_before(work: Work, twin: Twin, customer: int) -> None:
    """Note that somebody objects and was erased of whom nothing is there yet."""
    key = key_of(work, customer)
    agent, secret = keyed(key, "agent", PERSON), secret_of(key)
    known: list[tuple[Kind, ledger.Act, date | None]] = [
        ("objector", "objection", DAYS[0] if twin.objects else None),
        ("agent", "erasure", twin.erased),
    ]
    with work.connection.transaction():
        for kind, right, day in known:
            if day:
                until = persons.end_of(work.connection, customer, day)
                marks = {kind: [tombstone(secret, kind, agent)]}
                ledger.append(
                    work.connection, work.settings, customer, "agent", until, marks, customer, right
                )


@pytest.fixture(scope="module")
def told() -> Mapping[str, pa.Table]:
    """What the telephone system tells: of three days, and later of today."""
    return {"first": events(ONE, DAYS, contacts_per_day=12), "later": events(ONE, [LAST], 9, 12)}


@pytest.fixture(scope="module")
def home(callmart: Callmart, told: Mapping[str, pa.Table]) -> Callmart:
    callmart.apply(registry(ONE, *NUMBERS.values()))
    (callmart.home / "registry.yml").unlink()
    with callmart.connect() as connection, procedure.working(connection, callmart.settings) as work:
        for name, twin in TWINS.items():
            know_before(work, twin, NUMBERS[name])
    land(callmart, ONE, told["first"])
    for name, twin in TWINS.items():
        first = told["first"]
        for mistaken, day in MISTAKES[: twin.mistakes]:
            first = given(first, day, mistaken, PERSON)
        land(callmart, NUMBERS[name], pa.concat_tables([first, told["later"]]) if twin.returned else first)
    callmart.build_unchecked()
    return callmart


@pytest.fixture
def work(home: Callmart) -> Iterator[Work]:
    with home.connect() as connection, procedure.working(connection, home.settings) as work:
        yield work


def key_of(work: Work, customer: int = ONE) -> bytes:
    return key_file(work.settings.home, customer).read_bytes()


def case(work: Work, agent: str, day: date, request: int) -> Case:
    until = persons.end_of(work.connection, ONE, day)
    who: Person = persons.person(work.connection, key_of(work), ONE, "agent", [agent], until)
    work.connection.commit()
    return Case(work, who, key_of(work), request)


def shown(home: Callmart) -> set[date]:
    """The days on which marts show the person."""
    key = keyed(key_file(home.home, ONE).read_bytes(), "agent", PERSON)
    tables = ("agent_interval", "agent_day", "agent_contact", "agent_session", "agent_status_interval")
    query = " union ".join(
        f"select call_date from store.{table} where agent_key = '{key}'" for table in tables
    )
    return {row["call_date"] for row in home.rows(query)}


def look(home: Callmart, step: str, days: set[date]) -> None:
    """The marts are the twin's, and show the person on these days."""
    own, twin = home.told(ONE), home.told(NUMBERS[step])
    assert {mart for mart in own if own[mart] != twin[mart]} == set(), step
    assert shown(home) == days, step
    assert any(own.values()), "the control"


def test_the_marts_of_each_day_are_right_after_each_step(
    home: Callmart, work: Work, told: Mapping[str, pa.Table]
) -> None:
    assert shown(home) >= set(DAYS)
    states = [home.told(number) for number in (ONE, *NUMBERS.values())]
    assert all(one != other for one, other in pairwise(states)), "each step changes something"
    whole = case(work, PERSON, DAYS[2], 1)
    objecting.do(whole, Steps())
    look(home, "objected", set())

    correct(work, *MISTAKES[0], 2)
    look(home, "corrected", set())

    erasing.do(case(work, PERSON, DAYS[1], 3), Steps())
    look(home, "erased", set())
    land_again(home, work, told["first"])

    lifting.do(replace(whole, request=4), Steps())
    assert land(home, ONE, told["later"])
    home.build_unchecked()
    look(home, "came back", {DAYS[2], LAST})

    gone = case(work, PERSON, DAYS[2], 5)
    erasing.do(gone, Steps())
    look(home, "left again", {LAST})
    land_again(home, work, pa.concat_tables([told["first"], told["later"]]))
    (given_up,) = home.rows("select agent_key, erased from privacy.correction")
    assert given_up["agent_key"] is None and given_up["erased"], "nothing names the person any more"

    correct(work, *MISTAKES[1], 6)
    look(home, "corrected again", {LAST})
    proofs: dict[str, Proof] = {}
    erasing.prove(gone, proofs.__setitem__)
    assert {name: proof.left for name, proof in proofs.items() if proof.left} == {}


def correct(work: Work, mistaken: str, day: date, request: int) -> None:
    """The other agent's events on a day are the person's."""
    since = persons.end_of(work.connection, ONE, day - timedelta(days=1))
    Correction(keyed(key_of(work), "agent", PERSON), since).do(case(work, mistaken, day, request), Steps())


def land_again(home: Callmart, work: Work, table: pa.Table) -> None:
    """The same rows, in a file of a later version of the registry. Nothing is new."""
    work.connection.execute("select registry.read_again(%s)", [ONE])
    work.connection.commit()
    assert land(home, ONE, table) == 0
    assert home.rows("select from ops.dirty_day where customer_id = %s", ONE) == []


def test_when_the_customer_leaves_nothing_is_left_of_anybody(home: Callmart) -> None:
    twin = home.told(NUMBERS["left again"])
    home.apply(registry(*NUMBERS.values()))
    home.build_unchecked()
    assert not any(home.told(ONE).values())
    of_persons = ("raw.event", "raw.call", "registry.agent", "privacy.secret", "privacy.correction")
    for table in of_persons:
        assert home.rows(f"select from {table} where customer_id = %s", ONE) == [], table
    assert not key_file(home.home, ONE).exists()
    assert home.told(NUMBERS["left again"]) == twin, "the others stay as they are"
