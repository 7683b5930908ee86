"""The channel event log: holds and transfers, from rows as Asterisk writes them."""

import csv
import gzip
import io
import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callmart.base.errors import UserError
from callmart.base.keys import keyed
from callmart.land import cel as cel_log
from callmart.land.formats import CEL_COLUMNS, CEL_READ
from callmart.land.source import Tally
from landing import DETAILED, KEYS, NONE, Opened, call_key, holds_of, opened, rejects, taken

T = 1795529600  # 24 November 2026
CALL, AGENT, HALF = f"{T - 20}.16", f"{T - 8}.17", f"{T - 9}.18"
CALLER_NUMBER = "0655542702"

Line = dict[str, str]


def line(
    type: str, second: float, id: str = CALL, linked: str = CALL, **values: str | dict[str, str]
) -> Line:
    """A row; by default the caller's, who is in the queue `sales`."""
    app = {} if id != CALL else {"appname": "Queue", "appdata": "sales,tk,,,90"}
    extra = values.pop("extra", None)
    return {
        "eventtype": type,
        "eventtime": f"{T + second:.6f}",
        "cid_name": 'Firma "De Hoek"',
        "cid_num": CALLER_NUMBER,
        "channame": f"IAX2/carrier-{id[-2:]}",
        "uniqueid": id,
        "linkedid": linked,
        "eventextra": json.dumps(extra) if extra else "",
        **app,
        **values,  # type: ignore[dict-item]
    }


def agent(type: str, second: float, **values: Any) -> Line:
    """A row of the agent's channel, which the queue has called."""
    called = {"channame": "IAX2/214-9", "appname": "AppQueue", "appdata": "(Outgoing Line)"}
    return line(type, second, **{"id": AGENT, **called, **values})


def bridge(id: str = "b1", technology: str = "simple_bridge") -> dict[str, str]:
    return {"bridge_id": id, "bridge_technology": technology}


def music(begin: float, end: float, of: Callable[..., Line] = line, **values: str) -> list[Line]:
    return [
        of("STREAM_BEGIN", begin, userdeftype="MOH_STREAM_BEGIN", extra={"class": "default"}, **values),
        of("STREAM_END", end, userdeftype="MOH_STREAM_END", **values),
    ]


WAIT = [line("CHAN_START", -20, appname="", appdata=""), line("APP_START", -20), *music(-19, -0.1)]
TALK = [agent("BRIDGE_ENTER", 0, extra=bridge()), line("BRIDGE_ENTER", 0.1, extra=bridge())]
BYE = [
    agent("BRIDGE_EXIT", 90, extra=bridge()),
    line("BRIDGE_EXIT", 90, extra=bridge()),
    line("CHAN_END", 90.5, appname="", appdata=""),
]
PROMPT = {"userdeftype": "FILE_STREAM_BEGIN", "extra": {"sound": "pbx-transfer", "format": "slin"}}


def text(lines: list[Line], columns: tuple[str, ...] = CEL_COLUMNS) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(
        out, columns, quoting=csv.QUOTE_ALL, restval="", extrasaction="ignore", lineterminator="\n"
    )
    writer.writerows(lines)
    return out.getvalue()


def cel(folder: Path, *lines: Line, customer: int = DETAILED) -> Opened:
    path = folder / "Master.csv"
    path.write_text(text(list(lines)))
    return opened(path, customer=customer)


def told(prepared: Opened) -> list[tuple[str, float]]:
    """The events in time, in seconds after T."""
    return sorted(
        ((event["event"], round(event["occurred_at"].timestamp() - T, 3)) for event in taken(prepared)),
        key=lambda event: event[1],
    )


HELD = [("hold_started", 10.0), ("hold_ended", 14.5)]
ENDED = ("call_ended", 90.5)


# -- Holds


def test_a_hold(tmp_path: Path) -> None:
    prepared = cel(tmp_path, *WAIT, *TALK, *music(10, 14.5), *BYE)
    started, ended, over = sorted(taken(prepared), key=lambda event: event["occurred_at"])
    assert {name: value for name, value in started.items() if value is not None} == {
        "customer_id": DETAILED,
        "platform": "vcloud",
        "event": "hold_started",
        "occurred_at": datetime.fromtimestamp(T + 10, UTC),
        "queue": "sales",
        "call_key": call_key(CALL),
        "event_key": started["event_key"],
        "line_number": started["line_number"],
        "identified": True,
    }
    assert (ended["event"], ended["call_key"], ended["duration_s"]) == ("hold_ended", call_key(CALL), None)
    assert (over["event"], over["call_key"], over["reason"]) == ("call_ended", call_key(CALL), None)
    assert prepared.rejected == 0


