"""What stands around callmart's schemas, and could take their protection away: the database, parameters, `public`."""

from collections.abc import Iterator

import pytest

from callmart.access import drift
from callmart.access.difference import Drift
from callmart.database import embedded_server
from callmart.declarations import dbt_project
from callmart_home import Callmart
from drifting import drifted

pytestmark = pytest.mark.usefixtures("unchecked")

NOTHING = (
    "create or replace function {} returns event_trigger language plpgsql"
    " set search_path = pg_catalog, pg_temp as 'begin end'"
)
TRIGGER = "drop event trigger refuse_definitions; create event trigger refuse_definitions on"
REFUSING = "execute function public.refuse_definitions()"
NOT_OURS = "the event trigger refuse_definitions, or its function, is not that of callmart"

# What a superuser can do, and how it is told. With `accept_shutting_out` the first ones stop nothing.
SHUTTING_OUT = {
    "a function that refuses nothing": (NOTHING.format("public.refuse_definitions()"), NOT_OURS),
    "another function": (
        f"{NOTHING.format('public.mine()')}; {TRIGGER} ddl_command_start execute function public.mine()",
        NOT_OURS,
    ),
    "another path": ("alter function public.refuse_definitions() set search_path = public", NOT_OURS),
    "some commands only": (f"{TRIGGER} ddl_command_start when tag in ('CREATE VIEW') {REFUSING}", NOT_OURS),
    "too late": (f"{TRIGGER} ddl_command_end {REFUSING}", NOT_OURS),
    "no event triggers": (
        "alter role all set event_triggers = off",
        "event_triggers is off for everybody: have a superuser run alter role all reset event_triggers",
    ),
}
REPLICA = "session_replication_role is replica for"
OPENING = {
    "triggers off for all": (
        "alter role all set session_replication_role = replica",
        f"{REPLICA} everybody: have a superuser run alter role all reset session_replication_role",
    ),
    "triggers off in the database": (
        "alter database callmart set session_replication_role = Replica",
        f"{REPLICA} everybody: have a superuser run alter database callmart reset session_replication_role",
    ),
    "triggers off for the owner": (
        "alter role callmart_owner in database callmart set session_replication_role = replica",
        f"{REPLICA} callmart_owner: have a superuser run"
        " alter role callmart_owner in database callmart reset session_replication_role",
    ),
    "triggers off for a login": (
        "alter role callmart_loader set session_replication_role = replica",
        f"{REPLICA} callmart_loader: have a superuser run"
        " alter role callmart_loader reset session_replication_role",
    ),
    "triggers off on the server": (
        "set local session_replication_role = replica",
        f"{REPLICA} everybody: correct the server's configuration, and reload it",
    ),
    "commits that a crash can lose": (
        "alter database callmart set synchronous_commit = no",
        "a crash can lose what was committed, because synchronous_commit is no for everybody",
    ),
    "a table that a crash empties": (
        "alter table raw.call set unlogged",
        "a crash empties raw.call, which is unlogged: run alter table raw.call set logged",
    ),
    "a month that a crash empties": (
        "do $$ declare month text := max(relid::text) from pg_partition_tree('raw.event') where isleaf;"
        " begin execute format('alter table %s set unlogged', month); end $$",
        "a crash empties raw.event_",
    ),
    "a login that owns the database": (
        "alter database callmart owner to callmart_customer_1001",
        "callmart_customer_1001 can define anything in the database: have a superuser run"
        " alter database callmart owner to callmart_owner",
    ),
    "somebody else's database in which everybody may create": (
        "alter database callmart owner to postgres; grant create on database callmart to public",
        "everybody can define anything in the database: have a superuser run"
        " revoke create on database callmart from public",
    ),
    "a login that owns what others run": (
        "alter function public.refuse_definitions() owner to callmart_customer_1001",
        "callmart_customer_1001 can act as whoever defines anything",
    ),
    "a trigger that never fires": (
        "create or replace trigger append_only before update on ops.audit_log for each row when (false)"
        " execute function ops.refuse_change()",
        "trigger append_only on ops.audit_log is not as callmart made it",
    ),
}
# What a server may have that is not ours, or what a login set for itself, which the next run resets.
STOPS_NOTHING = {
    "a superuser's database": "alter database callmart owner to postgres",
    "triggers as they are": "alter role all set session_replication_role = Origin",
    "commits that wait for more": "alter database callmart set synchronous_commit = remote_apply",
    "a login's own commits": "alter role callmart_customer_1001 set synchronous_commit = off",
    "another database's": "alter database postgres set session_replication_role = replica",
    "another's role": "create role callmart_test_loader;"
    " alter role callmart_test_loader set session_replication_role = replica",
    "a path": "alter database callmart set search_path = public",
}


