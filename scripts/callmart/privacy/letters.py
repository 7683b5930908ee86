"""The letter that answers a request, in the customer's language. It names nobody: the officer addresses it."""

from datetime import date, datetime, timedelta
from functools import cache
from importlib.resources import files
from typing import Any, Literal, NamedTuple

import jinja2
import psycopg

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.privacy.register import Evidence, Request

SQL = sql_file.statements(__file__)

Language = Literal["nl", "en"]


class Words(NamedTuple):
    """What a place is called in a letter."""

    nl: str
    en: str


# By the name of the place in a plan, or by the part of the name before a dot.
PLACES = {
    "raw": Words("de gespreks- en statusgegevens", "the records of calls and statuses"),
    "registry": Words(
        "onze administratie van klanten en ontvangers", "our records of customers and recipients"
    ),
    "marts": Words("de tabellen achter de rapporten", "the tables behind the reports"),
    "build": Words("de tussentijdse berekeningen", "intermediate results"),
    "books": Words("ons logboek van de verwerking", "our log of the processing"),
    "register": Words("het register van verzoeken", "the register of requests"),
    "ledger": Words("het grootboek van verwijderingen", "the ledger of erasures"),
    "extracts": Words("de bestanden voor Tableau", "the files for Tableau"),
    "tableau": Words(
        "Tableau: gegevensbronnen, werkmappen, oude versies en gebruikers",
        "Tableau: data sources, workbooks, revisions and users",
    ),
    "reports": Words("getekende rapporten en uitgaande mail", "drawn reports and outgoing mail"),
    "pages": Words("controlepagina's en logbestanden", "pages of checks and log files"),
    "server": Words(
        "de schijfruimte en het log van de databaseserver", "the database server's disk space and log"
    ),
    "backups": Words("de reservekopieën", "the backups"),
    "source": Words("de aangeleverde bestanden", "the files that were delivered"),
}


class _Line(NamedTuple):
    """What was done in a place."""

    place: str
    found: int
    left: int
    is_attested: bool  # nothing is left for a person to confirm


def backups_gone(settings: Settings, request: Request) -> date:
    """The day on which the last backup from before the erasure is gone. Raises UserError if no setting says it."""
    if settings.backup_kept_days is None:
        raise UserError(
            "setting backup_kept_days: the answer says when the last backup is gone; "
            "write for how many days you keep a backup, or 0 if there are none"
        )
    erased = request.begun_at or request.identified_at or request.opened_at
    return erased.astimezone(settings.zone).date() + timedelta(days=settings.backup_kept_days)


def answer(
    connection: psycopg.Connection, settings: Settings, request: Request, evidence: list[Evidence]
) -> str:
    """The letter that answers a request. `connection` is the owner's."""
    asked = connection.execute(SQL["customer"], {"customer": request.customer_id}).fetchone()
    name, locale = asked if asked else (f"{request.customer_id}", "nl")
    return _template(locale).render(
        request=request,
        customer=name,
        lines=list(_lines(evidence, locale)),
        day=lambda moment: _day(moment, settings, locale),
        erased=request.begun_at is not None,
        backups_gone=backups_gone(settings, request),
        has_backups=bool(settings.backup_kept_days),
    )


def place_in_words(place: str, locale: Language) -> str:
    """What a place is called in a letter. Raises UserError if nobody has written that yet."""
    words = PLACES.get(place) or PLACES.get(place.partition(".")[0])
    if words is None:
        raise UserError(f"the place {place} has no words for letters: add them to {__name__}")
    return words.nl if locale == "nl" else words.en


def _lines(evidence: list[Evidence], locale: Language) -> Any:
    by_step: dict[tuple[str, str], dict[str, int]] = {(one.step, one.place): one.counts for one in evidence}
    for place in sorted({one.place for one in evidence}):
        proof = by_step.get(("prove", place), {})
        yield _Line(
            place_in_words(place, locale),
            sum(by_step.get(("find", place), {}).values()),
            proof.get("left", 0),
            not proof.get("to_attest") or ("attest", place) in by_step,
        )


def _day(moment: datetime | date, settings: Settings, locale: Language) -> str:
    day = moment.astimezone(settings.zone).date() if isinstance(moment, datetime) else moment
    return f"{day.day}-{day.month}-{day.year}" if locale == "nl" else f"{day.day} {day:%B %Y}"


@cache
def _template(locale: Language) -> jinja2.Template:
    text = files("callmart.privacy").joinpath(f"answer_{locale}.txt.j2").read_text(encoding="utf-8")
    environment = jinja2.Environment(
        undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=False
    )
    return environment.from_string(text)
