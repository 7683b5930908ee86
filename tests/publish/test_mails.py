"""A report is mailed every week to its recipients, and not if the week is not complete."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import tableauserverclient as TSC

from callmart.base.settings import Settings
from callmart.declarations import exposures
from callmart.publish import deriving, reading
from callmart.publish.desired import DataSource, MailState, Publication
from callmart.publish.emulator import ensure_running
from callmart.publish.planning import plan
from publications import MONDAY, with_members
from published import Emptied, matches, publish, read, subscriptions, succeeded
from tableau_emulator.client import as_user
from tableau_emulator.faults import Fault, inject
from tableau_emulator.state import new_luid


@pytest.fixture
def mailed(detailed: Publication) -> Publication:
    """A customer of whom one is mailed one report."""
    return replace(detailed, mails=(MONDAY,))


@pytest.fixture(params=["server", "cloud"])
def site(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Tableau Server, or Tableau Cloud, where a subscription has its hour in itself and a name is the address."""
    monkeypatch.setattr(reading, "is_cloud", lambda _: request.param == "cloud")
    return str(request.param)


on_both = pytest.mark.usefixtures("site")


def lines(server: TSC.Server, *desired: Publication) -> list[str]:
    return [str(step) for step in plan(desired, read(server)).steps]


@on_both
def test_a_report_is_mailed_every_week(server: TSC.Server, mailed: Publication) -> None:
    assert succeeded(publish(server, mailed))
    (item,) = subscriptions(server)
    assert (item.subject, item.message) == (MONDAY.subject, MONDAY.message)
    assert (item.attach_pdf, item.send_if_view_empty, item.suspended) == (True, False, False)
    views = {view.id: view.name for view in TSC.Pager(server.views)}
    assert (item.target.type, views[item.target.id]) == ("View", "Drukte")
    if item.schedule_id is None:
        weekly = item.schedule[0].interval_item
        assert (str(weekly.start_time), weekly.interval) == ("07:00:00", ("Monday",))
    else:
        schedule = server.schedules.get_by_id(item.schedule_id)
        assert (schedule.name, schedule.interval_item.interval) == ("callmart Monday 07:00:00", ("Monday",))
    assert lines(server, mailed) == []


@on_both
def test_a_mail_that_changes_is_another_one(server: TSC.Server, mailed: Publication) -> None:
    publish(server, mailed)
    for other in (
        replace(MONDAY, message="Anders."),
        replace(MONDAY, time="08:00:00"),
        replace(MONDAY, workbook="Medewerkers"),
    ):
        changed = replace(mailed, mails=(other,))
        assert succeeded(publish(server, changed))
        assert len(subscriptions(server)) == 1
        assert lines(server, changed) == []


@on_both
def test_a_week_that_is_held_back_is_not_mailed(server: TSC.Server, mailed: Publication) -> None:
    held = replace(mailed, no_mail_because="last week has days that are held back")
    (outcome,) = publish(server, held)
    assert subscriptions(server) == [], "none is made that would mail"
    publish(server, mailed)
    (outcome,) = publish(server, held)
    assert outcome.error is None
    assert (
        outcome.alert == "customer 1042: the weekly mail is suspended: last week has days that are held back"
    )
    assert [each.suspended for each in subscriptions(server)] == [True]
    assert lines(server, held) == []
    assert lines(server, mailed) == ["~ subscription 'Drukte to c…@example.org'"]
    (outcome,) = publish(server, mailed)
    assert outcome.alert is None
    assert [each.suspended for each in subscriptions(server)] == [False]


def test_a_schedule_that_is_said_to_be_there_and_is_not_is_an_error(
    emptied: Emptied, detailed: Publication
) -> None:
    _, state, server = emptied
    for schedule in TSC.Pager(server.schedules):
        server.schedules.delete(schedule.id)
    inject(state, Fault("status", "POST", "/schedules$", status=409, sub_code="021"))
    mailed = replace(detailed, mails=(MONDAY,))
    (outcome,) = publish(server, mailed)
    assert "Tableau answered 409021" in str(outcome.error)
    assert subscriptions(server) == []
    assert succeeded(publish(server, mailed))
    assert active(server) == [True]


def at(mailed: Publication, state: MailState, **changes: Any) -> Publication:
    """The customer's publication some time before the mail of the week, just after its hour, or later."""
    moment = MONDAY.hour + timedelta(hours={"to come": -4, "sending": 1, "over": 20}[state])
    return replace(mailed, mails=(replace(MONDAY, state=state),), at=moment, **changes)


