"""Mails each recipient the reports of the last week that is over, once: as soon as the report's hour has come, and the
week is complete and checked.

What became of each mail is noted before and after it leaves. If the process ends in between, nobody knows whether the
mail arrived: that is said once, and it is not sent again unless a person wants it.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from email.message import EmailMessage
from itertools import groupby
from typing import NamedTuple

import psycopg
from psycopg.rows import class_row

from callmart.access import logins
from callmart.base import sql_file
from callmart.base.counting import several
from callmart.base.errors import UserError, is_disk_full, kind
from callmart.base.keys import known_key
from callmart.base.progress import OnCustomer
from callmart.base.settings import Settings
from callmart.database import audit_log, clock, tombstones
from callmart.declarations import exposures
from callmart.mailing import letter, sending
from callmart.mailing.book import Book
from callmart.mailing.letter import Enclosed
from callmart.mailing.sending import Carry
from callmart.publish import deriving, installation
from callmart.registry.file import MailFormat
from callmart.reports import drawing, reading, weeks
from callmart.reports.drawing import Declared, NoData
from callmart.reports.language import Language
from callmart.reports.reading import Customer
from callmart.reports.weeks import Week

SQL = sql_file.statements(__file__)

# Takes a sentence for a person to look at, with the customer's number. What is said once is in the books only after
# that: whatever breaks off then, somebody was told.
Note = Callable[[int | None, str], None]


@dataclass(frozen=True)
class _Recipient:
    customer_id: int
    now: datetime  # by the customer's clock
    key_fingerprint: str
    email: str
    reports: list[str]
    mail_format: MailFormat


class _Due(NamedTuple):
    """The reports that a recipient has not been mailed yet."""

    recipient: _Recipient
    known_by: str
    reports: list[str]


class _Outcome(NamedTuple):
    """What became of a mail: what to say of it, and what the books get to know once that was said."""

    said: str
    state: str = ""


_SENT = _Outcome("")


def send(
    connection: psycopg.Connection,
    settings: Settings,
    on_customer: OnCustomer,
    note: Note,
    note_waiting: Note,
) -> int:
    """Send all that is due. Returns how many mails went out. A failure of one customer or recipient is noted, and stops
    no other. A customer whose mail waits until its week is whole is noted each time. `on_customer(customer, finished,
    of)` is called after each. The connection is the owner's. Commits.

    Raises UserError if the home is a copy, or was restored and has not been told to take over: the other one may mail.
    """
    installation.refuse_restored(settings.home)
    installation.ensure_id(settings.home)
    for customer_id, recipients in connection.execute(SQL["note_unknown"]).fetchall():
        why = "callmart was stopped while it went out"
        note(
            customer_id,
            f"customer {customer_id}: {_unknown(customer_id, several(recipients, 'recipient'), why)}",
        )
    connection.commit()
    due = _due(connection, settings, note)
    if not due:
        return 0
    mails = Counter[int]()  # by customer
    stopped, declared = deriving.mail_stopped(connection), Declared.of(settings)
    connection.commit()
    with logins.connect(settings, "publisher") as publisher, sending.carrier(settings) as carry:
        for number, (customer_id, letters) in enumerate(due.items(), 1):
            try:
                if reason := stopped.get(customer_id):
                    note_waiting(customer_id, f"customer {customer_id}: the weekly mail waits: {reason}")
                    continue
                _send(connection, settings, publisher, declared, carry, letters, mails, note)
            except sending.Unreachable as error:
                note(None, str(error))
                break
            except Exception as error:
                remedy = ": make room, and the next run sends it" if is_disk_full(error) else ""
                said = (
                    str(error)
                    if isinstance(error, UserError)
                    else f"its mail was not sent ({kind(error)}){remedy}"
                )
                note(customer_id, f"customer {customer_id}: {said}")
                connection.rollback()
            finally:
                on_customer(customer_id, number, len(due))
    return mails.total()


def again(connection: psycopg.Connection, customer_id: int) -> int:
    """Forget the mails of a customer that were refused, or of which nobody knows whether they arrived. Returns how many
    reports will be sent once more. Commits.
    """
    forgotten = connection.execute(SQL["forget_failures"], {"customer": customer_id}).rowcount
    connection.commit()
    return forgotten


def _due(connection: psycopg.Connection, settings: Settings, note: Note) -> Mapping[int, list[_Due]]:
    """What is due, by customer. Raises UserError if the clock is not believed any more."""
    clock.require(connection, settings)  # in the transaction whose moment says which weeks are over
    with connection.cursor(row_factory=class_row(_Recipient)) as cursor:
        recipients = [
            replace(one, reports=list(dict.fromkeys(map(exposures.current_name, one.reports))))
            for one in cursor.execute(SQL["recipients"])
        ]
    due = {}
    for customer_id, group in groupby(recipients, lambda one: one.customer_id):
        own = list(group)
        if gone := sorted({name for one in own for name in one.reports} - exposures.reports().keys()):
            note(
                customer_id,
                f"customer {customer_id}: recipients have ordered {', '.join(gone)}, which is no report any more: "
                "take it out of the registry",
            )
        try:
            if letters := list(_missing(connection, settings, own)):
                due[customer_id] = letters
        except UserError as error:
            note(customer_id, str(error))
    return due


def _missing(
    connection: psycopg.Connection, settings: Settings, recipients: list[_Recipient]
) -> Iterator[_Due]:
    """What the recipients of a customer have not been mailed, of the reports whose hour has come."""
    of_all = recipients[0]
    come = [
        [name for name in one.reports if name in exposures.reports() and _has_come(name, one.now)]
        for one in recipients
    ]
    if not any(come):
        return
    key = known_key(settings.home, of_all.customer_id, of_all.key_fingerprint)
    week = weeks.last_complete(of_all.now.date()).monday
    rows = connection.execute(SQL["mailed"], {"customer": of_all.customer_id, "week": week})
    book = {(known_by, exposures.current_name(report)) for known_by, report in rows}
    for one, reports in zip(recipients, come, strict=True):
        known_by = tombstones.of_address(key, one.email)
        if missing := [name for name in reports if (known_by, name) not in book]:
            yield _Due(one, known_by, missing)


def _has_come(report: str, now: datetime) -> bool:
    """Whether the report's weekday and hour have come in this week, which is the one after that of the report."""
    return now >= exposures.reports()[report].schedule.due_in_week_of(now.date())


