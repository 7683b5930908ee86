"""Preparing: who may come in, what is well formed, and the same events of every format."""

import gzip
import json
import random
import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callmart.base.errors import UserError
from callmart.base.keys import keyed
from callmart.base.raw_format import COLUMNS, EVENT_SCHEMA, EVENTS, LINE_PLATFORMS, STATUSES
from callmart.base.settings import PROJECT
from callmart.land.found import Delivery, find
from callmart.land.gate import Defaults
from callmart.land.prepare import prepare
from callmart.land.readers import batches, open_source
from landing import (
    ANONYMOUS,
    AT,
    DETAILED,
    KEYS,
    LIMITS,
    NONE,
    STANDARD,
    Opened,
    Row,
    Write,
    as_csv,
    call_key,
    events_of,
    gate,
    opened,
    rejects,
    row,
    taken,
)


def rejected(path: Path, bad: Sequence[Row], **defaults: Any) -> list[tuple[Row, str]]:
    """Rows, each with the reason for which it is rejected; the row before them is not."""
    path.write_text(as_csv([row("call_answered"), *bad]))
    prepared = opened(path, **defaults)
    assert len(taken(prepared)) == 1
    reasons = rejects(prepared)
    return [(each, reasons[line]) for line, each in enumerate(bad, 3)]


# -- Time


@settings(max_examples=15, deadline=None)
@given(
    st.lists(
        st.datetimes(
            min_value=datetime(2026, 1, 2),
            max_value=datetime(2900, 1, 1),
            timezones=st.integers(-15 * 60 - 59, 15 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m))),
        ),
        min_size=1,
        max_size=100,  # many at once: to read a file takes longer than its rows
    ),
    st.sampled_from("T "),
)
def test_times_are_what_python_reads(
    tmp_path_factory: pytest.TempPathFactory, instants: list[datetime], separator: str
) -> None:
    path = tmp_path_factory.mktemp("times") / "events"
    found = events_of(path, [row("call_answered", occurred_at=at.isoformat(separator)) for at in instants])
    assert sorted(event["occurred_at"] for event in found) == sorted(instants)


def test_one_instant_in_many_spellings_is_one_event(tmp_path: Path) -> None:
    spellings = (
        "2026-10-05T10:00:31Z",
        "2026-10-05 10:00:31.000+00",
        "2026-10-05T12:00:31.000000+0200",
        "2026-10-05T12:00:31.0000000+02:00",
        "2026-10-05T10:00:31.000000000Z",
        AT,
    )
    first, *others = events_of(
        tmp_path / "events", [row("call_answered", occurred_at=spelling) for spelling in spellings]
    )
    assert others == [first] * (len(spellings) - 1)


def test_a_time_without_seconds_is_the_beginning_of_its_minute(tmp_path: Path) -> None:
    (event,) = events_of(tmp_path / "events", [row("call_answered", occurred_at="2026-10-05T12:00+02:00")])
    assert event["occurred_at"] == datetime(2026, 10, 5, 10, 0, tzinfo=UTC)


NO_TIMES = [
    ("", "occurred_at is missing"),
    ("2026-10-05T12:00:31", "occurred_at has no offset"),
    ("2026-10-05 12:00:31.5", "occurred_at has no offset"),
    ("2026-10-05T12:00", "occurred_at has no offset"),
    ("2026-10-05T12:00.5Z", "occurred_at is not a time"),
    ("2026-10-05T12Z", "occurred_at is not a time"),
    ("2026-10-05T12:00:31.1234567Z", "occurred_at has more than six digits after the second"),
    ("2026-10-05T12:00:31.0000000001Z", "occurred_at has more than six digits after the second"),
    ("2026-10-05", "occurred_at is not a time"),
    ("2026-02-29T12:00:31Z", "occurred_at is not a time"),
    ("2026-10-05T24:00:00Z", "occurred_at is not a time"),
    ("2026-10-05T12:00:31+99:00", "occurred_at is not a time"),
    ("2026-10-05T12:00:31 Europe/Amsterdam", "occurred_at is not a time"),
    ("1791201631", "occurred_at is not a time"),
]


def test_times_that_are_rejected(tmp_path: Path) -> None:
    wrong = [(row("call_answered", occurred_at=occurred_at), reason) for occurred_at, reason in NO_TIMES]
    assert rejected(tmp_path / "events", [bad for bad, _ in wrong]) == wrong


# -- The door


