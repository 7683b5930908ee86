"""callmart doctor names each thing that is wrong, alone, and changes nothing."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
import tableauserverclient as TSC
from aiosmtpd.controller import Controller
from aiosmtpd.handlers import Sink
from pydantic import SecretStr

from callmart.access import logins
from callmart.base.errors import UserError
from callmart.base.keys import key_file
from callmart.base.settings import Alerts, ConnectedApp, Folder, Mail, Privacy, Settings, Tableau
from callmart.database import clock, embedded_server, server
from callmart.operations import doctor
from callmart.publish import emulator, tableau
from callmart_home import Callmart
from commands import Command
from events import registry
from tableau_emulator.client import Desk
from tls import WITH_OPENSSL, certificate, in_front_of
from today import TODAY

CUSTOMER = 1
SECRET = "wr0ng-secret"


@pytest.fixture(scope="module")
def ready(callmart: Callmart) -> Callmart:
    """With a customer that has a login and a key, and an emulator that runs."""
    callmart.apply(
        registry(f"id: {CUSTOMER}, sql_login: true, contracts: [{{option: standard, from: 2020-01-01}}]")
    )
    emulator.ensure_running(callmart.settings)
    return callmart


def examined(settings: Settings) -> dict[str, doctor.Check]:
    found = list(doctor.checks(lambda: settings))
    for check in found:
        assert "\n" not in check.found
        assert SECRET not in check.found
    return {check.name.partition(" ")[0]: check for check in found}


def wrong(settings: Settings) -> dict[str, str]:
    """What is wrong, by the first word of the check's name."""
    return {name: check.found for name, check in examined(settings).items() if check.outcome == "wrong"}


def unchecked(settings: Settings) -> set[str]:
    return {name for name, check in examined(settings).items() if check.outcome == "not checked"}


def only_wrong(settings: Settings, name: str) -> str:
    """The sentence of the one check that finds something wrong."""
    found = wrong(settings)
    assert set(found) == {name}
    return found[name]


def by(callmart: Callmart, **settings: Any) -> Settings:
    copy = Privacy(ledger_copy=callmart.home.parent / "ledger")
    return callmart.settings.model_copy(update={"privacy": copy} | settings)


# all well, and nothing done


def test_all_is_well_and_nothing_changes(ready: Callmart, command: Command) -> None:
    def books() -> Any:
        return ready.rows("select * from ops.audit_log"), ready.rows("select * from ops.clock")

    def files() -> Any:
        return ready.home.stat().st_mode, {
            path: (path.lstat().st_mode, path.lstat().st_mtime_ns)
            for path in ready.home.rglob("*")
            if not path.is_relative_to(ready.home / "postgres") and "emulator" not in path.parts
        }

    before, on_disk = books(), files()
    done = command("doctor")
    assert files() == on_disk
    assert books() == before
    assert (done.returncode, done.stderr) == (0, "")
    assert all(line.startswith("ok: ") for line in done.stdout.splitlines())
    asked = json.loads(command("doctor", "--json").stdout)
    names = {check["name"].partition(" ")[0] for check in asked}
    expected = (
        "settings home disk backups privacy alerts database TLS schema clock rights logins keys ledger"
        " Tableau folders"
    )
    assert names == set(expected.split())


def test_it_starts_nothing_and_what_does_not_run_is_not_well(
    make_callmart: Callable[..., Callmart], ready: Callmart
) -> None:
    absent = make_callmart(empty=True)
    found = examined(absent.settings)
    assert not absent.home.exists()
    assert {name for name, check in found.items() if check.outcome == "ok"} == {
        "settings",
        "disk",
        "backups",
        "privacy",
        "alerts",
        "folders",
    }
    assert "`callmart start` starts it" in found["database"].found
    assert "`callmart start` starts it" in found["Tableau"].found


def test_start_starts_what_the_settings_do_not_name(
    make_callmart: Callable[..., Callmart], command: Command, ready: Callmart
) -> None:
    emulator.stop(ready.home)
    assert unchecked(ready.settings) == {"Tableau"}
    assert command("start").stdout == "running: database, Tableau emulator\n"
    assert unchecked(ready.settings) == set()
    own = {
        "CALLMART_DSN": "postgresql://u@db.invalid/d",
        "CALLMART_TABLEAU__SERVER": "https://tableau.invalid",
    }
    assert command("start", **own).stdout == "nothing to start: the settings name servers of your own\n"