def _send(
    connection: psycopg.Connection,
    settings: Settings,
    publisher: psycopg.Connection,
    declared: Declared,
    carry: Carry,
    letters: list[_Due],
    mails: Counter[int],
    note: Note,
) -> None:
    """Send a customer's mails."""
    customer = reading.customer(connection, letters[0].recipient.customer_id)
    connection.commit()
    week, language = weeks.last_complete(letters[0].recipient.now.date()), Language(customer.locale)
    wanted = defaultdict[str, set[MailFormat]](set)
    for one in letters:
        for name in one.reports:
            wanted[name].add(one.recipient.mail_format)
    drawn = {each.page.name: each for each in _drawn(publisher, declared, customer, week, wanted, note)}
    outcomes = defaultdict[_Outcome, list[Book]](list)
    try:
        for one in letters:
            if enclosed := [drawn[name] for name in one.reports if name in drawn]:
                book = Book(
                    connection,
                    customer.customer_id,
                    week,
                    one.known_by,
                    [each.page.name for each in enclosed],
                )
                try:
                    written = letter.write(
                        language, enclosed, one.recipient.mail_format,
                        settings.mail.from_ or letter.NOBODY, one.recipient.email, one.known_by,
                    )  # fmt: skip
                except Exception as error:
                    outcomes[_unwritten(error)].append(book)
                else:
                    outcomes[_carried(carry, written, book)].append(book)
    except psycopg.Error:  # its transaction takes nothing more
        connection.rollback()
        raise
    finally:  # some went out, even if the mail server is left alone now
        mails[customer.customer_id] = sent = len(outcomes.pop(_SENT, ()))
        if sent:
            audit_log.note(
                connection, "mailed", {"week": str(week), "recipients": sent}, customer.customer_id
            )
            connection.commit()
        for outcome, books in outcomes.items():
            said = outcome.said.format(recipients=several(len(books), "recipient"), week=week)
            note(customer.customer_id, f"customer {customer.customer_id}: {said}")
            for book in books:
                if outcome.state:
                    book.note(outcome.state)


def _unwritten(error: Exception) -> _Outcome:
    return _Outcome(
        f"the mail of {{week}} to {{recipients}} could not be written ({kind(error)}): look at their "
        "addresses in the registry; the next run tries again"
    )


def _carried(carry: Carry, written: EmailMessage, book: Book) -> _Outcome:
    """Send a letter. The book has what became of it, unless somebody has to be told first."""
    try:
        carry(written, book.customer_id, book.going)
    except sending.Refused as refusal:
        return _Outcome(
            f"the mail server refuses {{recipients}} ({refusal}): correct the address in the registry, or mail.from "
            f"if it refuses the sender, and run `callmart mail --again {book.customer_id}`",
            "refused",
        )
    except sending.Undelivered as failure:
        book.forget()
        return _Outcome(
            f"the mail of {{week}} has not gone to {{recipients}} ({failure}): the next run tries again"
        )
    except sending.Unreachable:
        book.forget()  # a try before may have noted that it goes, and the server did not take it
        raise
    except sending.Unanswered as failure:
        why = f"the mail server did not answer ({failure})"
        return _Outcome(_unknown(book.customer_id, "{recipients}", why), "unknown")
    book.note("sent")
    return _SENT


def _unknown(customer_id: int, recipients: str, why: str) -> str:
    return (
        f"whether {recipients} got their mail is not known, as {why}: ask them; "
        f"`callmart mail --again {customer_id}` sends it once more"
    )


def _drawn(
    publisher: psycopg.Connection,
    declared: Declared,
    customer: Customer,
    week: Week,
    wanted: Mapping[str, Collection[MailFormat]],
    note: Note,
) -> Iterator[Enclosed]:
    """The reports that the contract opens, as far as there is something to show in that week, for the formats in which
    each is wanted. One that can't be drawn is noted, and stops no other.
    """
    language = Language(customer.locale)
    for name in sorted(wanted):
        report = exposures.reports()[name]
        if report.is_opened_by(customer.option, customer.orders):
            try:
                page = drawing.draw(publisher, declared, report, customer, week)
                enclosed = Enclosed(page, language.of(report.mail.subject), wanted[name])
            except NoData:
                continue
            except Exception as error:
                note(customer.customer_id, drawing.undrawn(customer, report, error))
                continue
            yield enclosed
