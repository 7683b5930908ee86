"""Lines of the week and the week before, by day or over the hours of the day: a chart per measure. Lines together have
one chart of the week, and those over weeks or months a chart per measure, of the last thirteen.
"""

import math
from collections.abc import Iterable, Iterator
from datetime import date, datetime, time, timedelta
from itertools import product

from callmart.declarations.exposures import Sheet
from callmart.reports import charts, records
from callmart.reports.charts import Axis, Point
from callmart.reports.language import MINUTE
from callmart.reports.measures import Measure
from callmart.reports.page import Grid, Panel, Section
from callmart.reports.reading import Row
from callmart.reports.scene import NOW, Grain, Scene

MOST_SPANS = 4  # in a sentence
QUARTER_HOUR = timedelta(minutes=15)


def draw(scene: Scene, sheet: Sheet) -> Section:
    """Draw a sheet of lines."""
    (over,), shown, language = sheet.dimensions, scene.measures(sheet), scene.language
    is_compared = not (sheet.together or sheet.is_trend)
    rows = scene.rows(sheet, over, compared=is_compared)
    # Whoever was there is compared with who was needed for the same queues and quarter-hours.
    same = scene.rows(sheet, over, where_all_are_known=True) if sheet.needed else []
    rows = same or rows
    title = language.of(sheet.title)
    now = [row for row in rows if row.get(NOW, True)]
    known = [one for one in shown if any(row[one.name] is not None for row in now)]
    if sheet.together and known:
        read = [*_shortage(scene, sheet, shown, now)]
        read += [each for one in known for each in _read(scene, sheet, one, now)]
        panels = [Panel(_together(scene, sheet, known, now), title, "", read)]
    else:
        chart = _trend if sheet.is_trend else _chart
        panels = [
            Panel(
                chart(scene, sheet, one, rows),
                *_titles(scene, sheet, one, rows),
                list(_read(scene, sheet, one, now)),
            )
            for one in known
        ]
    return Section(
        name=sheet.name,
        title=title,
        kind="chart",
        records=records.of(scene, sheet, shown, rows),
        panels=panels,
        grid=_grid(scene, sheet, shown, now, where_all_are_known=bool(same)),
    )


def _titles(scene: Scene, sheet: Sheet, measure: Measure, rows: list[Row]) -> tuple[str, str]:
    """The title and subtitle of a chart: of several in a sheet, each has the name of its measure."""
    title = scene.language.of(sheet.title)
    if len(sheet.measures) == 1:
        return title, scene.subtitle(measure)
    highest = max(row[measure.name] or 0 for row in rows)
    return scene.with_unit(measure, in_minutes=_is_long(measure, highest)), title


def _together(scene: Scene, sheet: Sheet, shown: list[Measure], rows: list[Row]) -> str:
    """All measures in one chart."""
    (over,), language = sheet.dimensions, scene.language
    points = [
        Point(
            scene.place("day", row) if over == "day" else charts.hour(row[over]),
            row[one.name],
            one.caption,
            scene.pointed_at(one, row, over),
        )
        for one in shown
        for row in rows
    ]
    if over == "quarter_hour":
        points += [point for one in shown for point in _nothing(scene, sheet, one, one.caption, rows, rows)]
    places = scene.weekdays if over == "day" else None
    axis = _axis(sheet, shown[0], [point.y for point in points])
    return charts.lines(points, [one.caption for one in shown], axis, places, language.territory)


def _trend(scene: Scene, sheet: Sheet, measure: Measure, rows: list[Row]) -> str:
    """A measure over weeks or months, with the numbers of the highest, the lowest and the last. One beside the last has
    none: the two would be written over each other. Of one week or month there is no line.
    """
    (over,), language = sheet.dimensions, scene.language
    known = [row for row in rows if row[measure.name] is not None]
    if len(known) == 1:
        return ""
    extremes = [find(known, key=lambda row: row[measure.name]) for find in (max, min)]
    told = [row for row in extremes if row not in known[-2:-1]] + known[-1:]
    points = [
        Point(
            scene.label(over, row[over]),
            row[measure.name],
            measure.caption,
            scene.pointed_at(measure, row, over),
            scene.value(measure, row) if row in told else "",
        )
        for row in rows
    ]
    series = [measure.caption]
    places = [scene.label(over, first) for first in scene.period.firsts(over)]
    if (target := scene.target(measure)) is not None:
        series += ["", scene.target_words(target)]
        points += [Point(place, target, series[-1], series[-1]) for place in places]
    axis = _axis(sheet, measure, [point.y for point in points])
    return charts.lines(points, series, axis, places, language.territory)


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
            scene.pointed_at(measure, row, *sheet.dimensions),
            scene.value(measure, row) if is_daily and row[measure.name] is not None else "",
        )
        for row in rows
    ]
    if is_daily:  # no line leads over a day that is not there
        known = {(point.x, point.series) for point in points}
        every = [(scene.weekday(day), name) for day in week.days for name in weeks.values()]
        points += [Point(day, None, name, "") for day, name in every if (day, name) not in known]
    else:
        for is_now, name in weeks.items():
            own = [row for row in rows if row[NOW] == is_now]
            points += _nothing(scene, sheet, measure, name, own, rows)
    target, series = scene.target(measure), list(weeks.values())
    if target is not None and is_daily:
        series.append(scene.target_words(target))
        points += [Point(day, target, series[-1], series[-1]) for day in scene.weekdays]
    axis = _axis(sheet, measure, [point.y for point in points])
    places = scene.weekdays if is_daily else None
    return charts.lines(points, series, axis, places, language.territory)


