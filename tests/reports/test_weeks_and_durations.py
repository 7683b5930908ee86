"""The days that a drawn report counts, and how it writes durations. Nothing here needs a server."""

from dataclasses import replace
from datetime import date, datetime
from types import SimpleNamespace
from typing import Any, cast

from callmart.base.declared import Locale
from callmart.declarations import exposures
from callmart.reports import weeks
from callmart.reports.drawing import _first_day, _notices
from callmart.reports.language import Language
from callmart.reports.reading import Customer, Through
from callmart.reports.weeks import Week


def test_a_week_that_goes_on_is_compared_with_the_same_days() -> None:
    monday = date(2026, 11, 16)
    period = weeks.counted(Week(monday), date(2026, 11, 19), [])
    assert period.days == (monday, date(2026, 11, 17), date(2026, 11, 18))
    assert period.before == (date(2026, 11, 9), date(2026, 11, 10), date(2026, 11, 11))
    assert period.is_going_on
    assert (period.weeks[0], period.weeks[-1]) == (date(2026, 8, 17), date(2026, 11, 15)), (
        "those that are over"
    )
    assert (period.months[0], period.months[-1]) == (date(2025, 10, 1), date(2026, 10, 31))
    assert period.lacks == frozenset()
    over = weeks.counted(Week(monday), date(2026, 11, 23), [date(2026, 11, 18)])
    assert over.weeks[-1] == date(2026, 11, 15) and len(over.weeks) == 12 * 7, (
        "a week that lacks a day is left out"
    )
    assert over.lacks == {"weeks"}
    assert not over.is_going_on
    assert len(over.days) == 6
    assert not weeks.counted(Week(monday), monday, []).has_begun


def test_a_week_is_compared_only_with_days_that_are_whole() -> None:
    week, monday, sunday = Week(date(2026, 11, 16)), date(2026, 11, 9), date(2026, 11, 15)
    today = date(2026, 11, 23)
    assert weeks.counted(week, today, [], first=monday).before == Week(monday).days
    assert weeks.counted(week, today, [], first=date(2026, 11, 10)).before == ()
    assert weeks.counted(week, today, [sunday]).before == ()
    assert sunday - date.resolution not in weeks.counted(week, today, [], date(2026, 11, 21)).before
    with_it = weeks.counted(week, today, [], sunday)
    assert (with_it.before, sunday in with_it.weeks, week.sunday in with_it.weeks) == ((), False, True)
    assert weeks.counted(week, today, [], first=date(2026, 11, 18)).days == week.days[2:]
    begun = weeks.counted(week, today, [], first=date(2026, 11, 18))
    assert (begun.weeks, begun.months, begun.lacks) == ((), (), frozenset()), "nothing is held back"


def test_a_report_begins_where_all_that_it_shows_does() -> None:
    """A contract can begin later than the data, and a list of contacts later still."""
    since, detailed, contacts = date(2026, 1, 1), date(2026, 3, 4), date(2026, 5, 6)
    customer = Customer(
        7,
        "Een",
        "nl",
        "Europe/Amsterdam",
        date(2026, 11, 23),
        "detailed",
        ["contact_list"],
        since,
        detailed,
        contacts,
    )
    begins = {name: _first_day(customer, exposures.named(name)) for name in ("traffic", "agents", "contacts")}
    assert begins == {"traffic": since, "agents": detailed, "contacts": contacts}
    later = replace(customer, since=date(2026, 7, 8))
    assert {_first_day(later, one) for one in exposures.reports().values()} == {date(2026, 7, 8)}
    nothing = replace(customer, since=None, detailed_since=None, contacts_since=None)
    assert _first_day(nothing, exposures.named("agents")) is None


def test_durations_have_the_unit_that_says_something() -> None:
    said = Language("nl").value
    assert [said("hours", hours) for hours in (0, 0.01, 0.0225, 0.99999, 51.49)] == [
        "0 s", "36 s", "1:21 min", "1,00 uur", "51,49 uur"
    ]  # fmt: skip
    assert [said("seconds", seconds) for seconds in (59.4, 59.6, 3599, 86400)] == [
        "59 s", "1:00 min", "59:59 min", "24,00 uur"
    ]  # fmt: skip


def test_a_day_that_is_not_over_is_written_as_its_language_does() -> None:
    day = date(2026, 12, 1)
    said: dict[Locale, str] = {"nl": "Dinsdag 1 december is nog niet", "en": "Tuesday 1 December is not"}
    for locale, beginning in said.items():
        scene = SimpleNamespace(
            language=Language(locale), period=SimpleNamespace(unfinished=day, is_going_on=False)
        )
        (notice,) = _notices(cast(Any, scene), Through(day, datetime(2026, 12, 1, 14, 5)), [])
        assert notice.startswith(beginning)


def test_a_change_is_that_of_the_values_as_they_are_shown() -> None:
    language = Language("nl")
    for unit, values, shown, change in (
        ("seconds", (217.4, 230.6), ["3:37 min", "3:51 min"], "▼ 14 s"),
        ("seconds", (217.4, 216.6), ["3:37 min", "3:37 min"], "gelijk"),
        ("share", (0.69849, 0.68351), ["69,8%", "68,4%"], "▲ 1,4 punt"),
    ):
        assert [language.value(cast(Any, unit), value) for value in values] == shown
        assert language.change(cast(Any, SimpleNamespace(unit=unit)), *values)[0] == change
