"""A telephone number is kept as its key, also where it is the name of a queue or a line."""

from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmart.access import logins
from callmart.base import telephone
from callmart.base.keys import key_file, keyed
from callmart.base.raw_format import EVENTS
from callmart_home import Callmart
from events import DETAILED as BY_NAME
from events import at, event, ndjson, registry
from handing_over import keep
from landing import DETAILED, KEYS, events_of, row

NUMBER = keyed(KEYS[DETAILED], "number", "+31612345678")


@pytest.mark.parametrize(
    "name",
    ["0612345678", "06-12345678", "06 12 34 56 78", "+31612345678", "+31 (0)6 12345678", "06–12345678"],
)
def test_a_number_has_the_key_of_a_caller_however_it_is_written(tmp_path: Path, name: str) -> None:
    found = events_of(
        tmp_path / "events",
        [
            row("queue_joined", queue=name),
            row("transferred", queue="sales", target_kind="queue", target=name),
            row("call_ended", platform="sip_trunk", line=name),
            row("queue_joined", queue="sales", other_number="0612345678"),
        ],
    )
    kept = {event["event"]: event for event in found}
    # A dash of typography is no part of a telephone number, so that name has a key of its own.
    key = NUMBER if "–" not in name else keyed(KEYS[DETAILED], "number", name)
    assert key in {event["queue"] for event in found}
    assert (kept["transferred"]["target"], kept["transferred"]["target_key"]) == (key, None)
    assert kept["call_ended"]["line"] == key
    assert NUMBER in {event["number_key"] for event in found}
    assert "345678" not in repr([e | {"event_key": 0, "call_key": 0} for e in found])


NAMES = {  # and whether they are kept
    "sales": True,
    "sales 123456": True,
    "q-12-34-56": True,
    "trunk-1.2": True,
    "sales 0612345678": False,
    "1234567": False,
    "x1-2-3-4-5-6-7": False,
    "٠١٢٣٤٥٦٧": False,
    "0a1b2c3d4e5f6a7b" * 2: False,  # has the form of a key
    "0A1B2C3D4E5F6A7B" * 2: True,
}


def test_what_looks_like_a_number(tmp_path: Path) -> None:
    found = events_of(tmp_path / "events", [row("queue_joined", queue=name) for name in NAMES])
    assert {event["queue"] for event in found} == {
        name if is_kept else keyed(KEYS[DETAILED], "number", name) for name, is_kept in NAMES.items()
    }
    assert telephone.numbers_in_names(NAMES).keys() == {
        name for name, is_kept in NAMES.items() if not is_kept
    }


def test_a_name_of_nine_digits_stays_one(tmp_path: Path) -> None:
    names = ["201234567", "20-1234567"]
    found = events_of(tmp_path / "events", [row("queue_joined", queue=name) for name in names])
    assert [event["queue"] for event in found] == [keyed(KEYS[DETAILED], "number", "201234567")] * 2
    assert telephone.numbers_in_names(names) == dict.fromkeys(names, "201234567")


def test_names_that_look_like_numbers_are_told_apart(tmp_path: Path) -> None:
    names = ("sales 0612345678", "support 0612345678", "0612345678", "0612345679")
    found = events_of(tmp_path / "events", [row("queue_joined", queue=name) for name in names])
    assert (
        len({event["queue"] for event in found}) == len({event["event_key"] for event in found}) == len(names)
    )


# -- In the database


@pytest.fixture(scope="module")
def named(callmart: Callmart) -> Callmart:
    """A customer whose queue and line are numbers. The day is open, as if it had been built."""
    callmart.apply(registry(f"id: 1, {BY_NAME}"))
    rows = [
        event("queue_joined", at("10:00"), call_id="0612345678-1", queue="0201234567"),
        event("call_ended", at("10:01"), call_id="0612345678-2", platform="sip_trunk", line="030-7654321"),
    ]
    assert callmart.land_text(ndjson(*rows), 1).landed == len(rows)
    with callmart.connect() as owner:
        owner.execute("delete from ops.dirty_day")
        owner.execute("insert into ops.opened_day values (1, %s, 'queue_day', 1, 1)", [at("10:00").date()])
    return callmart


