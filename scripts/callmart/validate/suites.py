"""Validates the window in `build` with Great Expectations, before anybody can see it.

A mart's expectations come from its declaration (derived.py) and from its suite, expectations/<mart>.yml. If a day of a
customer fails a critical expectation, it is held back; a failed warning is only reported. Results contain keys, never
values. The checks run under the login `quality`, which can read the window and little else.
"""

import logging
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode
from zoneinfo import ZoneInfo

import psycopg
from psycopg.conninfo import conninfo_to_dict

from callmart.access import logins
from callmart.base.declared import in_project
from callmart.base.errors import UserError, kind
from callmart.base.progress import OnItem
from callmart.base.settings import Settings
from callmart.build import window
from callmart.database import cluster
from callmart.declarations import dbt_project
from callmart.declarations import expectations as declared
from callmart.declarations.mart import Mart
from callmart.validate import derived, quality_pages
from callmart.validate.result import Day, Result

# What is wrong with neither a query nor a right: the server, a session or a lock.
_OF_THE_SERVER = psycopg.OperationalError, psycopg.InternalError, psycopg.InterfaceError


@dataclass(frozen=True)
class Validated:
    """The results of a validation. `build_id` is None if there was nothing to check."""

    build_id: int | None
    results: tuple[Result, ...] = ()

    @property
    def held_back(self) -> set[Day]:
        """The days, per customer, that must not be opened."""
        return {day for r in self.results if r.severity == "critical" for day in r.failing}

    @property
    def warnings(self) -> int:
        """The number of expectations with severity warning that were not met."""
        return sum(1 for r in self.results if r.severity == "warning" and r.failing)


def validate(connection: psycopg.Connection, settings: Settings, on_mart: OnItem) -> Validated:
    """Check the last build if it hasn't been opened yet, and store the results. Commits.

    Raises UserError if the window changed since the build, an expectation can't be evaluated, or a node of the cluster
    can't be reached.
    """
    build = window.unopened(connection)
    if build is None:
        return Validated(None)
    marts = dbt_project.marts(settings)
    if window.computed_tables(connection, marts) != build.tables:
        raise UserError("the window changed after the last `callmart build`; run `callmart build` again")
    on_mart("Great Expectations starts", 0, len(marts))
    suites = {mart.name: expectations(mart) for mart in marts}
    connection.commit()

    results: list[Result] = []
    sections: list[str] = []
    with (
        logins.connect(settings, "quality") as quality,
        _source(logins.duty_uri(settings, "quality")) as source,
    ):
        for number, mart in enumerate(marts):
            found = _check(source, mart, suites[mart.name])
            try:
                of_mart = list(_results(quality, mart, suites[mart.name], found))
            except UserError:
                cluster.require_nodes(connection)  # a check that looks for agents asks the nodes
                raise
            sections.append(quality_pages.section(found, of_mart))
            results += of_mart
            on_mart(mart.name, number + 1, len(marts))
    _keep(connection, build.build_id, results)
    built_on = build.built_at.astimezone(ZoneInfo(settings.time_zone)).date()
    quality_pages.write(settings, build.build_id, built_on, results, sections)
    connection.commit()
    return Validated(build.build_id, tuple(results))


def expectations(mart: Mart) -> list[dict[str, Any]]:
    """Return all expectations of a mart. They are numbered, because the results come back in another order."""
    every = [*derived.expectations(mart), *_added(mart)]
    return [
        entry | {"meta": entry.get("meta", {}) | {"number": number}} for number, entry in enumerate(every)
    ]


def _added(mart: Mart) -> list[dict[str, Any]]:
    """The expectations of a mart's suite; an entry with columns gives one expectation per column."""
    return [
        {"type": entry.type, "severity": entry.severity, "meta": entry.meta, "kwargs": entry.kwargs | column}
        for entry in declared.added(mart)
        for column in ([{"column": name} for name in entry.columns] or [{}])
    ]