@pytest.mark.parametrize(
    "lines",
    [
        pytest.param([*TALK, *BYE], id="of waiting"),
        pytest.param([*TALK, *music(10, 14.5, agent), *BYE], id="that the caller gave the agent"),
        pytest.param(
            [*TALK, line("BRIDGE_EXIT", 9, extra=bridge()),
             line("BRIDGE_ENTER", 9.5, extra=bridge("p", "holding_bridge")), *music(10, 14.5), *BYE],
            id="of a car park",
        ),
        pytest.param(
            [*TALK, line("BRIDGE_ENTER", 9.5, extra=bridge("p", "holding_bridge")), *music(10, 14.5), *BYE],
            id="of a car park, though the log lost the exit",
        ),
        pytest.param([*TALK, music(10, 14.5)[0], agent("STREAM_BEGIN", 10.1, **PROMPT), music(10, 14.5)[1], *BYE],
                     id="while the agent dials"),
        pytest.param([*TALK, agent("STREAM_BEGIN", 9.9, **PROMPT), *music(10, 14.5), *BYE], id="after the keys"),
        pytest.param(
            [*TALK, music(10, 14.5)[0], agent("BRIDGE_EXIT", 11, extra=bridge()),
             agent("BRIDGE_ENTER", 11, extra=bridge("b2")), music(10, 14.5)[1], *BYE],
            id="while the agent consults",
        ),
        pytest.param([*TALK, line("STREAM_BEGIN", 10, userdeftype="FILE_STREAM_BEGIN", extra={"sound": "beep"}),
                      line("STREAM_END", 11, userdeftype="FILE_STREAM_END"), *BYE], id="no music"),
    ],
)  # fmt: skip
def test_music_that_is_no_hold(tmp_path: Path, lines: list[Line]) -> None:
    assert told(cel(tmp_path, *WAIT, *lines)) == [ENDED]


def test_a_hold_after_a_transfer_that_was_called_off(tmp_path: Path) -> None:
    tried = [
        music(5, 8)[0], agent("BRIDGE_EXIT", 6, extra=bridge()), agent("BRIDGE_ENTER", 6, extra=bridge("b2")),
        agent("BRIDGE_EXIT", 7.9, extra=bridge("b2")), agent("BRIDGE_ENTER", 8, extra=bridge()), music(5, 8)[1],
    ]  # fmt: skip
    assert told(cel(tmp_path, *WAIT, *TALK, *tried, *music(10, 14.5), *BYE)) == [*HELD, ENDED]


def test_a_caller_who_hangs_up_on_hold(tmp_path: Path) -> None:
    begin, end = music(10, 14.5)
    left = [agent("BRIDGE_EXIT", 14.4, extra=bridge()), line("BRIDGE_EXIT", 14.4, extra=bridge())]
    assert told(cel(tmp_path, *WAIT, *TALK, begin, *left, end, BYE[-1])) == [*HELD, ENDED]
    assert told(cel(tmp_path, *WAIT, *TALK, begin, *left, BYE[-1])) == [HELD[0], ENDED]


def test_a_hold_by_a_member_that_is_a_local_channel(tmp_path: Path) -> None:
    """The caller hears it through the half that called the telephone; queue_log knows the call as the linked one."""
    half = {
        "id": HALF,
        "channame": "Local/224@agents-local-00000005;2",
        "appname": "Dial",
        "appdata": "IAX2/224",
    }
    lines = [
        line("BRIDGE_ENTER", 0, extra=bridge("b2"), **half),
        line("STREAM_BEGIN", 10, userdeftype="MOH_STREAM_BEGIN", extra={"class": "default"}, **half),
        line("STREAM_END", 14.5, userdeftype="MOH_STREAM_END", **half),
        line("CHAN_END", 80, **half | {"appname": "", "appdata": ""}),
    ]
    found = taken(cel(tmp_path, *lines))
    assert [(event["event"], event["call_key"], event["queue"]) for event in found] == [
        ("hold_started", call_key(CALL), None),
        ("hold_ended", call_key(CALL), None),
    ]


