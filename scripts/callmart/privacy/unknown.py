"""Agents who objected to being shown under a key that is gone: it was lost, or destroyed when their customer left.

Nobody can know them again. So until a person has entered them again, none of the customer's agents is shown: its
contract counts as standard (privacy.unknown_objector).
"""

from typing import NamedTuple

import psycopg

from callmart.base import sql_file
from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database import audit_log, clock, ledger
from callmart.opening import opening

SQL = sql_file.statements(__file__)


class Unknown(NamedTuple):
    """How many agents of a customer nobody can know again."""

    customer_id: int
    agents: int

    def __str__(self) -> str:
        return (
            f"{several(self.agents, 'agent')} objected to being shown under a key that is gone, so no agent is shown: "
            "ask the contact who that is, enter and carry out the objection, then "
            f"`callmart keys entered-again --customer {self.customer_id}`"
        )


def look(connection: psycopg.Connection) -> list[Unknown]:
    """The customers that have such agents."""
    return [Unknown(*row) for row in connection.execute(SQL["customers"]).fetchall()]


def of(connection: psycopg.Connection, customer_id: int) -> Unknown | None:
    """Those of one customer."""
    return next((one for one in look(connection) if one.customer_id == customer_id), None)


def entered_again(connection: psycopg.Connection, settings: Settings, customer_id: int) -> int:
    """End the objections that nobody can know again, because a person has entered them again: the ledger has it that
    they were taken back. Commits. Returns their number.

    Raises UserError if there is none.
    """
    unknown = of(connection, customer_id)
    if unknown is None:
        raise UserError(
            f"nothing was changed: no agent of customer {customer_id} objected under a key that is gone; `callmart "
            "status` lists the customers"
        )
    marks = [mark for (mark,) in connection.execute(SQL["tombstones"], {"customer": customer_id}).fetchall()]
    until = clock.now(connection)
    ledger.append(connection, settings, customer_id, "agent", until, {"objector": marks}, None, "lifting")
    # So that files bring the ids of agents.
    connection.execute("select registry.read_again(%s)", [customer_id])
    opening.forget_build(connection)
    audit_log.note(connection, "objections entered again", {"agents": unknown.agents}, customer_id)
    connection.commit()
    return unknown.agents
