"""The demo shows a customer of each kind, changes nothing the second time, and leaves real customers alone."""

import gzip
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.cli import demo, looking, main
from callmart.database import clock
from callmart.mailing import mailing, places
from callmart.operations.status import CustomerStatus
from callmart.registry import file as registry_file
from callmart.reports import shelf, weeks
from callmart_home import Callmart
from commands import use
from events import registry
from nights import outcome, requests

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture(scope="module")
def shown(make_callmart: Callable[[], Callmart]) -> Iterator[tuple[Callmart, list[CustomerStatus]]]:
    callmart = make_callmart()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(demo, "WEEKS", 2)
        patch.setattr(mailing, "_has_come", lambda *_: True)
        yield callmart, demo.demo(callmart.settings, quietly)


@pytest.mark.thorough
def test_the_demo_shows_a_customer_of_each_kind(shown: tuple[Callmart, list[CustomerStatus]]) -> None:
    callmart, customers = shown
    assert [(one.customer_id, one.option) for one in customers] == [
        (1042, "detailed"),
        (1043, "detailed"),
        (1044, "standard"),
        (1045, "standard"),
        (1046, "none"),
    ]
    *served, silent = customers
    for one in served:
        assert one.contacts > 100
        assert one.extract_rows > 0
        assert (one.quality, one.dirty_days, one.held_back_days, one.turned_away_rows) == ("passed", 0, 0, 0)
        assert one.tableau == f"callmart / {one.customer_id} {one.name}"
    logs = callmart.home.glob("demo/*/queue_log")
    recorded = [log.read_text().count("|ENTERQUEUE|") for log in logs]
    assert served[0].contacts == sum(recorded), "as recorded"
    assert len(set(recorded)) == demo.WEEKS
    (line,) = callmart.rows(
        "select count(distinct date_trunc('week', call_date)) as weeks from store.line_interval"
    )
    assert line["weeks"] == demo.WEEKS
    assert (silent.contacts, silent.extract_rows, silent.tableau) == (0, 0, "nothing there")
    assert silent.turned_away_rows > 100
    days_shown = {day for one in served for day in (one.first_day, one.last_day)}
    with callmart.connect() as connection:
        today = clock.today(connection, callmart.settings)
    assert min(filter(None, days_shown)) >= str(demo._mondays(weeks.last_complete(today))[0])


@pytest.mark.thorough
def test_of_many_customers_those_are_listed_that_need_a_look(
    shown: tuple[Callmart, list[CustomerStatus]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    callmart, customers = shown
    use(callmart.settings, monkeypatch)

    def listed(*options: str) -> list[int]:
        monkeypatch.setattr("sys.argv", ["callmart", "status", *options])
        with pytest.raises(SystemExit):
            main.main()
        said = capsys.readouterr().out
        assert (f"of {len(customers)} customers, those that need a look" in said) == (not options)
        return [one.customer_id for one in customers if f" {one.customer_id} " in said]

    monkeypatch.setattr(looking, "LISTED", 2)
    assert listed() == []
    with callmart.connect() as connection:
        connection.execute("update ops.publication set state = 'failed' where customer_id = 1043")
        connection.execute(
            "insert into ops.held_back values (1044, '2026-01-01', 1, 'x'), (1045, '2026-01-01', 1, 'x')"
        )
    assert listed() == [1043, 1044]
    assert listed("--all") == [one.customer_id for one in customers]
    with callmart.connect() as connection:
        connection.execute("update ops.publication set state = 'published'")
        connection.execute("delete from ops.held_back")


@pytest.mark.thorough
def test_the_demo_ends_with_reports_and_mails(shown: tuple[Callmart, list[CustomerStatus]]) -> None:
    callmart, customers = shown
    listed = shelf.index(callmart.settings).read_text()
    for one in customers:
        assert (f'href="{one.customer_id}/' in listed) == (one.option != "none")
    assert {mail.customer_id for mail in places.mails(callmart.settings)} == {1042, 1044}
    words = "\n".join(demo.what_next(callmart.settings))
    assert shelf.index(callmart.settings).as_uri() in words
    assert str(places.folder(callmart.settings)) in words


@pytest.mark.thorough
def test_a_second_demo_changes_nothing(shown: tuple[Callmart, list[CustomerStatus]]) -> None:
    callmart, customers = shown
    count = "select count(*) as rows, max(file_id) as file from raw.event"
    before, events, made = outcome(callmart), callmart.rows(count), requests(callmart)
    with callmart.connect() as connection:  # on a home that has rested for a month
        connection.execute("update ops.clock set day = day - 30")
    assert demo.demo(callmart.settings, quietly) == customers
    assert callmart.rows(count) == events
    assert outcome(callmart) == before
    assert requests(callmart) == made


def test_the_demo_keeps_away_from_customers_of_yours(callmart: Callmart) -> None:
    contracts = ("{option: detailed, from: 2020-01-01}", "{option: standard, from: 2020-01-01}", "")
    callmart.apply(registry(*(f"id: {id}, contracts: [{one}]" for id, one in enumerate(contracts, 1))))
    with pytest.raises(UserError, match="this database holds 3 customers of yours"):
        demo.demo(callmart.settings, quietly)
    with callmart.connect() as connection:  # also from one that has the number of one of the demo's
        connection.execute("delete from registry.gate where customer_id = 3")
        connection.execute("update registry.customer set customer_id = 1042 where customer_id = 3")
        with pytest.raises(UserError, match="3 customers of yours"):
            demo._refuse_real_customers(connection, registry_file.load(demo.EXAMPLE / "registry.yml"))
        connection.rollback()


RECORDED_WEEK = demo.RECORDED_ON - timedelta(days=demo.RECORDED_ON.weekday())  # it lacks no call


def moved(folder: Path, name: str, weeks: int) -> list[str]:
    """The lines of a recorded log in a week as many weeks later, with the moments of the recording."""
    demo.move_recording(name, folder / name, RECORDED_WEEK + timedelta(weeks=weeks))
    shift = int(timedelta(weeks=weeks).total_seconds())
    opened = gzip.open if name.endswith(".gz") else open
    with opened(folder / name, "rt") as log:
        return [re.sub(r"\b179\d{7}\b", lambda found: str(int(found[0]) - shift), line) for line in log]


def test_the_recording_moves_to_its_week_day(tmp_path: Path) -> None:
    recorded = (demo.EXAMPLE / "asterisk" / "queue_log").read_text().splitlines(keepends=True)
    assert moved(tmp_path, "queue_log", 4) == recorded
    assert moved(tmp_path, "queue_log", -1) != recorded
    first = datetime.fromtimestamp(int((tmp_path / "queue_log").read_text()[:10]), demo.RECORDED_IN)
    assert first.date() == demo.RECORDED_ON - timedelta(weeks=1)


def test_a_week_lacks_whole_calls_and_nothing_else(tmp_path: Path) -> None:
    """Both logs lack the same ones, and no week as many as the next."""
    whole = {name: moved(tmp_path, name, 0) for name in demo.RECORDED}
    sizes = []
    for later in (1, 3):
        left = {name: moved(tmp_path, name, later) for name in demo.RECORDED}
        lacking = {line.split("|")[1] for line in set(whole["queue_log"]) - set(left["queue_log"])}
        assert lacking
        assert "NONE" not in lacking
        for name, lines in left.items():
            assert set(lines) < set(whole[name])
            assert lacking.isdisjoint(demo.CALL.findall("".join(lines)))
        sizes.append(len(lacking))
    assert sizes == sorted(set(sizes))
