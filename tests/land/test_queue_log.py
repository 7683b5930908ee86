"""queue_log, verb by verb with lines as they are written, and the recording of a real one."""

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import product
from pathlib import Path
from string import ascii_uppercase
from typing import Any

import pytest

from callmart.base.keys import keyed
from callmart.base.settings import PROJECT
from landing import DETAILED, KEYS, Opened, call_key, opened, rejects, taken

RECORDING = PROJECT / "demo" / "asterisk"
T = 1795529600  # 24 November 2026
START = datetime.fromtimestamp(T, UTC)
CALL = f"{T - 20}.16"


def log(tmp_path: Path, *lines: str) -> Opened:
    path = tmp_path / "queue_log"
    path.write_text("".join(line + "\n" for line in lines))
    return opened(path, customer=DETAILED)


def key(kind: str, value: str) -> str:
    return keyed(KEYS[DETAILED], kind, value)


def agent(name: str) -> dict[str, str]:
    return {"agent_key": key("agent", name)}


AT = {"occurred_at": START, "call_key": call_key(CALL), "queue": "sales"}
SOLD = f"{T}|{CALL}|sales"
EVA = agent("Eva Mulder")
RELEASED = {"event": "agent_released", **AT, **EVA, "duration_s": 4.0, "wait_s": 6.0}
BLIND = {"event": "transferred", **AT, **EVA, "reason": "blind"}
ATTENDED = {"event": "transferred", **AT, **EVA, "reason": "attended", "target_kind": "other"}


