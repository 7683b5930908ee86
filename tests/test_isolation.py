"""Nobody sees what is not theirs: attacks as a customer's login, and mutants of the protection that must be noticed.

Each look is made by the owner too, who sees all customers: a look that finds nothing proves nothing.
"""

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from callmart import access, server
from callmart import run as stages
from callmart.errors import UserError
from catalogue import unprotected
from centre import (
    ANONYMOUS,
    DETAILED,
    NAMED,
    NONE,
    NUMBERS,
    STANDARD,
    WITH_DATA,
    agent_of,
    call_of,
    play,
    queue_of,
)
from conftest import Callmart

OURS = ("registry", "raw", "build", "mart", "usage", "access", "ops")


@pytest.fixture(scope="module")
def opened(callmart: Callmart, tmp_path_factory: pytest.TempPathFactory) -> Callmart:
    """Three customers with open marts, and of each a row that is just too old and one that is just not."""
    play(callmart, tmp_path_factory.mktemp("landed"))
    assert callmart.build_and_open().held_back_days == 0
    with callmart.connect() as owner:
        for age in (0, 1):
            owner.execute(
                "select access.ensure_month('mart.queue_interval', access.retention_floor() - %s)", [age]
            )
            owner.execute(
                """
                insert into mart.queue_interval (customer_id, call_date, queue, interval_start)
                select customer_id, access.retention_floor() - %s, 'old', access.retention_floor()
                from registry.current_option
                """,
                [age],
            )
    return callmart


@contextmanager
def login(callmart: Callmart, who: int | str | None) -> Iterator[psycopg.Connection]:
    """A customer, the publisher or the owner, each by its own password; nothing that it does is kept."""
    if who == "publisher":
        uri = access.login_uri(callmart.settings, access.publisher_role(server.DATABASE))
        connection = psycopg.connect(uri)
    else:
        assert not isinstance(who, str)
        connection = callmart.connect(who)
    with connection:
        connection.execute("set transaction read write")  # the default is only a courtesy
        yield connection
        connection.rollback()


@contextmanager
def postgres(callmart: Callmart) -> Iterator[psycopg.Connection]:
    """The superuser, who alone can be anybody within one transaction; nothing that it does is kept."""
    socket = server.start(callmart.home)
    with psycopg.connect(host=str(socket), user="postgres", dbname=server.DATABASE) as connection:
        yield connection
        connection.rollback()


def run(connection: psycopg.Connection, statements: str) -> list[tuple[object, ...]]:
    """What the last of several statements returns."""
    *first, last = statements.strip().rstrip(";").split(";\n")
    for statement in first:
        connection.execute(statement)  # type: ignore[arg-type]
    return connection.execute(last).fetchall()  # type: ignore[arg-type]


def refused(connection: psycopg.Connection, statement: str) -> bool:
    """Whether PostgreSQL refuses a statement for want of a privilege, and for no other reason."""
    try:
        with connection.transaction():
            connection.execute(statement)  # type: ignore[arg-type]
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


# -- looking -------------------------------------------------------------------------------------------------------

# Types of the caller's own, which come before all others whatever the search_path: in a function with a string body
# these would be the ones it means, and they say what the caller likes.
OWN_TYPES = f"""
create type pg_temp.text as (said pg_catalog.text);
create function pg_temp.lie(name) returns pg_temp.text immutable
    return row('{server.DATABASE}_customer_{{other}}')::pg_temp.text;
create cast (name as pg_temp.text) with function pg_temp.lie(name) as implicit;
create function pg_temp.said(pg_temp.text) returns pg_catalog.text immutable return ($1).said;
create cast (pg_temp.text as pg_catalog.text) with function pg_temp.said(pg_temp.text) as implicit;
create type pg_temp.date as (said pg_catalog.date);
create function pg_temp.lie(timestamp) returns pg_temp.date immutable return row('1900-01-01')::pg_temp.date;
create cast (timestamp as pg_temp.date) with function pg_temp.lie(timestamp) as implicit;
create function pg_temp.said(pg_temp.date) returns pg_catalog.date immutable return ($1).said;
create cast (pg_temp.date as pg_catalog.date) with function pg_temp.said(pg_temp.date) as implicit;
create domain pg_temp.integer as pg_catalog.int4;
"""

