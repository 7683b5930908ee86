"""A bar per measure, in the declared order: the waits within each bound, each with its share of all, or the reasons of
refusal.
"""

from callmart.declarations.exposures import Sheet
from callmart.reports import charts, records
from callmart.reports.charts import Axis, Mark
from callmart.reports.measures import Measure
from callmart.reports.page import Grid, Panel, Section
from callmart.reports.reading import Row
from callmart.reports.scene import Scene

HEADROOM = 1.5  # of the longest bar, for the number at its end


def draw(scene: Scene, sheet: Sheet) -> Section:
    """Draw a sheet with a bar per measure."""
    shown, language, title = scene.measures(sheet), scene.language, scene.language.of(sheet.title)
    rows = scene.rows(sheet)
    known = [
        (one, row[one.name], _said(scene, sheet, one, row))
        for row in rows
        for one in shown
        if row[one.name] is not None
    ]
    panels = []
    if longest := max((value for _, value, _ in known), default=0):
        marks = [
            Mark(one.caption, 0, value, f"{one.caption}: {said}", one.unit) for one, value, said in known
        ]
        ends = [Mark(one.caption, 0, value, "", label=said) for one, value, said in known]
        svg = charts.bars(
            marks,
            ends,
            [shown[0].unit],
            Axis(charts.FORMS[shown[0].unit], 0, longest * HEADROOM),
            [one.caption for one, *_ in known],
            language.territory,
            lying=True,
        )
        panels.append(Panel(svg, title, "", []))
    return Section(
        name=sheet.name,
        title=title,
        kind="chart",
        records=records.of(scene, sheet, shown, rows if known else []),
        panels=panels,
        grid=Grid(["", title], [[one.caption, said] for one, _, said in known]),
    )


def _said(scene: Scene, sheet: Sheet, measure: Measure, row: Row) -> str:
    """A value; of one within a bound also its share of what it is a part of, if the sheet shows that."""
    said, value = scene.value(measure, row), row[measure.name]
    whole = row.get(scene.marts[sheet.mart].whole_of(measure.name))
    return f"{said} ({scene.language.share(value / whole)})" if whole else said