def test_a_queue_call_that_another_one_is_linked_to(tmp_path: Path) -> None:
    """queue_log knows the caller in a queue by the channel's own id, whatever it is linked to."""
    lines = [one | {"linkedid": "1795529000.1"} for one in (*WAIT, *TALK, *music(10, 14.5), *BYE)]
    assert {event["call_key"] for event in taken(cel(tmp_path, *lines))} == {call_key(CALL)}


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        pytest.param([*music(10, 14.5), *BYE], [*HELD, ENDED], id="before the hold"),
        pytest.param([music(10, 14.5)[1], *BYE], [HELD[1], ENDED], id="within the hold"),
        pytest.param([*music(-19, -0.1), *TALK, *BYE], [ENDED], id="while waiting"),
        pytest.param([*music(10, 14.5)], [], id="and ends before that is known"),
    ],
)
def test_a_file_that_begins_within_a_call(
    tmp_path: Path, lines: list[Line], expected: list[tuple[str, float]]
) -> None:
    assert told(cel(tmp_path, *lines)) == expected


def test_what_an_agent_hears_who_waits_for_calls(tmp_path: Path) -> None:
    login = {"id": AGENT, "appname": "AgentLogin", "appdata": "1001,s"}
    lines = [
        line("BRIDGE_ENTER", 0, extra=bridge("pool", "holding_bridge"), **login),
        line("STREAM_BEGIN", 1, userdeftype="MOH_STREAM_BEGIN", **login),
        line("STREAM_END", 9, userdeftype="MOH_STREAM_END", **login),
        line("CHAN_END", 10, **login),
    ]
    assert told(cel(tmp_path, *lines)) == []


def test_an_asterisk_that_does_not_tell_of_music(tmp_path: Path) -> None:
    """Then no hold is no news, so that it can't be taken for none."""
    lines = [one for one in (*WAIT, *TALK, *BYE) if not one["eventtype"].startswith("STREAM")]
    blind = agent("BLINDTRANSFER", 89, extra=handed(extension="290"))
    assert told(cel(tmp_path, *lines, blind)) == [("transferred", 89.0)]
    assert told(cel(tmp_path, *lines, blind, *music(95, 99, agent))) == [("transferred", 89.0), ENDED]


def test_no_log_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that tells of no channel's end, and in which each has a bridge of its own."""
    monkeypatch.setattr(cel_log, "MOST_CHANNELS", 10)
    log = cel_log.ChannelLog(Mock(), 0, Tally(), "UTC")
    for number in range(100):
        entered = cel_log.Row(
            number,
            number,
            "BRIDGE_ENTER",
            None,
            None,
            None,
            str(number),
            None,
            None,
            json.dumps(bridge(f"b{number}")),
        )
        assert list(log._follow(entered)) == []
    assert len(log._channels) == len(log._bridges) == 10


def test_a_channel_that_meets_no_bridge_does_not_fill_the_memory() -> None:
    log = cel_log.ChannelLog(Mock(), 0, Tally(), "UTC")
    for number in range(2 * cel_log.MOST_MUSIC):
        kind = ("STREAM_BEGIN", "STREAM_END")[number % 2]
        heard = cel_log.Row(number, number, kind, None, None, None, "1", None, cel_log.MUSIC, "{}")
        assert list(log._follow(heard)) == []
    assert len(log._channels["1"].undecided) == cel_log.MOST_MUSIC


def test_a_channel_is_in_one_bridge_though_the_log_lost_its_exits() -> None:
    """It left the first when it entered the second. The row that tells it twice says nothing."""
    log = cel_log.ChannelLog(Mock(), 0, Tally(), "UTC")
    for number, name in enumerate(("b1", "b1", "b2", "b3")):
        entered = cel_log.Row(
            number, number, "BRIDGE_ENTER", None, None, None, "1", None, None, json.dumps(bridge(name))
        )
        assert list(log._follow(entered)) == []
    assert [(one.id, one.parties) for one in log._bridges.values()] == [("b3", 1)]


