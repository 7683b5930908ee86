"""What is wrong in the SQL of a model, as far as its text says it, without dbt: what it reads, how it joins customers,
and which columns it returns.
"""

import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

from callmart.base.nearest import instead, nearest
from callmart.declarations import portable

Mistake = tuple[int, str]  # the place in the text, and a sentence with the remedy

OF_DBT = ("config", "doc", "env_var", "is_incremental", "log", "ref", "return", "run_query", "source", "var")
JINJA = "ʝ"  # stands for each character of an expression of Jinja: a letter, so that it is a part of a name

_UNREAD = re.compile(r"{#.*?#}|--[^\n]*|'(?:[^'{]|''|{(?![{%]))*'", re.DOTALL)
_EXPRESSION = re.compile(r"{{.*?}}", re.DOTALL)
_BLOCK = re.compile(r"{%.*?%}", re.DOTALL)
_CLAUSE = re.compile(
    r"(?<![\".])\b(?:(?:inner|left|right|full|cross)\s+(?:outer\s+)?join|join|where|group\s+by|order\s+by|having|union|window"
    r"|limit|except|intersect|rows|range)\b"
)
_CALLED = re.compile(r"\s*(?:lateral\b|unnest\s*\(|generate_series\s*\(|\(\s*values\b)")  # rows of no table
_ONE_CUSTOMER = re.compile(r"\busing\s*\([^)]*\bcustomer_id\b|\bon\s+false\b")  # `on false` joins no rows
_SAME_CUSTOMER = re.compile(r"([\w.\"]*)\bcustomer_id\s*=\s*([\w.\"]*)\bcustomer_id\b")
_CTE = re.compile(r"\bas\s*(?:(?:not\s+)?materialized\s*)?$")  # before a bracket
_ACTING = re.compile(r"{[{%][^%}]*\b(adapter|env_var|run_query|statement)\b")
# What runs a text as a query, or reads a table or a file that is named in a text.
_UNSEEN = re.compile(r"\b(?:\w+_to_xml\w*|ts_stat|dblink\w*|pg_(?:read|stat|ls)_\w+)\s*\(")
_COALESCED = re.compile(r"\bcoalesce\s*\([\w.\",\s]*\bcustomer_id\b[\w.\",\s]*\)\s*$")
_RENAMED = re.compile(r"\b(\w+)\s+as\s+(\w+)\b")
# Another value each time that a day is computed.
_FICKLE = re.compile(
    r"\b(?:clock_timestamp|gen_random_uuid|now|random|statement_timestamp|timeofday|transaction_timestamp)\s*\("
    r"|\b(?:current_date|current_time|current_timestamp|localtime|localtimestamp)\b"
)
_NO_TABLE = re.compile(r"\b(?:extract|substring|trim|overlay|distinct)\s*\(?[^()]*$")  # before `from`


def plain(text: str) -> str:
    """The text in lower case, without comments, texts and Jinja. What is left is in its place."""
    for pattern, character in ((_UNREAD, " "), (_EXPRESSION, JINJA), (_BLOCK, " ")):
        text = pattern.sub(partial(_blank, character), text)
    return text.lower()


def _blank(character: str, found: re.Match[str]) -> str:
    return re.sub(r"[^\n]", character, found[0])


@dataclass(frozen=True)
class Project:
    """What a model can name."""

    models: Collection[str]
    sources: Collection[str]
    macros: Collection[str]


def mistakes(text: str, project: Project, *, in_staging: bool, of_all_customers: bool) -> Iterator[Mistake]:
    """What is wrong in the text of a model. Models of staging may read sources, and those of statistics put customers
    together.
    """
    sql = plain(text)
    yield from _of_jinja(text, project)
    yield from _of_reading(text, sql, in_staging)
    yield from portable.mistakes(sql)
    if not of_all_customers:
        yield from of_customers(text)


