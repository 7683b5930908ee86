"""The Citus cluster, if the database is the coordinator of one: its nodes, and where the events of each customer are.

Events and calls are on the nodes, by customer. Everything else is on the coordinator, as on one machine, and no node
has a function or view of ours, or a login but the owner's (docs/scale.md). So what the owner does is not repeated on
the nodes, but for what changes the tables of events and calls.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

import psycopg
from psycopg import sql
from psycopg.conninfo import make_conninfo

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.database import catalogue, server

SQL = sql_file.statements(__file__)

DISTRIBUTED = ("raw.event", "raw.call")  # the first one says where the others' rows are
# Of the owner's statements, on the coordinator alone, or on the nodes too. On one machine they mean nothing.
TO_ITSELF = "set citus.enable_ddl_propagation to off"
TO_NODES = "set citus.enable_ddl_propagation to on"
PATIENCE_S = 15  # how long a node may take to finish what a lost connection left behind


@dataclass(frozen=True, order=True)
class Node:
    """A PostgreSQL that holds shards. The coordinator knows it by this name."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


@dataclass(frozen=True)
class Place:
    """Where some customers' rows are: a node, and per distributed table its shard there. Without a node, where all
    other tables are.
    """

    node: Node | None
    shards: tuple[tuple[str, str], ...]
    customers: tuple[int, ...]


def is_coordinator(connection: psycopg.Connection) -> bool:
    """Whether the database is the coordinator of a cluster with nodes that hold shards."""
    return bool(nodes(connection))


def nodes(connection: psycopg.Connection) -> list[Node]:
    """The nodes that hold shards; none on one machine."""
    if not catalogue.exists(connection, "pg_catalog.pg_dist_node"):
        return []
    return [Node(*row) for row in connection.execute(SQL["nodes"])]


def keep_to_itself(connection: psycopg.Connection) -> None:
    """Let the owner's statements be carried out on the coordinator alone, from now on and in its later sessions."""
    if is_coordinator(connection):
        login = sql.Identifier(connection.info.user), sql.Identifier(connection.info.dbname)
        connection.execute(sql.SQL(f"alter role {{}} in database {{}} {TO_ITSELF}").format(*login))
        connection.execute(TO_ITSELF)


def distribute(connection: psycopg.Connection) -> None:
    """Move the tables of events and calls to the nodes, with the rows that they have, where they are not there yet."""
    require_nodes(connection)
    for table in _undistributed(connection) if is_coordinator(connection) else ():
        together = "default" if table == DISTRIBUTED[0] else DISTRIBUTED[0]
        connection.execute(SQL["distribute"], {"table": table, "together": together})
        connection.execute("select truncate_local_data_after_distributing_table(%s)", [table])
        connection.execute(TO_ITSELF)  # distributing ends it


def require_nodes(connection: psycopg.Connection) -> None:
    """Raise UserError if a node can't be reached, or can't be used now."""
    for node in nodes(connection):
        connect(connection, node).close()


def places(connection: psycopg.Connection, customers: Sequence[int]) -> list[Place]:
    """Where the rows of these customers are; one place per group of shards. Raises UserError if no node has them."""
    if missing := _undistributed(connection):
        raise UserError(
            f"the database is a cluster's coordinator, and {missing[0]} is not on its nodes: run `callmart upgrade`"
        )
    rows = connection.execute(SQL["places"], {"tables": list(DISTRIBUTED), "customers": list(customers)})
    return [
        Place(Node(host, port), tuple(zip(DISTRIBUTED, shards, strict=True)), tuple(own))
        for host, port, shards, own in rows
    ]


def _undistributed(connection: psycopg.Connection) -> list[str]:
    """The tables that are to be on the nodes and are not. Raises UserError if one is there by another column."""
    missing = []
    for table in DISTRIBUTED:
        found = connection.execute(SQL["distributed_by"], {"table": table}).fetchone()
        if found is None:
            missing.append(table)
        elif found != ("customer_id",):
            raise UserError(
                f"the table {table} is distributed by {found[0]}, not by customer_id: run "
                f"select undistribute_table('{table}'), then `callmart upgrade`"
            )
    return missing


def has_copies(connection: psycopg.Connection) -> bool:
    """Whether there are copies of shards that no statement reaches: Citus makes one to move a shard, and removes the
    former one within a minute.
    """
    return is_coordinator(connection) and connection.execute(SQL["copies"]).fetchone() is not None


def connect(connection: psycopg.Connection, node: Node) -> psycopg.Connection:
    """Connect to a node as the same login, with the same password. Raises UserError if it can't be reached, or if what
    has landed is not there yet: a node that failed while files landed finishes that when it is back.
    """
    try:
        own = psycopg.connect(
            make_conninfo(connection.info.dsn, host=node.host, hostaddr="", port=node.port),
            password=connection.info.password or None,
            autocommit=True,
            application_name="callmart",
        )
    except psycopg.OperationalError as error:
        raise UserError(
            f"the node {node} of the cluster, where callmart logs in as on the coordinator: {server.cause(error)}"
        ) from None
    server.let_last(own)
    own.execute("set client_min_messages to warning")
    own.execute("set citus.override_table_visibility to off")  # or the node would hide its shards
    own.execute(TO_ITSELF)
    own.autocommit = False
    if mistake := _mistake(connection, own):
        own.close()
        raise UserError(f"the node {node} of the cluster {mistake}")
    return own


def _mistake(coordinator: psycopg.Connection, node: psycopg.Connection) -> str | None:
    """Why a node is not to be used now, with the remedy."""
    needed, (present, loaded) = (one.execute(SQL["version"]).fetchall()[0] for one in (coordinator, node))
    if loaded is None:
        return (
            "does not load Citus: write shared_preload_libraries = 'citus' there, and start its server again"
        )
    if present != needed[0]:
        return "has another version of Citus than the coordinator, or none: run alter extension citus update on both"
    if not _has_finished(node):
        return (
            "has not finished what it was told before its connection broke: Citus finishes it within a minute, so run "
            "the same command again then"
        )
    return None


def _has_finished(node: psycopg.Connection) -> bool:
    """Whether a node has committed all that the coordinator has, at once or after a little while."""
    for _ in range(PATIENCE_S):
        found = node.execute(SQL["unfinished"]).fetchone()
        node.rollback()
        if found is None:
            return True
        time.sleep(1)
    return False