def test_nothing_of_a_row_that_is_turned_away_comes_out(write: Write) -> None:
    secret = {"call_id": "SECRET-1", "agent": "SECRET-2", "queue": "SECRET-3", "line": "SECRET-4"}
    prepared = opened(
        write(
            as_csv(
                [
                    row("call_answered"),
                    row("agent_connected", customer_id=NONE, **secret),
                    row("SECRET-5", customer_id=NONE),  # turned away first, never judged
                    row("agent_connected", customer_id=99, **secret),
                    row("agent_connected", customer_id=98, **secret),
                    row(
                        "agent_connected",
                        customer_id=STANDARD,
                        **secret | {"occurred_at": "2026-09-30T23:59:59+02:00"},
                    ),
                ]
            )
        )
    )
    out = repr(
        [taken(prepared), prepared.rejects.to_pylist(), prepared.agents.to_pylist(), prepared.turned_away_by]
    )
    assert "SECRET" not in out
    assert prepared.turned_away_by == {NONE: 2, None: 2, STANDARD: 1}
    assert (prepared.rows, prepared.turned_away, prepared.rejected) == (6, 5, 0)


def test_the_door_opens_and_closes_at_local_midnight(write: Write) -> None:
    let_in = {  # the contract: 1 October until 1 November, local time; the clock goes back in between
        "2026-09-30T21:59:59.999999Z": False,
        "2026-09-30T22:00:00Z": True,
        "2026-10-31T22:59:59.999999Z": True,
        "2026-10-31T23:00:00Z": False,
        "2026-12-01T00:00:00+01:00": True,
        "2026-12-01T00:00:00+02:00": False,
    }
    prepared = opened(
        write(as_csv([row("call_answered", customer_id=STANDARD, occurred_at=moment) for moment in let_in]))
    )
    inside = [datetime.fromisoformat(moment) for moment, is_inside in let_in.items() if is_inside]
    assert sorted(event["occurred_at"] for event in taken(prepared)) == inside
    assert prepared.turned_away == len(let_in) - len(inside)


def test_an_event_more_than_a_day_ahead_of_the_database_is_a_reject(write: Write) -> None:
    """However its file tells times; who has no contract on that day is turned away as ever."""
    latest = datetime(2026, 10, 5, 12, tzinfo=UTC)
    files = {
        as_csv([row("call_answered", occurred_at=f"2026-10-05T14:00:00.00000{i}+02:00") for i in (0, 1)]): 3,
        "".join(f"{int(latest.timestamp()) + i}|c1|sales|NONE|ABANDON|1|1|1\n" for i in (0, 1)): 2,
        "time,callid,queuename,agent,event,data1,data2,data3,data4,data5\n"
        + "".join(f"2026-10-05 14:00:0{i},c1,sales,NONE,ABANDON,1,1,1,,\n" for i in (0, 1)): 3,
        as_csv(
            [
                row("call_answered", occurred_at="2026-10-05T14:00:00+02:00"),
                row("call_answered", occurred_at="2951-01-10T10:00:00Z"),
                row("call_answered", occurred_at="2951-01-10T10:00:00Z", customer_id=NONE),
            ]
        ): 3,
    }
    for content, line in files.items():
        whose = None if "customer_id" in content else DETAILED
        prepared = Opened(
            write(content),
            "auto",
            Defaults(whose, "vcloud", False, None),
            replace(gate(), latest=latest),
        )
        assert [event["occurred_at"] for event in taken(prepared)] == [latest]
        assert rejects(prepared) == {line: "occurred_at is more than a day ahead of the database's clock"}
        assert prepared.turned_away == content.count(str(NONE))


def test_a_contract_without_a_key_is_an_error(write: Write) -> None:
    registry = gate()
    without = replace(registry, keys=registry.keys.slice(1))
    with pytest.raises(UserError, match="customer 7001 has no key"):
        Opened(write(as_csv([])), "auto", Defaults(None, "vcloud", False, None), without)


# -- Customer and platform


def test_what_holds_for_the_whole_file_fills_what_is_empty(tmp_path: Path) -> None:
    rows = [row("call_answered", customer_id="", platform=""), row("call_answered", platform="vcare")]
    found = events_of(tmp_path / "events", rows, customer=DETAILED)
    assert [event["customer_id"] for event in found] == [DETAILED, DETAILED]
    assert {event["platform"] for event in found} == {"vcloud", "vcare"}


