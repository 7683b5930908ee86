"""The letter that answers a request, in the customer's language. It names nobody: the officer addresses it."""

from collections.abc import Iterator
from datetime import date, datetime, timedelta
from typing import NamedTuple
from zoneinfo import ZoneInfo

import psycopg

from callmart.base import sql_file
from callmart.base.declared import Locale, texts
from callmart.base.errors import UserError
from callmart.base.evidence import RAW_FILES, TOO_OLD
from callmart.base.settings import Settings
from callmart.base.templates import template
from callmart.database import ledger
from callmart.privacy.register import Evidence, Request

SQL = sql_file.statements(__file__)

CELLS = "cells "  # how counts of queues and days begin whose figures change


PLACES = {  # what each is called
    "doorway": texts("de tabellen waarin bestanden binnenkomen", "the tables in which files arrive"),
    "events": texts("de gespreks- en statusgegevens", "the records of calls and statuses"),
    "registry": texts(
        "onze lijst van medewerkers, contactpersonen en ontvangers",
        "our list of agents, contacts and recipients",
    ),
    "registry of customers": texts("onze klantregistratie", "our registry of customers"),
    "landed files": texts("de lijst van verwerkte bestanden", "the list of files that were processed"),
    "build": texts("de tussentijdse berekeningen", "the intermediate results"),
    "marts": texts("de tabellen achter de rapporten", "the tables behind the reports"),
    "environments": texts("kopieën waarin wij wijzigingen uitproberen", "copies in which we try changes"),
    "usage": texts("de gebruiksstatistiek over alle klanten", "the statistics of use over all customers"),
    "books": texts("ons logboek van de verwerking", "our log of the processing"),
    "register": texts("het register van verzoeken", "the register of requests"),
    "extracts": texts("de bestanden voor Tableau", "the files for Tableau"),
    "drawn reports": texts("de getekende rapporten", "the drawn reports"),
    "outbox": texts("mails die nog niet verstuurd zijn", "mails that have not gone out yet"),
    "packages": texts(
        "de pakketten die voor verzoeken zijn gemaakt", "the packages that were made for requests"
    ),
    "tableau content": texts(
        "Tableau: gegevensbronnen, werkmappen en oude versies daarvan",
        "Tableau: data sources, workbooks, and their revisions",
    ),
    "tableau users": texts("Tableau: gebruikers en abonnementen", "Tableau: users and subscriptions"),
    "emulator": texts(
        "de plaatsvervanger van Tableau op onze machine", "the stand-in for Tableau on our machine"
    ),
    "checks and logs": texts("de controlepagina's en logbestanden", "the pages of checks and the log files"),
    "keys and secrets": texts(
        "de bestanden met sleutels en wachtwoorden", "the files with keys and passwords"
    ),
    "temporary files": texts("tijdelijke bestanden", "temporary files"),
    "registry file": texts("het bestand met onze klantregistratie", "the file of our registry of customers"),
    "demo": texts("de voorbeeldgegevens", "the example data"),
    "server files": texts(
        "de schijfruimte en het log van de databaseserver", "the disk space and log of the database server"
    ),
    "elsewhere": texts(
        "uw telefooncentrale en de bestanden die deze aanlevert",
        "your telephone system and the files that it delivers",
    ),
}


class _Line(NamedTuple):
    """What was done in a place."""

    place: str
    found: int
    cells: int  # figures of a queue on a day that change
    left: int
    is_searched: bool  # by us; elsewhere a person looks
    waits: bool  # for a person to confirm it


def backup_kept_days(settings: Settings) -> int:
    """For how many days a backup is kept. Raises UserError if no setting says it."""
    if settings.backup_kept_days is None:
        raise UserError(
            "setting backup_kept_days: the answer says when the last backup is gone; "
            "write for how many days you keep a backup, or 0 if there are none"
        )
    return settings.backup_kept_days


def answer(
    connection: psycopg.Connection, settings: Settings, request: Request, evidence: list[Evidence]
) -> str:
    """The letter that answers a request. `connection` is the owner's. Raises UserError if no setting says how long a
    backup is kept.

    It was carried out when the last place was treated: a request that was blocked goes on for days, and the backups of
    these days have what was not treated yet.
    """
    kept_days = backup_kept_days(settings)
    asked = connection.execute(SQL["customer"], {"customer": request.customer_id}).fetchone()
    name, locale, zone = asked if asked else (f"{request.customer_id}", "nl", settings.time_zone)
    end = request.until if request.begun_at else None
    ((treated_at,),) = connection.execute(SQL["treated"], {"number": request.number}).fetchall()
    ((since,),) = connection.execute(SQL["since"], {"number": request.number}).fetchall()
    done = treated_at or request.begun_at or request.identified_at or request.opened_at
    lines = list(_lines(evidence, locale))
    cells = sum(line.cells for line in lines)
    is_too_old = any(TOO_OLD in one.counts for one in evidence)
    # Of a name nothing is found if registry.yml was corrected before.
    can_be_nothing = request.asked_right == "lifting" or since is not None
    return template("callmart.privacy.answers", f"{request.asked_right}_{locale}.txt.j2").render(
        request=request,
        customer=name,
        lines=lines,
        cells=cells,
        has_passphrase=any("with a passphrase" in one.counts for one in evidence),
        is_too_old=is_too_old,
        is_nothing=is_too_old or (can_be_nothing and not cells and not any(line.found for line in lines)),
        day=lambda moment: _day(moment, settings, locale),
        since=since and since.astimezone(ZoneInfo(zone)).date(),
        until=end and (end - timedelta(seconds=1)).astimezone(ZoneInfo(zone)).date(),
        entry=ledger.last(settings),
        done=done,
        backups_gone=done.astimezone(settings.zone).date() + timedelta(days=kept_days),
        has_backups=bool(kept_days),
    )


def place_in_words(place: str, locale: Locale) -> str:
    """What a place is called in a letter. Raises UserError if nobody has written that yet."""
    words = PLACES.get(place)
    if words is None:
        raise UserError(f"the place {place} has no words for letters: add them to {__name__}")
    return words.of(locale)


def _lines(evidence: list[Evidence], locale: Locale) -> Iterator[_Line]:
    by_step: dict[tuple[str, str], dict[str, int]] = {(one.step, one.place): one.counts for one in evidence}
    for place in sorted({one.place for one in evidence}):
        found, proof = by_step.get(("find", place), {}), by_step.get(("prove", place), {})
        cells = sum(count for what, count in found.items() if what.startswith(CELLS))
        yield _Line(
            place_in_words(place, locale),
            sum(found.values()) - cells - found.get(RAW_FILES, 0),
            cells,
            proof.get("left", 0),
            not proof.get("to_attest"),
            bool(proof.get("to_attest")) and ("attest", place) not in by_step,
        )


def day_in_words(day: date, locale: Locale) -> str:
    """A day as letters write it: 24-11-2026, or 24 November 2026."""
    return f"{day.day}-{day.month}-{day.year}" if locale == "nl" else f"{day.day} {day:%B %Y}"


def _day(moment: datetime | date, settings: Settings, locale: Locale) -> str:
    day = moment.astimezone(settings.zone).date() if isinstance(moment, datetime) else moment
    return day_in_words(day, locale)
