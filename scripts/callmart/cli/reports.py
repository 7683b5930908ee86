"""Commands about reports: which there are, and a customer's report as a page, on paper, or as a workbook."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from callmart.access import logins
from callmart.base.counting import several
from callmart.base.declared import Locale
from callmart.base.errors import UserError, unknown_customer
from callmart.base.progress import by_customer
from callmart.base.secret_files import secret_file
from callmart.base.settings import settings
from callmart.cli.terminal import (
    UNDONE,
    Json,
    OneOfTwo,
    at_work,
    database,
    follow_rights,
    looking,
    out,
    plain,
    print_json,
    progress,
    show,
    table,
    tell,
)
from callmart.database.lock import Busy
from callmart.declarations import exposures
from callmart.operations.record import runs_come_often

if TYPE_CHECKING:
    from callmart.reports.weeks import Week

app = typer.Typer()


@app.command("reports")
def reports_(as_json: Json = False) -> None:
    """Show the declared reports. Checks first that the marts have what the reports show."""
    from callmart.declarations import dbt_project

    exposures.check_all(dbt_project.marts(settings()))
    declared = exposures.reports().values()
    if as_json:
        print_json([report.model_dump() for report in declared])
        return
    reports = table("report", "title", "contract", "marts", "mailed")
    for report in declared:
        title = f"{report.title.nl} / {report.title.en}"
        schedule = f"{report.schedule.day}, {report.schedule.hour:02}:00"
        reports.add_row(report.name, plain(title), report.option, ", ".join(report.marts), schedule)
    show(reports)


@app.command("workbook")
def workbook_(
    report: Annotated[str, typer.Argument(help="A report that `callmart reports` lists.")],
    customer: Annotated[int, typer.Option(min=1, help="The customer whose name and language it has.")],
    target: Annotated[Path, typer.Option("--out", help="The .twb to write.")],
    file: Annotated[
        Path | None, typer.Option("--template", help="A .twb saved by Tableau Desktop to use instead.")
    ] = None,
    content_url: Annotated[
        str, typer.Option("--data-source", help="The content URL of the published data source.")
    ] = "",
) -> None:
    """Write the workbook of a customer's report, without what publishing adds: its target and its links to contacts.

    Refuses a template that is not suitable.
    """
    from callmart.declarations import dbt_project
    from callmart.tableau_files import tds, workbook

    declared = exposures.named(report)
    if target.suffix.lower() != ".twb":
        raise UserError(f"--out {target} is no .twb: name one")
    with database() as connection:
        found = connection.execute(
            "select name, locale, tableau_site from registry.customer where customer_id = %s", [customer]
        ).fetchone()
    if found is None:
        raise unknown_customer(customer)
    name, locale, site = found
    source = tds.source(declared.group, dbt_project.marts(settings()), locale)
    published = workbook.PublishedSource(
        "http://localhost" if settings().tableau.is_emulated else str(settings().tableau.server),
        site or settings().tableau.site,
        content_url or f"callmart_{customer}_{declared.group}",
    )
    secret_file(target, workbook.build(declared, name, source, published, file))
    out.print(f"workbook: {plain(target.resolve())} uses the published data source {published.content_url}")


@app.command(
    "report", cls=OneOfTwo, epilog="Example: `callmart report traffic --customer 1042 --out week.pdf`"
)
def report_(
    report: Annotated[str | None, typer.Argument(help="A report that `callmart reports` lists.")] = None,
    customer: Annotated[int | None, typer.Option(min=1, help="Whose report it is.")] = None,
    week: Annotated[
        str | None, typer.Option(metavar="2026-W47", help="The week; by default the last one that is over.")
    ] = None,
    target: Annotated[
        Path | None, typer.Option("--out", help="A .html, .pdf, .png, .csv or .xlsx to write.")
    ] = None,
    locale: Annotated[Locale | None, typer.Option(help="By default the customer's language.")] = None,
    is_open: Annotated[
        bool | None,
        typer.Option("--open/--closed", help="Only what was within opening hours, or outside them."),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All reports of all customers, as pages in CALLMART_HOME/reports.")
    ] = False,
) -> None:
    """Draw a customer's report, read as that customer."""
    from callmart.reports import weeks

    chosen = weeks.parse(week) if week else None
    if everything:
        if report or customer or target or locale or is_open is not None:
            raise UserError("--all draws every report of every customer: name nothing but --week beside it")
        _draw_all(chosen)
    elif report is None or customer is None or target is None:
        raise UserError("name a report, --customer and --out, or draw all reports with --all")
    else:
        _draw(report, customer, chosen, target, locale, is_open)


