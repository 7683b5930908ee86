"""Alarms: each once when it begins and once when it has ended, by webhook and mail, and none is lost."""

import json
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import typer
from aiosmtpd.smtp import Envelope
from pydantic import ValidationError

from callmart.access import logins
from callmart.base import log
from callmart.base.secret_files import secret_file
from callmart.base.settings import Alerts, Settings
from callmart.cli import health as reporting
from callmart.cli import stages
from callmart.operations import alerts, health, run
from callmart.operations.health import Health, Trouble
from callmart_home import Callmart
from commands import command_of, use
from events import registry
from mail_server import SECRET, mail_server
from tls import WITH_OPENSSL, Certificate, certificate

DISK = Trouble("home_disk", None, "the volume of CALLMART_HOME has 1.0 GiB left, 1%: make room")
SILENT = Trouble("silent", 1042, "no data of 2026-11-24")
BACKUP = Trouble("backup", None, "there is no backup yet")

needs_openssl = pytest.mark.skipif(not WITH_OPENSSL, reason="needs openssl")


@pytest.fixture(scope="module")
def applied(callmart: Callmart) -> Callmart:
    callmart.apply(registry("id: 1042, contracts: []"))
    return callmart


@pytest.fixture
def quiet(applied: Callmart) -> Iterator[Callmart]:
    """Nobody was told anything yet."""
    yield applied
    applied.rows("delete from ops.alarm returning 1")
    (applied.home / "told_of_no_database").unlink(missing_ok=True)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nobody is waited for, and no other test's lines are written."""
    monkeypatch.setattr(alerts, "TIMEOUT_S", 0.5)
    yield
    log._LOG.handlers = []


def wrong(callmart: Callmart, *troubles: Trouble) -> Health:
    """A health with these troubles."""
    found = health.look(callmart.settings)
    return Health(found.books, found.disks, found.certificates, list(troubles))


def without_database(*troubles: Trouble) -> Health:
    lost = Trouble("database", None, "the database can't be used: nothing listens there")
    return Health(None, {}, {}, [lost, *troubles])


def sending(callmart: Callmart, **to: Any) -> Settings:
    return callmart.settings.model_copy(update={"alerts": Alerts.model_validate(to)})


class Hook:
    """A webhook on this machine: what it got, and the status that it answers with."""

    def __init__(self) -> None:
        self.status = 204
        self.got: list[tuple[str, str, Any]] = []
        self.url = ""


