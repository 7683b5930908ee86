"""Local times have landed in one time zone: in another one the same events would be others, in the same calls."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmart.access import logins
from callmart.base.errors import UserError
from callmart.land.landing import Landed
from callmart_home import Callmart
from events import DAY, DETAILED, registry
from handing_over import keep

OWN = range(1, 9)  # customers in Amsterdam, of whom each test has its own
CALLS = ("10:00:00", "11:00:00")
CEL_COLUMNS = (
    "eventtype,eventtime,cid_name,cid_num,cid_ani,cid_rdnis,cid_dnid,exten,context,channame,appname,appdata,"
)

pytestmark = pytest.mark.dated


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    apply(callmart)


@pytest.fixture(scope="module")
def own() -> Any:
    return iter(OWN)


@pytest.fixture
def customer(own: Any) -> int:
    return int(next(own))


def apply(callmart: Callmart, londoner: int | None = None) -> None:
    """Apply a registry in which one customer may be in London."""
    callmart.apply(
        registry(
            *(
                f"id: {one}, time_zone: Europe/{'London' if one == londoner else 'Amsterdam'}, {DETAILED}"
                for one in OWN
            )
        )
    )


def realtime(path: Path, *moments: str) -> Path:
    """A realtime queue_log of callers who hung up, at these moments."""
    header = "time,callid,queuename,agent,event,data1,data2,data3,data4,data5\r\n"
    lines = (f"{moment},c-{moment[-8:]},sales,NONE,ABANDON,1,1,10,,\r\n" for moment in moments)
    path.write_text(header + "".join(lines))
    return path


def moments(*times: str, day: Any = DAY) -> list[str]:
    return [f"{day} {time}" for time in times]


def events(callmart: Callmart, customer: int) -> int:
    return len(callmart.rows("select 1 from raw.event where customer_id = %s", customer))


def test_another_zone_of_the_customer_lands_nothing_again(
    callmart: Callmart, tmp_path: Path, customer: int
) -> None:
    path = realtime(tmp_path / "log.csv", *moments(*CALLS))
    assert callmart.land(path, customer).landed == 2
    apply(callmart, customer)
    with pytest.raises(
        UserError, match="landed as those of Europe/Amsterdam, and would land once more as those of"
    ):
        callmart.land(path, customer)
    copy = realtime(tmp_path / "copy.csv", *moments(*CALLS))
    grown = realtime(path, *moments(*CALLS, "12:00:00"))
    for file in (copy, grown):
        with pytest.raises(
            UserError, match=r"Europe/London; if the former zone is right, name it for the folder"
        ):
            callmart.land(file, customer)
    assert events(callmart, customer) == 2
    # Who names the former zone goes on as before.
    again = callmart.land(grown, customer, time_zone="Europe/Amsterdam")
    assert (again.repeated, again.landed) == (2, 1)


def test_another_zone_of_the_folder_lands_nothing_again(
    callmart: Callmart, tmp_path: Path, customer: int
) -> None:
    path = realtime(tmp_path / "log.csv", *moments(*CALLS))
    callmart.land(path, customer)
    with pytest.raises(UserError, match="would land once more as those of America/New_York"):
        callmart.land(path, customer, time_zone="America/New_York")
    assert callmart.land(path, customer).unchanged


def test_a_file_of_later_days_may_have_another_zone(
    callmart: Callmart, tmp_path: Path, customer: int
) -> None:
    """The log was rotated, and the telephone system has moved."""
    path = tmp_path / "log.csv"
    before = DAY - timedelta(days=1)
    assert callmart.land(realtime(path, *moments(*CALLS, day=before)), customer).landed == 2
    apply(callmart, customer)
    assert callmart.land(realtime(path, *moments(*CALLS)), customer).landed == 2


def test_a_zone_of_another_name_is_the_same(callmart: Callmart, tmp_path: Path, customer: int) -> None:
    path = realtime(tmp_path / "log.csv", *moments(*CALLS))
    callmart.land(path, customer)
    assert callmart.land(path, customer, time_zone="Europe/Berlin").repeated == 2


def test_what_was_turned_away_may_land_in_the_right_zone(
    callmart: Callmart, tmp_path: Path, customer: int
) -> None:
    path = realtime(tmp_path / "log.csv", *moments(*CALLS, day=DAY.replace(year=2019)))
    assert callmart.land(path, customer).turned_away == 2
    assert callmart.land(path, customer, time_zone="America/New_York").turned_away == 2


def test_epoch_seconds_have_no_zone(callmart: Callmart, tmp_path: Path, customer: int) -> None:
    path = tmp_path / "queue_log"
    path.write_text("1795529600|c-1|sales|NONE|ABANDON|1|1|10\n")
    callmart.land(path, customer)
    apply(callmart, customer)
    assert callmart.land(path, customer) == Landed("queue_log", rows=1, repeated=1)


def test_one_that_does_not_land_stops_none_of_the_others(
    callmart: Callmart, tmp_path: Path, customer: int
) -> None:
    paths = [realtime(tmp_path / name, *moments(time)) for name, time in zip("ab", CALLS, strict=True)]
    callmart.land(paths[0], customer)
    apply(callmart, customer)
    refused, landed = callmart.land_all(*((path, customer) for path in paths))
    assert isinstance(refused, str) and "its times have landed as those of Europe/Amsterdam" in refused
    assert isinstance(landed, Landed) and landed.landed == 1


def test_the_loader_can_note_no_other_word(callmart: Callmart) -> None:
    with (
        logins.connect(callmart.settings, "loader") as loader,
        pytest.raises(psycopg.errors.CheckViolation, match="the time zone of a file is not known"),
    ):
        loader.execute(keep(time_zone="Janssen").encode())
