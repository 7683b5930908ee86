"""Reads another system's list of contacts: a CSV or Excel file with a row per contact.

Its first row names the columns: `moment` (when the contact joined the queue), and if they are known `queue`, `outcome`
(in callmart's words) and `wait` (seconds). A moment has its offset, or the command says in which time zone all are.
"""

import csv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from zipfile import BadZipFile
from zoneinfo import ZoneInfo

from callmart.base.errors import UserError
from callmart.declarations import captions

COLUMNS = ("moment", "queue", "outcome", "wait")
DELIMITERS = ",;\t"


@dataclass(frozen=True)
class Other:
    """A contact as another system has it. What it does not say is None."""

    line: int  # of the file
    moment: datetime  # in UTC
    queue: str | None
    outcome: str | None
    wait_s: float | None


def read(path: Path, zone: ZoneInfo | None) -> list[Other]:
    """Return the contacts of a file, in the order of their moments. `zone` is that of moments without an offset.

    Raises UserError, with the line, if the file or one of its values can't be understood. It never quotes a value.
    """
    rows = _excel(path) if path.suffix.lower() == ".xlsx" else _csv(path)
    _, head = next(rows, (1, ()))
    names = [str(name or "").strip() for name in head]
    while names and not names[-1]:
        names.pop()
    # By its place: in a file without names it would be the value of a contact.
    unknown = next((place for place, name in enumerate(names, 1) if name not in COLUMNS), None)
    if unknown is not None:
        raise UserError(
            f"{path}: the first row calls column {unknown} none of {', '.join(COLUMNS)}: rename it, or take it out"
        )
    if "moment" not in names or len(set(names)) < len(names):
        raise UserError(
            f"{path} has not one column moment in its first row: name its columns {', '.join(COLUMNS)}"
        )
    found = []
    for line, values in rows:
        if any(value not in (None, "") for value in values[len(names) :]):
            raise UserError(
                f"{path} line {line} has more values than the first row has names: name them, or put a value with a"
                " comma into quotation marks"
            )
        row = dict(zip(names, values, strict=False))
        if any(value not in (None, "") for value in row.values()):
            try:
                found.append(_contact(line, row, zone))
            except ValueError as mistake:
                raise UserError(f"{path} line {line}: {mistake}") from None
    return sorted(found, key=lambda one: one.moment)


def _contact(line: int, row: dict[str, Any], zone: ZoneInfo | None) -> Other:
    """A row as a contact. Raises ValueError, with what to do, if it is not one."""
    outcome = _text(row.get("outcome"))
    known = captions.file().values["outcome"]
    if outcome is not None and outcome not in known:
        raise ValueError(f"outcome is a word that callmart does not know: write one of {', '.join(known)}")
    try:
        wait = _text(row.get("wait"))
        wait_s = None if wait is None else float(wait)
    except ValueError:
        raise ValueError("wait is no number of seconds: write 83 or 83.5") from None
    if wait_s is not None and not 0 <= wait_s < float("inf"):
        raise ValueError("wait is below 0 or without end: write seconds, or leave it empty")
    return Other(line, _moment(row.get("moment"), zone), _text(row.get("queue")), outcome, wait_s)


def _text(value: object) -> str | None:
    return None if value is None or not str(value).strip() else str(value).strip()


def _moment(value: object, zone: ZoneInfo | None) -> datetime:
    try:
        moment = value if isinstance(value, datetime) else datetime.fromisoformat(_text(value) or "")
    except ValueError:
        raise ValueError("moment is no date and time: write 2026-11-24T09:59:50+01:00") from None
    if not datetime.min.year < moment.year < datetime.max.year:  # beyond them no other zone has a day
        raise ValueError("moment is in the first or the last year of all: correct it")
    if moment.tzinfo is not None:
        return moment.astimezone(UTC)
    if zone is None:
        raise ValueError(
            "moment has no time zone: write its offset, as in 2026-11-24T09:59:50+01:00, or name with --timezone the"
            " zone of all moments"
        )
    first, second = (moment.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first != second:
        raise ValueError(
            f"moment is not one moment in {zone.key}, where clocks change then: write its offset, as in"
            " 2026-10-25T02:30:00+01:00"
        )
    return first


def _csv(path: Path) -> Iterator[tuple[int, Sequence[Any]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            head = file.readline()
            file.seek(0)
            rows = csv.reader(file, delimiter=max(DELIMITERS, key=head.count), strict=True)
            for row in rows:
                yield rows.line_num, row
    except (UnicodeDecodeError, csv.Error):
        raise UserError(f"{path} can't be read as CSV in UTF-8: save it as that, or as .xlsx") from None


def _excel(path: Path) -> Iterator[tuple[int, Sequence[Any]]]:
    from openpyxl import load_workbook
    from openpyxl.utils.exceptions import InvalidFileException

    try:
        with path.open("rb") as file:
            book = load_workbook(file, read_only=True, data_only=True)
            yield from enumerate(book.worksheets[0].iter_rows(values_only=True), 1)
    # Two parsers read its parts. The errors of both are errors of syntax.
    except (BadZipFile, InvalidFileException, KeyError, ValueError, IndexError, SyntaxError):
        raise UserError(f"{path} can't be read as a workbook: save it as .xlsx or CSV") from None