def _of_jinja(text: str, project: Project) -> Iterator[Mistake]:
    """Jinja that can't be read, and what it names and is not there. A macro can also be one of dbt's: then its name is
    like none of ours.
    """
    import jinja2

    try:
        jinja2.Environment(extensions=["jinja2.ext.do"]).parse(text)
    except jinja2.TemplateSyntaxError as error:
        place = sum(map(len, text.splitlines(keepends=True)[: error.lineno - 1]))
        yield place, f"Jinja can't be read here ({error.message}); correct it"
    for place, name in reads(text):
        if name not in project.models:
            yield place, f"there is no model {name}; {instead(name, project.models)}"
    for found in re.finditer(r"\bsource\(\s*['\"](\w+)['\"]\s*,\s*['\"](\w+)['\"]", text):
        if (name := f"{found[1]}.{found[2]}") not in project.sources:
            yield found.start(), f"there is no source {name}; {instead(name, project.sources)}"
    for found in re.finditer(r"{{-?\s*(\w+)\(", text):
        if found[1] not in (*OF_DBT, *project.macros) and (near := nearest(found[1], project.macros)):
            yield found.start(1), f"there is no macro {found[1]}; write {near}"


def reads(text: str) -> Iterator[tuple[int, str]]:
    """The models that a text names to read them, each with its place."""
    for found in re.finditer(r"\b(?:ref|computed)\(\s*['\"](\w+)['\"]", text):
        yield found.start(), found[1]


def _of_reading(text: str, sql: str, in_staging: bool) -> Iterator[Mistake]:
    for found in re.finditer(r"{{-?\s*(source|config)\(", text):
        if found[1] == "config":
            yield found.start(), "move the config into the model's YAML, where it is checked"
        elif not in_staging:
            yield found.start(), "only models of staging read sources; read one of them: {{ ref('stg_…') }}"
    for found in re.finditer(r"\b(?:from|join)\s+(\"?\w+\"?)\.(\"?\w+\"?)", sql):
        if not _NO_TABLE.search(sql[: found.start()]):
            name = found[2].strip('"')
            yield found.start(1), f"dbt does not see that {name} is read here; write {{{{ ref('{name}') }}}}"
    for found in _ACTING.finditer(text):
        yield found.start(1), f"remove {found[1]}: a model is one query, and reads models alone"
    for found in _UNSEEN.finditer(sql):
        yield found.start(), f"remove {found[0].rstrip('( ')}: dbt does not see what it reads"
    if ";" in sql:
        yield sql.index(";"), "remove the semicolon: dbt puts the query into another statement"


def of_customers(text: str) -> Iterator[Mistake]:
    """Joins, groups and queries in brackets in which rows of several customers could meet."""
    sql = plain(text)
    for found in re.finditer(r"\bjoin\b", sql):
        condition = _clause(sql, found.end())
        called = _CALLED.match(condition)
        if not _is_by_customer(condition) and not (called and "from" not in condition.split()):
            yield found.start(), "it joins rows of different customers; join by customer_id, too"
    for found in re.finditer(r"\bfrom\b", sql):
        first, *others = _split(_clause(sql, found.end()))
        if not _NO_TABLE.search(sql[: found.start()]) and not all(map(_CALLED.match, others)):
            yield (
                found.start(),
                f"{' '.join(first.split())} and others are joined by a comma; write a join by customer_id",
            )
    for found in re.finditer(
        r"\b(?:group|partition)\s+by\b|\bover\s*\((?!\s*partition\b)|\bdistinct\s+on\b", sql
    ):
        if "customer_id" not in _clause(sql, found.end()):
            said = " ".join(found[0].split()).rstrip("( ")
            yield found.start(), f"`{said}` puts rows of different customers together; name customer_id there"
    for found in re.finditer(r"\bas\s+customer_id\b", sql):
        if not _COALESCED.search(sql, 0, found.start()):
            yield (
                found.start(),
                "`as customer_id` can put a row among those of another customer; take the customer_id of what is read",
            )
    yield from _of_brackets(sql)


def _is_by_customer(condition: str) -> bool:
    """Whether a join's condition compares the customers of its two sides."""
    compared = _SAME_CUSTOMER.findall(condition)
    return bool(_ONE_CUSTOMER.search(condition)) or any(one != other for one, other in compared)


def _of_brackets(sql: str) -> Iterator[Mistake]:
    """Queries within an expression or a `from` that read rows without a look at the customer."""
    for found in re.finditer(r"\(\s*select\b", sql):
        inner = _bracket(sql, found.start() + 1)
        tables = [
            one
            for one in re.finditer(r"\bfrom\b", inner)
            if not _NO_TABLE.search(inner[: one.start()]) and not _CALLED.match(inner, one.end())
        ]
        if tables and "customer_id" not in inner and not _CTE.search(sql[: found.start()]):
            yield (
                found.start(),
                "this query in brackets reads rows of all customers; compare customer_id in it",
            )


