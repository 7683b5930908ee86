"""A row per value of a dimension, the largest first, and their total."""

from callmart.declarations.exposures import Sheet
from callmart.reports.page import Section
from callmart.reports.scene import Scene


def draw(scene: Scene, sheet: Sheet) -> Section:
    """Draw a table."""
    by, shown = sheet.by or "queue", scene.measures(sheet)
    rows = scene.rows(sheet, by, with_total=True)
    own = sorted(
        (row for row in rows if row[by] is not None),
        key=lambda row: (-(row[shown[0].name] or 0), scene.label(by, row[by])),
    )
    total = next((row for row in rows if row[by] is None), None)
    return Section(
        name=sheet.name,
        title=scene.language.of(sheet.title),
        kind="table",
        records=scene.records(shown, own),
        grid=scene.grid(by, shown, own, total if len(own) > 1 else None) if own else None,
    )
