"""One difference of the server from what is declared."""

from contextlib import nullcontext
from dataclasses import dataclass

import psycopg
from psycopg import sql

from callmart.database import cluster
from callmart.database.cluster import Node


@dataclass(frozen=True)
class Drift:
    """One difference, and the statements that correct it. There are none if only a person can correct it.

    Four kinds do not stop the opening of days. `own`: a login changed something of itself, as any login may, which
    gives no access; otherwise one login could stop everything. `shut`: a login may not log in, which takes something
    from itself alone. `undeclared`: a mart was taken out of the project, and nobody reads more than before. `server`: a
    login could shut everybody out, without seeing data; only the server's administrator can correct that.
    """

    text: str
    repair: tuple[sql.SQL | sql.Composed, ...] = ()
    own: bool = False
    shut: bool = False
    undeclared: bool = False
    role: str = ""  # the login, if `own`
    server: bool = False
    node: Node | None = None  # of a cluster, on which it is
    away: bool = False  # that node can't be asked, so nobody knows what else there is

    @property
    def stops(self) -> bool:
        """Whether it stops the opening of days; what is of the `server` only while nobody accepts that."""
        return not (self.own or self.shut or self.undeclared)

    def correct(self, connection: psycopg.Connection) -> None:
        """Run its statements, in the caller's transaction or on its node."""
        with cluster.connect(connection, self.node) if self.node else nullcontext(connection) as where:
            for statement in self.repair:
                where.execute(statement)
