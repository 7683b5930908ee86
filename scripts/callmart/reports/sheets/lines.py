"""Lines of the week and the week before, by day or over the hours of the day: a chart per measure."""

import math
from collections.abc import Iterable, Iterator

from callmart.declarations.exposures import Sheet
from callmart.reports import charts
from callmart.reports.charts import Axis, Point
from callmart.reports.measures import Measure
from callmart.reports.page import Grid, Panel, Section
from callmart.reports.reading import Row
from callmart.reports.scene import NOW, Scene


def draw(scene: Scene, sheet: Sheet) -> Section:
    """Draw a sheet of lines."""
    over, shown, language = sheet.over or "day", scene.measures(sheet), scene.language
    rows = scene.rows(sheet, over, compared=True)
    title = language.of(sheet.title)
    now = [row for row in rows if row[NOW]]
    return Section(
        name=sheet.name,
        title=title,
        kind="chart",
        records=scene.records(shown, rows),
        panels=[
            Panel(
                _chart(scene, sheet, one, rows),
                *((one.caption, title) if len(shown) > 1 else (title, one.caption)),
                list(_read(scene, sheet, one, now)),
            )
            for one in shown
            if any(row[one.name] is not None for row in now)
        ],
        grid=_grid(scene, sheet, shown, now),
    )


def _chart(scene: Scene, sheet: Sheet, measure: Measure, rows: list[Row]) -> str:
    language, week = scene.language, scene.period.week
    weeks = {
        is_now: language.say("week", number=one.number)
        for is_now, one in ((True, week), (False, week.before))
    }
    is_daily = sheet.over == "day"
    points = [
        Point(
            scene.place("day", row) if is_daily else charts.hour(row["quarter_hour"]),
            row[measure.name],
            weeks[row[NOW]],
            scene.pointed_at(measure, row, sheet.over or "day"),
            scene.value(measure, row) if is_daily and row[measure.name] is not None else "",
        )
        for row in rows
    ]
    target, series = scene.target(measure), list(weeks.values())
    if target is not None and is_daily:
        series.append(language.say("target", value=language.share(target)))
        points += [Point(language.weekday(day), target, series[-1], series[-1]) for day in week.days]
    axis = _axis(measure, [point.y for point in points])
    places = [language.weekday(day) for day in week.days] if is_daily else None
    return charts.lines(points, series, axis, places, language.territory)


def _axis(measure: Measure, values: Iterable[float | None]) -> Axis:
    """Where the axis begins: at 0 only if the values come near it, because otherwise the line would be flat."""
    known = [value for value in values if value is not None]
    lowest, highest = min(known), max(known)
    if measure.unit == "share":
        begin, end = math.floor(lowest * 10) / 10, math.ceil(highest * 10) / 10
        return Axis(charts.FORMS["share"], begin, max(end, begin + 0.1))
    spread = highest - lowest or highest
    return Axis(charts.FORMS[measure.unit], lowest - spread / 4 if lowest > highest / 2 else 0)


def _read(scene: Scene, sheet: Sheet, measure: Measure, rows: list[Row]) -> Iterator[str]:
    """What there is to see: the highest and the lowest value, and the days below the target."""
    over, language = sheet.over or "day", scene.language
    known = [row for row in rows if row[measure.name] is not None]
    if not known:
        return
    high, low = (find(known, key=lambda row: row[measure.name]) for find in (max, min))
    yield language.say(
        "extremes" if over == "day" else "most",
        measure=measure.caption,
        top=scene.sentence(over, high),
        high=scene.value(measure, high),
        bottom=scene.sentence(over, low),
        low=scene.value(measure, low),
    )
    target = scene.target(measure)
    if target is not None and (below := [row for row in known if row[measure.name] < target]):
        yield language.say("below", where=language.listed([scene.sentence(over, row) for row in below]))


def _grid(scene: Scene, sheet: Sheet, shown: list[Measure], now: list[Row]) -> Grid:
    if sheet.over == "day":
        return scene.grid("day", shown, now)
    return scene.grid("hour", shown, scene.rows(sheet, "hour"))
