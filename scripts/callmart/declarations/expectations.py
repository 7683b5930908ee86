"""Reads the suites in expectations/: what the rows of a mart must meet beyond what follows from its declaration."""

import re
from collections.abc import Iterator, Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from string import Formatter
from typing import Any, Literal

import duckdb
from pydantic import Field, model_validator

from callmart.base import declared, duck
from callmart.base.declared import Name, Text
from callmart.base.errors import UserError
from callmart.base.nearest import instead
from callmart.base.settings import PROJECT
from callmart.base.strict import Strict
from callmart.declarations import model_sql
from callmart.declarations.mart import Mart

FOLDER = PROJECT / "expectations"

QUERY = "unexpected_rows_query"  # the argument with a query; in it {batch} is the window of the mart

Place = tuple[str | int, ...]
Tables = Mapping[str, Mapping[str, str]]  # that the build makes: the type of each column


class Entry(Strict):
    """An expectation as it is written in a suite: Great Expectations' type and arguments, for one or more columns."""

    type: Text
    severity: Literal["critical", "warning"]
    columns: list[Name] = Field(default=[])
    kwargs: dict[str, Any] = Field(default={})
    meta: dict[str, Text] = Field(default={})


class Suite(Strict):
    """The whole file."""

    expectations: list[Entry]

    @model_validator(mode="after")
    def _holds_something_back(self) -> "Suite":
        if not any(entry.severity == "critical" for entry in self.expectations):
            raise ValueError("no critical expectation, so nothing would be held back; add one")
        return self


def file_of(mart: Mart) -> Path:
    """The file of a mart's suite."""
    return FOLDER / f"{mart.name}.yml"


def read(path: Path) -> list[Entry]:
    """Return the expectations in a suite's file. Raises UserError if it is wrong."""
    return declared.read(path, Suite).expectations


def added(mart: Mart) -> list[Entry]:
    """The expectations that a mart's suite adds. Raises UserError if the suite is wrong or missing."""
    if mistake := missing(mart):
        raise mistake
    return [] if mart.suite == "none" else read(file_of(mart))


def missing(mart: Mart) -> UserError | None:
    """A mart without a suite has to declare so: the file may be lost."""
    path = file_of(mart)
    name = declared.in_project(path)
    if mart.suite is None and not path.exists():
        return UserError(
            f"mart {mart.name} has no suite; add {name}, as docs/report_types.md shows, or declare `suite: none` in its"
            " YAML, under config.meta"
        )
    if mart.suite == "none" and path.exists():
        return UserError(f"mart {mart.name} declares `suite: none` but has {name}; remove one of the two")
    return None


def mistakes(mart: Mart, suite: Suite, tables: Tables) -> Iterator[tuple[Place, str]]:
    """What is wrong in a mart's suite compared with the mart and the tables of the build: place and remedy."""
    for number, entry in enumerate(suite.expectations):
        found = _of_type(entry) if entry.type not in types() else _of_entry(mart, entry, tables)
        yield from ((("expectations", number, *at), sentence) for at, sentence in found)


def _of_type(entry: Entry) -> Iterator[tuple[Place, str]]:
    yield ("type",), f"Great Expectations has no such expectation; {instead(entry.type, types())}"


def _of_entry(mart: Mart, entry: Entry, tables: Tables) -> Iterator[tuple[Place, str]]:
    known = _arguments(entry.type)
    for name in entry.kwargs.keys() - known:
        yield ("kwargs", name), f"{entry.type} has no such argument; {instead(name, known)}"
    for at, column in _columns(entry):
        if column not in mart.columns:
            yield at, f"{mart.name} has no {column}; {instead(column, mart.columns)}"
    if entry.columns and "column" not in known:
        yield ("columns",), f"{entry.type} is not about a column; remove `columns`"
    if "column" in known and not entry.columns and "column" not in entry.kwargs:
        yield (), f"{entry.type} needs `columns`: those of {mart.name} that it is about"
    if QUERY in known and (sentence := _of_query(mart, entry.kwargs.get(QUERY), tables)):
        yield ("kwargs", QUERY) if QUERY in entry.kwargs else (), sentence


def _columns(entry: Entry) -> Iterator[tuple[Place, str]]:
    """The columns that an expectation names, each with its place."""
    for number, column in enumerate(entry.columns):
        yield ("columns", number), column
    for name in ("column", "column_A", "column_B"):
        if isinstance(entry.kwargs.get(name), str):
            yield ("kwargs", name), entry.kwargs[name]
    for number, column in enumerate(entry.kwargs.get("column_list") or []):
        yield ("kwargs", "column_list", number), str(column)


