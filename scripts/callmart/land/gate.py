"""The gate: the registry's contents that decide which rows are let in, and the defaults of one file."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

import pyarrow as pa

from callmart.base.errors import UserError
from callmart.base.keys import layers_of, prefix_of
from callmart.base.settings import time_zones

# What an HMAC makes of each byte of its key.
_INNER, _OUTER = (bytes(byte ^ pad for byte in range(256)) for pad in (0x36, 0x5C))

# Until when somebody was erased, by customer, kind and tombstone.
Tombstones = Mapping[tuple[int, str, str], datetime]


class Correction(NamedTuple):
    """Within some time, events that seem to be of one agent are another's."""

    customer_id: int
    mistaken: str  # the tombstone of the one
    agent_key: str  # of the other; a tombstone, if that one was erased since
    since: datetime
    until: datetime


@dataclass(frozen=True)
class Gate:
    """The registry's contents at one moment."""

    # customer_id int32, option ('standard', 'detailed'), opens, closes (when it begins and is over; null: no end)
    contracts: pa.Table
    customers: pa.Table  # customer_id int32, time_zone, anonymous_agents
    statuses: pa.Table  # customer_id int32, word, status
    keys: pa.Table  # customer_id int32, key (32 bytes per layer); only customers with a contract
    latest: datetime  # a day ahead of the database's clock; later events are rejected
    # What is wrong with the keys that can't be read, by customer. No contract of theirs is here, and their rows wait.
    keyless: Mapping[int, str] = field(default_factory=dict)
    # Customers of whom somebody was erased, and until when.
    erased_until: Mapping[int, datetime] = field(default_factory=dict)
    tombstones: Callable[[], Tombstones] = dict  # reads theirs
    corrections: Sequence[Correction] = ()


@dataclass(frozen=True)
class Defaults:
    """What applies to all rows of a file, unless a row says otherwise."""

    customer_id: int | None
    platform: str
    platform_given: bool  # the user named the platform: a row with another one is rejected
    time_zone: str | None  # for the local times of a log; None: the customer's

    def __post_init__(self) -> None:
        if self.time_zone is not None and self.time_zone not in time_zones():
            raise UserError(
                f"time zone {self.time_zone!r} is not known; use an IANA name such as Europe/Amsterdam"
            )


def contract_periods(gate: Gate) -> pa.Table:
    """Return one row per contract, with its first and last instant.

    Raises UserError if a customer has no key.
    """
    customers = {row["customer_id"]: row for row in gate.customers.to_pylist()}
    with_key = set(gate.keys["customer_id"].to_pylist())
    periods = []
    for contract in gate.contracts.to_pylist():
        customer_id = contract["customer_id"]
        if customer_id not in with_key:
            raise UserError(f"customer {customer_id} has no key; run `callmart registry apply`")
        detailed = contract["option"] == "detailed"
        periods.append(
            {
                "customer_id": customer_id,
                "opens": contract["opens"],
                "closes": contract["closes"],
                "nameable": detailed and not customers[customer_id]["anonymous_agents"],
            }
        )
    return pa.Table.from_pylist(
        periods,
        pa.schema(
            [
                ("customer_id", pa.int32()),
                ("opens", pa.timestamp("us", "UTC")),
                ("closes", pa.timestamp("us", "UTC")),
                ("nameable", pa.bool_()),
            ]
        ),
    )


def secrets(gate: Gate) -> pa.Table:
    """Return the first layers of the customers' keys, prepared for an HMAC and for the keys of calls and events."""
    rows = [
        {
            "customer_id": customer,
            **_for_hmac(layers[0]),
            "call_prefix": prefix_of(layers[0], "call"),
            "event_prefix": prefix_of(layers[0], "event"),
        }
        for customer, layers in _layers(gate)
    ]
    return _of_customers(rows, "inner_key", "outer_key", "call_prefix", "event_prefix")


def added_layers(gate: Gate) -> list[pa.Table]:
    """Return the layers that rotations have added, in their order, prepared likewise. Each has the customers that have
    so many.
    """
    deepest = max((len(layers) for _, layers in _layers(gate)), default=1)
    return [
        _of_customers(
            [
                {
                    "customer_id": customer,
                    **_for_hmac(layers[number]),
                    "prefix": prefix_of(layers[number], "number"),
                }
                for customer, layers in _layers(gate)
                if number < len(layers)
            ],
            "inner_key",
            "outer_key",
            "prefix",
        )
        for number in range(1, deepest)
    ]


def _layers(gate: Gate) -> list[tuple[int, list[bytes]]]:
    return [(row["customer_id"], layers_of(row["key"])) for row in gate.keys.to_pylist()]


def _for_hmac(layer: bytes) -> dict[str, bytes]:
    padded = layer.ljust(64, b"\0")  # SHA-256 works on blocks of 64 bytes
    return {
        "inner_key": padded.translate(_INNER),
        "outer_key": padded.translate(_OUTER),
    }


def _of_customers(rows: list[dict[str, Any]], *names: str) -> pa.Table:
    return pa.Table.from_pylist(
        rows, pa.schema([("customer_id", pa.int32()), *((name, pa.binary()) for name in names)])
    )