def found_after(callmart: Callmart, statements: str) -> Iterator[Drift]:
    """All drift that stops, after a superuser's statements, which are undone."""
    with callmart.superuser(keep=False) as superuser:
        superuser.execute(statements.encode())
        superuser.execute("set local role callmart_owner")
        yield from (one for one in drift.find(superuser, dbt_project.marts(callmart.settings)) if one.stops)


@pytest.mark.parametrize("what", [*SHUTTING_OUT, *OPENING])
def test_what_takes_the_protection_away_is_named_with_its_remedy(played: Callmart, what: str) -> None:
    statements, told = (SHUTTING_OUT | OPENING)[what]
    (found,) = found_after(played, statements)
    assert told in found.text
    assert found.server == (what in SHUTTING_OUT)


@pytest.mark.parametrize("what", STOPS_NOTHING)
def test_what_another_server_may_have_stops_nothing(played: Callmart, what: str) -> None:
    assert list(found_after(played, STOPS_NOTHING[what])) == []


def test_a_setting_of_any_length_holds_up_nobody_s_opening(played: Callmart) -> None:
    """A login may set one of half a gigabyte for itself; with one a little longer, each look at drift broke off."""
    with played.superuser(keep=False) as superuser:
        superuser.execute(
            "do $$ begin execute format('alter role callmart_customer_1001 set application_name = %L',"
            " repeat('x', 1000000)); end $$"
        )
        rows = superuser.execute(drift.SQL["roles"]).fetchall()
        assert max(len(setting) for row in rows for setting in row[5]) < 2000
        superuser.execute("set local role callmart_owner")
        (found,) = drift.of_roles(superuser)
    assert found.text == "login callmart_customer_1001 has other settings"


# -- what others put into `public` -----------------------------------------------------------------------------

# It fits better than PostgreSQL's own, which has no function and no operator for exactly these types.
BETTER = """
create function public.starts_with(name, text) returns boolean language plpgsql as
    $$ begin raise exception 'called as %', current_user; end $$;
create function public.matches(name, name) returns boolean language plpgsql as
    $$ begin raise exception 'called as %', current_user; end $$;
create operator public.~ (function = public.matches, leftarg = name, rightarg = name)
"""


def test_the_owner_calls_nothing_that_somebody_put_into_public(played: Callmart) -> None:
    with played.superuser() as superuser:
        superuser.execute(BETTER.encode())
    try:
        with played.connect() as owner:
            path = owner.execute("show search_path").fetchone()
            assert drift.find(owner, dbt_project.marts(played.settings)) == []
    finally:
        with played.superuser() as superuser:
            superuser.execute("drop function public.starts_with, public.matches cascade")
    assert path == ("pg_catalog",)
    assert dbt_project._environment(played.settings)["PGOPTIONS"] == "-c search_path=pg_catalog"


def test_nor_does_the_administrator_and_the_function_is_a_superuser_s(played: Callmart) -> None:
    """Whoever may create in public can have made one of its name before. It runs with the rights of others."""
    with played.superuser(keep=False) as superuser:
        superuser.execute("set local search_path = public")
        superuser.execute(BETTER.encode())
        superuser.execute("alter function public.refuse_definitions() owner to callmart_loader")
        superuser.execute(embedded_server.ADMINISTRATOR.read_bytes())
        owner = superuser.execute(
            "select proowner::regrole::text from pg_proc where proname = 'refuse_definitions'"
        )
        assert owner.fetchall() == [("postgres",)]
    assert drifted(played) == []