def active(server: TSC.Server) -> list[bool]:
    return [not each.suspended for each in subscriptions(server)]


@on_both
def test_only_a_week_that_was_looked_at_is_mailed(server: TSC.Server, mailed: Publication) -> None:
    """When its hour is over, the mail is suspended until a publication has found the next week whole."""
    before, sending, over = at(mailed, "to come"), at(mailed, "sending"), at(mailed, "over")
    assert succeeded(publish(server, over))
    assert active(server) == [False]
    assert lines(server, over) == lines(server, sending) == []
    for publication, is_active in ((before, True), (sending, True), (over, False), (before, True)):
        (outcome,) = publish(server, publication)
        assert (outcome.error, outcome.alert, active(server)) == (None, None, [is_active])
    held = replace(sending, no_mail_because="last week has days that are held back")
    (outcome,) = publish(server, held)
    assert (outcome.error, outcome.alert, active(server)) == (None, None, [False]), "mail that is late waits"


def test_a_mail_that_was_suspended_at_its_hour_is_told_once(server: TSC.Server, mailed: Publication) -> None:
    publish(server, at(mailed, "to come"))
    (outcome,) = publish(server, held := at(mailed, "to come", no_mail_because="a reason"))
    assert outcome.alert == "customer 1042: the weekly mail is suspended: a reason"
    (outcome,) = publish(server, late := at(mailed, "sending", mails_seen=held.at))
    assert active(server) == [False], "Tableau does not make up for it"
    assert outcome.alert == (
        "customer 1042: 1 of last week's mails were not sent, because they were suspended or not there yet at "
        "their hour: mail the pages of `callmart report` to their recipients"
    )
    assert [line.strip() for line in plan((late,), read(server)).lines()][1].endswith(
        outcome.alert.partition(": ")[2]
    )
    assert outcome.mails_seen == late.at
    (outcome,) = publish(server, at(mailed, "over", mails_seen=late.at))
    assert outcome.alert is None


def test_a_mail_that_was_held_back_from_the_beginning_is_told_once(
    server: TSC.Server, mailed: Publication
) -> None:
    """Its subscription is made only afterwards."""
    (outcome,) = publish(server, first := at(mailed, "to come", no_mail_because="a reason"))
    assert (outcome.alert, outcome.mails_seen) == (
        "customer 1042: the weekly mail is suspended: a reason",
        first.at,
    )
    (outcome,) = publish(server, late := at(mailed, "sending", mails_seen=first.at))
    assert active(server) == [False]
    assert str(outcome.alert).startswith("customer 1042: 1 of last week's mails were not sent")
    (outcome,) = publish(server, at(mailed, "over", mails_seen=late.at))
    assert outcome.alert is None


def test_a_move_to_another_site_after_the_hour_tells_of_no_mail(
    server: TSC.Server, mailed: Publication
) -> None:
    before, moved = at(mailed, "to come"), at(mailed, "sending")
    (outcome,) = publish(server, replace(moved, mails_seen=before.at))
    assert (outcome.error, outcome.alert) == (None, None), "the old site mailed it"


def test_a_problem_hides_no_mail_that_was_not_sent(server: TSC.Server, mailed: Publication) -> None:
    publish(server, before := at(mailed, "to come"))
    seen = [publish(server, at(mailed, "sending", problem="a problem"))[0].mails_seen for _ in range(2)]
    assert seen[0] is not None, "it was active at its hour, and is suspended now"
    assert seen[1] is None
    (outcome,) = publish(server, at(mailed, "over", mails_seen=before.at))
    assert str(outcome.alert).startswith("customer 1042: 1 of last week's mails")


def test_a_mail_whose_hour_comes_during_the_publication_stays_suspended(
    server: TSC.Server, mailed: Publication
) -> None:
    late = replace(mailed, mails=(replace(MONDAY, hour=datetime.now(UTC)),))
    for _ in ("added", "not resumed"):
        assert succeeded(publish(server, late))
        assert active(server) == [False]
    assert lines(server, late) == ["~ subscription 'Drukte to c…@example.org'"]


def test_a_customer_that_fails_is_not_mailed_what_was_there_before(
    server: TSC.Server, mailed: Publication, extracts: dict[str, DataSource], tmp_path: Path
) -> None:
    publish(server, mailed)
    gone = replace(extracts["queues"], data=tmp_path / "gone.hyper", content_hash="new")
    (outcome,) = publish(server, replace(mailed, data_sources=(gone, extracts["agents"])))
    assert outcome.error is not None
    assert [each.suspended for each in subscriptions(server)] == [True]
    assert succeeded(publish(server, mailed))
    assert [each.suspended for each in subscriptions(server)] == [False]


