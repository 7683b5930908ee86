"""Mails that can't be made or handed over: whose they are, what is said, and that all others go out."""

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from typing import Any

import psycopg
import pytest
from aiosmtpd.smtp import Envelope

from callmart.base import smtp
from callmart.mailing import places, sending
from callmart.mailing.book import Book
from callmart.reports import drawing, paper
from callmart.reports.page import Page
from callmart_home import Callmart
from centre import NAMED
from mail_server import mail_server
from mailed import CHEF, OTHER, PLANNER, WEEK, Sent, by, by_server, got, leave_out_drawings, send

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked")]


@contextmanager
def ordered(owner: psycopg.Connection, email: str, *reports: str) -> Iterator[None]:
    """Within it, a recipient has ordered these reports."""
    change = "update registry.recipient set reports = %s where email = %s"
    ((before,),) = owner.execute(
        "select reports from registry.recipient where email = %s", [email]
    ).fetchall()
    owner.execute(change, [list(reports), email])
    owner.commit()
    try:
        yield
    finally:
        owner.rollback()
        owner.execute(change, [before, email])
        owner.commit()


def test_a_report_that_was_ordered_twice_is_mailed_once(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By two of its names, before that was refused."""
    leave_out_drawings(monkeypatch)
    with ordered(owner, OTHER, "traffic", "drukte"):
        assert send(owner, by(two_weeks)) == Sent(2, [])


@pytest.mark.parametrize("answer", ["530 log in first", "553 not yours"])
def test_a_sender_that_is_refused_says_nothing_of_recipients(
    two_weeks: Callmart,
    owner: psycopg.Connection,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    answer: str,
) -> None:
    leave_out_drawings(monkeypatch)
    settings = by_server(two_weeks, free_port)
    with mail_server(free_port) as letters:
        letters.sender = answer
        mailed = send(owner, settings)
        assert mailed.mails == 0
        ((customer, said),) = mailed.problems
        assert customer is None
        assert said.startswith(f"mail.from: the mail server takes nothing from this address ({answer[:3]}): ")
        letters.sender = "250 OK"
        assert send(owner, settings) == Sent(2, [])
    assert got(letters) == {CHEF: 1, OTHER: 1}


def test_a_server_that_ends_the_session_and_then_is_gone_gets_the_letter_later(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has said that it takes the second letter not now, after it was noted that this goes out."""
    leave_out_drawings(monkeypatch)
    settings = by_server(two_weeks, free_port)
    sessions, session = count(1), smtp.session

    def once(*how: Any) -> Any:
        if next(sessions) > 1:
            raise ConnectionRefusedError
        return session(*how)

    async def answer(envelope: Envelope) -> str:
        return "421 not now" if letters.got else ""

    with mail_server(free_port) as letters:
        letters.before = answer
        with monkeypatch.context() as patch:
            patch.setattr(smtp, "session", once)
            assert send(owner, settings).mails == 1
        letters.before = None
        assert send(owner, settings) == Sent(1, [])
    assert got(letters) == {CHEF: 1, OTHER: 1}


def test_a_mail_that_can_not_be_removed_keeps_no_other(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    send(owner, by(two_weeks))
    owner.execute("update registry.contract set option = 'standard' where customer_id = %s", [NAMED])
    stuck = places.folder(two_weeks.settings) / str(NAMED) / f"{WEEK}.agents.0.eml"
    stuck.mkdir()  # it can't be unlinked
    with pytest.raises(OSError):
        places.tidy(owner, two_weeks.settings)
    stuck.rmdir()
    owner.rollback()
    assert NAMED not in {mail.customer_id for mail in places.mails(two_weeks.settings)}


def test_a_password_that_can_not_be_read_is_said_once(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    gone = two_weeks.home / "gone"
    with mail_server(free_port):
        mailed = send(owner, by_server(two_weeks, free_port, user="callmart", password_file=gone))
    said = f"setting mail.smtp.password_file: {gone} can't be read; create it with the secret in it"
    assert mailed == Sent(0, [(None, said)])


def test_a_report_that_can_not_be_drawn_stops_no_other(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    draw: Any = drawing.draw

    def fail(*given: Any) -> Page:
        if given[2].name == "agents":
            raise KeyError(CHEF)
        page: Page = draw(*given)
        return page

    with monkeypatch.context() as patch:
        patch.setattr(drawing, "draw", fail)
        said = f"customer {NAMED}: the report agents was not drawn: KeyError"
        assert send(owner, by(two_weeks)) == Sent(2, [(NAMED, said)])
        assert send(owner, by(two_weeks)) == Sent(0, [(NAMED, said)])
    assert send(owner, by(two_weeks)) == Sent(1, []), "the rest"


def test_a_report_that_can_not_be_put_on_paper_stops_no_other(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)

    def fail(page: Page) -> bytes:
        if page.name == "agents":
            raise RuntimeError(CHEF)
        return b"%PDF"

    with monkeypatch.context() as patch:
        patch.setattr(paper, "as_pdf", fail)
        said = f"customer {NAMED}: the report agents was not drawn: RuntimeError"
        assert send(owner, by(two_weeks)) == Sent(2, [(NAMED, said)])
    assert send(owner, by(two_weeks)) == Sent(1, []), "the rest"


def test_a_letter_that_can_not_be_written_stops_no_other(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry takes this address, and Python's mails don't. It comes before the others."""
    leave_out_drawings(monkeypatch)
    change = "update registry.recipient set email = %s where email = %s"
    odd = "#:;@een.example"
    owner.execute(change, [odd, PLANNER])
    owner.commit()
    try:
        with ordered(owner, odd, "traffic"):
            mailed = send(owner, by(two_weeks))
        said = (
            f"customer {NAMED}: the mail of {WEEK} to 1 recipient could not be written (AttributeError): look at "
            "their addresses in the registry; the next run tries again"
        )
        assert mailed == Sent(2, [(NAMED, said)])
    finally:
        owner.execute(change, [PLANNER, odd])
        owner.commit()


def test_a_report_that_is_renamed_is_not_mailed_again(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    assert send(owner, by(two_weeks)) == Sent(2, [])
    owner.execute("update registry.mailed set report = 'drukte' where report = 'traffic'")
    assert send(owner, by(two_weeks)) == Sent(0, [])


def test_an_error_of_the_database_hides_neither_itself_nor_the_mails_before(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    going, books = Book.going, list[Book]()

    def fail(book: Book) -> None:
        books.append(book)
        if len(books) == 2:
            book.connection.execute("select 1 / 0")
        going(book)

    audited = "select count(*) from ops.audit_log where action = 'mailed' and customer_id = %s"
    ((before,),) = owner.execute(audited, [NAMED]).fetchall()
    with ordered(owner, PLANNER, "traffic"), mail_server(free_port) as letters:
        with monkeypatch.context() as patch:
            patch.setattr(Book, "going", fail)
            mailed = send(owner, by_server(two_weeks, free_port))
        assert mailed == Sent(2, [(NAMED, f"customer {NAMED}: its mail was not sent (SQLSTATE 22012)")])
        assert owner.execute(audited, [NAMED]).fetchall() == [(before + 1,)]
        assert send(owner, by_server(two_weeks, free_port)) == Sent(1, [])
    assert got(letters) == {CHEF: 1, PLANNER: 1, OTHER: 1}


def test_where_an_outbox_has_no_room_the_remedy_is_said_and_the_next_run_mails(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with ordered(owner, PLANNER, "traffic"):
        with monkeypatch.context() as patch:
            patch.setattr(sending, "secret_file", full)
            sent, problems = send(owner, by(two_weeks))
        assert sent == 0
        assert (
            NAMED,
            f"customer {NAMED}: its mail was not sent (OSError: No space left on device): make room, and the next run "
            "sends it",
        ) in problems
        assert send(owner, by(two_weeks)) == Sent(3, [])
