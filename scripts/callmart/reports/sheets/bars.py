"""Bars of stacked parts: of several measures, or of one measure by the values of a dimension."""

from dataclasses import dataclass

from callmart.declarations.exposures import Sheet
from callmart.reports import charts
from callmart.reports.charts import Axis, Mark
from callmart.reports.measures import Measure
from callmart.reports.page import Grid, Panel, Section
from callmart.reports.reading import Row
from callmart.reports.scene import Grain, Scene

MOST = 30  # bars below each other; the table has all
ROOM = 0.08  # of the longest bar; a shorter part has no room for its number
HEADROOM = 1.15  # of the longest bar, for the total at its end


@dataclass(frozen=True)
class _Part:
    name: str  # in the legend
    measure: Measure
    row: Row

    @property
    def value(self) -> float:
        return float(self.row[self.measure.name] or 0)


def draw(scene: Scene, sheet: Sheet) -> Section:
    """Draw a sheet of bars."""
    over, shown, language = sheet.over or "day", scene.measures(sheet), scene.language
    title = language.of(sheet.title)
    rows = scene.rows(sheet, over, *([sheet.by] if sheet.by else []))
    bars: dict[str, list[_Part]] = {}
    for row in rows:
        for one in shown:
            name = scene.label(sheet.by, row[sheet.by]) if sheet.by else one.caption
            bars.setdefault(scene.place(over, row), []).append(_Part(name, one, row))
    totals = {place: sum(part.value for part in parts) for place, parts in bars.items()}
    places = (
        list(totals) if over in ("day", "quarter_hour") else sorted(totals, key=lambda each: -totals[each])
    )
    readings = []
    if any(totals.values()):
        top = max(totals, key=lambda each: totals[each])
        parts = bars[top]
        readings.append(
            language.say(
                "most",
                measure=_whole(scene, sheet, shown),
                top=scene.sentence(over, parts[0].row),
                high=language.value(shown[0].unit, totals[top]),
            )
        )
    if over not in ("day", "quarter_hour") and len(places) > MOST:
        readings.append(language.say("cut", shown=MOST, all=len(places)))
        places = places[:MOST]
    return Section(
        name=sheet.name,
        title=title,
        kind="chart",
        records=scene.records(shown, rows),
        panels=[
            Panel(_chart(scene, sheet, shown, bars, totals, places), title, _unit(scene, shown), readings)
        ]
        if readings
        else [],
        grid=_grid(scene, sheet, shown, rows),
    )


def _whole(scene: Scene, sheet: Sheet, shown: list[Measure]) -> str:
    return shown[0].caption if len(shown) == 1 else scene.language.say("together")


def _unit(scene: Scene, shown: list[Measure]) -> str:
    return scene.language.say("in_hours") if shown[0].unit == "hours" else ""


def _series(scene: Scene, sheet: Sheet, shown: list[Measure], bars: dict[str, list[_Part]]) -> list[str]:
    """The names in the legend, in the declared order. A part that never occurs is left out."""
    occurring = {part.name for parts in bars.values() for part in parts if part.value}
    words = scene.captions.values.get(sheet.by or "", {}).values()
    declared = [scene.language.of(each) for each in words] if sheet.by else [one.caption for one in shown]
    return [name for name in declared if name in occurring] + sorted(occurring - set(declared))


def _chart(
    scene: Scene,
    sheet: Sheet,
    shown: list[Measure],
    bars: dict[str, list[_Part]],
    totals: dict[str, float],
    places: list[str],
) -> str:
    language, over, unit = scene.language, sheet.over or "day", shown[0].unit
    series, highest = _series(scene, sheet, shown, bars), max(totals.values())
    is_by_hour, is_lying = over == "quarter_hour", over not in ("day", "quarter_hour")
    marks = []
    for place in places:
        reached = 0.0
        for part in sorted(bars[place], key=lambda part: _index(series, part.name)):
            if not part.value:
                continue
            begin, reached = reached, reached + part.value
            has_number = not is_by_hour and len(series) > 1 and part.value >= ROOM * highest
            marks.append(
                Mark(
                    x=charts.hour(part.row[over]) if is_by_hour else place,
                    begin=begin,
                    end=reached,
                    words=scene.pointed_at(part.measure, part.row, over, *([sheet.by] if sheet.by else [])),
                    series=part.name,
                    label=language.number(part.value, "#,##0" if unit == "count" else "#,##0.0")
                    if has_number
                    else "",
                    ink=charts.ink_on(series, part.name),
                )
            )
    ends = [Mark(place, 0, totals[place], "", label=language.value(unit, totals[place])) for place in places]
    if over == "day":
        places = [language.weekday(day) for day in scene.period.week.days]
    return charts.bars(
        marks,
        [] if is_by_hour else ends,
        series,
        Axis(charts.FORMS[unit], 0, None if is_by_hour else highest * HEADROOM),
        None if is_by_hour else places,
        language.territory,
        lying=is_lying,
    )


def _index(series: list[str], name: str) -> int:
    return series.index(name) if name in series else len(series)


def _grid(scene: Scene, sheet: Sheet, shown: list[Measure], rows: list[Row]) -> Grid:
    down: Grain = sheet.over or "day"
    if down == "quarter_hour":
        down, rows = "hour", scene.rows(sheet, "hour", *([sheet.by] if sheet.by else []))
    if down not in ("day", "hour"):
        rows = sorted(rows, key=lambda row: scene.label(down, row[down]))
    return scene.crossed(down, sheet.by, shown[0], rows) if sheet.by else scene.grid(down, shown, rows)
