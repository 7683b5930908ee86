"""Lands a file: stores its events in `raw` exactly once, the whole file or nothing.

`prepare` reads the file, drops what the gate doesn't let in, and replaces persons by keys. This module streams the
result to the server as binary COPY. A function of the owner merges it and marks the affected days as dirty, in the
same transaction.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from hashlib import file_digest
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError
from adbc_driver_postgresql import dbapi

from callmart.access import logins
from callmart.base.ahead import ahead
from callmart.base.errors import UserError
from callmart.base.keys import INSTALLATION, ensure_key, keyed, known_key
from callmart.base.raw_format import EVENT_SCHEMA
from callmart.base.settings import Settings
from callmart.land.gate import Correction, Defaults, Gate, Tombstones
from callmart.land.prepare import Prepared, prepare
from callmart.land.source import Limits, Look, unreadable


@dataclass(frozen=True)
class Landed:
    """The result for one file. `rows`, `rejected` and `turned_away` count rows of the file, the others events."""

    file: str
    rows: int = 0
    landed: int = 0
    repeated: int = 0
    rejected: int = 0
    turned_away: int = 0
    erased: int = 0  # of persons or calls that were erased: left out, known already, or landed without them
    unchanged: bool = False  # landed before, with the same version of the registry
    incomplete_last_line: bool = False
    first_rejects: tuple[tuple[int, str], ...] = ()
    unknown_verbs: tuple[tuple[str, int], ...] = ()


def land(
    connection: psycopg.Connection,
    settings: Settings,
    path: Path,
    format: str,
    defaults: Defaults,
    *,
    settled: Look | None = None,
) -> Landed:
    """Land one file. `connection` is the loader's. `settled` is the file as it was found complete. Without it, lines
    may be added while it is read, as to a log that is in use.

    Raises UserError if the file as a whole can't land; then nothing of it has landed.
    """
    if defaults.customer_id is not None:
        _require_customer(connection, defaults.customer_id)
    if not path.is_file():
        raise UserError(
            f"{path} is not a file; name an existing file of raw events, or remove it from the landing folder"
        )
    try:
        with path.open("rb") as file:
            look = Look.of(os.fstat(file.fileno()))
            content = file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise unreadable(path, error) from None
    key = installation_key(connection, settings)
    content_key = keyed(key, "content", content)
    version, gate = current_gate(connection, settings)
    asked = asked_with(format, defaults)
    if connection.execute("select raw.has_landed(%s, %s, %s)", [content_key, version, asked]).fetchone() == (
        True,
    ):
        return Landed(path.name, unchanged=True)
    connection.commit()

    try:
        prepared = prepare(path, format, defaults, gate, limits(settings))
        with dbapi.connect(logins.duty_uri(settings, "loader")) as adbc, adbc.cursor() as cursor:
            identity = keyed(key, "file", path.name), content_key, version, asked
            landed, repeated, erased = _store(cursor, settings, path, prepared, identity)
            _refuse_changed(path, look, settled)
            adbc.commit()
    except AdbcError as error:
        if error.sqlstate == "23514":  # raw.refuse_unprepared
            raise UserError(
                f"{path} did not land: the server refused it ({_primary(error)}); land it again"
            ) from None
        raise UserError(
            f"{path} did not land: the server failed (SQLSTATE {error.sqlstate or 'unknown'}); land it again"
        ) from None
    except (OSError, pa.ArrowException, duckdb.Error) as error:
        raise unreadable(path, error) from None
    return Landed(
        path.name,
        rows=prepared.rows,
        landed=landed,
        repeated=repeated,
        rejected=prepared.rejected,
        turned_away=prepared.turned_away,
        erased=erased,
        incomplete_last_line=prepared.incomplete_last_line,
        first_rejects=tuple(
            (row["line_number"], row["reason"]) for row in prepared.rejects.slice(0, 5).to_pylist()
        ),
        unknown_verbs=tuple(sorted(prepared.unknown_verbs.items())),
    )


def limits(settings: Settings) -> Limits:
    """Return what a file may hold. The limit of rejects is the allowed share of the allowed number of rows."""
    return Limits(
        rows=settings.max_file_rows,
        gib=settings.max_file_gib,
        rejects=int(settings.max_reject_share * settings.max_file_rows),
    )


def _require_customer(connection: psycopg.Connection, customer_id: int) -> None:
    if not connection.execute(
        "select 1 from registry.customer where customer_id = %s", [customer_id]
    ).fetchone():
        raise UserError(f"customer {customer_id} is not in the registry; add it and apply the registry first")


def current_gate(connection: psycopg.Connection, settings: Settings) -> tuple[int, Gate]:
    """Return the registry's version, and its contents as a Gate.

    Raises UserError if a customer's key is missing or is not the one that the registry expects.
    """
    ((version, latest),) = connection.execute(
        "select coalesce(max(version), 0), now() + interval '1 day' from registry.version"
    ).fetchall()

    def table(query: str, schema: dict[str, pa.DataType]) -> pa.Table:
        rows = connection.execute(query).fetchall()
        return pa.table(
            {name: pa.array([row[i] for row in rows], type) for i, (name, type) in enumerate(schema.items())}
        )

    fingerprints = connection.execute(
        "select customer_id, key_fingerprint from registry.customer"
        " where customer_id in (select customer_id from registry.kept_contract)"
    ).fetchall()
    return version, Gate(
        contracts=table(
            # Contracts begin at the floor at the earliest, so a late file can't bring an expired day back.
            "select customer_id, option, greatest(valid_from, access.retention_floor()), valid_until"
            " from registry.kept_contract where coalesce(valid_until, 'infinity') > access.retention_floor()",
            {
                "customer_id": pa.int32(),
                "option": pa.string(),
                "valid_from": pa.date32(),
                "valid_until": pa.date32(),
            },
        ),
        customers=table(
            "select customer_id, time_zone, anonymous_agents from registry.customer",
            {"customer_id": pa.int32(), "time_zone": pa.string(), "anonymous_agents": pa.bool_()},
        ),
        statuses=table(
            "select customer_id, word, status from registry.status_word",
            {"customer_id": pa.int32(), "word": pa.string(), "status": pa.string()},
        ),
        keys=pa.table(
            {
                "customer_id": pa.array([customer_id for customer_id, _ in fingerprints], pa.int32()),
                "key": pa.array(
                    [
                        ensure_key(settings.home, customer_id, fingerprint)
                        for customer_id, fingerprint in fingerprints
                    ],
                    pa.binary(),
                ),
            }
        ),
        latest=latest,
        erased_until=dict(
            connection.execute("select customer_id, until from privacy.erased_until").fetchall()
        ),
        tombstones=partial(_tombstones, connection),
        corrections=[
            Correction(*row)
            for row in connection.execute(
                "select customer_id, mistaken, coalesce(agent_key, erased), since, until from privacy.correction"
            )
        ],
    )


def _tombstones(connection: psycopg.Connection) -> Tombstones:
    rows = connection.execute(
        "select customer_id, kind, tombstone, max(until) from privacy.known_tombstone"
        " where kind in ('agent', 'device', 'caller', 'call', 'objector') group by 1, 2, 3"
    ).fetchall()
    connection.commit()
    return {(customer, kind, tombstone): until for customer, kind, tombstone, until in rows}


def installation_key(connection: psycopg.Connection, settings: Settings) -> bytes:
    """The key of the names and contents of files. Raises UserError if it is missing, or another than they have."""
    ((fingerprint,),) = connection.execute("select key_fingerprint from ops.installation").fetchall()
    return known_key(settings.home, INSTALLATION, fingerprint)


def asked_with(format: str, defaults: Defaults) -> str:
    """The options given with the file. With other options, e.g. another customer, the same content lands again."""
    return json.dumps([format, defaults.customer_id, defaults.platform, defaults.time_zone])


def _store(
    cursor: Any, settings: Settings, path: Path, prepared: Prepared, identity: tuple[str, str, int, str]
) -> tuple[int, int, int]:
    """Stream the file into the incoming tables, then store it; return the number of events that landed, that were
    repeated, and that are of somebody who was erased. The caller commits.
    """
    name_key, content_key, version, asked = identity
    if _one(cursor, "select raw.receive($1::integer)", version) != (True,):
        raise UserError(f"the registry changed while {path} was being read; land it again")
    _stream(cursor, prepared)
    _refuse_too_many_rejects(settings, path, prepared)
    _ingest(cursor, "incoming_reject", prepared.rejects)
    _ingest(cursor, "incoming_agent", prepared.agents)
    _ingest(cursor, "incoming_marked", prepared.told)
    landed, repeated, erased = _one(
        cursor,
        "select landed, repeated, of_erased"
        " from raw.keep($1, $2, $3::integer, $4, $5, $6, $7, $8, $9::text::jsonb, $10)",
        name_key, content_key, version, asked, prepared.rows, prepared.rejected, prepared.turned_away,
        prepared.incomplete_last_line, json.dumps(prepared.turned_away_by), prepared.erased,
    )  # fmt: skip
    return landed, repeated, erased


def _ingest(cursor: Any, table: str, rows: pa.Table | pa.RecordBatchReader) -> None:
    cursor.adbc_ingest(table, rows, mode="append", db_schema_name="raw")


def _stream(cursor: Any, prepared: Prepared) -> None:
    """Stream the events. An error of ours must not surface as an error of the driver."""
    mistakes: list[Exception] = []

    def batches() -> Iterator[pa.RecordBatch]:
        try:
            yield from ahead(prepared.batches())
        except Exception as mistake:
            mistakes.append(mistake)
            raise

    try:
        _ingest(cursor, "incoming", pa.RecordBatchReader.from_batches(EVENT_SCHEMA, batches()))
    except Exception:
        if mistakes:
            raise mistakes[0] from None
        raise


def _refuse_changed(path: Path, look: Look, settled: Look | None) -> None:
    """Raise UserError unless the file is what it was when the reading began: `look`."""
    same = Look.of(path.lstat()) == look == settled if settled else Look.of(path.stat()).grew_from(look)
    if not same:
        raise UserError(
            f"{path} changed meanwhile, and nothing of it landed; land it again when it is complete"
        )


def _refuse_too_many_rejects(settings: Settings, path: Path, prepared: Prepared) -> None:
    admitted = prepared.rows - prepared.turned_away
    if prepared.rejected > settings.max_reject_share * admitted:
        first = prepared.rejects.slice(0, 1).to_pylist()[0]
        raise UserError(
            f"{path}: {prepared.rejected} of {admitted} rows can't be landed "
            f"(first line {first['line_number']}: {first['reason']}), more than the share of "
            f"{settings.max_reject_share:.0%}: correct the file, or raise max_reject_share in callmart.toml"
        )


def _primary(error: AdbcError) -> str:
    """The server's message. It is one of our own functions that refused, so the text is ours."""
    # The keys are bytes, although they are declared as strings.
    return next(text.decode() for key, text in error.details if "MESSAGE_PRIMARY" in str(key))


def _one(cursor: Any, statement: str, *parameters: Any) -> tuple[Any, ...]:
    """The one row that a statement returns."""
    row: tuple[Any, ...] = cursor.execute(statement, parameters).fetchone()
    return row
