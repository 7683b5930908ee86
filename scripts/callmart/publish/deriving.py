"""Works out from the database what each customer should have on Tableau.

What a customer should have follows from its contract, its extracts, the reports and their recipients.
"""

import json
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, partial
from hashlib import sha256
from typing import Literal, LiteralString, NamedTuple, TypeVar
from zoneinfo import ZoneInfo

import psycopg
from psycopg.rows import class_row

from callmart.access import logins, roles
from callmart.base import sql_file
from callmart.base.declared import Locale
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database import clock, ledger
from callmart.declarations import dbt_project, exposures
from callmart.declarations.exposures import Schedule
from callmart.extract import extract
from callmart.publish.desired import DataSource, Mail, MailState, Publication, Workbook, digest_of, joined
from callmart.reports.language import Language
from callmart.tableau_files import tds, workbook
from callmart.tableau_files.fields import Source
from callmart.tableau_files.workbook import PublishedSource

SQL = sql_file.statements(__file__)

# Workbooks are first built on this data source, only to see whether they changed: the real one isn't known yet.
_NOWHERE = PublishedSource("http://localhost", "", "callmart")
_DAYS_NAMED = 7  # in a warning

# So long the mail of a week whose data ends earlier than usual waits for more. Whoever has none by then is closed.
PATIENCE = timedelta(days=2)
# So long Tableau may take to send the mails of one hour. Then they are suspended until the next week is over.
SENDING = timedelta(hours=4)
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


class _Customer(NamedTuple):
    customer_id: int
    name: str
    locale: Locale
    connection: Literal["extract", "live"]
    time_zone: str
    export: bool
    tableau_site: str | None
    option: str
    orders: list[str]
    target: float | None  # of the service level
    has_days: bool
    mails_seen: datetime | None


class _Recipient(NamedTuple):
    customer_id: int
    email: str
    reports: list[str]


class _Extract(NamedTuple):
    customer_id: int
    mart_group: str
    content_hash: str
    row_count: int
    types: str | None  # in JSON; None if the books don't know what the file was made from
    file_hash: str | None


def desired(connection: psycopg.Connection, settings: Settings) -> list[Publication]:
    """Return one publication per customer with a contract today: the extracts and reports that its contract orders.

    A problem of one customer is noted in its publication. Raises UserError if a report or its template can't be
    published for anybody.
    """
    shared = _Shared(settings)
    customers = _rows(connection, _Customer, SQL["customers"])
    recipients = _by_customer(_rows(connection, _Recipient, SQL["recipients"]))
    extracts = _by_customer(_rows(connection, _Extract, SQL["extracts"]))
    has_data = _has_data(connection)
    stopped, now, closed = mail_stopped(connection), clock.now(connection), ledger.closed(connection)
    held_back: dict[int, list[date]] = dict(connection.execute(SQL["held_back"]).fetchall())
    outdated = {(customer, mart): day for customer, mart, day in connection.execute(SQL["outdated"])}
    site_zone = ZoneInfo(settings.tableau.time_zone or settings.time_zone)
    by_tableau = settings.mail.sender == "tableau"
    publications = []
    for customer in customers:
        problem = ledger.DIFFERS if customer.customer_id in closed else None
        try:
            if customer.connection == "live":
                sources = _live(connection, settings, shared, customer)
            else:
                sources = _extracts(shared, customer, extracts[customer.customer_id])
        except UserError as error:
            sources, problem = [], str(error)
        sources = [_noted(customer, one, outdated) for one in sources]
        workbooks = tuple(shared.workbooks(customer, [each.source for each in sources], has_data))
        people = recipients[customer.customer_id]
        mails = _mails(customer, people, workbooks, site_zone, now) if by_tableau else ()
        publications.append(
            Publication(
                customer.customer_id,
                customer.name,
                tuple(sources),
                workbooks,
                members=tuple(recipient.email for recipient in people),
                mails=tuple(mails),
                no_mail_because=stopped.get(customer.customer_id),
                problem=problem,
                exports=customer.export,
                warning=_warning(customer.locale, held_back.get(customer.customer_id, [])),
                site=settings.tableau.own_site(customer.tableau_site),
                at=now,
                mails_seen=customer.mails_seen,
            )
        )
    return publications