@pytest.fixture
def hook() -> Iterator[Hook]:
    hook = Hook()

    class Handler(BaseHTTPRequestHandler):
        def respond(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            hook.got.append((self.command, self.path, json.loads(body) if body else None))
            self.send_response(hook.status)
            self.send_header("location", "https://elsewhere.example.org/")
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST = respond

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        Thread(target=server.serve_forever, daemon=True).start()
        hook.url = f"http://127.0.0.1:{server.server_port}/{SECRET}"
        yield hook
        server.shutdown()


def told(hook: Hook) -> list[tuple[list[str], list[str]]]:
    """What began and what ended, by message."""
    return [
        ([one["kind"] for one in content["began"]], content["ended"]) for _, _, content in hook.got if content
    ]


def test_each_alarm_is_sent_once_and_its_end_once(quiet: Callmart, hook: Hook) -> None:
    settings = sending(quiet, webhook_url=hook.url)
    for troubles in (
        (),
        (DISK, SILENT),
        (DISK, SILENT),
        (SILENT, DISK, BACKUP),
        (BACKUP,),
        (BACKUP,),
        (),
        (),
    ):
        assert alerts.send(settings, wrong(quiet, *troubles)) == []
    assert told(hook) == [
        (["home_disk", "silent"], []),
        (["backup"], []),
        ([], ["customer 1042: no data", "the volume of CALLMART_HOME is nearly full"]),
        ([], ["the last backup lies too far back"]),
    ]
    method, path, content = hook.got[1]
    assert (method, path) == ("POST", f"/{SECRET}")
    assert content.keys() == {"text", "host", "began", "ended", "troubles"}
    assert [one["kind"] for one in content["troubles"]] == ["silent", "home_disk", "backup"]
    assert f"Began:\n- {BACKUP}\n\nWrong now:\n- {SILENT}\n" in content["text"]
    assert quiet.rows("select from ops.alarm") == []


def test_a_new_cause_of_the_same_alarm_is_not_sent_again(quiet: Callmart, hook: Hook) -> None:
    settings = sending(quiet, webhook_url=hook.url)
    for days in 1, 2:
        alerts.send(settings, wrong(quiet, Trouble("held_back", 1042, f"{days} days are held back")))
    assert told(hook) == [(["held_back"], [])]
    alerts.send(settings, wrong(quiet, Trouble("held_back", 1043, "1 days are held back")))
    assert told(hook)[1:] == [(["held_back"], ["customer 1042: days held back"])]


def test_a_deadline_is_told_per_request_and_again_as_it_comes_nearer(quiet: Callmart, hook: Hook) -> None:
    def waits(request: int, days_left: int) -> Trouble:
        return Trouble("privacy", 1042, f"request {request} is due", request, days_left)

    settings = sending(quiet, webhook_url=hook.url)
    for troubles in (
        [waits(7, 14)],
        [waits(7, 14), waits(8, 14)],
        [waits(7, 7), waits(8, 14)],
        [waits(7, -1), waits(8, 14)],
        [waits(7, -1)],
        [waits(7, -1)],
        [],
    ):
        assert alerts.send(settings, wrong(quiet, *troubles)) == []
    over = "customer 1042: a request of a person waits for its answer"
    assert told(hook) == [
        (["privacy"], []),
        (["privacy"], []),
        (["privacy"], []),
        (["privacy"], []),
        ([], [f"{over} (8)"]),
        ([], [f"{over} (7)"]),
    ]
    assert quiet.rows("select from ops.alarm") == []


@contextmanager
def hanging() -> Iterator[str]:
    """A server that accepts and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@pytest.mark.parametrize("status", [302, 404, 500])
def test_what_was_refused_is_sent_again(quiet: Callmart, hook: Hook, status: int) -> None:
    settings = sending(quiet, webhook_url=hook.url)
    hook.status = status
    for _ in range(2):
        assert alerts.send(settings, wrong(quiet, DISK)) == [
            f"alerts.webhook_url: not delivered (status {status}): correct the setting or whoever is called; "
            "the next one tries again"
        ]
    hook.status = 200
    for _ in range(2):
        assert alerts.send(settings, wrong(quiet, DISK)) == []
    assert told(hook) == [(["home_disk"], [])] * 3
    hook.status = status
    assert len(alerts.send(settings, wrong(quiet))) == 1
    hook.status = 200
    alerts.send(settings, wrong(quiet))
    assert told(hook)[3:] == [([], ["the volume of CALLMART_HOME is nearly full"])] * 2, "its end as well"


def test_what_hangs_or_is_away_ends_in_a_sentence_without_its_secret(quiet: Callmart, free_port: int) -> None:
    with hanging() as place:
        for url, why in (
            (f"http://{place}/{SECRET}", "ReadTimeout"),
            (f"http://127.0.0.1:{free_port}/{SECRET}", "ConnectionError"),
            (f"http://localhost:{free_port}/{SECRET}", "ConnectionError"),
        ):
            settings = sending(quiet, webhook_url=url, ping_url=url)
            (said,) = alerts.send(settings, wrong(quiet, DISK))
            assert f"alerts.webhook_url: not delivered ({why})" in said
            with pytest.raises(alerts.Undelivered) as failure:
                alerts.ping(settings)
            assert f"alerts.ping_url: not delivered ({why})" in str(failure.value)
            assert SECRET not in said + str(failure.value) + repr(settings)
        (said,) = alerts.send(
            sending(quiet, mail=MAIL | {"port": int(place.split(":")[1])}), wrong(quiet, DISK)
        )
        assert said.startswith("alerts.mail: not delivered (SMTPServerDisconnected)")
    assert quiet.rows("select from ops.alarm") == []


def test_one_channel_is_told_although_another_is_not(quiet: Callmart, hook: Hook, free_port: int) -> None:
    both = sending(quiet, webhook_url=hook.url, mail=MAIL | {"port": free_port})
    for _ in range(2):
        (said,) = alerts.send(both, wrong(quiet, DISK))
        assert said.startswith("alerts.mail: not delivered (ConnectionRefusedError: Connection refused)")
    assert len(hook.got) == 1
    assert quiet.rows("select channel, trouble, customer_id from ops.alarm") == [
        {"channel": "webhook", "trouble": "home_disk", "customer_id": None}
    ]
    assert alerts.send(sending(quiet), wrong(quiet)) == []
    alerts.send(sending(quiet, mail=MAIL | {"port": free_port}), wrong(quiet))
    assert quiet.rows("select from ops.alarm") == [], "a channel that is no more is forgotten"


def test_two_at_once_do_not_send_it_twice(quiet: Callmart, hook: Hook) -> None:
    with quiet.connect() as other:
        other.execute("lock table ops.alarm in share update exclusive mode")
        assert alerts.send(sending(quiet, webhook_url=hook.url), wrong(quiet, DISK)) == []
    assert hook.got == []


def test_no_duty_keeps_alarms_from_being_sent(quiet: Callmart, hook: Hook) -> None:
    """Preparing locks a table as a writer does, and PostgreSQL checks rights only when it is executed."""
    with logins.connect(quiet.settings, "auditor") as auditor:
        auditor.execute("set transaction read write")
        auditor.execute("prepare mine as delete from ops.alarm")
        assert alerts.send(sending(quiet, webhook_url=hook.url), wrong(quiet, DISK)) == []
    assert told(hook) == [(["home_disk"], [])]


def test_a_database_that_is_away_is_an_alarm_as_well(quiet: Callmart, hook: Hook) -> None:
    settings = sending(quiet, webhook_url=hook.url)
    alerts.send(settings, wrong(quiet, SILENT))
    for _ in range(2):
        assert alerts.send(settings, without_database(DISK)) == []
    assert told(hook)[1:] == [(["database"], [])], "nobody knows who was told of the disk"
    assert [one["kind"] for one in hook.got[1][2]["troubles"]] == ["database", "home_disk"]
    for _ in range(2):
        assert alerts.send(settings, wrong(quiet, DISK)) == []
    assert told(hook)[2:] == [(["home_disk"], ["the database can't be used", "customer 1042: no data"])]


def test_what_was_not_delivered_and_can_not_be_noted_is_both_said(
    quiet: Callmart, hook: Hook, free_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(alerts, "secret_file", full)
    both = sending(quiet, webhook_url=hook.url, mail=MAIL | {"port": free_port})
    undelivered, unnoted = alerts.send(both, without_database())
    assert undelivered.startswith("alerts.mail: not delivered")
    assert unnoted.startswith(
        "what others were told could not be read or noted (OSError: No space left on device)"
    )


def test_what_was_told_and_can_not_be_kept_is_said(
    quiet: Callmart, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(alerts, "secret_file", full)
    (said,) = alerts.send(sending(quiet, webhook_url=hook.url), without_database())
    assert "OSError: No space left on device" in said
    assert told(hook) == [(["database"], [])]


# mail

MAIL: dict[str, Any] = {
    "to": ["night@example.org", "boss@example.org"],
    "from": "callmart@example.org",
    "host": "localhost",
    "encryption": "none",
}


def text_of(letter: Envelope) -> str:
    assert isinstance(letter.content, bytes)
    return letter.content.decode()


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Certificate:
    """A certificate of localhost that this machine trusts."""
    made = certificate(tmp_path, "localhost")
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


@pytest.fixture
def password_file(tmp_path: Path) -> Path:
    secret_file(tmp_path / "password", f"{SECRET}\n")
    return tmp_path / "password"


def test_a_mail_says_what_began_and_what_ended(quiet: Callmart, free_port: int) -> None:
    settings = sending(quiet, mail=MAIL | {"port": free_port})
    with mail_server(free_port) as letters:
        for troubles in (DISK, SILENT), (DISK,), (DISK,):
            assert alerts.send(settings, wrong(quiet, *troubles)) == []
    first, second = letters.got
    assert first.rcpt_tos == MAIL["to"]
    assert first.mail_from == MAIL["from"]
    content = text_of(first)
    host = socket.gethostname()
    assert f"Subject: callmart on {host}: troubles: 2 new, 0 ended" in content
    assert "Auto-Submitted: auto-generated" in content
    assert f"- {SILENT}" in content
    assert "Ended:\r\n- customer 1042: no data\r\n" in text_of(second)


def test_a_mail_is_delivered_however_the_server_says_goodbye(quiet: Callmart, free_port: int) -> None:
    with mail_server(free_port) as letters:
        letters.bye = "421 going down"
        assert alerts.send(sending(quiet, mail=MAIL | {"port": free_port}), wrong(quiet, DISK)) == []
    assert len(letters.got) == 1


@needs_openssl
@pytest.mark.parametrize("encryption", ["starttls", "tls"])
def test_a_mail_is_encrypted_and_its_server_verified(
    quiet: Callmart, free_port: int, trusted: Certificate, password_file: Path,
    monkeypatch: pytest.MonkeyPatch, encryption: str,
) -> None:  # fmt: skip
    login = {"user": "callmart", "password_file": password_file} if encryption == "starttls" else {}
    settings = sending(quiet, mail=MAIL | {"port": free_port, "encryption": encryption, **login})
    with mail_server(free_port, trusted, tls=encryption == "tls") as letters:
        monkeypatch.delenv("SSL_CERT_FILE")
        (said,) = alerts.send(settings, wrong(quiet, DISK))
        assert "alerts.mail: not delivered (SSLCertVerificationError" in said
        assert (letters.got, letters.logins) == ([], []), "nothing was told to a stranger"
        monkeypatch.setenv("SSL_CERT_FILE", str(trusted.file))
        assert alerts.send(settings, wrong(quiet, DISK)) == []
        assert len(letters.got) == 1
        assert letters.logins == ([(b"callmart", SECRET.encode())] if login else [])


@needs_openssl
def test_a_password_that_is_wrong_or_open_to_others(
    quiet: Callmart, free_port: int, trusted: Certificate, password_file: Path
) -> None:
    wanted = MAIL | {"port": free_port, "encryption": "starttls", "user": "callmart"}
    with mail_server(free_port, trusted) as letters:
        (said,) = alerts.send(sending(quiet, mail=wanted | {"password": "wr0ng"}), wrong(quiet, DISK))
        assert "alerts.mail: not delivered (SMTPAuthenticationError 535)" in said
        password_file.chmod(0o640)
        from_file = sending(quiet, mail=wanted | {"password_file": password_file})
        (said,) = alerts.send(from_file, wrong(quiet, DISK))
        assert f"other users can open {password_file}" in said
        password_file.unlink()
        (said,) = alerts.send(from_file, wrong(quiet, DISK))
        assert f"alerts.mail.password_file: {password_file} can't be read" in said
    assert letters.got == []
    assert "wr0ng" not in said


def test_no_password_goes_out_where_the_server_offers_no_encryption(quiet: Callmart, free_port: int) -> None:
    wanted = MAIL | {"port": free_port, "encryption": "starttls", "user": "callmart", "password": SECRET}
    with mail_server(free_port) as letters:
        (said,) = alerts.send(sending(quiet, mail=wanted), wrong(quiet, DISK))
    assert "SMTPNotSupportedError" in said
    assert (letters.got, letters.logins) == ([], [])


def test_recipients_that_the_server_refuses(quiet: Callmart, free_port: int) -> None:
    settings = sending(quiet, mail=MAIL | {"port": free_port})
    with mail_server(free_port) as letters:
        letters.refused = set(MAIL["to"])
        (said,) = alerts.send(settings, wrong(quiet, DISK))
        assert "SMTPRecipientsRefused" in said
        letters.refused = {MAIL["to"][1]}
        (said,) = alerts.send(settings, wrong(quiet, DISK))
        assert said == "alerts.mail: 1 of 2 recipients were refused by the server: correct `to`"
        assert alerts.send(settings, wrong(quiet, DISK)) == [], "the other one has it"
        assert [letter.rcpt_tos for letter in letters.got] == [MAIL["to"][:1]]


WRONG_SETTINGS: dict[str, dict[str, Any]] = {
    "http to another machine": {"webhook_url": "http://hooks.example.org/s3cret"},
    "no URL": {"ping_url": "hooks.example.org/s3cret"},
    "not even nearly": {"ping_url": "https://[s3cret"},
    "plain mail to another machine": {"mail": MAIL | {"host": "mail.example.org"}},
    "nobody": {"mail": MAIL | {"to": []}},
    "no address": {"mail": MAIL | {"to": ["s3cret"]}},
    "two lines": {"mail": MAIL | {"from": "a@example.org\nBcc: s3cret@example.org"}},
    "a user without a password": {"mail": MAIL | {"user": "s3cret"}},
    "a password without a user": {"mail": MAIL | {"password": "s3cret"}},
    "an unknown setting": {"webhook": "https://s3cret.example.org"},
}


@pytest.mark.parametrize("given", WRONG_SETTINGS.values(), ids=WRONG_SETTINGS.keys())
def test_a_setting_that_is_not_understood_or_not_safe_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Alerts.model_validate(given)


# after a run


def test_only_a_good_run_pings(quiet: Callmart, hook: Hook) -> None:
    settings = sending(quiet, ping_url=hook.url)
    reporting.report_run(settings, is_good=False)
    assert hook.got == []
    reporting.report_run(settings, is_good=True)
    assert hook.got == [("GET", f"/{SECRET}", None)]


@pytest.mark.parametrize("problems", [[], ["something is left to do"]])
def test_a_run_is_what_it_was_whoever_can_not_be_told(
    quiet: Callmart,
    hook: Hook,
    free_port: int,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    problems: list[str],
) -> None:
    away = f"http://127.0.0.1:{free_port}/{SECRET}"
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    monkeypatch.setattr(run, "_stages", lambda _, __, ran, *___: ran.problems.extend(problems))
    use(sending(quiet, webhook_url=away, ping_url=away), monkeypatch)
    wrong_now = wrong(quiet, DISK)
    monkeypatch.setattr(health, "look", lambda _: wrong_now)
    with pytest.raises(typer.Exit) as ended:
        stages.run(as_json=True)
    assert ended.value.exit_code == (1 if problems else 0)
    said = capfd.readouterr()
    assert json.loads(said.out)["problems"] == problems
    assert ("alerts.ping_url: not delivered (ConnectionError)" in said.err) == (not problems)
    assert "alerts.webhook_url: not delivered (ConnectionError)" in said.err
    assert SECRET not in said.err + said.out
    # `health --alert` fails as a service where somebody was not told, and only there.
    for channel, code in (
        ({}, 2), ({"webhook_url": away}, 2), ({"webhook_url": hook.url}, 1), ({"webhook_url": hook.url}, 1)
    ):  # fmt: skip
        use(sending(quiet, **channel), monkeypatch)
        with pytest.raises(typer.Exit) as ended:
            reporting.health_(alert=True)
        assert ended.value.exit_code == code
        assert ("nobody was told: set alerts" in capfd.readouterr().err) == (not channel)
    assert told(hook) == [(["home_disk"], [])], "the next one sends it"


def test_a_run_that_can_not_begin_is_told_as_well(quiet: Callmart, hook: Hook, free_port: int) -> None:
    dsn = f"postgresql://u:{SECRET}@127.0.0.1:{free_port}/d"
    done = command_of(quiet.home)("run", CALLMART_DSN=dsn, CALLMART_ALERTS__WEBHOOK_URL=hook.url)
    assert done.returncode == 2
    assert told(hook) == [(["database"], [])]
    assert SECRET not in json.dumps(hook.got[0][2]) + done.stderr
