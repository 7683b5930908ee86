"""Draws the views of this home's emulator: callmart's reports, read as the customer in whose project they are.

The emulator says who asks, and has checked the permissions. Whose data is drawn follows from callmart's own books, so
nothing that anybody publishes, names or describes on the emulator can point to another customer.
"""

import re

import psycopg
from pydantic import BaseModel

from callmart.access import logins
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.declarations import exposures
from callmart.declarations.exposures import Dimension, Report
from callmart.publish import installation, marks
from callmart.publish.marks import Mark
from callmart.reports import drawing, reading, weeks
from callmart.reports.drawing import Declared
from callmart.reports.reading import Customer
from callmart.reports.weeks import Week
from callmart.tableau_files import tds
from callmart.tableau_files.fields import Field
from callmart.tableau_files.workbook import book


class _User(BaseModel):
    administers: bool
    groups: list[str]


class _Project(BaseModel):
    id: str


class _Workbook(BaseModel):
    name: str


class Asked(BaseModel):
    """Who asks for what, as the emulator says it."""

    user: _User
    project: _Project
    workbook: _Workbook
    filters: dict[str, list[str]]
    parameters: dict[str, str]


def draw(connection: psycopg.Connection, settings: Settings, form: str, asked: Asked) -> bytes:
    """Return a view as a file of the format; nothing if it is no report of ours, or in a format that we don't draw.

    Raises UserError if the user is not one of the customer's, or the customer may not have the report now. The
    connection is the owner's.
    """
    found = connection.execute(
        "select customer_id from ops.publication where project_id = %s", [asked.project.id]
    ).fetchone()
    render = drawing.ENDINGS.get(f".{form}")
    if found is None or render is None:
        return b""
    customer = reading.customer(connection, found[0])
    connection.commit()  # drawing takes long, and an open transaction would keep deleted rows
    titles = {report.title.of(customer.locale): report for report in exposures.reports().values()}
    report = titles.get(asked.workbook.name)
    if report is None:
        return b""
    own = marks.customer_group(Mark(installation.ensure_id(settings.home), customer.customer_id))
    if not asked.user.administers and own not in asked.user.groups:
        raise UserError(
            f"a view of customer {customer.customer_id} was asked for by a user who is not in its group {own}: "
            "`callmart audit` shows who reaches what"
        )
    declared = Declared.of(settings)
    with logins.connect(settings, "publisher") as publisher:
        page = drawing.draw(
            publisher,
            declared,
            report,
            customer,
            _week(customer, asked.parameters),
            only=_only(report, customer, declared, asked.filters),
            or_empty=True,
        )
    return render(page)


def _week(customer: Customer, parameters: dict[str, str]) -> Week:
    """The week that the parameter of the dashboard names. As on Tableau, a value out of its range changes nothing."""
    names = ("weeks_back", book.WEEKS.of(customer.locale))
    text = next((parameters[name] for name in names if name in parameters), "1")
    back = int(text) if re.fullmatch("[0-9]{1,3}", text) else 1
    return weeks.back(customer.today, back if back <= book.MOST_WEEKS_BACK else 1)


def _only(
    report: Report, customer: Customer, declared: Declared, filters: dict[str, list[str]]
) -> dict[Dimension, list[str]]:
    """What the filters leave, by the names that the fields have on the customer's data source. As on Tableau, a filter
    by anything that the workbook lacks changes nothing.
    """
    source = tds.source(report.group, list(declared.marts.values()), customer.locale)
    by: dict[Dimension, Field] = {report.filtered: source.filtered}
    others: tuple[Dimension, ...] = ("day", "open")
    for dimension in others:
        column = exposures.column_of(dimension)
        if column in declared.marts[report.main_mart].columns:
            by[dimension] = source.fields[source.name(report.main_mart, column)]
    return {dimension: filters[field.caption] for dimension, field in by.items() if field.caption in filters}
