"""Draws the sheets of a report. Each kind has a module whose `draw` reads what the sheet shows, and says it in figures,
charts, tables and sentences.
"""

from collections.abc import Callable, Mapping

from callmart.declarations.exposures import Sheet
from callmart.reports.page import Section
from callmart.reports.scene import Scene
from callmart.reports.sheets import bars, figures, heat_map, lines, listed, measured, table

KINDS: Mapping[str, Callable[[Scene, Sheet], Section]] = {
    "figures": figures.draw,
    "line": lines.draw,
    "stacked_bar": bars.draw,
    "table": table.draw,
    "heat_map": heat_map.draw,
    "bars": measured.draw,
    "list": listed.draw,
}


def draw(scene: Scene, sheet: Sheet) -> Section:
    """Draw a sheet."""
    return KINDS[sheet.kind](scene, sheet)