# Lines, and the events of each.
VERBS: list[tuple[str, Any]] = [
    (
        f"{SOLD}|NONE|ENTERQUEUE|0201111111|0031655561678|1",
        [
            {
                "event": "queue_joined",
                **AT,
                "number_key": key("number", "+31655561678"),
                "number_withheld": False,
            }
        ],
    ),
    (
        f"{SOLD}|NONE|ENTERQUEUE||0655542702|1|Jan, de 'Boer'",
        [
            {
                "event": "queue_joined",
                **AT,
                "number_key": key("number", "+31655542702"),
                "number_withheld": False,
            }
        ],
    ),
    (
        f"{SOLD}|Eva Mulder|CONNECT|6|1795529566.7|2",
        [
            {"event": "ring_ended", **AT, **EVA, "reason": "answered", "duration_s": 2.0},
            {"event": "agent_connected", **AT, **EVA, "duration_s": 6.0},
        ],
    ),
    (  # before 1.6 there was no ring time
        f"{SOLD}|Eva Mulder|CONNECT|6",
        [
            {"event": "ring_ended", **AT, **EVA, "reason": "answered"},
            {"event": "agent_connected", **AT, **EVA, "duration_s": 6.0},
        ],
    ),
    (f"{SOLD}|Eva Mulder|COMPLETEAGENT|6|4|1", [{**RELEASED, "reason": "agent"}]),
    (f"{SOLD}|Eva Mulder|COMPLETECALLER|6|4|1", [{**RELEASED, "reason": "caller"}]),
    (
        f"{SOLD}|Eva Mulder|BLINDTRANSFER|290|from-internal|6|4|3",
        [{**BLIND, "target_kind": "other"}, {**RELEASED, "reason": "transfer"}],
    ),
    (
        f"{SOLD}|Eva Mulder|BLINDTRANSFER|0205551234|from-internal|6|4|3",
        [
            {**BLIND, "target_kind": "number", "target_key": key("number", "+31205551234")},
            {**RELEASED, "reason": "transfer"},
        ],
    ),
    *(  # digits, but no number that could be dialled
        (
            f"{SOLD}|Eva Mulder|BLINDTRANSFER|{exten}|from-internal|6|4|3",
            [{**BLIND, "target_kind": "other"}, {**RELEASED, "reason": "transfer"}],
        )
        for exten in ("0", "+31", "0011", "jan@example.org", "s", "1234567890123456")
    ),
    (
        f"{SOLD}|Eva Mulder|TRANSFER|290|default|6|4|1",
        [{**BLIND, "target_kind": "other"}, {**RELEASED, "reason": "transfer"}],
    ),
    (
        f"{SOLD}|Eva Mulder|TRANSFER|290|default|6|4",
        [{**BLIND, "target_kind": "other"}, {**RELEASED, "reason": "transfer"}],
    ),
    *(
        (
            f"{SOLD}|Eva Mulder|ATTENDEDTRANSFER|{how}|6|4{position}",
            [ATTENDED, {**RELEASED, "reason": "transfer"}],
        )
        for position in ("|3", "")
        for how in ("BRIDGE|612311b8-3a7f-41c4", "APP|Voicemail", "LINK|SIP/101-0001|SIP/202-0002")
    ),
    (
        f"{SOLD}|Eva Mulder|RINGNOANSWER|3250",
        [{"event": "ring_ended", **AT, **EVA, "reason": "no_answer", "duration_s": 3.25}],
    ),
    (
        f"{SOLD}|Eva Mulder|RINGNOANSWER|0",
        [{"event": "ring_ended", **AT, **EVA, "reason": "no_answer", "duration_s": 0.0}],
    ),
    (
        f"{SOLD}|Eva Mulder|RINGCANCELED|490",
        [{"event": "ring_ended", **AT, **EVA, "reason": "caller_left", "duration_s": 0.49}],
    ),
    (f"{SOLD}|Eva Mulder|AGENTDUMP|", [{"event": "ring_ended", **AT, **EVA, "reason": "declined"}]),
    (
        f"{SOLD}|NONE|ABANDON|2|3|11",
        [{"event": "queue_left", **AT, "reason": "abandoned", "duration_s": 11.0}],
    ),
    (  # during the announcement to the agent: no ring, and nobody's
        f"{SOLD}|Eva Mulder|ABANDON|2|3|11",
        [{"event": "queue_left", **AT, "reason": "abandoned", "duration_s": 11.0}],
    ),
    (
        f"{SOLD}|NONE|EXITWITHTIMEOUT|1|3|10",
        [{"event": "queue_left", **AT, "reason": "timeout", "duration_s": 10.0}],
    ),
    (f"{SOLD}|NONE|EXITWITHTIMEOUT|7", [{"event": "queue_left", **AT, "reason": "timeout"}]),
    (
        f"{SOLD}|NONE|EXITEMPTY|1|3|0",
        [{"event": "queue_left", **AT, "reason": "empty", "duration_s": 0.0}],
    ),
    (
        f"{SOLD}|NONE|EXITWITHKEY|0|4|5|9",
        [{"event": "queue_left", **AT, "reason": "key", "duration_s": 9.0}],
    ),
    (f"{SOLD}|NONE|EXITWITHKEY|0|4", [{"event": "queue_left", **AT, "reason": "key"}]),
    (
        f"{SOLD}|NONE|WITHDRAW|3|3|4|teruggebeld door planning|klant akkoord",
        [{"event": "queue_left", **AT, "reason": "withdrawn", "duration_s": 4.0}],
    ),
    (
        f"{SOLD}|NONE|WITHDRAW|3|3|4|",
        [{"event": "queue_left", **AT, "reason": "withdrawn", "duration_s": 4.0}],
    ),
    (f"{SOLD}|NONE|LEAVEEMPTY|", [{"event": "queue_left", **AT, "reason": "empty"}]),
    (f"{SOLD}|Eva Mulder|SYSCOMPAT|", [{"event": "queue_left", **AT, "reason": "system"}]),
    (f"{SOLD}|NONE|JOINEMPTY|", [{"event": "queue_refused", **AT, "reason": "empty"}]),
    (f"{SOLD}|NONE|FULL|", [{"event": "queue_refused", **AT, "reason": "full"}]),
    (f"{SOLD}|NONE|CLOSED|", [{"event": "queue_refused", **AT, "reason": "closed"}]),
    (f"{SOLD}|NONE|DIVERT_CA_RATIO|", [{"event": "queue_refused", **AT, "reason": "busy"}]),
    (f"{SOLD}|NONE|DIVERT_HOLDTIME|", [{"event": "queue_refused", **AT, "reason": "busy"}]),
    (
        f"{SOLD}|Eva Mulder|WRAPUPSTART|30",
        [
            {"event": "wrapup_started", **AT, **EVA},
            {
                "event": "wrapup_ended",
                **AT,
                **EVA,
                "occurred_at": START + timedelta(seconds=30),
                "duration_s": 30.0,
            },
        ],
    ),
    (f"{SOLD}|Eva Mulder|WRAPUPSTART|", [{"event": "wrapup_started", **AT, **EVA}]),
    (
        f"{T}|{CALL}|NONE|1001|AGENTLOGIN|IAX2/my-phone-968",
        [
            {
                "event": "agent_logged_in",
                "occurred_at": START,
                **agent("Agent/1001"),
                "device_key": key("device", "IAX2/my-phone"),
            }
        ],
    ),
    (
        f"{T}|{CALL}|NONE|Agent/1001|AGENTLOGOFF|SIP/301-0000a1f;2|71",
        [
            {
                "event": "agent_logged_out",
                "occurred_at": START,
                **agent("Agent/1001"),
                "device_key": key("device", "SIP/301"),
                "duration_s": 71.0,
            }
        ],
    ),
    (
        f"{T}|NONE|NONE|Agent/1001|AGENTCALLBACKLOGIN|301@agents-1",
        [
            {
                "event": "agent_logged_in",
                "occurred_at": START,
                **agent("Agent/1001"),
                "device_key": key("device", "301@agents-1"),
            }
        ],
    ),
    (
        f"{T}|NONE|NONE|Agent/1001|AGENTCALLBACKLOGOFF|301@agents-1|3600|Autologoff",
        [
            {
                "event": "agent_logged_out",
                "occurred_at": START,
                **agent("Agent/1001"),
                "device_key": key("device", "301@agents-1"),
                "duration_s": 3600.0,
            }
        ],
    ),
    (
        f"{T}|MANAGER|sales|Eva Mulder|ADDMEMBER|PAUSED",
        [{"event": "agent_joined_queue", "occurred_at": START, "queue": "sales", **EVA}],
    ),
    (
        f"{T}|{CALL}|sales|Eva Mulder|REMOVEMEMBER|",
        [{"event": "agent_left_queue", "occurred_at": START, "queue": "sales", **EVA}],
    ),
    *(
        (
            f"{T}|NONE|NONE|Eva Mulder|{verb}|{word}",
            [{"event": "agent_status", "occurred_at": START, **EVA, "reason": status}],
        )
        for verb, word, status in [
            ("PAUSEALL", "lunch", "break"),
            ("PAUSEALL", "Away", "away"),
            ("PAUSEALL", "dokter|met naam", "other"),
            ("PAUSEALL", "", "other"),
            ("PAUSE", "OVERLEG", "training"),
            ("PAUSE", "Auto-Pause", "other"),
            ("UNPAUSE", "dubbel", "available"),
            ("UNPAUSEALL", "", "available"),
        ]
    ),
]
WITHHELD = [
    *("anonymous", "Anonymous", "unknown", "Unavailable", "restricted", "private", "withheld", ""),
    *("<unknown>", "anonymous@anonymous.invalid"),
]
NO_NUMBERS = ["jan.jansen@example.org", "5", "asterisk", "+31"]
CALLERS = {caller: f"{SOLD}|NONE|ENTERQUEUE||{caller}|1" for caller in WITHHELD + NO_NUMBERS}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """The events of each line, without what is null and what every event has. All lines are read as one log, which
    takes as long as one of them; each is of a call of its own, so that it says nothing of another's.
    """
    lines = [*(line for line, _ in VERBS), *CALLERS.values()]
    assert len(set(lines)) == len(lines)
    calls = [f"{CALL}{number}" for number in range(len(lines))]
    alone = [line.replace(CALL, call) for line, call in zip(lines, calls, strict=True)]
    prepared = log(tmp_path_factory.mktemp("lines"), *alone)
    constant = ("customer_id", "platform", "event_key", "identified", "line_number")
    found: dict[str, list[dict[str, Any]]] = {line: [] for line in lines}
    for event in taken(prepared):
        number = event["line_number"] - 1
        told = {name: value for name, value in event.items() if value is not None and name not in constant}
        if "call_key" in told:
            assert told["call_key"] == call_key(calls[number])
            told["call_key"] = call_key(CALL)
        found[lines[number]].append(told)
    assert prepared.rejected == 0
    return found