def test_a_file_must_say_whose_it_is(write: Write) -> None:
    with pytest.raises(UserError, match="give --customer"):
        opened(write("event,occurred_at\n"))
    with pytest.raises(UserError, match="give --customer"):
        opened(write("1795529567|1.1|sales|NONE|ABANDON|2|2|11\n"))
    with pytest.raises(UserError, match="time zone 'Amsterdam' is not known"):
        opened(
            write("time,callid,queuename,agent,event,data1,data2,data3,data4,data5\n"),
            customer=DETAILED,
            time_zone="Amsterdam",
        )


def test_rows_that_contradict_the_command_line(tmp_path: Path) -> None:
    path = tmp_path / "events"
    whose, what = row("call_answered", customer_id=ANONYMOUS), row("call_answered", platform="vcare")
    assert rejected(path, [whose], customer=DETAILED) == [
        (whose, "customer_id differs from the customer given with the file")
    ]
    assert rejected(path, [what], platform_given=True) == [
        (what, "platform differs from the platform given with the file")
    ]


# -- What is well formed


BAD: list[tuple[Row, str]] = [
    (row("call_answered", customer_id=""), "customer_id is missing"),
    (row("call_answered", customer_id="0"), "customer_id is not a customer number"),
    (row("call_answered", customer_id="-1"), "customer_id is not a customer number"),
    (row("call_answered", customer_id="7e3"), "customer_id is not a customer number"),
    (row("call_answered", customer_id="2147483648"), "customer_id is not a customer number"),
    (row("call_answered", platform="VCloud"), "platform is not one of the raw format"),
    (row(""), "event is missing"),
    (row("call_begun"), "event is not one of the raw format"),
    (row("call_answered", platform="isdn2", queue="sales"), "a line has no queues and no agents"),
    (row("call_answered", platform="sip_trunk", agent="x"), "a line has no queues and no agents"),
    (row("queue_joined", platform="isdn30", queue=""), "a line has no queues and no agents"),
    (row("call_answered", call_id=""), "call_id is missing"),
    (row("queue_joined", queue=""), "queue is missing"),
    (row("agent_connected", agent=""), "agent is missing"),
    (row("wrapup_started"), "agent is missing"),
    (row("agent_joined_queue", agent="x"), "queue is missing"),
    (row("queue_left", reason=""), "reason is missing"),
    (row("agent_status", reason=""), "reason is missing"),
    (row("queue_left", reason="bored"), "reason is not allowed for this event"),
    (row("call_ended", reason="abandoned"), "reason is not allowed for this event"),
    (row("call_started", direction=""), "direction is missing"),
    (row("call_started", direction="in"), "direction is not one of the raw format"),
    (row("transferred", target_kind=""), "target_kind is missing"),
    (row("transferred", target_kind="desk"), "target_kind is not one of the raw format"),
    (row("transferred", target_kind="number", target="desk"), "target is not a telephone number"),
    (row("queue_joined", number_withheld="maybe"), "number_withheld is not true or false"),
    (row("queue_joined", other_number="0"), "other_number is not a telephone number"),
    (row("queue_joined", other_number="call me"), "other_number is not a telephone number"),
    (row("queue_joined", other_number="+0612345678"), "other_number is not a telephone number"),
    *(
        (row("call_ended", duration_s=bad), "duration_s is not a number")
        for bad in ("nan", "inf", "1_000", "0x1F", "12 s", "1,5")
    ),
    (row("call_ended", duration_s="-0.5"), "duration_s is negative or far too long"),
    (row("call_ended", duration_s="1e300"), "duration_s is negative or far too long"),
    (row("call_ended", recorded="yes"), "recorded is not true or false"),
    (row("call_ended", queue="a\tb"), "queue holds a control character"),
    (row("call_ended", event_id="a\u0085b"), "event_id holds a control character"),
    *(
        (row("call_ended", queue=f"a{sign}b"), "queue holds a control character")
        for sign in "\u2028\u202a\u202e\u2066\u2069"
    ),
    (row("call_ended", line="é" * 256), "line is longer than 255 characters"),
]


def test_each_reject(tmp_path: Path) -> None:
    assert rejected(tmp_path / "events", [bad for bad, _ in BAD]) == BAD


def test_what_an_event_does_not_have_is_not_kept(tmp_path: Path) -> None:
    (event,) = events_of(
        tmp_path / "events",
        [
            row(
                "hold_started",
                direction="inbound",
                other_number="0612345678",
                number_withheld="false",
                reason="bored",
                target="0612345678",
                target_kind="number",
                duration_s="5",
                recorded="true",
            )
        ],
    )
    kept = {name for name, value in event.items() if value is not None}
    always = {"customer_id", "occurred_at", "event_key", "identified", "platform", "event"}
    assert kept == always | {"call_key"}


