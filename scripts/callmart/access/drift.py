"""Finds drift: where the database differs from access.yml, the marts' YAML and the contracts."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence

import psycopg
from psycopg import sql

from callmart.access import logins, nodes, rights, roles, surroundings
from callmart.access.difference import Drift
from callmart.base import sql_file
from callmart.base.matrix import Limits, matrix
from callmart.base.settings import Settings
from callmart.database import embedded_server
from callmart.declarations import mart_tables, pointing
from callmart.declarations.mart import Mart

SQL = sql_file.statements(__file__)

_SCRIPT = embedded_server.ADMINISTRATOR.read_text(encoding="utf-8")
# The body of the function that refuses definitions, as administrator.sql makes it.
REFUSING = _SCRIPT.partition("returns event_trigger")[2].split("$$")[1]


def _constant(name: str) -> str:
    """A constant of administrator.sql."""
    found = re.search(rf"{name} +constant text.* := '(.*)';", _SCRIPT)
    assert found is not None
    return found[1]


# Which functions it revokes from public, and those of Citus that it does not: Citus calls them in the name of whoever
# looks into the catalogue.
SHUTTING_OUT, COUNTING = _constant("shutting_out"), _constant("counting")
NEEDED_BY_ALL = _constant("needed_by_all").strip("{}").split(",")

# Parameters that keep a protection off unless they have one of these values, and what follows.
ON = ("on", "true", "yes", "1")
SWITCHES = {
    "session_replication_role": ("no trigger keeps what has to stay", ("origin", "local")),
    "event_triggers": ("any login can make readers wait", ON),
    "synchronous_commit": (
        "a crash can lose what was committed",
        (*ON, "local", "remote_write", "remote_apply"),
    ),
}


def find(connection: psycopg.Connection, marts: list[Mart] | None, *, objects: bool = True) -> list[Drift]:
    """Find every difference from access.yml, the marts' YAML and the memberships that `sync` last granted. Without
    `marts` the rights and policies of marts are not compared; without `objects` nothing that `of_objects` finds.
    """
    return list(each(connection, marts, objects=objects))


def each(
    connection: psycopg.Connection, marts: list[Mart] | None, *, objects: bool = True
) -> Iterator[Drift]:
    """As `find`, one at a time: nothing is looked at before somebody asks for the next."""
    if running := list(surroundings.run(connection)):
        yield from running
        return  # looking any further would run more of it
    if others := list(_of_others(connection)):
        yield from others
        return  # the owner can't look any further
    if moved := list(regrouped(connection, marts or ())):
        yield from moved
        return  # correcting the rest would open the mart to another group
    left = [] if marts is None else mart_tables.undeclared(connection, marts)
    yield from of_roles(connection)
    for role in sorted(roles.closing(connection)):
        yield Drift(f"role {role} is still to be closed", own=True, role=role)
    yield from _drifted_memberships(connection)
    if objects:
        yield from of_objects(connection, marts, left)
    yield from surroundings.held(connection)
    yield from surroundings.reaching(connection)
    yield from _drifted_parameters(connection)
    yield from _of_database(connection)
    yield from _drifted_switches(connection)
    yield from nodes.find(connection)
    yield from _of_citus(connection)
    for mart in left:
        yield Drift(mart_tables.remark(connection, mart, marts or ()), undeclared=True)
    yield from of_server(connection)


def of_objects(
    connection: psycopg.Connection, marts: list[Mart] | None, left: Iterable[Mart]
) -> Iterator[Drift]:
    """What differs in rights, policies, definitions, triggers and whom columns point to. Marts that were `left` out of
    the project stay guarded and shown as before, until somebody decides.
    """
    shown = None
    if marts is not None:
        shown = [*marts, *(mart for mart in left if mart.group in roles.groups())]
    yield from _drifted_rights(connection, shown)
    if shown is not None:
        yield from _drifted_guards(connection, shown)
    yield from _drifted_objects(connection, of_marts=marts is not None)
    yield from _drifted_persons(connection, marts)


def stopping(connection: psycopg.Connection, settings: Settings, found: list[Drift]) -> list[Drift]:
    """The drift that stops the opening of days. Drift of the server counts only if customers have logins and
    `accept_shutting_out` is not set.
    """
    accepted = settings.accept_shutting_out or not logins.of_customers(connection)
    return [one for one in found if one.stops and not (one.server and accepted)]


def shut_out(found: Iterable[Drift]) -> list[str]:
    """One sentence per login that may not log in."""
    return [f"{one.text}: if that is not meant, run `callmart access apply`" for one in found if one.shut]


def of_server(connection: psycopg.Connection) -> Iterator[Drift]:
    """What a login could use to shut everybody out, or to count what others read and write. administrator.sql and the
    server's configuration prevent it.
    """
    remedy = f"have a superuser run {embedded_server.ADMINISTRATOR} in this database"
    for which, danger, what in (
        (SHUTTING_OUT, "any login can shut everybody out", "functions for locks and large objects"),
        (
            COUNTING,
            "any login can count what others read and write",
            "functions for statistics, locks, sizes and the write-ahead log",
        ),
    ):
        ((functions, example),) = connection.execute(SQL["open_functions"], {"which": which}).fetchall()
        if functions:
            yield Drift(
                f"{danger}: {functions} {what} are open to everybody ({example} ...); {remedy}", server=True
            )
    guard = connection.execute(SQL["guard"], {"refusing": REFUSING}).fetchone()
    if guard is None:
        yield Drift(
            f"any login can make readers wait: no event trigger refuse_definitions; {remedy}", server=True
        )
    elif guard != (True,):
        yield Drift(
            "any login can make readers wait: the event trigger refuse_definitions, or its function, is not that of"
            f" callmart; {remedy}",
            server=True,
        )
    ((prepared,),) = connection.execute(
        "select current_setting('max_prepared_transactions')::integer"
    ).fetchall()
    if prepared:
        yield Drift(
            "a prepared transaction keeps its locks after its session has ended: set max_prepared_transactions to 0"
            f" (it is {prepared}) and restart the server",
            server=True,
        )


def _of_citus(connection: psycopg.Connection) -> Iterator[Drift]:
    """What is open to everybody of the extension that makes a cluster. Unlike what is of the server, it tells something
    about others.
    """
    ((things, example),) = connection.execute(SQL["of_citus"], {"needed_by_all": NEEDED_BY_ALL}).fetchall()
    if things:
        yield Drift(
            f"any login can ask the nodes of the cluster: {things} functions and relations of Citus are open to"
            f" everybody ({example} ...), until {embedded_server.ADMINISTRATOR} has been run in this database"
        )


def _of_others(connection: psycopg.Connection) -> Iterator[Drift]:
    for thing, owner in connection.execute(SQL["of_others"], {"schemas": list(rights.SCHEMAS)}):
        yield Drift(f"{thing} belongs to {owner}")


def regrouped(connection: psycopg.Connection, marts: Iterable[Mart]) -> Iterator[Drift]:
    """The marts that were made in another group than their YAML names now. Moving them would show two years of data to
    others, so a person has to decide.
    """
    noted: dict[str, str] = dict(
        connection.execute(
            "select relname, mart_group from access.mart join pg_catalog.pg_class on pg_class.oid = relation"
        ).fetchall()
    )
    for mart in marts:
        group = noted.get(mart.name, mart.group)
        if group != mart.group:
            yield Drift(
                f"mart {mart.name} was made in the group {group}, and is declared in the group {mart.group}: "
                f'declare it in {group} again, or read docs/runbook.md, "A mart changes its group"'
            )


def of_roles(connection: psycopg.Connection) -> Iterator[Drift]:
    """Where the attributes, limits and settings of roles differ from what is declared."""
    database = connection.info.dbname
    limits = logins.of_duties(database)
    limits |= dict.fromkeys(logins.of_customers(connection), matrix().limits_of(None))
    groups = {roles.group_role(database, group) for group in roles.groups()}
    groups |= set(roles.showing_roles(database))
    customers = {role for role, _ in roles.granted(connection) if roles.customer_of(database, role)}
    rows = connection.execute(SQL["roles"]).fetchall()
    found, closing = set(), roles.closing(connection)
    for role, can_login, powers, *limited in rows:
        if not roles.belongs(role, database) or role in closing:
            continue
        found.add(role)
        if powers:
            yield Drift(f"role {role} has powers of its own (superuser, createrole, bypassrls ...)")
        if role in limits:
            yield from _of_login(role, limits[role], *limited)
            if not can_login:
                yield Drift(f"login {role} may not log in", (logins.admitting(role),), shut=True)
        elif role not in customers | groups:
            yield Drift(f"role {role} was made by hand", logins.dropping(role))
        elif can_login:
            why = ", but its customer has not ordered a login" if role in customers else ""
            yield Drift(f"role {role} may log in{why}", (logins.barring(role),))
    for role in sorted((limits.keys() | groups | customers) - found - closing):
        yield Drift(f"role {role} is missing")


def _of_login(
    role: str, limits: Limits, connections: int, unlimited: bool, kept: list[str], databases: list[str]
) -> Iterator[Drift]:
    """Where a login's limits and settings differ. `kept` are its settings everywhere, `databases` have others."""
    declared = sorted(f"{name}={value}" for name, value in limits.settings().items())
    in_databases = [
        sql.SQL(f"alter role {{}} in database {other} reset all").format(sql.Identifier(role))
        for other in databases
    ]
    mended = (*in_databases, *logins.limiting(role, limits))
    if (connections, unlimited) != (limits.connections, True):
        yield Drift(f"login {role} has other limits", mended)
    if (kept, databases) != (declared, []):
        yield Drift(f"login {role} has other settings", mended, own=True, role=role)