def _bracket(sql: str, begin: int) -> str:
    """The text from a place to the end of the brackets around it."""
    ends = (place for place, depth in _depths(sql, begin) if depth < 0)
    return sql[begin : next(ends, len(sql))]


def _clause(sql: str, begin: int) -> str:
    """The text from a place to the next clause, or to the end of the brackets around it."""
    ends = (
        place
        for place, depth in _depths(sql, begin)
        if depth < 0 or (depth == 0 and sql[place].isalpha() and _CLAUSE.match(sql, place))
    )
    return sql[begin : next(ends, len(sql))]


def _split(listed: str) -> list[str]:
    """The parts between the commas that are in no brackets."""
    commas = [place for place, depth in _depths(listed) if depth == 0 and listed[place] == ","]
    return [listed[begin + 1 : end] for begin, end in pairwise([-1, *commas, len(listed)])]


def _depths(sql: str, begin: int = 0) -> Iterator[tuple[int, int]]:
    """Each place from one on, with how many brackets were opened since and not closed."""
    depth = 0
    for place in range(begin, len(sql)):
        depth += {"(": 1, ")": -1}.get(sql[place], 0)
        yield place, depth


def of_days(text: str, marts: Collection[str]) -> Iterator[Mistake]:
    """What keeps the query of a mart from giving the days of the window alone, and the same again in a rebuild."""
    if not {name for _, name in reads(text)} & {"stg_day", *marts}:
        yield 0, "it reads no days; join {{ ref('stg_day') }}, or it returns days that no contract keeps"
    for found in _FICKLE.finditer(plain(text)):
        said = found[0].rstrip("( ")
        yield found.start(), f"remove {said}: a day must give the same numbers whenever it is computed"


# -- the columns that it returns -----------------------------------------------------------------------------------


def differences(text: str, declared: Sequence[str]) -> Iterator[Mistake]:
    """What the query returns and the YAML does not declare, and the other way round."""
    place, names = returned(text)
    if names is None:
        return
    for name in declared:
        if name not in names:
            others = [other for other in names if other not in declared]
            near = f"; {instead(name, others)}" if others else "; add it"
            yield place, f"the query does not return the column {name}, which the YAML declares{near}"
    for name in names:
        if name not in declared and not nearest(name, [one for one in declared if one not in names]):
            yield place, f"the YAML does not declare the column {name}; add it there, or remove it here"


def returned(text: str) -> tuple[int, list[str] | None]:
    """Where the last query begins, and its columns; None if the text does not say all of them."""
    sql = plain(text)
    outermost = [
        found.start() for found in re.finditer(r"\bselect\b", sql) if _depth(sql, found.start()) == 0
    ]
    if not outermost:
        return 0, None
    begin = outermost[0]
    end = next(
        (
            found.start()
            for found in re.finditer(r"\bfrom\b", sql)
            if found.start() > begin
            and _depth(sql, found.start()) == 0
            and not _NO_TABLE.search(sql[: found.start()])
        ),
        len(sql),
    )
    if _BLOCK.search(text[begin:end]):
        return begin, None
    listed = re.sub(r"^\s*(?:all|distinct(?:\s+on\s*\([^)]*\))?)\s", " ", sql[begin + len("select") : end])
    names = [_name_of(column) for column in _split(listed)]
    return begin, [name for name in names if name] if all(names) else None


def renamed(text: str, name: str) -> set[str]:
    """The names under which a column of the query is somewhere in its text, itself included."""
    pairs, names = _RENAMED.findall(plain(text)), {name}
    while more := {former for former, latter in pairs if latter in names} - names:
        names |= more
    return names


def _depth(sql: str, place: int) -> int:
    return sql.count("(", 0, place) - sql.count(")", 0, place)


def _name_of(column: str) -> str:
    """What a column of a query is called; empty if its text does not say it."""
    found = re.search(r"(?:\bas\s+|^\s*(?:\w+\.)?)\"?([a-z_]\w*)\"?\s*$", column)
    return "" if found is None or JINJA in found[1] else found[1]
