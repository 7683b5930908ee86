"""What shows of the usage of made-up months, through the SQL that dbt ran, tells nothing of one customer."""

import random
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import date
from itertools import combinations

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callmart_home import Callmart
from confined import Shown, confined

pytestmark = pytest.mark.thorough

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
def publisher(played: Callmart) -> Iterator[Publisher]:
    model = played.compiled("function_month")
    with played.connect() as connection:
        yield Publisher(connection, f"insert into usage.function_month (month, function, uses) {model}")


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