def _drifted_memberships(connection: psycopg.Connection) -> Iterator[Drift]:
    database = connection.info.dbname
    granted = roles.granted(connection)
    present = roles.memberships(connection, database)
    for role, member in sorted(present.keys() | granted):
        becomes = roles.customer_of(database, role) is not None
        declared = {(becomes, not becomes)} if (role, member) in granted else set()
        ways = {(way.becomes, way.inherits) for way in present.get((role, member), [])}
        if ways == declared and not any(way.administers for way in present.get((role, member), [])):
            continue
        repair = [roles.statement("revoke {} from {} cascade", role, member)] if ways else []
        if declared:
            repair.append(
                roles.statement(
                    f"grant {{}} to {{}} with {roles.grant_options(database, role)}", role, member
                )
            )
            yield Drift(f"{member} is a member of {role} with other options than declared", tuple(repair))
        else:
            yield Drift(f"{member} is a member of {role}, by hand", tuple(repair))


def _drifted_rights(connection: psycopg.Connection, marts: list[Mart] | None) -> Iterator[Drift]:
    given, wanted = rights.given(connection), rights.wanted(connection, marts or ())
    for right in sorted(given - wanted):
        if marts is not None or not rights.of_marts(right):
            yield Drift(f"by hand: {right}", (right.revoke(),))
    for right in sorted(wanted - given):
        yield Drift(f"missing: {right}", (right.grant(),))