def test_a_wrong_setting_is_all_that_can_be_said(command: Command) -> None:
    done = command("doctor", CALLMART_TABLEAU__SERVR=SECRET)
    assert done.returncode == 1
    first, second = done.stdout.splitlines()
    assert first.startswith("wrong: settings: CALLMART_TABLEAU__SERVR is not a setting; unset it, or write ")
    assert second.startswith("not checked: everything else: correct the settings first")
    assert SECRET not in done.stdout + done.stderr


def test_a_check_that_breaks_off_stops_no_other(ready: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaking(*_: Any) -> None:
        raise RuntimeError(SECRET)

    monkeypatch.setattr(clock, "read", breaking)
    assert only_wrong(ready.settings, "clock") == (
        "the check broke off (RuntimeError); correct that, and run it again"
    )

    def failing(connection: psycopg.Connection, _: Settings) -> None:
        connection.execute("select 1 / 0")

    monkeypatch.setattr(clock, "read", failing)
    assert "22012" in only_wrong(ready.settings, "clock")


# this machine


def test_a_home_that_others_can_open_is_named_and_left_as_it_is(ready: Callmart) -> None:
    usual = ready.home.stat().st_mode
    ready.home.chmod(0o755)
    try:
        assert f"other users can open {ready.home}; close it with `chmod 7" in only_wrong(
            ready.settings, "home"
        )
        assert ready.home.stat().st_mode & 0o777 == 0o755
    finally:
        ready.home.chmod(usual)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a folder to another user")
def test_a_home_of_another_user_is_named(ready: Callmart) -> None:
    os.chown(ready.home, 65534, -1)
    try:
        assert "belongs to another user (number 65534)" in only_wrong(ready.settings, "home")
    finally:
        os.chown(ready.home, 0, -1)


def test_a_full_disk_is_named(ready: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (20 << 30, 16 << 30, 4 << 30))
    assert (
        only_wrong(ready.settings, "disk")
        == "4.0 GiB are free; make room until there are 5.0, or use another disk"
    )


@contextmanager
def nobody() -> Iterator[None]:
    """As a user to whom modes apply, unlike root."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def folder_check(folder: Folder) -> str:
    with nobody(), pytest.raises(UserError) as refused:
        doctor._folder(folder)
    return str(refused.value)


def test_folders_are_tried(ready: Callmart, tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    for above in tmp_path.parents[:3]:
        above.chmod(above.stat().st_mode | 0o011)
    inbox, archive = tmp_path / "inbox", tmp_path / "archive"
    assert "is not a folder; mount it" in only_wrong(by(ready, folders=[Folder(path=inbox)]), "folder")
    inbox.mkdir(mode=0o777)
    inbox.chmod(0o777)
    moving = Folder(path=inbox, after="move", move_to=archive)
    assert "move_to" in only_wrong(by(ready, folders=[moving]), "folder")
    archive.mkdir()
    archive.chmod(0o555)
    assert f"move_to {archive} can't be written to" in folder_check(moving)
    inbox.chmod(0o555)
    assert f'{inbox} can\'t be written to, and after = "delete" takes files away' in folder_check(
        Folder(path=inbox, after="delete")
    )
    with nobody():
        assert doctor._folder(Folder(path=inbox)) == "readable; what landed: keep"
    inbox.chmod(0o000)
    assert f"{inbox} can't be read" in folder_check(Folder(path=inbox))


# the database


def owner(callmart: Callmart, **parts: str) -> SecretStr:
    """A DSN of the embedded server, with some parts of it replaced."""
    known = {
        "user": embedded_server.OWNER,
        "host": str(embedded_server.start(callmart.home)),
        "database": embedded_server.DATABASE,
    } | parts
    return SecretStr("postgresql://{user}@/{database}?host={host}".format(**known))


def test_a_database_that_can_not_be_reached_is_named_and_the_rest_is_tried(
    ready: Callmart, free_port: int
) -> None:
    emulated = Tableau(server="emulator")
    for dsn, remedy in (
        (
            SecretStr(f"postgresql://u:{SECRET}@127.0.0.1:{free_port}/d"),
            "nothing listens on this host and port",
        ),
        (owner(ready, user=f"nobody:{SECRET}"), "the password is wrong, or there is no such user"),
        (owner(ready, user="postgres"), "row-level security does not apply to the login postgres"),
        (SecretStr(SECRET), "CALLMART_DSN is not understood"),
    ):
        settings = by(ready, dsn=dsn, tableau=emulated)
        assert remedy in only_wrong(settings, "database")
        assert unchecked(settings) == {"TLS", "schema", "clock", "rights", "logins", "keys", "ledger"}


@pytest.mark.skipif(not WITH_OPENSSL, reason="there is no openssl here")
def test_tls_is_tried(ready: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "on_this_machine", lambda *_: False)
    behind, emulated = (
        embedded_server.start(ready.home) / f".s.PGSQL.{embedded_server.PORT}",
        Tableau(server="emulator"),
    )
    made = certificate(tmp_path, "localhost")
    with in_front_of(behind, made) as port:
        verified = f"postgresql://{embedded_server.OWNER}@localhost:{port}/{embedded_server.DATABASE}?sslrootcert={made.file}"
        for dsn, outcome, said in (
            (verified, "ok", "encrypted"),
            (f"{verified}&sslmode=require", "wrong", "sslmode=require lets others read what is sent"),
        ):
            found = examined(by(ready, dsn=SecretStr(dsn), tableau=emulated))["TLS"]
            assert (found.outcome, found.found[: len(said)]) == (outcome, said)


def test_a_server_that_the_environment_names_is_not_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "db.example")
    settings = Settings(dsn=SecretStr("dbname=callmart user=owner sslmode=disable"))
    connection: Any = SimpleNamespace(pgconn=SimpleNamespace(ssl_in_use=False))
    with pytest.raises(UserError, match="sslmode=disable lets others read"):
        doctor._tls(connection, settings)


def test_a_schema_of_another_version_is_named(ready: Callmart) -> None:
    settings = by(ready, time_zone="America/Lima")
    assert "then run `callmart upgrade`" in only_wrong(settings, "schema")
    assert unchecked(settings) == {"clock", "rights", "logins", "keys", "ledger"}


def test_the_copy_of_the_ledger_is_looked_at(ready: Callmart, tmp_path: Path) -> None:
    own, emulated = owner(ready), Tableau(server="emulator")

    def said(copy: Path | None) -> str:
        found = examined(by(ready, dsn=own, tableau=emulated, privacy=Privacy(ledger_copy=copy)))
        assert found["privacy"].outcome == "wrong"
        return found["privacy"].found

    assert "privacy.ledger_copy" in said(None)
    assert "is not a folder" in said(tmp_path / "none" / "ledger")
    (tmp_path / "ledger").touch(0o644)
    assert "other users can open" in said(tmp_path / "ledger")


@contextmanager
def changed(callmart: Callmart, statement: str, back: str) -> Iterator[None]:
    with callmart.connect() as connection:
        connection.execute(statement.encode())
        connection.commit()
        try:
            yield
        finally:
            connection.execute(back.encode())
            connection.commit()


def test_a_clock_in_doubt_is_named(ready: Callmart) -> None:
    with changed(
        ready,
        f"insert into ops.clock (day) values ('{TODAY + timedelta(days=9)}')"
        " on conflict (one_row) do update set day = excluded.day",
        f"update ops.clock set day = '{TODAY}'",
    ):  # fmt: skip
        assert "9 days before callmart last worked" in only_wrong(ready.settings, "clock")


def test_rights_that_differ_are_named(ready: Callmart) -> None:
    grant = "select on registry.customer"
    with changed(ready, f"grant {grant} to public", f"revoke {grant} from public"):
        said = only_wrong(ready.settings, "rights")
    assert "registry.customer" in said
    assert "`callmart access diff` shows all" in said


@contextmanager
def another(file: Path, content: bytes | None, mode: int = 0o600) -> Iterator[None]:
    """The file with other content, without content, or with another mode."""
    usual, usual_mode = file.read_bytes(), file.stat().st_mode
    file.unlink()
    if content is not None:
        file.write_bytes(content or usual)
        file.chmod(mode)
    try:
        yield
    finally:
        file.write_bytes(usual)
        file.chmod(usual_mode)


def test_each_login_s_password_is_tried(ready: Callmart) -> None:
    with ready.connect() as connection:
        (customer,) = logins.of_customers(connection)
    file = logins.passfile(ready.home, customer)
    for content, mode, remedy in (
        (None, 0o600, f"login {customer}: its password file is missing or can't be read"),
        (b"", 0o640, f"login {customer}: other users can open {file}; close it with `chmod 600"),
        (f"*:*:*:{customer}:{SECRET}\n".encode(), 0o600, f"login {customer}: the password is wrong"),
    ):
        with another(file, content, mode):
            assert remedy in only_wrong(ready.settings, "logins")


def test_a_login_that_was_barred_is_promised_no_new_password(ready: Callmart) -> None:
    """`access apply` would let in whoever stole the password that it has."""
    with ready.connect() as owner:
        (customer,) = logins.of_customers(owner)
        owner.execute(f"alter role {customer} nologin")
        owner.commit()
        said = only_wrong(ready.settings, "logins")
        owner.execute(f"alter role {customer} login")
    assert said.startswith(f"login {customer}: ") and "new password" not in said


def test_each_customer_s_key_is_tried(ready: Callmart) -> None:
    file = key_file(ready.home, CUSTOMER)
    for content, mode, remedy in (
        (None, 0o600, f"the key of customer {CUSTOMER} is missing or can't be read ({file})"),
        (b"", 0o644, f"the key of customer {CUSTOMER}: other users can open {file}"),
        (b"x" * 32, 0o600, f"{file} is not the key of customer {CUSTOMER}'s data"),
    ):
        with another(file, content, mode):
            assert remedy in only_wrong(ready.settings, "keys")


def test_the_passphrase_for_backups_is_tried(ready: Callmart, tmp_path: Path) -> None:
    file = tmp_path / "passphrase"
    settings = by(ready, backup_passphrase_file=file)
    assert f"{file} can't be read" in only_wrong(settings, "backups")
    for content, mode, remedy in (
        ("short", 0o600, "shorter than 16 characters"),
        (SECRET * 3, 0o644, f"other users can open {file}"),
    ):
        file.write_text(content)
        file.chmod(mode)
        assert remedy in only_wrong(settings, "backups")
    file.chmod(0o600)
    assert wrong(settings) == {}


# Tableau


def test_who_is_told_of_a_failed_night_is_tried(ready: Callmart, free_port: int) -> None:
    """Nothing is sent: the server below would answer it with an error."""
    url = f"http://127.0.0.1:{free_port}/s3cret"
    mail = {"from": "callmart@example.org", "to": ["ops@example.org"], "host": "127.0.0.1", "port": free_port}
    away = by(
        ready,
        alerts=Alerts.model_validate(
            {"ping_url": url, "webhook_url": url, "mail": mail | {"encryption": "none"}}
        ),
        mail=Mail.model_validate(
            {
                "sender": "callmart",
                "from": mail["from"],
                "smtp": {"host": "127.0.0.1", "port": free_port, "encryption": "none"},
            }
        ),
    )
    found = wrong(away)
    assert set(found) == {"alerts.ping_url", "alerts.webhook_url", "alerts.mail", "mail.smtp"}
    assert "s3cret" not in str(found)
    server = Controller(Sink(), hostname="127.0.0.1", port=free_port)
    server.start()
    try:
        assert wrong(away) == {}
    finally:
        server.stop()


def test_tableau_is_tried(ready: Callmart, free_port: int, tmp_path: Path) -> None:
    running = emulator.ensure_running(ready.settings)
    (open_to_all := tmp_path / "token").write_text(SECRET)
    open_to_all.chmod(0o644)
    app = ConnectedApp(client_id="c", secret_id="s", username="u", secret=SecretStr(SECRET))
    dead = f"https://127.0.0.1:{free_port}"
    for settings, remedy in (
        (Tableau(server=dead, token=SecretStr(SECRET)), f"no Tableau server answers at {dead}"),
        (Tableau(server="http://tableau.invalid", token=SecretStr(SECRET)), "is not encrypted; use https"),
        (Tableau(server="https://x.tableau.com", token=SecretStr(SECRET)), "is Tableau Cloud, another party"),
        (Tableau(server=running.url), "set exactly one of them"),
        (Tableau(server=running.url, token_file=open_to_all), f"other users can open {open_to_all}"),
        (Tableau(server=running.url, token=SecretStr(SECRET)), "refuses the token callmart"),
        (Tableau(server=running.url, connected_app=app), "refuses the connected app c"),
    ):
        assert remedy in only_wrong(by(ready, tableau=settings), "Tableau")
    own = by(ready, dsn=owner(ready))
    assert "is not published until this is set" in only_wrong(own, "Tableau")


def test_a_user_who_can_not_make_projects_is_named(ready: Callmart) -> None:
    running = emulator.ensure_running(ready.settings)
    with tableau.connect(ready.settings) as signed_in:
        signed_in.users.add(TSC.UserItem("someone", "Creator"))
    Desk(running).admit("theirs", "secret", "someone")
    theirs = Tableau(server=running.url, token_name="theirs", token=SecretStr("secret"))
    assert only_wrong(by(ready, tableau=theirs), "Tableau").startswith(
        "the user someone is Creator on the site and can't make projects at its top; make it SiteAdministrator"
    )
