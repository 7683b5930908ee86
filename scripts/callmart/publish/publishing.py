"""What each customer should have on Tableau, from its contract, its extracts and its reports; and what became of it."""

import shutil
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from datetime import datetime, time, timedelta
from functools import cache, partial
from hashlib import sha256
from pathlib import Path
from typing import Literal, LiteralString, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import psycopg
import tableauserverclient as TSC
from psycopg.rows import class_row

from callmart import publish
from callmart.access import logins, roles
from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database import clock
from callmart.declarations import dbt_project, exposures, metrics
from callmart.declarations.captions import Locale
from callmart.declarations.exposures import Schedule
from callmart.declarations.matrix import Group
from callmart.extract import extract
from callmart.publish import Books, DataSource, Mail, Outcome, Plan, Publication, Step, Workbook, installation
from callmart.tableau_files import tds, workbook
from callmart.tableau_files.fields import Source
from callmart.tableau_files.workbook import PublishedSource

SQL = sql_file.statements(__file__)

# Where workbooks are built once to tell whether they changed; where they will stand is not known yet.
_NOWHERE = PublishedSource("http://localhost", "", "callmart")
WORKERS = 4  # customers at a time: Tableau's own work goes on beside it
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class _Customer(NamedTuple):
    customer_id: int
    name: str
    locale: Locale
    connection: Literal["extract", "live"]
    time_zone: str
    option: str


class _Recipient(NamedTuple):
    customer_id: int
    email: str
    reports: list[str]


class _Extract(NamedTuple):
    customer_id: int
    mart_group: Group
    content_hash: str
    row_count: int


def desired(connection: psycopg.Connection, settings: Settings) -> list[Publication]:
    """A publication for each customer with a contract today: what its contract orders of extracts and of reports.

    UserError where a report or its template can't be published for anybody.
    """
    made = _Made(settings)
    customers = _rows(
        connection,
        _Customer,
        SQL["customers"],
    )
    recipients = _by_customer(
        _rows(
            connection, _Recipient, "select customer_id, email, reports from registry.recipient order by 1, 2"
        )
    )
    extracts = _by_customer(
        _rows(
            connection,
            _Extract,
            "select customer_id, mart_group, content_hash, row_count from ops.extract order by 1, 2",
        )
    )
    holds, now = _holds(connection), clock.now(connection)
    site_zone = ZoneInfo(settings.tableau.time_zone or settings.time_zone)
    publications = []
    for customer in customers:
        problem = None
        try:
            if customer.connection == "live":
                sources = _live(connection, settings, made, customer)
            else:
                # the books still have what the contract opened before, until the next extract
                opened = roles.opens(customer.option)
                own = [each for each in extracts[customer.customer_id] if each.mart_group in opened]
                sources = [made.extract(customer.locale, each) for each in own]
        except UserError as error:
            sources, problem = [], str(error)
        workbooks = tuple(made.workbooks(customer, [each.source for each in sources]))
        people = recipients[customer.customer_id]
        publications.append(
            Publication(
                customer.customer_id,
                customer.name,
                tuple(sources),
                workbooks,
                members=tuple(recipient.email for recipient in people),
                mails=tuple(_mails(customer, people, workbooks, site_zone, now)),
                hold=holds.get(customer.customer_id),
                problem=problem,
            )
        )
    return publications


def books(connection: psycopg.Connection, settings: Settings) -> Books:
    """What we know of Tableau without asking it: our mark, and the projects that we made."""
    rows = connection.execute(
        "select customer_id, project_id from ops.publication where project_id is not null or is_from_before"
    ).fetchall()
    return Books(installation.ensure_id(settings.home), dict(rows))


def _mails(
    customer: _Customer,
    recipients: list[_Recipient],
    workbooks: Iterable[Workbook],
    site_zone: ZoneInfo,
    now: datetime,
) -> Iterator[Mail]:
    """What the recipients asked for of the reports that the customer has."""
    for workbook_ in workbooks:
        report = workbook_.report
        day, at = mail_time(report.schedule, ZoneInfo(customer.time_zone), site_zone, now)
        for recipient in recipients:
            if report.name in recipient.reports:
                yield Mail(
                    workbook_.name,
                    recipient.email,
                    getattr(report.mail.subject, customer.locale),
                    getattr(report.mail.message, customer.locale),
                    day,
                    at,
                )


def mail_time(schedule: Schedule, zone: ZoneInfo, site_zone: ZoneInfo, now: datetime) -> tuple[str, str]:
    """Day and time on Tableau's clock at which it is the schedule's hour next time on the customer's.

    Where one of the two changes its clock on another day, the next plan says so.
    """
    today = now.astimezone(zone).date()
    day = today + timedelta(days=(_DAYS.index(schedule.day.capitalize()) - today.weekday()) % 7)
    moment = datetime.combine(day, time(schedule.hour), zone).astimezone(site_zone)
    return _DAYS[moment.weekday()], f"{moment:%H:%M}:00"


