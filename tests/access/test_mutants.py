"""Every mutant of the protection is noticed: each policy, right, role and function, taken away or bent."""

import re
from collections.abc import Callable, Iterator

import psycopg
import pytest

from callmart.access import rights, roles
from callmart.audit.attempts import Scene
from callmart.audit.tables import append_only
from callmart.base import matrix
from callmart.database import embedded_server
from callmart.declarations import dbt_project
from callmart.declarations.mart import Mart
from callmart_home import Callmart
from catalogue import unprotected
from centre import ANONYMOUS, NAMED, STANDARD
from leaks import OURS, differences, each_difference, leaks, leaks_of, relations


def test_the_database_as_it_stands_leaks_nothing(opened: Callmart) -> None:
    assert leaks_of(opened) == []


# What shows no row to anybody yet: rows can't tell it, and the look at drift must.
DOORS = {
    "view without a barrier": "alter view mart.queue_interval set (security_barrier = false)",
    "ratios without a barrier": "alter view mart.queue_ratios set (security_barrier = false)",
    "view for everybody": "grant select on mart.queue_interval to public",
    "a column of a view for everybody": "grant select (offered) on mart.queue_interval to public",
    "the owner has the rights of who shows": "grant callmart_shows_queue to callmart_owner with inherit true",
    "who shows logs in": "alter role callmart_shows_queue login",
    "a customer bypasses": f"alter role callmart_customer_{NAMED} bypassrls",
}

# What shows rows.
MUTANTS = {
    "view reads as its reader": "alter view mart.queue_interval set (security_invoker = true)",
    "view of the owner's": "alter view mart.queue_interval owner to callmart_owner",
    "somebody owns the views": "grant callmart_shows_queue to callmart_operator",
    "policy without the free condition": (
        "alter policy own_rows on store.queue_interval using"
        " (customer_id = access.current_customer() and call_date >= access.retention_floor())"
    ),
    "policy dropped": "drop policy own_rows on store.queue_interval",
    "policy open": "alter policy own_rows on store.queue_interval using (true)",
    "policy without the floor": (
        "alter policy own_rows on store.queue_interval using (customer_id = access.current_customer())"
    ),
    "policy without the customer": (
        "alter policy own_rows on store.queue_interval using (call_date >= access.retention_floor())"
    ),
    "policy for everybody": "create policy more on store.queue_interval using (true)",
    "policy of a mart without days open": "alter policy own_rows on store.agent using (true)",
    "security disabled": "alter table store.queue_interval disable row level security",
    "not forced": "alter table store.queue_interval no force row level security",
    "partition's policy dropped": "drop policy own_rows on {partition}",
    "partition's policy open": "alter policy own_rows on {partition} using (true)",
    "partition's security disabled": "alter table {partition} disable row level security",
    "partition not forced": "alter table {partition} no force row level security",
    "partition granted to a group": "grant select on {partition} to callmart_reads_queue",
    "partition granted to all": "grant select on {partition} to public",
    "a table granted": "grant usage on schema raw to callmart_reads_queue;"
    " grant select on raw.file to callmart_reads_queue",
    "the customer is a constant": (
        f"create or replace function access.current_customer() returns integer return {NAMED}"
    ),
    "the floor is a constant": (
        "create or replace function access.retention_floor() returns date return '-infinity'::date"
    ),
    "the customer comes from a setting": (
        "create or replace function access.current_customer() returns integer"
        " return current_setting('callmart.customer', true)::integer"
    ),
    "agents opened under standard": f"grant callmart_reads_agent to callmart_customer_{STANDARD}",
    "agents closed under detailed": (
        f"revoke callmart_reads_agent from callmart_customer_{NAMED} granted by callmart_owner"
    ),
    "a customer becomes another": f"grant callmart_customer_{ANONYMOUS} to callmart_customer_{NAMED}",
    "a customer reads everything": f"grant pg_read_all_data to callmart_customer_{STANDARD}",
    "the publisher inherits": f"grant callmart_customer_{NAMED} to callmart_publisher with inherit true",
    "the publisher reads": "grant callmart_reads_queue to callmart_publisher",
    "a view of the owner's": (
        "create view mart.summary as select * from store.queue_interval;"
        " grant select on mart.summary to callmart_reads_queue"
    ),
    "the loader reads what it wrote": "grant select on raw.event to callmart_loader",
    "the auditor reads names": "grant select on registry.contact to callmart_auditor",
    "the operator becomes a customer": f"grant callmart_customer_{NAMED} to callmart_operator",
}


@pytest.fixture(scope="module")
def sound(opened: Callmart, scene: Scene) -> Scene:
    """The scene, of which nothing leaks: else every mutant would seem to be found."""
    with opened.superuser(keep=False) as connection:
        assert list(leaks(connection, scene)) == []
    return scene


@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_mutant_leaks(opened: Callmart, sound: Scene, mutant: str) -> None:
    """By rows and the catalogue alone, without what callmart itself says of drift."""
    with opened.superuser(keep=False) as connection:
        partition = next(
            name for name in relations(connection, "store") if name.startswith("store.queue_interval_")
        )
        connection.execute(MUTANTS[mutant].format(partition=partition))
        assert any(leaks(connection, sound))


@pytest.mark.parametrize("door", DOORS)
def test_every_door_that_opens_is_noticed(opened: Callmart, door: str) -> None:
    marts = dbt_project.marts(opened.settings)
    with opened.superuser(keep=False) as connection:
        assert differences(connection, marts) == []
        connection.execute(DOORS[door])
        assert differences(connection, marts)


