"""Every mutant of the protection is noticed: each policy, right, role and function, taken away or bent."""

import re
from collections.abc import Callable, Iterator

import psycopg
import pytest

from callmart.access import rights
from callmart.access.rights import Right
from callmart.audit.scene import Scene
from callmart.database import embedded_server
from callmart.declarations import dbt_project
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED, STANDARD
from leaks import OURS, differences, leaks, relations


@pytest.fixture(scope="module")
def sound(opened: Callmart, scene: Scene) -> Scene:
    """The scene, of which nothing leaks: else every mutant would seem to be found."""
    with opened.superuser(keep=False) as connection:
        assert list(leaks(connection, scene)) == []
    return scene


@pytest.mark.usefixtures("sound")
def test_the_database_as_it_stands_leaks_nothing(opened: Callmart) -> None:
    """Nor by what callmart itself says of drift: else every door would seem to be noticed."""
    with opened.superuser(keep=False) as connection:
        assert differences(connection, dbt_project.marts(opened.settings)) == []


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
        connection.execute(DOORS[door])
        assert differences(connection, marts)


# By how a difference is told: the statement that makes it.
Kind = dict[str, str]
CHANGED = "function or view {} is not as callmart made it"


def policy_mutants(connection: psycopg.Connection) -> Iterator[Kind]:
    """Each policy, FORCE and row security taken away or opened, on each mart and each month.

    A month is bent while its mart is sound, and a mart while its months are: each is found by itself.
    """
    bent = (
        "drop policy builder on {}",
        "alter policy builder on {} to public",
        "drop policy own_rows on {}",
        "alter policy own_rows on {} to public",
        "create policy more on {} for select using (true)",
        "alter table {} disable row level security",
        "alter table {} no force row level security",
    )
    every = relations(connection, "store", "usage")
    months = [name for name in every if re.search(r"_\d{6}$", name)]
    assert 0 < len(months) < len(every)
    for names in (months, [name for name in every if name not in months]):
        of_customers = [name for name in names if not name.startswith("usage.")]  # its rows are nobody's
        for some, statement in (
            *((names, statement) for statement in bent),
            (of_customers, "alter policy own_rows on {} using (true)"),
        ):
            yield {f"the policies of {name} are not those of": statement.format(name) for name in some}


def right_mutants(connection: psycopg.Connection, callmart: Callmart) -> Iterator[Kind]:
    """Each right of access.yml and of the marts taken away; each thing given to somebody who should not have it."""
    wanted = rights.wanted(connection, dbt_project.marts(callmart.settings))
    shared = rights.shared(connection)
    # Whatever is done to a view of these, it is no longer callmart's, and nobody may read what it reads.
    yield {
        CHANGED.format(right.object): right.revoke().as_string() for right in wanted if right.object in shared
    }
    yield {f"missing: {right}": right.revoke().as_string() for right in wanted if right.object not in shared}
    functions = connection.execute(
        """
        select format('%%I.%%I(%%s)', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid))
        from pg_proc join pg_namespace on pg_namespace.oid = pronamespace where nspname = any(%s)
        """,
        [list(OURS)],
    ).fetchall()
    sequences = relations(connection, *OURS, kinds="S")
    given = {
        Right("database", embedded_server.DATABASE, "", "", "TEMPORARY"),
        *(Right("schema", schema, "", "", "CREATE") for schema in OURS),
        *(Right("default", schema, "r", "", "SELECT") for schema in OURS),
        *(Right("function", function, "", "", "EXECUTE") for (function,) in functions),
        *(
            Right("sequence" if name in sequences else "table", name, "", role, "SELECT")
            for name in relations(connection, *OURS)
            for role in ("callmart_reads_line", "")
        ),
    }
    yield {f"by hand: {right}": right.grant().as_string() for right in given - wanted}


