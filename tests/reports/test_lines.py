"""What a sheet of lines says in words, for whoever doesn't see the chart."""

import re
from datetime import date, datetime, time, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callmart.base.declared import Locale
from callmart.base.settings import Settings
from callmart.declarations import exposures
from callmart.declarations.exposures import Sheet
from callmart.reports import charts, weeks
from callmart.reports.charts import Axis, Point
from callmart.reports.drawing import Declared
from callmart.reports.language import Language
from callmart.reports.page import Section
from callmart.reports.scene import Scene
from callmart.reports.sheets import lines
from callmart.reports.weeks import Week


def drawn(
    monkeypatch: pytest.MonkeyPatch, report: str, name: str, rows: list[dict[str, Any]], locale: Locale = "nl"
) -> Section:
    """A sheet of a report, drawn from these rows."""
    declared = Declared.of(Settings())
    period = weeks.counted(Week(date(2026, 11, 16)), date(2026, 11, 27), [])
    scene = Scene(
        cast(Any, SimpleNamespace(queues={})),
        period,
        Language(locale),
        declared.marts,
        declared.metrics,
        declared.captions,
    )
    monkeypatch.setattr(Scene, "rows", lambda *_, **__: rows)
    monkeypatch.setattr(Scene, "_target", None)
    return lines.draw(scene, sheet(report, name))


def sheet(report: str, name: str) -> Sheet:
    return next(each for each in exposures.named(report).sheets if each.name == name)


def quarters(*lacking: str) -> list[dict[str, Any]]:
    """The quarter-hours from 9 to 12, with two agents too few in these, and the more the later it is."""
    begins = [(datetime(2026, 1, 1, 9) + timedelta(minutes=15 * number)).time() for number in range(12)]
    return [
        {
            "quarter_hour": begin,
            "hour": time(begin.hour),
            "agents_present": 4.0,
            "agents_needed": 4.04 if f"{begin:%H:%M}" not in lacking else 4.0 + begin.hour / 10,
        }
        for begin in begins
    ]


@pytest.mark.parametrize(
    ("lacking", "said"),
    [
        ((), "Steeds genoeg."),  # 4.04 is shown as 4.0
        (
            ("09:00", "09:15", "11:45"),
            "Te weinig: 09:00–09:30 en 11:45–12:00. Het grootste tekort is om 11:45: 4,0 in plaats van 5,1.",
        ),
        (
            ("09:00", "09:30", "10:00", "10:30", "11:00", "11:15"),
            "Te weinig: 09:00–09:15, 09:30–09:45, 10:00–10:15, 11:00–11:30 en …. Het grootste tekort is om 11:00: "
            "4,0 in plaats van 5,1.",
        ),
    ],
)
def test_fewer_agents_than_needed_are_said(
    monkeypatch: pytest.MonkeyPatch, lacking: tuple[str, ...], said: str
) -> None:
    (panel,) = drawn(monkeypatch, "traffic", "agents_over_the_day", quarters(*lacking)).panels
    assert panel.readings[0] == said


@pytest.mark.parametrize("are_some_known", [True, False])
def test_who_is_there_is_compared_with_who_is_needed_of_the_same_rows(
    monkeypatch: pytest.MonkeyPatch, are_some_known: bool
) -> None:
    """A quarter-hour with refusals alone shows who was there, and needs nobody. In the table, too."""
    asked, declared = list[tuple[str, ...]](), Declared.of(Settings())

    def rows(_: str, grains: dict[str, str], *__: Any, where: str, **___: Any) -> list[Any]:
        asked.append((*grains, where))
        return quarters("09:00") if are_some_known or where == "true" else []

    reader = SimpleNamespace(rows=rows, queues={})
    period = weeks.counted(Week(date(2026, 11, 16)), date(2026, 11, 27), [])
    scene = Scene(
        cast(Any, reader), period, Language("nl"), declared.marts, declared.metrics, declared.captions
    )
    lines.draw(scene, sheet("traffic", "agents_over_the_day"))
    known = 'true and "needed_s" is not null and "staffed_s" is not null'
    of_hours = known if are_some_known else "true"
    assert asked == [("quarter_hour", "true"), ("quarter_hour", known), ("hour", of_hours)]


