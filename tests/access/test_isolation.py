"""Nobody sees what is not theirs: the attacks as each login, and mutants of the protection that must be noticed.

Each attack is answered to the owner too, who sees all customers: a look that finds nothing proves nothing.
"""

import mmap
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from callmart.access import drift, logins, memberships, rights, roles
from callmart.audit import attempts, inference, planner
from callmart.audit.attacks import ATTACKS, OWN_TYPES, Attack
from callmart.audit.attempts import Attempt, Scene
from callmart.audit.channels import log_in
from callmart.audit.tables import append_only
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT
from callmart.database import server
from callmart.database.lock import exclusive
from callmart.declarations import dbt_project, matrix, metrics
from callmart_home import Callmart
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
    queue_of,
)
from dbt_by_hand import run_dbt

OURS = ("registry", "raw", "build", "store", "mart", "usage", "access", "ops")


@pytest.fixture(scope="module")
def opened(played: Callmart) -> Callmart:
    """Three customers with open marts, and of each a row that is just too old and one that is just not."""
    with played.connect() as owner:
        for age in (0, 1):
            owner.execute(
                "select access.ensure_month('store.queue_interval', access.retention_floor() - %s)", [age]
            )
            owner.execute(
                """
                insert into store.queue_interval (customer_id, call_date, queue, interval_start)
                select customer_id, access.retention_floor() - %s, 'old', access.retention_floor()
                from registry.current_option
                """,
                [age],
            )
    return played


@contextmanager
def login(callmart: Callmart, who: int | str | None) -> Iterator[psycopg.Connection]:
    """A customer, a duty or the owner, each by its own password; nothing that it does is kept."""
    connection = logins.connect(callmart.settings, who) if isinstance(who, str) else callmart.connect(who)
    with connection:
        connection.execute("set transaction read write")  # the default is only a courtesy
        yield connection
        connection.rollback()


@pytest.fixture
def temporary(opened: Callmart) -> Iterator[None]:
    """Everybody may make temporary things, as in a database that is not the owner's: so the policies are tried."""
    with opened.superuser(keep=False) as superuser:
        superuser.execute("grant temporary on database callmart to public")
        superuser.execute("alter event trigger refuse_definitions disable")
        superuser.commit()
        yield
        superuser.execute("revoke temporary on database callmart from public")
        superuser.execute("alter event trigger refuse_definitions enable")
        superuser.commit()


def refused(connection: psycopg.Connection, statement: str) -> bool:
    """Whether PostgreSQL refuses a statement for want of a privilege, and for no other reason."""
    try:
        with connection.transaction():
            connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


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


# -- the attacks -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def scene(opened: Callmart) -> Scene:
    """What stands there to be attacked."""
    with opened.connect() as owner:
        return attempts.scene(owner, opened.settings)


@pytest.fixture(scope="module")
def sessions(opened: Callmart, scene: Scene) -> Iterator[dict[str, psycopg.Connection]]:
    """Every attacker's session by its role, and the owner's."""
    found = {attacker.role: log_in(opened.settings, attacker.role) for attacker in attempts.attackers(scene)}
    found[scene.owner] = server.connect(opened.settings, autocommit=True)
    yield found
    for session in found.values():
        session.close()


def made(scene: Scene, attack: Attack) -> list[tuple[str, Attempt]]:
    """All that an attack is, by every attacker, each by its role; not on a mart without rows of several customers."""
    shared = {attempts.name_of(mart) for mart in scene.marts if len(scene.holders(mart)) > 1}
    assert shared >= {"mart.queue_interval", "mart.agent_day", "mart.agent"}
    return [
        (attacker.role, attempt)
        for attacker in attempts.attackers(scene)
        for attempt in attempts.attempts(scene, attacker, [attack])
        if "mart" not in attack.aim or attempt.place in shared
    ]


def id_of(attack: Attack) -> str:
    return f"{attack.family}-{attack.name}".replace(" ", "-")


def test_every_attack_has_a_name_of_its_own() -> None:
    assert len({id_of(attack) for attack in ATTACKS}) == len(ATTACKS) > 150


