"""The package of what there is of a person: JSON and CSV for machines, a page and a PDF to read in both languages.

The same rows give the same bytes, so that a package can be made again and compared.
"""

import io
import json
import zipfile
from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from functools import cache
from importlib.resources import files
from typing import Any
from zoneinfo import ZoneInfo

from callmart.base import csv_file, zip_file
from callmart.base.declared import Locale
from callmart.base.templates import template
from callmart.declarations import processing
from callmart.privacy.package.own_rows import Contents, Rows, Somebody
from callmart.privacy.package.page import page, somebody
from callmart.reports import paper

_NAMES: dict[Locale, str] = {"nl": "gegevens", "en": "data"}  # of the page and the PDF


def pack(contents: Contents) -> bytes:
    """Return the zip file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, content in _files(contents):
            archive.writestr(zip_file.entry(name), content, zipfile.ZIP_DEFLATED)
    return packed.getvalue()


def _files(contents: Contents) -> Iterator[tuple[str, bytes]]:
    for language, name in _NAMES.items():
        said = page(contents, language)
        yield f"{name}.html", template("callmart.privacy.package", "page.html.j2").render(page=said).encode()
        yield f"{name}.pdf", paper.typeset(_layout(), "pdf", page=json.dumps(said, ensure_ascii=False))
    yield "data.json", as_json(contents)
    for one in contents.tables:
        if one.rows:
            yield f"csv/{one.holding.table}.csv", as_csv(one, ZoneInfo(contents.time_zone))


# -- for machines ----------------------------------------------------------------------------------------------------


def as_json(contents: Contents) -> bytes:
    """Everything, with the meaning of each column. Keys of calls are texts, as they are too long for some machines."""
    zone = ZoneInfo(contents.time_zone)
    document = {
        "of": contents.person.kind,
        "customer": {"number": contents.person.customer_id, "name": contents.customer},
        "through": str(contents.last_day),
        "recipients": [one.model_dump() for one in processing.processing().recipients],
        "tables": [_table_as_json(one, zone) for one in contents.tables],
    }
    return json.dumps(document, ensure_ascii=False, separators=(",", ":")).encode()


def _table_as_json(one: Rows, zone: ZoneInfo) -> dict[str, Any]:
    said = one.holding
    return {
        "name": said.table,
        "caption": said.caption.model_dump(),
        "purpose": said.why.model_dump(),
        "source": said.source.model_dump(),
        "kept": said.kept.model_dump(),
        "columns": {name: said.columns[name].model_dump() for name in one.columns},
        "left_out": {name: {"nl": why.nl, "en": why.en} for name, why in said.left_out.items()},
        "rows": [
            {name: _plain(value, zone) for name, value in zip(one.columns, row, strict=True)}
            for row in one.rows
        ],
    }


def as_csv(one: Rows, zone: ZoneInfo) -> bytes:
    """The rows of a table, with the names of its columns."""
    return csv_file.written(
        [one.columns, *((_cell(_plain(value, zone)) for value in row) for row in one.rows)]
    )


def _cell(value: Any) -> str:
    """A value for a spreadsheet, to which no word is a formula."""
    if isinstance(value, list):
        return "; ".join(map(_cell, value))
    if isinstance(value, bool):
        return str(value).lower()
    text = "" if value is None else str(value)
    return text if _is_number(text) else csv_file.word(text)


def _is_number(text: str) -> bool:
    return text.removeprefix("-").replace(".", "", 1).isdecimal()


def _plain(value: Any, zone: ZoneInfo) -> Any:
    """A value for machines: moments with their offset, and somebody else in English."""
    match value:
        case Somebody():
            plain: Any = somebody(value, "en")
        case datetime():
            plain = (value.astimezone(zone) if value.tzinfo else value).isoformat()
        case Decimal():
            plain = float(value)
        case list():
            plain = [_plain(one, zone) for one in value]
        case None | bool() | float():
            plain = value
        case int() if abs(value) < 2**53:
            plain = value
        case _:
            plain = str(value)
    return plain


@cache
def _layout() -> bytes:
    return files("callmart.privacy.package").joinpath("paper.typ").read_bytes()
