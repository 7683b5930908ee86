"""What version 0.2.0 landed is known when it comes again, also where numbers and ids are read otherwise since."""

import json
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from callmart.land import former, found, prepare, readers
from callmart.land.keying import keyed_events
from callmart_home import Callmart
from events import DETAILED as BY_NAME
from events import at, event, log, ndjson, registry
from landing import DETAILED, Write, events_of, opened, row, taken

pytestmark = pytest.mark.thorough

CUSTOMER = 100
MACROS_OF_THEN = r"""
create temp macro _undecorated(number) as regexp_replace(
    regexp_replace(regexp_replace(number, '[\s./\x{A0}-]', '', 'g'), '^(\+31|0031)\(0\)', '\1'), '[()]', '', 'g'
);
create temp macro _international(digits) as regexp_replace(
    regexp_replace(regexp_replace(digits, '^00', '+'), '^0([1-9]\d{6,})$', '+31\1'), '^(31\d{9})$', '+\1'
);
create or replace temp macro agent_id(id) as id;
"""
NUMBER = 31205551234.0
ORDINARY = ["0612345678", "+31 6 12345678", "0031612345678", "31612345678", "112"]


def decimal(number: int, scale: int) -> pa.Array:
    return pa.array([Decimal(number)], pa.decimal128(20, scale))


# The keys of events in this module are those that version 0.2.0 gave them.


ROWS = [
    (row("queue_joined", other_number="612345678"), -5460340694641611788),
    (row("queue_joined", other_number="20 555 12 34"), 2514600284993002133),
    (row("queue_joined", other_number="31612345678.0"), 8214056582017234563),
    (row("call_started", platform="sip_trunk", other_number="612345678.0"), -3821099045309603196),
    (row("transferred", target_kind="number", target="612345678"), 3976263361156651062),
    (row("transferred", target_kind="agent", target="1001.0", agent="1002.0"), -5072544712808268405),
    (row("agent_connected", agent="1001.0"), 6269491988768563373),
    (row("agent_connected", agent="1001.0", event_id="e1"), -3349823540272374253),
    (row("queue_joined", other_number="0612345678"), 6826887196963728774),
]


def test_an_event_has_the_key_of_the_former_reading(tmp_path: Path) -> None:
    found = events_of(tmp_path / "events", [values for values, _ in ROWS])
    assert {event["event_key"] for event in found} == {key for _, key in ROWS}


LINES = {
    "q|NONE|ENTERQUEUE||612345678|1": [-156868484820029411],
    "q|NONE|ENTERQUEUE||(6) 12345678|1": [-156868484820029411],
    "q|NONE|ENTERQUEUE||0612345678|1": [-6884358129420297825],
    "q|SIP/1|BLINDTRANSFER|612345678|ctx|3|4|1": [-6423119204146737604, -5078149567590619754],
    "q|1001.0|CONNECT|3|x|2": [-5777321358539975590, 491899511051580896],
}


def test_so_has_an_event_of_a_log(write: Write) -> None:
    prepared = opened(write("".join(f"1790000000|1.1|{line}\n" for line in LINES)), customer=DETAILED)
    keys = [key for of_line in LINES.values() for key in of_line]
    assert [event["event_key"] for event in taken(prepared)] == keys


DECIMALS = [
    ("agent_connected", {"agent": decimal(1001, 10)}, -3266451467063352810),
    ("transferred", {"target_kind": ["agent"], "target": decimal(1001, 2)}, -7599501153420717677),
    ("call_started", {"other_number": decimal(612345678, 2)}, 175876755534954725),
    ("call_started", {"other_number": decimal(612345678, 0)}, -1206100045818171563),
]
FRACTIONS = [
    (
        "agent_connected",
        {"agent": pa.array([31612345678.0]), "line": pa.array([31612345678.0]), "queue": pa.array([NUMBER])},
        -5752753007868574788,
    ),
    ("transferred", {"target_kind": ["queue"], "target": pa.array([NUMBER])}, 4806308942975748243),
    ("call_ended", {"platform": ["sip_trunk"], "line": pa.array([NUMBER])}, 2722540937397095273),
    ("call_ended", {"call_id": pa.array([12345678901.0])}, -1404370359860834863),
    ("call_ended", {"event_id": pa.array([12345678901.0])}, -2143756832195967908),
    ("queue_joined", {"line": pa.array([float("nan")])}, -8696147583133760546),
    ("agent_connected", {"agent": pa.array([1001.0])}, 8302579511492471473),
]
IN_DICTIONARIES = [
    (
        name,
        {
            column: value.dictionary_encode() if isinstance(value, pa.Array) else value
            for column, value in typed.items()
        },
        key,
    )
    for name, typed, key in FRACTIONS
]


