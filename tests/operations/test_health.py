"""What `callmart health` finds: each kind of trouble, and nothing else."""

import json
import os
import shutil
from collections.abc import Callable, Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
import pytest
from pydantic import SecretStr, ValidationError

from callmart.base import disk
from callmart.base.errors import UserError
from callmart.base.keys import INSTALLATION, key_file
from callmart.base.settings import Settings, Tableau
from callmart.database import embedded_server, ledger_files
from callmart.database.lock import exclusive
from callmart.operations import certificates, doctor, health
from callmart.operations.health import Trouble
from callmart.publish import installation
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED, STANDARD
from commands import command_of
from tls import WITH_OPENSSL, certificate, in_front_of
from today import TODAY, YESTERDAY

GIB = 2**30


def found_in(played: Callmart, connection: psycopg.Connection, **wanted: Any) -> list[Trouble]:
    """The troubles that the books show, with what this transaction has changed."""
    settings = with_health(played.settings, **wanted)
    books = health._books(connection, settings)
    return list(health._troubles_of(books, settings))


def with_health(settings: Settings, **wanted: Any) -> Settings:
    return settings.model_copy(update={"health": settings.health.model_copy(update=wanted)})


@pytest.fixture
def changing(played: Callmart) -> Iterator[psycopg.Connection]:
    """A transaction that is rolled back."""
    with played.connect() as connection:
        yield connection
        connection.rollback()


def test_nothing_is_wrong_with_a_new_callmart(played: Callmart) -> None:
    found = health.look(played.settings)
    assert found.troubles == []
    assert found.books is not None
    assert set(found.disks) == {"home"}, "the database stands on the same volume"
    assert found.certificates == {}


class Case(NamedTuple):
    change: str
    kind: str
    customer_id: int | None
    says: str


def ran(began: str, outcome: str, *, ended: str | None = "1 hour", error: str | None = None) -> str:
    """A run in the books that began and ended so long ago, with two problems."""
    end = f"now() - interval '{ended}'" if ended else "null"
    said = f"'{error}'" if error else "null"
    return (
        "insert into ops.run (began_at, ended_at, outcome, problems, error) values "
        f"(now() - interval '{began}', {end}, '{outcome}', 2, {said});"
    )


def staged(stage: str, outcome: str) -> str:
    """A stage of that run."""
    end = "null" if outcome == "at work" else "now()"
    return (
        "insert into ops.run_stage (run_id, stage, began_at, ended_at, outcome)"
        f" select max(run_id), '{stage}', clock_timestamp(), {end}, '{outcome}' from ops.run;"
    )


def extracted(customer_id: int, ago: str, opened: str = "(select max(build_id) from ops.opened_day)") -> str:
    """An extract in the books."""
    return (
        "insert into ops.extract (customer_id, mart_group, content_hash, row_count, basis, written_at)"
        f" values ({customer_id}, 'queue', '', 1, jsonb_build_object('opened', {opened}), now() - interval '{ago}');"
    )


def published(customer_id: int, state: str, ago: str) -> str:
    """A publication in the books."""
    return (
        "insert into ops.publication (customer_id, state, at)"
        f" values ({customer_id}, '{state}', now() - interval '{ago}');"
    )


def held_back(*days_ago: int) -> str:
    """Days of a customer that are held back."""
    rows = ", ".join(f"({NAMED}, current_date - {ago}, 1, 'x')" for ago in days_ago)
    return f"insert into ops.held_back (customer_id, call_date, build_id, cause) values {rows};"


def backed_up(ago: str) -> str:
    return f"insert into ops.audit_log (at, action) values (now() - interval '{ago}', 'backed up');"


def installed(ago: str) -> str:
    return f"update registry.version set applied_at = now() - interval '{ago}';"