@pytest.mark.usefixtures("temporary")
@pytest.mark.parametrize("attack", ATTACKS, ids=id_of)
def test_an_attack_fails(scene: Scene, sessions: dict[str, psycopg.Connection], attack: Attack) -> None:
    controls = {}
    tried = made(scene, attack)
    assert tried
    for role, attempt in tried:
        if attempt.control not in controls:
            controls[attempt.control] = attempts.make(sessions[scene.owner], attempt.control, attack)
        if controls[attempt.control].absent():
            pytest.skip("this server has not what the attack needs")
        assert controls[attempt.control].proves(attempt), (role, attempt.place)
        answer = attempts.make(sessions[role], attempt.sql, attack)
        assert answer.withstood(attempt), (role, attempt.place)
        # It is the policy that withstands a look, not the want of something else.
        assert attack.kind == "reach" or answer.refused is None, (role, attempt.place)


LEFT_OUT = ("beginning of time", "expired", "stranger")  # by the contract, not refused


@pytest.mark.parametrize(
    "attack",
    [attack for attack in ATTACKS if attack.family == "landing" and attack.name not in LEFT_OUT],
    ids=id_of,
)
def test_what_nobody_refuses_lands(opened: Callmart, scene: Scene, attack: Attack) -> None:
    """It is raw.refuse_unprepared that withstands, and for no other reason than its own."""
    ((role, attempt),) = made(scene, attack)
    with opened.superuser(keep=False) as connection:
        (definition,) = connection.execute(
            "select pg_get_functiondef('raw.refuse_unprepared'::regproc)"
        ).fetchone() or [""]
        assert "if fault is not null then" in definition
        connection.execute(definition.replace("if fault is not null then", "if false then"))
        connection.execute(f"set local role {role}")
        assert not attempts.make(connection, attempt.sql, attack).withstood(attempt)


NEED_TEMPORARY = [
    attack for attack in ATTACKS if "pg_temp." in attack.sql or "create temporary" in attack.sql
]


@pytest.mark.parametrize("attack", NEED_TEMPORARY, ids=id_of)
def test_nobody_makes_things_of_its_own(
    scene: Scene, sessions: dict[str, psycopg.Connection], attack: Attack
) -> None:
    for role, attempt in made(scene, attack):
        assert attempts.make(sessions[role], attempt.sql, attack).refused == "42501", (role, attempt.place)


@pytest.mark.parametrize("customer", WITH_DATA)
def test_a_customer_sees_all_of_its_own(
    scene: Scene, sessions: dict[str, psycopg.Connection], customer: int
) -> None:
    """A look that would always be empty would pass as well."""
    role = roles.customer_role(server.DATABASE, customer)
    plain = next(attack for attack in ATTACKS if attack.name == "plain")
    looks = {attempt.place: attempt for who, attempt in made(scene, plain) if who == role}
    assert "mart.queue_interval" in looks
    assert ("mart.agent_day" in looks) == ("mart.agent" in looks) == (customer in DETAILED)
    for place, attempt in looks.items():
        rows = scene.rows[customer, place.removeprefix("mart.")]
        assert attempts.make(sessions[role], attempt.sql, plain).shown == {rows}


@pytest.mark.usefixtures("temporary")
def test_a_day_that_is_too_old_is_hidden_exactly(opened: Callmart) -> None:
    old = "select distinct (access.retention_floor() - call_date)::integer from mart.queue_interval where queue = 'old'"
    with login(opened, None) as owner:
        assert attempts.run(owner, old.replace("mart.", "store.")) == {0, 1}
    for customer in WITH_DATA:
        with login(opened, customer) as connection:
            assert attempts.run(connection, old) == {0}
    with login(opened, NAMED) as connection:
        assert attempts.run(connection, types_of_ones_own(ANONYMOUS) + old) == {0}


def types_of_ones_own(other: int) -> str:
    return OWN_TYPES.format(database=server.DATABASE, other=other)


def test_errors_carry_no_values_of_others(opened: Callmart) -> None:
    with (
        login(opened, NAMED) as connection,
        pytest.raises(psycopg.errors.InvalidTextRepresentation) as error,
    ):
        connection.execute(
            "select queue::integer from mart.queue_interval where queue <> 'old' order by 1 desc"
        )
    assert queue_of(NAMED) in str(error.value)
    assert not any(queue_of(other) in str(error.value) for other in (ANONYMOUS, STANDARD))


def test_a_key_cannot_be_probed(opened: Callmart) -> None:
    key = opened.rows("select * from store.queue_interval where customer_id = %s limit 1", STANDARD)[0]
    probe = sql.SQL(
        "insert into store.queue_interval (customer_id, call_date, queue, interval_start) values ({}, {}, {}, {})"
    ).format(key["customer_id"], key["call_date"], key["queue"], key["interval_start"])
    with login(opened, None) as owner, pytest.raises(psycopg.errors.UniqueViolation):
        owner.execute(probe)
    with login(opened, NAMED) as connection:
        assert refused(connection, probe.as_string())


