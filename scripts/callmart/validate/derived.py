"""Derives expectations from a mart's declaration, so that no suite has to repeat them. All of them are critical.

Their queries return only the keys of the failing rows.
"""

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from callmart.base.matrix import OPTIONS, matrix
from callmart.declarations import captions
from callmart.declarations.exposures import AGENT, QUARTER_HOUR
from callmart.declarations.mart import NAMES_OF_AGENTS, Mart

KEYED = "^[0-9a-f]{32}$"  # the form of the keys that landing makes

Expectation = dict[str, Any]


def expectations(mart: Mart) -> Iterator[Expectation]:
    """Yield the expectations that follow from what the mart declares."""
    yield _rows(f"one row per {', '.join(mart.key)}", _repeats(mart))
    yield from _values(mart)
    for series, declared in mart.series.items():
        yield _rows(f"{series} counts up to {declared.up_to}", _counts_down(mart, series))
    if mart.day and QUARTER_HOUR in mart.columns:
        keys = _keys(mart)
        outside = f"select {keys} from {{batch}} where {QUARTER_HOUR}::date <> {mart.day}"
        yield _rows("the quarter-hour lies in its day", outside)
    options = [option for option in OPTIONS if mart.group in matrix().opened(option, matrix().ordered)]
    which = "a" if len(options) == len(OPTIONS) else f"a {' or '.join(options)}"
    yield _rows(f"{which} contract keeps the {'day' if mart.day else 'customer'}", _unkept(mart, options))
    if AGENT in mart.columns and mart.name != NAMES_OF_AGENTS:
        yield _rows(f"every agent is one of the mart {NAMES_OF_AGENTS}", _unnamed(mart))
    if "agent" not in matrix().persons(mart.group) and mart.words:
        yield _rows("no agent is shown", _agents_shown(mart))


def _values(mart: Mart) -> Iterator[Expectation]:
    """Expectations of the values in each column."""
    for column in mart.declared:
        if not column.nullable:
            yield _column("expect_column_values_to_not_be_null", column.name)
        if column.is_number:
            most = {} if column.most is None else {"max_value": column.most}
            yield _column("expect_column_values_to_be_between", column.name, min_value=column.least, **most)
        if column.is_word and (words := captions.file().values.get(column.name)):
            yield _column("expect_column_values_to_be_in_set", column.name, value_set=list(words))
        if column in mart.pseudonyms and column.is_word:
            yield _column("expect_column_values_to_match_regex", column.name, regex=KEYED)


def _column(kind: str, column: str, **kwargs: Any) -> Expectation:
    return {"type": kind, "severity": "critical", "kwargs": kwargs | {"column": column}}


def _rows(name: str, query: str) -> Expectation:
    return {
        "type": "unexpected_rows_expectation",
        "severity": "critical",
        "meta": {"name": name},
        "kwargs": {"unexpected_rows_query": query},
    }


def _keys(mart: Mart, table: str = "") -> str:
    """The columns that locate a failing row: customer and day."""
    of_table = f"{table}." if table else ""
    return ", ".join(f"{of_table}{key}" for key in ("customer_id", mart.day) if key)


def _repeats(mart: Mart) -> str:
    return f"select {_keys(mart)} from {{batch}} group by {', '.join(mart.key)} having count(*) > 1"


def _counts_down(mart: Mart, series: str) -> str:
    columns = [*(f"{series}_{bound}" for bound in mart.bounds(series)), mart.series[series].up_to]
    pairs = pairwise(columns)
    return (
        f"select {_keys(mart)} from {{batch}} where {' or '.join(f'{less} > {more}' for less, more in pairs)}"
    )


def _unkept(mart: Mart, options: list[Any]) -> str:
    of_day = (
        f" and b.{mart.day} >= k.valid_from and (b.{mart.day} < k.valid_until or k.valid_until is null)"
        if mart.day
        else ""
    )
    listed = ", ".join(f"'{option}'" for option in options)
    return f"""
        select {_keys(mart, "b")} from {{batch}} as b
        left join registry.kept_contract as k
            on k.customer_id = b.customer_id and k.option in ({listed}){of_day}
        where k.customer_id is null
    """


def _unnamed(mart: Mart) -> str:
    return f"""
        select {_keys(mart, "b")} from {{batch}} as b
        left join build.{NAMES_OF_AGENTS} as a on a.customer_id = b.customer_id and a.{AGENT} = b.{AGENT}
        where a.{AGENT} is null
    """


def _agents_shown(mart: Mart) -> str:
    """Query for agents' keys, ids or names among the values of a mart that every contract opens. None is allowed."""
    words = ", ".join(f'"{column}"::text' for column in mart.words)
    return f"""
        select distinct {_keys(mart, "held")}
        from (select {_keys(mart)}, unnest(array[{words}]) as word from {{batch}}) as held
        join (
            select customer_id, registry.known_agents(customer_id, array_agg(distinct word)) as agents
            from (select customer_id, unnest(array[{words}]) as word from {{batch}}) as words
            where word is not null
            group by customer_id
        ) as known on known.customer_id = held.customer_id and held.word = any(known.agents)
    """