@pytest.mark.parametrize(("name", "typed", "key"), [*DECIMALS, *FRACTIONS, *IN_DICTIONARIES])
def test_so_has_an_event_of_parquet(tmp_path: Path, name: str, typed: dict[str, Any], key: int) -> None:
    path = tmp_path / "events"
    pq.write_table(pa.table({column: [value] for column, value in row(name).items()} | typed), path)
    (found,) = taken(opened(path))
    assert found["event_key"] == key


def test_so_have_events_of_a_file_that_comes_in_several_batches(
    monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    monkeypatch.setattr(found, "BLOCK", 1000)
    monkeypatch.setattr(readers, "ENOUGH_ROWS", 1)
    line = "1790000000|1.1|q|NONE|ENTERQUEUE||612345678|1\n"
    prepared = opened(write(line * 100), customer=DETAILED)
    batches = [batch["event_key"].to_pylist() for batch in prepared.batches()]
    assert len(batches) > 1
    assert {key for keys in batches for key in keys} == {-156868484820029411}


def test_an_ordinary_row_is_judged_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write
) -> None:
    def twice(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        raise AssertionError("it was judged once more")

    monkeypatch.setattr(former, "keyed_events", twice)
    lines = [f"1790000000|1.1|q|SIP/612345678|ENTERQUEUE||{number}|1\n" for number in ORDINARY]
    assert len(taken(opened(write("".join(lines)), customer=DETAILED))) == len(ORDINARY)
    rows = [row("queue_joined", agent="SIP/612345678", other_number=number) for number in ORDINARY]
    assert len(events_of(tmp_path / "events", rows)) == len(ORDINARY)


@pytest.mark.parametrize("as_parquet", [False, True])
def test_an_id_of_an_event_that_is_empty_is_none(tmp_path: Path, as_parquet: bool) -> None:
    path, values = tmp_path / "events", row("queue_joined", other_number="612345678", event_id="")
    if as_parquet:
        pq.write_table(pa.Table.from_pylist([values]), path)
    else:
        path.write_text(json.dumps(values) + "\n")
    (found,) = taken(opened(path))
    assert found["event_key"] == -5460340694641611788


def test_a_row_that_was_rejected_then_has_a_key_of_today(tmp_path: Path) -> None:
    """Beside one that was not: sixteen digits were no number."""
    path = tmp_path / "events"
    rows = [row("queue_joined", other_number=number) for number in ("123456789012345.0", "612345678")]
    found = {event["event_key"] for event in events_of(path, rows)}
    (whole,) = events_of(path, [row("queue_joined", other_number="123456789012345")])
    assert found == {whole["event_key"], -5460340694641611788}


def test_what_landed_by_the_former_reading_is_repeated(
    callmart: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    callmart.apply(registry(f"id: {CUSTOMER}, {BY_NAME}"))
    joined = (at("10:00"), "c-1|q|NONE|ENTERQUEUE||612345678|1")
    rows = [
        event("agent_status", at("09:00"), agent="1001.0", reason="available"),
        event("queue_joined", at("10:00"), call_id="c-2", queue="q", other_number="31612345678.0"),
    ]

    def of_then(connection: duckdb.DuckDBPyConnection) -> duckdb.DuckDBPyRelation:
        connection.execute(MACROS_OF_THEN)
        return keyed_events(connection)

    with monkeypatch.context() as then:
        then.setattr(prepare, "keyed_events", of_then)
        assert callmart.land_text(log(joined), CUSTOMER).landed == 1
        assert callmart.land_text(ndjson(*rows), CUSTOMER).landed == 2
    people = "select count(distinct number_key) as n from raw.event where customer_id = %s"
    assert callmart.rows(people, CUSTOMER) == [{"n": 2}], "read as they were then"
    grown = callmart.land_text(
        log(joined, (at("10:01"), "c-1|q|NONE|ABANDON|1|1|60")),
        CUSTOMER,
    )
    assert (grown.landed, grown.repeated) == (1, 1)
    more = event("agent_status", at("09:01"), agent="1001.0", reason="break")
    grown = callmart.land_text(ndjson(*rows, more), CUSTOMER)
    assert (grown.landed, grown.repeated) == (1, 2)


@pytest.mark.parametrize("ids", [["team.01", None, "1001.0", "1001.00 "], ["team.1", None]])
def test_only_ids_that_end_as_a_fraction_are_read_again(ids: list[str | None]) -> None:
    asked = former._ends_as_fraction(pa.chunked_array([ids], pa.string()))
    assert [id for id, ends in zip(ids, asked.to_pylist(), strict=True) if ends] == [
        id for id in ids if id in ("1001.0", "1001.00 ")
    ]