def unguarded(connection: psycopg.Connection, marts: Iterable[Mart]) -> list[tuple[str, Mart]]:
    """The tables and months whose policies are not those of their mart, with the mart. A mart without a table has none:
    there is nothing to read.
    """
    by_table = {mart.table: mart for mart in marts}
    found = connection.execute(
        SQL["unguarded"],
        {
            "relations": list(by_table),
            "groups": [mart.group for mart in by_table.values()],
            "days": [mart.day for mart in by_table.values()],
        },
    ).fetchall()
    return [(name, by_table[table]) for table, name in found]


def _drifted_guards(connection: psycopg.Connection, marts: list[Mart]) -> Iterator[Drift]:
    for name, mart in unguarded(connection, (*marts, rights.STATISTIC)):
        protect = sql.SQL("select access.protect({}::regclass, {}, {})")
        yield Drift(
            f"the policies of {name} are not those of the group {mart.group}",
            (protect.format(mart.table, mart.group, mart.day),),
        )


def _drifted_persons(connection: psycopg.Connection, marts: list[Mart] | None) -> Iterator[Drift]:
    """Where columns do not point to whom they should, or do not say to whom."""
    for relation, repair in pointing.differing(connection, (*(marts or ()), rights.STATISTIC)):
        yield Drift(f"the columns of {relation} do not point to whom its YAML says", (repair,))
    for text in pointing.undeclared(connection, of_models=marts is not None):
        yield Drift(text)


def _drifted_objects(connection: psycopg.Connection, *, of_marts: bool) -> Iterator[Drift]:
    """Objects in callmart's schemas that are not callmart's, or not as callmart made them."""
    rows = connection.execute(
        SQL["objects"],
        {
            "schemas": list(rights.SCHEMAS),
            "of_marts": of_marts,
            "showing": roles.showing_roles(connection.info.dbname),
        },
    ).fetchall()
    for text, repair in rows:
        yield Drift(text, (sql.SQL(repair),) if repair else ())


def _of_database(connection: psycopg.Connection) -> Iterator[Drift]:
    """Who else can define anything in the database. If it is the owner's, that is among the rights."""
    for role, remedy in connection.execute(SQL["of_database"]).fetchall():
        if _is_ours(connection, role):
            yield Drift(
                f"{role or 'everybody'} can define anything in the database: have a superuser run {remedy}"
            )


def _drifted_switches(connection: psycopg.Connection) -> Iterator[Drift]:
    """The parameters that keep a protection off: for everybody, for the owner, or for a login of ours."""
    for name, text in switched(connection, SWITCHES):
        yield Drift(text, server=name == "event_triggers")


def switched(
    connection: psycopg.Connection,
    switches: Mapping[str, tuple[str, Sequence[str]]],
    hidden: Sequence[str] = (),
) -> Iterator[tuple[str, str]]:
    """The parameters that have none of their harmless values, for everybody, for the owner, or for a login of ours,
    each with a sentence. What the server's configuration says of the `hidden` ones only a superuser may see.
    """
    harmless = [f"{name}={value}" for name, (_, values) in switches.items() for value in values]
    shown = [name for name in switches if name not in hidden]
    rows = connection.execute(
        SQL["switches"], {"names": list(switches), "shown": shown, "harmless": harmless}
    ).fetchall()
    for name, value, role, is_owners, remedy in rows:
        if is_owners or _is_ours(connection, role):
            yield (
                name,
                f"{switches[name][0]}, because {name} is {value} for {role or 'everybody'}: {remedy}",
            )


def _drifted_parameters(connection: psycopg.Connection) -> Iterator[Drift]:
    """The parameters of the server that a role of ours, or everybody, may set."""
    for parameter, role in connection.execute(SQL["parameters"]).fetchall():
        if _is_ours(connection, role):
            yield Drift(f"parameter {parameter} may be set by {role or 'everybody'}")


def _is_ours(connection: psycopg.Connection, role: str | None) -> bool:
    """Whether a role is one of ours, or stands for everybody (None)."""
    return role is None or roles.belongs(role, connection.info.dbname)
