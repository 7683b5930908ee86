"""Nobody sees what is not theirs, and what nobody may see is not stored.

`test_an_attack_fails` proves that customers are kept apart: as each login, it makes each attack of the list that
`callmart audit` runs (callmart.audit.attacks). Each attack is answered to the owner too, who sees all customers: a
look that finds nothing proves nothing.
"""

import mmap
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

import kept_sessions
from callmart.access import logins, memberships, rights, roles
from callmart.audit import attempts, inference, planner
from callmart.audit.attacks import ATTACKS
from callmart.audit.attacks.attack import Attack
from callmart.audit.attacks.rows import OWN_TYPES
from callmart.audit.attempts import Attempt
from callmart.audit.channels import SESSION
from callmart.audit.scene import Scene, attackers
from callmart.base.errors import UserError
from callmart.database import embedded_server, server
from callmart.database.lock import exclusive
from callmart.declarations import dbt_project
from callmart_home import Callmart
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
from leaks import OURS, leaks_of, relations
from requests_of_persons import choose_password, password_of


@contextmanager
def login(callmart: Callmart, who: int | str | None) -> Iterator[psycopg.Connection]:
    """A customer, a duty or the owner, each by its own password; nothing that it does is kept."""
    connection = logins.connect(callmart.settings, who) if isinstance(who, str) else callmart.connect(who)
    with connection:
        connection.execute("set transaction read write")  # the default is only a courtesy
        yield connection
        connection.rollback()


def refused(connection: psycopg.Connection, statement: str) -> bool:
    """Whether PostgreSQL refuses a statement for want of a privilege, and for no other reason."""
    try:
        with connection.transaction():
            connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return True
    return False


# -- the attacks -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sessions(opened: Callmart, scene: Scene) -> Iterator[dict[str, psycopg.Connection]]:
    """Every attacker's session by its role, the owner's, and the superuser's."""
    choose_password(opened)
    found = {
        attacker.role: psycopg.connect(
            logins.login_uri(opened.settings, attacker.role),
            password=password_of(attacker.role),
            options=SESSION,
            autocommit=True,
            prepare_threshold=None,
        )
        for attacker in attackers(scene)
    }
    found[scene.owner] = server.connect(opened.settings, autocommit=True)
    found["postgres"] = psycopg.connect(
        host=str(embedded_server.start(opened.home)),
        user="postgres",
        dbname=embedded_server.DATABASE,
        autocommit=True,
    )
    yield found
    for session in found.values():
        session.close()


@pytest.fixture
def temporary(sessions: dict[str, psycopg.Connection]) -> Iterator[None]:
    """Everybody may make temporary things, as in a database that is not the owner's: so the policies are tried."""
    superuser = sessions["postgres"]
    superuser.execute("grant temporary on database callmart to public")
    superuser.execute("alter event trigger refuse_definitions disable")
    yield
    superuser.execute("revoke temporary on database callmart from public")
    superuser.execute("alter event trigger refuse_definitions enable")


