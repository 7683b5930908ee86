"""The register of requests: its functions in the database (objects/privacy.sql, privacy_steps.sql), called as a duty.

Who a request is about and who asks reach the database as keyed hashes only.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any, Literal, LiteralString

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.person import Kind
from callmart.base.rights_of_persons import Right

SQL = sql_file.statements(__file__)

WARNINGS = (14, 7, 3, 1, 0)  # days before the end of the deadline
_MISTAKE = "CM001"  # of a sentence for the user


@dataclass(frozen=True)
class Request:
    """A request as the register shows it. Days are dates at the provider; `days_left` is None once it is answered."""

    number: int
    customer_id: int
    asked_right: Right
    kind: Kind | None
    received: date
    due: date
    days_left: int | None
    state: str
    blocked_place: str | None
    blocked_code: str | None
    refused_why: str | None
    is_alone: bool | None
    is_instructed: bool | None
    is_by_consent: bool | None  # of a withdrawal: consent was the reason to have the data
    identified_how: str | None
    plan_hash: str | None
    until: datetime | None
    opened_by: str
    planned_by: str | None
    approved_by: str | None
    opened_at: datetime
    identified_at: datetime | None
    planned_at: datetime | None
    approved_at: datetime | None
    begun_at: datetime | None
    answered_at: datetime | None
    ended_at: datetime | None
    # back: with another key, after everything of it was removed; leaving: still stored, or on Tableau
    customer_is: Literal["here", "back", "leaving", "gone"]
    next_step: str | None

    @property
    def warning(self) -> int | None:
        """The last warning that is due: the days of WARNINGS, or -1 if the deadline is over. None if it is far off."""
        if self.days_left is None or self.days_left > WARNINGS[0]:
            return None
        return -1 if self.days_left < 0 else min(days for days in WARNINGS if days >= self.days_left)

    @property
    def out_of_turn(self) -> UserError:
        """The mistake of a step that is not the next one."""
        return UserError(f"request {self.number} is {self.state}: {self.todo}")

    @property
    def todo(self) -> str:
        """What keeps it from going on, or what to do next."""
        if self.blocked_place and self.customer_is == "here" and self.answered_at is None:
            return (
                f"blocked by {self.blocked_place} ({self.blocked_code}): run again the command that said so"
            )
        return self.next_step or ""

    @property
    def left(self) -> str:
        """How much time is left, in words."""
        match self.days_left:
            case None:
                return ""
            case 0:
                return "until tonight"
            case 1 | -1:
                return "1 day" if self.days_left > 0 else "1 day late"
            case days:
                return f"{days} days" if days > 0 else f"{-days} days late"


@dataclass(frozen=True)
class Evidence:
    """What was last found, treated, looked for or attested in a place."""

    place: str
    step: str
    counts: dict[str, int]


@dataclass(frozen=True)
class Logged:
    """What was done with a request, as the audit log has it."""

    at: datetime
    actor: str
    step: str
    details: dict[str, object]


@dataclass(frozen=True)
class CorrectionShown:
    """Events of one agent that are another's. Both are shown as their keys begin."""

    request: int
    customer_id: int
    mistaken: str
    corrected: str
    since: datetime
    until: datetime


def requests(connection: psycopg.Connection) -> list[Request]:
    """All requests, by number."""
    with connection.cursor(row_factory=class_row(Request)) as cursor:
        return cursor.execute(SQL["requests"]).fetchall()


def request(connection: psycopg.Connection, number: int) -> Request:
    """The request with this number. Raises UserError if there is none."""
    for one in requests(connection):
        if one.number == number:
            return one
    raise UserError(f"there is no request {number}: `callmart privacy status` lists them")


def evidence(connection: psycopg.Connection, number: int) -> list[Evidence]:
    """The latest evidence of each step in each place of a request's plan."""
    with connection.cursor(row_factory=class_row(Evidence)) as cursor:
        return cursor.execute(SQL["steps"], {"number": number}).fetchall()


def log(connection: psycopg.Connection, number: int) -> list[Logged]:
    """All that was done with a request, in order. `connection` is the owner's."""
    with connection.cursor(row_factory=class_row(Logged)) as cursor:
        return cursor.execute(SQL["log"], {"number": number}).fetchall()


def corrections(connection: psycopg.Connection) -> list[CorrectionShown]:
    """All corrections of whose events are, in the order in which they were made."""
    with connection.cursor(row_factory=class_row(CorrectionShown)) as cursor:
        return cursor.execute(SQL["corrections"]).fetchall()


def is_authorised(connection: psycopg.Connection, customer_id: int, contact_key: str | None) -> bool:
    """Whether a contact may speak for a customer now."""
    asked = connection.execute(SQL["is_authorised"], {"customer": customer_id, "contact": contact_key})
    return asked.fetchone() == (True,)


def is_about(connection: psycopg.Connection, number: int, subject: str) -> bool:
    """Whether a request is about a person."""
    asked = connection.execute(SQL["is_about"], {"number": number, "subject": subject})
    return asked.fetchone() == (True,)


# -- changes: each commits, and raises UserError if it is refused or comes at the wrong time ------------------------


def require_received(connection: psycopg.Connection, day: date) -> None:
    """Refuse a day on which no letter can have come. `connection` is the owner's."""
    _call(connection, SQL["require_received"], received=day)


