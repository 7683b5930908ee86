"""Weekly mails of callmart's own: each once per recipient and week, complete and checked, whatever breaks off."""

import asyncio
import os
import signal
import smtplib
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, time, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiosmtpd.smtp import Envelope
from pydantic import ValidationError

from callmart.base.errors import UserError
from callmart.base.person import Person, Work
from callmart.base.progress import quietly
from callmart.base.settings import Mail, Settings
from callmart.mailing import mailing, places, sending
from callmart.mailing.places import Outbox
from callmart.publish import installation
from callmart.reports import drawing, focus, paper, weeks
from callmart.reports.page import Page
from callmart.retention import drawn
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED
from home_settings import settings_of
from mail_server import Letters, mail_server
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked")]

WEEK = weeks.last_complete(TODAY)
CHEF, PLANNER, OTHER = "chef@een.example", "planner@een.example", "chef@twee.example"
FROM = "reports@provider.example"
WORST = "ma 16 nov 16:00–16:59, Winkel: 4 van 19 afgehaakt"
HAS_COME = mailing._has_come


@pytest.fixture(scope="module", autouse=True)
def on_time() -> Iterator[None]:
    """The hour of every report has come."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(mailing, "_has_come", lambda *_: True)
        yield


@pytest.fixture
def owner(two_weeks: Callmart) -> Iterator[psycopg.Connection]:
    """The owner. Nothing was mailed yet."""
    with two_weeks.connect() as connection:
        connection.execute("delete from registry.mailed")
        connection.execute("delete from ops.held_back")
        connection.commit()
        for mail in places.mails(two_weeks.settings):
            mail.path.unlink()
        yield connection


def by(callmart: Callmart, **how: Any) -> Settings:
    return callmart.settings.model_copy(update={"mail": Mail.model_validate({"sender": "callmart"} | how)})


def by_server(callmart: Callmart, port: int) -> Settings:
    return by(callmart, **{"from": FROM, "smtp": {"host": "localhost", "port": port, "encryption": "none"}})


def send(owner: psycopg.Connection, settings: Settings) -> mailing.Mailed:
    return mailing.send(owner, settings, quietly)


def read(content: bytes) -> EmailMessage:
    letter = message_from_bytes(content, policy=default)
    assert isinstance(letter, EmailMessage)
    return letter


def in_outbox(callmart: Callmart) -> dict[str, EmailMessage]:
    """The mails in the outbox, by recipient."""
    letters = [read(mail.path.read_bytes()) for mail in places.mails(callmart.settings)]
    return {letter["To"]: letter for letter in letters}


def got(letters: Letters) -> Counter[str]:
    return Counter(address for envelope in letters.got for address in envelope.rcpt_tos)


def test_each_recipient_gets_what_was_ordered_once(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = by(two_weeks)
    monkeypatch.setattr(focus, "find", lambda scene, report: [WORST])
    assert send(owner, settings) == mailing.Mailed(2, [])
    letters = in_outbox(two_weeks)
    assert set(letters) == {CHEF, OTHER}, "one recipient has ordered none"
    chef = letters[CHEF]
    files = {part.get_filename(): part.get_content() for part in chef.iter_attachments()}
    assert set(files) == {f"Drukte {WEEK}.pdf", f"Medewerkers {WEEK}.pdf"}
    assert all(content.startswith(b"%PDF") for content in files.values())
    assert chef["Subject"] == "Uw weekrapporten: Drukte en Medewerkers"
    assert letters[OTHER]["Subject"] == "Uw weekrapport Drukte"
    assert chef["From"] == "reports@callmart.invalid"
    for form in ("plain", "html"):
        body = chef.get_body((form,))
        assert body is not None
        words = body.get_content()
        assert f"Week {WEEK.number}" in words and "Aangeboden" in words
        assert "Kijk eerst naar" in words and WORST in words
        assert not any(outside in words for outside in ("http:", "https:", "src=", "url("))
    assert send(owner, settings) == mailing.Mailed(0, [])
    logged = two_weeks.rows(
        "select details from ops.audit_log where action = 'mailed' and customer_id = %s", NAMED
    )
    assert logged[-1]["details"] == {"week": str(WEEK), "recipients": 1}


def test_a_report_that_is_no_more_stops_nobodys_mail(two_weeks: Callmart, owner: psycopg.Connection) -> None:
    owner.execute(
        "update registry.recipient set reports = reports || '{gone}' where customer_id = %s", [NAMED]
    )
    owner.commit()
    mailed = send(owner, by(two_weeks))
    owner.execute("update registry.recipient set reports = array_remove(reports, 'gone')")
    owner.commit()
    assert mailed.mails == 2
    ((customer, said),) = mailed.problems
    assert customer == NAMED
    assert said == (
        f"customer {NAMED}: recipients have ordered gone, which is no report any more: take it out of the registry"
    )


def test_who_wants_a_table_gets_one(two_weeks: Callmart, owner: psycopg.Connection) -> None:
    owner.execute("update registry.recipient set mail_format = 'csv' where email = %s", [OTHER])
    owner.commit()
    send(owner, by(two_weeks))
    owner.execute("update registry.recipient set mail_format = 'pdf'")
    owner.commit()
    (file,) = in_outbox(two_weeks)[OTHER].iter_attachments()
    assert file.get_filename() == f"Drukte {WEEK}.csv"
    assert file.get_content().lstrip("\ufeff").startswith("report,sheet,week")


def test_a_week_that_is_not_whole_is_not_mailed(two_weeks: Callmart, owner: psycopg.Connection) -> None:
    """The others get theirs, the operator is told, and once the week is whole it goes out."""
    owner.execute("insert into ops.held_back values (%s, %s, 0, 'a check')", [NAMED, WEEK.monday])
    owner.commit()
    mailed = send(owner, by(two_weeks))
    assert (mailed.mails, [customer for customer, _ in mailed.problems]) == (1, [NAMED])
    assert "the weekly mail waits: 1 days of last week are held back" in mailed.problems[0][1]
    owner.execute("delete from ops.held_back")
    owner.commit()
    assert send(owner, by(two_weeks)) == mailing.Mailed(1, [])


def test_a_report_is_mailed_from_its_hour_on() -> None:
    monday = datetime.combine(weeks.of(TODAY).monday, time(7))
    assert not HAS_COME("traffic", monday - timedelta(minutes=1))
    assert HAS_COME("traffic", monday)
    assert HAS_COME("traffic", monday + timedelta(days=6))


# -- a mail server -----------------------------------------------------------------------------------------------------


def test_a_server_gets_each_mail_once(two_weeks: Callmart, owner: psycopg.Connection, free_port: int) -> None:
    with mail_server(free_port) as letters:
        assert send(owner, by_server(two_weeks, free_port)) == mailing.Mailed(2, [])
        assert send(owner, by_server(two_weeks, free_port)) == mailing.Mailed(0, [])
    assert got(letters) == {CHEF: 1, OTHER: 1}
    assert {envelope.mail_from for envelope in letters.got} == {FROM}


def test_a_recipient_who_is_refused_is_said_once_and_tried_when_wanted(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int
) -> None:
    settings = by_server(two_weeks, free_port)
    with mail_server(free_port) as letters:
        letters.refused = {CHEF}
        mailed = send(owner, settings)
        assert mailed.mails == 1
        (problem,) = mailed.problems
        assert problem[0] == NAMED
        assert "1 recipients are refused by the mail server (550)" in problem[1]
        assert CHEF not in problem[1]
        assert send(owner, settings) == mailing.Mailed(0, [])
        letters.refused = set()
        assert mailing.again(owner, NAMED) == 2
        assert send(owner, settings) == mailing.Mailed(1, [])
        assert mailing.again(owner, NAMED) == 0
    assert got(letters) == {CHEF: 1, OTHER: 1}


@pytest.mark.parametrize("code", ["452", "421"])
def test_what_the_server_does_not_take_now_goes_out_later(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, code: str
) -> None:
    settings = by_server(two_weeks, free_port)

    async def answer(envelope: Envelope) -> str:
        return f"{code} not now" if envelope.rcpt_tos == [CHEF] else ""

    with mail_server(free_port) as letters:
        letters.before = answer
        mailed = send(owner, settings)
        assert mailed.mails == 1
        ((customer, said),) = mailed.problems
        assert customer == NAMED and f"1 recipients have not got the mail of {WEEK} ({code})" in said
        letters.before = None
        assert send(owner, settings) == mailing.Mailed(1, [])
    assert got(letters) == {CHEF: 1, OTHER: 1}


def test_a_server_that_goes_away_before_it_has_the_letter_gets_it_later(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings, inner = by_server(two_weeks, free_port), smtplib.SMTP.docmd
    leave_out_drawings(monkeypatch)

    def lost(session: smtplib.SMTP, command: str, *more: str) -> tuple[int, bytes]:
        if command == "DATA":
            raise smtplib.SMTPServerDisconnected
        return inner(session, command, *more)

    with mail_server(free_port) as letters:
        with monkeypatch.context() as patch:
            patch.setattr(smtplib.SMTP, "docmd", lost)
            mailed = send(owner, settings)
        assert mailed.mails == 0
        assert all("have not got the mail" in said for _, said in mailed.problems)
        assert send(owner, settings) == mailing.Mailed(2, [])
    assert got(letters) == {CHEF: 1, OTHER: 1}


@pytest.mark.parametrize("what", ["slow", "gone"])
def test_what_the_server_does_not_answer_is_not_sent_twice(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    """It has the letter, and may take it after all: a slow one does."""
    settings = by_server(two_weeks, free_port)
    leave_out_drawings(monkeypatch)
    monkeypatch.setattr(sending, "ANSWER_S", 2.0)

    async def answer(envelope: Envelope) -> str:
        if envelope.rcpt_tos == [CHEF]:
            if what == "gone":
                raise ConnectionResetError
            letters.got.append(envelope)
            await asyncio.sleep(3)
        return ""

    with mail_server(free_port) as letters:
        letters.before = answer
        mailed = send(owner, settings)
        assert mailed.mails == 1
        ((customer, said),) = mailed.problems
        assert customer == NAMED and "whether 1 recipients got their mail is not known, as the mail" in said
        letters.before = None
        assert send(owner, settings) == mailing.Mailed(0, [])
        assert mailing.again(owner, NAMED) == 2
        assert send(owner, settings) == mailing.Mailed(1, [])
    assert got(letters) == {CHEF: 2 if what == "slow" else 1, OTHER: 1}


def test_recipients_whom_the_server_takes_later_stop_nobody_elses_mail(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A smarthost answers so when the host of their domain is down."""
    leave_out_drawings(monkeypatch)
    more = [f"{number}@een.example" for number in range(sending.FAILURES)]
    with owner.transaction(force_rollback=True), mail_server(free_port) as letters:
        monkeypatch.setattr(owner, "commit", lambda: None)
        owner.execute(
            "insert into registry.recipient (customer_id, email, reports)"
            " select customer_id, more.email, reports from registry.recipient, unnest(%s::text[]) as more (email)"
            " where customer_id = %s and registry.recipient.email = %s",
            [more, NAMED, CHEF],
        )
        letters.later = {CHEF, *more}
        mailed = send(owner, by_server(two_weeks, free_port))
        ((customer, said),) = mailed.problems
        assert customer == NAMED and f"{len(letters.later)} recipients have not got the mail" in said
    assert got(letters) == {OTHER: 1}