def made(scene: Scene, attack: Attack) -> list[tuple[str, Attempt]]:
    """All that an attack is, by every attacker, each by its role; not on a mart without rows of several customers."""
    shared = {mart.shown_as for mart in scene.marts if len(scene.holders[mart.name]) > 1}
    assert shared >= {"mart.queue_interval", "mart.agent_day", "mart.agent"}
    return [
        (attacker.role, attempt)
        for attacker in attackers(scene)
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
        assert attack.kind == "act" or answer.refused is None, (role, attempt.place)


LEFT_OUT = ("beginning of time", "expired", "stranger")  # by the contract, not refused
REFUSALS = {
    "raw.refuse_unprepared": "if fault is not null then",
}


@pytest.mark.parametrize(
    "attack",
    [attack for attack in ATTACKS if attack.family == "landing" and attack.name not in LEFT_OUT],
    ids=id_of,
)
def test_what_nobody_refuses_lands(opened: Callmart, scene: Scene, attack: Attack) -> None:
    """It is the refusals of landing that withstand, and for no other reason than their own."""
    ((role, attempt),) = made(scene, attack)
    with opened.superuser(keep=False) as connection:
        for function, refusal in REFUSALS.items():
            (definition,) = connection.execute(
                "select pg_get_functiondef(%s::regproc)", [function]
            ).fetchone() or [""]
            assert refusal in definition
            connection.execute(definition.replace(refusal, "if false then"))
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
    role = roles.customer_role(embedded_server.DATABASE, customer)
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
    return OWN_TYPES.format(database=embedded_server.DATABASE, other=other)


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
        role = roles.customer_role(embedded_server.DATABASE, NAMED)
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


def test_what_is_built_leads_the_quality_to_no_event(opened: Callmart) -> None:
    """Views of what is built read with the rights of whoever asks, not with the owner's."""
    with login(opened, "quality") as connection:
        assert refused(connection, "select from build.stg_event")
        assert refused(connection, "select from build.stg_objector")
        for built in ("queue_interval", "int_volume", "stg_day"):
            assert not refused(connection, f"select from build.{built}")


def test_a_customers_locks_stop_no_run(opened: Callmart) -> None:
    with login(opened, NAMED) as connection, opened.connect() as owner:
        connection.execute("select from mart.queue_interval")  # what it may
        assert refused(connection, "lock table ops.running_now in exclusive mode")
        with exclusive(owner), opened.connect() as second, pytest.raises(UserError):
            exclusive(second).__enter__()


@pytest.mark.parametrize("duty", ["auditor", "loader", "operator", "privacy_officer", "quality"])
def test_what_a_duty_prepares_stops_no_run(opened: Callmart, duty: str) -> None:
    """Preparing locks a table as a writer does, and PostgreSQL checks rights only when it is executed."""
    with opened.connect() as owner, exclusive(owner):
        pass  # there is a table to be locked
    with login(opened, duty) as connection, opened.connect() as owner:
        connection.execute("prepare mine as delete from ops.running_now")
        with exclusive(owner), opened.connect() as second:
            with pytest.raises(UserError, match="another callmart run"):
                exclusive(second).__enter__()
            second.rollback()
            with pytest.raises(psycopg.errors.RaiseException, match="a callmart run is at work"):
                second.execute("select ops.begin_dbt('mine')")
        owner.execute("select ops.begin_dbt('mine')")
        owner.rollback()


def test_no_login_fills_the_table_of_locks(opened: Callmart) -> None:
    """With what administrator.sql takes away it does, and then nobody gets in; without it, nobody can."""
    fills = "select count(pg_advisory_lock(g)) from generate_series(1, 3000000) as g"
    with login(opened, NAMED) as connection:
        assert refused(connection, fills)
    with opened.superuser(keep=False) as superuser:
        superuser.execute("grant execute on function pg_advisory_lock(bigint) to public")
        superuser.commit()
        connection = opened.connect(NAMED)
        superuser.execute(
            "select pg_terminate_backend(pid, 5000) from pg_stat_activity where application_name = %s",
            [kept_sessions.NAME],
        )
        superuser.commit()
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
            if mart.name == "queue_contact":
                continue  # nobody here has ordered it
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


# -- afterwards ------------------------------------------------------------------------------------------------------


def test_nothing_leaks_with_a_new_month(opened: Callmart) -> None:
    with opened.connect() as owner:
        for mart in ("queue_interval", "agent_day"):
            made = owner.execute("select access.ensure_month(%s, '2031-01-01')", [f"store.{mart}"]).fetchone()
            assert made == (True,)
        owner.commit()
        for mart in ("queue_interval", "agent_day"):
            assert f"store.{mart}_203101" in relations(owner, "store")
    assert leaks_of(opened) == []


def test_nothing_leaks_after_a_restart(opened: Callmart) -> None:
    opened.stop()
    assert leaks_of(opened) == []


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
    assert "raw.event" in holding(tables, queue_of(NAMED))
    assert holding(tables, queue_of(NONE)) == set()
    assert holding(tables, call_of(NAMED)) == holding(tables, call_of(NONE)) == set()  # its id is in no table
    assert not files_holding(opened.home, call_of(NONE))
    turned_away = opened.rows("select details from ops.audit_log where action = 'turned away'")
    assert [row["details"]["rows"] > 0 for row in turned_away] == [True]


def test_under_standard_no_agent_has_a_row(opened: Callmart) -> None:
    for mart in ("agent", "agent_day"):
        rows = opened.rows(f"select distinct customer_id from store.{mart}")
        assert {row["customer_id"] for row in rows} == set(DETAILED)
