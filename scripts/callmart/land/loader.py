"""The loader's sessions: one that reads the gate and asks what is known, and one that streams events to the server.

Both are opened when they are first needed, and again after `reset`. Neither can read what has landed.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from threading import Event
from types import TracebackType
from typing import Any, NamedTuple, Self, TypeVar

import psycopg
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import dbapi

from callmart.access import logins
from callmart.base.errors import UserError
from callmart.base.keys import keyed
from callmart.base.raw_format import EVENT_SCHEMA
from callmart.base.settings import Settings
from callmart.database.fingerprints import installation_key
from callmart.land.admission import KnownKeys
from callmart.land.found import Delivery, Found
from callmart.land.look import Look
from callmart.land.prepare import Prepared
from callmart.land.source import Source

T = TypeVar("T")

# A file that changed less than this before it was looked at is read again next time: if it changes once more, the file
# system may tell the same time.
YOUNG_S = 5

TIMEOUT = "57014"  # the SQLSTATE when a statement has taken longer than access.yml allows
REFUSED = "23514"  # the SQLSTATE of raw.hold_still and raw.refuse_unprepared

# Rows handed to the driver at a time. They are on their way to the server while the driver makes the next ones.
STREAMED = 1 << 10


class NoneLands(UserError):
    """The server takes in no file, whatever it holds."""


class Kept(NamedTuple):
    """What became of a file's events on the server."""

    landed: int
    repeated: int
    of_erased: int


class Loader:
    """The loader's connections to the database, and what it asks there."""

    def __init__(self, settings: Settings, known_keys: KnownKeys) -> None:
        """`known_keys` are shared by the loaders of a landing, so that each key is read once."""
        self.settings = settings
        self.known_keys = known_keys

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.reset()

    @cached_property
    def connection(self) -> psycopg.Connection:
        """The session that reads. Raises UserError if the loader can't log in."""
        return logins.connect(self.settings, "loader")

    @cached_property
    def _stream(self) -> dbapi.Connection:
        try:
            return dbapi.connect(logins.duty_uri(self.settings, "loader"))
        except AdbcError as error:
            raise NoneLands(logins.refusal("loader", error)) from None

    @cached_property
    def _key(self) -> bytes:
        key = installation_key(self.connection, self.settings)
        self.connection.commit()
        return key

    def reset(self) -> None:
        """Close the sessions. What was not committed is lost."""
        for name in ("connection", "_stream"):
            if session := self.__dict__.pop(name, None):
                session.close()

    def read(self, reading: Callable[[psycopg.Connection], T]) -> T:
        """What is read in the session that reads, or in a new one if it was lost."""
        try:
            found = reading(self.connection)
        except psycopg.OperationalError:
            self.reset()
            found = reading(self.connection)
        self.connection.commit()
        return found

    def recognised(self, deliveries: Sequence[tuple[Delivery, Look]]) -> set[int]:
        """The positions of the files that look as they did when their content was known to have landed."""
        files = [
            {"file_number": position, **self._name(delivery), "look": _as_text(look)}
            for position, (delivery, look) in enumerate(deliveries)
        ]
        return self._ask("select raw.recognised(%s)", json.dumps(files))

    def has_landed(self, files: Sequence[Found]) -> set[tuple[str, str]]:
        """The contents that have landed. These files are recognised from now on."""
        asked = [{"file_number": position, **self._identity(file)} for position, file in enumerate(files)]
        landed = self._ask("select raw.has_landed(%s)", json.dumps(asked))
        return {files[position].content for position in landed}

    def store(
        self, prepared: Prepared, batches: Iterator[pa.RecordBatch], version: int
    ) -> dict[int, Kept] | None:
        """Stream the events to the server, and store them unless the registry has changed. Returns by number what
        became of each file's; None if the registry has changed. The caller commits. Raises NoneLands.
        """
        ended = Event()
        with ThreadPoolExecutor(1) as worker:  # in the main thread the driver keeps Ctrl-C to itself
            try:
                return worker.submit(self._store, prepared, _until(ended, batches), version).result()
            finally:
                ended.set()

    def _store(
        self, prepared: Prepared, batches: Iterator[pa.RecordBatch], version: int
    ) -> dict[int, Kept] | None:
        with self._stream.cursor() as cursor:
            cursor.execute("set transaction isolation level read committed")  # whatever the server's default
            if not _received(cursor, version):
                self._stream.rollback()
                return None
            self.__dict__.pop("_key", None)  # it may have been rotated before; now it can't be
            _stream_events(cursor, batches)
            for table, rows in (
                ("incoming_reject", prepared.rejects),
                ("incoming_agent", prepared.agents),
                ("incoming_marked", prepared.told),
            ):
                if rows.num_rows:
                    _ingest(cursor, table, rows)
            kept = cursor.execute(
                "select file_number, landed, repeated, of_erased from raw.keep($1::integer, $2::text::jsonb)",
                (version, json.dumps([self._report(source) for source in prepared.landing])),
            ).fetchall()
        return {number: Kept(*counts) for number, *counts in kept}

    def commit(self) -> None:
        """Commit what was stored."""
        self._stream.commit()

    def _ask(self, question: str, *parameters: str) -> set[int]:
        found = self.read(lambda connection: connection.execute(question.encode(), parameters).fetchall())
        return {number for (number,) in found}

    def _name(self, delivery: Delivery) -> dict[str, str]:
        path = keyed(self._key, "path", str(delivery.path.absolute()))
        return {"path_key": path, "asked": delivery.asked}

    def _identity(self, file: Found) -> dict[str, Any]:
        is_young = file.look.changed_ns > file.seen_ns - YOUNG_S * 10**9
        return {
            **self._name(file.delivery),
            "content_key": keyed(self._key, "content", file.digest),
            "look": None if is_young else _as_text(file.look),
        }

    def _report(self, source: Source) -> dict[str, Any]:
        """What the server stores about a file."""
        tally = source.tally
        return {
            "file_number": source.number,
            "name_key": keyed(self._key, "file", source.path.name),
            **self._identity(source.found),
            "time_zone": tally.time_zone,
            "row_count": tally.rows,
            "rejected": tally.rejected,
            "turned_away": tally.turned_away,
            "turned_away_by": {
                "null" if customer is None else str(customer): rows
                for customer, rows in tally.turned_away_by.items()
            },
            "waits": tally.waiting > 0,
            "incomplete_last_line": tally.incomplete_last_line,
            "erased": tally.erased,
        }


