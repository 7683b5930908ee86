"""Random queries, run as customers, because nobody thinks of every form that a query can have.

    python -m callmart.audit.generated [--questions 10000] [--seed N]

Each query ("question") runs twice, with a value of another customer and with a value that nobody has. Rows and plan
must be the same. The same seed makes the same questions for the same data. As a control, scratch relations that are
known to leak are queried as well: the questions must find those leaks.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import partial
from random import Random

import psycopg

from callmart.audit import besides, inference, planner, scratch
from callmart.audit.channels import log_in_as
from callmart.audit.planner import LAZY, Refused, Secret
from callmart.audit.scene import Attacker, scene_of
from callmart.base.errors import saying_mistakes
from callmart.base.settings import Settings, settings
from callmart.database import server

SETTINGS: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(
        (
            *(f"enable_{scan}" for scan in ("seqscan", "indexscan", "indexonlyscan", "bitmapscan", "tidscan")),
            *(f"enable_{join}" for join in ("hashjoin", "mergejoin", "nestloop", "material", "memoize")),
            *(f"enable_{other}" for other in ("sort", "incremental_sort", "hashagg", "gathermerge", "parallel_append")),
            *(f"enable_partition{how}" for how in ("_pruning", "wise_join", "wise_aggregate")),
            "enable_parallel_hash",
        ),
        ("on", "off"),
    ),
    **dict.fromkeys(
        ("cpu_operator_cost", "cpu_tuple_cost", "cpu_index_tuple_cost"),
        ("0", "1e-300", "0.01", "1e300", "1.79e308"),
    ),
    **dict.fromkeys(("random_page_cost", "seq_page_cost"), ("0", "1", "100", "1e300")),
    **dict.fromkeys(("from_collapse_limit", "join_collapse_limit"), ("1", "8")),
    **dict.fromkeys(("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_table_scan_size"), ("0",)),
    "jit": ("on",),
    "geqo_threshold": ("2", "12"),
    "constraint_exclusion": ("on", "off"),
    "max_parallel_workers_per_gather": ("0", "2"),
    "parallel_leader_participation": ("on", "off"),
    "plan_cache_mode": ("force_generic_plan", "force_custom_plan"),
    "cursor_tuple_fraction": ("0", "1"),
    "work_mem": ("64kB", "64MB"),
    "hash_mem_multiplier": ("1", "1000"),
    "default_statistics_target": ("1",),
    "array_nulls": ("off",),
    "transform_null_equals": ("on",),
}  # fmt: skip


# Otherwise PostgreSQL would compile and optimise each question with high cost, for longer than it runs.
USUAL = {"jit": "off", "jit_above_cost": "0", "jit_inline_above_cost": "-1", "jit_optimize_above_cost": "-1"}


@dataclass(frozen=True)
class Place:
    """A relation that a session may read, and the secrets to look for in it."""

    session: psycopg.Connection
    source: str
    columns: Mapping[str, str]  # types by name
    secrets: Sequence[Secret]
    name: str = ""


@dataclass(frozen=True)
class Question:
    """Two statements that differ in one value, and the settings that they run with."""

    pair: tuple[str, str]
    settings: dict[str, str]
    prepared: bool
    with_rows: bool  # whether the returned rows are compared as well, not only the plans


@dataclass
class Outcome:
    """The outcomes of questions: how many of each kind, and which questions revealed something."""

    counts: Counter[str] = field(default_factory=Counter)
    found: list[str] = field(default_factory=list)

    @property
    def answered(self) -> int:
        """The number of questions that PostgreSQL did not refuse both times."""
        return self.counts["silent"] + self.counts["leaked"]


# -- making a question ---------------------------------------------------------------------------------------------


class Maker:
    """Makes one random question. `{secret}` marks the condition with the value, so that both statements differ only in
    the value.
    """

    def __init__(self, random: Random, place: Place) -> None:
        self.random = random
        self.place = place
        self.secret = random.choice(place.secrets)
        self.shape = random.choice(list(self.secret.conditions()))
        self.names = 0

    def question(self) -> Question:
        """Make the question, with its settings."""
        statement = self._statement()
        there, nowhere = (
            statement.replace("{secret}", f"({condition})")
            for condition in self.secret.conditions()[self.shape]
        )
        chosen = self.random.sample(sorted(SETTINGS), self.random.choice((0, 2, 4, 8, 12)))
        settings = {name: self.random.choice(SETTINGS[name]) for name in chosen}
        if self._chance(0.5):
            settings = dict(planner.SEQUENTIAL) | settings
        return Question(
            (there, nowhere), settings, self._chance(0.2), self._chance(0.3) and "limit" not in statement
        )

    def _chance(self, probability: float) -> bool:
        return self.random.random() < probability

    def _name(self) -> str:
        self.names += 1
        return f"n{self.names}"

    def _column(self, *types: str) -> str:
        fitting = [
            name
            for name, type in self.place.columns.items()
            if name != "customer_id" and (not types or type in types)
        ]
        return f'm."{self.random.choice(fitting)}"' if fitting else "m.customer_id"

    # A condition that is true for most rows, and costs little or nothing.
    def _filler(self) -> str:
        column = self._column()
        return self.random.choice(
            (
                f"{column} is not null",
                f"({column} is null) is not null",
                f"{column} = {column}",
                f"{column} is not distinct from {column}",
                "m.customer_id is not null",
                "m.customer_id > 0",
                "true",
                f"coalesce({self._column('integer', 'smallint')} >= 0, true)",
                f"num_nulls({column}) >= 0",
                f"row({column}, m.customer_id) is distinct from null",
                "current_setting('work_mem') <> ''",
                "random() >= 0",
                "now() > '2000-01-01'",
                "('{}'::timestamptz[])::text[] is not null",  # costs nothing, or NaN with the largest cost settings
            )
        )

    def _condition(self) -> str:
        """The secret condition: alone or combined with others, as it is or rewritten."""
        condition = "{secret}"
        for _ in range(self.random.choice((0, 0, 0, 0, 1, 2))):
            worded = self.random.choice(
                (
                    f"{condition} and {self._filler()}",
                    f"{self._filler()} and {condition}",
                    f"not (not {condition})",
                    f"{condition} or false",
                    f"coalesce({condition}, false)",
                    f"{condition} is true",
                    f"{condition} is not distinct from true",
                    f"case when {condition} then true end",
                    f"case when {self._filler()} then {condition} else false end",
                    f"{condition}::integer = 1",
                    f"nullif({condition}, false)",
                    f"true = {condition}",
                    f"{condition} in (true)",
                    f"greatest({condition}, false)",
                )
            )
            condition = f"({worded})"
        return condition

    def _gate(self) -> str:
        """A filter: the condition, mostly with a sub-select that runs only if the condition is true."""
        lazy = self.random.choice(
            (
                *[LAZY] * 4,
                "(select true from generate_series(1, 3) as g (x) where x > 5)",
                "exists (select 1 from generate_series(1, 3) as g (x) where x > 5)",
                f"({self._column('integer', 'smallint')} in (select x from generate_series(-3, -1) as g (x)))",
                "(select 1 / x > 0 from generate_series(0, 0) as g (x))",
            )
        )
        condition = self._condition()
        gate = self.random.choice(
            (
                f"case when {condition} then {lazy} end",
                f"{condition} and case when {condition} then {lazy} end",
                f"({condition} and {lazy})",
                f"({condition} and coalesce({lazy}, false))",
                f"(({condition}) is not true or {lazy})",
                condition,
            )
        )
        if self._chance(0.3):
            gate = self.random.choice((f"{self._filler()} and {gate}", f"{gate} and {self._filler()}"))
        return gate

    def _source(self, depth: int = 0) -> str:
        """What the query reads: the relation itself, or something derived from it."""
        if depth > 2 or self._chance(0.35):
            return self.place.source

        def inner() -> str:
            return self._source(depth + 1)

        name, column = self._name(), self._column()
        ways: list[Callable[[], str]] = [
            lambda: f"(select * from {inner()} as m where {self._filler()})",
            lambda: f"(select * from {inner()} as m where {self._condition()})",
            lambda: f"(select * from {inner()} as m where {self._gate()})",
            *[lambda: f"(select * from {inner()} as a union all select * from {inner()} as b)"] * 6,
            lambda: f"(select * from {inner()} as a union select * from {inner()} as b)",
            lambda: f"(select * from {inner()} as a intersect select * from {inner()} as b)",
            lambda: f"(select * from {inner()} as a except select * from {inner()} as b where false)",
            lambda: f"(with {name} as materialized (select * from {inner()} as m) select * from {name})",
            lambda: (
                f"(with {name} as not materialized (select * from {inner()} as m)"
                f" select * from {name} union all select * from {name})"
            ),
            lambda: f"(select * from {inner()} as m offset 0)",
            lambda: f"(select * from {inner()} as m limit 1000)",
            lambda: f"(select distinct * from {inner()} as m)",
            lambda: f"(select m.* from {inner()} as m cross join generate_series(1, 2))",
            lambda: f"(select m.* from {inner()} as m left join {inner()} as o on false)",
            lambda: (
                f"(select m.* from (values (1), (2)) as v (x) cross join lateral"
                f" (select * from {inner()} as m where x > 0) as m)"
            ),
            lambda: f"(select * from {inner()} as m order by {column})",
        ]
        return self.random.choice(ways)()

    def _statement(self) -> str:
        source, gate, column = self._source(), self._gate(), self._column()
        number = self._column("integer", "smallint")
        other = self._source(2)
        return self.random.choice(
            (
                *[f"select count(*) from {source} as m where {gate}"] * 4,
                f"select * from {source} as m where {gate} limit 3",
                f"select exists (select 1 from {source} as m where {gate})",
                f"select (select count(*) from {source} as m where {gate})",
                f"select count(*) filter (where {gate}) from {source} as m",
                f"select count(*) from generate_series(1, 3) as g left join {source} as m on {gate}",
                f"select count(*) from generate_series(1, 3) as g join {source} as m on {gate} and {number} >= g",
                f"select count(*) from {source} as m right join generate_series(1, 3) as g on {gate}",
                f"select count(*) from {source} as m full join generate_series(1, 3) as g on {number} = g where {gate}",
                f"select count(*) from generate_series(1, 3) as g"
                f" cross join lateral (select * from {source} as m where {gate} and g > 0 offset 0) as q",
                f"select count(*) from generate_series(1, 3) as g"
                f" cross join lateral (select * from {source} as m where {gate} limit g) as q",
                f"select g from generate_series(1, 3) as g where exists (select 1 from {source} as m where {gate}"
                f" and {number} > g)",
                f"select g from generate_series(1, 3) as g where g not in (select {number} from {source} as m"
                f" where {gate} and {number} is not null)",
                f"select count(*) from {source} as m join {other} as o using (customer_id) where {gate}",
                f"select count(*) from {source} as m where {gate}"
                f" and {number} in (select customer_id from {other} as o)",
                f"select count(*) from {source} as m where {gate} and exists (select 1 from {other} as o"
                f" where o.customer_id = m.customer_id)",
                f"select {column}, count(*) from {source} as m where {gate} group by 1 order by 2, 1",
                f"select {column} from {source} as m group by 1 having bool_or({self._condition()})",
                f"select {column} from {source} as m where {gate} union select {column} from {other} as m where false",
                f"select count(*) over (partition by {column}) from {source} as m where {gate} limit 5",
                f"select row_number() over (order by {column}) from {source} as m where {gate}",
                f"with q as materialized (select * from {source} as m where {gate}) select count(*) from q",
                f"with q as (select * from {source} as m) select count(*) from q as m where {gate}",
                f"with recursive q (n) as (select 1 union all select n + 1 from q where n < 3 and exists"
                f" (select 1 from {source} as m where {gate} and m.customer_id > n)) select count(*) from q",
                f"select case when exists (select 1 from {source} as m where {gate}) then 1 / g end"
                f" from generate_series(1, 2) as g",
                f"select count(*) from {source} as m where {gate}"
                f" and {number} = any(array(select generate_series(1, 9)))",
                f"select {column} from {source} as m where {gate} order by {self._condition()}, 1",
                f"select grouping({column}), count(*) from {source} as m where {gate} group by rollup ({column})",
                f"select count(distinct {column}) from {source} as m where {gate}",
                f"select * from {source} as m where {gate} fetch first 1 row only",
            )
        )  # fmt: skip


# -- asking --------------------------------------------------------------------------------------------------------


def ask(session: psycopg.Connection, question: Question, statement: str) -> str:
    """Run a statement. Returns what it reveals, as text: how its plan was executed, and perhaps the rows."""
    try:
        with session.transaction(force_rollback=True):
            # All settings in one round trip.
            settings = "".join(
                f"set local {name} = '{value}';" for name, value in (USUAL | question.settings).items()
            )
            if question.prepared:
                settings += f"deallocate all; prepare asked as {statement};"
                statement = "execute asked"
            session.execute(f"{settings} set local statement_timeout = '10s'")
            rows = sorted(map(repr, session.execute(statement).fetchall())) if question.with_rows else []
            plan = session.execute(f"explain ({planner.DONE}, format json) {statement}").fetchall()
    except psycopg.Error as error:
        return Refused(error.sqlstate)
    return json.dumps([rows, planner.without_conditions(plan[0][0])])


def questions(seed: int, places: Sequence[Place]) -> Iterator[tuple[Place, Question]]:
    """Yield questions without end. The same seed and data give the same questions."""
    random = Random(seed)
    while True:
        place = random.choice(places)
        yield place, Maker(random, place).question()


def put(seed: int, number: int, places: Sequence[Place]) -> Outcome:
    """Run so many questions. Those that reveal something are named by number and seed, which make them again, and not
    by their text, which contains a value.
    """
    outcome = Outcome()
    for count, (place, question) in zip(range(number), questions(seed, places), strict=False):
        one = planner.told_apart(partial(ask, place.session, question), question.pair)
        outcome.counts[one] += 1
        if one == "leaked":
            outcome.found.append(f"question {count} of seed {seed}: {place.name}")
    return outcome


# -- the command ---------------------------------------------------------------------------------------------------


@contextmanager
def places(owner: psycopg.Connection, settings: Settings) -> Iterator[list[Place]]:
    """The relations that some customers read, each customer with a session of its own."""
    scene = scene_of(owner, settings)
    found = []
    with ExitStack() as sessions:
        as_each: dict[Attacker, psycopg.Connection] = {}
        others = besides.besides(owner, settings, scene)
        asked = inference.asked(scene)
        for attacker in dict.fromkeys([*asked, *(one.asker for one in others)]):
            as_each[attacker] = sessions.enter_context(log_in_as(settings, attacker))
        for one in others:
            session = as_each[one.asker]
            if secrets := one.secrets(session):
                name = f"{one.asker.name}, {one.relation}"
                found.append(Place(session, one.relation, one.types, secrets, name))
        for attacker, relations in asked.items():
            session = as_each[attacker]
            for mart, relation in relations:
                where = inference.place(owner, mart, relation, attacker.own)
                if where is not None:
                    found.append(
                        Place(session, relation, where.types, where.secrets, f"{attacker.name}, {relation}")
                    )
        yield found


def control(owner: psycopg.Connection, protection: scratch.Protection, seed: int, number: int) -> Outcome:
    """Run questions on a scratch relation, until one reveals something. Returns their outcomes."""
    outcome = Outcome()
    with scratch.relation(owner, protection) as source:
        where = Place(owner, source, scratch.TYPES, scratch.SECRETS, "scratch")
        for first in range(0, number, 100):
            asked = put(seed + first, min(100, number - first), [where])
            outcome = Outcome(outcome.counts + asked.counts, outcome.found + asked.found)
            if outcome.found:
                break
    return outcome


def main() -> int:
    """Run the controls and the questions, and print the result. Returns 1 if a question revealed something, or if a
    control revealed nothing.
    """
    parser = argparse.ArgumentParser(prog="python -m callmart.audit.generated", description=__doc__)
    parser.add_argument("--questions", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=Random().randrange(2**31))
    given = parser.parse_args()
    write = sys.stdout.write
    write(f"seed {given.seed}\n")
    failed = False
    with server.connect(settings(), autocommit=True) as owner:
        for name, protection in scratch.LEAKING.items():
            outcome = control(owner, protection, given.seed, given.questions)
            write(
                f"control, {name}: {outcome.counts.total()} questions, {len(outcome.found)} revealed something\n"
            )
            failed |= not outcome.found
        with places(owner, settings()) as everywhere:
            if not everywhere:
                write("no two customers have rows in the same mart: there is nothing to find out\n")
                return 1
            outcome = put(given.seed, given.questions, everywhere)
    write(
        f"{len(everywhere)} places: {outcome.counts.total()} questions, {outcome.counts['refused']} refused, "
    )
    write("".join(f"\n{one}" for one in outcome.found) or "none revealed anything")
    write("\n")
    return int(failed or bool(outcome.found))


if __name__ == "__main__":
    with saying_mistakes():
        sys.exit(main())