def role_mutants(connection: psycopg.Connection) -> Iterator[Kind]:
    """Each membership taken away, each login given powers or freed of its limits."""
    granted = connection.execute(
        """
        select r.rolname, m.rolname from pg_auth_members
        join pg_roles as r on r.oid = roleid join pg_roles as m on m.oid = member
        where r.rolname ~ '^callmart_(reads|customer)_' and m.rolname <> 'callmart_owner'
        """
    ).fetchall()
    for bent in (
        "revoke {role} from {member} granted by callmart_owner",
        "grant {role} to {member} with admin true",
    ):
        yield {
            f"{member} is a member of {role} with other options than declared": bent.format(
                role=role, member=member
            )
            for role, member in granted
        }
    every = [
        role
        for (role,) in connection.execute(
            "select rolname from pg_roles where rolname ~ '^callmart_' and rolname <> 'callmart_owner'"
        )
    ]
    for power in ("bypassrls", "createrole"):
        yield {f"role {role} has powers of its own": f"alter role {role} {power}" for role in every}
    logins = [role for role in every if not re.search("_(reads|shows)_", role)]
    yield {f"role {role} may log in": f"alter role {role} login" for role in every if role not in logins}
    yield {f"login {role} has other settings": f"alter role {role} reset all" for role in logins}
    yield {f"login {role} has other limits": f"alter role {role} connection limit -1" for role in logins}
    yield {
        f"{role} is a member of callmart_reads_agent": (
            f"grant callmart_reads_agent to {role} with inherit true, set true"
        )
        for role in logins
    }
    yield {
        "callmart_guest is a member of callmart_reads_queue, by hand": (
            "create role callmart_guest login in role callmart_reads_queue"
        )
    }


def gate_mutants(connection: psycopg.Connection) -> Iterator[Kind]:
    """Each function and view of ours bent, and each trigger taken away."""
    functions = connection.execute(
        """
        select oid::regprocedure::text, prosecdef from pg_proc
        where pronamespace::regnamespace::text = any(%s) and prokind = 'f'
        """,
        [list(OURS)],
    ).fetchall()
    yield {
        CHANGED.format(function): f"alter function {function} security {'invoker' if definer else 'definer'}"
        for function, definer in functions
    }
    yield {
        CHANGED.format(function): f"alter function {function} set search_path = pg_temp"
        for function, _ in functions
    }
    triggers = connection.execute(
        """
        select tgrelid::regclass::text, tgname from pg_trigger join pg_class on pg_class.oid = tgrelid
        where relnamespace::regnamespace::text = any(%s) and not tgisinternal
        """,
        [list(OURS)],
    ).fetchall()
    assert {("ops.audit_log", "append_only"), ("ops.audit_log", "kept")} < set(triggers)
    yield {
        f"trigger {name} on {table} is off": f"alter table {table} disable trigger {name}"
        for table, name in triggers
    }
    yield {
        f"trigger {name} on {table} is not as callmart made it": (
            f"create or replace trigger {name} after insert on {table} execute function ops.refuse_change()"
        )
        for table, name in triggers
    }
    yield {
        f"{table} does not keep what it has: its trigger {name} is gone": f"drop trigger {name} on {table}"
        for table, name in triggers
    }
    yield {
        CHANGED.format("ops.refuse_change()"): (
            "create or replace function ops.refuse_change() returns trigger language plpgsql"
            " as 'begin return null; end'"
        ),
        CHANGED.format("registry.current_option"): (
            "create or replace view registry.current_option as"
            " select customer_id, 'detailed'::text as option, '{}'::text[] as orders from registry.customer"
        ),
        CHANGED.format("registry.kept_contract"): (
            "create or replace view registry.kept_contract as select customer_id, 'detailed'::text as option,"
            " '-infinity'::date as valid_from, null::date as valid_until from registry.customer"
        ),
    }


def test_no_mutant_survives(
    opened: Callmart, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Everything that protects, taken away: the look at drift must name each thing.

    All of one kind are bent at once, since each look takes as long for one as for all.
    """
    survivors, count = [], 0
    marts = dbt_project.marts(opened.settings)
    with opened.superuser(keep=False) as connection:
        assert differences(connection, marts) == []
        kinds = [
            *policy_mutants(connection),
            *right_mutants(connection, opened),
            *role_mutants(connection),
            *gate_mutants(connection),
        ]
        for kind in kinds:
            with connection.transaction(force_rollback=True):
                for statement in kind.values():
                    connection.execute(
                        "set local role callmart_owner" if "default privileges" in statement else "reset role"
                    )
                    connection.execute(statement)
                connection.execute("reset role")
                found = differences(connection, marts)
            count += len(kind)
            survivors += [
                statement
                for told, statement in kind.items()
                if not any(text.startswith(told) for text in found)
            ]
    record_testsuite_property("mutants", count)
    assert survivors == []
    assert count > 1000