LOOKS = {
    "plain": "select customer_id from mart.queue_interval",
    "by number": "select customer_id from mart.queue_interval where customer_id in (1001, 1002, 1003) or true",
    "cte": "with q as materialized (select * from mart.queue_interval) select customer_id from q",
    "lateral": """
        select q.customer_id from (values (1001), (1002), (1003)) as c (id)
        cross join lateral (select * from mart.queue_interval where customer_id = c.id) as q
    """,
    "row type": "select (q).customer_id from mart.queue_interval as q",
    "sample": "select customer_id from mart.queue_interval tablesample system (100)",
    "as json": "select (json_array_elements(json_agg(q)) ->> 'customer_id')::integer from mart.queue_interval as q",
    "cursor": "declare all_rows cursor for select customer_id from mart.queue_interval;\nfetch all from all_rows",
    "prepared": """
        prepare rows_of (integer) as select customer_id from mart.queue_interval where customer_id = $1 or true;
        set plan_cache_mode = force_generic_plan;
        execute rows_of (1002)
    """,
    "temporary table": """
        create temporary table mine as select * from mart.queue_interval;
        select customer_id from mine
    """,
    "view": """
        create view pg_temp.mine as select * from mart.queue_interval;
        select customer_id from pg_temp.mine
    """,
    "function": """
        create function pg_temp.mine() returns setof integer security definer
        begin atomic select customer_id from mart.queue_interval; end;
        select * from pg_temp.mine()
    """,
    "custom settings": """
        set callmart.customer = '1002';
        set callmart.customer_id = '1002';
        set timezone = 'Pacific/Kiritimati';
        select customer_id from mart.queue_interval
    """,
    "reset": """
        reset role;
        set role none;
        reset session authorization;
        set session authorization default;
        select customer_id from mart.queue_interval
    """,
    "search path": """
        create function pg_temp.current_customer() returns integer return 1002;
        create table pg_temp.queue_interval as select 0 as customer_id;
        set search_path = pg_temp, access, mart, pg_catalog;
        select customer_id from mart.queue_interval
    """,
    "no pruning": """
        set enable_partition_pruning = off;
        set enable_indexscan = off;
        set enable_bitmapscan = off;
        select customer_id from mart.queue_interval
    """,
    "types of one's own": OWN_TYPES.format(other=NAMED) + "select customer_id from mart.queue_interval",
}


@pytest.mark.parametrize("name", LOOKS)
def test_a_look_shows_the_owner_all_and_a_customer_its_own(opened: Callmart, name: str) -> None:
    for who, ids in {None: set(WITH_DATA), **{customer: {customer} for customer in WITH_DATA}}.items():
        with login(opened, who) as connection:
            assert {row[0] for row in run(connection, LOOKS[name])} == ids, who


def test_copy(opened: Callmart) -> None:
    for who, ids in {None: set(WITH_DATA), NAMED: {NAMED}}.items():
        with (
            login(opened, who) as connection,
            connection.cursor().copy("copy (select customer_id from mart.queue_interval) to stdout") as copy,
        ):
            assert {int(row[0]) for row in copy.rows()} == ids


@pytest.mark.parametrize("barrier", ["mart.queue_interval", "(select * from mart.queue_interval where true)"])
def test_a_cheap_function_is_told_nothing_of_others(opened: Callmart, barrier: str) -> None:
    for who, ids in {None: set(WITH_DATA), NAMED: {NAMED}}.items():
        told: list[str] = []
        with login(opened, who) as connection:
            connection.add_notice_handler(lambda notice, told=told: told.append(str(notice.message_primary)))
            run(
                connection,
                f"""
                create function pg_temp.tell(integer, integer) returns boolean language plpgsql cost 0.0001 as $$
                begin raise notice '%', $1; return true; end $$;
                create operator pg_temp.<<<< (function = pg_temp.tell, leftarg = integer, rightarg = integer);
                select 1 from {barrier} as q where customer_id operator(pg_temp.<<<<) 1
                """,
            )
        assert {int(message) for message in told} == ids


