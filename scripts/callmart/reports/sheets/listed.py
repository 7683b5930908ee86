"""A list: a row per row of the mart, day by day; or one table, if the day is among its columns."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import groupby, takewhile
from typing import Any

from callmart.declarations.exposures import COLUMN, Sheet
from callmart.reports import records
from callmart.reports.language import DASH
from callmart.reports.measures import Measure
from callmart.reports.page import Day, Grid, Section
from callmart.reports.reading import Row
from callmart.reports.scene import Scene

MOST = 1000  # rows on a page; a CSV file has all


def draw(scene: Scene, sheet: Sheet) -> Section:
    """Draw a list."""
    columns, language = scene.measures(sheet), scene.language
    # The database has ordered them by keys and by names at the source, which people don't see.
    names = [one.name for one in _names(columns) if one.unit == "word"]
    rows = sorted(
        scene.listed(sheet),
        key=lambda row: (row["day"], *(scene.order(name, row[name]) for name in names)),
    )
    title, values = language.of(sheet.title), records.of(scene, sheet, columns, rows)
    if COLUMN["day"] in sheet.columns:
        grid = _grid(scene, columns, rows) if rows else None
        return Section(name=sheet.name, title=title, kind="table", records=values, grid=grid)
    remark = language.say("first_rows", shown=language.number(MOST), all=language.number(len(rows)))
    return Section(
        name=sheet.name,
        title=title,
        kind="list",
        records=values,
        days=list(_days(scene, columns, rows)),
        remark=remark if len(rows) > MOST else "",
    )


def _days(scene: Scene, columns: list[Measure], rows: list[Row]) -> Iterator[Day]:
    counts = Counter(row["day"] for row in rows)
    for day, of_day in groupby(rows[:MOST], lambda row: row["day"]):
        title = f"{scene.language.long(day)} · {scene.language.number(counts[day])}"
        yield Day(day.isoformat(), title, _grid(scene, columns, of_day))


def _grid(scene: Scene, columns: list[Measure], rows: Iterable[Row]) -> Grid:
    body = [[_cell(scene, one, row[one.name], row["day"]) for one in columns] for row in rows]
    return Grid([one.caption for one in columns], body, len(_names(columns)))


def _names(columns: list[Measure]) -> list[Measure]:
    """The first columns, as far as they say what a row is about."""
    return list(takewhile(lambda one: one.unit in ("day", "word"), columns))


def _cell(scene: Scene, column: Measure, value: Any, day: date) -> str:
    match column.unit:
        case "word":
            return scene.label(column.name, value)
        case "moment":
            return scene.language.moment(value, day) if value else DASH
        case "day":
            return scene.language.short(value)
    return scene.value(column, {column.name: value})
