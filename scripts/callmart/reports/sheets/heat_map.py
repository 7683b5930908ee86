"""A measure by day and quarter-hour, as in a diary. Darker means more."""

import math
from collections.abc import Sequence
from datetime import time
from itertools import pairwise

from callmart.declarations.exposures import Sheet
from callmart.reports import charts, records
from callmart.reports.charts import Cell
from callmart.reports.language import Language
from callmart.reports.measures import Unit
from callmart.reports.page import Panel, Section
from callmart.reports.reading import Row
from callmart.reports.scene import Scene

SHADES = 5
MINUTES = 60  # of an hour: a quarter-hour has few hours of anything
ROUNDED = 1e-9  # three fifths by a fifth is a little less than three
FEW = 0.95  # above this quantile is the darkest shade, so that one odd quarter-hour doesn't make all others pale


def draw(scene: Scene, sheet: Sheet) -> Section:
    """Draw a heat map."""
    (measure,) = shown = scene.measures(sheet)
    language, title = scene.language, scene.language.of(sheet.title)
    found = scene.rows(sheet, "day", "quarter_hour")
    rows = [row for row in found if row[measure.name] is not None]
    panels = []
    if rows:
        scale = MINUTES if measure.unit == "hours" else 1
        step = _step([row[measure.name] * scale for row in rows], measure.unit)
        names = _names(language, measure.unit, step)
        cells = [
            Cell(
                scene.label("day", row["day"]),
                scene.label("quarter_hour", row["quarter_hour"]),
                names[_shade(row[measure.name] * scale, step)],
                scene.pointed_at(measure, row, "day", "quarter_hour"),
            )
            for row in rows
        ]
        svg = charts.heat_map(
            cells,
            names,
            scene.weekdays,
            [scene.label("quarter_hour", each) for each in _quarters(found)],
            language.territory,
        )
        top = max(rows, key=lambda row: row[measure.name])
        where = f"{scene.sentence('day', top)} {scene.label('quarter_hour', top['quarter_hour'])}"
        read = language.say("most", measure=measure.caption, top=where, high=scene.value(measure, top))
        panels.append(Panel(svg, title, scene.with_unit(measure, in_minutes=scale > 1), [read]))
    return Section(
        name=sheet.name,
        title=title,
        kind="chart",
        records=records.of(scene, sheet, shown, rows),
        panels=panels,
        grid=scene.crossed("hour", "day", measure, scene.rows(sheet, "hour", "day")),
    )


def _step(values: Sequence[float], unit: Unit) -> float:
    """How much a shade covers: a round number."""
    usual = sorted(values)[math.ceil(FEW * len(values)) - 1] / SHADES
    if unit == "share":
        return 0.2
    steps = [1, 2, 5, 10, 15, 20, 30, 60] if unit == "seconds" else [1, 2, 5, 10, 20, 50, 100]
    return next((step for step in steps if step >= usual), math.ceil(usual / 100) * 100)


def _shade(value: float, step: float) -> int:
    return min(int(value / step + ROUNDED), SHADES - 1)


def _names(language: Language, unit: Unit, step: float) -> list[str]:
    """The names of the shades: 0–4, 5–9, …, 20+."""
    if unit == "share":
        bounds = [language.share(number * step) for number in range(SHADES + 1)]
        return [f"{low}–{high}" for low, high in pairwise(bounds)]
    size = int(step)
    names = [f"{low}–{low + size - 1}" if size > 1 else str(low) for low in range(0, size * SHADES, size)]
    return [*names[:-1], f"{size * (SHADES - 1)}+"]


def _quarters(rows: Sequence[Row]) -> list[time]:
    """All quarter-hours from the first hour with data to the last: the same for all measures of a mart."""
    moments = [row["quarter_hour"] for row in rows]
    return [
        time(hour, minute)
        for hour in range(min(moments).hour, max(moments).hour + 1)
        for minute in (0, 15, 30, 45)
    ]
