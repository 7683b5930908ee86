"""What stands around callmart's schemas, and could take their protection away: the database, parameters, `public`."""

import re

import pytest

from callmart.access import drift, rights, surroundings
from callmart.audit import limits
from callmart.database import embedded_server
from callmart.declarations import dbt_project
from callmart_home import Callmart
from drifting import apply, drifted, found_after, owner_after

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
        "run public.refuse_definitions() of callmart_customer_1001, because of event trigger refuse_definitions",
    ),
    "a trigger that never fires": (
        "create or replace trigger append_only before update on ops.audit_log for each row when (false)"
        " execute function ops.refuse_change()",
        "trigger append_only on ops.audit_log is not as callmart made it",
    ),
}
WRAPPER = "create foreign data wrapper other; create server other foreign data wrapper other;"
# What our logins were given elsewhere, of whatever kind.
HELD = {
    "the right to make": (
        "grant create on schema public to callmart_loader",
        "callmart_loader may use schema public",
    ),
    "a schema": (
        "create schema mine authorization callmart_customer_1001",
        "callmart_customer_1001 owns schema mine",
    ),
    "a function": (
        "create function public.mine() returns integer return 1;"
        " alter function public.mine() owner to callmart_customer_1001",
        "callmart_customer_1001 owns function public.mine()",
    ),
    "a type": (
        "create type public.mine as (x integer); alter type public.mine owner to callmart_loader",
        "callmart_loader owns type public.mine",
    ),
    "a large object": (
        "select lo_create(42); grant select on large object 42 to callmart_loader",
        "callmart_loader may use large object 42",
    ),
    "another server": (
        f"{WRAPPER} grant usage on foreign server other to callmart_loader",
        "callmart_loader may use server other",
    ),
    "a password for another server": (
        f"{WRAPPER} create user mapping for callmart_loader server other",
        "callmart_loader owns user mapping for callmart_loader on server other",
    ),
    "what others will make": (
        "alter default privileges for role postgres grant select on tables to callmart_loader",
        "callmart_loader may use default privileges on new relations belonging to role postgres",
    ),
    "the server's files": (
        "grant pg_read_server_files to callmart_owner",
        "callmart_owner is a member of pg_read_server_files",
    ),
}

