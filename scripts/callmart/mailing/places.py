"""The outbox, CALLMART_HOME/outbox: the mails that callmart wrote because no mail server is set. A folder per customer;
the name of a mail has its week, its reports and the recipient's pseudonym.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from datetime import date
from email.message import EmailMessage
from pathlib import Path
from typing import NamedTuple

import psycopg

from callmart.base import disk
from callmart.base.person import Counts, Person, Proof, Work
from callmart.base.settings import Settings
from callmart.mailing.book import Book
from callmart.reports import shelf, weeks
from callmart.reports.weeks import Week

OUTBOX = "outbox"


class Mail(NamedTuple):
    """A mail in the outbox."""

    path: Path
    customer_id: int
    week: Week
    reports: list[str]
    known_by: str  # the recipient's pseudonym


def folder(settings: Settings) -> Path:
    """The folder of all customers'."""
    return settings.home / OUTBOX


def file(settings: Settings, customer_id: int, letter: EmailMessage) -> Path:
    """Where a letter is put. The name follows from the letter's id, so that one that is written again is the same."""
    name = str(letter["Message-ID"]).strip("<>").rpartition("@")[0]
    return folder(settings) / str(customer_id) / f"{name}.eml"


def mails(settings: Settings) -> Iterator[Mail]:
    """All mails, sorted."""
    yield from filter(None, map(_mail, _files(settings)))


def forget(connection: psycopg.Connection, settings: Settings, customer_id: int) -> None:
    """Let the next run write a customer's mails of the last week anew: these are about to be removed. Commits."""
    for mail in mails(settings):
        if mail.customer_id == customer_id:
            Book(connection, customer_id, mail.week, mail.known_by, mail.reports).forget()


def strays(settings: Settings) -> list[Path]:
    """What is among the mails and has no mail's name. Nobody knows what it shows, so it stays."""
    return [path for path in _files(settings) if _mail(path) is None]


def _files(settings: Settings) -> list[Path]:
    return sorted(folder(settings).glob("*/*.eml"))


def _mail(path: Path) -> Mail | None:
    name = f"{path.parent.name}/{path.name}"
    found = re.fullmatch(r"([1-9][0-9]*)/([^.]+)\.([^.]+)\.([^.]+)\.eml", name)
    week = weeks.named(found[2]) if found else None
    return Mail(path, int(found[1]), week, found[3].split("-"), found[4]) if found and week else None


def too_old(settings: Settings, floor: date, customer_id: int | None = None) -> list[Path]:
    """The mails, of all customers or of one, with a report that can show a day before the floor."""
    return [
        mail.path
        for mail in mails(settings)
        if customer_id in (None, mail.customer_id) and shelf.shows_before(mail.path, mail.week, floor)
    ]


def unordered(connection: psycopg.Connection, settings: Settings) -> list[Mail]:
    """The mails with a report that no contract orders today."""
    is_ordered = shelf.ordering(connection)
    return [
        mail
        for mail in mails(settings)
        if not all(is_ordered(mail.customer_id, name, mail.week) for name in mail.reports)
    ]


def tidy(connection: psycopg.Connection, settings: Settings) -> int:
    """Remove the mails with a report that no contract orders any more. Returns how many. The caller has the lock, so a
    draft is one that a kill has left: it goes, too, if it can be deleted.

    Raises the OSError of the first mail that can't be removed, when all others are.
    """
    for draft in folder(settings).glob("*/*.eml.new"):
        with suppress(OSError):  # the next run tries again
            draft.unlink()
    removed, stuck = 0, list[OSError]()
    for mail in unordered(connection, settings):
        try:
            mail.path.unlink()
            removed += 1
        except OSError as error:
            stuck.append(error)
    if stuck:
        raise stuck[0]
    return removed


class Outbox:
    """The mails in the outbox. A mail can't be changed, so all of the customer's are removed, and the next run writes
    those of the last week anew.
    """

    name = "outbox"
    tables = ()
    paths = (f"{OUTBOX}/*/*.eml*",)  # with its draft, which a kill can leave
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Count the customer's mails."""
        return +Counts(mails=len(_of(work, person)))

    def treat(self, work: Work, person: Person) -> Counts:
        """Remove them. Commits."""
        forget(work.connection, work.settings, person.customer_id)
        found = _of(work, person)
        for path in found:
            path.unlink()
        return +Counts(mails=len(found))

    def prove(self, work: Work, person: Person) -> Proof:
        """See that none is left."""
        searched = Counts(mails=len(list(disk.files(folder(work.settings)))))
        return Proof(searched, self.find(work, person))


def _of(work: Work, person: Person) -> list[Path]:
    return list(disk.files(folder(work.settings) / str(person.customer_id)))
