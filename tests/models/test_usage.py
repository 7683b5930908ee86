"""Usage over all customers: what shows tells nothing of one of them, a month is frozen, and nobody else reads it."""

import random
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from itertools import combinations

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callmart.access import drift, logins
from callmart.audit import tables
from callmart.audit.check import Check
from callmart.base.settings import PROJECT
from callmart.declarations import dbt_project
from callmart.retention import expiry_plan
from callmart_home import Callmart
from confined import Shown, confined
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


# -- a month that was played ---------------------------------------------------------------------------------------

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


def compiled_model(callmart: Callmart, name: str) -> str:
    """The SQL of a model as dbt ran it."""
    (file,) = (callmart.home / "dbt/compiled").rglob(f"{name}.sql")
    return file.read_text()


def test_a_month_waits_for_all_its_days(frozen: Callmart, connection: psycopg.Connection) -> None:
    months_over = compiled_model(frozen, "int_month_over")
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
        plan = connection.execute("explain (analyze, costs off) " + compiled_model(frozen, "function_use"))
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


# -- made-up months, through the SQL that dbt ran ------------------------------------------------------------------

Uses = dict[str, dict[int, int]]  # of a month: function, customer, how often
Cells = dict[tuple[int, str], int | None]  # by the number of the month and the function


@dataclass(frozen=True)
class World:
    """Months of contributions, and who has left, with all that was kept of them, before each."""

    months: tuple[Uses, ...]
    left: tuple[frozenset[int], ...] = field(default=())