def test_music_long_after_a_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whether a call has an end depends on the whole file, and not on its block."""
    lines = [one for one in (*WAIT, *TALK, *BYE) if not one["eventtype"].startswith("STREAM")]
    monkeypatch.setattr("callmart.land.found.BLOCK", 400)  # two rows at most
    assert told(cel(tmp_path, *lines, *music(95, 99, agent))) == [ENDED]
    assert told(cel(tmp_path, *lines, *(line("CHAN_START", 91) for _ in range(9)))) == []


# -- Transfers


def transferred(folder: Path, *lines: Line) -> dict[str, Any]:
    prepared = cel(folder, *WAIT, *TALK, *lines)
    (event,) = taken(prepared)
    assert (event["event"], event["call_key"], event["agent_key"]) == ("transferred", call_key(CALL), None)
    return {name: event[name] for name in ("reason", "target_kind", "target", "target_key") if event[name]}


def handed(**extra: str) -> dict[str, str]:
    return {"transferee_channel_name": "IAX2/carrier-16", "transferee_channel_uniqueid": CALL} | extra


@pytest.mark.parametrize(
    ("extension", "expected"),
    [
        ("290", {"target_kind": "other"}),
        ("s", {"target_kind": "other"}),
        (
            "0205559999",
            {"target_kind": "number", "target_key": keyed(KEYS[DETAILED], "number", "+31205559999")},
        ),
    ],
)
def test_blind(tmp_path: Path, extension: str, expected: dict[str, str]) -> None:
    row = agent("BLINDTRANSFER", 20, extra=handed(extension=extension, context="from-internal"))
    assert transferred(tmp_path, row) == {"reason": "blind"} | expected


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ({"transfer_target_channel_name": "Local/290@from-internal-07;1"}, {"target_kind": "other"}),
        ({"transfer_target_channel_name": "IAX2/290-1"}, {"target_kind": "other"}),
        ({"transfer_target_channel_name": "N/A"}, {"target_kind": "other"}),
        ({}, {"target_kind": "other"}),
        (
            {"transfer_target_channel_name": "Local/0205559999@from-internal-07;1"},
            {"target_kind": "number", "target_key": keyed(KEYS[DETAILED], "number", "+31205559999")},
        ),
    ],
)
def test_attended(tmp_path: Path, target: dict[str, str], expected: dict[str, str]) -> None:
    assert (
        transferred(tmp_path, agent("ATTENDEDTRANSFER", 20, extra=handed(**target)))
        == {"reason": "attended"} | expected
    )


@pytest.mark.parametrize("named", [True, False], ids=["named", "found in the bridge"])
def test_attended_into_a_queue(tmp_path: Path, named: bool) -> None:
    pair = "Local/72@from-internal-00000027"
    waits = {"appname": "Queue", "appdata": "support,t,,,30", "channame": f"{pair};2"}
    row = agent(
        "ATTENDEDTRANSFER",
        20,
        extra=handed(
            bridge2_id="b2",
            channel2_uniqueid=AGENT,
            transfer_target_channel_name=f"{pair};1" if named else "N/A",
        ),
    )
    found = transferred(
        tmp_path,
        line("APP_START", 11, id=HALF, **waits),
        line("BRIDGE_ENTER", 11, id="1795529610.9", channame=f"{pair};1", extra=bridge("b2")),
        line("BRIDGE_EXIT", 19, id="1795529610.9", channame=f"{pair};1", extra=bridge("b2")),
        line("BRIDGE_ENTER", 19, id="1795529610.9", channame=f"{pair};1", extra=bridge()),
        row,
    )
    assert found == {"reason": "attended", "target_kind": "queue", "target": "support"}


def test_attended_by_a_second_call_that_waits_in_a_queue(tmp_path: Path) -> None:
    second = line("APP_START", 11, id=HALF, appname="Queue", appdata="support", channame="SIP/214-2")
    row = agent("ATTENDEDTRANSFER", 20, extra=handed(app="Queue", channel2_uniqueid=HALF))
    assert transferred(tmp_path, second, row) == {
        "reason": "attended",
        "target_kind": "queue",
        "target": "support",
    }


def test_a_transfer_of_a_channel_that_nothing_is_known_of(tmp_path: Path) -> None:
    row = agent("BLINDTRANSFER", 20, extra={"extension": "290"})
    (event,) = taken(cel(tmp_path, row))
    assert (event["call_key"], event["queue"]) == (call_key(CALL), None)


# -- The file


def test_types_that_say_nothing_and_unknown_ones(tmp_path: Path) -> None:
    prepared = cel(
        tmp_path,
        line("CHAN_START", 0),
        line("USER_DEFINED", 0, userdeftype=CALLER_NUMBER),
        line("USER_DEFINED", 1),
        line(f"jan {CALLER_NUMBER}", 2),
        line("", 2),
    )
    assert taken(prepared) == []
    assert prepared.unknown_verbs == {"USER_DEFINED": 2, "other": 2}
    assert (prepared.rows, prepared.rejected, prepared.turned_away) == (5, 0, 0)


def test_rejects(tmp_path: Path) -> None:
    path = tmp_path / "Master.csv"
    good = text([line("ANSWER", 0)])
    path.write_text(
        good  # 1
        + good.replace(',""\n', "\n")  # 2
        + good.replace("\n", ',"one more"\n')  # 3
        + good.replace(CALLER_NUMBER + '"', CALLER_NUMBER)  # 4
        + text(
            [
                line("ANSWER", 0) | {"eventtime": "soon"},  # 5
                line("BRIDGE_ENTER", 0, id=""),  # 6
                line("BLINDTRANSFER", 0) | {"eventextra": "{not JSON " + CALLER_NUMBER},  # 7
                line("BLINDTRANSFER", 0) | {"eventextra": '["a list"]'},  # 8
                line("BLINDTRANSFER", 0) | {"eventextra": "[" * 100_000},  # 9
                line("BLINDTRANSFER", 0, extra=handed()) | {"linkedid": ""},  # 10: the caller is a queue's
                line("APP_START", 0, appdata="sal\aes"),  # 11
                line("BLINDTRANSFER", 0, extra=handed()),  # 12
                line("BLINDTRANSFER", 0) | {"eventextra": r'{"extension": "\ud800"}'},  # 13: half a character
            ]
        )
    )
    prepared = opened(path, customer=DETAILED)
    assert [event["queue"] for event in taken(prepared)] == ["sales"] * 2
    assert rejects(prepared) == {
        2: "the line has more or fewer columns than a channel event log",
        3: "the line has more or fewer columns than a channel event log",
        4: "the line is not CSV: quotes are open or in the wrong place",
        5: "the time can't be read",
        6: "uniqueid is missing",
        7: "eventextra is not JSON",
        8: "eventextra is not a JSON object",
        9: "eventextra is not JSON",
        13: "eventextra is not JSON",
    }
    assert (prepared.rows, prepared.rejected) == (13, 9)


def test_an_export_with_a_header_and_local_times(tmp_path: Path) -> None:
    path = tmp_path / "cel.csv"
    columns = ("id", *CEL_READ, "cid_num")
    header = ",".join(columns).replace("eventextra", "extra")
    lines = [
        one
        | {"eventtime": datetime.fromtimestamp(float(one["eventtime"]), UTC).strftime("%Y-%m-%d %H:%M:%S.%f")}
        for one in (*WAIT, *TALK, *music(10, 14.5), *BYE)
    ]
    path.write_text(header + "\n" + text(lines, columns))
    log = opened(path, customer=DETAILED, time_zone="UTC")
    assert told(log) == [*HELD, ENDED]
    assert log.tally.time_zone == "UTC"
    hour = timedelta(hours=1) / timedelta(seconds=1)  # Amsterdam is the customer's, and ahead
    assert told(opened(path, customer=DETAILED))[-1] == ("call_ended", 90.5 - hour)


@pytest.mark.parametrize("pack", [bytes, gzip.compress])
def test_the_format_is_found(tmp_path: Path, pack: Callable[[bytes], bytes]) -> None:
    path = tmp_path / "Master.csv"
    path.write_bytes(pack(text([*WAIT, *TALK, *music(10, 14.5), *BYE]).encode()))
    for format in ("auto", "cel"):
        assert told(opened(path, format, customer=DETAILED)) == [*HELD, ENDED]


def test_another_format_is_named(tmp_path: Path) -> None:
    path = tmp_path / "Master.csv"
    path.write_text(text(WAIT))
    with pytest.raises(UserError, match="is cel, not csv; use format cel or auto"):
        opened(path, "csv", customer=DETAILED)
    with pytest.raises(
        UserError, match="does not name the customer; give --customer, or `customer` for its folder"
    ):
        opened(path)
    path.write_text("1795529567|1795529567.16|sales|NONE|ABANDON|2|2|11\n")
    with pytest.raises(UserError, match="is queue_log, not cel"):
        opened(path, "cel", customer=DETAILED)
    path.write_text("eventtype,eventtime,linkedid,secret-column\n")
    with pytest.raises(UserError, match=r"column 4 of the header is not known"):
        opened(path, "cel", customer=DETAILED)


def test_a_customer_without_a_contract_is_turned_away(tmp_path: Path) -> None:
    prepared = cel(tmp_path, *WAIT, *TALK, *music(10, 14.5), *BYE, customer=NONE)
    assert taken(prepared) == []
    assert prepared.turned_away == 3


@st.composite
def calls(draw: st.DrawFn) -> tuple[list[Line], set[tuple[int, float, float]]]:
    """Calls that go on at the same time, with their rows mixed, and the holds in them; music from the beginning."""
    lines: list[Line] = music(-2, -1, id=f"{T - 9}.1", linked=f"{T - 9}.1")
    holds = set()
    for number in range(draw(st.integers(1, 4))):
        id, with_whom = f"{T}.{number * 2}", f"{T}.{number * 2 + 1}"
        here = bridge(f"b{number}")
        mine = [line("APP_START", 0, id=id, appname="Queue", appdata="sales")]
        second = draw(st.integers(1, 50))
        if draw(st.booleans()):
            mine += music(1, second, id=id, appname="Queue", appdata="sales")
        mine += [
            line("BRIDGE_ENTER", second, id=id, appname="Queue", appdata="sales", extra=here),
            agent("BRIDGE_ENTER", second, id=with_whom, extra=here),
        ]
        for kind in draw(st.lists(st.sampled_from(["hold", "dial", "callers", "wait"]), max_size=6)):
            begin = second + draw(st.integers(2, 30))
            second = begin + draw(st.integers(1, 30))
            heard = music(begin, second, id=id, appname="Queue", appdata="sales")
            if kind == "hold":
                holds.add((call_key(id), float(T + begin), float(T + second)))
                mine += heard
            elif kind == "dial":
                mine += [heard[0], agent("STREAM_BEGIN", begin, id=with_whom, **PROMPT), heard[1]]
            elif kind == "callers":
                mine += music(begin, second, agent, id=with_whom)
        mine += [
            agent("BRIDGE_EXIT", second + 1, id=with_whom, extra=here),
            line("BRIDGE_EXIT", second + 1, id=id, appname="Queue", appdata="sales", extra=here),
            line("CHAN_END", second + 2, id=id),
        ]
        lines += mine
    # Stable: a channel's rows keep their order.
    return sorted(lines, key=lambda one: float(one["eventtime"])), holds


@pytest.mark.thorough
@settings(max_examples=15, deadline=None)
@given(drawn=calls(), block=st.sampled_from([2000, 4 << 20]), where=st.floats(0, 1))
def test_calls_at_the_same_time(
    tmp_path_factory: pytest.TempPathFactory,
    drawn: tuple[list[Line], set[tuple[int, float, float]]],
    block: int,
    where: float,
) -> None:
    """In one batch or in many; what a part of the file tells is told by the whole, as the same events."""
    lines, holds = drawn
    folder = tmp_path_factory.mktemp("cel")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("callmart.land.found.BLOCK", block)
        whole = taken(cel(folder, *lines))
    assert holds_of(whole) == holds
    ended = [event["call_key"] for event in whole if event["event"] == "call_ended"]
    assert (
        len(ended)
        == len(set(ended))
        == len({one["uniqueid"] for one in lines if one["eventtype"] == "CHAN_END"})
    )

    cut = int(where * (len(lines) - 1)) + 1
    identity = {(event["occurred_at"], event["event_key"]) for event in whole}
    assert {
        (event["occurred_at"], event["event_key"]) for event in taken(cel(folder, *lines[:cut]))
    } <= identity


@settings(max_examples=15, deadline=None)
@given(
    rows=st.lists(
        st.lists(st.text(st.characters(blacklist_characters="\n\r\0", blacklist_categories=["Cs"]), max_size=12),
                 min_size=20, max_size=20),
        max_size=8,
    ),
    types=st.lists(st.sampled_from(["BRIDGE_ENTER", "BRIDGE_EXIT", "STREAM_END", "BLINDTRANSFER", "ATTENDEDTRANSFER",
                                    "CHAN_END", "APP_START"]), min_size=8, max_size=8),
)  # fmt: skip
def test_whatever_stands_in_a_row(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], types: list[str]
) -> None:
    """A row is an event or a reject with one of a few reasons, or says nothing; the rest of the file lands."""
    lines = [
        dict(zip(CEL_COLUMNS, row, strict=True)) | {"eventtype": type, "eventtime": f"{T}.{number}"}
        for number, (row, type) in enumerate(zip(rows, types, strict=False), start=1)
    ]
    prepared = cel(tmp_path_factory.mktemp("cel"), *WAIT, *TALK, *lines, *music(10, 14.5), *BYE)
    events = [name for name, _ in told(prepared) if name != "transferred"]
    assert Counter(events)["hold_started"] >= 1
    assert prepared.rows == len(WAIT + TALK + lines + BYE) + 2
    assert set(rejects(prepared).values()) <= {
        "uniqueid is missing",
        "eventextra is not JSON",
        "eventextra is not a JSON object",
        *(f"{column} holds a control character" for column in ("call_id", "queue", "target", "event_id")),
    }