@pytest.mark.parametrize(("line", "expected"), VERBS)
def test_each_verb(read: dict[str, list[dict[str, Any]]], line: str, expected: list[dict[str, Any]]) -> None:
    assert read[line] == expected


@pytest.mark.parametrize("caller", WITHHELD)
def test_a_withheld_number_is_marked(read: dict[str, list[dict[str, Any]]], caller: str) -> None:
    (event,) = read[CALLERS[caller]]
    assert event == {"event": "queue_joined", **AT, "number_withheld": True}


@pytest.mark.parametrize("caller", NO_NUMBERS)
def test_what_is_no_number_is_not_kept_and_not_a_reject(
    read: dict[str, list[dict[str, Any]]], caller: str
) -> None:
    (event,) = read[CALLERS[caller]]
    assert event == {"event": "queue_joined", **AT}


def test_verbs_without_meaning_and_verbs_unknown(tmp_path: Path) -> None:
    prepared = log(
        tmp_path,
        f"{T}|NONE|NONE|NONE|QUEUESTART|",
        f"{T}|NONE|NONE|NONE|CONFIGRELOAD|",
        f"{T}|NONE|sales|IAX2/203|PENALTY|2",
        f"{T}|NONE|sales|IAX2/203|RINGINUSE|0",
        f"{SOLD}|Eva Mulder|OUTCALL|ANSWER|3|0205558888",
        f"{SOLD}|Eva Mulder|HOLD|",
        f"{SOLD}|Eva Mulder|UNHOLD|2",
        f"{SOLD}|NONE|DID|31205550101",
        f"{SOLD}|NONE|MAP|x",
        f"{SOLD}|NONE|CALLBACKREQUEST|+31205552766",
        f"{SOLD}|NONE|CALLBACKREQUEST|0655530202",
        f"{SOLD}|NONE|SURVEY|4|ja|q1",
        f"{SOLD}|NONE|jan jansen 0655530202|",
        f"{SOLD}|Jan|0655530202|CONNECT|5|y|2",
        f"{SOLD}|NONE|",
    )
    assert taken(prepared) == []
    assert prepared.unknown_verbs == {"CALLBACKREQUEST": 2, "SURVEY": 1, "other": 3}
    assert (prepared.rows, prepared.rejected, prepared.turned_away) == (15, 0, 0)