def test_a_customer_that_can_not_be_removed_is_not_mailed(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    """Its recipient, who is another customer's as well, keeps the account."""
    _, state, server = emptied
    stays = with_members(standard, *detailed.members)
    assert succeeded(publish(server, replace(detailed, mails=(MONDAY,)), stays))
    assert active(server) == [True]
    inject(state, Fault("status", "DELETE", "/projects/[^/]+$", status=403, body="xml"))
    _, outcome = publish(server, stays)
    assert "Tableau answered 403" in str(outcome.error)
    assert active(server) == [False]
    assert succeeded(publish(server, stays))
    assert matches(server, stays)


def test_a_customer_that_waits_for_a_person_is_not_mailed(server: TSC.Server, mailed: Publication) -> None:
    publish(server, mailed)
    waits = replace(mailed, problem="live needs a server that Tableau can reach: set CALLMART_DSN")
    (outcome,) = publish(server, waits)
    assert outcome.error == f"customer 1042: {waits.problem}"
    assert [each.suspended for each in subscriptions(server)] == [True]
    assert lines(server, waits) == []
    assert succeeded(publish(server, mailed))
    assert [each.suspended for each in subscriptions(server)] == [False]


def addresses(server: TSC.Server) -> dict[str, str | None]:
    """The mail addresses in the accounts of all users but the one who publishes."""
    return {user.name: user.email for user in TSC.Pager(server.users) if user.id != server.user_id}


def write_address(server: TSC.Server, name: str, address: str) -> None:
    """Write a mail address into an account, or none."""
    (luid,) = (user.id for user in TSC.Pager(server.users) if user.name == name)
    request = f'<tsRequest><user email="{address}"/></tsRequest>'
    server.users.put_request(f"{server.users.baseurl}/{luid}", request)


def test_who_is_mailed_has_an_address_on_tableau_server(
    server: TSC.Server, mailed: Publication, site: str
) -> None:
    is_cloud = site == "cloud"
    chef, other = "chef@example.org", "ander@example.org"
    both = with_members(mailed, chef, other)
    assert succeeded(publish(server, both))
    assert addresses(server) == {chef: None if is_cloud else chef, other: None}
    write_address(server, chef, "")  # as an earlier version left it
    assert lines(server, both) == ([] if is_cloud else ["~ user 'c…@example.org'"])
    assert succeeded(publish(server, both))
    assert lines(server, both) == []
    assert addresses(server)[chef] == (None if is_cloud else chef)
    write_address(server, chef, "elsewhere@example.org")
    again = replace(both, mails=(replace(MONDAY, message="Anders."),))
    assert succeeded(publish(server, again))
    assert addresses(server)[chef] == "elsewhere@example.org"


def test_an_address_from_another_site_is_kept(emptied: Emptied, detailed: Publication) -> None:
    """Who is new here can have an account already."""
    _, state, server = emptied
    chef = "chef@example.org"
    other = server.sites.create(TSC.SiteItem("Other", "other"))
    with state.transaction():
        state.add_user(new_luid(), other.id, chef, "Viewer")
        state.write("update user set email = 'elsewhere@example.org' where name = ?", chef)
    assert succeeded(publish(server, replace(detailed, mails=(MONDAY,))))
    assert addresses(server) == {chef: "elsewhere@example.org"}
    assert len(subscriptions(server)) == 1


@pytest.mark.parametrize(("status", "sub_code"), [(403, "009"), (400, "003")])
def test_an_address_that_tableau_refuses_stops_nothing_else(
    emptied: Emptied, detailed: Publication, standard: Publication, status: int, sub_code: str
) -> None:
    _, state, server = emptied
    mails = (MONDAY, replace(MONDAY, member="ander@example.org"))
    detailed = replace(with_members(detailed, "chef@example.org", "ander@example.org"), mails=mails)
    refusal = Fault("status", method="PUT", path="/users/[^/]+$", status=status, sub_code=sub_code, count=1)
    inject(state, refusal)
    outcomes = publish(server, detailed, standard)
    assert succeeded(outcomes)
    assert matches(server, detailed, standard)
    alert = (
        "customer 1042: the weekly mail can't reach 1 of its recipients: their accounts on Tableau have no "
    )
    assert [(str(one.alert)[: len(alert)], one.mails_all) for one in outcomes] == [
        ("None", True),
        (alert, False),
    ]
    assert len(subscriptions(server)) == 1, "the other one's"
    assert len(lines(server, detailed, standard)) == 2, "the address and the subscription"
    inject(state, refusal)
    assert [(one.done, one.mails_all) for one in publish(server, detailed, standard)] == [
        ((), True),
        ((), False),
    ]
    write_address(server, "chef@example.org", "chef@example.org")
    assert [one.mails_all for one in publish(server, detailed, standard)] == [True, True]
    assert len(subscriptions(server)) == 2
    assert lines(server, detailed, standard) == []


@on_both
def test_only_recipients_are_mailed(server: TSC.Server, mailed: Publication, settings: Settings) -> None:
    publish(server, with_members(mailed, "chef@example.org", "ander@example.org"))
    write_address(server, "ander@example.org", "ander@example.org")
    ander = as_user(ensure_running(settings), settings.home / "emulator", "ander@example.org")
    view = next(view for view in TSC.Pager(ander.views) if view.name == "Drukte")
    schedule = server.schedules.create(
        TSC.ScheduleItem("own", 50, "Subscription", "Parallel", TSC.WeeklyInterval(time(7), "Monday"))
    )
    ander.subscriptions.create(
        TSC.SubscriptionItem("mine", schedule.id, ander.user_id, TSC.Target(view.id, "View"))
    )
    assert lines(server, with_members(mailed, "chef@example.org", "ander@example.org")) == [
        "- subscription 'Drukte to a…@example.org'"
    ]
    left = replace(
        mailed, members=("nieuw@example.org",), mails=(replace(MONDAY, member="nieuw@example.org"),)
    )
    assert succeeded(publish(server, left))
    names = {user.id: user.name for user in TSC.Pager(server.users)}
    assert [names[each.user_id] for each in subscriptions(server)] == ["nieuw@example.org"]
    assert succeeded(publish(server, replace(left, workbooks=(), mails=())))
    assert subscriptions(server) == []


@pytest.mark.parametrize(
    ("zone", "site", "now", "expected"),
    [
        ("Europe/Amsterdam", "Europe/Amsterdam", datetime(2026, 11, 24, tzinfo=UTC), ("Monday", "07:00:00")),
        ("Europe/London", "Europe/Amsterdam", datetime(2026, 11, 24, tzinfo=UTC), ("Monday", "08:00:00")),
        ("Europe/Amsterdam", "UTC", datetime(2026, 11, 24, tzinfo=UTC), ("Monday", "06:00:00")),
        # the Monday to come has summer time, today has not
        ("Europe/Amsterdam", "UTC", datetime(2026, 3, 27, tzinfo=UTC), ("Monday", "05:00:00")),
        ("Pacific/Auckland", "UTC", datetime(2026, 11, 24, tzinfo=UTC), ("Sunday", "18:00:00")),
    ],
)
def test_the_hour_is_the_customers(zone: str, site: str, now: datetime, expected: tuple[str, str]) -> None:
    schedule = exposures.reports()["traffic"].schedule
    assert deriving.mail_time(schedule, ZoneInfo(zone), ZoneInfo(site), now) == expected


@pytest.mark.parametrize(
    ("zone", "now", "expected"),
    [
        ("Europe/Amsterdam", datetime(2026, 11, 23, 2, tzinfo=UTC), datetime(2026, 11, 23, 6, tzinfo=UTC)),
        ("Europe/Amsterdam", datetime(2026, 11, 29, 22, tzinfo=UTC), datetime(2026, 11, 23, 6, tzinfo=UTC)),
        ("Europe/Amsterdam", datetime(2026, 11, 29, 23, tzinfo=UTC), datetime(2026, 11, 30, 6, tzinfo=UTC)),
        ("Europe/Amsterdam", datetime(2026, 3, 29, 22, tzinfo=UTC), datetime(2026, 3, 30, 5, tzinfo=UTC)),
        ("Pacific/Auckland", datetime(2026, 11, 29, 11, tzinfo=UTC), datetime(2026, 11, 29, 18, tzinfo=UTC)),
    ],
)
def test_the_hour_of_a_mail_is_in_the_week_after_its_own(
    zone: str, now: datetime, expected: datetime
) -> None:
    schedule = exposures.reports()["traffic"].schedule
    assert deriving._hour(schedule, ZoneInfo(zone), now) == expected
