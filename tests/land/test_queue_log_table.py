"""queue_log in a table of Asterisk's realtime database: local times, and parameters in columns."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from callmart.base.keys import keyed
from landing import DETAILED, KEYS, Opened, opened, rejects, taken

HEADER = "time,callid,queuename,agent,event,data1,data2,data3,data4,data5\r\n"


def realtime(tmp_path: Path, *lines: str, time_zone: str | None = None) -> Opened:
    path = tmp_path / "queue_log.csv"
    path.write_text(HEADER + "".join(line + "\r\n" for line in lines))
    return opened(path, customer=DETAILED, time_zone=time_zone)


def at(prepared: Opened) -> list[datetime]:
    return [event["occurred_at"] for event in taken(prepared)]


def abandon(local: str, call_id: str = "x.1") -> str:
    return f"{local},{call_id},sales,NONE,ABANDON,1,1,5,,"


def test_local_times_with_and_without_microseconds(tmp_path: Path) -> None:
    assert at(realtime(tmp_path, abandon("2026-11-24 15:12:38.112307"), abandon("2026-07-01 15:12:38"))) == [
        datetime(2026, 11, 24, 14, 12, 38, 112307, UTC),
        datetime(2026, 7, 1, 13, 12, 38, tzinfo=UTC),
    ]


def test_the_time_zone_given_wins(tmp_path: Path) -> None:
    assert at(realtime(tmp_path, abandon("2026-07-01 15:12:38"), time_zone="UTC")) == [
        datetime(2026, 7, 1, 15, 12, 38, tzinfo=UTC)
    ]


def test_an_hour_that_does_not_exist_is_a_reject(tmp_path: Path) -> None:
    prepared = realtime(
        tmp_path,
        abandon("2026-03-29 01:59:59"),
        abandon("2026-03-29 02:30:00"),
        abandon("2026-03-29 03:00:00"),
    )
    assert at(prepared) == [
        datetime(2026, 3, 29, 0, 59, 59, tzinfo=UTC),
        datetime(2026, 3, 29, 1, tzinfo=UTC),
    ]
    assert rejects(prepared) == {3: "the time can't be read"}


def test_the_repeated_hour_follows_the_file(tmp_path: Path) -> None:
    prepared = realtime(
        tmp_path,
        abandon("2026-10-25 01:59:00"),
        abandon("2026-10-25 02:10:00.5"),
        abandon("2026-10-25 02:50:00"),
        abandon("2026-10-25 02:49:59.9"),  # rows are a moment out of order: not the second hour yet
        abandon("2026-10-25 02:05:00"),
        abandon("2026-10-25 02:55:00"),
        abandon("2026-10-25 03:00:00"),
    )
    begin = datetime(2026, 10, 24, 23, 59, tzinfo=UTC)
    assert [round((instant - begin) / timedelta(minutes=1), 2) for instant in at(prepared)] == [
        0, 11.01, 51, 51.0, 66, 116, 121,
    ]  # fmt: skip


def test_the_repeated_hour_follows_the_call(tmp_path: Path) -> None:
    began = int(datetime(2026, 10, 25, 1, 20, tzinfo=UTC).timestamp())  # in the second hour
    prepared = realtime(
        tmp_path,
        abandon("2026-10-25 02:15:00"),
        abandon("2026-10-25 02:21:00", f"pbx1-{began}.7"),
        abandon("2026-10-25 02:40:00"),
    )
    assert at(prepared) == [
        datetime(2026, 10, 25, 0, 15, tzinfo=UTC),
        datetime(2026, 10, 25, 1, 21, tzinfo=UTC),
        datetime(2026, 10, 25, 1, 40, tzinfo=UTC),
    ]


def test_a_table_that_was_exported_from_its_end_is_read_from_there(tmp_path: Path) -> None:
    """Whole days, since an hour or two that go back may be those that come twice."""
    rows = [
        abandon("2026-10-25 00:30:00", "x.1"),
        abandon(
            "2026-10-25 02:15:00", f"pbx1-{int(datetime(2026, 10, 25, 0, 14, tzinfo=UTC).timestamp())}.7"
        ),
        abandon("2026-10-25 02:50:00", "x.2"),
        abandon("2026-10-25 02:20:00", "x.3"),
        abandon(
            "2026-10-25 14:00:00", f"pbx1-{int(datetime(2026, 10, 25, 12, 59, tzinfo=UTC).timestamp())}.8"
        ),
    ]
    forwards, backwards = (at(realtime(tmp_path, *each)) for each in (rows, rows[::-1]))
    assert forwards == [
        datetime(2026, 10, 24, 22, 30, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 15, tzinfo=UTC),
        datetime(2026, 10, 25, 0, 50, tzinfo=UTC),
        datetime(2026, 10, 25, 1, 20, tzinfo=UTC),
        datetime(2026, 10, 25, 13, 0, tzinfo=UTC),
    ]
    assert sorted(backwards) == forwards


def test_two_years_have_two_repeated_hours(tmp_path: Path) -> None:
    prepared = realtime(
        tmp_path,
        abandon("2026-10-25 02:40:00"),
        abandon("2026-10-25 02:20:00"),
        abandon("2027-10-31 02:10:00"),
    )
    assert at(prepared) == [
        datetime(2026, 10, 25, 0, 40, tzinfo=UTC),
        datetime(2026, 10, 25, 1, 20, tzinfo=UTC),
        datetime(2027, 10, 31, 0, 10, tzinfo=UTC),
    ]


@settings(max_examples=20, deadline=None)
@given(
    zone=st.sampled_from(["Europe/Amsterdam", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu"]),
    seconds=st.lists(st.integers(1, 600), min_size=1, max_size=30),
    begin=st.sampled_from(["2026-10-24T23:00", "2026-11-01T04:00", "2026-04-04T14:00", "2026-07-01T00:00"]),
    block=st.sampled_from([200, 4 << 20]),
)
def test_local_times_are_read_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, zone: str, seconds: list[int], begin: str, block: int
) -> None:
    """A log that goes on through the night, its calls a minute old at most, in one batch or in many."""
    instant = datetime.fromisoformat(begin).replace(tzinfo=UTC)
    written = []
    for step in seconds:
        instant += timedelta(seconds=step)
        local = instant.astimezone(ZoneInfo(zone)).replace(tzinfo=None)
        written.append((instant, abandon(str(local), f"{int(instant.timestamp()) - step % 60}.1")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("callmart.land.found.BLOCK", block)
        folder = tmp_path_factory.mktemp("log")
        prepared = realtime(folder, *(line for _, line in written), time_zone=zone)
        assert at(prepared) == [instant for instant, _ in written]


def test_parameters_beyond_five_stand_in_the_fifth_column(tmp_path: Path) -> None:
    """Of an attended transfer; one that is short of the position has five at most."""
    transfers = (
        "LINK,SIP/1-1,SIP/2-2,6,4|3",
        "LINK,SIP/1-1,SIP/2-2,6,4",
        "BRIDGE,3f0c2b1e,6,4,",
        "APP,Queue,6,4,3",
    )
    prepared = realtime(
        tmp_path,
        *(
            f"2026-11-24 15:12:38,x.1,sales,Eva Mulder,ATTENDEDTRANSFER,{parameters}"
            for parameters in transfers
        ),
        '2026-11-24 15:12:38,x.1,sales,"Meijer, Tim",COMPLETEAGENT,6,4,1,,',
    )
    *transferred, completed = taken(prepared)
    released = [event for event in transferred if event["event"] == "agent_released"]
    assert [(event["duration_s"], event["wait_s"]) for event in released] == [(4.0, 6.0)] * len(transfers)
    assert completed["agent_key"] == keyed(KEYS[DETAILED], "agent", "Meijer, Tim")