def test_rejects_of_a_log(tmp_path: Path) -> None:
    prepared = log(
        tmp_path,
        f"{SOLD}|Eva Mulder",
        f"soon|{CALL}|sales|NONE|ABANDON|1|1|1",
        f"{T}|NONE|sales|NONE|ABANDON|1|1|1",
        f"{T}|{CALL}|NONE|NONE|ABANDON|1|1|1",
        f"{SOLD}|NONE|ABANDON|1|1|soon",
    )
    (event,) = taken(prepared)
    assert event["duration_s"] is None
    assert rejects(prepared) == {
        1: "the line has fewer than five fields",
        2: "the time can't be read",
        3: "call_id is missing",
        4: "queue is missing",
    }


def test_a_log_can_connect_a_caller_to_nobody(tmp_path: Path) -> None:
    prepared = log(tmp_path, f"{SOLD}|NONE|CONNECT|6|1795529566.7|2")
    assert [(event["event"], event["agent_key"]) for event in taken(prepared)] == [
        ("ring_ended", None),
        ("agent_connected", None),
    ]
    assert prepared.rejected == 0


def test_call_ids_are_text_and_lines_give_the_order(tmp_path: Path) -> None:
    prepared = log(
        tmp_path,
        f"{T}|pbx1-{T - 1}.1|sales|NONE|ENTERQUEUE||0655542702|1",
        f"{T}|pbx1-{T - 1}.10|sales|NONE|ENTERQUEUE||0655542702|1",
        f"{T}|pbx1-{T - 1}.1|sales|NONE|ABANDON|1|1|0",
    )
    found = taken(prepared)
    assert [event["line_number"] for event in found] == [1, 2, 3]
    assert [event["call_key"] for event in found] == [call_key(f"pbx1-{T - 1}.{n}") for n in (1, 10, 1)]
    assert {event["number_key"] for event in found[:2]} == {key("number", "+31655542702")}


