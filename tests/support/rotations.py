"""A key is rotated, or the rotation is killed; and what stands, with every key in it replaced as a rotation does."""

import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from callmart.base.keys import LAYER, key_file, keyed_number, layered, prefix_of
from callmart.base.progress import quietly
from callmart.database import server
from callmart.privacy import rotating
from callmart_home import Callmart
from home_settings import settings_of

SMALL = 30  # rows of a batch, so that there are many

# What a rotation writes itself, and what is about the roles of a server.
OWN = (
    "access.applied", "access.definition", "access.granted", "ops.audit_log", "ops.build", "ops.built_state",
    "ops.clock", 'ops."extract"', "ops.rotation", "ops.running_now", "ops.to_vacuum", "ops.quality_result",
    "privacy.renewed_tombstone", "registry.former_fingerprint", "registry.version",
)  # fmt: skip
KEY = re.compile(r"[0-9a-f]{32}")
LABEL = re.compile(r"(agent|number)-([0-9a-f]{10})")
NAMES = ("queue", "line", "target")  # in which a key can stand for a number


def rotate(callmart: Callmart, customer: int) -> int:
    """Rotate a key; returns the number of rows."""
    with callmart.connect() as connection:
        return rotating.rotate(connection, callmart.settings, customer, quietly)


def layer_of(callmart: Callmart, customer: int) -> bytes:
    """The last layer of a key."""
    return key_file(callmart.home, customer).read_bytes()[-LAYER:]


def die_after(home: Path, customer: int, schema: str, times: int) -> None:
    """In a process of its own: rotate in small batches, and end without a word when so many of a schema are keyed anew,
    or with no schema when the layer is written.
    """
    changed: Any = rotating
    done = Counter[str]()

    def killing(step: Callable[..., Any], name: Callable[..., str]) -> Callable[..., Any]:
        def killed(*given: Any) -> Any:
            result = step(*given)
            done[name(*given)] += 1
            if done[schema] == times:
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return killed

    changed.BATCH = SMALL
    changed.add_layer = killing(changed.add_layer, lambda *given: "")
    changed._key_anew = killing(changed._key_anew, lambda *given: given[1].schema)
    settings = settings_of(home)
    with server.connect(settings) as connection:
        rotating.rotate(connection, settings, customer, quietly)


def kill_after(callmart: Callmart, customer: int, schema: str, times: int = 1) -> None:
    """Let a process begin, and wait until it has been killed."""
    callmart.kill(die_after, customer, schema, times)


def standing(callmart: Callmart) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, but for what a rotation writes itself."""
    found = {}
    for table in callmart.tables():
        if table not in OWN:
            rows = [row["t"] for row in callmart.rows(f"select to_jsonb(t) as t from {table} as t")]
            if table in ("registry.customer", "privacy.request"):
                rows = [row | {"key_fingerprint": None} for row in rows]
            found[table] = sorted(rows, key=repr)
    return found


def keyed_anew(
    stood: dict[str, list[dict[str, Any]]], customer: int, layer: bytes
) -> tuple[dict[str, list[dict[str, Any]]], Counter[str]]:
    """What stood, with another layer on the keys of a customer; and how many keys that were, by table and column. It
    goes by the names of columns and the form of values, and not by what is declared.
    """
    keys = {key for rows in stood.values() for row in rows for key in KEY.findall(repr(row))}
    labels = {key[:10]: layered(layer, key)[:10] for key in keys}
    prefix, counts = prefix_of(layer, "number"), Counter[str]()

    def anew(table: str, column: str, value: Any) -> Any:
        if column in ("event_key", "call_key") and value is not None:
            new: Any = keyed_number(prefix, value)
        elif isinstance(value, str) and (found := LABEL.fullmatch(value)) and column != "name":
            new = f"{found[1]}-{labels.get(found[2], 'unknown')}"
        elif isinstance(value, str) and KEY.fullmatch(value) and _is_keyed(column):
            new = layered(layer, value)
        else:
            return value
        counts[f"{table}.{column}"] += 1
        return new

    after = {
        table: sorted(
            (
                {column: anew(table, column, value) for column, value in row.items()}
                if row.get("customer_id") == customer
                else row
                for row in rows
            ),
            key=repr,
        )
        for table, rows in stood.items()
    }
    return after, counts


def _is_keyed(column: str) -> bool:
    return column.endswith("_key") or column in (*NAMES, "subject")
