"""Bars of stacked parts: of several measures, or of one measure by the values of a dimension."""

from collections.abc import Mapping
from dataclasses import dataclass

from callmart.declarations.exposures import OVER_TIME, Sheet
from callmart.reports import charts, records
from callmart.reports.charts import Axis, Mark
from callmart.reports.language import AGENTS, HOURS, NUMBER
from callmart.reports.measures import Measure, Unit
from callmart.reports.page import Grid, Panel, Section
from callmart.reports.reading import Row
from callmart.reports.scene import Scene

MOST = 30  # bars below each other; the table has all
ROOM = 0.08  # of the highest bar; a lower part has no room for its number
LYING_ROOM = 0.045  # of the longest bar, per character
HEADROOM = 1.15  # of the highest bar, for the total above it
LYING_HEADROOM = 1.35  # of the longest one, for the total at its end
SHORT, MINUTES = 1.0, 60  # bars of hours that are all shorter than one are drawn in minutes
NUMBERS: Mapping[Unit, str] = {
    "count": "#,##0",
    "number": NUMBER,
    "hours": HOURS,
    "seconds": "#,##0",
    "share": "#,##0%",
    "agents": AGENTS,
}


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
    over, shown, language = sheet.dimensions[0], scene.measures(sheet), scene.language
    title, unit = language.of(sheet.title), shown[0].unit
    rows = scene.rows(sheet, *sheet.dimensions)
    bars: dict[str, list[_Part]] = {}
    for row in rows:
        for one in shown:
            name = scene.label(sheet.by, row[sheet.by]) if sheet.by else one.caption
            bars.setdefault(scene.place(over, row), []).append(_Part(name, one, row))
    totals = {place: sum(part.value for part in parts) for place, parts in bars.items()}
    if over not in OVER_TIME:
        totals = dict(sorted(totals.items(), key=lambda bar: -bar[1]))
    panels = []
    if any(totals.values()):
        top = max(totals, key=lambda place: totals[place])
        read = language.say(
            "most",
            measure=shown[0].caption if len(shown) == 1 else language.say("together"),
            top=scene.sentence(over, bars[top][0].row),
            high=language.value(unit, totals[top]),
        )
        cut = language.say("cut", shown=MOST, all=len(totals))
        panels.append(
            Panel(
                _chart(scene, sheet, unit, bars, totals),
                title,
                language.unit("minutes" if _is_short(unit, totals) else unit),
                [read, cut] if over not in OVER_TIME and len(totals) > MOST else [read],
            )
        )
    return Section(
        name=sheet.name,
        title=title,
        kind="chart",
        records=records.of(scene, sheet, shown, rows),
        panels=panels,
        grid=_grid(scene, sheet, shown, rows),
    )


def _is_short(unit: Unit, totals: dict[str, float]) -> bool:
    return unit == "hours" and max(totals.values()) < SHORT


def _series(scene: Scene, sheet: Sheet, bars: dict[str, list[_Part]]) -> list[str]:
    """The names in the legend, in the declared order. A part that never occurs is left out."""
    occurring = {part.name for parts in bars.values() for part in parts if part.value}
    if sheet.by:
        declared = [scene.language.of(words) for words in scene.captions.values.get(sheet.by, {}).values()]
    else:
        declared = [one.caption for one in scene.measures(sheet)]
    return [name for name in declared if name in occurring] + sorted(occurring - set(declared))


def _chart(
    scene: Scene, sheet: Sheet, unit: Unit, bars: dict[str, list[_Part]], totals: dict[str, float]
) -> str:
    language, over = scene.language, sheet.dimensions[0]
    is_by_hour, is_lying = over == "quarter_hour", over not in OVER_TIME
    scale = MINUTES if _is_short(unit, totals) else 1
    series, highest = _series(scene, sheet, bars), max(totals.values()) * scale
    places = list(totals)[:MOST] if is_lying else list(totals)
    marks = []
    for place in places:
        reached = 0.0
        parts = [part for part in bars[place] if part.value]
        for part in sorted(parts, key=lambda part: series.index(part.name)):
            long = part.value * scale
            label = (
                language.clock(round(long * MINUTES)) if scale > 1 else language.number(long, NUMBERS[unit])
            )
            room = (LYING_ROOM * len(label) if is_lying else ROOM) * highest
            has_number = not is_by_hour and len(series) > 1 and long >= room
            marks.append(
                Mark(
                    x=charts.hour(part.row[over]) if is_by_hour else place,
                    begin=reached,
                    end=reached + long,
                    words=scene.pointed_at(part.measure, part.row, *sheet.dimensions),
                    series=part.name,
                    label=label if has_number else "",
                    ink=charts.ink_on(series, part.name),
                )
            )
            reached += long
    ends = [
        Mark(place, 0, totals[place] * scale, "", label=language.value(unit, totals[place]))
        for place in places
    ]
    headroom = LYING_HEADROOM if is_lying else HEADROOM
    if over == "day":
        places = scene.weekdays
    return charts.bars(
        marks,
        [] if is_by_hour else ends,
        series,
        Axis(charts.FORMS[unit], 0, None if is_by_hour else highest * headroom),
        None if is_by_hour else places,
        language.territory,
        has_legend=len(sheet.measures) > 1 or sheet.by is not None,
        lying=is_lying,
    )


def _grid(scene: Scene, sheet: Sheet, shown: list[Measure], rows: list[Row]) -> Grid:
    down, *across = sheet.dimensions
    if down == "quarter_hour":
        down, rows = "hour", scene.rows(sheet, "hour", *across)
    if down not in ("day", "hour"):
        rows = sorted(rows, key=lambda row: scene.order(down, row[down]))
    return scene.crossed(down, sheet.by, shown[0], rows) if sheet.by else scene.grid([down], shown, rows)