def _nothing(
    scene: Scene, sheet: Sheet, measure: Measure, series: str, own: list[Row], rows: list[Row]
) -> Iterator[Point]:
    """The quarter-hours of a line in which nothing happened, so that it does not lead over them. What can be null may
    have been there all the same.
    """
    always = {column.name for column in scene.marts[sheet.mart].declared if not column.nullable}
    if measure.name not in always or not own:
        return
    moments = [row["quarter_hour"] for row in rows]
    first, last = min(moments), max(moments)
    there = {row["quarter_hour"] for row in own}
    for hour, quarter in product(range(24), range(4)):
        moment = time(hour, 15 * quarter)
        if first <= moment <= last and moment not in there:
            row = {"quarter_hour": moment, measure.name: 0}
            yield Point(charts.hour(moment), 0, series, scene.pointed_at(measure, row, "quarter_hour"))


def _is_long(measure: Measure, highest: float) -> bool:
    """Whether a chart has minutes and seconds, as long durations have everywhere else."""
    return measure.unit == "seconds" and highest >= MINUTE


def _axis(sheet: Sheet, measure: Measure, values: Iterable[float | None]) -> Axis:
    """Where the axis begins. If it need not be at 0, it is only where the values come near it."""
    known = [value for value in values if value is not None]
    form, lowest, highest = charts.FORMS[measure.unit], min(known), max(known)
    if sheet.begins_at_zero:
        return Axis(form)
    if measure.unit == "share":
        begin, end = math.floor(lowest * 10) / 10, math.ceil(highest * 10) / 10
        if begin == end:  # no axis of a service level ends at 110%
            begin, end = max(begin - 0.1, 0), max(end, 0.1)
        return Axis(form, begin, end)
    spread = highest - lowest
    is_flat = round(lowest) == round(highest)  # nobody sees a difference in the numbers
    begin = lowest - spread / 4 if lowest > highest / 2 and not is_flat else 0
    return Axis.clock(begin, highest) if _is_long(measure, highest) else Axis(form, begin)


def _read(scene: Scene, sheet: Sheet, measure: Measure, rows: list[Row]) -> Iterator[str]:
    """What there is to see: the highest and the lowest value, and the days below the target. One that is not over says
    nothing yet.
    """
    (over,), language = sheet.dimensions, scene.language
    known = [row for row in rows if row[measure.name] is not None and scene.is_over(row)]
    if not known:
        return
    high, low = (find(known, key=lambda row: row[measure.name]) for find in (max, min))
    if sheet.is_trend and high is low:
        value = scene.value(measure, high)
        yield language.say(f"one_{over}", where=scene.sentence(over, high), value=value)
        return
    is_constant = len(known) > 1 and scene.value(measure, high) == scene.value(measure, low)
    yield language.say(
        "constant" if is_constant else "most" if over == "quarter_hour" or high is low else "extremes",
        measure=measure.caption,
        value=scene.value(measure, high),
        top=scene.sentence(over, high),
        high=scene.value(measure, high),
        bottom=scene.sentence(over, low),
        low=scene.value(measure, low),
    )
    target = scene.target(measure)
    if target is not None and (below := [row for row in known if row[measure.name] < target]):
        yield language.say("below", where=language.listed([scene.sentence(over, row) for row in below]))
    if sheet.is_trend and over in scene.period.lacks:
        yield language.say(f"without_{over}")


def _shortage(scene: Scene, sheet: Sheet, shown: list[Measure], rows: list[Row]) -> Iterator[str]:
    """When the first measure was below what was needed, as the numbers are shown, and when most."""
    (over,), language = sheet.dimensions, scene.language
    has, needed = shown[0], next((one for one in shown if one.name == sheet.needed), None)
    known = [row for row in rows if needed and None not in (row[has.name], row[needed.name])]
    if needed is None or not known:
        return

    def lacking(row: Row) -> float:
        return float(round(row[needed.name], 1) - round(row[has.name], 1))

    short = [row for row in known if lacking(row) > 0]
    if not short:
        yield language.say("enough")
        return
    top = max(short, key=lacking)
    yield language.say(
        "too_few",
        where=language.listed(_spans(scene, over, known, short)),
        top=scene.sentence(over, top),
        value=scene.value(has, top),
        needed=scene.value(needed, top),
    )


def _spans(scene: Scene, over: Grain, rows: list[Row], chosen: list[Row]) -> list[str]:
    """Where the chosen rows are, if there are many the longest spans. Those that follow each other are one, up to the
    end of the last quarter-hour: 09:00–10:15.
    """
    spans: list[list[Row]] = []
    for before, row in zip([None, *rows], rows, strict=False):
        if row in chosen:
            if before is None or before not in chosen:
                spans.append([])
            spans[-1].append(row)
    longest = sorted(spans, key=len, reverse=True)[:MOST_SPANS]
    said = []
    for span in (each for each in spans if each in longest):
        ends = [scene.sentence(over, span[0]), scene.sentence(over, span[-1])]
        if over == "quarter_hour":
            ends[1] = f"{datetime.combine(date.min, span[-1][over]) + QUARTER_HOUR:%H:%M}"
        said.append("–".join(dict.fromkeys(ends)))
    return said + ["…"] * (len(spans) > MOST_SPANS)


def _grid(
    scene: Scene, sheet: Sheet, shown: list[Measure], now: list[Row], *, where_all_are_known: bool
) -> Grid:
    (over,) = sheet.dimensions
    if over != "quarter_hour":
        return scene.grid([over], shown, now)
    return scene.grid(["hour"], shown, scene.rows(sheet, "hour", where_all_are_known=where_all_are_known))
