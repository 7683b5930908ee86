"""Filtering, sorting and paging of the resources that a query returns."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar

from starlette.responses import Response

from callmart.emulator import xml
from callmart.emulator.call import Call
from callmart.emulator.errors import ApiError

MAX_PAGE_SIZE = 1000

Row = TypeVar("Row")
Fields = Mapping[str, Any]  # what a resource can be filtered and sorted by, as the API names it

_OPERATORS: dict[str, Callable[[str, str], bool]] = {
    "eq": lambda value, wanted: value == wanted,
    "cieq": lambda value, wanted: value.casefold() == wanted.casefold(),
    "in": lambda value, wanted: value in wanted.strip("[]").split(","),
    "gt": lambda value, wanted: value > wanted,
    "gte": lambda value, wanted: value >= wanted,
    "lt": lambda value, wanted: value < wanted,
    "lte": lambda value, wanted: value <= wanted,
}


def page(
    call: Call,
    name: str,
    rows: Sequence[Row],
    fields: Callable[[Row], Fields],
    render: Callable[[Row], xml.Element],
) -> Response:
    """The page that `call` asks for of `rows`, in an element `name`.

    Filter values can't hold a comma outside brackets, as in Tableau. A number or an expression that makes no
    sense is an ApiError 400.
    """
    chosen = [row for row in rows if _matches(fields(row), call.query.get("filter", ""))]
    for key, descending in reversed(_order(call.query.get("sort", ""))):
        chosen.sort(key=lambda row: str(_field(fields(row), key)), reverse=descending)
    size = _number(call, "pageSize", 100, "007")
    if size > MAX_PAGE_SIZE:
        raise ApiError(400, "007", f"The page size is above {MAX_PAGE_SIZE}.")
    number = _number(call, "pageNumber", 1, "006")
    first = (number - 1) * size
    if first and first >= len(chosen):
        raise ApiError(400, "006", f"There is no page {number}.")
    return xml.reply(
        xml.element("pagination", pageNumber=number, pageSize=size, totalAvailable=len(chosen)),
        xml.element(name, *(render(row) for row in chosen[first : first + size])),
    )


def _number(call: Call, name: str, default: int, sub_code: str) -> int:
    text = call.query.get(name, str(default))
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise ApiError(400, sub_code, f"{name} is not a positive number.")
    return int(text)


def _order(expression: str) -> list[tuple[str, bool]]:
    pairs = [clause.partition(":") for clause in expression.split(",") if clause]
    return [(key, direction.lower() == "desc") for key, _, direction in pairs]


def _matches(fields: Fields, expression: str) -> bool:
    clauses = re.split(r",(?![^\[]*\])", expression) if expression else []
    return all(_holds(fields, clause) for clause in clauses)


def _holds(fields: Fields, clause: str) -> bool:
    key, operator, wanted = (*clause.split(":", 2), "", "")[:3]
    if operator not in _OPERATORS:
        raise ApiError(400, "000", f"The filter '{clause}' is not field:operator:value.")
    value = _field(fields, key)
    values = value if isinstance(value, list) else [value]
    return any(_OPERATORS[operator](str(each), wanted) for each in values)


def _field(fields: Fields, key: str) -> Any:
    if key not in fields:
        raise ApiError(400, "000", f"There is no field '{key}' to filter or sort by.")
    return fields[key]
