"""Log lines on stderr, for where there is no terminal: moment, level, sentence, run, stage, customer number, counts.

Only `line` writes here. What libraries log is left out, because a driver's message can contain a row.
"""

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from callmart.base.settings import Log

Level = Literal["info", "warning", "error"]

_LOG = logging.getLogger("callmart")
_LOG.propagate = False
_LOG.addHandler(logging.NullHandler())
_CONTEXT: ContextVar[tuple[tuple[str, Any], ...]] = ContextVar("context", default=())


def begin(wanted: Log) -> None:
    """Write lines from now on. Until then none are written."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Json() if wanted.format == "json" else _Text())
    _LOG.handlers = [handler]
    _LOG.setLevel(wanted.level.upper())


def line(level: Level, sentence: str, **fields: str | int | float | None) -> None:
    """Write a line with the fields that are not None, and those of the context."""
    given = {name: value for name, value in (*_CONTEXT.get(), *fields.items()) if value is not None}
    _LOG.log(logging.getLevelNamesMapping()[level.upper()], "%s", sentence, extra={"given": given})


@contextmanager
def context(**fields: str | int) -> Iterator[None]:
    """Add fields, such as the run's number, to each line within the block."""
    token = _CONTEXT.set((*_CONTEXT.get(), *fields.items()))
    try:
        yield
    finally:
        _CONTEXT.reset(token)


def _content(record: logging.LogRecord) -> dict[str, Any]:
    return {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
        "level": record.levelname.lower(),
        "event": record.getMessage(),
        **record.__dict__["given"],
    }


class _Json(logging.Formatter):
    """One JSON object per line."""

    def format(self, record: logging.LogRecord) -> str:
        return json.dumps(_content(record))


class _Text(logging.Formatter):
    """Moment and level, then name=value per field, each quoted as in JSON: no text can pretend to be another line."""

    def format(self, record: logging.LogRecord) -> str:
        content = _content(record)
        at, level = content.pop("at"), content.pop("level")
        return " ".join([at, level, *(f"{name}={json.dumps(value)}" for name, value in content.items())])