STRING_BODIES = {
    "current_customer() returns integer": "select substring(current_user::text from '[0-9]+$')::integer",
    "retention_floor() returns date": (
        "select ((now() at time zone 'Europe/Amsterdam') - interval '2 years')::date"
    ),
}


@pytest.mark.parametrize("function", STRING_BODIES)
def test_types_of_ones_own_would_bend_a_string_body(opened: Callmart, function: str) -> None:
    """The attack is real: the same function, written as a string, shows another's rows and days that are gone."""
    with opened.superuser(keep=False) as connection:
        floor = connection.execute("select access.retention_floor()").fetchall()[0][0]
        # Not the view's own column, which says the lie: what it reads.
        query = f"select format('%s %s', queue, call_date < '{floor}') from mart.queue_interval"
        connection.execute(
            f"create or replace function access.{function} language sql stable as $${STRING_BODIES[function]}$$"
        )
        role = roles.customer_role(server.DATABASE, NAMED)
        connection.execute("grant temporary on database callmart to public")
        connection.execute("alter event trigger refuse_definitions disable")
        seen = []
        for types in ("", types_of_ones_own(ANONYMOUS)):
            connection.execute(f"set local role {role}")
            seen.append(attempts.run(connection, types + query))
            connection.execute("reset role")
    assert seen[0] == {f"{queue_of(NAMED)} f", "old f"} != seen[1]


def test_row_security_cannot_be_switched_off(opened: Callmart) -> None:
    with login(opened, NAMED) as connection:
        connection.execute("set row_security = off")
        assert refused(connection, "select * from mart.queue_interval")
        connection.execute("set row_security = on")
        assert connection.execute("select 1 from mart.queue_interval").fetchone()


def test_sessions_are_read_only_and_limited_until_told_otherwise(opened: Callmart) -> None:
    with opened.connect(NAMED) as connection, pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
        connection.execute("create table public.mine ()")
    with opened.connect(NAMED) as connection:
        for setting in ("statement_timeout", "idle_in_transaction_session_timeout"):
            assert connection.execute(f"show {setting}").fetchone() != ("0",)


def test_statistics_and_others_queries_are_hidden(opened: Callmart) -> None:
    query = "select most_common_vals::text from pg_stats where schemaname = any(%s)"
    with opened.superuser(keep=False) as superuser:
        superuser.execute("analyze raw.event")
        assert superuser.execute(query, [list(OURS)]).fetchall()
        superuser.execute("select 'known only to me'")
        for who in (*WITH_DATA, "publisher"):
            with login(opened, who) as connection:
                assert not connection.execute(query, [list(OURS)]).fetchall()
                assert not connection.execute("select 1 from pg_stats_ext").fetchall()
                queries = [text for (text,) in connection.execute("select query from pg_stat_activity")]
                assert "<insufficient privilege>" in queries
                assert not any("known only to me" in text for text in queries)


def test_a_large_object_is_nobodys_to_make_or_to_read(opened: Callmart) -> None:
    with opened.superuser(keep=False) as superuser:
        ((made,),) = superuser.execute("select lo_from_bytea(0, 'mine')").fetchall()
        superuser.execute(f"grant select, update on large object {made} to public")
        superuser.commit()
        for who in (*WITH_DATA, "publisher"):
            with login(opened, who) as other:
                assert refused(other, f"select lo_get({made})")
                assert refused(other, "select lo_from_bytea(0, 'mine')")
        superuser.execute(f"select lo_unlink({made})")
        superuser.commit()


def test_a_customers_locks_stop_no_run(opened: Callmart) -> None:
    with login(opened, NAMED) as connection, opened.connect() as owner:
        connection.execute("select from mart.queue_interval")  # what it may
        assert refused(connection, "lock table ops.running_now in exclusive mode")
        with exclusive(owner), opened.connect() as second, pytest.raises(UserError):
            exclusive(second).__enter__()