def test_texts_are_kept_as_they_are(tmp_path: Path) -> None:
    (event,) = events_of(tmp_path / "events", [row("call_answered", call_id=' é, "q" ', queue="x" * 255)])
    assert (event["call_key"], event["queue"]) == (call_key(' é, "q" '), "x" * 255)


def test_statuses(tmp_path: Path) -> None:
    words = {
        "away": "away", " In_Call ": "in_call", "LUNCH": "break", " overleg": "training",
        "außer HAUS ": "away", "ziek": "other", " ": "other",
    }  # fmt: skip
    found = events_of(
        tmp_path / "events",
        [row("agent_status", agent=f"of {word}", reason=word) for word in words]
        + [row("agent_status", customer_id=ANONYMOUS, agent="another's", reason="lunch")],
    )
    wanted = {keyed(KEYS[DETAILED], "agent", f"of {word}"): status for word, status in words.items()}
    wanted[keyed(KEYS[ANONYMOUS], "agent", "another's")] = "other"
    assert {event["agent_key"]: event["reason"] for event in found} == wanted


def test_local_times_of_small_files_are_read_together_and_each_for_itself(tmp_path: Path) -> None:
    """In the hour that comes twice what one file shows says nothing of the others."""
    second_hour = int(datetime(2026, 10, 25, 1, 5, tzinfo=UTC).timestamp())
    logs = [
        [("02:50", "a.1"), ("02:10", "a.2"), ("02:55", "a.3")],
        [("02:20", "b.1"), ("02:30", "b.2")],
        [("14:00", "c.1"), ("02:20", "c.2"), ("02:50", "c.3"), ("00:30", "c.4")],  # from its end
        [("02:10", f"{second_hour}.1"), ("02:20", "d.2")],
        [("02:40", "e.1")],
    ]
    sources = []
    for number, rows in enumerate(logs):
        path = tmp_path / str(number)
        path.write_text(
            "time,callid,queuename,agent,event,data1,data2,data3,data4,data5\n"
            + "".join(f"2026-10-25 {time}:00,{call},sales,NONE,ABANDON,1,1,5,,\n" for time, call in rows)
        )
        delivery = Delivery(path, "auto", Defaults(DETAILED, "vcloud", False, None))
        sources.append(open_source(find(delivery), number, LIMITS))
    together = pa.Table.from_batches(prepare(sources, gate()).batches()).to_pylist()
    for number in range(len(logs)):
        alone = taken(opened(tmp_path / str(number), customer=DETAILED))
        assert sorted(each["occurred_at"] for each in together if each["file_number"] == number) == sorted(
            each["occurred_at"] for each in alone
        )
    assert len(list(batches(sources, duckdb.connect()))) == 1


def test_the_hour_that_comes_twice_goes_on_in_the_next_part_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("callmart.land.found.BLOCK", 200)
    (path := tmp_path / "log").write_text(
        "time,callid,queuename,agent,event,data1,data2,data3,data4,data5\n"
        + "".join(f"2026-10-25 02:{n % 60:02}:00,x.1,sales,NONE,ABANDON,1,1,5,,\n" for n in range(120))
    )
    begin = datetime(2026, 10, 25, 0, tzinfo=UTC)
    found = taken(opened(path, customer=DETAILED))
    assert [event["occurred_at"] for event in found] == [begin + timedelta(minutes=n) for n in range(120)]


# -- Formats


def sample() -> list[Row]:
    generator = random.Random(7)
    events = ("call_started", "queue_joined", "queue_left", "agent_connected", "agent_status", "transferred")
    rows = []
    for number in range(300):
        at = datetime(2026, 10, 24, 22, tzinfo=UTC) + timedelta(microseconds=generator.randrange(10**11))
        rows.append(
            row(
                generator.choice(events),
                customer_id=generator.choice([DETAILED, ANONYMOUS, STANDARD, NONE]),
                occurred_at=at.isoformat(),
                call_id=f"call {number}, «{number % 7}»",
                other_number=generator.choice(["", "0612345678", "anonymous", "+442079460000"]),
                duration_s=generator.choice(["", "0", "12.25", "-1", "1e-3"]),
            )
        )
    return rows


def everything(path: Path) -> tuple[list[str], dict[int, str], Any, Any]:
    prepared = opened(path)
    found = sorted(map(repr, taken(prepared)))
    return found, rejects(prepared), prepared.turned_away_by, sorted(map(str, prepared.agents.to_pylist()))


