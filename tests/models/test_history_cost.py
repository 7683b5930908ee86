"""What a build reads: the days to compute, what they look back at, and of two years of events nothing else."""

from collections import Counter
from datetime import timedelta

import pytest
from psycopg import sql

from callmart_home import Callmart
from events import DAY, event, ndjson, registry
from events import at as moment
from explained import explained

LONG_AGO = 100  # days: in another month, and further back than anything that is looked for

# The models that read raw events over some days, and need no other model computed before but a visit.
READERS = ("stg_call_event", "int_caller", "stg_agent")
STATUSES = 500  # of an agent, before or in the window
AGENTS = 20


@pytest.fixture(scope="module")
def landed(callmart: Callmart) -> Callmart:
    """A day of calls and of an agent, and the same long ago; only the later day is in the window."""
    callmart.apply(registry("id: 1042, contracts: [{option: detailed, from: 2020-01-01}]"))
    told = [
        row
        for day in (-LONG_AGO, -3, 0)
        for row in (
            event("call_started", moment("10:00", day), call_id=f"c-{day}", direction="inbound"),
            event(
                "queue_joined",
                moment("10:01", day),
                call_id=f"c-{day}",
                queue="sales",
                other_number="0612345678",
            ),
            event("queue_left", moment("10:02", day), call_id=f"c-{day}", queue="sales", reason="abandoned"),
            event("agent_status", moment("09:00", day), agent="anna", reason="available"),
            event("agent_status", moment("17:00", day), agent="anna", reason="away"),
        )
    ]
    callmart.land_text(ndjson(*told), 1042)
    callmart.build_unchecked()
    with callmart.connect() as connection:
        connection.execute("truncate build.window")
        connection.execute("insert into build.window values (1042, %s, 0)", [DAY])
        connection.execute(f"insert into build.stg_day {callmart.compiled('stg_day')}".encode())
        connection.execute(
            """
            insert into build.int_visit (customer_id, call_date, queue, call_key, number_key)
            values (1042, %s, 'sales', 0, 'a key')
            """,
            [DAY],
        )
    return callmart


@pytest.mark.parametrize("model", READERS)
def test_old_months_are_not_read(landed: Callmart, model: str) -> None:
    with landed.connect() as connection:
        nodes = explained(connection, landed.compiled(model))
    reads = Counter[str]()
    for node in nodes:
        if node.get("Relation Name", "").startswith("event_"):
            reads[node["Relation Name"]] += node["Actual Loops"]
    long_ago = f"event_{DAY - timedelta(days=LONG_AGO):%Y%m}"
    assert reads.total() > 0
    assert reads[long_ago] == 0


def test_of_a_mart_only_the_weeks_before_are_read(landed: Callmart) -> None:
    with landed.connect() as connection:
        nodes = explained(connection, landed.compiled("int_volume"))
    reads = Counter[str]()
    for node in nodes:
        if node.get("Relation Name", "").startswith("queue_interval_"):
            reads[node["Relation Name"]] += node["Actual Loops"]
    assert reads.total() > 0
    assert reads[f"queue_interval_{DAY - timedelta(days=LONG_AGO):%Y%m}"] == 0


def test_logins_of_a_month_are_found_without_reading_its_statuses(landed: Callmart) -> None:
    with landed.connect() as connection:
        connection.execute(f"insert into build.stg_agent {landed.compiled('stg_agent')}".encode())
        connection.execute(
            """
            insert into raw.event (customer_id, occurred_at, event_key, platform, event, file_id, agent_key, reason)
            select customer_id, occurred_at - make_interval(mins => 10 * ago), ago, platform, event, file_id, agent_key,
                case ago %% 2 when 0 then 'away' else 'busy' end
            from raw.event
            cross join generate_series(1, %s) as ago
            where event = 'agent_status' and occurred_at = %s
            """,
            [STATUSES, moment("09:00", 0)],
        )
        connection.execute("analyze raw.event")
        for cheaper_for_so_few in ("seqscan", "bitmapscan", "hashjoin", "mergejoin"):
            connection.execute(f"set local enable_{cheaper_for_so_few} = off")
        nodes = explained(connection, landed.compiled("stg_agent_event"))
        connection.rollback()
    rows_read = sum(
        node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))
        for node in nodes
        if node.get("Relation Name", "").startswith("event_")
    )
    assert 0 < rows_read < STATUSES


