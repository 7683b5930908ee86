"""The values of a sheet for a CSV or Excel file: its rows as they were read, and what columns and words are called."""

from collections.abc import Sequence
from typing import Any

from callmart.declarations import exposures
from callmart.declarations.exposures import COLUMN, Dimension, Sheet, column_of
from callmart.reports.measures import Measure
from callmart.reports.page import Column, Records
from callmart.reports.reading import Row
from callmart.reports.scene import NOW, Scene
from callmart.reports.weeks import Week


def of(scene: Scene, sheet: Sheet, shown: Sequence[Measure], rows: Sequence[Row]) -> Records:
    """Return the values of a sheet. A row of a trend has its own week or month, any other that of the report or the one
    before.
    """
    places: list[Dimension] = sheet.dimensions
    if sheet.kind == "list" and COLUMN["day"] not in sheet.columns:
        places = ["day"]
    columns = [_place(scene, dimension, rows) for dimension in places]
    if not sheet.is_trend:
        columns.insert(0, _week(scene))
    if not all(map(scene.is_over, rows)):
        columns.append(_so_far(scene, rows))
    # Columns of a list that say what its rows are about.
    places_of_lists = {column_of(one): one for one in exposures.places() if one != "quarter_hour"}
    for one in shown:
        words = _words(scene, one.name, rows) if one.unit == "word" else {}
        place = places_of_lists.get(one.name, "") if sheet.kind == "list" else ""
        columns.append(Column(one.name, scene.with_unit(one), one.unit, words, place))
    return Records(columns, rows)


def _week(scene: Scene) -> Column:
    """The week of a row that is not compared, or says whether it is of this one."""
    week = scene.period.week
    weeks = {None: str(week), True: str(week), False: str(week.before)}
    return Column(NOW, scene.language.say("week_of"), "word", weeks, "week")


def _place(scene: Scene, dimension: Dimension, rows: Sequence[Row]) -> Column:
    match dimension:
        case "weeks":
            weeks = {row[dimension]: str(Week(row[dimension])) for row in rows}
            return Column(dimension, scene.language.say("week_of"), "word", weeks, "week")
        case "months":
            months = {row[dimension]: f"{row[dimension]:%Y-%m}" for row in rows}
            return Column(dimension, scene.language.say("month_of"), "word", months, "month")
    column = "agent" if dimension == "agent" else column_of(dimension)  # not its key
    caption = scene.captions.column(column, scene.language.locale)
    match dimension:
        case "day":
            return Column(dimension, caption, "day", {}, dimension)
        case "quarter_hour":
            return Column(dimension, caption, "time", {}, dimension)
    return Column(dimension, caption, "word", _words(scene, dimension, rows), dimension)


def _so_far(scene: Scene, rows: Sequence[Row]) -> Column:
    """Until when the data of a row's day goes; empty if the day is over."""
    through = scene.reader.through
    until = {row["day"]: None if scene.is_over(row) or not through else through.so_far for row in rows}
    return Column("day", scene.language.say("so_far"), "moment", until, "so_far")


def _words(scene: Scene, name: str, rows: Sequence[Row]) -> dict[Any, str]:
    """What the values of a column are called."""
    return {value: scene.label(name, value) for value in {row[name] for row in rows}}
