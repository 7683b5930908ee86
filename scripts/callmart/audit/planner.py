"""Tests whether plans and estimates reveal a value, with two queries ("questions") that differ in one value.

One value is another customer's and not the asker's; the other value is nobody's. If PostgreSQL evaluates a condition
before the policies, the plan or the estimate can differ between the two, for example by "(never executed)", although no
row is returned.
"""

import json
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.batches import batched

SQL = sql_file.statements(__file__)

AT_ONCE = 50  # pairs of values in one question
SAMPLED = 3  # rows whose values are asked for by estimates

# Parallel workers share the rows by chance. If the answers to one question differ among themselves, it is asked more
# often. Of 2,400 random questions on a busy machine, 12 were answered in two to five ways.
REPEATS, REPEATS_BY_CHANCE = 8, 64

# A sub-select that returns nothing and costs nothing. The plan shows whether it was executed.
LAZY = "(select x from generate_series(1, 1) as g, (values (null::boolean)) as v (x) offset 0)"

SEQUENTIAL = {
    f"enable_{scan}": "off" for scan in ("indexscan", "indexonlyscan", "bitmapscan", "tidscan", "material")
}

# With parallel workers, many questions asked as one would never be answered twice alike.
ALONE = {"max_parallel_workers_per_gather": "0"}

DONE = "analyze, costs off, timing off, summary off, buffers off"  # EXPLAIN shows what was executed, and how often
EXPECTED = "summary off"  # EXPLAIN shows estimates

Outcome = Literal["leaked", "silent", "refused"]

# The parts of a plan that repeat the question, and so differ with it.
CONDITIONS = ("Filter", "Cond", "Key", "Output", "Query Text")

# The next value, by type. The two values of a question must be next to each other: the search of an index shows where a
# value is among the asker's own values, and that must be the same for both.
NEXT = {
    "text": "{value} || '!'",
    "smallint": "{value} + 1",
    "integer": "{value} + 1",
    "bigint": "{value} + 1",
    "double precision": "{value} + 0.0000001",
    "date": "{value} + 1",
    "timestamp with time zone": "{value} + interval '1 microsecond'",
    "timestamp without time zone": "{value} + interval '1 microsecond'",
}

# A value that nobody has.
NOBODYS = {
    "text": "nowhere",
    "smallint": "-17",
    "integer": "-17",
    "bigint": "-17",
    "double precision": "-17",
    "timestamp with time zone": "1900-01-01",
    "timestamp without time zone": "1900-01-01",
}

# Conditions with different costs: those with a subscript, and the NULL test, cost nothing; `any` costs half an
# operator.
SHAPES = {
    "comparison": "{column} = {value}",
    "= any": "{column} = any({array})",
    ">= any": "{column} >= any({array})",
    "array subscript": "({subscript})[{column}]",
    "NULL test": "({subscript})[{column}] is not null",
    "boolean test": "({subscript})[{column}] is true",
    "jsonb subscript": "({json})[{column}] is not null",
}
OF_WHOLE_NUMBERS = ("array subscript", "NULL test", "boolean test")

# The places where a condition can be in a query, each as a scalar expression. {source} is the relation that is read,
# {gate} is the condition.
CONTEXTS = {
    "plain": "(select count(*) from {source} as m where {gate})",
    "union all": "(select count(*) from (select * from {source} as a union all select * from {source} as b) as m"
    " where {gate})",
    "join": "(select count(*) from generate_series(1, 2) as g left join {source} as m on {gate})",
    "lateral": "(select count(*) from generate_series(1, 2) as g"
    " cross join lateral (select * from {source} as m where {gate} and g > 0 offset 0) as q)",
    "exists": "exists (select 1 from {source} as m where {gate})",
}