def test_a_month_without_samples_is_read_agent_by_agent(landed: Callmart) -> None:
    with landed.connect() as connection:
        connection.execute(
            """
            insert into raw.event (customer_id, occurred_at, event_key, platform, event, file_id, agent_key, reason)
            select customer_id, occurred_at + make_interval(secs => told), agent * %(statuses)s + told, platform, event,
                file_id, agent::text, 'busy'
            from raw.event
            cross join generate_series(1, %(agents)s) as agent
            cross join generate_series(1, %(statuses)s) as told
            where event = 'agent_status' and occurred_at = any(%(moments)s)
            """,
            {
                "agents": AGENTS,
                "statuses": STATUSES,
                "moments": [moment("09:00", day) for day in (-3, 0)],
            },
        )
        connection.execute(f"insert into build.stg_agent {landed.compiled('stg_agent')}".encode())
        connection.execute("analyze build.stg_agent")
        month = f"event_{DAY:%Y%m}"
        connection.execute("select pg_clear_relation_stats('raw', %s)", [month])
        connection.execute(
            """
            select pg_clear_attribute_stats('raw', relname, attname, false)
            from pg_attribute
            inner join pg_class on attrelid = pg_class.oid
            where relname = %s and attnum > 0
            """,
            [month],
        )
        nodes = explained(connection, landed.compiled("stg_agent_event"))
        connection.rollback()
    rows_touched = max(
        node["Actual Loops"]
        * (
            node["Actual Rows"]
            + node.get("Rows Removed by Filter", 0)
            + node.get("Rows Removed by Join Filter", 0)
        )
        for node in nodes
    )
    told = AGENTS * STATUSES
    assert told <= rows_touched < 3 * told


def test_agents_are_found_without_reading_all_events_of_a_small_customer(landed: Callmart) -> None:
    with landed.connect() as connection:
        month = f"raw.event_{DAY:%Y%m}"
        others = connection.execute(
            "select inhrelid::regclass::text from pg_inherits"
            " where inhparent = 'raw.event'::regclass and inhrelid <> %s::regclass",
            [month],
        ).fetchall()
        for (other,) in others:  # in one month the planner is more easily mistaken
            connection.execute(sql.SQL("drop table {}").format(sql.Identifier(*other.split("."))))
        connection.execute(
            """
            insert into raw.event (customer_id, occurred_at, event_key, platform, event, file_id, agent_key, reason)
            select customer_id, occurred_at + make_interval(secs => told), agent * 10 + told, platform, event, file_id,
                agent::text, 'busy'
            from raw.event
            cross join generate_series(1, 10) as told
            cross join generate_series(1, 200) as agent
            where event = 'agent_status' and occurred_at = %s
            """,
            [moment("09:00", 0)],
        )
        connection.execute("analyze raw.event")
        nodes = explained(connection, landed.compiled("stg_agent"))
        connection.rollback()
    rows_read = sum(
        node["Actual Loops"] * node["Actual Rows"]
        for node in nodes
        if node.get("Relation Name", "").startswith("event_")
    )
    assert 200 <= rows_read < 2 * 200


def test_autovacuum_leaves_the_tables_of_a_build_alone(landed: Callmart) -> None:
    with landed.connect() as connection:
        tables = connection.execute(
            "select relname, reloptions from pg_class where relnamespace = 'build'::regnamespace"
            " and relkind = 'r' and relpersistence = 'u'"
        ).fetchall()
    assert {"int_call", "queue_interval"} <= {name for name, _ in tables}
    assert [name for name, options in tables if options != ["autovacuum_enabled=false"]] == []
