"""Detects a file's format from its first bytes, and checks its header."""

import csv
import re
from collections.abc import Iterable
from pathlib import Path

from callmart.base.errors import UserError
from callmart.base.raw_format import COLUMNS, REQUIRED_COLUMNS
from callmart.land.source import Form

DETECT = 64 << 10  # bytes read to detect the format
PARQUET = b"PAR1"  # a Parquet file begins with it
ENCRYPTED_PARQUET = b"PARE"  # or with this, if also its footer is encrypted

REALTIME_COLUMNS = (
    "time",
    "callid",
    "queuename",
    "agent",
    "event",
    "data1",
    "data2",
    "data3",
    "data4",
    "data5",
)
# Further columns that such tables can have. They are not read.
REALTIME_IGNORED = ("id", "serverid", "created")
LOG_COLUMNS = ("time", "callid", "queue", "agent", "event", "data")

# The columns of Master.csv, as Asterisk's sample configuration writes it, without a header.
CEL_COLUMNS = (
    "eventtype",
    "eventtime",
    "cid_name",
    "cid_num",
    "cid_ani",
    "cid_rdnis",
    "cid_dnid",
    "exten",
    "context",
    "channame",
    "appname",
    "appdata",
    "amaflags",
    "accountcode",
    "uniqueid",
    "linkedid",
    "peer",
    "userfield",
    "userdeftype",
    "eventextra",
)
# The columns that callmart reads. An export with a header must have them.
CEL_READ = (
    "eventtype", "eventtime", "channame", "appname", "appdata", "uniqueid", "linkedid", "userdeftype", "eventextra",
)  # fmt: skip
CEL_IGNORED = ("id", "eventname", "peeraccount")  # further columns that tables of it can have

_COMPRESSIONS = {
    b"\x1f\x8b": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x50\x2a\x4d\x18": "zstd",  # the sizes that pzstd puts before each frame
}
_LOG_LINE = re.compile(r"\d{1,10}\|[^|]*\|[^|]*\|[^|]*\|")
_CEL_TYPE = re.compile(r"[A-Z][A-Z0-9_]{1,39}")
_CEL_TIME = re.compile(r"\d{9,10}(\.\d{1,6})?|\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?")
_COLUMN_NAME = re.compile(r"[A-Za-z_]\w{0,40}")


def compression_of(start: bytes) -> str | None:
    """The compression that the first bytes of a file tell: 'gzip', 'zstd' or None."""
    return next((name for magic, name in _COMPRESSIONS.items() if start.startswith(magic)), None)


def first_lines(path: Path, start: bytes) -> list[str]:
    """Return the lines in the first bytes of a text file. Raises UserError if the file is not UTF-8 text, or its
    lines don't end in LF.
    """
    if start.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise UserError(f"{path} is UTF-16; save it as UTF-8")
    lines = [line.rstrip(b"\r") for line in start.removeprefix(b"\xef\xbb\xbf").split(b"\n")]
    first = next(line for line in lines if line)
    if b"\0" in first or start.startswith(b"PK\x03\x04"):
        raise UserError(f"{path} is a binary file, or UTF-16; deliver UTF-8 text or Parquet")
    if b"\r" in first:
        raise UserError(f"{path}: its lines end in CR; save it with LF or CRLF")
    return [line.decode(errors="replace") for line in lines if line]


def text_form(path: Path, format: str, lines: list[str]) -> tuple[Form, tuple[str, ...] | None]:
    """Return the text format of these first lines, and the header if the format is a CSV with one.

    Raises UserError if no format fits, if `format` says another one, or if the header is wrong.
    """
    first = lines[0]
    found: Form | None = None
    header: tuple[str, ...] = ()
    if first.lstrip(" \t").startswith("{"):  # `psql -t` puts a space before each line
        found = "ndjson"
    elif any(_LOG_LINE.match(line) for line in lines[:20]):
        found = "queue_log"
    elif "," in first:
        header = tuple(next(csv.reader([first])))
        if {"time", "callid", "queuename", "event"} <= set(header):
            found = "queue_log_realtime"
        elif {"eventtype", "eventtime", "linkedid"} <= set(header):
            found = "cel"
            # Tables call the column `extra`.
            header = tuple("eventextra" if column == "extra" else column for column in header)
        elif _is_cel_row(header):
            found, header = "cel", ()
        elif {*COLUMNS} & {*header} or format == "csv":
            found = "csv"
    if found is None:
        raise UserError(
            f"{path}: the first line is not a header of the raw format, a JSON object, or a line of a queue_log or a "
            "channel event log; deliver one of these (commas between columns, one object per line)"
        )
    named = "queue_log" if found == "queue_log_realtime" else found
    if format not in ("auto", named):
        raise UserError(f"{path} is {named}, not {format}; use format {named} or auto")
    if found == "csv":
        check_header(path, header, COLUMNS, REQUIRED_COLUMNS)
    elif found == "queue_log_realtime":
        check_header(path, header, (*REALTIME_COLUMNS, *REALTIME_IGNORED), REALTIME_COLUMNS)
    elif header and found == "cel":
        check_header(path, header, (*CEL_COLUMNS, *CEL_IGNORED), CEL_READ)
    return found, header or None


def _is_cel_row(values: tuple[str, ...]) -> bool:
    """Whether a first line is a row of a channel event log without a header."""
    return (
        len(values) == len(CEL_COLUMNS)
        and _CEL_TYPE.fullmatch(values[0]) is not None
        and _CEL_TIME.fullmatch(values[1]) is not None
    )


def check_header(path: Path, header: tuple[str, ...], known: Iterable[str], required: Iterable[str]) -> None:
    """Raise UserError if a column is unknown or occurs twice, or if a required one is missing."""
    missing = [column for column in required if column not in header]
    for position, column in enumerate(header, start=1):
        if column not in known:
            # If required columns are missing, this may be a row of data: don't repeat its values.
            name = f" ({column})" if not missing and _COLUMN_NAME.fullmatch(column) else ""
            raise UserError(
                f"{path}: column {position} of the header{name} is not known; rename or remove it; "
                f"known are {', '.join(known)}"
            )
        if column in header[: position - 1]:
            raise UserError(f"{path}: column {position} of the header ({column}) occurs twice; remove one")
    if missing:
        raise UserError(f"{path} has no column {missing[0]}; add it to the header and the rows")
