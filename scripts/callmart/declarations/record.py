"""Writes the record of processing, docs/processing.md, and what callmart knows about a caller, docs/caller.md: from
processing.yml, the marts' YAML, objects/persons.sql and access.yml.

Run it with `.venv/bin/python -m callmart.declarations.record`. The text around the tables is written by people.
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from callmart.base import declared
from callmart.base.errors import saying_mistakes
from callmart.base.matrix import Matrix, matrix, split
from callmart.base.pointing import Whom
from callmart.base.settings import PROJECT, settings
from callmart.declarations import dbt_project, pointing, processing
from callmart.declarations.captions import captions
from callmart.declarations.mart import Mart
from callmart.declarations.processing import Holding

RECORD = PROJECT / "docs" / "processing.md"
CALLER = PROJECT / "docs" / "caller.md"
COMMAND = ".venv/bin/python -m callmart.declarations.record"


def declared_holdings(marts: Iterable[Mart]) -> list[Holding]:
    """All tables that hold something of persons, as the files declare them."""
    marts = list(marts)
    tables = processing.said_in(PROJECT / pointing.FILE)
    for mart in marts:
        tables[mart.table] = processing.said_by(mart)
    return processing.holdings(tables, tables, marts, captions(marts))


def record(holdings: Iterable[Holding], marts: Iterable[Mart]) -> Iterator[str]:
    """The record in Markdown: a row per table, then whom its columns point to, and what is in no package."""
    holdings, by_table = list(holdings), {mart.table: mart for mart in marts}
    yield "| table | of whom | what for | from where | kept | who sees it |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for one in holdings:
        whom = ", ".join(sorted({who for said in one.persons.values() for who in said} - {"nobody"}))
        seen = "; ".join(seen_by(one.table, by_table.get(one.table), matrix()))
        yield f"| `{one.table}`: {one.caption.en} | {whom} | {one.why.en} | {one.source.en} | {one.kept.en} | {seen} |"
    yield "\n| table | columns that point to | |"
    yield "| --- | --- | --- |"
    for one in holdings:
        for who, columns in _by_person(one.persons).items():
            yield f"| `{one.table}` | {who} | {', '.join(f'`{column}`' for column in columns)} |"
    yield "\nIn no package for a person:\n"
    for one in holdings:
        for reason in dict.fromkeys(one.left_out.values()):
            columns = [f"`{name}`" for name, why in one.left_out.items() if why == reason]
            yield f"- `{one.table}`: {', '.join(columns)}: {reason.en}"
    for table, why in processing.processing().left_out.items():
        yield f"- `{table}`: {why.en}"


def _by_person(persons: Mapping[str, tuple[Whom, ...]]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for column, said in persons.items():
        if said != ("nobody",):
            found.setdefault(", ".join(said), []).append(column)
    return found


def of_caller(holdings: Iterable[Holding]) -> Iterator[str]:
    """What there is of a caller, in Markdown: the columns that lead to the caller, and what is beside them."""
    yield "| table | what leads to the caller | what else its rows say | kept |"
    yield "| --- | --- | --- | --- |"
    for one in holdings:
        if not one.is_of(["caller"]):
            continue
        leads = [name for name, said in one.persons.items() if "caller" in said]
        others = [name for name in (*one.columns, *one.left_out) if name not in leads]
        cells = (", ".join(f"`{name}`" for name in names) for names in (leads, others))
        yield f"| `{one.table}`: {one.caption.en} | {' | '.join(cells)} | {one.kept.en} |"


def seen_by(table: str, mart: Mart | None, matrix: Matrix) -> Iterator[str]:
    """Who sees a table besides the owner, as access.yml says."""
    if mart:
        options = [option for option, groups in matrix.customer.items() if mart.group in groups]
        orders = [order for order, groups in matrix.ordered.items() if mart.group in groups]
        if options:
            yield f"the customer, with the option {' or '.join(options)}, also on Tableau"
        if orders:
            yield f"the customer, if it has ordered a {orders[0].replace('_', ' ')}"
    schema, name = table.split(".")
    duties = [
        duty
        for duty, rights in matrix.duties.items()
        if any((of, what) in ((schema, name), (schema, "*")) for of, what, _ in map(split, rights.select))
    ]
    if duties:
        yield f"the logins {', '.join(duties)}"
    elif not mart:
        yield "no login but the owner"


def write(record_file: Path, caller_file: Path, marts: Iterable[Mart]) -> None:
    """Write both pages, each between its markers. Raises UserError if one is missing."""
    marts = list(marts)
    holdings = declared_holdings(marts)
    declared.fill(record_file, COMMAND, {"record": "\n".join([*record(holdings, marts), ""])})
    declared.fill(caller_file, COMMAND, {"caller": "\n".join([*of_caller(holdings), ""])})


if __name__ == "__main__":
    with saying_mistakes():
        write(RECORD, CALLER, dbt_project.marts(settings()))
