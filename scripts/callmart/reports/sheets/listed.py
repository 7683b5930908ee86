"""A list: a row per row of the mart, day by day."""

from collections.abc import Iterator
from datetime import date, datetime
from itertools import groupby
from typing import Any

from callmart.declarations.exposures import Sheet
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
    remark = language.say("first_rows", shown=language.number(MOST), all=language.number(len(rows)))
    return Section(
        name=sheet.name,
        title=language.of(sheet.title),
        kind="list",
        records=scene.records(columns, rows),
        days=list(_days(scene, columns, rows[:MOST])),
        remark=remark if len(rows) > MOST else "",
    )


def _days(scene: Scene, columns: list[Measure], rows: list[Row]) -> Iterator[Day]:
    for day, of_day in groupby(rows, lambda row: row["day"]):
        body = [[_cell(scene, one, row[one.name], day) for one in columns] for row in of_day]
        title = f"{scene.language.long(day)} · {scene.language.number(len(body))}"
        yield Day(day.isoformat(), title, Grid([one.caption for one in columns], body))


def _cell(scene: Scene, column: Measure, value: Any, day: date) -> str:
    match value:
        case None if column.unit in ("word", "moment"):
            return ""
        case bool() if column.name != "open":
            return scene.language.say("yes" if value else "no")
        case datetime():
            return scene.language.moment(value, day)
    if column.unit == "word":
        return scene.label(GRAINS.get(column.name, column.name), value)
    return scene.value(column, {column.name: value})


GRAINS = {"agent_key": "agent", "overflowed_to": "queue"}  # whose names are those of a dimension
