"""A key stands in for each person, and each event has one by which it is known again."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callmart.base.keys import keyed, keyed_number, layered, prefix_of
from callmart.land.gate import Defaults
from landing import (
    ANONYMOUS,
    DETAILED,
    KEYS,
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
    row,
    taken,
)

KEY = re.compile("[0-9a-f]{32}")

# -- Keys


def test_keys_are_hmacs_of_the_customer_and_stand_in_for_persons(write: Write) -> None:
    rows = [
        row("queue_joined", other_number="06 12345678", agent="Zoë/101", line="SIP/101-é"),
        row("transferred", target_kind="agent", target="Zoë/101"),
        row("transferred", target_kind="number", target="(020) 555-1234"),
        row("transferred", target_kind="queue", target="support"),
        row("transferred", target_kind="other", target="0612345678"),
        row("call_answered", customer_id=ANONYMOUS, agent="Zoë/101"),
        row("call_answered", platform="sip_trunk", line="trunk-1"),
    ]
    prepared = opened(write(as_csv([*({**r, "call_id": f"c{n}"} for n, r in enumerate(rows))])))
    events = {event["call_key"]: event for event in taken(prepared)}
    whose = [(r["customer_id"], r["platform"]) for r in rows]
    found = {f"c{n}": events[call_key(f"c{n}", *whose[n])] for n in range(len(rows))}
    key = KEYS[DETAILED]
    assert found["c0"]["agent_key"] == keyed(key, "agent", "Zoë/101")
    assert found["c0"]["number_key"] == keyed(key, "number", "+31612345678")
    assert found["c0"]["device_key"] == keyed(key, "device", "SIP/101-é")
    assert found["c0"]["line"] is None
    targets = {
        name: (event["target"], event["target_key"], event["target_kind"]) for name, event in found.items()
    }
    assert targets["c1"] == (None, keyed(key, "agent", "Zoë/101"), "agent")
    assert targets["c2"] == (None, keyed(key, "number", "+31205551234"), "number")
    assert targets["c3"] == ("support", None, "queue")
    assert targets["c4"] == (None, None, "other")
    assert found["c5"]["agent_key"] == keyed(KEYS[ANONYMOUS], "agent", "Zoë/101")
    assert (found["c6"]["line"], found["c6"]["device_key"]) == ("trunk-1", None)
    assert not [text for text in ("Zoë", "12345678", "555", "SIP") if text in repr(found)]


@pytest.mark.parametrize(
    ("written", "id"),
    [
        ("1001.0", "1001"),
        ("1001", "1001"),
        ("1001.00", "1001.00"),
        ("1.1001.0", "1.1001.0"),
        ("SIP/1.0", "SIP/1.0"),
    ],
)
def test_an_id_of_an_agent_that_became_a_fraction_is_the_agents(
    tmp_path: Path, written: str, id: str
) -> None:
    found = events_of(
        tmp_path / "events",
        [
            row("agent_connected", agent=written, call_id="1795529567.0"),
            *(
                row("transferred", call_id="c", target_kind=kind, target=written)
                for kind in ("agent", "queue")
            ),
        ],
    )
    connected, *transferred = sorted(found, key=lambda event: str(event["event"]))
    assert connected["agent_key"] == keyed(KEYS[DETAILED], "agent", id)
    assert connected["call_key"] == call_key("1795529567.0")
    assert {(event["target"], event["target_key"]) for event in transferred} == {
        (None, keyed(KEYS[DETAILED], "agent", id)),
        (written, None),
    }


def is_whole(id: str) -> bool:
    return not id.endswith(".0")


@settings(max_examples=10, deadline=None)
@given(
    st.lists(
        st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), min_size=1, max_size=255).filter(
            is_whole
        ),
        min_size=1,
        max_size=50,  # many at once: to read a file takes longer than its rows
        unique=True,
    )
)
def test_any_agent_id_gets_the_key_that_python_computes(
    tmp_path_factory: pytest.TempPathFactory, agents: list[str]
) -> None:
    events = events_of(
        tmp_path_factory.mktemp("keys") / "events", [row("agent_connected", agent=agent) for agent in agents]
    )
    expected = {keyed(KEYS[DETAILED], "agent", agent) for agent in agents}
    assert {event["agent_key"] for event in events} == expected


LAYERED = ("agent_key", "number_key", "device_key", "target_key", "queue", "line", "target")


def with_layers(event: dict[str, Any], layers: list[bytes]) -> dict[str, Any]:
    """An event with more layers on its keys, as Python adds them."""
    for layer in layers:
        prefix = prefix_of(layer, "number")
        texts = {name: layered(layer, event[name]) for name in LAYERED if KEY.fullmatch(event[name] or "")}
        numbers = {
            name: keyed_number(prefix, event[name])
            for name in ("event_key", "call_key")
            if event[name] is not None
        }
        event = event | texts | numbers
    return event


@settings(max_examples=8, deadline=None)
@given(
    st.dictionaries(
        st.sampled_from([DETAILED, ANONYMOUS, STANDARD]),
        st.lists(st.binary(min_size=32, max_size=32), max_size=3),
    )
)
def test_a_key_of_several_layers_gives_what_rotations_make_of_the_first(
    tmp_path_factory: pytest.TempPathFactory, added: dict[int, list[bytes]]
) -> None:
    """Each customer has layers of its own, and so many. Names of numbers have keys, and all other names stay."""
    whole = {customer: key + b"".join(added.get(customer, [])) for customer, key in KEYS.items()}
    rows = [
        row(name, **({"customer_id": customer, "call_id": f"c{customer}"} | values))
        for customer in KEYS
        for name, values in (
            ("queue_joined", {"other_number": "0612345678", "queue": "020 555 1234"}),
            ("agent_connected", {"agent": "SIP/1", "line": "desk", "queue": "sales", "event_id": "e1"}),
            ("transferred", {"target_kind": "number", "target": "0201234567"}),
            ("transferred", {"target_kind": "queue", "target": "0209876543"}),
            ("call_started", {"platform": "sip_trunk", "line": "0881234567"}),
            ("agent_status", {"agent": "SIP/1", "call_id": None}),
        )
    ]
    path = tmp_path_factory.mktemp("layers") / "events"
    path.write_text(as_csv(rows))
    known = gate()
    keys = pa.array([whole[customer] for customer in known.keys["customer_id"].to_pylist()], pa.binary())
    of_all = replace(known, keys=known.keys.set_column(1, "key", keys))
    first, found = (
        taken(Opened(path, "auto", Defaults(None, "vcloud", False, None), each)) for each in (known, of_all)
    )
    assert len(first) == len(rows)
    expected = [with_layers(event, added.get(event["customer_id"], [])) for event in first]
    assert sorted(found, key=repr) == sorted(expected, key=repr)
    numbers = {(event["customer_id"], event["number_key"]) for event in found if event["number_key"]}
    assert numbers == {(customer, keyed(key, "number", "+31612345678")) for customer, key in whole.items()}


WRITTEN = {
    "+31 6 1234 5678": "+31612345678",
    "0031612345678": "+31612345678",
    "31612345678": "+31612345678",
    "06-12345678": "+31612345678",
    "+31(0)6.12345678": "+31612345678",
    "0031 (0)20/5551234": "+31205551234",
    "(020) 555 12 34": "+31205551234",
    "+44 20 7946 0000": "+442079460000",
    "0044 20 7946 0000": "+442079460000",
    "0800-1234": "+318001234",
    "112": "112",
    "1408": "1408",
    "020": "020",
    "31612345678.0": "+31612345678",
    "1408.0": "1408",
    "0800.0": "0800",
    "612345678": "+31612345678",
    "612345678.0": "+31612345678",
    "20 555 12 34": "+31205551234",
    "8001234": "8001234",
    "012345678": "+3112345678",
    "1123456789": "1123456789",
}


def test_a_number_has_one_key_however_it_is_written(tmp_path: Path) -> None:
    found = events_of(
        tmp_path / "events",
        [row("queue_joined", other_number=written, call_id=written) for written in WRITTEN],
    )
    assert {event["call_key"]: event["number_key"] for event in found} == {
        call_key(written): keyed(KEYS[DETAILED], "number", number) for written, number in WRITTEN.items()
    }
    assert {event["number_withheld"] for event in found} == {False}


WITHHELD = [
    ("0612345678", "true", True),
    ("no number at all", "1", True),
    ("anonymous", "", True),
    ("Anonymous", "false", True),
    ("", "true", True),
    ("", "false", False),
    ("", "", None),
]


def test_a_withheld_number_leaves_no_trace(tmp_path: Path) -> None:
    def joined(*told: tuple[str, Any]) -> dict[int, Row]:
        """Of each number and mark the event, by the key of its call."""
        rows = [
            row("queue_joined", call_id=f"c{n}", other_number=number, number_withheld=mark)
            for n, (number, mark) in enumerate(told)
        ]
        return {event["call_key"]: event for event in events_of(tmp_path / "events", rows)}

    found = joined(*((number, mark) for number, mark, _ in WITHHELD))
    without = joined(*(("", withheld) for *_, withheld in WITHHELD))
    for n, (*_, withheld) in enumerate(WITHHELD):
        event = found[call_key(f"c{n}")]
        assert (event["number_key"], event["number_withheld"]) == (None, withheld), WITHHELD[n]
        assert event["event_key"] == without[event["call_key"]]["event_key"], WITHHELD[n]


def test_agents_are_named_only_under_a_detailed_contract(write: Write) -> None:
    prepared = opened(
        write(
            as_csv(
                [
                    row("agent_connected", agent="SIP/101"),
                    row("agent_connected", agent="SIP/101", call_id="c2"),
                    row("agent_connected", agent="SIP/102", duration_s="bad"),
                    row("agent_connected", agent="SIP/103", customer_id=ANONYMOUS),
                    row("agent_connected", agent="SIP/104", customer_id=STANDARD),
                    row(
                        "agent_connected",
                        agent="SIP/105",
                        customer_id=STANDARD,
                        occurred_at="2026-12-01T12:00:00Z",
                    ),
                    row("agent_connected", agent="SIP/106", customer_id=NONE),
                ]
            )
        )
    )
    assert len(taken(prepared)) == 5
    assert sorted(prepared.agents.drop("last_at").to_pylist(), key=str) == [
        {"customer_id": id_, "agent_key": keyed(KEYS[id_], "agent", agent), "agent": agent}
        for id_, agent in [(DETAILED, "SIP/101"), (STANDARD, "SIP/105")]
    ]


def test_an_agent_was_last_seen_with_its_last_event(write: Write) -> None:
    rows = [
        row("agent_connected", agent="SIP/101", call_id=f"c{hour}", occurred_at=f"2026-10-05T{hour}:00:00Z")
        for hour in ("11", "13", "12")
    ]
    prepared = opened(write(as_csv(rows)))
    assert len(taken(prepared)) == 3
    assert prepared.agents["last_at"].to_pylist() == [datetime(2026, 10, 5, 13, tzinfo=UTC)]


# -- Identity


def test_an_event_id_is_the_identity(tmp_path: Path) -> None:
    path = tmp_path / "events"
    rows = [
        row("call_answered", event_id="e1"),
        row("call_answered", event_id="e1", call_id="another"),
        row("call_answered", event_id="e2"),
        row("call_answered", event_id="e1", platform="vcare"),
        row("call_answered", event_id="e1", customer_id=ANONYMOUS),
        row("call_answered"),
    ]
    found = events_of(path, rows)
    keys = [event["event_key"] for event in found]
    assert max(keys.count(key) for key in keys) == 2
    assert len(set(keys)) == 5
    assert [event["identified"] for event in found].count(True) == 5


def test_without_one_every_stored_column_is_part_of_it(tmp_path: Path) -> None:
    """Two rows that differ in one stored column differ in their key; columns are not run together."""
    rows = [
        row("call_ended"),
        row("call_ended", customer_id=ANONYMOUS),
        row("call_ended", platform="vcare"),
        row("call_answered"),
        row("call_ended", occurred_at="2026-10-05T12:00:31.000001+02:00"),
        row("call_ended", call_id="c1x"),
        row("call_ended", queue="x"),
        row("call_ended", call_id="c", queue="1x"),
        row("call_ended", agent="x"),
        row("call_ended", line="x"),
        row("call_ended", reason="agent"),
        row("call_ended", reason="caller"),
        row("call_ended", duration_s="0"),
        row("call_ended", duration_s="0.25"),
        row("call_ended", recorded="true"),
        row("call_ended", recorded="false"),
        row("call_started"),
        row("call_started", direction="outbound"),
        row("call_started", other_number="0612345678"),
        row("call_started", other_number="0612345679"),
        row("call_started", number_withheld="true"),
        row("call_started", number_withheld="false"),
        row("transferred"),
        row("transferred", reason="attended"),
        row("transferred", target_kind="queue"),
        row("transferred", target_kind="queue", target="sales"),
        row("transferred", target_kind="agent", target="sales"),
        row("transferred", target_kind="number", target="0612345678"),
    ]
    found = events_of(tmp_path / "events", rows)
    assert len({event["event_key"] for event in found}) == len(rows)


def test_nobody_without_the_customers_key_can_compute_it(write: Write) -> None:
    """Neither an event's key nor a call's: with another key of the customer, all of them are others."""
    path = write(as_csv([row("call_ended"), row("call_answered", event_id="e1"), row("queue_joined")]))
    known = gate()
    other = pa.array([bytes(reversed(range(32)))] * len(known.keys), pa.binary())
    rekeyed = replace(known, keys=known.keys.set_column(1, "key", other))
    found, others = (
        [
            event[column]
            for event in taken(Opened(path, "auto", Defaults(None, "vcloud", False, None), of))
            for column in ("event_key", "call_key")
        ]
        for of in (known, rekeyed)
    )
    assert len(found) == len(others) == 6
    assert not set(found) & set(others)


def test_what_the_registry_calls_a_status_is_no_part_of_it(write: Write) -> None:
    words = ("lunch", "overleg", "ziek", "away", "other")
    path = write(as_csv([row("agent_status", reason=word) for word in words]))
    known = gate()
    unknown = replace(known, statuses=known.statuses.slice(0, 0))
    found = [
        taken(Opened(path, "auto", Defaults(None, "vcloud", False, None), of)) for of in (known, unknown)
    ]
    assert found[0] != found[1]
    keys = [{event["event_key"] for event in events} for events in found]
    assert keys[0] == keys[1] and len(keys[0]) == len(words)


def test_spelling_is_no_part_of_it(tmp_path: Path) -> None:
    plain = row("queue_left", duration_s="1.5")
    found = events_of(
        tmp_path / "events",
        [plain, plain | {"duration_s": "+15e-1"}, plain | {"duration_s": "1.50"}]
        + [row("queue_left", duration_s=zero, call_id="zero") for zero in ("0", "-0", "0.0")]
        + [row("queue_joined", other_number=number) for number in ("0612345678", "+31 6 12345678")],
    )
    assert len({event["event_key"] for event in found}) == 3
