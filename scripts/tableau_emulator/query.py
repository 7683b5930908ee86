"""Filters, sorts and pages the resources that a query returns, and selects the fields that it shows."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from starlette.responses import Response

from tableau_emulator import xml
from tableau_emulator.call import Call
from tableau_emulator.errors import forbidden, malformed

MAX_PAGE_SIZE = 1000

Row = TypeVar("Row")
Fields = Mapping[str, Any]  # what a resource can be filtered and sorted by, as the API names it


class Clause(NamedTuple):
    """One condition of a filter."""

    key: str
    operator: str
    wanted: str


_WHOLE = {"_all_", "_default_"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")


def page(
    call: Call,
    name: str,
    rows: Sequence[Row],
    fields: Callable[[Row], Fields],
    render: Callable[[Row], xml.Element],
) -> Response:
    """The requested page of `rows`, in an element `name`.

    As in Tableau, a filter can't match a value that contains one of , & : [ ] except with * in place of each. Raises
    ApiError 400 for numbers or expressions that are not valid.
    """
    chosen = rows
    if clauses := _clauses(call.query.get("filter", "")):
        chosen = [row for row in rows if all(_holds(fields(row), clause) for clause in clauses)]
    for key, descending in reversed(_order(call.query.get("sort", ""))):
        chosen = sorted(chosen, key=lambda row: _sortable(_field(fields(row), key)), reverse=descending)
    size = _number(call, "pageSize", 100, "007")
    if size > MAX_PAGE_SIZE:
        raise forbidden(f"The page size is above {MAX_PAGE_SIZE}.", "014")
    number = _number(call, "pageNumber", 1, "006")
    first = (number - 1) * size
    if first and first >= len(chosen):
        raise malformed(f"There is no page {number}.", "006")
    shown = [render(row) for row in chosen[first : first + size]]
    wanted = asked_fields(call)
    if not wanted & _WHOLE:
        for each in shown:
            if any(field.startswith(f"{xml.tag(each)}.") for field in wanted):
                _keep(each, wanted)
    return xml.reply(
        xml.element("pagination", pageNumber=number, pageSize=size, totalAvailable=len(chosen)),
        xml.element(name, *shown),
    )


def asked_fields(call: Call) -> frozenset[str]:
    """The fields that the query asks for, such as `workbook.name` or `_all_`. Empty: the API's default fields."""
    return frozenset(field for field in call.query.get("fields", "").split(",") if field)


def _keep(node: xml.Element, wanted: frozenset[str]) -> None:
    """Removes all fields but the wanted ones from an element and the elements in it."""
    kind = xml.tag(node)
    for key in set(node.attrib) - {field.removeprefix(f"{kind}.") for field in wanted}:
        del node.attrib[key]
    for child in list(node):
        if {f"{kind}.{xml.tag(child)}", f"{kind}.{xml.tag(child).removesuffix('s')}"} & wanted:
            continue  # such as workbook.tags and datasource.tag
        _keep(child, wanted)
        if not child.attrib:
            node.remove(child)


def _number(call: Call, name: str, default: int, sub_code: str) -> int:
    text = call.query.get(name, str(default))
    if not re.fullmatch(r"0*[1-9][0-9]{0,8}", text):
        raise malformed(f"{name} is not a positive number.", sub_code)
    return int(text)


def _order(expression: str) -> list[tuple[str, bool]]:
    pairs = [clause.partition(":") for clause in expression.split(",") if clause]
    if wrong := [key for key, _, direction in pairs if direction.lower() not in ("asc", "desc")]:
        raise malformed(f"The sort order of '{wrong[0]}' is not asc or desc.")
    return [(key, direction.lower() == "desc") for key, _, direction in pairs]


def _sortable(value: Any) -> tuple[int, Any]:
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def _clauses(expression: str) -> list[Clause]:
    """The clauses of a filter, which commas separate, except commas within brackets."""
    parts = re.split(r",(?![^\[]*\])", expression) if expression else []
    found = [Clause(*(*part.split(":", 2), "", "")[:3]) for part in parts]
    for key, operator, wanted in found:
        if operator not in _OPERATORS:
            raise malformed(f"The filter '{key}' is not field:operator:value.")
        if operator == "in" and not (wanted.startswith("[") and wanted.endswith("]")):
            raise malformed(f"The filter '{key}:in' has no [list].")
    return found


def _holds(fields: Fields, clause: Clause) -> bool:
    value = _field(fields, clause.key)
    values = value if isinstance(value, list) else [value]
    return any(_OPERATORS[clause.operator](each, clause.wanted) for each in values)


def _equal(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return wanted.lower() == str(value).lower()
    if isinstance(value, str):
        if "*" in wanted:
            pattern = ".*".join(re.escape(part) for part in wanted.split("*"))
            return re.fullmatch(pattern, value, re.DOTALL) is not None
        return value == wanted and (not re.search(r"[,&:\[\]]", value) or _TIME.match(value) is not None)
    return bool(value == _like(value, wanted))


def _like(value: Any, wanted: str) -> Any:
    """The wanted value, converted to the type of `value`."""
    try:
        return type(value)(wanted)
    except ValueError:
        raise malformed(f"'{wanted}' is not a number.") from None


def _field(fields: Fields, key: str) -> Any:
    if key not in fields:
        raise malformed(f"There is no field '{key}' to filter or sort by.", "065")
    return fields[key]


_OPERATORS: dict[str, Callable[[Any, str], bool]] = {
    "eq": _equal,
    "cieq": lambda value, wanted: _equal(str(value).casefold(), wanted.casefold()),
    "in": lambda value, wanted: any(_equal(value, each) for each in wanted[1:-1].split(",")),
    "has": lambda value, wanted: wanted.casefold() in str(value).casefold(),
    "gt": lambda value, wanted: value > _like(value, wanted),
    "gte": lambda value, wanted: value >= _like(value, wanted),
    "lt": lambda value, wanted: value < _like(value, wanted),
    "lte": lambda value, wanted: value <= _like(value, wanted),
}
