"""Weekly mails of callmart's own: each once per recipient and week, complete and checked, whatever breaks off."""

import asyncio
import os
import re
import signal
import smtplib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, time, timedelta
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from functools import partial
from pathlib import Path
from typing import Any

import psycopg
import pytest
from aiosmtpd.smtp import Envelope

from callmart.base.errors import UserError
from callmart.base.keys import key_file
from callmart.base.person import Person, Work
from callmart.base.progress import quietly
from callmart.database.lock import exclusive
from callmart.mailing import mailing, places, sending
from callmart.mailing.places import Outbox
from callmart.operations import health, stages
from callmart.publish import installation
from callmart.reports import drawing, focus, weeks
from callmart.reports.page import Page
from callmart.retention import copies
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED
from commands import Command, command_of, mistake
from home_settings import settings_of
from mail_server import mail_server
from mailed import CHEF, FROM, HAS_COME, OTHER, WEEK, Sent, by, by_server, got, leave_out_drawings, send
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked")]

ABANDONED_OF = (
    "Afhaakpercentage: Aandeel van de aangeboden gesprekken dat de beller afbrak, zonder korte ophangers"
)
WORST = "ma 16 nov 16:00–16:59, Winkel: 4 van 19 afgehaakt"


def read(content: bytes) -> EmailMessage:
    letter = message_from_bytes(content, policy=default)
    assert isinstance(letter, EmailMessage)
    return letter


def in_outbox(callmart: Callmart) -> dict[str, EmailMessage]:
    """The mails in the outbox, by recipient."""
    letters = [read(mail.path.read_bytes()) for mail in places.mails(callmart.settings)]
    return {letter["To"]: letter for letter in letters}