def _warning(locale: Locale, held_back: list[date]) -> str | None:
    """What the data sources say of the days that are held back."""
    if not held_back:
        return None
    language = Language(locale)
    days = [language.short(day) for day in held_back[:_DAYS_NAMED]]
    return language.say("held_back", days=language.listed(days + ["…"] * (len(held_back) > _DAYS_NAMED)))


def _noted(customer: _Customer, source: DataSource, outdated: Mapping[tuple[int, str], date]) -> DataSource:
    """The data source, which says how far its figures are of an earlier definition."""
    marts = [(customer.customer_id, mart.name) for mart in source.source.marts]
    days = [outdated[mart] for mart in marts if mart in outdated]
    if not days:
        return source
    language = Language(customer.locale)
    return replace(source, note=language.say("earlier_definition", day=language.with_year(max(days))))


def _mails(
    customer: _Customer,
    recipients: list[_Recipient],
    workbooks: Iterable[Workbook],
    site_zone: ZoneInfo,
    now: datetime,
) -> Iterator[Mail]:
    """One mail per recipient and report, for the reports that the customer has and the recipient wants."""
    for workbook_ in workbooks:
        report, zone = workbook_.report, ZoneInfo(customer.time_zone)
        hour = _hour(report.schedule, zone, now)
        state: MailState = "to come" if now < hour else "sending" if now < hour + SENDING else "over"
        for recipient in recipients:
            if report.name in map(exposures.current_name, recipient.reports):
                yield Mail(
                    workbook_.name,
                    recipient.email,
                    report.mail.subject.of(customer.locale),
                    report.mail.message.of(customer.locale),
                    *mail_time(report.schedule, zone, site_zone, now),
                    hour,
                    state,
                )


def mail_time(schedule: Schedule, zone: ZoneInfo, site_zone: ZoneInfo, now: datetime) -> tuple[str, str]:
    """Return the day and time on the site's clock of the next mail, which is scheduled on the customer's clock.

    If only one of the two clocks changes to or from summer time, the next plan changes the schedule.
    """
    today = now.astimezone(zone).date()
    day = today + timedelta(days=(schedule.weekday - today.weekday()) % 7)
    moment = datetime.combine(day, time(schedule.hour), zone).astimezone(site_zone)
    return _DAYS[moment.weekday()], f"{moment:%H:%M}:00"


def _hour(schedule: Schedule, zone: ZoneInfo, now: datetime) -> datetime:
    """When the mail of the customer's last complete week is due: in the week after it."""
    return schedule.due_in_week_of(now.astimezone(zone).date()).replace(tzinfo=zone).astimezone(UTC)


def _has_data(connection: psycopg.Connection) -> set[tuple[int, str]]:
    """The customers with rows in the marts of reports that need some."""
    needed = {
        mart for report in exposures.reports().values() if report.only_with_data for mart in report.marts
    }
    return set(connection.execute(SQL["with_data"], {"marts": sorted(needed)}).fetchall())


def mail_stopped(connection: psycopg.Connection) -> dict[int, str]:
    """The customers whose last complete week must not be mailed, with the reason."""
    return dict(connection.execute(SQL["mail_stopped"], {"patience": PATIENCE}).fetchall())


_Row = TypeVar("_Row", _Customer, _Recipient, _Extract)


def _rows(connection: psycopg.Connection, kind: type[_Row], query: LiteralString) -> list[_Row]:
    with connection.cursor(row_factory=class_row(kind)) as cursor:
        return cursor.execute(query).fetchall()


