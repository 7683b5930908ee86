"""What the server takes in part by part lands as it does whole, or not at all."""

import json
from collections.abc import Iterator
from datetime import timedelta
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import psycopg
import pytest

from callmart.access import logins
from callmart.land import found, loader, readers
from callmart.land.landing import Landed
from callmart_home import Callmart
from erasing import erase, person
from events import DETAILED, Row, at, event, ndjson, registry
from landed import OWN
from random_files import TWINS, WITHOUT, events_at_random, file_at_random, state

pytestmark = pytest.mark.dated

WHOLE, PARTED = TWINS  # what the ones land whole, the others land in parts
FILES = 3  # at random


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    none = (f"id: {number}, contracts: []" for number, _ in WITHOUT.values())
    callmart.apply(registry(*(f"id: {number}, {DETAILED}" for number in (*WHOLE, *PARTED, *OWN)), *none))


@pytest.fixture
def parts(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Files are read in blocks of a few rows, each of them a part. How many rows the parts had."""
    sizes: list[int] = []
    real = loader._ingest

    def ingest(cursor: Any, table: str, rows: Any) -> None:
        if table == "incoming":
            sizes.append(rows.num_rows)
        real(cursor, table, rows)

    monkeypatch.setattr(loader, "_ingest", ingest)
    monkeypatch.setattr(loader, "PART", 1)
    monkeypatch.setattr(found, "BLOCK", 600)
    monkeypatch.setattr(readers, "GATHERED", 1)
    yield sizes


def land(callmart: Callmart, path: Path) -> str:
    ((outcome),) = callmart.land_all((path, None))
    return str(outcome).replace(str(path.parent), "")


def large_file(rng: Random, customers: tuple[int, int]) -> bytes:
    while len(content := file_at_random(rng, "c", customers)) < 2000:
        pass
    return content


def test_a_file_at_random_lands_in_parts_as_it_does_whole(
    callmart: Callmart, tmp_path: Path, seed: int, request: pytest.FixtureRequest
) -> None:
    """Its rows are in no order, equal each other, and were there already."""
    rng = Random(seed)
    made = [rng.randrange(2**32) for _ in range(FILES)]
    told: dict[tuple[int, int], list[str]] = {}
    for customers in WHOLE, PARTED:
        if customers == PARTED:
            sizes = request.getfixturevalue("parts")
        (folder := tmp_path / str(customers[0])).mkdir()
        told[customers] = []
        for number, one in enumerate(made):
            (path := folder / str(number)).write_bytes(large_file(Random(one), customers))
            told[customers].append(land(callmart, path))
    assert told[WHOLE] == told[PARTED]
    assert state(callmart, WHOLE) == state(callmart, PARTED)
    assert state(callmart, WHOLE)["events"], "a comparison of nothing"
    assert len(sizes) > 2 * FILES, "a file that is not in parts"


def test_files_that_share_a_transaction_land_in_parts_as_they_do_one_by_one(
    callmart: Callmart, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Random(seed).randrange(2**32)
    told = {}
    for customers in WHOLE, PARTED:
        rng = Random(made)
        (folder := tmp_path / str(customers[0])).mkdir()
        paths = [folder / str(number) for number in range(6)]
        for path in paths:
            rows = islice(events_at_random(rng, "shared"), 8)
            path.write_text(
                ndjson(*(row | {"customer_id": rng.choice(customers), "event_id": ""} for row in rows))
            )
        if customers == PARTED:
            monkeypatch.setattr(readers, "GATHERED", 1)
            monkeypatch.setattr(loader, "PART", 1)
            told[customers] = callmart.land_all(*((path, None) for path in paths))
        else:
            told[customers] = [callmart.land_all((path, None))[0] for path in paths]
    assert told[WHOLE] == told[PARTED]
    assert state(callmart, WHOLE) == state(callmart, PARTED)


def test_equal_rows_are_counted_over_all_parts(
    callmart: Callmart, customer: int, tmp_path: Path, parts: list[int]
) -> None:
    status = event("agent_status", at("10:00"), customer_id=customer, agent="x", reason="break")
    named = event("agent_status", at("11:00"), customer_id=customer, agent="x", reason="away", event_id="e")
    between = [
        event("agent_status", at("12:00", number), customer_id=customer, agent="y", reason="break")
        for number in range(5)
    ]
    (path := tmp_path / "known").write_text(ndjson(status, status, named))
    callmart.land_all((path, None))
    rows = [status, *between, status, named, *between[:1], status, named, status, *between[1:], status]
    (path := tmp_path / "again").write_text(ndjson(*rows))
    (outcome,) = callmart.land_all((path, None))
    assert len(parts) > 2
    assert isinstance(outcome, Landed)
    assert (outcome.landed, outcome.repeated) == (3 + 10, 2 + 2)
    ordinals = callmart.rows(
        "select array_agg(ordinal order by ordinal) as of_row from raw.event where customer_id = %s"
        " and occurred_at < %s group by event_key order by count(*)", customer, at("11:30"),
    )  # fmt: skip
    assert [row["of_row"] for row in ordinals] == [[0], [0, 1, 2, 3, 4]]
    callmart.land_text(ndjson(*rows, event("agent_logged_in", at("13:00"), customer_id=customer, agent="x")))
    (last,) = callmart.rows("select landed, repeated from raw.file order by file_id desc limit 1")
    assert list(last.values()) == [1, len(rows)]


def test_rows_of_an_erased_agent_come_at_once(
    callmart: Callmart, customer: int, other: int, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    """The server settles them together, so that they are counted over the file."""

    def rows(customer: int) -> list[Row]:
        own = {"customer_id": customer, "call_id": "c", "queue": "q"}
        held = event("hold_started", at("10:01"), agent="x", **own)
        return [
            event("queue_joined", at("10:00"), **own),
            *[held] * 3,
            event("agent_connected", at("10:02"), agent="y", **own),
            *[held] * 3,
            event("hold_ended", at("09:00", 1), agent="x", **own),
        ]

    told = []
    for one in customer, other:
        callmart.land_text(ndjson(*rows(one)[:3]))
        erase(callmart, person(callmart, one, "agent", "x", at("00:00", 1)))
        if one == other:
            sizes = request.getfixturevalue("parts")
        (path := tmp_path / str(one)).write_text(ndjson(*rows(one)))
        told.append(land(callmart, path).replace(str(one), ""))
    assert len(sizes) > 1, "a file that is not in parts"
    assert told[0] == told[1]
    days = [
        callmart.rows(
            "select occurred_at, event, ordinal, left(agent_key, 1) = '~' as erased from raw.event"
            " where customer_id = %s order by 1, 2, 3, 4", one,
        )
        for one in (customer, other)
    ]  # fmt: skip
    assert days[0] == days[1] and any(row["erased"] for row in days[0])


def test_a_file_that_is_refused_in_a_later_part_leaves_nothing(
    callmart: Callmart, customer: int, tmp_path: Path, parts: list[int]
) -> None:
    rows = [
        event(
            "queue_joined",
            at("10:00") + timedelta(minutes=number),
            customer_id=customer,
            call_id="c",
            queue="q",
        )
        for number in range(20)
    ]
    (path := tmp_path / "bad").write_text(ndjson(*rows) + "{}\n" * 20)
    (outcome,) = callmart.land_all((path, None))
    assert "20 of 40 rows can't be landed" in str(outcome)
    assert len(parts) > 1
    assert not callmart.rows("select 1 from raw.event where customer_id = %s", customer)
    path.write_text(ndjson(*rows))
    (outcome,) = callmart.land_all((path, None))
    assert isinstance(outcome, Landed) and outcome.landed == 20


def test_a_part_is_kept_only_with_its_file(callmart: Callmart, customer: int) -> None:
    """Whoever has the loader's password can't store events without a file that says where they are from."""
    with logins.connect(callmart.settings, "loader") as session:
        session.execute(
            "insert into raw.incoming (customer_id, occurred_at, event_key, identified, platform, event)"
            " values (%s, %s, 1, true, 'vcloud', 'agent_status')",
            [customer, at("10:00")],
        )
        session.execute("select raw.take_in()")
        with (
            pytest.raises(psycopg.errors.CheckViolation, match="the counts do not add up"),
            session.transaction(),
        ):
            session.execute("select raw.keep(0, %s)", [json.dumps([])])
        with pytest.raises(psycopg.errors.ForeignKeyViolation):
            session.commit()
    assert not callmart.rows("select 1 from raw.event where customer_id = %s", customer)
