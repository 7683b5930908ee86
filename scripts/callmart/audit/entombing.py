"""Gives a made-up or a shown person a tombstone, as a control of the audit: then it has to be found."""

from typing import Literal

import psycopg

from callmart.base import sql_file

SQL = sql_file.statements(__file__)


def entomb(
    connection: psycopg.Connection,
    customer_id: int,
    key: str,
    kind: Literal["agent", "objector"],
    right: Literal["erasure", "objection"],
) -> int:
    """Let the ledger say that an agent is erased, or objects, in the caller's transaction. Returns the entry."""
    parameters = {"customer": customer_id, "key": key, "kind": kind, "asked_right": right}
    ((entry,),) = connection.execute(SQL["entomb"], parameters).fetchall()
    return int(entry)