@dataclass(frozen=True)
class Publisher:
    """Freezes made-up months one after the other."""

    connection: psycopg.Connection
    statement: str

    def publish(self, world: World) -> Cells:
        """What has shown of a world, month by month; nothing of it is kept."""
        cells: Cells = {}
        with self.connection.transaction(force_rollback=True):
            self.connection.execute("delete from raw.function_use; delete from usage.function_month")
            for number, uses in enumerate(world.months):
                if number < len(world.left):
                    self.connection.execute(
                        "delete from raw.function_use where customer_id = any(%s)", [list(world.left[number])]
                    )
                month = date(2020 + number // 12, number % 12 + 1, 1)
                self.freeze(month, uses)
                found = self.connection.execute(
                    "select function, uses from usage.function_month where month = %s", [month]
                )
                cells |= {(number, function): shown for function, shown in found}
        return cells

    def freeze(self, month: date, uses: Uses) -> None:
        """As it is done a week after the month, when what is two years old has gone."""
        for table in ("raw.function_use", "usage.function_month"):
            self.connection.execute(
                f"delete from {table} where month < %s + interval '1 month 7 days' - interval '2 years'",
                [month],
            )
        self.connection.execute("insert into build.int_month_over values (%s, %s)", [month, month])
        for function, parts in uses.items():
            self.connection.execute(
                "insert into raw.function_use select %s, %s, * from unnest(%s::integer[], %s::bigint[])",
                [month, function, list(parts), list(parts.values())],
            )
        self.connection.execute(self.statement)


@pytest.fixture(scope="module")
def publisher(frozen: Callmart, connection: psycopg.Connection) -> Publisher:
    model = compiled_model(frozen, "function_month")
    return Publisher(connection, f"insert into usage.function_month (month, function, uses) {model}")


def betrayals(world: World, cells: Cells) -> list[str]:
    """What somebody who knows all that shows, and may be a customer who knows its own part, can tell of another."""
    open_cells = sorted(key for key, uses in cells.items() if uses is not None)
    found = [f"{key}: {how}" for key in open_cells for how in betrayed(amounts(world, key))]
    for one, other in combinations(open_cells, 2):
        if one[0] == other[0] or one[1] == other[1]:
            first, second = amounts(world, one), amounts(world, other)
            apart = {who: abs(first.get(who, 0) - second.get(who, 0)) for who in first | second}
            if any(apart.values()):
                found += [f"{one} without {other}: {how}" for how in betrayed(apart)]
    return found


def amounts(world: World, key: tuple[int, str]) -> dict[int, int]:
    return world.months[key[0]][key[1]]


def betrayed(parts: dict[int, int]) -> Iterator[str]:
    total = sum(parts.values())
    if sum(1 for part in parts.values() if part) < 10:
        yield "made up by few"
    if any(2 * part >= total for part in parts.values()):
        yield "one is half of it"
    for one, other in combinations(parts, 2):
        if 100 * (parts[one] + parts[other]) >= 85 * total:
            yield "one of two knows the other to 15 %"


@st.composite
def worlds(draw: st.DrawFn) -> World:
    """Months near the rules: as many customers as may just do, large ones, steps that few of them make, parts of a
    function that are nearly all of it, and customers that leave.
    """
    customers = range(draw(st.integers(9, 13)))
    small = st.integers(0, 12)
    often = st.lists(st.integers(1, 9), min_size=len(customers), max_size=len(customers))
    whole = dict(zip(customers, draw(often), strict=True))
    for _ in range(draw(st.integers(0, 2))):
        whole[draw(st.sampled_from(customers))] = draw(st.integers(0, 60))
    months, left = [], []
    for _ in range(draw(st.integers(1, 3))):
        movers = draw(st.sampled_from((0, 1, 2, 9, 10, 13)))
        for who in sorted(draw(st.permutations(customers)))[:movers]:
            whole = whole | {who: draw(small)}
        few = draw(st.sampled_from((0, 1, 9, 10, 13)))
        part = {who: max(often - (who < few), 0) for who, often in whole.items()}
        months.append({"part": part, "whole": whole})
        gone = frozenset(draw(st.sets(st.sampled_from(customers), max_size=2)))
        left.append(gone)
        if draw(st.booleans()):
            whole = {who: often for who, often in whole.items() if who not in gone} or whole
    return World(tuple(months), (frozenset(), *left[:-1]))


QUICK = settings(
    max_examples=80,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@given(world=worlds())
@QUICK
def test_nothing_that_shows_betrays_a_customer(publisher: Publisher, world: World) -> None:
    cells = publisher.publish(world)
    assert betrayals(world, cells) == []
    assert all(uses is None or uses == sum(amounts(world, key).values()) for key, uses in cells.items())


def alternatives(world: World, key: tuple[int, str], knows: int) -> Iterator[World]:
    """Worlds in which a cell is another, for all that a customer knows of its own."""
    number, function = key
    parts = amounts(world, key)
    for more in (1, -1, 7):
        for who in (*sorted(set(parts) - {knows}), NEW):
            often = parts.get(who, 0) + more
            if often >= 0:
                uses = world.months[number] | {function: parts | {who: often}}
                yield World((*world.months[:number], uses, *world.months[number + 1 :]), world.left)


NEW = 99


@given(world=worlds(), choice=st.randoms(use_true_random=False))
@settings(QUICK, max_examples=25)
def test_what_is_hidden_could_be_another_number(
    publisher: Publisher, world: World, choice: random.Random
) -> None:
    cells = publisher.publish(world)
    for key in (key for key, uses in cells.items() if uses is None):
        parts = amounts(world, key)
        for knows in {max(parts, key=parts.__getitem__), choice.choice(sorted(parts))}:
            assert any(publisher.publish(other) == cells for other in alternatives(world, key, knows))


EVEN = dict.fromkeys(range(12), 10)
UNEVEN = {who: 11 + who for who in range(12)}


def one_month(**functions: dict[int, int]) -> World:
    return World((functions,))


def months_of(*months: dict[int, int], left: dict[int, frozenset[int]] | None = None) -> World:
    left = left or {}
    numbers = range(len(months))
    return World(
        tuple({"hold": uses} for uses in months), tuple(left.get(number, frozenset()) for number in numbers)
    )


@pytest.mark.parametrize(
    ("world", "visible"),
    [
        (one_month(hold=dict.fromkeys(range(10), 1)), {(0, "hold")}),
        (one_month(hold=dict.fromkeys(range(9), 1) | {9: 0}), set()),
        (one_month(hold=EVEN | {0: 109}), {(0, "hold")}),
        (one_month(hold=EVEN | {0: 110}), set()),
        (one_month(hold=dict.fromkeys(range(2, 17), 2) | {0: 85, 1: 84}), {(0, "hold")}),
        (one_month(hold=dict.fromkeys(range(2, 17), 2) | {0: 85, 1: 85}), set()),
        (one_month(hold=dict.fromkeys(range(12), 0)), set()),
        (months_of(EVEN, EVEN), {(0, "hold"), (1, "hold")}),
        (months_of(EVEN, UNEVEN), {(0, "hold"), (1, "hold")}),
        (one_month(hold=EVEN, ring=EVEN), {(0, "hold"), (0, "ring")}),
        (one_month(hold=EVEN, ring=UNEVEN), {(0, "hold"), (0, "ring")}),
    ],
)  # fmt: skip
def test_what_shows_and_what_does_not(
    publisher: Publisher, world: World, visible: set[tuple[int, str]]
) -> None:
    cells = publisher.publish(world)
    assert {key for key, uses in cells.items() if uses is not None} == visible


# A rule, what stands in the SQL without it, and a world that it is for.
RULES = {
    "ten customers": (">= 10", ">= 9", one_month(hold=dict.fromkeys(range(9), 10))),
    "less than half": ("* 50", "* 101", one_month(hold=dict.fromkeys(range(12), 5) | {0: 60})),
    "two less than 85 %": ("* 85", "* 101", one_month(hold=dict.fromkeys(range(12), 1) | {0: 45, 1: 42})),
    "the month before": ("and not month_steps.is_safe", "and false", months_of(EVEN, EVEN | {0: 13})),
    "every month before": (
        "where frozen.uses is not null",
        "where frozen.uses is not null and frozen.month = (select max(month) from frozen)",
        months_of(EVEN, UNEVEN, EVEN | {0: 13}),
    ),
    "a part of another": (
        "and not pair_steps.is_safe", "and false", one_month(hold=EVEN, ring=EVEN | {0: 9})
    ),
    "who has left": (
        "shown.uses - coalesce(sum(contributions.uses), 0) as uses",
        "0 as uses",
        months_of(EVEN, {who: 10 for who in range(1, 12)}, left={1: frozenset({0})}),
    ),
    "who has come back": (
        "(customer_id is not null and bool_or(is_of_shown))::integer",
        "1",
        months_of(EVEN, EVEN | dict.fromkeys(range(1, 10), 11), left={1: frozenset({0})}),
    ),
}  # fmt: skip


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_is_needed(publisher: Publisher, rule: str) -> None:
    there, without, world = RULES[rule]
    assert there in publisher.statement
    assert betrayals(world, publisher.publish(world)) == []
    mutant = Publisher(publisher.connection, publisher.statement.replace(there, without))
    assert betrayals(world, mutant.publish(world))


# -- customers whose use is steady, attacked by linear programming over all numbers together -----------------------

KEPT = 22  # months that stand beside a new one: see Publisher.freeze


def steady_years(seed: int, years: int = 3) -> World:
    """Customers who use a function as often in every month in which at all. One or two begin or stop, or many at once;
    they come back; of those who leave with their data nothing is kept.
    """
    chance = random.Random(seed)
    customers = range(chance.randint(26, 40))
    often = {who: max(1, round(chance.lognormvariate(4, 0.8))) for who in customers}
    leaves_with_data = chance.choice((0.0, 0.0, 0.1))
    using = {who for who in customers if chance.random() < 0.7}
    months, left = [], []
    for _ in range(12 * years):
        movers = chance.sample(customers, chance.choice((0, 0, 1, 2, 11, 13, 16)))
        gone = {who for who in movers if who in using and chance.random() < leaves_with_data}
        using ^= set(movers)
        months.append({"hold": {who: often[who] * (who in using) for who in customers if who not in gone}})
        left.append(frozenset(gone))
    return World(tuple(months), tuple(left))


def steady_months(*users: Collection[int], large: Collection[int] = ()) -> World:
    """Months by who uses the function, each about as often as the others; the large ones ten times that."""
    return months_of(
        *({who: (10 + who % 3) * (10 if who in large else 1) for who in of_month} for of_month in users)
    )


def attacks(world: World, cells: Cells) -> Iterator[str]:
    """What is confined of a customer by what stands after each year, to outsiders and to the largest customer."""
    uses = {
        who: often
        for month in world.months
        for parts in month.values()
        for who, often in parts.items()
        if often
    }
    for end in {min(len(world.months), 12 * year) for year in (1, 2, 3)}:
        numbers = [
            Shown(total, {who for who, often in amounts(world, cell).items() if often})
            for cell, total in cells.items()
            if total is not None and end - 1 - KEPT <= cell[0] < end
        ]
        if numbers:
            yield from confined(numbers, uses, max(uses, key=uses.__getitem__))


@pytest.mark.parametrize("seed", range(4))
def test_no_customer_is_confined_in_three_years(publisher: Publisher, seed: int) -> None:
    world = steady_years(seed)
    cells = publisher.publish(world)
    assert sum(total is not None for total in cells.values()) >= 4
    assert list(attacks(world, cells)) == []


A, B, C, D, E, F = (set(range(12 * group, 12 * group + 12)) for group in range(6))
X, Y = 100, 101

# What stands in the SQL without a rule.
WITHOUT = {rule: (there, without) for rule, (there, without, _) in RULES.items()} | {
    "several months": ("and month_sums.is_safe is not true", "and false")
}

# Worlds made for it, and the rule without which a customer is confined in them.
ATTACKS = {
    "nine": ("ten customers", steady_months(set(range(9)))),
    "a large one": ("less than half", one_month(hold=dict.fromkeys(range(12), 5) | {X: 62})),
    "two large ones": (
        "two less than 85 %", one_month(hold=dict.fromkeys(range(12), 1) | {X: 45, Y: 42})
    ),
    "one comes": ("the month before", steady_months(A | B, A | B | {X})),
    "one goes and comes back": ("the month before", steady_months(A | B | {X}, A | B, A | B | {X})),
    "two change places": ("the month before", steady_months(A | B | {X}, A | B | {Y})),
    "one comes while others are away": ("every month before", steady_months(A | B, A | C, A | B | {X})),
    "a function that one does without": ("a part of another", one_month(part=EVEN | {0: 0}, whole=EVEN)),
    "four months": ("several months", steady_months(A | B, A | C, D | B, D | C | {X})),
    "six months": ("several months", steady_months(A | B, C | B, C | D, E | D, E | F, A | F | {X})),
    "four months, a few": ("several months", steady_months(A | B, A | C, D | B, D | C | set(range(X, X + 9)))),
    "four months, one of many": (
        "several months", steady_months(A | B, A | C, D | B, D | C | set(range(X, X + 10)), large={X})
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ATTACKS)
def test_an_attack_finds_nobody_and_without_the_rule_it_does(publisher: Publisher, name: str) -> None:
    rule, world = ATTACKS[name]
    assert list(attacks(world, publisher.publish(world))) == []
    there, without = WITHOUT[rule]
    assert there in publisher.statement
    mutant = Publisher(publisher.connection, publisher.statement.replace(there, without))
    assert list(attacks(world, mutant.publish(world)))