def _holds(connection: psycopg.Connection) -> dict[int, str]:
    """Why a customer's last complete week, by its own clock, must not be mailed; who is not there may be."""
    return dict(connection.execute(SQL["holds"]).fetchall())


_Row = TypeVar("_Row", _Customer, _Recipient, _Extract)


def _rows(connection: psycopg.Connection, kind: type[_Row], query: LiteralString) -> list[_Row]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(query).fetchall()


def _by_customer(rows: Iterable[_Row]) -> Mapping[int, list[_Row]]:
    grouped: dict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        grouped[row.customer_id].append(row)
    return grouped


class _Made:
    """What customers of one language share is made once for all of them."""

    def __init__(self, settings: Settings) -> None:
        marts = dbt_project.marts(settings)
        metrics.check(metrics.metrics().values(), marts)
        exposures.check(exposures.reports().values(), marts, metrics.metrics())
        self.settings = settings
        self.groups = {mart.group for mart in marts}
        self.source = cache(lambda group, locale: tds.source(group, marts, locale))
        self._definition = cache(lambda source: tds.as_xml(source, Path()))
        self._workbook = cache(
            lambda report, source: workbook.build(exposures.reports()[report], "", source, _NOWHERE)
        )

    def extract(self, locale: Locale, of: _Extract) -> DataSource:
        """The data source around an extract: another one when its rows or its definition are."""
        source: Source = self.source(of.mart_group, locale)
        digest = _digest(of.content_hash.encode(), self._definition(source))
        restore = partial(
            extract.restore, self.settings, of.customer_id, of.mart_group, source.marts, of.content_hash
        )
        path = extract.place(self.settings, of.customer_id, of.mart_group)
        return DataSource(source, path, digest, of.row_count, restore=restore)

    def workbooks(self, customer: _Customer, sources: list[Source]) -> Iterator[Workbook]:
        """The reports that the customer's contract orders, of the groups whose data source it has."""
        for report in exposures.reports().values():
            for source in sources:
                if source.group == report.group and report.is_opened_by(customer.option):
                    digest = _digest(self._workbook(report.name, source), customer.name.encode())
                    yield Workbook(report, customer.name, source, digest)


def _live(
    connection: psycopg.Connection, settings: Settings, made: _Made, customer: _Customer
) -> list[DataSource]:
    """The data sources with the customer's own login; another password makes another data source."""
    live = tds.Live.of(logins.customer_uri(connection, settings, customer.customer_id))
    password = logins.password(settings, live.user)
    sources = []
    for group in roles.opens(customer.option):
        if group in made.groups:
            source: Source = made.source(group, customer.locale)
            digest = _digest(tds.as_xml(source, live), password.encode())
            sources.append(DataSource(source, live, digest, password=password))
    return sources


def _digest(*parts: bytes) -> str:
    """A hash of several hashes: of parts that could not be told apart when joined."""
    return sha256(b"".join(sha256(part).digest() for part in parts)).hexdigest()


def apply(
    connection: psycopg.Connection,
    settings: Settings,
    server: TSC.Server,
    plan: Plan,
    on_step: Callable[[str, int, int], None],
) -> list[Outcome]:
    """Do what the plan says and keep what became of it. `on_step(name, finished, of)` is told of each step. Commits.

    Extracts that are not kept leave the disk as soon as Tableau has what they hold.
    """
    steps = len(plan.steps)
    done = iter(range(1, steps + 1))
    keeps = settings.tableau.keeps_extracts

    def told(step: Step) -> None:
        if not keeps and isinstance(step.content, DataSource) and isinstance(step.content.held, Path):
            step.content.held.unlink()
        on_step(step.shown, next(done, steps), steps)

    outcomes = publish.apply(server, plan, told, WORKERS)
    record(connection, outcomes)
    for outcome in outcomes:
        left = extract.folder(settings) / str(outcome.customer_id)
        if not keeps and outcome.error is None and left.exists():  # by a run that broke off
            shutil.rmtree(left)
    return outcomes


def record(connection: psycopg.Connection, outcomes: Collection[Outcome]) -> None:
    """Keep what became of each customer, for `status` and the audit log. Commits."""
    for outcome in outcomes:
        state = "published" if outcome.error is None else "failed"
        if outcome.customer_id is not None:
            connection.execute(
                SQL["note"],
                {
                    "customer": outcome.customer_id,
                    "state": state,
                    "project": outcome.project_id,
                },
            )
        if outcome.done or outcome.error:
            connection.execute(
                "insert into ops.audit_log (action, customer_id, details)"
                " values (%s, %s, jsonb_build_object('steps', %s::integer))",
                [state, outcome.customer_id, len(outcome.done)],
            )
        if outcome.alert:
            connection.execute(
                "insert into ops.audit_log (action, customer_id, details)"
                " values ('mail held', %s, jsonb_build_object('reason', %s::text))",
                [outcome.customer_id, outcome.alert],
            )
    failed = [outcome.customer_id for outcome in outcomes if outcome.error and outcome.customer_id]
    connection.execute(SQL["forget_closed"], {"failed": failed})
    connection.commit()
