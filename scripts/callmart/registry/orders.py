"""What a customer has ordered, as `registry apply` notes it in the audit log: all that opens something, and no name.
The audit compares the registry with that.
"""

from typing import Any

import psycopg

from callmart.base import sql_file
from callmart.registry.states import State

SQL = sql_file.statements(__file__)

OPENING = ("anonymous_agents", "connection", "sql_login", "export", "contact_list_days")


def of(state: State) -> dict[str, Any]:
    """What a customer has ordered."""
    contracts = [
        {"option": option, "from": str(valid_from), "until": valid_until and str(valid_until)}
        for option, valid_from, valid_until in state.tables["contract"]
    ]
    return {
        "contracts": sorted(contracts, key=lambda contract: contract["from"]),
        **{column: state.value(column) for column in OPENING},
    }


def noted(connection: psycopg.Connection) -> dict[int, dict[str, Any]]:
    """What the audit log says each customer has ordered; empty if an earlier version noted it."""
    return dict(connection.execute(SQL["noted"]).fetchall())