def test_each_recipient_gets_what_was_ordered_once(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = by(two_weeks)
    monkeypatch.setattr(focus, "find", lambda scene, report: [WORST])
    assert send(owner, settings) == Sent(2, [])
    letters = in_outbox(two_weeks)
    assert set(letters) == {CHEF, OTHER}, "one recipient has ordered none"
    chef = letters[CHEF]
    files = {part.get_filename(): part.get_content() for part in chef.iter_attachments()}
    assert set(files) == {f"Drukte {WEEK}.pdf", f"Medewerkers {WEEK}.pdf"}
    assert all(content.startswith(b"%PDF") for content in files.values())
    assert chef["Subject"] == "Uw weekrapporten: Drukte en Medewerkers"
    assert letters[OTHER]["Subject"] == "Uw weekrapport Drukte"
    assert (chef["From"], chef["Content-Language"]) == ("reports@callmart.invalid", "nl")
    for form in ("plain", "html"):
        body = chef.get_body((form,))
        assert body is not None
        words = body.get_content()
        assert "Voorbeeld" in words, "whoever gets the mails of two customers can tell them apart"
        assert f"Week {WEEK.number}" in words and "Aangeboden" in words
        assert words.count("Kijk eerst naar") == words.count(WORST) == 1, "of all reports together"
        limits = "De norm: Opgenomen binnen .*Korte ophangers: Afgehaakt in minder dan 5 s"
        assert re.search(f"{ABANDONED_OF}.*{limits}", words, re.DOTALL)
        assert not any(outside in words for outside in ("http:", "https:", "src=", "url("))
    assert send(owner, settings) == Sent(0, [])
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
    assert file.get_content().lstrip("\ufeff").startswith("report;sheet;week")


def test_a_week_that_is_not_whole_is_not_mailed(two_weeks: Callmart, owner: psycopg.Connection) -> None:
    """The others get theirs, the operator is told, and once the week is whole it goes out."""
    owner.execute("insert into ops.held_back values (%s, %s, 0, 'a check')", [NAMED, WEEK.monday])
    owner.commit()
    mailed = send(owner, by(two_weeks))
    assert (mailed.mails, [customer for customer, _ in mailed.problems]) == (1, [NAMED])
    assert "the weekly mail waits: last week has days that are held back" in mailed.problems[0][1]
    owner.execute("delete from ops.held_back")
    owner.commit()
    assert send(owner, by(two_weeks)) == Sent(1, [])


def test_a_report_is_mailed_from_its_hour_on() -> None:
    monday = datetime.combine(weeks.of(TODAY).monday, time(7))
    assert not HAS_COME("traffic", monday - timedelta(minutes=1))
    assert HAS_COME("traffic", monday)
    assert HAS_COME("traffic", monday + timedelta(days=6))


def test_a_key_that_can_not_be_read_stops_nobody_elses_mail(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    file = key_file(two_weeks.home, NAMED)
    kept = file.rename(file.with_suffix(".kept"))
    file.mkdir()  # a file that another user owns can be read by root
    try:
        mailed = send(owner, by(two_weeks))
        health_says = [str(one) for one in health.look(two_weeks.settings).troubles if one.kind == "key"]
    finally:
        file.rmdir()
        kept.rename(file)
    assert mailed.mails == 1
    ((customer, said),) = mailed.problems
    assert customer == NAMED and said.startswith(
        f"the key of customer {NAMED} can't be read ({file}: Is a directory)"
    )
    assert health_says == [f"customer {NAMED}: {said}"]


# -- a mail server -----------------------------------------------------------------------------------------------------


def test_a_server_gets_each_mail_once(two_weeks: Callmart, owner: psycopg.Connection, free_port: int) -> None:
    with mail_server(free_port) as letters:
        assert send(owner, by_server(two_weeks, free_port)) == Sent(2, [])
        assert send(owner, by_server(two_weeks, free_port)) == Sent(0, [])
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
        assert "the mail server refuses 1 recipient (550)" in problem[1]
        assert CHEF not in problem[1]
        assert send(owner, settings) == Sent(0, [])
        letters.refused = set()
        assert mailing.again(owner, NAMED) == 2
        assert send(owner, settings) == Sent(1, [])
        assert mailing.again(owner, NAMED) == 0
    assert got(letters) == {CHEF: 1, OTHER: 1}


def test_how_the_server_says_goodbye_is_no_matter(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    with mail_server(free_port) as letters:
        letters.bye = "421 idle for too long"
        assert send(owner, by_server(two_weeks, free_port)) == Sent(2, [])


def test_addresses_that_no_server_takes_stop_nobody_elses_mail(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of registries from before such were refused."""
    leave_out_drawings(monkeypatch)
    settings = by_server(two_weeks, free_port)
    more = [f"{number}@één.example" for number in range(sending.FAILURES)]
    with added(owner, more), mail_server(free_port) as letters:
        mailed = send(owner, settings)
        assert mailed.mails == 2
        ((customer, said),) = mailed.problems
        assert (
            customer == NAMED
            and f"the mail server refuses {len(more)} recipients" in said
            and "één" not in said
        )
        assert send(owner, settings) == Sent(0, []), "said once"
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
        assert customer == NAMED and f"the mail of {WEEK} has not gone to 1 recipient ({code})" in said
        letters.before = None
        assert send(owner, settings) == Sent(1, [])
    assert got(letters) == {CHEF: 1, OTHER: 1}


@pytest.mark.parametrize("kind", [str, bytes])
def test_a_server_that_goes_away_before_it_has_the_letter_gets_it_later(
    two_weeks: Callmart,
    owner: psycopg.Connection,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    kind: type,
) -> None:
    """As it is asked to take it, or in the middle of it, which then can't be sent whole."""
    settings, inner = by_server(two_weeks, free_port), smtplib.SMTP.send
    leave_out_drawings(monkeypatch)

    def lost(session: smtplib.SMTP, sent: str | bytes) -> None:
        if isinstance(sent, kind) and sent[:4] not in ("ehlo", "mail", "rcpt"):
            session.close()
            raise smtplib.SMTPServerDisconnected
        inner(session, sent)

    with mail_server(free_port) as letters:
        with monkeypatch.context() as patch:
            patch.setattr(smtplib.SMTP, "send", lost)
            mailed = send(owner, settings)
        assert mailed.mails == 0
        assert all("has not gone to" in said for _, said in mailed.problems)
        assert send(owner, settings) == Sent(2, [])
    assert got(letters) == {CHEF: 1, OTHER: 1}


def test_a_server_may_take_few_letters_in_a_session(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    more = [f"{number}@een.example" for number in range(3)]
    with added(owner, more), mail_server(free_port) as letters:
        letters.most = 1
        assert send(owner, by_server(two_weeks, free_port)) == Sent(5, [])
    assert got(letters) == dict.fromkeys([CHEF, OTHER, *more], 1)


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
        assert customer == NAMED and "whether 1 recipient got their mail is not known, as the mail" in said
        letters.before = None
        assert send(owner, settings) == Sent(0, [])
        assert mailing.again(owner, NAMED) == 2
        assert send(owner, settings) == Sent(1, [])
    assert got(letters) == {CHEF: 2 if what == "slow" else 1, OTHER: 1}


@contextmanager
def added(owner: psycopg.Connection, addresses: list[str]) -> Iterator[None]:
    """Within it, there are more recipients who get what the first one does."""
    with owner.transaction(force_rollback=True), pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, "commit", lambda: None)
        owner.execute(
            "insert into registry.recipient (customer_id, email, reports)"
            " select customer_id, more.email, reports from registry.recipient, unnest(%s::text[]) as more (email)"
            " where customer_id = %s and registry.recipient.email = %s",
            [addresses, NAMED, CHEF],
        )
        yield


def test_recipients_whom_the_server_takes_later_stop_nobody_elses_mail(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A smarthost answers so when the host of their domain is down."""
    leave_out_drawings(monkeypatch)
    more = [f"{number}@een.example" for number in range(sending.FAILURES)]
    with added(owner, more), mail_server(free_port) as letters:
        letters.later = {CHEF, *more}
        mailed = send(owner, by_server(two_weeks, free_port))
        ((customer, said),) = mailed.problems
        assert customer == NAMED and f"has not gone to {len(letters.later)} recipients" in said
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
        assert send(owner, settings) == Sent(2, [])


def test_a_restored_home_mails_nothing(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its former home may be at work, and mail."""
    monkeypatch.setattr(installation, "_state", lambda _: installation._RESTORED)
    with pytest.raises(UserError, match="restored from a backup, so it publishes and mails nothing"):
        send(owner, by(two_weeks))
    assert in_outbox(two_weeks) == {}


def test_a_copied_home_mails_nothing(two_weeks: Callmart, owner: psycopg.Connection) -> None:
    """The home that it comes from does. Neither knows what the other has mailed."""
    installation.ensure_id(two_weeks.home)
    file, kept = two_weeks.home / "installation", two_weeks.home / "kept"
    file.rename(kept)
    file.write_text(kept.read_text())
    try:
        with pytest.raises(UserError, match="installation is a copy"):
            send(owner, by(two_weeks))
    finally:
        kept.replace(file)
    assert in_outbox(two_weeks) == {}
    assert send(owner, by(two_weeks)) == Sent(2, [])


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
        assert send(owner, settings) == Sent(0, [])
        expected = {"before": {CHEF: 1, OTHER: 1}, "within": {OTHER: 1}, "after": {CHEF: 1, OTHER: 1}}
        assert got(letters) == expected[moment]
        if moment == "within":
            mailing.again(owner, NAMED)
            assert send(owner, settings) == Sent(1, [])
            assert got(letters) == {CHEF: 1, OTHER: 1}


def test_what_is_said_once_is_said_whatever_breaks_off_then(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    said: list[tuple[int | None, str]] = []
    send(owner, by(two_weeks))
    owner.execute("update registry.mailed set state = 'going' where customer_id = %s", [NAMED])
    owner.execute("delete from registry.mailed where customer_id = %s", [ANONYMOUS])
    owner.commit()
    with monkeypatch.context() as patch:
        patch.setattr(drawing.Declared, "of", breaks_off)
        with pytest.raises(UserError, match="broken off"):
            mailing.send(owner, by(two_weeks), quietly, lambda *problem: said.append(problem), breaks_off)
    owner.rollback()
    ((customer, problem),) = said
    assert customer == NAMED and problem.startswith(
        f"customer {NAMED}: whether 1 recipient got their mail is"
    )
    assert send(owner, by(two_weeks)) == Sent(1, [])


def test_what_could_not_be_said_is_said_the_next_time(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    settings = by_server(two_weeks, free_port)
    with mail_server(free_port) as letters:
        letters.refused = {CHEF}
        with pytest.raises(UserError, match="broken off"):
            mailing.send(owner, settings, quietly, breaks_off, breaks_off)
        owner.rollback()
        mailed = send(owner, settings)
        assert [customer for customer, _ in mailed.problems] == [NAMED]
        assert send(owner, settings) == Sent(0, [])


def test_what_went_out_is_in_the_audit_log_whatever_could_not_be_said(
    two_weeks: Callmart, owner: psycopg.Connection, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    audited = "select count(*) from ops.audit_log where action = 'mailed'"
    with added(owner, ["more@een.example"]), mail_server(free_port) as letters:
        letters.refused, before = {CHEF}, owner.execute(audited).fetchall()[0][0]
        with pytest.raises(UserError, match="broken off"):
            mailing.send(owner, by_server(two_weeks, free_port), quietly, breaks_off, breaks_off)
        assert owner.execute(audited).fetchall()[0][0] - before == len(letters.got) == 1


def breaks_off(*_: object) -> None:
    raise UserError("broken off")


# -- the command -------------------------------------------------------------------------------------------------------


@pytest.fixture
def command(two_weeks: Callmart) -> Command:
    return partial(command_of(two_weeks.home), "mail", CALLMART_MAIL__SENDER="callmart")


def test_while_rights_differ_nothing_is_mailed(
    two_weeks: Callmart, owner: psycopg.Connection, command: Command
) -> None:
    """A timer mails between two runs, which look at the rights."""
    owner.execute("grant select on store.queue_interval to public")
    owner.commit()
    try:
        said = mistake(command())
    finally:
        owner.execute("revoke select on store.queue_interval from public")
        owner.commit()
    assert said.startswith("error: nothing is opened while rights differ from what is declared")
    assert in_outbox(two_weeks) == {}
    assert command().stdout.startswith("mail: 2 mails to ")


def test_a_mail_that_waits_is_a_problem_of_runs_and_not_of_the_timer(
    two_weeks: Callmart, owner: psycopg.Connection, command: Command
) -> None:
    """Every hour it would be told to root."""
    owner.execute("insert into ops.held_back values (%s, %s, 0, 'a check')", [NAMED, WEEK.monday])
    owner.commit()
    done = command()
    waiting, mails = done.stdout.splitlines()
    assert waiting.startswith(f"customer {NAMED}: the weekly mail waits: last week has days that are held")
    assert mails.startswith("mail: 1 mail to ")
    assert (done.returncode, "waits" in done.stderr) == (0, False)
    ran = stages.Ran()
    stages.mail(owner, by(two_weeks), ran, quietly)
    assert ran.problems == [waiting]


def test_where_runs_come_often_a_mailing_that_meets_one_is_skipped(
    owner: psycopg.Connection, command: Command
) -> None:
    with exclusive(owner):
        assert "another callmart run is at work" in mistake(command())
        owner.execute("insert into ops.run (outcome, ended_at) values ('done', now()), ('done', now())")
        owner.commit()
        done = command()
        said = "mail: another callmart run is at work on this database: nothing was mailed, and the next run does it"
        assert (done.returncode, done.stdout) == (0, f"{said}\n")
        assert "another callmart run is at work" in mistake(command("--again", str(NAMED))), (
            "nothing was forgotten"
        )
        owner.execute("delete from ops.run")
        owner.commit()
    assert command().returncode == 0


# -- the outbox --------------------------------------------------------------------------------------------------------


def test_mails_that_no_contract_orders_are_removed(two_weeks: Callmart, owner: psycopg.Connection) -> None:
    send(owner, by(two_weeks))
    owner.execute("update registry.contract set option = 'standard' where customer_id = %s", [NAMED])
    assert places.tidy(owner, two_weeks.settings) == 1, "it had a report of agents"
    owner.rollback()
    assert [mail.customer_id for mail in places.mails(two_weeks.settings)] == [ANONYMOUS]


def test_a_mail_expires_with_the_oldest_day_that_its_reports_show(
    two_weeks: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out_drawings(monkeypatch)
    draw: Any = drawing.draw

    def draw_trend(*given: Any) -> Page:
        page: Page = draw(*given)
        return replace(page, oldest_day=str(WEEK.first_of_trend)) if page.name == "agents" else page

    monkeypatch.setattr(drawing, "draw", draw_trend)
    send(owner, by(two_weeks))
    for oldest, customers in ((WEEK.first_of_trend, [NAMED]), (WEEK.before.monday, [NAMED, ANONYMOUS])):
        found = places.too_old(two_weeks.settings, oldest + timedelta(days=1))
        assert [int(path.parent.name) for path in found] == customers
    assert places.too_old(two_weeks.settings, WEEK.first_of_trend) == []


def test_a_mail_that_a_kill_has_left_half_written_goes(
    two_weeks: Callmart, owner: psycopg.Connection
) -> None:
    send(owner, by(two_weeks))
    (*_, mail) = places.mails(two_weeks.settings)
    draft = mail.path.with_name(f"{mail.path.name}.new")
    draft.write_text("half a mail")
    assert places.tidy(owner, two_weeks.settings) == 0
    assert not draft.exists() and mail.path.exists()


def test_mails_that_go_as_agents_become_anonymous_are_written_anew(
    two_weeks: Callmart, owner: psycopg.Connection
) -> None:
    settings = by(two_weeks)
    assert send(owner, settings) == Sent(2, [])
    copies.remove_copies(owner, settings, NAMED)
    owner.commit()
    assert set(in_outbox(two_weeks)) == {OTHER}
    assert send(owner, settings) == Sent(1, [])
    assert set(in_outbox(two_weeks)) == {CHEF, OTHER}


def test_of_who_is_erased_no_mail_is_left_and_the_next_run_writes_anew(
    two_weeks: Callmart, owner: psycopg.Connection
) -> None:
    assert send(owner, by(two_weeks)) == Sent(2, [])
    work: Any = Work(owner, two_weeks.settings, lambda: None)
    person: Any = Person(NAMED, "agent", frozenset(), frozenset(), datetime.now())
    outbox = Outbox()
    assert (outbox.find(work, person), outbox.treat(work, person)) == ({"mails": 1}, {"mails": 1})
    assert outbox.prove(work, person).left == {}
    assert [mail.customer_id for mail in places.mails(two_weeks.settings)] == [ANONYMOUS]
    owner.commit()
    assert send(owner, by(two_weeks)) == Sent(1, [])