def policy_mutants(connection: psycopg.Connection) -> Iterator[str]:
    """Each policy, FORCE and row security taken away or opened, on each mart and each month."""
    for name in relations(connection, "store", "usage"):
        for policy in ("builder", "own_rows"):
            yield f"drop policy {policy} on {name}"
            yield f"alter policy {policy} on {name} to public"
        if not name.startswith("usage."):  # whose rows are nobody's
            yield f"alter policy own_rows on {name} using (true)"
        yield f"create policy more on {name} for select using (true)"
        yield f"alter table {name} disable row level security"
        yield f"alter table {name} no force row level security"


def right_mutants(connection: psycopg.Connection, callmart: Callmart) -> Iterator[str]:
    """Each right of access.yml and of the marts taken away; each thing given to somebody who should not have it."""
    holders = {duty: roles.duty_role(embedded_server.DATABASE, duty) for duty in matrix.matrix().duties}
    holders |= {
        f"reads {group}": roles.group_role(embedded_server.DATABASE, group) for group in roles.groups()
    }
    for right in sorted(
        rights.wanted(connection, matrix.matrix(), holders, dbt_project.marts(callmart.settings))
    ):
        yield right.revoke().as_string(connection)
    for name in relations(connection, *OURS):
        if name not in ("mart.line_interval", "mart.line_label"):
            yield f"grant select on {name} to callmart_reads_line"
        yield f"grant select on {name} to public"
    for schema in OURS:
        yield f"grant create on schema {schema} to public"
        yield f"alter default privileges in schema {schema} grant select on tables to public"
    yield "grant temporary on database callmart to public"
    for (function,) in connection.execute(
        "select oid::regprocedure::text from pg_proc where pronamespace::regnamespace::text = any(%s)",
        [list(OURS)],
    ).fetchall():
        yield f"grant execute on function {function} to public"


def role_mutants(connection: psycopg.Connection) -> Iterator[str]:
    """Each membership taken away, each login given powers or freed of its limits."""
    for role, member in connection.execute(
        """
        select r.rolname, m.rolname from pg_auth_members
        join pg_roles as r on r.oid = roleid join pg_roles as m on m.oid = member
        where r.rolname ~ '^callmart_(reads|customer)_' and m.rolname <> 'callmart_owner'
        """
    ).fetchall():
        yield f"revoke {role} from {member} granted by callmart_owner"
        yield f"grant {role} to {member} with admin true"
    for (role,) in connection.execute(
        "select rolname from pg_roles where rolname ~ '^callmart_' and rolname <> 'callmart_owner'"
    ).fetchall():
        yield f"alter role {role} bypassrls"
        yield f"alter role {role} createrole"
        if re.search("_(reads|shows)_", role):
            yield f"alter role {role} login"
        else:
            yield f"alter role {role} reset all"
            yield f"alter role {role} connection limit -1"
            yield f"grant callmart_reads_agent to {role} with inherit true, set true"
    yield "create role callmart_guest login in role callmart_reads_queue"


def gate_mutants(connection: psycopg.Connection) -> Iterator[str]:
    """Each function and view of ours bent, and the triggers of the audit log taken away."""
    for function, definer in connection.execute(
        """
        select oid::regprocedure::text, prosecdef from pg_proc
        where pronamespace::regnamespace::text = any(%s) and prokind = 'f'
        """,
        [list(OURS)],
    ).fetchall():
        yield f"alter function {function} security {'invoker' if definer else 'definer'}"
        yield f"alter function {function} set search_path = pg_temp"
    yield "alter table ops.audit_log disable trigger append_only"
    yield "drop trigger append_only on ops.audit_log"
    yield "alter table ops.audit_log disable trigger kept"
    yield "drop trigger kept on ops.audit_log"
    yield "create or replace function ops.refuse_change() returns trigger language plpgsql as 'begin return null; end'"
    yield (
        "create or replace view registry.current_option as"
        " select customer_id, 'detailed'::text as option, '{}'::text[] as orders from registry.customer"
    )
    yield (
        "create or replace view registry.kept_contract as select customer_id, 'detailed'::text as option,"
        " '-infinity'::date as valid_from, null::date as valid_until from registry.customer"
    )


def noticed(connection: psycopg.Connection, marts: list[Mart]) -> bool:
    """Whether the catalogue is not as it should be, or the audit finds something in it."""
    found = bool(unprotected(connection)) or any(each_difference(connection, marts))
    connection.execute("reset role")
    return found or bool(append_only(connection).breaches)


def test_no_mutant_survives(
    opened: Callmart, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Everything that protects, taken away one at a time: the catalogue or the audit's look at drift must notice."""
    survivors, count = [], 0
    marts = dbt_project.marts(opened.settings)
    with opened.superuser(keep=False) as connection:
        assert not noticed(connection, marts)
        mutants = [
            *policy_mutants(connection),
            *right_mutants(connection, opened),
            *role_mutants(connection),
            *gate_mutants(connection),
        ]
        for mutant in mutants:
            with connection.transaction(force_rollback=True):
                connection.execute(
                    "set local role callmart_owner" if "default privileges" in mutant else "select 1"
                )
                connection.execute(mutant)
                connection.execute("reset role")
                count += 1
                if not noticed(connection, marts):
                    survivors.append(mutant)
    record_testsuite_property("mutants", count)
    assert survivors == []
    assert count > 300