def _by_customer(rows: Iterable[_Row]) -> Mapping[int, list[_Row]]:
    grouped: dict[int, list[_Row]] = defaultdict(list)
    for row in rows:
        grouped[row.customer_id].append(row)
    return grouped


class _Shared:
    """Builds what customers with the same language share, once for all of them."""

    def __init__(self, settings: Settings) -> None:
        marts = dbt_project.marts(settings)
        exposures.check_all(marts)
        self.settings = settings
        self.groups = {mart.group for mart in marts}
        self.source = cache(lambda group, locale: tds.source(group, marts, locale))
        self._types = cache(json.loads)
        # Hashes of what is large and the same for many customers.
        self._around = cache(lambda source: sha256(tds.around_extract(source)).digest())
        self._workbook = cache(
            lambda report, source, target: sha256(
                workbook.build(
                    exposures.reports()[report], "", source, _NOWHERE, rows_at="callmart", target=target
                )
            ).digest()
        )

    def extract(self, locale: Locale, of: _Extract) -> DataSource:
        """The data source around an extract. Its hash changes with the rows and with the definition."""
        source: Source = self.source(of.mart_group, locale)
        digest = joined(sha256(of.content_hash.encode()).digest(), self._around(source))
        restore = partial(
            extract.restore, self.settings, of.customer_id, of.mart_group, source.marts, of.content_hash
        )
        path = extract.place(self.settings, of.customer_id, of.mart_group)
        types = None if of.types is None else self._types(of.types)
        return DataSource(
            source, path, digest, of.row_count, types=types, restore=restore, file_hash=of.file_hash
        )

    def workbooks(
        self, customer: _Customer, sources: list[Source], has_data: set[tuple[int, str]]
    ) -> Iterator[Workbook]:
        """The reports that the customer's contract orders, if the customer has the data source of their group, and the
        data without which some reports have nothing to show. One to which others lead comes before them.
        """
        led_to = {report.rows_in for report in exposures.reports().values()}
        names: dict[str, str] = {}
        for report in sorted(exposures.reports().values(), key=lambda one: one.name not in led_to):
            if report.only_with_data and not any(
                (customer.customer_id, mart) in has_data for mart in report.marts
            ):
                continue
            for source in sources:
                if source.group == report.group and report.is_opened_by(customer.option, customer.orders):
                    digest = joined(
                        self._workbook(report.name, source, customer.target),
                        sha256(customer.name.encode()).digest(),
                    )
                    rows_in = names.get(report.rows_in or "", "")
                    yield (made := Workbook(report, customer.name, source, digest, rows_in, customer.target))
                    names[report.name] = made.name


def _extracts(shared: _Shared, customer: _Customer, extracts: Collection[_Extract]) -> list[DataSource]:
    """The data sources around the customer's extracts. Until the next extract, the books still list what an earlier
    contract opened.

    Raises UserError if days are open and an extract was not made: what is on Tableau in its place has to stay.
    """
    opened = roles.opens(customer.option, customer.orders)
    missing = shared.groups.intersection(opened) - {each.mart_group for each in extracts}
    if missing and customer.has_days:
        raise UserError(
            f"the {min(missing)} extract was not made: run `callmart extract`, and then this again"
        )
    return [shared.extract(customer.locale, each) for each in extracts if each.mart_group in opened]


def _live(
    connection: psycopg.Connection, settings: Settings, shared: _Shared, customer: _Customer
) -> list[DataSource]:
    """The data sources that connect live with the customer's own login. Their hashes change with the password."""
    live = tds.Live.of(logins.customer_uri(connection, settings, customer.customer_id))
    password = logins.password(settings, live.user)
    sources = []
    for group in roles.opens(customer.option, customer.orders):
        if group in shared.groups:
            source: Source = shared.source(group, customer.locale)
            digest = digest_of(tds.as_xml(source, live), password.encode())
            sources.append(DataSource(source, live, digest, password=password))
    return sources