def test_without_a_server_nothing_goes_out_and_later_everything(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int
) -> None:
    settings = by_server(two_weeks, free_port)
    mailed = send(owner, settings)
    assert mailed.mails == 0
    ((customer, said),) = mailed.problems
    assert customer is None and said.startswith(
        "mail.smtp: the mail server can't be used (ConnectionRefusedError"
    )
    with mail_server(free_port):
        assert send(owner, settings) == mailing.Mailed(2, [])


def test_a_restored_home_mails_nothing(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its former home may be at work, and mail."""
    monkeypatch.setattr(installation, "_state", lambda _: installation._RESTORED)
    with pytest.raises(UserError, match="restored from a backup, so it publishes and mails nothing"):
        send(owner, by(two_weeks))
    assert in_outbox(two_weeks) == {}


def die_while_mailing(home: Path, port: int, moment: str) -> None:
    """Mail without reports, which takes less, until the moment has come."""
    inner = sending._accept
    calls = iter(range(100))

    def accept(answer: tuple[int, bytes], wanted: int = 2) -> None:
        inner(answer, wanted)
        if next(calls) == {"before": 1, "within": 99, "after": 3}[moment]:
            os.kill(os.getpid(), signal.SIGKILL)

    def die(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    callmart = Callmart(settings_of(home))
    with pytest.MonkeyPatch.context() as patch, callmart.connect() as connection:
        leave_out_drawings(patch)
        patch.setattr(mailing, "_has_come", lambda *_: True)
        patch.setattr(sending, "_accept", accept)
        if moment == "within":
            patch.setattr(sending, "_hand_over", die)
        send(connection, by_server(callmart, port))


def leave_out_drawings(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(paper, "as_pdf", lambda _: b"%PDF")
    patch.setattr(drawing, "draw", lambda *given: Page(
        given[2].name, given[2].name, "", 0, "", "nl", str(WEEK), "", "", "", [], [], [], [], {}
    ))  # fmt: skip


@pytest.mark.parametrize("moment", ["before", "within", "after"])
def test_killed_while_a_mail_goes_out(
    two_weeks: Callmart,
    owner: psycopg.Connection,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    moment: str,
) -> None:
    """Nothing arrives twice. What may have arrived is said once, and sent again only if a person wants that."""
    settings = by_server(two_weeks, free_port)
    leave_out_drawings(monkeypatch)
    with mail_server(free_port) as letters:
        two_weeks.kill(die_while_mailing, free_port, moment)
        mailed = send(owner, settings)
        unknown = moment != "before"
        assert mailed.mails == (1 if unknown else 2)
        assert [customer for customer, _ in mailed.problems] == ([NAMED] if unknown else [])
        assert send(owner, settings) == mailing.Mailed(0, [])
        expected = {"before": {CHEF: 1, OTHER: 1}, "within": {OTHER: 1}, "after": {CHEF: 1, OTHER: 1}}
        assert got(letters) == expected[moment]
        if moment == "within":
            mailing.again(owner, NAMED)
            assert send(owner, settings) == mailing.Mailed(1, [])
            assert got(letters) == {CHEF: 1, OTHER: 1}


# -- the outbox --------------------------------------------------------------------------------------------------------


def test_mails_that_no_contract_orders_are_removed(two_weeks: Callmart, owner: psycopg.Connection) -> None:
    send(owner, by(two_weeks))
    owner.execute("update registry.contract set option = 'standard' where customer_id = %s", [NAMED])
    assert places.tidy(owner, two_weeks.settings) == 1, "it had a report of agents"
    owner.rollback()
    assert [mail.customer_id for mail in places.mails(two_weeks.settings)] == [ANONYMOUS]


def test_mails_that_go_as_agents_become_anonymous_are_written_anew(
    two_weeks: Callmart, owner: psycopg.Connection
) -> None:
    settings = by(two_weeks)
    assert send(owner, settings) == mailing.Mailed(2, [])
    drawn.remove_all(owner, settings, NAMED)
    owner.commit()
    assert set(in_outbox(two_weeks)) == {OTHER}
    assert send(owner, settings) == mailing.Mailed(1, [])
    assert set(in_outbox(two_weeks)) == {CHEF, OTHER}


def test_of_who_is_erased_no_mail_is_left(two_weeks: Callmart, owner: psycopg.Connection) -> None:
    send(owner, by(two_weeks))
    work: Any = Work(owner, two_weeks.settings, lambda: None)
    person: Any = Person(NAMED, "agent", frozenset(), frozenset(), datetime.now())
    outbox = Outbox()
    assert (outbox.find(work, person), outbox.treat(work, person)) == ({"mails": 1}, {"mails": 1})
    assert outbox.prove(work, person).left == {}
    assert [mail.customer_id for mail in places.mails(two_weeks.settings)] == [ANONYMOUS]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"smtp": {"host": "localhost"}}, "smtp needs sender"),
        ({"sender": "callmart", "smtp": {"host": "localhost"}}, "set from"),
        ({"sender": "callmart", "from": "nobody"}, "not a mail address"),
        ({"sender": "pigeon"}, "tableau"),
        (
            {"sender": "callmart", "from": FROM, "smtp": {"host": "mail.example", "encryption": "none"}},
            "encrypted",
        ),
    ],
)
def test_wrong_settings(written: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Mail.model_validate(written)