def test_all_formats_of_the_same_rows_give_the_same_events(write: Write, tmp_path: Path) -> None:
    rows = sample()
    found, bad, away, agents = everything(write(as_csv(rows)))
    assert len(found) > 100 and len(bad) > 20 and away[NONE] > 20 and agents
    assert everything(write(gzip.compress(as_csv(rows).encode()))) == (found, bad, away, agents)

    def one_line_up(rejected: dict[int, str]) -> dict[int, str]:  # no header
        return {line - 1: reason for line, reason in rejected.items()}

    objects = "".join(json.dumps(row) + "\n" for row in rows)
    assert everything(write(objects)) == (found, one_line_up(bad), away, agents)

    def column(name: str) -> list[Any]:
        return [row.get(name) or None for row in rows]

    typed = pa.table(
        {name: pa.array(map(str_or_none, column(name)), pa.string()) for name in COLUMNS}
        | {
            "customer_id": pa.array(column("customer_id"), pa.int64()),
            "occurred_at": pa.array(
                [datetime.fromisoformat(at) for at in column("occurred_at")], pa.timestamp("us", "UTC")
            ),
            "duration_s": pa.array([float(d) if d else None for d in column("duration_s")]),
        }
    )
    pq.write_table(typed, tmp_path / "events", row_group_size=70)
    assert everything(tmp_path / "events") == (found, one_line_up(bad), away, agents)


def str_or_none(value: Any) -> str | None:
    return None if value is None else str(value)


def test_order_and_blocks_do_not_matter(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = sample()
    found, bad, away, agents = everything(write(as_csv(rows)))
    monkeypatch.setattr("callmart.land.found.BLOCK", 2000)
    assert everything(write(as_csv(rows))) == (found, bad, away, agents)
    random.Random(1).shuffle(rows)
    shuffled, also_bad, also_away, same_agents = everything(write(as_csv(rows)))
    assert (shuffled, len(also_bad), also_away, same_agents) == (found, len(bad), away, agents)


def test_batches_have_the_schema_that_the_server_expects(write: Write) -> None:
    prepared = opened(write(as_csv(sample())))
    assert {batch.schema for batch in prepared.batches()} == {EVENT_SCHEMA}
    nothing = opened(write(as_csv([])))
    assert taken(nothing) == [] and nothing.rejects.num_rows == nothing.agents.num_rows == nothing.rows == 0


def test_the_rows_of_a_customer_come_together_in_their_order(tmp_path: Path) -> None:
    """A build looks up each customer's days: in a file that has all customers, it would read nearly every page."""
    found = events_of(
        tmp_path / "events",
        [
            row(
                "call_answered",
                customer_id=(DETAILED, STANDARD)[n % 2],
                call_id=f"c{n}",
                occurred_at=f"{AT[:17]}{n:02}Z",
            )
            for n in reversed(range(20))
        ],
    )
    moments = {DETAILED: list(range(0, 20, 2)), STANDARD: list(range(1, 20, 2))}
    came = [(event["customer_id"], event["occurred_at"].second) for event in found]
    assert came == [(customer, second) for customer in sorted(moments) for second in moments[customer]]


def test_an_unfinished_last_line_is_said(write: Write) -> None:
    prepared = opened(write(as_csv([row("call_answered")]) + "7001,vcl"))
    assert len(taken(prepared)) == 1
    assert prepared.incomplete_last_line


# -- who else knows the raw format: its documentation, and the models ----------------------------------------------


def test_the_documentation_has_every_column_event_and_reason() -> None:
    text = (PROJECT / "docs" / "raw_format.md").read_text()
    section = text.partition("## The canonical format")[2].partition("\n## ")[0]
    columns, events = (
        [[re.findall(r"`(\w+)`", cell) for cell in row.split("|")[1:-1]] for row in table.splitlines()[2:]]
        for table in re.findall(r"(?:^\|.*\n)+", section, flags=re.MULTILINE)
    )
    assert [name for first, *_ in columns for name in first] == list(COLUMNS)
    reasons = {name: set(cells[-1]) for cells in events for name in cells[0]}
    assert {event.name for event in EVENTS} == reasons.keys() - set(COLUMNS)
    for event in EVENTS:
        assert reasons[event.name] == set(event.reasons or STATUSES if event.reason_needed else event.reasons)


def test_the_models_know_the_platforms_of_lines() -> None:
    macro = (PROJECT / "macros" / "events" / "line_platforms.sql").read_text()
    assert re.findall(r"'(\w+)'", macro) == list(LINE_PLATFORMS)