def load() -> None:
    """Import Great Expectations. `validate` does too, but the seconds that it takes can pass while a build computes."""
    import great_expectations  # noqa: F401


@contextmanager
def _source(uri: str) -> Iterator[Any]:
    """The database as a data source of Great Expectations, in a context that writes nothing to disk."""
    import great_expectations as gx  # takes seconds to import
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    in_memory = DataContextConfig(
        analytics_enabled=False,
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
    )
    context = gx.get_context(mode="ephemeral", project_config=in_memory)
    source = context.data_sources.add_postgres("callmart", connection_string=_gx_url(uri))
    try:
        yield source
    finally:  # close now, not at garbage collection: the login has few connections
        source.get_execution_engine().close()
        source.get_engine().dispose()


def _check(source: Any, mart: Mart, expectations: list[dict[str, Any]]) -> Any:
    """Check a mart's window; return Great Expectations' result of the suite."""
    from great_expectations.datasource.fluent.interfaces import TestConnectionError

    try:
        table = source.add_table_asset(mart.name, table_name=mart.name, schema_name="build")
    except TestConnectionError as refused:
        error = _error_of_the_database(refused.__cause__)
        if isinstance(error, _OF_THE_SERVER):
            raise _broken_off(f"build.{mart.name} was not checked", error) from None
        raise UserError(
            f"the login `quality` can't read build.{mart.name}; run `callmart access apply`, then try again"
        ) from None
    batch = table.add_batch_definition_whole_table("window").get_batch()
    found = batch.validate(_suite(mart, expectations), result_format="BOOLEAN_ONLY")
    # Only for failed expectations, find out which rows fail: that costs one query per expectation.
    unmet = {one.expectation_config.meta["number"] for one in found.results if not one.success}
    if unmet:
        failed = [one for one in expectations if one["meta"]["number"] in unmet]
        located = batch.validate(
            _suite(mart, failed),
            # Keys only: no failing value leaves the database.
            result_format={
                "result_format": "COMPLETE",
                "unexpected_index_column_names": ["customer_id"] + ([mart.day] if mart.day else []),
                "exclude_unexpected_values": True,
                "include_unexpected_rows": False,
            },
        )
        found.results = [one for one in found.results if one.success] + located.results
    return found


def _suite(mart: Mart, expectations: list[dict[str, Any]]) -> Any:
    """The expectations as a suite of Great Expectations. Those with a query only count the rows that it finds. Raises
    UserError if an argument has a wrong type.
    """
    import great_expectations as gx
    from pydantic.v1 import ValidationError

    from callmart.validate.counted_rows import CountedRowsExpectation

    counted = {"type": CountedRowsExpectation.expectation_type}
    entries = [entry | counted if declared.QUERY in entry["kwargs"] else entry for entry in expectations]
    try:
        return gx.ExpectationSuite(name=mart.name, expectations=entries)
    except ValidationError as error:
        kind_of_it = getattr(error.model, "expectation_type", "an expectation")
        wrong = {str(one["loc"][0]) for one in error.errors()} - {"__root__"}
        raise UserError(
            f"{in_project(declared.file_of(mart))}: {kind_of_it} can't take what kwargs say"
            f" for {', '.join(sorted(wrong)) or 'its arguments'}; correct it there"
        ) from None


def _results(
    quality: psycopg.Connection, mart: Mart, expectations: list[dict[str, Any]], found: Any
) -> Iterable[Result]:
    """One result per expectation, in the order of the suite."""
    by_number = {one.expectation_config.meta["number"]: one for one in found.results}
    for number, expected in enumerate(expectations):
        name = _name(expected)
        one = by_number.get(number)  # none if there is no such type of expectation
        if one is None or _raised(one):
            error = _error_of_the_database(one.exception_info if one else None)
            if isinstance(error, (*_OF_THE_SERVER, psycopg.errors.InsufficientPrivilege)):
                raise _broken_off(f"expectation {name} of {mart.name} was not evaluated", error)
            raise UserError(f"expectation {name} can't be evaluated; correct it in {declared.file_of(mart)}")
        failing = {} if one.success else _failing_days(quality, mart, one)
        yield Result(mart.name, name, expected["severity"], failing)