def test_no_login_fills_the_table_of_locks(opened: Callmart) -> None:
    """With what administrator.sql takes away it does, and then nobody gets in; without it, nobody can."""
    fills = "select count(pg_advisory_lock(g)) from generate_series(1, 3000000) as g"
    with login(opened, NAMED) as connection:
        assert refused(connection, fills)
    with opened.superuser(keep=False) as superuser:
        superuser.execute("grant execute on function pg_advisory_lock(bigint) to public")
        superuser.commit()
        connection = opened.connect(NAMED)
        try:
            with pytest.raises(psycopg.errors.OutOfMemory):
                connection.execute(fills)
            with pytest.raises(UserError, match="can't be reached"):
                opened.connect()
        finally:
            connection.close()
            closed = False
            while not closed:  # when the server has seen it
                with suppress(psycopg.errors.OutOfMemory), superuser.transaction():
                    superuser.execute("revoke execute on function pg_advisory_lock(bigint) from public")
                    closed = True


WAITS_FOR_READERS = (
    "create rule mine as on select to mart.queue_interval do instead select 1",
    "alter index store.queue_interval_pkey depends on extension plpgsql",
    "alter materialized view mart.queue_interval depends on extension plpgsql",
)


@pytest.mark.parametrize("statement", WAITS_FOR_READERS)
def test_nobody_defines_anything_while_readers_wait(opened: Callmart, statement: str) -> None:
    """PostgreSQL waits for the lock that stops all readers before it asks whether one may."""
    with opened.connect(STANDARD) as reader, login(opened, NAMED) as connection:
        reader.execute("select from mart.queue_interval")
        connection.execute("set lock_timeout = '2s'")
        assert refused(connection, statement)
        with opened.superuser(keep=False) as superuser:
            superuser.execute("set lock_timeout = '100ms'")
            with pytest.raises(psycopg.errors.LockNotAvailable):
                superuser.execute(statement)


@pytest.fixture
def analyzed(opened: Callmart) -> Iterator[None]:
    """All that ANALYZE samples, of as many rows as a year has, for estimates that differ."""
    with opened.superuser(keep=False) as superuser:
        superuser.execute("analyze")
        superuser.execute(
            "update pg_class set reltuples = 1e6"
            " where relkind = 'r' and oid in (select relation from access.mart_relation)"
        )
        superuser.commit()
    yield
    with opened.superuser(keep=False) as superuser:
        superuser.execute("analyze")
        superuser.commit()


@pytest.mark.usefixtures("analyzed")
def test_the_planner_tells_nothing_of_others(opened: Callmart, scene: Scene) -> None:
    """What EXPLAIN expects of a value is the same whether another customer has it or nobody; of every column."""
    compared = 0
    with login(opened, NAMED) as connection, opened.connect() as owner:
        for mart in scene.marts:
            for relation in rights.shown_in(mart) if mart.group != "usage" else ():
                where = inference.place(owner, mart, relation, NAMED)
                assert where is not None
                samples = list(planner.samples(owner, f"store.{mart.name}", where.types, NAMED))
                assert {one.column for one in samples} >= set(mart.key) & set(where.types)
                asked, found = planner.estimates(connection, relation, samples)
                assert (asked, found) == (len(samples) * len(planner.ESTIMATED), [])
                assert planner.nulls(connection, relation, where.nullable)[1] == []
                compared += asked
    assert compared > 1000


@pytest.mark.parametrize("on_leaves", [True, False])
def test_samples_that_were_taken_are_forgotten(opened: Callmart, *, on_leaves: bool) -> None:
    """Statistics set to 0 afterwards keep what was sampled before, and hide it from the owner; estimates tell."""
    condition = sql.SQL("queue = {}").format(queue_of(ANONYMOUS))
    months = opened.rows("select inhrelid::regclass::text as month from pg_inherits"
                         " where inhparent = 'store.queue_interval'::regclass")  # fmt: skip
    with opened.superuser(keep=False) as superuser:
        for target in (100, 0):
            for month in months if on_leaves else [{"month": "only store.queue_interval"}]:
                superuser.execute(f"alter table {month['month']} alter queue set statistics {target}")
            superuser.execute("analyze store.queue_interval")
        superuser.commit()
        sampled = "select 1 from pg_stats where schemaname = 'store' and attname = 'queue'"
        assert superuser.execute(sampled).fetchone()
    with opened.connect() as owner:
        before = estimate_of_owner(owner, condition)
        memberships.apply(owner, opened.settings, dbt_project.marts(opened.settings))
        owner.commit()
        assert not on_leaves or before != estimate_of_owner(owner, condition)
    with opened.superuser(keep=False) as superuser:
        assert not superuser.execute(sampled).fetchone()