def _of_query(mart: Mart, query: object, tables: Tables) -> str | None:
    """What is wrong in a query of failing rows, as far as that shows without the database."""
    if not isinstance(query, str):
        return f"add {QUERY} to kwargs: a query of the failing rows' keys, from {{batch}}"
    if sentence := _of_braces(query) or _of_keys(mart, query):
        return sentence
    read = re.findall(r'\bbuild\."?(\w+)', query)
    if unknown := sorted(set(read) - tables.keys()):
        return f"the build makes no table {unknown[0]}; {instead(unknown[0], tables)}"
    of_query = {name: tables[name] for name in (*read, mart.name)}
    # Nothing is known of a table whose file can't be read.
    return _unbound(query.format(batch=f"build.{mart.name}"), of_query) if all(of_query.values()) else None


def _of_braces(query: str) -> str | None:
    try:
        named = {name for _, name, _, _ in Formatter().parse(query) if name is not None}
    except ValueError:
        return "a brace stands alone in the query; write it twice if it is meant"
    if others := sorted(named - {"batch"}):
        return f"{{{others[0]}}} stands for nothing in the query; write {{batch}}, or the braces twice"
    return None if named else "the query does not look at the mart; select 1 from {batch}"


def _of_keys(mart: Mart, query: str) -> str | None:
    """What keeps a query from saying which days of which customer fail."""
    keys = ["customer_id", *([mart.day] if mart.day else [])]
    _, columns = model_sql.returned(query)
    if not re.match(r"\s*(?:select|with)\b", query, re.IGNORECASE) or (
        columns and columns[: len(keys)] != keys
    ):
        return f"the query says which days fail; begin it with select {', '.join(keys)}"
    return next((sentence for _, sentence in model_sql.of_customers(query)), None)


def _unbound(query: str, tables: Tables) -> str | None:
    """What DuckDB finds wrong when it prepares a query: a column that no table has, or what is no SQL. It knows neither
    the tables of other schemas nor all types and functions of PostgreSQL, so it says nothing about those.
    """
    database = duck.connect()
    database.execute("create schema if not exists build")
    for name, columns in tables.items():
        listed = ", ".join(f'"{column}" {data_type}' for column, data_type in columns.items())
        database.execute(f'create or replace table build."{name}" ({listed})')
    try:
        database.execute(f"prepare query as {query}")
    except duckdb.ParserException as error:
        return (
            f"the query is not SQL ({str(error).splitlines()[0].removeprefix('Parser Error: ')}); correct it"
        )
    except duckdb.BinderException as error:
        if found := re.search(r'(?:Referenced column|have a column named) "(\w+)"', str(error)):
            known = dict.fromkeys(column for columns in tables.values() for column in columns)
            return f"no table of the query has a column {found[1]}; {instead(found[1], known)}"
    except duckdb.Error:
        pass
    return None


# -- Great Expectations, as its files are: importing it takes seconds ----------------------------------------------


@cache
def _files() -> dict[str, Path]:
    """The file of each type of expectation."""
    found = find_spec("great_expectations")
    assert found and found.submodule_search_locations
    folder = Path(found.submodule_search_locations[0]) / "expectations" / "core"
    return {file.stem: file for file in folder.glob("*expect*.py")}


def types() -> list[str]:
    """The types of expectations that there are."""
    return sorted(_files())


@cache
def _arguments(kind: str) -> tuple[str, ...]:
    """The arguments of a type of expectation: its own, and those of what it is built on."""
    text = _files()[kind].read_text("utf-8")
    base = re.search(r"^class \w+\((?:\w+, *)*(\w+)\)", text, re.MULTILINE)
    own = re.findall(r"^    ([a-z_A-Z]+): (?!ClassVar)", text, re.MULTILINE)
    return (*own, *_OF_BASE.get(base[1] if base else "", ()), "description")


_OF_COLUMN = ("column", "mostly", "row_condition", "condition_parser")
_OF_BASE = {
    "ColumnMapExpectation": _OF_COLUMN,
    "ColumnAggregateExpectation": _OF_COLUMN,
    "ColumnPairMapExpectation": ("column_A", "column_B", *_OF_COLUMN[1:]),
    "MulticolumnMapExpectation": ("column_list", "ignore_row_if", *_OF_COLUMN[1:]),
    "BatchExpectation": ("row_condition", "condition_parser"),
}