def _raised(result: Any) -> bool:
    """Whether an expectation failed with an error. Great Expectations reports it once, or once per metric."""
    info = result.exception_info
    return any(one["raised_exception"] for one in ([info] if "raised_exception" in info else info.values()))


def _error_of_the_database(told: object) -> psycopg.Error | None:
    """What the database said. Great Expectations keeps only a text, in which the driver names the class of the error;
    psycopg has a class of the same name.
    """
    named = re.search(r"\(psycopg2\.(?:errors\.)?(\w+)\)", str(told))
    return getattr(psycopg.errors, named[1])() if named else None


def _broken_off(what: str, error: psycopg.Error) -> UserError:
    is_lost = error.sqlstate is None or error.sqlstate.startswith(("08", "57P"))
    reason = "the session of the login `quality` was lost" if is_lost else kind(error)
    return UserError(f"{what} ({reason}); when the database can do it again, run `callmart validate`")


def _name(expectation: dict[str, Any]) -> str:
    """The expectation's name for people: its own name, or its type and arguments."""
    if "name" in expectation["meta"]:
        return str(expectation["meta"]["name"])
    arguments = ", ".join(f"{name} {value}" for name, value in expectation.get("kwargs", {}).items())
    return f"{expectation['type']}: {arguments}"


def _failing_days(quality: psycopg.Connection, mart: Mart, result: Any) -> dict[Day, int | None]:
    """All days of the window that fail an expectation, with their failing rows. Great Expectations itself lists twenty
    rows at most.

    If the expectation can't locate its failures, or locates one outside the window, all days of the window fail.
    """
    query = result.result.get("unexpected_index_query") or result.expectation_config.kwargs.get(
        "unexpected_rows_query", ""
    ).format(batch=f'build."{mart.name}"')
    if not query:
        everywhere = quality.execute("select customer_id, call_date from build.window")
        return dict.fromkeys(everywhere.fetchall())
    # Distinct names, because further columns of the query may have the same names as the keys.
    if mart.day:
        failing, key = "failing_customer, failing_day", "customer_id, call_date"
    else:
        failing, key = "failing_customer", "customer_id"
    located = quality.execute(
        f"""
        with failing ({failing}) as ({query.rstrip().rstrip(";")}),
        keys ({key}, failing_rows) as (select {failing}, count(*) from failing group by {failing}),
        elsewhere as (select 1 from keys left join build.window as w using ({key}) where w.customer_id is null)
        select w.customer_id, w.call_date, failing_rows
        from build.window as w left join keys using ({key})
        where failing_rows is not null or exists (table elsewhere) or not exists (table keys)
        """
    )
    return {(customer_id, day): rows for customer_id, day, rows in located}


def _keep(connection: psycopg.Connection, build_id: int, results: list[Result]) -> None:
    connection.execute("delete from ops.quality_result where build_id = %s", [build_id])
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.quality_result (build_id, mart, expectation, severity, success)"
            " values (%s, %s, %s, %s, %s)",
            [(build_id, r.mart, r.expectation, r.severity, not r.failing) for r in results],
        )
        with cursor.copy(
            "copy ops.quality_failure (build_id, mart, expectation, customer_id, call_date, failing_rows) from stdin"
        ) as copy:
            for r in results:
                for (customer_id, day), rows in r.failing.items():
                    copy.write_row((build_id, r.mart, r.expectation, customer_id, day, rows))
    connection.execute(
        "update ops.build set validated_at = clock_timestamp() where build_id = %s", [build_id]
    )


def _gx_url(uri: str) -> str:
    """A libpq URI in the only form that Great Expectations accepts."""
    parts = conninfo_to_dict(uri)
    user, database = str(parts.pop("user")), str(parts.pop("dbname"))
    return f"postgresql+psycopg2://{quote(user)}@localhost/{quote(database)}?{urlencode(parts)}"