def estimate_of_owner(connection: psycopg.Connection, condition: sql.Composable) -> int:
    query = sql.SQL("explain (format json) select from store.queue_interval where {}").format(condition)
    ((plan,),) = connection.execute(query).fetchall()
    return int(plan[0]["Plan"]["Plan Rows"])


# -- mutants ---------------------------------------------------------------------------------------------------------


def leaks(connection: psycopg.Connection, scene: Scene) -> list[str]:
    """What differs from the protection as it should be: rows, privileges, policies. Asked as the superuser, who
    becomes each login in turn; a customer's own rows come by an explicit filter.
    """
    found = unprotected(connection)
    found += [f"{member} becomes {role}" for member, role in connection.execute(BECOMES)]
    every = relations(connection, *OURS)
    marts = {relation: mart for mart in scene.marts for relation in rights.shown_in(mart)}
    options: dict[int, str] = dict(connection.execute("select * from registry.current_option").fetchall())
    for attacker in attempts.attackers(scene):
        for name in every:
            readable = name in attacker.reads | attacker.reads_partly
            if not attacker.customer:
                if (_rows_as(connection, attacker.role, name, "1") is not None) != readable:
                    found.append(f"{attacker.name}: {name}")
                continue
            expected: set[object] | None = None
            if name in marts and marts[name].group in roles.opens(options[attacker.own]):
                floor = "and {} >= (now() at time zone 'Europe/Amsterdam' - interval '2 years')::date"
                kept = floor.format(marts[name].day) if marts[name].day else ""
                expected = set(connection.execute(own_rows(marts[name], name, attacker.own, kept)).fetchall())
                assert expected or name not in ("mart.queue_interval", "mart.agent_day", "mart.agent")
            if _rows_as(connection, attacker.role, name, "row(t.*)::text") != expected:
                found.append(f"{attacker.name}: {name}")
    return found


def own_rows(mart: dbt_project.Mart, relation: str, customer: int, kept: str) -> str:
    """What a customer should see in a mart's view, or in the view of its ratios, as a query of its table."""
    own = f"(select * from store.{mart.name} where customer_id = {customer} {kept})"
    if relation == f"mart.{mart.name}":
        return f"select row(t.*)::text from {own} as t"
    ratios = metrics.as_view(mart.name, metrics.metrics().values())
    ratios = ratios.replace("access.current_customer()", str(customer)).replace(
        f"store.{mart.name}", f"{own} as s"
    )
    return f"select row(t.*)::text from ({ratios}) as t"


def _rows_as(connection: psycopg.Connection, role: str, relation: str, what: str) -> set[object] | None:
    """All rows that a role sees; none where it is refused."""
    try:
        with connection.transaction():
            connection.execute(f"set local role {role}")
            return set(connection.execute(f"select {what} from {relation} as t").fetchall())
    except psycopg.errors.InsufficientPrivilege:
        return None
    finally:
        connection.execute("reset role")


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


def drifted(connection: psycopg.Connection, callmart: Callmart) -> list[str]:
    """What `callmart access diff` and the audit find, asked within the superuser's transaction."""
    connection.execute("set local role callmart_owner")
    found = [one.text for one in drift.find(connection, dbt_project.marts(callmart.settings))]
    connection.execute("reset role")
    return found


def nothing_leaks(callmart: Callmart) -> bool:
    with callmart.connect() as owner:
        scene = attempts.scene(owner, callmart.settings)
    with callmart.superuser(keep=False) as connection:
        assert leaks(connection, scene) == []
        assert drifted(connection, callmart) == []
    return True


def test_the_database_as_it_stands_leaks_nothing(opened: Callmart) -> None:
    assert nothing_leaks(opened)


