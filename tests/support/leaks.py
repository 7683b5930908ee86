"""What differs from the protection as it should be: rows, privileges, policies, memberships."""

import re
from collections.abc import Iterator

import psycopg

from callmart.access import drift, rights
from callmart.audit.scene import Scene, attackers, scene_of
from callmart.declarations import dbt_project, metrics
from callmart.declarations.mart import Mart
from callmart_home import Callmart
from catalogue import unprotected

OURS = ("registry", "raw", "build", "store", "mart", "usage", "access", "ops", "privacy")
# A login that can become anybody, or the publisher anybody but a customer.
BECOMES = """
select member.rolname, role.rolname
from pg_roles as member cross join pg_roles as role
where
    member.rolname ~ '^callmart_(?!owner)'
    and member.oid <> role.oid
    and not (member.rolname = 'callmart_publisher' and role.rolname ~ '^callmart_customer_')
    and pg_has_role(member.oid, role.oid, 'set')
"""


def relations(connection: psycopg.Connection, *schemas: str, kinds: str = "rpvmSf") -> list[str]:
    """All tables, partitions, views and sequences of some schemas; or those of some kinds of pg_class."""
    return [
        name
        for (name,) in connection.execute(
            """
            select format('%%I.%%I', nspname, relname)
            from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
            where nspname = any(%s) and relkind = any(%s)
            order by 1
            """,
            [list(schemas), list(kinds)],
        )
    ]


def leaks(connection: psycopg.Connection, scene: Scene) -> Iterator[str]:
    """What differs from the protection as it should be: rows, privileges, policies. Asked as the superuser, who
    becomes each login in turn; a customer's own rows come by an explicit filter.
    """
    yield from unprotected(connection)
    yield from (f"{member} becomes {role}" for member, role in connection.execute(BECOMES))
    every = relations(connection, *OURS)
    # Their right alone shows nothing: they read with the rights of whoever asks.
    views_built = relations(connection, "build", kinds="v")
    marts = {relation: mart for mart in scene.marts for relation in rights.shown_in(mart)}
    queries: dict[str, str] = dict(
        connection.execute("select object, query from access.definition").fetchall()
    )
    for attacker in attackers(scene):
        own: dict[str, set[object]] = {}
        for name in every if attacker.customer else ():
            if name in marts and marts[name].group in attacker.opens:
                floor = "and {} >= (now() at time zone 'Europe/Amsterdam' - interval '2 years')::date"
                kept = floor.format(marts[name].day) if marts[name].day else ""
                own[name] = _rows(connection, own_rows(marts[name], name, attacker.own, kept))
                assert own[name] or name not in ("mart.queue_interval", "mart.agent_day", "mart.agent")
            elif scene.shared.get(name) in attacker.opens:
                own[name] = _rows(connection, own_of_shared(queries[name], attacker.own))
        what = "row(t.*)::text" if attacker.customer else "1"
        readable = attacker.reads | attacker.reads_partly
        connection.execute(f"set local role {attacker.role}")
        for name in every:
            found = _rows_or_none(connection, f"select {what} from {name} as t")
            if not attacker.customer and found is None and name in views_built:
                continue
            is_seen = found is not None
            if found != own.get(name) if attacker.customer else is_seen != (name in readable):
                yield f"{attacker.name}: {name}"
        connection.execute("reset role")


def _rows(connection: psycopg.Connection, query: str) -> set[object]:
    return set(connection.execute(query).fetchall())


def _rows_or_none(connection: psycopg.Connection, query: str) -> set[object] | None:
    """What a query shows; none where it is refused."""
    try:
        with connection.transaction():
            return _rows(connection, query)
    except psycopg.errors.InsufficientPrivilege:
        return None


def own_rows(mart: Mart, relation: str, customer: int, kept: str) -> str:
    """What a customer should see in a mart's view, or in the view of its ratios, as a query of its table."""
    own = f"(select * from store.{mart.name} where customer_id = {customer} {kept})"
    if relation == f"mart.{mart.name}":
        return f"select row(t.*)::text from {own} as t"
    ratios = metrics.as_view(mart, [one for one in metrics.metrics().values() if one.mart == mart.name])
    ratios = ratios.replace("access.current_customer()", str(customer)).replace(
        f"store.{mart.name}", f"{own} as s"
    )
    return f"select row(t.*)::text from ({ratios}) as t"


def own_of_shared(query: str, customer: int) -> str:
    """What a customer should see in a view of the registry or the books, from the view's own query."""
    query = re.sub(
        r"from ((?:registry|ops)\.\w+)(?: as (\w+))?",
        lambda read: f"from (select * from {read[1]} where customer_id = {customer}) as {read[2] or 'own'}",
        query,
    )
    return f"select row(t.*)::text from ({query.replace('access.current_customer()', str(customer))}) as t"


def differences(connection: psycopg.Connection, marts: list[Mart]) -> list[str]:
    """What `callmart access diff` and the audit find, asked within the superuser's transaction."""
    return list(each_difference(connection, marts))


def each_difference(connection: psycopg.Connection, marts: list[Mart]) -> Iterator[str]:
    """As `differences`, one at a time."""
    connection.execute("set local role callmart_owner")
    for found in drift.each(connection, marts):
        yield found.text
    connection.execute("reset role")


def leaks_of(callmart: Callmart) -> list[str]:
    """All that leaks from a callmart as it is now, by rows and by the catalogue."""
    with callmart.connect() as owner:
        scene = scene_of(owner, callmart.settings)
    with callmart.superuser(keep=False) as connection:
        return [*leaks(connection, scene), *differences(connection, dbt_project.marts(callmart.settings))]