@dataclass(frozen=True)
class Secret:
    """A column with a value that another customer has and the asker has not (`there`), and one that nobody has
    (`nowhere`).
    """

    column: str
    type: str
    there: str
    nowhere: str
    greatest: str | None = None  # the greatest value, if it is another customer's
    beyond: str | None = None  # a value that is greater than all

    def conditions(self) -> dict[str, tuple[str, str]]:
        """By each shape that a column of this type can have: the condition with `there` and the one with `nowhere`."""
        found = {}
        for shape, template in SHAPES.items():
            if shape in OF_WHOLE_NUMBERS and self.type not in ("smallint", "integer"):
                continue
            if shape == "jsonb subscript" and self.type != "text":
                continue
            pair = (self.greatest, self.beyond) if shape == ">= any" else (self.there, self.nowhere)
            if pair[0] is not None and pair[1] is not None:
                found[shape] = self.filled(template, pair[0]), self.filled(template, pair[1])
        return found

    def filled(self, template: str, value: str) -> str:
        """The template with column and value filled in."""
        return template.format(
            column=f"m.{_identifier(self.column)}",
            value=f"{_literal(value)}::{self.type}",
            array=f"{_literal([value])}::{self.type}[]",
            subscript=f"'[{value}:{value}]={{t}}'::boolean[]",
            json=f"{_literal(json.dumps({value: 1}))}::jsonb",
        )


def _identifier(name: str) -> str:
    return sql.Identifier(name).as_string()


def _literal(value: object) -> str:
    return sql.Literal(value).as_string()


def secrets(
    connection: psycopg.Connection, table: str, types: Mapping[str, str], asker: int, within: str = "true"
) -> list[Secret]:
    """Find one secret per type, as the table's owner, among the rows that meet the condition `within`. One per type is
    enough, because conditions on columns of one type are evaluated in the same way. Its value is the most frequent one
    that only others have.
    """
    kinds: dict[str, Secret] = {}
    for column, type in types.items():
        if type not in NEXT or type in kinds:
            continue
        name, successor = _identifier(column), NEXT[type]
        parts = {
            "table": table,
            "name": name,
            "successor": successor.format(value=name),
            "edge_successor": successor.format(value="edge.greatest"),
            "asker": str(asker),
            "condition": within,
        }
        found = connection.execute(
            sql.SQL(SQL["secret"]).format(**{part: sql.SQL(text) for part, text in parts.items()})
        ).fetchall()
        if found:
            kinds[type] = Secret(column, type, *found[0])
    return list(kinds.values())


def samples(
    connection: psycopg.Connection, table: str, types: Mapping[str, str], asker: int
) -> Iterator[Secret]:
    """Find the values in some rows of others, for each column. The asker may have the same values."""
    asked = [column for column, type in types.items() if type in NOBODYS]
    if not asked:
        return
    columns = ", ".join(f"{_identifier(column)}::text" for column in asked)
    found = connection.execute(f"select {columns} from {table} where customer_id <> {asker} limit {SAMPLED}")
    for column, values in zip(asked, zip(*found, strict=True), strict=False):
        for value in sorted(set(values) - {None}):
            yield _with_nobodys(Secret(column, types[column], value, ""), asker)


def with_nobodys(secrets: Iterable[Secret], asker: int) -> list[Secret]:
    """The secrets whose values can be asked for by estimates, each with a value that nobody has."""
    return [_with_nobodys(secret, asker) for secret in secrets if secret.type in NOBODYS]


def _with_nobodys(secret: Secret, asker: int) -> Secret:
    nobody = NOBODYS[secret.type]
    if secret.column == "customer_id" and int(secret.there) > asker:
        nobody = str(2**31 - 1)  # the asker may see on which side of its own number a value is
    return replace(secret, nowhere=nobody)


# -- asking ----------------------------------------------------------------------------------------------------------


class Refused(str):
    """The SQLSTATE with which a question was refused."""


def told_apart(ask: Callable[[str], str], pair: tuple[str, str]) -> Outcome:
    """Whether the answers to two questions differ, each time that they are repeated."""
    answers: tuple[set[str], set[str]] = set(), set()
    for asked in range(REPEATS_BY_CHANCE):
        if asked == REPEATS and len(answers[0]) == len(answers[1]) == 1:
            break
        for question, known in zip(pair, answers, strict=True):
            known.add(ask(question))
        if answers[0] & answers[1]:
            refused = all(isinstance(each, Refused) for each in answers[0] | answers[1])
            return "refused" if refused else "silent"
    return "leaked"


def plan(
    session: psycopg.Connection,
    question: str,
    options: str = DONE,
    settings: Mapping[str, str] = SEQUENTIAL | ALONE,
) -> str:
    """What an asker can see of a question besides its rows: the plan, without the parts that repeat the question."""
    try:
        with session.transaction(force_rollback=True):
            session.execute(
                "; ".join(f"set local {name} = {_literal(value)}" for name, value in settings.items())
            )
            rows = session.execute(f"explain ({options}, format json) {question}").fetchall()
    except psycopg.Error as error:
        return Refused(error.sqlstate)
    return json.dumps(without_conditions(rows[0][0]))