def test_errors_carry_no_values_of_others(opened: Callmart) -> None:
    with login(opened, NAMED) as connection:
        with pytest.raises(psycopg.errors.DivisionByZero), connection.transaction():
            connection.execute(f"select 1 / (customer_id - {NAMED}) from mart.queue_interval")
        for other in (ANONYMOUS, STANDARD):
            assert connection.execute(
                f"select 1 / (customer_id - {other}) from mart.queue_interval"
            ).fetchall()
        with pytest.raises(psycopg.errors.InvalidTextRepresentation) as error:
            connection.execute(
                "select queue::integer from mart.queue_interval where queue <> 'old' order by 1 desc"
            )
    assert queue_of(NAMED) in str(error.value)
    assert not any(queue_of(other) in str(error.value) for other in (ANONYMOUS, STANDARD))


def test_a_key_cannot_be_probed(opened: Callmart) -> None:
    key = opened.rows("select * from mart.queue_interval where customer_id = %s limit 1", STANDARD)[0]
    probe = sql.SQL(
        "insert into mart.queue_interval (customer_id, call_date, queue, interval_start) values ({}, {}, {}, {})"
    ).format(key["customer_id"], key["call_date"], key["queue"], key["interval_start"])
    with login(opened, None) as owner, pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute(probe)
    with login(opened, NAMED) as connection:
        assert refused(connection, probe.as_string())


def test_a_day_that_is_too_old_is_hidden(opened: Callmart) -> None:
    old = (
        "select (access.retention_floor() - call_date)::integer from mart.queue_interval where queue = 'old'"
    )
    for who, ages in {None: [0, 1], **{customer: [0] for customer in WITH_DATA}}.items():
        with login(opened, who) as connection:
            assert sorted({row[0] for row in connection.execute(old)}) == ages  # type: ignore[arg-type]
    own_date = OWN_TYPES.format(other=ANONYMOUS)
    with login(opened, NAMED) as connection:
        assert {row[0] for row in run(connection, own_date + old)} == {0}


STRING_BODIES = {
    "current_customer() returns integer": "select substring(current_user::text from '[0-9]+$')::integer",
    "retention_floor() returns date": (
        "select ((now() at time zone 'Europe/Amsterdam') - interval '2 years')::date"
    ),
}


@pytest.mark.parametrize("function", STRING_BODIES)
def test_types_of_ones_own_would_bend_a_string_body(opened: Callmart, function: str) -> None:
    """The attack is real: the same function, written as a string, shows another's rows and days that are gone."""
    with postgres(opened) as connection:
        floor = connection.execute("select access.retention_floor()").fetchall()[0][0]
        query = f"select customer_id, call_date < '{floor}' from mart.queue_interval"
        connection.execute(
            f"create or replace function access.{function} language sql stable as $${STRING_BODIES[function]}$$"
        )
        role = access.customer_role(server.DATABASE, NAMED)
        seen = []
        for types in ("", OWN_TYPES.format(other=ANONYMOUS)):
            connection.execute(f"set local role {role}")
            seen.append(set(run(connection, types + query)))
            connection.execute("reset role")
    assert seen[0] == {(NAMED, False)} != seen[1]


# -- reaching for more ---------------------------------------------------------------------------------------------


def relations(connection: psycopg.Connection, *schemas: str) -> list[str]:
    """All tables, partitions, views and sequences of some schemas."""
    return [
        name
        for (name,) in connection.execute(
            """
            select format('%%I.%%I', nspname, relname)
            from pg_class as c join pg_namespace as n on n.oid = c.relnamespace
            where nspname = any(%s) and relkind in ('r', 'p', 'v', 'm', 'S', 'f')
            order by 1
            """,
            [list(schemas)],
        )
    ]