def test_a_quarter_hour_without_a_number_is_not_too_few(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = quarters("10:00")
    rows[4]["agents_present"] = None
    (panel,) = drawn(monkeypatch, "traffic", "agents_over_the_day", rows, "en").panels
    assert panel.readings[0] == "Enough throughout."


def test_long_durations_are_in_minutes_and_seconds_as_everywhere_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    weeks_ = [
        {"weeks": date(2026, 11, day), "offered": 1, "service_level": 0.8, "average_handling_time": seconds}
        for day, seconds in ((9, 216.2), (16, 235))
    ]
    *_, handling = drawn(monkeypatch, "handling", "weeks", weeks_).panels
    assert handling.title == "Gemiddelde afhandeltijd (minuten)"
    texts = re.findall(r"<text[^>]*>(\d+:\d\d)</text>", handling.svg)
    assert sorted(texts) == ["3:30", "3:35", "3:40", "3:45", "3:50", "3:55"]


def test_no_line_leads_over_a_day_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"day": date(2026, 11, day), "this_week": day > 15, "service_level": 0.8, "answer_rate": 0.9}
        for day in (9, 10, 11, 12, 16, 17, 19, 20)
    ]
    panel, _ = drawn(monkeypatch, "accessibility", "service_level_per_day", rows).panels
    lines_of_weeks = re.findall(r'aria-roledescription="line mark"[^>]* d="([^"]+)"', panel.svg)
    assert sorted(line.count("M") for line in lines_of_weeks) == [1, 2]


def test_a_trend_of_one_month_is_a_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    months = [
        {
            "months": date(2026, month, 1),
            "offered": 1234 * month,
            "service_level": 0.8,
            "average_handling_time": 61,
        }
        for month in (10, 11)
    ]
    one, *_ = drawn(monkeypatch, "handling", "months", months[1:]).panels
    assert (one.svg, list(one.readings)) == (
        "",
        ["Er is nog maar één maand te tonen, november 2026: 13.574. Vanaf de tweede staat hier een lijn."],
    )
    two, *_ = drawn(monkeypatch, "handling", "months", months).panels
    assert "<svg" in two.svg
    assert "hoogste november 2026 (13.574)" in two.readings[0]


def numbers_of_axis(section: Section) -> list[str]:
    """What the axes of values say."""
    return re.findall(r'text-anchor="end"[^>]*>([^<]+)</text>', section.panels[-1].svg)


def test_the_axis_of_a_service_level_ends_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"day": date(2026, 11, day), "this_week": True, "service_level": 1.0, "answer_rate": 1.0}
        for day in (16, 17)
    ]
    said = numbers_of_axis(drawn(monkeypatch, "accessibility", "service_level_per_day", rows))
    assert (said[0], said[-1]) == ("90%", "100%")


@pytest.mark.parametrize("highest", [1, 2, 3])
def test_no_axis_says_a_number_twice(monkeypatch: pytest.MonkeyPatch, highest: int) -> None:
    rows = [
        {"quarter_hour": time(9, 15 * number), "hour": time(9), "peak_calls": highest, "channels": 1}
        for number in range(4)
    ]
    said = numbers_of_axis(drawn(monkeypatch, "lines", "peak_over_the_day", rows))
    assert said == [str(number) for number in range(highest + 1)]


def test_a_line_is_at_zero_where_nothing_happened(monkeypatch: pytest.MonkeyPatch) -> None:
    """But what is not known in a quarter-hour, such as the channels of a line, is not 0."""
    rows = [
        {"quarter_hour": time(hour), "hour": time(hour), "peak_calls": 3, "channels": 4} for hour in (9, 10)
    ]
    section = drawn(monkeypatch, "lines", "peak_over_the_day", rows)
    calls, channels = re.findall(r'aria-roledescription="line mark"[^>]* d="([^"]+)"', section.panels[0].svg)
    assert [len(re.split("[ML]", line)) - 1 for line in (calls, channels)] == [5, 2]
    rows = [
        {"quarter_hour": time(hour), "hour": time(hour), "this_week": now, "offered": 3}
        for now, hours in ((True, (9, 10)), (False, (9,)))
        for hour in hours
    ]
    section = drawn(monkeypatch, "traffic", "offered_over_the_day", rows)
    both = re.findall(r'aria-roledescription="line mark"[^>]* d="([^"]+)"', section.panels[0].svg)
    assert [len(re.split("[ML]", line)) - 1 for line in both] == [5, 5]


@pytest.mark.parametrize("today", ["di 17 tot 14:05", "Tue 17 until 14:05"])
def test_a_day_that_is_not_over_leaves_room_for_the_others(today: str) -> None:
    """It says until when below its name. In one line, every second day was left out, and it as well."""
    places = ["ma 16", today, "wo 18", "do 19", "vr 20", "za 21", "zo 22"]
    points = [Point(place, 0.5, "week 47", "") for place in places]
    svg = charts.lines(points, ["week 47"], Axis(",d"), places, "nl-NL")
    texts = re.findall(r">([^<>]+)</t(?:ext|span)>", svg)
    day, number, *until = today.split()
    assert texts[:9] == ["ma 16", f"{day} {number}", *until, "wo 18", "do 19", "vr 20", "za 21", "zo 22"]