GOOD = ran("2 hours", "done")
CASES = {
    "problems": Case(ran("2 hours", "problems"), "run_failed", None, "the last run left problems: its output"),
    "problems of stages": Case(
        ran("2 hours", "problems")
        + "".join(staged(*one) for one in (("land", "problems"), ("build", "done"), ("publish", "failed"))),
        "run_failed", None, "the last run left problems in land, publish: its output and its log name them",
    ),
    "died in a stage": Case(
        ran("2 hours", "at work", ended=None) + staged("build", "at work"),
        "run_failed", None, "the last run died in build: `callmart run` continues from there",
    ),
    "interrupted": Case(ran("2 hours", "interrupted"), "run_failed", None, "the last run was interrupted: `callmart"),
    "failed": Case(
        ran("2 hours", "failed", error="SQLSTATE 53100"), "run_failed", None, "the last run failed (SQLSTATE 53100)"
    ),
    "died": Case(ran("2 hours", "at work", ended=None), "run_failed", None, "the last run died: `callmart run`"),
    "never good": Case(installed("27 hours"), "run_late", None, "no run was good yet"),
    "late": Case(
        installed("3 days") + ran("50 hours", "done", ended="48 hours"),
        "run_late", None, "the last good run ended 2.0 days ago: see `callmart status`",
    ),
    "held back": Case(held_back(1, 2), "held_back", NAMED, "2 days are held back by their checks: see `callmart"),
    "not published": Case(
        published(NAMED, "published", "2 days") + extracted(NAMED, "1 day"),
        "tableau", NAMED, "its last extract is not published: run `callmart run`",
    ),
    "never published": Case(extracted(NAMED, "1 day"), "tableau", NAMED, "its last extract is not published"),
    "publication failed": Case(
        published(STANDARD, "failed", "1 day"), "tableau", STANDARD, "the last publication failed"
    ),
    "publication failed of one who left": Case(
        published(4, "failed", "1 day"), "tableau", 4, "the last publication failed"
    ),
    "extract behind": Case(
        extracted(NAMED, "2 days", opened="0") + published(NAMED, "published", "1 day"),
        "tableau", NAMED, "its extract lacks days that are open",
    ),
    "no backup": Case(
        installed("8 days") + GOOD, "backup", None, "there is no backup yet: run `callmart backup FOLDER`"
    ),
    "old backup": Case(backed_up("9 days"), "backup", None, "the last backup is 9 days old"),
    "ledger": Case(
        f"insert into privacy.ledger_entry (entry, commitment, digest, salt, customer_id, kind, until, at)"
        f" values (1, '', '', '', {NAMED}, 'agent', now(), now());",
        "ledger", None, "all customers are closed: entry 1 of the database is not in the privacy ledger",
    ),
    "ledger lost": Case(
        "insert into ops.audit_log (action) values ('ledger lost');",
        "ledger_lost", None, "the privacy ledger was lost on",
    ),
    "rotation": Case(
        f"insert into ops.rotation (customer_id) values ({NAMED});",
        "rotation", NAMED, f"so nothing lands: `callmart keys rotate --customer {NAMED}` goes on",
    ),
    "clock": Case(
        "insert into ops.clock (day) values (current_date + 9)"
        " on conflict (one_row) do update set day = excluded.day",
        "clock", None, "before callmart last worked",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_each_trouble_is_found_by_itself(played: Callmart, changing: psycopg.Connection, case: Case) -> None:
    changing.execute(case.change.encode())
    (trouble,) = found_in(played, changing)
    assert (trouble.kind, trouble.customer_id) == (case.kind, case.customer_id)
    assert case.says in trouble.what
    assert str(trouble).startswith(f"customer {case.customer_id}: ") == (case.customer_id is not None)


def test_a_restored_home_is_behind_until_it_takes_over(
    played: Callmart, changing: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """No run of it publishes."""
    installation.make_restored(tmp_path, takes_over=False)
    monkeypatch.setattr(installation, "_path", lambda _: tmp_path / "installation")
    changing.execute(CASES["not published"].change.encode())
    (trouble,) = found_in(played, changing)
    assert trouble.what.endswith("is gone for good, run `callmart restore --take-over`")
    assert "`callmart run`" not in trouble.what

    changing.execute((extracted(STANDARD, "2 days") + published(STANDARD, "failed", "1 day")).encode())
    (trouble,) = found_in(played, changing)
    assert (trouble.customer_id, "is behind for 2 customers: " in trouble.what) == (None, True)


FINE = {
    "a good run": GOOD,
    "a good run after a bad one": ran("2 days", "failed", ended="2 days", error="X") + GOOD,
    "released": held_back(1) + "update ops.held_back set released_at = now();",
    "published": extracted(NAMED, "2 days") + published(NAMED, "published", "1 day"),
    "backed up": installed("9 days") + GOOD + backed_up("9 days") + backed_up("1 day"),
}


@pytest.mark.parametrize("change", FINE.values(), ids=FINE.keys())
def test_what_is_as_it_should_be_is_no_trouble(
    played: Callmart, changing: psycopg.Connection, change: str
) -> None:
    changing.execute(change.encode())
    assert found_in(played, changing) == []


def test_a_rotation_that_is_at_work_is_no_trouble(played: Callmart, changing: psycopg.Connection) -> None:
    changing.execute(CASES["rotation"].change.encode())
    with played.connect() as other, exclusive(other):
        assert found_in(played, changing) == []
    assert {one.kind for one in found_in(played, changing)} == {"rotation"}


def test_each_check_can_be_turned_off(played: Callmart, changing: psycopg.Connection) -> None:
    changing.execute(installed("40 days").encode())
    assert {one.kind for one in found_in(played, changing)} == {"run_late", "backup"}
    assert found_in(played, changing, good_run_hours=0, backup_days=0) == []
    assert found_in(played, changing, good_run_hours=41 * 24, backup_days=41) == []


def test_what_a_run_at_work_has_not_finished_is_no_trouble(
    played: Callmart, changing: psycopg.Connection
) -> None:
    changing.execute(ran("1 hour", "at work", ended=None).encode())
    changing.execute("update ops.build set opened_at = now() - interval '1 day'")
    ((run_id,),) = changing.execute("select max(run_id) from ops.run").fetchall()
    with played.connect() as other:
        other.execute("select set_config('application_name', %s, false)", [f"callmart run {run_id}"])
        changing.execute(extracted(NAMED, "1 minute").encode())
        assert found_in(played, changing) == []
        other.execute("reset application_name")
    changing.execute("select pg_stat_clear_snapshot()")
    assert {one.kind for one in found_in(played, changing)} == {"run_failed", "tableau"}, (
        "its session is gone"
    )


# silence


def heard(connection: psycopg.Connection, customer_id: int, days_ago: list[int], *, rows: int = 1) -> None:
    """Let a customer have data on these days only; the last landing was today."""
    connection.execute("delete from ops.opened_day where customer_id = %s", [customer_id])
    connection.execute(GOOD.encode())
    connection.execute(
        "insert into ops.run_stage (run_id, stage, outcome, ended_at)"
        " select max(run_id), 'land', 'done', now() from ops.run"
    )
    with connection.cursor() as cursor:
        cursor.executemany(
            "insert into ops.opened_day values (%s, %s, 'queue_interval', %s, 1)",
            [(customer_id, TODAY - timedelta(days=ago), rows) for ago in days_ago],
        )


def clock_at(connection: psycopg.Connection, hour: int) -> date:
    """Give the customers a time zone in which it is this hour, and return the day there. At noon it can be today."""
    day: date
    ((zone, day),) = connection.execute(
        "select name, (now() at time zone name)::date from pg_timezone_names"
        " where name like 'Etc/GMT%%' and extract(hour from now() at time zone name) = %s"
        " order by (now() at time zone name)::date = %s desc limit 1",
        [hour, TODAY],
    ).fetchall()
    connection.execute("update registry.customer set time_zone = %s", [zone])
    return day


def silent(played: Callmart, connection: psycopg.Connection, **wanted: Any) -> dict[int | None, str]:
    return {
        one.customer_id: one.what[11:21]
        for one in found_in(played, connection, **wanted)
        if one.kind == "silent"
    }


def ago(days: int) -> date:
    return TODAY - timedelta(days=days)


EVERY_DAY = list(range(1, 40))
WEEKLY = [1 + 7 * week for week in range(6)]
SILENCES: dict[str, tuple[list[int], date | None]] = {
    "every day": (EVERY_DAY, None),
    "not yesterday": (EVERY_DAY[1:], ago(1)),
    "not since last week": (EVERY_DAY[8:], ago(8)),
    "not for two months": ([day + 60 for day in EVERY_DAY], ago(60)),
    "once a week, and yesterday": (WEEKLY, None),
    "once a week, and not yesterday": (WEEKLY[1:], ago(1)),
    "once a week, but not on the day before yesterday": ([day + 1 for day in WEEKLY], None),
    "one of the last weeks was a holiday": (sorted({*EVERY_DAY} - {1, 15}), ago(1)),
    "two of the last weeks had none": (sorted({*EVERY_DAY} - {1, 15, 22}), None),
    "for two weeks, then no more": (list(range(2, 15)), ago(1)),
    "a single day long ago": ([30], ago(23)),
    "a single day": ([3], None),
    "never": ([], None),
}


@pytest.mark.parametrize(("days_ago", "since"), SILENCES.values(), ids=SILENCES.keys())
def test_a_customer_is_silent_against_its_own_weekdays(
    played: Callmart, changing: psycopg.Connection, days_ago: list[int], since: date | None
) -> None:
    clock_at(changing, 12)
    for other in (ANONYMOUS, STANDARD):
        heard(changing, other, EVERY_DAY)
    heard(changing, NAMED, days_ago)
    assert silent(played, changing) == ({NAMED: str(since)} if since else {})


def test_days_without_rows_are_silent_and_unopened_days_are_not(
    played: Callmart, changing: psycopg.Connection
) -> None:
    clock_at(changing, 12)
    for customer in (NAMED, ANONYMOUS, STANDARD):
        heard(changing, customer, EVERY_DAY[1:])
    changing.execute("insert into ops.opened_day values (%s, %s, 'queue_interval', 0, 1)", [NAMED, YESTERDAY])
    changing.execute(
        "insert into ops.dirty_day (customer_id, call_date, cause) values (%s, %s, 'landed')",
        [STANDARD, YESTERDAY],
    )
    assert silent(played, changing) == {NAMED: str(YESTERDAY), ANONYMOUS: str(YESTERDAY)}
    changing.execute(
        "update ops.opened_day set row_count = 0 where customer_id = %s and call_date <> %s",
        [ANONYMOUS, ago(2)],
    )
    assert silent(played, changing) == {NAMED: str(YESTERDAY)}, "the other has data on one day of the week"
    assert silent(played, changing, silent_days=2) == {}
    assert silent(played, changing, silent_days=0) == {}
    changing.execute("update ops.run_stage set began_at = now() - interval '1 day'")
    assert silent(played, changing) == {}, "since then nothing could land"
    changing.execute(
        "update registry.contract set valid_until = current_date - 1 where customer_id = %s", [NAMED]
    )
    changing.execute("update ops.run_stage set began_at = now()")
    assert silent(played, changing) == {}, "who ordered nothing owes nothing"


@pytest.mark.parametrize(("hour", "last_due"), [(0, 2), (5, 2), (6, 1)])
def test_a_day_has_six_hours_to_come_after_it_has_ended(
    played: Callmart, changing: psycopg.Connection, hour: int, last_due: int
) -> None:
    """Whoever delivers once per night is not silent in each run between midnight and then."""
    day = clock_at(changing, hour)
    shift = (TODAY - day).days
    silences = {NAMED: 1, STANDARD: 2}
    for customer in (ANONYMOUS, NAMED, STANDARD):
        heard(changing, customer, [shift + back for back in EVERY_DAY[silences.get(customer, 0) :]])
    assert silent(played, changing) == {
        customer: str(day - timedelta(days=back)) for customer, back in silences.items() if back >= last_due
    }


# beside the database


def test_a_missing_key_and_one_that_does_not_fit(played: Callmart, tmp_path: Path) -> None:
    keys = {whose: key_file(played.home, whose) for whose in (NAMED, STANDARD, INSTALLATION)}
    before = {file: file.read_bytes() for file in keys.values()}
    keys[NAMED].unlink()
    keys[STANDARD].write_bytes(os.urandom(32))
    try:
        keys[INSTALLATION].unlink()
        found = health.look(played.settings).troubles
        assert [(one.kind, one.customer_id) for one in found] == [
            ("key", NAMED),
            ("key", STANDARD),
            ("key", None),
        ]
        assert "is missing (" in found[0].what
        assert "is not the key" in found[1].what
        assert "the key of this installation is missing (" in found[2].what
        assert not keys[NAMED].exists(), "looking makes none"
    finally:
        for file, content in before.items():
            file.write_bytes(content)


@pytest.mark.parametrize(
    ("free", "total", "is_full"),
    [(6 * GIB, 60 * GIB, False), (4 * GIB, 20 * GIB, True), (6 * GIB, 200 * GIB, True), (0, 60 * GIB, True)],
)
def test_a_full_disk(
    played: Callmart, monkeypatch: pytest.MonkeyPatch, free: int, total: int, is_full: bool
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (total, total - free, free))
    found = health.look(played.settings).troubles
    assert [one.kind for one in found] == (["home_disk"] if is_full else [])
    if is_full:
        assert f"has {free / GIB:.1f} GiB left" in found[0].what
    assert health.look(with_health(played.settings, disk_free_gib=0, disk_free_share=0)).troubles == []


def test_a_disk_that_has_room_but_for_no_more_files(
    played: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (60 * GIB, 0, 60 * GIB))
    monkeypatch.setattr(disk, "free_files", lambda _: 0.04)
    (found,) = health.look(played.settings).troubles
    assert found.kind == "home_disk"
    assert "has 4% of its inodes left" in found.what
    with pytest.raises(UserError, match="4% of its inodes are free"):
        doctor._disk(played.home, played.settings)


def test_a_ledger_on_a_volume_that_is_gone_is_a_trouble(
    played: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(*_: object) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        # It can't be looked at, as on a volume that does not answer.
        patch.setattr(ledger_files, "in_home", lambda _: played.home / ("too long" * 40))
        (trouble,) = [one for one in health.look(played.settings).troubles if one.kind == "ledger"]
        assert "can't be read (OSError: File name too long): mount its volume" in trouble.what
    monkeypatch.setattr(health, "_books", gone)
    assert "not everything could be looked at (TimeoutError)" in health.look(played.settings).troubles[0].what


def test_the_database_s_volume_is_looked_at_apart(played: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = with_health(played.settings, database_folder=Path("/nowhere"))
    (trouble,) = health.look(wanted).troubles
    assert (trouble.kind, "FileNotFoundError" in trouble.what) == ("database_disk", True)
    monkeypatch.setattr(disk, "on_one_volume", lambda *_: False)
    monkeypatch.setattr(
        shutil, "disk_usage", lambda path: (100 * GIB, 0, GIB if path.name == "postgres" else 50 * GIB)
    )
    assert [one.kind for one in health.look(played.settings).troubles] == ["database_disk"]


def test_looking_starts_no_server(make_callmart: Callable[[], Callmart]) -> None:
    stopped = make_callmart()
    (trouble,) = health.look(stopped.settings).troubles
    assert (trouble.kind, trouble.what) == (
        "database",
        "the database can't be used: the embedded server is not running: `callmart start` starts it",
    )
    assert not embedded_server.is_running(stopped.home)


def test_a_database_that_can_not_be_used(played: Callmart, free_port: int) -> None:
    dsn = SecretStr(f"postgresql://u:s3cret@127.0.0.1:{free_port}/d")
    found = health.look(played.settings.model_copy(update={"dsn": dsn}))
    (trouble,) = found.troubles
    assert (trouble.kind, found.books) == ("database", None)
    assert "nothing listens on this host and port" in trouble.what
    assert "s3cret" not in trouble.what


@pytest.mark.parametrize(
    ("dsn", "said"),
    [
        ("postgresql://u@127.0.0.1/d?passfile=/nowhere/passfile", "/nowhere/passfile can't be read"),
        ("postgresql://u:s3@cret@127.0.0.1/d", "CALLMART_DSN is not understood"),
    ],
)
def test_a_wrong_dsn_is_a_trouble(played: Callmart, dsn: str, said: str) -> None:
    found = health.look(played.settings.model_copy(update={"dsn": SecretStr(dsn)}))
    (trouble,) = found.troubles
    assert (trouble.kind, found.certificates) == ("database", {})
    assert said in trouble.what


@pytest.mark.skipif(not WITH_OPENSSL, reason="needs openssl")
def test_a_certificate_that_ends_soon(played: Callmart, tmp_path: Path, free_port: int) -> None:
    shown = certificate(tmp_path, "localhost")  # for two days
    socket = embedded_server.start(played.home) / f".s.PGSQL.{embedded_server.PORT}"
    with in_front_of(socket, shown) as port:
        dsn = SecretStr(f"postgresql://u@localhost:{port}/d?sslmode=verify-full&sslrootcert={shown.file}")
        wanted = played.settings.model_copy(update={"dsn": dsn})
        (end,) = certificates.ends(wanted).values()
        assert not isinstance(end, str)
        assert (end.date() - TODAY).days in (1, 2, 3)
        (trouble,) = health._ending({"database": end}, wanted)
        assert (trouble.kind, f"ends on {end:%Y-%m-%d}" in trouble.what) == ("database_certificate", True)
        assert list(health._ending({"database": end}, with_health(wanted, certificate_days=1))) == []

        two = dsn.get_secret_value().replace(f"localhost:{port}", f"localhost:{port},localhost:{free_port}")
        assert "refused" in str(
            certificates.ends(wanted.model_copy(update={"dsn": SecretStr(two)}))["database"]
        )

    https = Tableau(server=f"https://localhost:{free_port}")
    ends = certificates.ends(played.settings.model_copy(update={"tableau": https}))
    (trouble,) = health._ending(ends, played.settings)
    assert trouble.kind == "tableau_certificate"
    assert "can't be looked at (ConnectionRefusedError: Connection refused)" in trouble.what


# the command


def test_the_command_says_it_in_one_line_each(played: Callmart) -> None:
    command = command_of(played.home)
    done = command("health")
    assert (done.returncode, done.stdout, done.stderr) == (0, "healthy\n", "")
    played.rows("insert into ops.held_back values (%s, %s, 1, 'x') returning 1", NAMED, YESTERDAY)
    try:
        done = command("health", "--json")
        said = command("health")
    finally:
        played.rows("delete from ops.held_back returning 1")
    assert done.returncode == said.returncode == 1
    (trouble,) = json.loads(done.stdout)["troubles"]
    assert trouble.keys() == {"kind", "customer_id", "what", "request", "days_left"}
    assert said.stdout == f"customer {NAMED}: {trouble['what']}\n"


@pytest.mark.parametrize(
    "wrong",
    [
        {"backup_days": -1},
        {"disk_free_share": 1},
        {"certificate_days": "soon"},
        {"backups": 1},
        {"silent_days": 0.5},
    ],
)
def test_a_setting_that_is_not_understood_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings.model_validate({"health": wrong})


def test_every_kind_has_a_test() -> None:
    tested = {case.kind for case in CASES.values()}
    disks_and_certificates = {"home_disk", "database_disk", "database_certificate", "tableau_certificate"}
    elsewhere = {
        "privacy",
        "objectors",
        "ledger_copy",
    }  # tests/privacy/test_deadlines.py, tests/backup/test_restored_erasures.py, tests/retention/test_lost_keys.py
    assert tested | disks_and_certificates | elsewhere | {"silent", "key", "database"} == set(health.KINDS)