def test_nothing_but_the_marts_can_be_read(opened: Callmart) -> None:
    with login(opened, None) as owner:
        found = relations(owner, *OURS)
        for name in found:
            owner.execute(f"select 1 from {name} limit 1")  # type: ignore[arg-type]
    assert {name.split(".")[0] for name in found} >= {"registry", "raw", "build", "mart", "ops"}
    for customer in WITH_DATA:
        marts = {"mart.queue_interval"} | (
            {"mart.agent", "mart.agent_day"} if customer in DETAILED else set()
        )
        with login(opened, customer) as connection:
            assert {
                name for name in found if not refused(connection, f"select 1 from {name} limit 1")
            } == marts


def test_nothing_but_the_policies_functions_can_be_called(opened: Callmart) -> None:
    query = """
        select p.oid::regprocedure::text from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace
        where nspname = any(%s) and has_function_privilege(p.oid, 'execute')
    """
    with login(opened, None) as owner:
        assert len(owner.execute(query, [list(OURS)]).fetchall()) > 2
    for who in (*WITH_DATA, "publisher"):
        with login(opened, who) as connection:
            may = {name for (name,) in connection.execute(query, [list(OURS)])}
        assert may == (
            {"access.current_customer()", "access.retention_floor()"} if who != "publisher" else set()
        )


def test_nobody_can_be_somebody_else(opened: Callmart) -> None:
    with login(opened, None) as owner:
        roles = [name for (name,) in owner.execute("select rolname from pg_roles")]
    for customer in WITH_DATA:
        own = access.customer_role(server.DATABASE, customer)
        assert own in roles
        with login(opened, customer) as connection:
            for role in roles:
                if role != own:
                    assert refused(connection, f"set role {role}"), role
                    assert refused(connection, f"set session authorization {role}"), role
    with login(opened, "publisher") as publisher:
        free = {role for role in roles if not refused(publisher, f"set role {role}")}
    assert free == {access.customer_role(server.DATABASE, customer) for customer in WITH_DATA} | {
        access.publisher_role(server.DATABASE)
    }