STRANGER = "create role stranger login;"
A_FUNCTION = (
    f"{STRANGER} create function public.theirs(text) returns boolean immutable language plpgsql"
    " as 'begin return true; end'; alter function public.theirs(text) owner to stranger;"
)
RUN_BY = "sessions of callmart's owner run public.theirs(text) of stranger, because of"
A_TYPE = f"{STRANGER} create domain public.word as text; alter domain public.word owner to stranger;"
# What a stranger could do by way of the owner, or of PostgreSQL's own roles.
REACHING_IN = {
    "a default": (
        f"{A_FUNCTION} alter table registry.version alter column applied_at set default public.theirs('')::text"
        "::timestamptz",
        f"{RUN_BY} default value for column applied_at of table registry.version",
    ),
    "a check": (
        f"{A_FUNCTION} alter table registry.contact add constraint theirs check (public.theirs(name))",
        f"{RUN_BY} constraint theirs on table registry.contact",
    ),
    "a type among ours": (
        f"{A_TYPE} alter domain public.word set schema registry",
        "type registry.word belongs to stranger",
    ),
    "an index": (
        f"{A_FUNCTION} create index theirs on registry.contact (public.theirs(name))",
        f"{RUN_BY} index registry.theirs",
    ),
    "a cast": (
        f"{A_FUNCTION} create cast (text as boolean) with function public.theirs(text) as assignment",
        f"{RUN_BY} cast from text to boolean",
    ),
    "an operator": (
        f"{A_FUNCTION} create operator pg_catalog.!! (function = public.theirs, rightarg = text)",
        f"{RUN_BY} operator !!(NONE,text)",
    ),
    "a check by an operator": (
        f"{A_FUNCTION} create operator public.!! (function = public.theirs, rightarg = text);"
        " alter table registry.contact add constraint theirs check (operator(public.!!) name)",
        f"{RUN_BY} constraint theirs on table registry.contact",
    ),
    "an index by an operator class": (
        f"{STRANGER} create function public.theirs(text, text) returns integer immutable language plpgsql"
        " as 'begin return 0; end'; alter function public.theirs owner to stranger;"
        " create operator class public.theirs for type text using btree as operator 1 <, operator 2 <=,"
        " operator 3 =, operator 4 >=, operator 5 >, function 1 public.theirs(text, text);"
        " create index theirs on registry.contact (name public.theirs)",
        "run public.theirs(text,text) of stranger, because of index registry.theirs",
    ),
    "the type of a column": (
        f"{A_FUNCTION} create domain public.word as text check (public.theirs(value));"
        " alter table registry.contact alter column name type public.word",
        f"{RUN_BY} table registry.contact",
    ),
    "a type to which a stranger may add a check": (
        f"{A_TYPE} alter table registry.contact alter column name type public.word",
        "sessions of callmart's owner use the type public.word of stranger, because of table registry.contact",
    ),
    "a list of a stranger's type": (
        f"{A_TYPE} alter table registry.contact alter column name type public.word[] using array[name]",
        "sessions of callmart's owner use the type public.word of stranger, because of table registry.contact",
    ),
    "a function that a stranger put into an extension": (
        f"{STRANGER} grant create on database callmart to stranger; grant create on schema public to stranger;"
        " set local role stranger; create extension citext schema public; create function public.theirs(text)"
        " returns boolean immutable language plpgsql as 'begin return true; end';"
        " alter extension citext add function public.theirs(text); reset role;"
        " revoke create on database callmart from stranger; revoke create on schema public from stranger;"
        " alter table registry.contact add constraint theirs check (public.theirs(name))",
        f"{RUN_BY} constraint theirs on table registry.contact",
    ),
    "a function that calls it": (
        f"{A_FUNCTION} create function public.calling(text) returns boolean immutable return public.theirs($1);"
        " alter table registry.contact add constraint theirs check (public.calling(name))",
        f"{RUN_BY} constraint theirs on table registry.contact",
    ),
    "another event trigger": (
        f"{STRANGER} create function public.seen() returns event_trigger language plpgsql as 'begin end';"
        " create event trigger seen on ddl_command_end execute function public.seen();"
        " alter function public.seen() owner to stranger",
        "run public.seen() of stranger, because of event trigger seen",
    ),
    "an event trigger of the owner's, which superusers run": (
        "create function public.seen() returns event_trigger language plpgsql as 'begin end';"
        " create event trigger seen on ddl_command_end execute function public.seen();"
        " alter function public.seen() owner to callmart_owner",
        "run public.seen() of callmart_owner, because of event trigger seen",
    ),
    "a function among PostgreSQL's own": (
        f"{STRANGER} grant create on schema pg_catalog to stranger; set local role stranger;"
        " create function pg_catalog.theirs() returns integer return 1; reset role;"
        " revoke create on schema pg_catalog from stranger",
        "run theirs() of stranger, because of schema pg_catalog",
    ),
    "the right to make one": (
        "grant create on schema pg_catalog to public",
        "run whatever is made there by everybody, because of the right to create in the schema pg_catalog",
    ),
    "all tables, by way of another role": (
        f"{STRANGER} create role reporting; grant reporting to stranger; grant pg_read_all_data to reporting;"
        " alter database callmart owner to postgres; grant connect on database callmart to stranger",
        "stranger is a member of pg_read_all_data, which reaches around all rights",
    ),
    "a part of a table": (
        "create table public.part partition of raw.event for values from ('2001-01-01') to ('2001-02-01')",
        "table raw.event has the part public.part",
    ),
    "a table that reads as part of another": (
        "create table public.part () inherits (registry.contact)",
        "table registry.contact has the part public.part",
    ),
    "a table that those who check would read as part of another": (
        "alter table store.agent inherit build.agent",
        "table build.agent has the part store.agent",
    ),
    "changes of another server": (
        "create subscription other connection 'dbname=other' publication other with (connect = false);"
        " insert into pg_subscription_rel select oid, 'registry.contact'::regclass, 'r' from pg_subscription",
        "subscription other writes into registry.contact",
    ),
    "samples of what customers ask": (
        "alter table registry.queue alter column label set statistics 100",
        "the samples of registry.queue are not as callmart made them",
    ),
}
LETS_COUNT = "lets customers count rows of others, as it is no plain B-tree that begins with customer_id"
# By which a customer could count rows of others that meet a condition, though it is shown none of them.
COUNTING = {
    "an index that begins with something else": (
        "create index peek on store.queue_interval (offered)",
        f"index store.peek on store.queue_interval {LETS_COUNT}",
    ),
    "an index of a month": (
        "do $$ declare month text := max(relid::text) from pg_partition_tree('store.queue_interval') where isleaf;"
        " begin execute format('create index peek on %s (offered)', month); end $$",
        "index store.peek on store.queue_interval_",
    ),
    "an index of an expression, which has samples": (
        "create index peek on registry.queue (customer_id, lower(label))",
        f"index registry.peek on registry.queue {LETS_COUNT}",
    ),
    "an index whose rows the catalogue counts": (
        "create index peek on ops.held_back (customer_id) where customer_id = 1002",
        f"index ops.peek on ops.held_back {LETS_COUNT}",
    ),
    "an index of another kind": (
        "create index peek on store.agent using brin (customer_id, agent)",
        f"index store.peek on store.agent {LETS_COUNT}",
    ),
    "a key": (
        "alter table registry.line add constraint peek unique (line, customer_id)",
        f"index registry.peek on registry.line {LETS_COUNT}",
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
    "a stranger's function that nothing of ours calls": A_FUNCTION,
    "one that reads a table of ours": (
        f"{STRANGER} create function public.reading() returns bigint stable"
        " begin atomic select count(*) from registry.queue; end;"
        " alter function public.reading() owner to stranger"
    ),
    "one that reads a table of ours and calls another": (
        f"{STRANGER} create function public.called() returns integer return 1;"
        " create function public.reading() returns bigint"
        " begin atomic select count(*) + public.called() from registry.queue; end;"
        " alter function public.called() owner to stranger; alter function public.reading() owner to stranger"
    ),
    "a stranger who reads all tables, but gets into no database of ours": (
        f"{STRANGER} grant pg_read_all_data to stranger"
    ),
    "an administrator of roles": (
        "create role administrator login createrole; grant pg_read_all_data to administrator with admin option;"
        " alter database callmart owner to postgres; grant connect on database callmart to administrator"
    ),
}


@pytest.mark.parametrize("what", [*SHUTTING_OUT, *OPENING, *HELD, *REACHING_IN, *COUNTING])
def test_what_takes_the_protection_away_is_named_with_its_remedy(played: Callmart, what: str) -> None:
    statements, told = (SHUTTING_OUT | OPENING | HELD | REACHING_IN | COUNTING)[what]
    (found,) = found_after(played, statements)
    assert told in found.text
    assert found.server == (what in SHUTTING_OUT)


def test_a_chain_of_strangers_functions_that_nothing_of_ours_calls_is_not_followed(played: Callmart) -> None:
    """Whoever may create functions could slow each opening with one."""
    length = 40
    chain = (
        f"do $$ begin for i in 1..{length} loop execute format('create function public.called_%s(text)"
        " returns boolean immutable return public.called_%s($1)', i, i - 1);"
        " execute format('alter function public.called_%s(text) owner to stranger', i); end loop; end $$"
    )
    hooked = f"alter table registry.contact add constraint theirs check (public.called_{length}(name))"
    followed = list[int]()
    with played.superuser(keep=False) as superuser:
        for made in (A_FUNCTION.replace("theirs", "called_0"), chain, hooked):
            superuser.execute(made.encode())
            plan = superuser.execute(
                f"explain (analyze, costs off, timing off, summary off, buffers off) {surroundings.SQL['run']}",
                {"schemas": list(rights.SCHEMAS)},
            ).fetchall()
            (rows,) = (
                re.search(r"Recursive Union \(actual rows=(\d+)", line)
                for (line,) in plan
                if "Recursive" in line
            )
            assert rows is not None
            followed.append(int(rows[1]))
    one, many, called = followed
    assert many == one
    assert one + length < called < one + 2 * length


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


@pytest.mark.parametrize(
    "made",
    [
        "create index peek on store.queue_interval (offered)",
        "alter table registry.line add constraint peek unique (line, customer_id)",
        "alter table store.agent inherit build.agent",
    ],
)
def test_applying_takes_away_by_what_rows_of_others_could_be_read_or_counted(
    played: Callmart, made: str
) -> None:
    with played.superuser() as superuser:
        superuser.execute(made.encode())
    assert len(apply(played)) == 1
    assert drifted(played) == []


def test_an_index_shows_a_customer_how_many_rows_of_others_meet_a_condition(played: Callmart) -> None:
    """Which is why one is drift. Without it, all rows of others are read and removed, whatever the condition."""
    ask = "explain (analyze, costs off, timing off) select * from mart.queue_interval where offered = {}"
    with played.superuser(keep=False) as superuser:
        superuser.execute("set local enable_seqscan = off")
        shown = list[list[bool]]()
        for made in ("select", "create index peek on store.queue_interval (offered)"):
            superuser.execute(made.encode())
            superuser.execute("set local role callmart_customer_1003")
            shown.append(
                [
                    any(
                        "Rows Removed by Filter" in line
                        for (line,) in superuser.execute(ask.format(offered).encode())
                    )
                    for offered in (1, 9999)
                ]
            )
            superuser.execute("reset role")
    assert shown == [[True, True], [True, False]]


def test_an_aggregate_that_is_not_callmart_s_is_named(played: Callmart) -> None:
    """It has no text to compare."""
    (found,) = found_after(
        played,
        "set local role callmart_owner; create aggregate registry.most(integer) (sfunc = int4larger, stype = integer);"
        " reset role",
    )
    assert found.text == "function or view registry.most(integer) is not as callmart made it"


def test_applying_deletes_a_sample_that_should_not_be_there(played: Callmart) -> None:
    """With such a one EXPLAIN tells a customer's login what others call their queues."""
    kept = (
        "select attname from pg_statistic join pg_attribute on attrelid = starelid and attnum = staattnum"
        " where starelid = 'registry.customer'::regclass and attname = 'name'"
    )
    with played.superuser() as superuser:
        superuser.execute("alter table registry.customer alter column name set statistics 100")
        superuser.execute("analyze registry.customer")
        assert superuser.execute(kept).fetchall() == [("name",)]
    assert apply(played) == ["the samples of registry.customer are not as callmart made them"]
    with played.superuser() as superuser:
        assert superuser.execute(kept).fetchall() == []


# -- what others put into `public` -----------------------------------------------------------------------------

# It fits better than PostgreSQL's own, which has no function and no operator for exactly these types.
BETTER = """
create function public.starts_with(name, text) returns boolean language plpgsql as
    $$ begin raise exception 'called as %', current_user; end $$;
create function public.is_in(oid, regnamespace) returns boolean language plpgsql as
    $$ begin raise exception 'called as %', current_user; end $$;
create operator public.= (function = public.is_in, leftarg = oid, rightarg = regnamespace)
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
            superuser.execute("drop function public.starts_with, public.is_in cascade")
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


# -- what a superuser puts beside callmart ---------------------------------------------------------------------

WORKS = "language plpgsql as 'begin return null; end'"
ELSEWHERE = f"create function public.beside(text) returns boolean immutable {WORKS};"
CALLS = "calls public.beside(text), which is not callmart's: drop it"
# No drift, as a shared server may have some of it for others; the audit names each with what takes it away.
BESIDE = {
    "an event trigger": (
        "create function public.seen() returns event_trigger language plpgsql as 'begin end';"
        " create event trigger seen on ddl_command_end execute function public.seen()",
        "event trigger seen runs public.seen(): drop event trigger seen",
    ),
    "a function among PostgreSQL's own": (
        f"create function pg_catalog.beside(text) returns boolean {WORKS}",
        "beside(text) is among PostgreSQL's own functions: drop function beside(text)",
    ),
    "a function with a superuser's rights": (
        f"create function public.peek() returns bigint security definer {WORKS}",
        "everybody may call public.peek(), which has the rights of postgres:"
        " revoke execute on routine public.peek() from public",
    ),
    "a function with the rights of another, who may read all": (
        f"{STRANGER} grant pg_read_all_data to stranger;"
        f" create function public.peek() returns bigint security definer {WORKS};"
        " alter function public.peek() owner to stranger",
        "everybody may call public.peek(), which has the rights of stranger:"
        " revoke execute on routine public.peek() from public",
    ),
    "a cast": (
        f"{ELSEWHERE} create cast (text as boolean) with function public.beside(text) as assignment",
        "PostgreSQL's own types have the cast from text to boolean: drop cast (text as boolean)",
    ),
    "an operator": (
        f"{ELSEWHERE} create operator pg_catalog.!! (function = public.beside, rightarg = text)",
        "!!(NONE,text) is among PostgreSQL's own operators: drop operator !!(NONE,text)",
    ),
    "a default that copies": (
        f"{ELSEWHERE} alter table registry.queue alter column label set default public.beside('')::text",
        f"default value for column label of table registry.queue {CALLS}",
    ),
    "a check that copies": (
        f"{ELSEWHERE} alter table registry.contact add constraint beside check (public.beside(name))",
        f"constraint beside on table registry.contact {CALLS}",
    ),
    "an index that copies": (
        f"{ELSEWHERE} create index beside on registry.contact (public.beside(name))",
        f"index registry.beside {CALLS}",
    ),
    "another who did it": (
        "alter table ops.audit_log alter column actor set default 'nobody'",
        "alter table ops.audit_log alter column actor set default SESSION_USER",
    ),
    "nobody who did it": (
        "alter table privacy.step alter column at drop default",
        "alter table privacy.step alter column at set default clock_timestamp()",
    ),
    "foreign keys that keep nothing": (
        "alter table registry.contact disable trigger all",
        "the foreign keys of registry.contact are off: alter table registry.contact enable trigger all",
    ),
    "foreign keys that keep what another server changes": (
        "do $$ declare kept name = (select min(tgname) from pg_trigger where tgrelid = 'registry.contact'::regclass"
        " and tgisinternal); begin execute format('alter table registry.contact enable replica trigger %I', kept);"
        " end $$",
        "the foreign keys of registry.contact are off: alter table registry.contact enable trigger all",
    ),
    "another administrator": (
        "create role another login superuser",
        "role another may do everything on the server: drop it, or take its powers away",
    ),
    "a copy of the server": (
        "create role another login replication",
        "role another may do everything on the server: drop it, or take its powers away",
    ),
    "an owner who may do everything": (
        "alter role callmart_owner bypassrls",
        "role callmart_owner may do everything on the server: drop it, or take its powers away",
    ),
}


@pytest.mark.parametrize("what", BESIDE)
def test_what_a_superuser_puts_beside_callmart_is_named_with_its_remedy(played: Callmart, what: str) -> None:
    statements, told = BESIDE[what]
    with owner_after(played, statements) as owner:
        assert surroundings.beside(owner, is_own=True) == [told]
        assert surroundings.beside(owner, is_own=False) == [told] * ("may do everything" not in told)


TELLING = {
    "errors": "alter database callmart set log_min_messages = 'warning'",
    "statements": "alter role callmart_owner set log_statement = 'all'",
    "slow statements": "alter role all set log_min_duration_statement = 1000",
    "a login's statements": "alter role callmart_loader set log_min_duration_statement = 0",
    "statements with an error": "alter database callmart set log_min_error_statement = 'error'",
    "how statements are understood": "alter role callmart_owner set debug_print_plan = 'on'",
    "a library": "alter database callmart set session_preload_libraries = 'auto_explain'",
}


@pytest.mark.parametrize("what", TELLING)
def test_what_tells_the_log_or_a_library_is_named_with_its_remedy(played: Callmart, what: str) -> None:
    with owner_after(played, TELLING[what]) as owner:
        ((name, text),) = drift.switched(owner, limits.TELLING, ["session_preload_libraries"])
    remedy = TELLING[what].partition(" = ")[0].replace(f"set {name}", f"reset {name}")
    assert text.endswith(f": have a superuser run {remedy}")


def test_nothing_is_beside_callmart_and_nothing_is_told(played: Callmart) -> None:
    """What a login sets for itself the next run resets."""
    with owner_after(played, "alter role callmart_customer_1001 set debug_print_plan = on") as owner:
        assert surroundings.beside(owner, is_own=True) == []
        assert list(drift.switched(owner, limits.TELLING, ["session_preload_libraries"])) == []