def open_request(
    connection: psycopg.Connection,
    customer_id: int,
    kind: str | None,
    subject: str | None,
    received: date,
    contact_key: str | None,
    right: Right,
    made_with: str | None = None,
) -> int:
    """Enter a request and return its number. `made_with` is the fingerprint of the key that made `subject` and
    `contact_key`.
    """
    number, refusal = _call(
        connection,
        SQL["open_request"],
        customer=customer_id,
        asked_right=right,
        kind=kind,
        subject=subject,
        received=received,
        contact=contact_key,
        made_with=made_with,
    )
    if refusal:
        raise UserError(refusal)
    return int(number)


def forward(connection: psycopg.Connection, customer_id: int, received: date, right: Right) -> int:
    """Enter that a person who asked directly was sent to the customer; return the number."""
    (number,) = _call(connection, SQL["forward"], customer=customer_id, asked_right=right, received=received)
    return int(number)


def verify(
    connection: psycopg.Connection,
    number: int,
    how: str,
    *,
    alone: bool | None,
    instructed: bool,
    by_consent: bool | None = None,
    taking_over: str | None = None,
    person: str | None = None,
    made_with: str | None = None,
) -> None:
    """Record how the identity of whoever asks was checked. `by_consent` is about a withdrawal: whether consent was the
    reason to have the data. `taking_over` is the key of another contact who goes on; `person` is whom the request is
    about, if the customer left and came back. `made_with` is the fingerprint of the key that made both.
    """
    _ask(
        connection,
        SQL["verify"],
        number=number,
        how=how,
        alone=alone,
        instructed=instructed,
        by_consent=by_consent,
        taking_over=taking_over,
        person=person,
        made_with=made_with,
    )


def note_plan(connection: psycopg.Connection, number: int, hash: str, until: datetime) -> None:
    """Record a plan, up to a moment. What it found in each place comes afterwards, as evidence."""
    _call(connection, SQL["note_plan"], number=number, hash=hash, until=until)


def approve(connection: psycopg.Connection, number: int, hash: str) -> None:
    """Approve the plan with this hash."""
    _ask(connection, SQL["approve"], number=number, hash=hash)


def begin_doing(connection: psycopg.Connection, number: int, hash: str | None) -> None:
    """Begin, or go on, to do the approved plan. `hash` is that of the plan as it would be made now; None if something
    of it was erased already.
    """
    _ask(connection, SQL["begin_doing"], number=number, hash=hash)


def note_step(
    owner: psycopg.Connection, number: int, place: str, step: str, counts: Mapping[str, int]
) -> None:
    """Record evidence: `step` is find, control, treat or prove. The counts of a proof have `left`, and perhaps
    `to_attest`. No login but the owner may.
    """
    _call(owner, SQL["note_step"], number=number, place=place, step=step, counts=Jsonb(dict(counts)))


def note_found(
    owner: psycopg.Connection, number: int, hash: str, found: Mapping[str, Mapping[str, int]]
) -> None:
    """Record what the plan with this hash has found in each place, all or nothing. Raises UserError if the request was
    planned anew meanwhile: otherwise somebody would approve that plan by what this one has found. Commits.
    """
    if not owner.execute(SQL["planned"], {"number": number, "hash": hash}).fetchone():
        owner.rollback()
        raise UserError(
            f"request {number} was planned anew meanwhile: `callmart privacy plan {number}` again"
        )
    for place, counts in found.items():
        _row(owner, SQL["note_step"], number=number, place=place, step="find", counts=Jsonb(dict(counts)))
    owner.commit()


def attest(connection: psycopg.Connection, number: int, place: str) -> None:
    """Record that somebody has done in a place what callmart can't do itself."""
    _call(connection, SQL["attest"], number=number, place=place)


def begin_proving(connection: psycopg.Connection, number: int) -> None:
    """Begin, or go on, to prove that nothing is left."""
    _call(connection, SQL["begin_proving"], number=number)


def block(connection: psycopg.Connection, number: int, place: str, code: str) -> None:
    """Record that a place can't be reached."""
    _call(connection, SQL["block"], number=number, place=place, code=code)


def answer(connection: psycopg.Connection, number: int) -> None:
    """Record that the contact was answered."""
    _ask(connection, SQL["answer"], number=number)


def refuse(connection: psycopg.Connection, number: int, why: str) -> None:
    """End a request before anything is done. The database has the list of reasons."""
    _call(connection, SQL["refuse"], number=number, why=why)


def close(connection: psycopg.Connection, number: int) -> None:
    """Close a request that was answered and attested."""
    _call(connection, SQL["close"], number=number)


def _ask(connection: psycopg.Connection, statement: LiteralString, **values: object) -> None:
    """Call a function that returns the sentence of a refusal, or null."""
    (refusal,) = _call(connection, statement, **values)
    if refusal:
        raise UserError(refusal)


def _call(connection: psycopg.Connection, statement: LiteralString, **values: object) -> tuple[Any, ...]:
    """Call a function and commit, so that a refusal stays in the log. Returns its row."""
    row = _row(connection, statement, **values)
    connection.commit()
    return row


def _row(connection: psycopg.Connection, statement: LiteralString, **values: object) -> tuple[Any, ...]:
    """Call a function. Returns its row, or rolls back."""
    try:
        (row,) = connection.execute(statement, values).fetchall()
    except psycopg.Error as error:
        connection.rollback()
        if error.sqlstate == _MISTAKE:
            raise UserError(str(error.diag.message_primary)) from None
        raise
    return row