def _as_text(look: Look) -> str:
    return " ".join(map(str, (*look.place, look.size, look.modified_ns, look.changed_ns)))


def _received(cursor: dbapi.Cursor, version: int) -> bool:
    """Wait until no other session lands. Returns whether the registry is still of this version. Raises NoneLands if no
    file may land now.
    """
    try:
        (is_same,) = cursor.execute("select raw.receive($1::integer)", (version,)).fetchone()
    except AdbcError as error:
        if error.sqlstate == TIMEOUT:
            raise NoneLands(
                "no file can land: another session has kept the server from it for too long; if no other command is at "
                "work, `callmart access rotate --duty loader` ends a session that somebody left open"
            ) from None
        if error.sqlstate == REFUSED:
            raise NoneLands(f"no file can land: {primary(error)}, and land again") from None
        raise
    return bool(is_same)


def primary(error: AdbcError) -> str:
    """The server's message. It is one of our own functions that refused, so the text is ours."""
    # The keys are bytes, although they are declared as strings.
    return next(text.decode() for key, text in error.details if "MESSAGE_PRIMARY" in str(key))


def _ingest(cursor: dbapi.Cursor, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
    cursor.adbc_ingest(table, rows, mode="append", db_schema_name="raw")


def _until(ended: Event, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, as long as somebody waits for them to be stored."""
    for batch in batches:
        if ended.is_set():
            raise InterruptedError
        yield batch


def _stream_events(cursor: dbapi.Cursor, batches: Iterator[pa.RecordBatch]) -> None:
    """Stream the events. An error of ours must not surface as an error of the driver."""
    mistakes: list[Exception] = []

    def noting_mistakes() -> Iterator[pa.RecordBatch]:
        try:
            for batch in batches:
                for begin in range(0, batch.num_rows, STREAMED):
                    yield batch.slice(begin, STREAMED)
        except Exception as mistake:
            mistakes.append(mistake)
            raise

    try:
        _ingest(cursor, "incoming", pa.RecordBatchReader.from_batches(EVENT_SCHEMA, noting_mistakes()))
    except Exception:
        if mistakes:
            raise mistakes[0] from None
        raise
