"""A callmart on a Citus cluster, by CALLMART_TEST_CITUS_DSN: the owner's URI of a database that tests may empty.

Citus is in no package registry, so these tests are skipped where nobody names a cluster. docs/scale.md says how its
database is made; administrator.sql must have been run in it. It needs two nodes at least.
"""

import shutil
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from callmart.access import roles
from callmart_home import Callmart
from centre import ANONYMOUS, WITH_DATA
from home_settings import CLUSTER, ON_CLUSTER, settings_of

needed = pytest.mark.skipif(not CLUSTER, reason="CALLMART_TEST_CITUS_DSN names no cluster")


def callmart(folder: Path) -> Callmart:
    """A callmart on the cluster, on which nothing has been applied yet. Its home is in the folder, and no other is."""
    empty(CLUSTER)
    home = folder / ON_CLUSTER
    shutil.rmtree(home, ignore_errors=True)
    return Callmart(settings_of(home))


def empty(dsn: str) -> None:
    """Remove what an earlier session has left in the database, and its roles."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("set citus.enable_ddl_propagation to on")
        own = "select nspname from pg_namespace where nspowner = current_user::regrole"
        for (schema,) in owner.execute(own).fetchall():
            owner.execute(sql.SQL("drop schema if exists {} cascade").format(sql.Identifier(schema)))
        owner.execute("set citus.enable_ddl_propagation to off")
        for role in roles.existing(owner, owner.info.dbname):
            owner.execute(roles.statement("grant {} to current_user with inherit true", role))
            # Else the loader's session would be kept for the next one, which has the same name.
            owner.execute("select pg_terminate_backend(pid) from pg_stat_activity where usename = %s", [role])
            owner.execute(roles.statement("drop owned by {}", role))
            owner.execute(roles.statement("drop role {}", role))


def marts(callmart: Callmart) -> dict[int, dict[str, list[tuple[object, ...]]]]:
    """What every mart tells of every customer. The names of anonymous agents are made of their keys."""
    return {whose: callmart.told(whose, named=whose != ANONYMOUS) for whose in WITH_DATA}


def size_of_events(there: psycopg.Connection) -> int:
    """The bytes of all months of events on a node."""
    ((size,),) = there.execute(
        "select coalesce(sum(pg_relation_size(oid)), 0) from pg_class"
        " where relname ~ '^event_[0-9]{6}_[0-9]+$' and relkind = 'r'"
    ).fetchall()
    return int(size)
