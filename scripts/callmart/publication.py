"""What each customer should have on Tableau, from its contract, its extracts and its reports; and what became of it."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Literal, NamedTuple

import psycopg
import tableauserverclient as TSC
from psycopg.rows import class_row

from callmart import access, dbt, metrics, publish, reports, tds, workbook
from callmart.captions import Locale
from callmart.errors import UserError
from callmart.fields import Source
from callmart.matrix import Group
from callmart.publish import DataSource, Outcome, Plan, Publication, Workbook
from callmart.settings import Settings
from callmart.workbook import Published

# Where workbooks are built once to tell whether they changed; where they will stand is not known yet.
_NOWHERE = Published("http://localhost", "", "callmart")


class _Customer(NamedTuple):
    customer_id: int
    name: str
    locale: Locale
    connection: Literal["extract", "live"]
    option: str
    members: list[str]


class _Extract(NamedTuple):
    customer_id: int
    mart_group: Group
    path: str
    content_hash: str
    row_count: int


def desired(connection: psycopg.Connection, settings: Settings) -> list[Publication]:
    """A publication for each customer with a contract today: what its contract orders of extracts and of reports.

    UserError where a report or its template can't be published for anybody.
    """
    made = _Made(dbt.marts(settings))
    with connection.cursor(row_factory=class_row(_Customer)) as cursor:
        customers = cursor.execute(
            """
            select
                c.customer_id, c.name, c.locale, c.connection, o.option,
                array(
                    select r.email from registry.recipient as r
                    where r.customer_id = c.customer_id order by r.email
                ) as members
            from registry.current_option as o
            join registry.customer as c using (customer_id)
            order by c.customer_id
            """
        ).fetchall()
    extracts = defaultdict(list)
    with connection.cursor(row_factory=class_row(_Extract)) as cursor:
        for extract in cursor.execute(
            "select customer_id, mart_group, path, content_hash, row_count from ops.extract order by 1, 2"
        ):
            extracts[extract.customer_id].append(extract)
    publications = []
    for customer in customers:
        problem = None
        try:
            if customer.connection == "live":
                sources = _live(connection, settings, made, customer)
            else:
                sources = [made.extract(customer.locale, each) for each in extracts[customer.customer_id]]
        except UserError as error:
            sources, problem = [], str(error)
        publications.append(
            Publication(
                customer.customer_id,
                customer.name,
                tuple(sources),
                tuple(made.workbooks(customer, [each.source for each in sources])),
                tuple(customer.members),
                problem,
            )
        )
    return publications


class _Made:
    """What customers of one language share is made once for all of them."""

    def __init__(self, marts: list[dbt.Mart]) -> None:
        metrics.check(metrics.metrics().values(), marts)
        reports.check(reports.reports().values(), marts, metrics.metrics())
        self.groups = {mart.group for mart in marts}
        self.source = cache(lambda group, locale: tds.source(group, marts, locale))
        self._definition = cache(lambda source: tds.as_xml(source, Path()))
        self._workbook = cache(
            lambda report, source: workbook.build(reports.reports()[report], "", source, _NOWHERE)
        )

    def extract(self, locale: Locale, extract: _Extract) -> DataSource:
        """The data source around an extract: another one when its rows or its definition are."""
        source: Source = self.source(extract.mart_group, locale)
        digest = _digest(extract.content_hash.encode(), self._definition(source))
        return DataSource(source, Path(extract.path), digest, extract.row_count)

    def workbooks(self, customer: _Customer, sources: list[Source]) -> Iterator[Workbook]:
        """The reports that the customer's contract orders, of the groups whose data source it has."""
        for report in reports.reports().values():
            for source in sources:
                if source.group == report.group and report.is_opened_by(customer.option):
                    digest = _digest(self._workbook(report.name, source), customer.name.encode())
                    yield Workbook(report, customer.name, source, digest)


def _live(
    connection: psycopg.Connection, settings: Settings, made: _Made, customer: _Customer
) -> list[DataSource]:
    """The data sources with the customer's own login; another password makes another data source."""
    live = tds.Live.of(access.customer_uri(connection, settings, customer.customer_id))
    password = access.password(settings, live.user)
    sources = []
    for group in access.opens(customer.option):
        if group in made.groups:
            source: Source = made.source(group, customer.locale)
            digest = _digest(tds.as_xml(source, live), password.encode())
            sources.append(DataSource(source, live, digest, password=password))
    return sources


def _digest(*parts: bytes) -> str:
    """A hash of several hashes: of parts that could not be told apart when joined."""
    return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()


def apply(
    connection: psycopg.Connection, server: TSC.Server, plan: Plan, on_step: Callable[[str, int, int], None]
) -> list[Outcome]:
    """Do what the plan says and keep what became of it. `on_step(name, finished, of)` is told of each step. Commits."""
    steps = len(plan.steps)
    done = iter(range(1, steps + 1))
    outcomes = publish.apply(server, plan, lambda step: on_step(step.shown, next(done, steps), steps))
    record(connection, outcomes)
    return outcomes


def record(connection: psycopg.Connection, outcomes: Iterable[Outcome]) -> None:
    """Keep what became of each customer, for `status` and the audit log. Commits."""
    for outcome in outcomes:
        state = "published" if outcome.error is None else "failed"
        connection.execute(
            """
            insert into ops.publication (customer_id, state, project) values (%s, %s, %s)
            on conflict (customer_id) do update set state = excluded.state, project = excluded.project, at = excluded.at
            """,
            [outcome.customer_id, state, outcome.project],
        )
        if outcome.done or outcome.error:
            connection.execute(
                "insert into ops.audit_log (action, customer_id, details)"
                " values (%s, %s, jsonb_build_object('steps', %s::integer))",
                [state, outcome.customer_id, len(outcome.done)],
            )
    connection.execute(
        "delete from ops.publication where customer_id not in (select customer_id from registry.current_option)"
    )
    connection.commit()