def test_the_recording() -> None:
    prepared = opened(RECORDING / "queue_log", customer=DETAILED)
    found = taken(prepared)
    assert Counter(event["event"] for event in found) == {
        "queue_joined": 354,
        "ring_ended": 247 + 97 + 26 + 37,
        "agent_connected": 247,
        "agent_released": 148 + 74 + 17 + 7,
        "transferred": 17 + 7,
        "queue_left": 54 + 3 + 10 + 32 + 4,
        "agent_status": 96 + 12 + 109 + 12,
        "agent_joined_queue": 25,
        "agent_left_queue": 24,
        "agent_logged_in": 4,
        "agent_logged_out": 2,
    }
    assert prepared.unknown_verbs == {"CALLBACKREQUEST": 3, "SURVEY": 5}
    assert (prepared.rows, prepared.rejected) == (1547, 0)
    assert {event["platform"] for event in found} == {"vcloud"}


def test_both_forms_of_the_recording_say_the_same() -> None:
    """Beside the microseconds: the realtime table lost its last rows when the process was killed."""

    def said(name: str) -> Counter[tuple[Any, ...]]:
        return Counter(
            (
                *(
                    value
                    for column, value in event.items()
                    if column not in ("event_key", "line_number", "occurred_at")
                ),
                event["occurred_at"].replace(microsecond=0),
            )
            for event in taken(opened(RECORDING / name, customer=DETAILED))
        )

    file, table = said("queue_log"), said("queue_log_realtime.csv")
    # The file's clock is read a moment after the table's: a handful of rows fall into the next second.
    assert (table - file).total() < 0.02 * table.total()
    assert file.total() - table.total() == 4


def test_no_number_of_the_recording_comes_out() -> None:
    for name in ("queue_log", "queue_log_realtime.csv"):
        path = RECORDING / name
        prepared = opened(path, customer=DETAILED)
        out = repr([taken(prepared), prepared.rejects.to_pylist(), prepared.unknown_verbs])
        numbers = {
            field
            for line in path.read_text().splitlines()
            if "ENTERQUEUE" in line
            for field in line.replace(",", "|").split("|")
            if field.lstrip("+").isdigit() and len(field) > 9 and not field.startswith("17955")
        }
        assert len(numbers) > 100
        assert not [number for number in numbers if number in out]


def test_a_log_of_ever_new_verbs_is_counted_up_to_a_point(tmp_path: Path) -> None:
    path = tmp_path / "queue_log"
    path.write_text(
        "".join(
            f"1795529567|c|sales|NONE|VERB{''.join(pair)}|\n"
            for pair in product(ascii_uppercase[:25], ascii_uppercase[:20])
        )
    )
    prepared = opened(path, customer=DETAILED)
    assert taken(prepared) == []
    assert (len(prepared.unknown_verbs), sum(prepared.unknown_verbs.values())) == (101, 500)