def _draw(
    report: str,
    customer_id: int,
    week: "Week | None",
    target: Path,
    locale: Locale | None,
    is_open: bool | None,
) -> None:
    from callmart.opening import opening
    from callmart.reports import drawing, reading

    declared, form = exposures.named(report), drawing.ending(target)
    with looking() as connection:
        customer = reading.customer(connection, customer_id)
        # The page is read through the policies alone, and this command changes nothing that it could set right.
        opening.refuse_drift(connection, settings(), opens=False)
    with logins.connect(settings(), "publisher") as publisher:
        marts_and_words = drawing.Declared.of(settings())
        only = drawing.NOTHING if is_open is None else {"open": [str(is_open).lower()]}
        page = drawing.draw(publisher, marts_and_words, declared, customer, week, locale, only=only)
    secret_file(target, form(page))
    out.print(
        f"report: {plain(target.resolve())} shows {plain(page.title)}, {page.week}, of customer {customer_id}"
    )


def _draw_all(week: "Week | None") -> None:
    from callmart.reports import filling, shelf

    # At work, so that no page is written of somebody who is erased meanwhile.
    with at_work() as connection, progress() as step:
        problems = follow_rights(connection)
        outcomes = filling.fill(connection, settings(), week, by_customer(step, "draw"))
    drawn = sum(one.drawn for one in outcomes)
    failures = [failure for one in outcomes for failure in one.failures]
    out.print(
        f"report: {several(drawn, 'page')} of {several(len(outcomes), 'customer')}: {plain(shelf.index(settings()))}"
    )
    for failure in failures:
        tell(failure)
    raise typer.Exit(UNDONE if failures or problems else 0)


@app.command()
def mail(
    again: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="CUSTOMER",
            help="Send again to recipients who were refused, or of whom nobody knows whether the mail arrived.",
        ),
    ] = None,
) -> None:
    """Mail the weekly reports that are due, each once. `callmart run` does it, too."""
    try:
        problems = _mail(again)
    except Busy as busy:
        with database() as connection:
            if again is not None or not runs_come_often(connection):
                raise
        out.print(f"mail: {plain(busy.who)}: nothing was mailed, and the next run does it")
        return
    raise typer.Exit(UNDONE if problems else 0)


def _mail(again: int | None) -> int:
    """Mail what is due, and tell the problems. Returns how many. What waits is none: the nightly run tells of it, and
    this is called every hour.
    """
    from callmart.mailing import mailing, places

    problems = 0

    def note(customer_id: int | None, problem: str) -> None:
        nonlocal problems
        problems += 1
        tell(problem)

    with at_work() as connection, progress() as step:
        if settings().mail.sender != "callmart":
            raise UserError(
                'Tableau mails the reports, by its subscriptions: set mail.sender = "callmart" to change that'
            )
        problems += follow_rights(connection)
        if again is not None and not mailing.again(connection, again):
            raise UserError(f"customer {again} has no mail to send again: `callmart mail` sends what is due")
        mails = mailing.send(
            connection,
            settings(),
            by_customer(step, "mail"),
            note,
            lambda _, waiting: out.print(plain(waiting)),
        )
    server = settings().mail.smtp
    where = f"the mail server {server.host}" if server else places.folder(settings())
    out.print(f"mail: {several(mails, 'mail')} to {plain(where)}")
    return problems
