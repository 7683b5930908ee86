"""A row per value of a dimension, the largest first, or per values of two; and their total."""

from typing import Any

from callmart.declarations.exposures import Sheet
from callmart.reports import records
from callmart.reports.page import Section
from callmart.reports.reading import Row
from callmart.reports.scene import Scene


def draw(scene: Scene, sheet: Sheet) -> Section:
    """Draw a table."""
    shown = scene.measures(sheet)
    *rows, total = scene.rows(sheet, *sheet.dimensions, with_total=True)

    def place(row: Row) -> Any:
        size = 0 if sheet.then_by else -(row[shown[0].name] or 0)
        return size, *(scene.order(grain, row[grain]) for grain in sheet.dimensions)

    rows.sort(key=place)
    return Section(
        name=sheet.name,
        title=scene.language.of(sheet.title),
        kind="table",
        records=records.of(scene, sheet, shown, rows),
        grid=scene.grid(sheet.dimensions, shown, rows, total if len(rows) > 1 else None) if rows else None,
    )