def without_conditions(plan: Any) -> Any:
    """A plan in JSON without the parts that repeat the question."""
    if isinstance(plan, list):
        return [without_conditions(each) for each in plan]
    if isinstance(plan, dict):
        return {key: without_conditions(each) for key, each in plan.items() if not key.endswith(CONDITIONS)
                or key.startswith("Rows Removed")}  # fmt: skip
    return plan


def _each(ask: Callable[[str], str], pairs: Mapping[str, tuple[str, str]]) -> tuple[int, list[str]]:
    """Ask pairs of values, many in one question. If a question reveals something, its pairs are asked one by one.
    Returns how many were answered, and the names of those that revealed something.
    """
    looked_at, found = 0, []
    for batch in batched(pairs.items(), AT_ONCE):
        there, nowhere = (
            f"select {', '.join(values)}" for values in zip(*(pair for _, pair in batch), strict=True)
        )
        outcome = told_apart(ask, (there, nowhere))
        looked_at += len(batch) if outcome != "refused" else 0
        if outcome == "leaked":
            found += [
                name
                for name, (one, other) in batch
                if told_apart(ask, (f"select {one}", f"select {other}")) == "leaked"
            ] or [f"{batch[0][0]} and others together"]
    return looked_at, found


def oracle(
    session: psycopg.Connection,
    source: str,
    asked: Iterable[Secret],
    contexts: Iterable[str] = tuple(CONTEXTS),
    within: str = "true",
) -> tuple[int, list[str]]:
    """Ask a source about the secrets by its plans, in all shapes and each context. Returns how many pairs of questions
    were answered, and the names of those that revealed something.

    Only rows that meet `within` are read. It is a condition beside the others: in a sub-select it would keep PostgreSQL
    from flattening that.
    """
    conditions = [(secret, *each) for secret in asked for each in secret.conditions().items()]
    pairs = {
        f"{secret.column} by {shape}, {context}": _gated(source, context, pair, within)
        for context in contexts
        for secret, shape, pair in conditions
    }
    return _each(partial(plan, session), pairs)


def _gated(source: str, context: str, pair: tuple[str, str], within: str) -> tuple[str, str]:
    there, nowhere = (
        CONTEXTS[context].format(
            source=source, gate=f"{condition} and case when {condition} then {LAZY} end and {within}"
        )
        for condition in pair
    )
    return there, nowhere


# -- estimates -------------------------------------------------------------------------------------------------------

ESTIMATED = {
    "equal": "(select count(*) from {source} as m where {column} = {value})",
    "not equal": "(select count(*) from {source} as m where {column} <> {value})",
    "less": "(select count(*) from {source} as m where {column} < {value})",
    "greater": "(select count(*) from {source} as m where {column} > {value})",
    "in a list": "(select count(*) from {source} as m where {column} = any({array}))",
    "groups": "(select count(*) from (select {column} from {source} as m where {column} >= {value} group by 1) as q)",
    "join": "(select count(*) from {source} as m join (values ({value})) as v (x) on {column} = v.x)",
}


def estimates(session: psycopg.Connection, source: str, asked: Iterable[Secret]) -> tuple[int, list[str]]:
    """Ask a source about the secrets by EXPLAIN's estimates, without running anything. Returns how many pairs of
    questions were answered, and the names of those that revealed something.
    """
    pairs = {}
    for number, secret in enumerate(asked):
        for name, template in ESTIMATED.items():
            question = template.replace("{source}", source)
            pair = secret.filled(question, secret.there), secret.filled(question, secret.nowhere)
            pairs[f"{secret.column} by {name}, value {number + 1}"] = pair
    return _each(partial(plan, session, options=EXPECTED, settings={}), pairs)


def nulls(session: psycopg.Connection, source: str, columns: Iterable[str]) -> tuple[int, list[str]]:
    """Check that EXPLAIN's estimate of nulls is the same for all columns that can be null: then it has counted none."""
    expected = {
        column: plan(
            session, f"select 1 from {source} as m where m.{_identifier(column)} is null", EXPECTED, {}
        )
        for column in columns
    }
    usual, _ = Counter(expected.values()).most_common(1)[0] if expected else ("", 0)
    return len(expected), [f"{column} by nulls" for column, estimate in expected.items() if estimate != usual]
