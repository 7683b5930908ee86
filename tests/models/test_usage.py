"""A month of usage over all customers: what shows of it, that it is frozen, who reads it and when it expires."""

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime, time, timedelta

import psycopg
import pytest

from callmart.access import drift, logins
from callmart.audit import tables
from callmart.audit.check import Check
from callmart.base.settings import PROJECT
from callmart.declarations import dbt_project
from callmart.retention import expiry_plan
from callmart_home import Callmart
from dbt_by_hand import run_dbt
from events import AMSTERDAM, Row, event, ndjson, registry
from today import TODAY

pytestmark = pytest.mark.dated

# Each does everything so often.
ROUNDS = {601 + number: 1 + number % 3 for number in range(11)}
LEAVES, LATE, LEAVES_DETAILED, BEGINS_LATER = 601, 602, 603, 604


def month_before(month: date) -> date:
    return (month - timedelta(days=1)).replace(day=1)


def month_after(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


# The last month that has been over for a week.
MONTH = month_before((TODAY - timedelta(days=7)).replace(day=1))


SEEN = {
    "device_login": 1,
    "hold": 2,
    "line_call_in_sip_trunk": 1,
    "outbound_call": 1,
    "queue_answer": 1,
    "queue_callback": 1,
    "queue_overflow": 1,
    "queue_refusal_closed": 1,
    "queue_time_limit": 1,
    "ring": 2,
    "status_break": 1,
    "status_other": 1,
    "transfer_blind": 1,
    "withheld_caller": 1,
}


def a_round(customer: int, day: date) -> list[Row]:
    """What a customer does on a day: SEEN."""
    start = datetime.combine(day, time(9), AMSTERDAM)
    rows: list[Row] = []

    def tell(name: str, **values: object) -> None:
        moment = start + timedelta(seconds=10 * len(rows))
        rows.append(event(name, moment, customer_id=customer, **({"platform": "vcloud"} | values)))

    noor = {"agent": "noor"}
    answered = {"call_id": f"answered-{day}", "queue": "sales"}
    moved = {"call_id": f"moved-{day}"}
    outbound = {"call_id": f"outbound-{day}"}
    trunk = {"call_id": f"trunk-{day}", "line": "t-1", "platform": "sip_trunk"}
    tell("agent_logged_in", **noor, line="d-1")
    tell("queue_joined", **answered, number_withheld=True)
    for reason in ("no_answer", "answered"):
        tell("ring_started", **answered, **noor)
        tell("ring_ended", **answered, **noor, reason=reason)
    tell("agent_connected", **answered, **noor)
    for _ in range(2):
        tell("hold_started", **answered, **noor)
        tell("hold_ended", **answered, **noor)
    tell("transferred", **answered, **noor, reason="blind", target="+31101234567", target_kind="number")
    tell("agent_released", **answered, **noor, reason="transfer")
    tell("queue_joined", **moved, queue="sales")
    tell("queue_left", **moved, queue="sales", reason="timeout")
    tell("queue_joined", **moved, queue="service")
    tell("queue_left", **moved, queue="service", reason="callback")
    tell("queue_refused", call_id=f"refused-{day}", queue="sales", reason="closed")
    tell("call_started", **outbound, **noor, direction="outbound")
    tell("call_ended", **outbound, **noor, reason="system")
    tell("call_started", **trunk, direction="inbound")
    tell("call_ended", **trunk, reason="caller")
    for word in ("break", "available", "koffie met Truus", "available"):
        tell("agent_status", **noor, reason=word)
    tell("agent_logged_out", **noor, line="d-1")
    return rows


ALWAYS = "detailed, from: 2020-01-01"


def apply(callmart: Callmart, contracts: Mapping[int, str]) -> None:
    callmart.apply(
        registry(
            *(
                f"id: {who}, sql_login: true, contracts: [{{option: {contract}}}]"
                for who, contract in contracts.items()
            )
        )
    )


@pytest.fixture(scope="module")
def frozen(callmart: Callmart) -> Callmart:
    """A month that was computed, opened and then frozen."""
    apply(callmart, dict.fromkeys(ROUNDS, ALWAYS))
    played = [
        row
        for customer, rounds in ROUNDS.items()
        for turn in range(rounds)
        for row in a_round(customer, MONTH + timedelta(days=turn))
    ]
    assert callmart.land_text(ndjson(*played)).rejected == 0
    callmart.build_unchecked()
    assert callmart.rows("select * from usage.function_month") == []  # its days were still waiting
    callmart.build_unchecked()
    return callmart


@pytest.fixture(scope="module")
def connection(frozen: Callmart) -> Iterator[psycopg.Connection]:
    with frozen.connect() as connection:
        yield connection


def shown(callmart: Callmart) -> dict[tuple[date, str], int | None]:
    found = callmart.rows("select * from usage.function_month")
    return {(row["month"], row["function"]): row["uses"] for row in found}


def test_a_month_shows_how_often_each_function_was_used(frozen: Callmart) -> None:
    cells = shown(frozen)
    rounds = sum(ROUNDS.values())
    assert {key: uses for key, uses in cells.items() if uses is not None} == {
        (MONTH, function): times * rounds for function, times in SEEN.items()
    }
    assert {function for _, function in cells} > set(SEEN)  # what nobody used is there, and shows nothing


def test_the_audit_looks_at_what_shows(frozen: Callmart, connection: psycopg.Connection) -> None:
    def checked() -> Check:
        (check,) = tables.of_usage(connection)
        return check

    assert (checked().outcome, checked().looked_at) == ("holds", len(SEEN))
    with connection.transaction(force_rollback=True):
        connection.execute(
            "update raw.function_use set uses = case customer_id when %s then"
            " (select uses from usage.function_month where function = 'ring') else 0 end where function = 'ring'",
            [LATE],
        )
        assert (checked().outcome, checked().found) == ("BREACH", (f"ring in {MONTH:%Y-%m}",))
        connection.execute("delete from raw.function_use where customer_id = %s", [LEAVES])
        connection.execute("delete from raw.function_use where function = 'ring'")
        assert checked().outcome == "does not apply"


def test_a_frozen_month_stands(frozen: Callmart) -> None:
    before, used = shown(frozen), uses_of(frozen)
    frozen.land_text(ndjson(*a_round(LATE, month_after(MONTH) - timedelta(days=1))))
    stay = [customer for customer in ROUNDS if customer != LEAVES]
    changed = {
        LEAVES_DETAILED: "standard, from: 2020-01-01",
        BEGINS_LATER: f"detailed, from: {MONTH + timedelta(days=1)}",
    }
    apply(frozen, dict.fromkeys(stay, ALWAYS) | changed)
    frozen.build_unchecked()
    rounds = frozen.rows("select sum(callbacks) as n from store.queue_interval where customer_id = %s", LATE)
    assert rounds == [{"n": ROUNDS[LATE] + 1}]
    frozen.build_unchecked()
    assert shown(frozen) == before
    assert uses_of(frozen) == {key: uses for key, uses in used.items() if key[0] not in (LEAVES, *changed)}


@pytest.mark.thorough
def test_a_full_refresh_leaves_it_as_it_was(frozen: Callmart) -> None:
    """Though what is landed by now would make another month of it."""
    before, used = shown(frozen), uses_of(frozen)
    done = run_dbt(frozen, PROJECT, "run", "--full-refresh", "--select", "function_use", "function_month")
    assert done.returncode == 0, done.stdout
    assert (shown(frozen), uses_of(frozen)) == (before, used)


def uses_of(callmart: Callmart) -> dict[tuple[int, str], int]:
    found = callmart.rows("select * from raw.function_use")
    return {(row["customer_id"], row["function"]): row["uses"] for row in found}


def test_the_functions_are_those_of_the_docs(frozen: Callmart) -> None:
    told = (
        (PROJECT / "docs/metrics.md")
        .read_text()
        .partition("## usage.function_month")[2]
        .partition("\n## ")[0]
    )
    functions = {function for _, function in shown(frozen)}
    assert functions == {
        word for row in told.splitlines() if row[:3] == "| `" for word in row.split("`")[1:-1:2]
    }


def test_only_analysts_read_it(frozen: Callmart, connection: psycopg.Connection) -> None:
    assert drift.find(connection, dbt_project.marts(frozen.settings)) == []
    everybody = logins.known(connection)
    connection.rollback()
    readers = {
        (login, table)
        for login in everybody
        for table in ("usage.function_month", "raw.function_use")
        if reads(logins.login_uri(frozen.settings, login), table)
    }
    assert len(everybody) > len(ROUNDS)
    assert readers == {("callmart_analyst", "usage.function_month")}


def reads(uri: str, table: str) -> bool:
    with psycopg.connect(uri) as session:
        try:
            return session.execute(f"select from {table}").rowcount > 0
        except psycopg.errors.InsufficientPrivilege:
            return False


def test_a_month_waits_for_all_its_days(frozen: Callmart, connection: psycopg.Connection) -> None:
    months_over = frozen.compiled("int_month_over")
    first_kept = TODAY.replace(year=TODAY.year - 2, day=1)
    months = [month for month, _ in connection.execute(months_over)]
    assert max(months) == MONTH
    assert min(months) >= first_kept and len(months) >= 22
    for held_back in (MONTH, month_after(MONTH) - timedelta(days=1)):
        with connection.transaction(force_rollback=True):
            connection.execute(
                "insert into ops.dirty_day (customer_id, call_date, cause) values (1, %s, '')", [held_back]
            )
            assert {month for month, _ in connection.execute(months_over)} == {*months} - {MONTH}


def test_a_night_without_a_month_reads_no_mart(frozen: Callmart, connection: psycopg.Connection) -> None:
    def marts_read() -> set[str]:
        plan = connection.execute("explain (analyze, costs off) " + frozen.compiled("function_use"))
        read = (
            re.search(rf" on (\w+?)_{MONTH:%Y%m}", line) for (line,) in plan if "never executed" not in line
        )
        return {found[1] for found in read if found}

    with connection.transaction(force_rollback=True):
        connection.execute("insert into build.int_month_over values (%s, %s)", [MONTH, month_after(MONTH)])
        assert marts_read() == set()
        connection.execute("delete from raw.function_use")
        assert marts_read() == {
            "queue_interval", "queue_day", "agent_interval", "agent_status_interval", "agent_session", "line_interval",
        }  # fmt: skip


def test_a_month_expires_with_its_first_day(frozen: Callmart, connection: psycopg.Connection) -> None:
    day = MONTH.replace(year=MONTH.year + 2)
    tables = {"usage.function_month", "raw.function_use"}
    for kept, today in ((True, day), (False, day + timedelta(days=1))):
        plan = expiry_plan.plan(connection, frozen.settings, today)
        steps = [step for step in plan.steps if step.what in tables]
        assert {step.what for step in steps} == (set() if kept else tables)
        with connection.transaction(force_rollback=True):
            assert [step.take(connection) for step in steps] == [step.count for step in steps]
            assert all((connection.execute(f"select from {table}").rowcount > 0) == kept for table in tables)
