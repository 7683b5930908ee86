"""The channel event log of a real Asterisk: its holds and transfers are those that were made."""

import csv
import gzip
import re
from collections import Counter
from typing import Any

import pytest

from callmart.base.settings import PROJECT
from callmart.land.formats import CEL_COLUMNS
from callmart_home import Callmart
from landing import DETAILED, call_key, holds_of, opened, taken

RECORDING = PROJECT / "demo" / "asterisk"


def truth() -> list[dict[str, str]]:
    with (RECORDING / "ground_truth.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def recorded() -> list[dict[str, Any]]:
    prepared = opened(RECORDING / "cel.csv.gz", customer=DETAILED)
    found = taken(prepared)
    assert (prepared.rows, prepared.rejected, prepared.unknown_verbs) == (7826, 0, {})
    return found


def test_the_holds_of_the_recording(recorded: list[dict[str, Any]]) -> None:
    """Each as the agent's telephone knows it, within 0.3 s, and no other."""
    real: dict[tuple[int, str], tuple[float, float]] = {}
    for call in truth():
        if call["holds"]:
            hold, unhold = (float(part.split("@")[1]) for part in call["holds"].split(";"))
            real[call_key(call["uniqueid"]), call["queue"]] = (hold, unhold)
    queues = {event["call_key"]: event["queue"] for event in recorded if event["event"] == "hold_started"}
    found = {(id, queues[id]): (begin, end) for id, begin, end in holds_of(recorded)}
    assert found.keys() == real.keys()
    assert len(found) == 9
    for call_in_queue, times in found.items():
        assert times == pytest.approx(real[call_in_queue], abs=0.3)


def test_the_transfers_of_the_recording(recorded: list[dict[str, Any]]) -> None:
    """All that were made, also those of which queue_log shows only a COMPLETEAGENT."""
    real: dict[str, set[int]] = {"blind": set(), "attended": set()}
    for call in truth():
        kind = call["transfer_kind"]
        if kind.startswith("blind"):
            real["blind"].add(call_key(call["uniqueid"]))
        # Called off; and to an application that answered nobody, where the caller hung up.
        elif (
            kind.startswith("attended_") and kind != "attended_cancelled" and call["transfer_target"] != "600"
        ) or (kind == "threeway"):
            real["attended"].add(call_key(call["uniqueid"]))
    transfers = [event for event in recorded if event["event"] == "transferred"]
    for kind, ids in real.items():
        assert {event["call_key"] for event in transfers if event["reason"] == kind} == ids
    assert len(transfers) == 19 + 15
    to_queues = {
        call_key(call["uniqueid"]): call["second_queue"] for call in truth() if call["scenario"] == "x_at_q"
    }
    assert {event["call_key"]: event["target"] for event in transfers if event["target"]} == to_queues
    assert Counter(event["target_kind"] for event in transfers) == {"other": 29, "queue": 4, "number": 1}


def test_the_calls_of_the_recording_are_those_of_its_queue_log(recorded: list[dict[str, Any]]) -> None:
    log = taken(opened(RECORDING / "queue_log", customer=DETAILED))
    joined = {event["call_key"] for event in log if event["event"] == "queue_joined"}
    held = {event["call_key"] for event in recorded if event["event"] != "call_ended"}
    assert held <= joined
    ended = {event["call_key"] for event in recorded if event["event"] == "call_ended"}
    assert len(joined - ended) == 8  # the calls that were there when Asterisk was killed
    assert held <= ended
    again = {event["event"] for event in recorded} & {event["event"] for event in log}
    assert again == {"transferred"}  # which a model attributes to an agent's part of the call, once


def test_no_number_of_the_recording_comes_out(recorded: list[dict[str, Any]]) -> None:
    with gzip.open(RECORDING / "cel.csv.gz", "rt") as file:
        rows = [dict(zip(CEL_COLUMNS, row, strict=True)) for row in csv.reader(file)]
    private = {row[column] for row in rows for column in ("cid_num", "cid_ani")}
    private = {word for word in private if len(re.sub("[^0-9]", "", word)) > 6}
    private |= {call["caller_name"] for call in truth() if len(call["caller_name"]) > 6}
    assert len(private) > 100
    out = repr(recorded)
    assert not [word for word in private if word in out]


def test_either_file_first(callmart: Callmart) -> None:
    callmart.apply(
        "customers:\n"
        + "".join(
            f"  - {{id: {id}, name: a customer, contracts: [{{option: detailed, from: 2025-01-01}}]}}\n"
            for id in (1, 2)
        )
    )
    files = [RECORDING / "queue_log", RECORDING / "cel.csv.gz"]
    landed = [callmart.land(file, 1).landed for file in files]
    assert landed == list(reversed([callmart.land(file, 2).landed for file in reversed(files)]))
    part = "".join(gzip.decompress(files[1].read_bytes()).decode().splitlines(keepends=True)[:5000])
    again = callmart.land_text(part, 1)
    assert again.landed == 0
    assert again.repeated > 100

    def kept(customer: int) -> list[dict[str, Any]]:
        return callmart.rows(
            "select event, occurred_at, min(occurred_at) over (partition by call_key), queue, reason, target,"
            " target_kind, line_number from raw.event where customer_id = %s"
            " order by 1, 2, 3, line_number, reason, queue",
            customer,
        )

    assert len(kept(1)) == sum(landed)
    assert kept(1) == kept(2)
