"""Where a node of a cluster lets in or shows more than it should: nobody but the owner has anything to do there.

Customers and duties log in on the coordinator alone. But Citus makes roles on the nodes, too: of the duties that may
use the schema of the events, and of everybody when a node is added. A shard that it has moved is a new table. So each
node is asked itself.
"""

from collections.abc import Iterator

import psycopg
from psycopg import sql

from callmart.access import roles
from callmart.access.difference import Drift
from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.database import cluster
from callmart.database.cluster import Node

SQL = sql_file.statements(__file__)


def find(connection: psycopg.Connection) -> Iterator[Drift]:
    """Find what is open on any node, and which nodes can't be asked."""
    if not (nodes := cluster.nodes(connection)):
        return
    declared = connection.execute(SQL["declared"], {"tables": list(cluster.DISTRIBUTED)}).fetchall()
    for node in nodes:
        try:
            there = cluster.connect(connection, node)
        except UserError as away:
            yield Drift(str(away), node=node, away=True)
            continue
        with there:
            for text, repair in _on_node(connection, there, node, declared):
                yield Drift(f"on the node {node}, {text}", (sql.SQL(repair),) if repair else (), node=node)


def _on_node(
    connection: psycopg.Connection,
    there: psycopg.Connection,
    node: Node,
    declared: list[tuple[str, list[str]]],
) -> Iterator[tuple[str, str | None]]:
    """What is open on a node, each with the statement that corrects it, or None."""
    yield from there.execute(SQL["open"]).fetchall()
    for (login,) in there.execute(SQL["logins"]).fetchall():
        if roles.belongs(login, connection.info.dbname):
            yield (
                f"{login} may connect; have a superuser run there: "
                f"revoke connect on database {connection.info.dbname} from public",
                None,
            )
    tables = [name for (name,) in there.execute(SQL["tables"])]
    of_node = {"tables": tables, "host": node.host, "port": node.port}
    for (name,) in connection.execute(SQL["strangers"], of_node).fetchall():
        yield f"the table {name} is no part of the cluster, so nothing expires there; drop it there", None
    for table, columns in declared:
        for (shard,) in there.execute(SQL["other_shards"], {"table": table, "columns": columns}):
            yield f"the shard {shard} is not as {table} is declared", None