def shown(callmart: Callmart) -> list[str]:
    """What reports call the queue and the line."""
    names = callmart.rows(
        "select registry.name_shown(1, coalesce(queue, line)) as name from raw.event order by occurred_at"
    )
    return [row["name"] for row in names]


def dirty(callmart: Callmart) -> bool:
    """Whether the day is marked. The mark is taken away."""
    return bool(callmart.rows("delete from ops.dirty_day returning call_date"))


def test_no_id_and_no_number_reaches_the_database(named: Callmart) -> None:
    tables = named.rows(
        "select schemaname, tablename from pg_tables where schemaname in ('raw', 'ops', 'registry')"
    )
    text = "\n".join(
        str(row)
        for t in tables
        for row in named.rows(f"select t::text from {t['schemaname']}.{t['tablename']} as t")
    )
    assert "queue_joined" in text
    assert not [word for word in ("0612345678", "0201234567", "7654321", "landed-") if word in text]


def test_reports_show_a_number_that_the_registry_names(named: Callmart) -> None:
    """Whether the name came before the events or after them."""
    key = key_file(named.home, 1).read_bytes()
    labels = [f"number-{keyed(key, 'number', number)[:10]}" for number in ("+31201234567", "+31307654321")]
    assert shown(named) == labels
    named.apply(registry(f"id: 1, lines: [{{name: '0201234567', channels: 2}}, {{name: trunk}}], {BY_NAME}"))
    assert shown(named) == ["0201234567", labels[1]]
    assert dirty(named)
    named.apply(registry(f"id: 1, lines: [{{name: '0201234567', label: Bezorging, channels: 2}}], {BY_NAME}"))
    assert not dirty(named), "no number changes by a label, or by a line that is no number"
    named.apply(registry(f"id: 1, queues: [{{name: '030-7654321'}}], {BY_NAME}"))
    assert shown(named) == [labels[0], "030-7654321"]
    assert dirty(named)
    named.apply(registry(f"id: 1, {BY_NAME}"))
    assert shown(named) == labels
    assert dirty(named)


REFUSED: dict[str, dict[str, Any]] = {
    "queue": {"queue": "06-12345678"},
    "line": {"platform": "sip_trunk", "event": "call_ended", "queue": None, "line": "call 0612345678"},
    "target": {"event": "transferred", "reason": "blind", "target_kind": "queue", "target": "06 12 34 56 78"},
}


@pytest.mark.parametrize("change", [{}, *REFUSED.values()], ids=["control", *REFUSED])
def test_the_server_takes_no_number_from_the_loader(named: Callmart, change: dict[str, Any]) -> None:
    sound = {"customer_id": 1, "occurred_at": at("11:00"), "event_key": 1, "identified": True, "platform": "vcloud",
             "event": "queue_joined", "call_key": 1, "queue": "sales"}  # fmt: skip
    told = sound | change
    with logins.connect(named.settings, "loader") as loader:
        loader.execute(
            f"insert into raw.incoming ({', '.join(told)}) values ({', '.join(['%s'] * len(told))})".encode(),
            list(told.values()),
        )
        if not change:
            assert loader.execute(keep().encode()).fetchone() == (1,)
        else:
            with pytest.raises(psycopg.errors.CheckViolation, match=r"^a number is not given as a key"):
                loader.execute(keep().encode())
        loader.rollback()


@pytest.mark.parametrize("told", ["name_key", "path_key", "content_key", "look"])
def test_the_server_takes_no_file_in_clear(named: Callmart, told: str) -> None:
    with (
        logins.connect(named.settings, "loader") as loader,
        pytest.raises(psycopg.errors.CheckViolation, match=r"^a file is not given as a key"),
    ):
        loader.execute(keep(row_count=0, **{told: "queue_log"}).encode())


def test_no_word_of_the_raw_format_looks_like_a_number() -> None:
    """Else the server would refuse it as a reason."""
    assert telephone.numbers_in_names(reason for one in EVENTS for reason in (one.name, *one.reasons)) == {}