MUTANTS = {
    "view without a barrier": "alter view mart.queue_interval set (security_barrier = false)",
    "ratios without a barrier": "alter view mart.queue_ratios set (security_barrier = false)",
    "view reads as its reader": "alter view mart.queue_interval set (security_invoker = true)",
    "view of the owner's": "alter view mart.queue_interval owner to callmart_owner",
    "view for everybody": "grant select on mart.queue_interval to public",
    "a column of a view for everybody": "grant select (offered) on mart.queue_interval to public",
    "somebody owns the views": "grant callmart_shows_queue to callmart_operator",
    "the owner has the rights of who shows": "grant callmart_shows_queue to callmart_owner with inherit true",
    "who shows logs in": "alter role callmart_shows_queue login",
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
    "a customer bypasses": f"alter role callmart_customer_{NAMED} bypassrls",
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
def test_every_mutant_leaks(opened: Callmart, scene: Scene, mutant: str) -> None:
    """By rows and the catalogue alone, without what callmart itself says of drift."""
    with opened.superuser(keep=False) as connection:
        partition = next(
            name for name in relations(connection, "store") if name.startswith("store.queue_interval_")
        )
        connection.execute(MUTANTS[mutant].format(partition=partition))
        assert leaks(connection, scene)


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
    holders = {duty: roles.duty_role(server.DATABASE, duty) for duty in matrix.matrix().duties}
    holders |= {f"reads {group}": roles.group_role(server.DATABASE, group) for group in roles.GROUPS}
    for right in sorted(
        rights.wanted(connection, matrix.matrix(), holders, dbt_project.marts(callmart.settings))
    ):
        yield right.revoke().as_string(connection)
    for name in relations(connection, *OURS):
        if name != "mart.line_interval":
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
    """Each function and view of ours bent, and the trigger of the audit log taken away."""
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
    yield "create or replace function ops.refuse_change() returns trigger language plpgsql as 'begin return null; end'"
    yield (
        "create or replace view registry.current_option as"
        " select customer_id, 'detailed'::text as option from registry.customer"
    )
    yield (
        "create or replace view registry.kept_contract as select customer_id, 'detailed'::text as option,"
        " '-infinity'::date as valid_from, null::date as valid_until from registry.customer"
    )


def noticed(connection: psycopg.Connection, callmart: Callmart) -> bool:
    """Whether the catalogue is not as it should be, or the audit finds something in it."""
    return bool(unprotected(connection) or drifted(connection, callmart) or append_only(connection).breaches)


def test_no_mutant_survives(
    opened: Callmart, record_testsuite_property: Callable[[str, object], None]
) -> None:
    """Everything that protects, taken away one at a time: the catalogue or the audit's look at drift must notice."""
    survivors, count = [], 0
    with opened.superuser(keep=False) as connection:
        assert not noticed(connection, opened)
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
                if not noticed(connection, opened):
                    survivors.append(mutant)
    record_testsuite_property("mutants", count)
    assert survivors == []
    assert count > 300


# -- afterwards ------------------------------------------------------------------------------------------------------


def test_nothing_leaks_after_a_full_refresh(opened: Callmart) -> None:
    before = opened.rows("select count(*) as rows from store.queue_interval")
    ran = run_dbt(opened, PROJECT, "run", "--full-refresh")
    assert ran.returncode == 0, ran.stdout[-2000:]
    assert opened.rows("select count(*) as rows from store.queue_interval") == before
    assert nothing_leaks(opened)


def test_nothing_leaks_with_a_new_month(opened: Callmart) -> None:
    with opened.connect() as owner:
        for mart in ("queue_interval", "agent_day"):
            made = owner.execute("select access.ensure_month(%s, '2031-01-01')", [f"store.{mart}"]).fetchone()
            assert made == (True,)
        owner.commit()
        for mart in ("queue_interval", "agent_day"):
            assert f"store.{mart}_203101" in relations(owner, "store")
    assert nothing_leaks(opened)


def test_nothing_leaks_after_a_restart(opened: Callmart) -> None:
    opened.stop()
    assert nothing_leaks(opened)


# -- what must not be there at all ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tables(opened: Callmart) -> dict[str, str]:
    """Every row of every table and partition of every schema, as text."""
    with opened.superuser(keep=False) as connection:
        names = connection.execute(
            """
            select oid::regclass::text from pg_class
            where relkind in ('r', 'm', 'f') and relnamespace <> 'information_schema'::regnamespace
            """
        ).fetchall()
        return {
            name: "\n".join(row for (row,) in connection.execute(f"select t::text from {name} as t"))
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
        assert holding(tables, word) - {"pg_statistic"} == {"registry.agent", "store.agent"}
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
    assert holding(tables, call_of(NAMED)) - {"pg_statistic"} == {"raw.event"}
    assert holding(tables, call_of(NONE)) == holding(tables, queue_of(NONE)) == set()
    assert not files_holding(opened.home, call_of(NONE))
    turned_away = opened.rows("select details from ops.audit_log where action = 'turned away'")
    assert [row["details"]["rows"] > 0 for row in turned_away] == [True]


def test_under_standard_no_agent_has_a_row(opened: Callmart) -> None:
    for mart in ("agent", "agent_day"):
        rows = opened.rows(f"select distinct customer_id from store.{mart}")
        assert {row["customer_id"] for row in rows} == set(DETAILED)