FORBIDDEN = [
    "insert into mart.queue_interval (customer_id) values (1001)",
    "update mart.queue_interval set offered = 0",
    "delete from mart.queue_interval",
    "truncate mart.queue_interval",
    "merge into mart.queue_interval as q using (values (1001)) as c (id) on q.customer_id = c.id"
    " when matched then delete",
    "copy mart.queue_interval from stdin",
    "select 1 from mart.queue_interval for key share",
    "lock table mart.queue_interval in row exclusive mode",
    "lock table mart.queue_interval in access exclusive mode",
    "alter table mart.queue_interval disable row level security",
    "alter table mart.queue_interval no force row level security",
    "drop policy own_rows on mart.queue_interval",
    "alter policy own_rows on mart.queue_interval using (true)",
    "create policy mine on mart.queue_interval using (true)",
    "create trigger mine before insert on mart.queue_interval execute function suppress_redundant_updates_trigger()",
    "create index on mart.queue_interval (customer_id)",
    "create table mart.mine ()",
    "create table public.mine ()",
    "create view access.mine as select 1",
    "create or replace function access.current_customer() returns integer return 1002",
    "create schema mine",
    "comment on table mart.queue_interval is 'mine'",
    "create role mine",
    "alter role callmart_customer_1001 bypassrls",
    "alter role callmart_publisher password 'mine'",
    "grant callmart_reads_agent to callmart_customer_1003",
    "grant callmart_customer_1002 to callmart_customer_1001",
    "select pg_reload_conf()",
    "set session_replication_role = replica",
    "set log_min_messages = debug5",
    "copy (select 1) to '/tmp/mine'",
    "copy (select 1) to program 'true'",
    "select pg_read_file('PG_VERSION')",
    "select pg_ls_dir('.')",
    "select lo_import('/etc/hostname')",
    "select * from pg_statistic",
    "select * from pg_authid",
    "create foreign data wrapper mine",
    "create publication mine for all tables",
    "select pg_create_logical_replication_slot('mine', 'test_decoding')",
    "select nextval('ops.mark')",
    "create function pg_temp.mine() returns void language c as 'mine'",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
def test_nothing_can_be_written_or_changed(opened: Callmart, statement: str) -> None:
    for customer in WITH_DATA:
        with login(opened, customer) as connection:
            assert refused(connection, statement)


@pytest.mark.parametrize("extension", ["dblink", "file_fdw", "postgres_fdw", "plpython3u"])
def test_no_extension_leads_out(opened: Callmart, extension: str) -> None:
    with (
        login(opened, NAMED) as connection,
        pytest.raises(
            (
                psycopg.errors.InsufficientPrivilege,
                psycopg.errors.FeatureNotSupported,
                psycopg.errors.UndefinedFile,
            )
        ),
    ):
        connection.execute(f"create extension {extension}")  # type: ignore[arg-type]


def test_row_security_cannot_be_switched_off(opened: Callmart) -> None:
    with login(opened, NAMED) as connection:
        connection.execute("set row_security = off")
        assert refused(connection, "select * from mart.queue_interval")
        connection.execute("set row_security = on")
        assert connection.execute("select 1 from mart.queue_interval").fetchone()


def test_sessions_are_read_only_and_limited_until_told_otherwise(opened: Callmart) -> None:
    with opened.connect(NAMED) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("create temporary table mine ()")
    with opened.connect(NAMED) as connection:
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            assert connection.execute(f"show {setting}").fetchone() != ("0",)  # type: ignore[arg-type]


def test_statistics_and_others_queries_are_hidden(opened: Callmart) -> None:
    query = "select most_common_vals::text from pg_stats where schemaname = any(%s)"
    with postgres(opened) as superuser:
        superuser.execute("analyze mart.queue_interval")
        assert superuser.execute(query, [list(OURS)]).fetchall()
        superuser.execute("select 'known only to me'")
        for who in (*WITH_DATA, "publisher"):
            with login(opened, who) as connection:
                assert not connection.execute(query, [list(OURS)]).fetchall()
                assert not connection.execute("select 1 from pg_stats_ext").fetchall()
                queries = [text for (text,) in connection.execute("select query from pg_stat_activity")]
                assert "<insufficient privilege>" in queries
                assert not any("known only to me" in text for text in queries)


def test_a_large_object_is_its_writers_own(opened: Callmart) -> None:
    with opened.connect(NAMED) as writer:
        writer.execute("set transaction read write")
        made = writer.execute("select lo_from_bytea(0, 'mine')").fetchone()
    assert made is not None
    read = f"select lo_get({made[0]})"
    with login(opened, NAMED) as writer:
        assert writer.execute(read).fetchone() == (b"mine",)  # type: ignore[arg-type]
        for who in (ANONYMOUS, STANDARD, "publisher"):
            with login(opened, who) as other:
                assert refused(other, read)


def test_a_customers_locks_stop_no_run(opened: Callmart) -> None:
    with login(opened, NAMED) as connection, opened.connect() as owner:
        connection.execute("select pg_advisory_xact_lock(%s)", [42])  # what it may
        assert refused(connection, "lock table ops.running_now in exclusive mode")
        with stages.exclusive(owner), opened.connect() as second, pytest.raises(UserError):
            stages.exclusive(second).__enter__()


# -- the publisher -------------------------------------------------------------------------------------------------


def test_the_publisher_reads_only_as_a_customer(opened: Callmart) -> None:
    with login(opened, "publisher") as publisher:
        for name in relations(publisher, *OURS):
            assert refused(publisher, f"select 1 from {name} limit 1"), name
        for customer in WITH_DATA:
            publisher.execute(f"set role {access.customer_role(server.DATABASE, customer)}")
            assert publisher.execute("select distinct customer_id from mart.queue_interval").fetchall() == [
                (customer,)
            ]
            assert refused(publisher, "select * from mart.agent_day") == (customer not in DETAILED)
            publisher.execute("reset role")


# -- mutants -------------------------------------------------------------------------------------------------------


def leaks(connection: psycopg.Connection) -> list[str]:
    """What differs from the protection as it should be: rows, privileges, policies. Asked as the superuser, who
    becomes each customer in turn; its own rows come by an explicit filter.
    """
    found = unprotected(connection)
    found += [f"{member} becomes {role}" for member, role in connection.execute(BECOMES)]
    options = dict(connection.execute("select * from registry.current_option").fetchall())
    every = relations(connection, *OURS)
    for customer, option in options.items():
        for name in every:
            group = {"mart.queue_interval": "queue", "mart.agent_day": "agent", "mart.agent": "agent"}.get(
                name
            )
            expected: set[object] | None = None
            if group in access.OPENS[option]:
                floor = "and call_date >= (now() at time zone 'Europe/Amsterdam' - interval '2 years')::date"
                own = (
                    f"from {name} as t where customer_id = {customer} {floor if name != 'mart.agent' else ''}"
                )
                expected = set(connection.execute(f"select row(t.*)::text {own}").fetchall())  # type: ignore[arg-type]
                assert expected, "nothing to compare"
            if _rows_as(connection, access.customer_role(server.DATABASE, customer), name) != expected:
                found.append(f"{customer}: {name}")
    publisher = access.publisher_role(server.DATABASE)
    return found + [
        f"publisher: {name}" for name in every if _rows_as(connection, publisher, name) is not None
    ]


def _rows_as(connection: psycopg.Connection, role: str, relation: str) -> set[object] | None:
    """All rows that a role sees; none where it is refused."""
    try:
        with connection.transaction():
            connection.execute(f"set local role {role}")  # type: ignore[arg-type]
            return set(connection.execute(f"select row(t.*)::text from {relation} as t").fetchall())  # type: ignore[arg-type]
    except psycopg.errors.InsufficientPrivilege:
        return None
    finally:
        connection.execute("reset role")


# A customer that can become anybody, or the publisher anybody but a customer.
BECOMES = """
select member.rolname, role.rolname
from pg_roles as member cross join pg_roles as role
where
    (member.rolname ~ '^callmart_customer_' or member.rolname = 'callmart_publisher')
    and member.oid <> role.oid
    and not (member.rolname = 'callmart_publisher' and role.rolname ~ '^callmart_customer_')
    and pg_has_role(member.oid, role.oid, 'set')
"""


def test_the_database_as_it_stands_leaks_nothing(opened: Callmart) -> None:
    with postgres(opened) as connection:
        assert leaks(connection) == []


def test_nor_does_it_after_a_restart(opened: Callmart) -> None:
    opened.stop()
    with postgres(opened) as connection:
        assert leaks(connection) == []


OWN_ROWS = "customer_id = access.current_customer() and call_date >= access.retention_floor()"
MUTANTS = {
    "policy dropped": "drop policy own_rows on mart.queue_interval",
    "policy open": "alter policy own_rows on mart.queue_interval using (true)",
    "policy without the floor": (
        "alter policy own_rows on mart.queue_interval using (customer_id = access.current_customer())"
    ),
    "policy without the customer": (
        "alter policy own_rows on mart.queue_interval using (call_date >= access.retention_floor())"
    ),
    "policy for everybody": "create policy more on mart.queue_interval using (true)",
    "policy of a mart without days open": "alter policy own_rows on mart.agent using (true)",
    "security disabled": "alter table mart.queue_interval disable row level security",
    "not forced": "alter table mart.queue_interval no force row level security",
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
    "a customer bypasses": f"alter role callmart_customer_{NAMED} bypassrls",
    "a customer reads everything": f"grant pg_read_all_data to callmart_customer_{STANDARD}",
    "the publisher inherits": f"grant callmart_customer_{NAMED} to callmart_publisher with inherit true",
    "the publisher reads": "grant callmart_reads_queue to callmart_publisher",
    "a view of the owner's": (
        "create view mart.summary as select * from mart.queue_interval;"
        " grant select on mart.summary to callmart_reads_queue"
    ),
}


@pytest.mark.parametrize("mutant", MUTANTS)
def test_every_mutant_is_noticed(opened: Callmart, mutant: str) -> None:
    with postgres(opened) as connection:
        partition = next(
            name for name in relations(connection, "mart") if name.startswith("mart.queue_interval_")
        )
        connection.execute(MUTANTS[mutant].format(partition=partition))  # type: ignore[arg-type]
        assert leaks(connection)


# -- what must not be there at all ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(opened: Callmart) -> dict[str, str]:
    """Every row of every table and partition of every schema, as text."""
    with postgres(opened) as connection:
        names = connection.execute(
            """
            select oid::regclass::text from pg_class
            where relkind in ('r', 'm', 'f') and relnamespace <> 'information_schema'::regnamespace
            """
        ).fetchall()
        return {
            name: "\n".join(row for (row,) in connection.execute(f"select t::text from {name} as t"))  # type: ignore[arg-type]
            for (name,) in names
        }


def holding(tables: dict[str, str], word: str) -> set[str]:
    """The tables with a word in some row; partitions under their parent's name."""
    return {re.sub(r"_\d{6}$", "", name) for name, rows in tables.items() if word in rows}


def files_holding(home: Path, word: str) -> set[Path]:
    """The files with a word in them, the server's own included: what it logs and what it writes ahead is stored."""
    found = set()
    for file in home.rglob("*"):
        if file.is_file() and file.stat().st_size:
            with file.open("rb") as opened, mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as content:
                if content.find(word.encode()) >= 0:
                    found.add(file)
    return found


def test_ids_of_agents_stand_in_two_places_and_anonymous_ones_in_none(
    opened: Callmart, tables: dict[str, str]
) -> None:
    for word in (agent_of(NAMED, 2), "Noor Zandvliet"):
        # The planner's sample of a column is the superuser's alone.
        assert holding(tables, word) - {"pg_statistic"} == {"registry.agent", "mart.agent"}
    for customer in (ANONYMOUS, STANDARD, NONE):
        assert holding(tables, agent_of(customer, 2)) == set()
    assert files_holding(opened.home, agent_of(NAMED, 2))
    assert not files_holding(opened.home, agent_of(ANONYMOUS, 2))


def test_anonymous_agents_have_a_stable_pseudonym(opened: Callmart) -> None:
    shown = opened.rows("select agent_key, agent from mart.agent", customer_id=ANONYMOUS)
    assert len(shown) == 4
    assert all(row["agent"] == f"agent-{row['agent_key'][:10]}" for row in shown)


def test_numbers_stand_nowhere(opened: Callmart, tables: dict[str, str]) -> None:
    assert "raw.event" in holding(tables, queue_of(NAMED))
    assert holding(tables, NUMBERS) == set()
    assert files_holding(opened.home, queue_of(NAMED))
    assert not files_holding(opened.home, NUMBERS)


def test_a_withheld_number_has_no_key(opened: Callmart) -> None:
    keys = "select count(number_key) as keys, count(*) as n from raw.event where number_withheld is {}"
    assert opened.rows(keys.format("true"))[0]["keys"] == 0 < opened.rows(keys.format("true"))[0]["n"]
    assert opened.rows(keys.format("false"))[0]["keys"] > 0


def test_nothing_is_kept_of_who_ordered_nothing(opened: Callmart, tables: dict[str, str]) -> None:
    assert holding(tables, call_of(NAMED)) == {"raw.event"}
    assert holding(tables, call_of(NONE)) == holding(tables, queue_of(NONE)) == set()
    assert not files_holding(opened.home, call_of(NONE))
    turned_away = opened.rows("select details from ops.audit_log where action = 'turned away'")
    assert [row["details"]["rows"] > 0 for row in turned_away] == [True]


def test_under_standard_no_agent_has_a_row(opened: Callmart) -> None:
    for mart in ("agent", "agent_day"):
        rows = opened.rows(f"select distinct customer_id from mart.{mart}")
        assert {row["customer_id"] for row in rows} == set(DETAILED)
