"""A list: a row per row of the mart, day by day; or one table, if the day is among its columns."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import date
from itertools import groupby, takewhile
from typing import Any

from callmart.declarations.exposures import Sheet
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
    rows = scene.listed(sheet)
    if sheet.columns[0] == "agent_key":  # the database has ordered them by key
        rows.sort(key=lambda row: (row["day"], scene.label("agent", row["agent_key"])))
    title, values = language.of(sheet.title), records.of(scene, sheet, columns, rows)
    if "call_date" in sheet.columns:
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
    names = takewhile(lambda one: one.unit in ("day", "word"), columns)
    return Grid([one.caption for one in columns], body, len(list(names)))


def _cell(scene: Scene, column: Measure, value: Any, day: date) -> str:
    match column.unit:
        case "word":
            return scene.label(column.name, value)
        case "moment":
            return scene.language.moment(value, day) if value else DASH
        case "day":
            return scene.language.short(value)
    return scene.value(column, {column.name: value})
