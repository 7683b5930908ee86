"""Migrations: each once, in its own transaction; what is interrupted goes on; what does not fit is refused."""

import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pyarrow as pa
import pytest
import typer

from callmart.base.errors import UserError
from callmart.base.raw_format import EVENT_COLUMNS, EVENT_SCHEMA
from callmart.cli import main
from callmart.database import lock, migrating, schema
from callmart_home import Callmart
from commands import use

LATEST = len(migrating.known(migrating.FOLDER))

Write = Callable[..., None]


@pytest.fixture
def owner(callmart: Callmart) -> Iterator[psycopg.Connection]:
    """A connection to a database without any table of callmart's."""
    with callmart.connect() as connection:
        yield connection
        connection.rollback()
        connection.execute("drop schema if exists ops cascade")
        connection.execute("drop schema if exists probe cascade")


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    """Replaces callmart's migrations by those that a test writes: their text by the names of their files."""

    def write(**files: str) -> None:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        folder.mkdir()
        for name, text in files.items():
            (folder / name.replace("__", ".").removeprefix("m")).write_text(text)
        monkeypatch.setattr(migrating, "FOLDER", folder)

    return write


FIRST = "create schema probe; create table probe.done (number integer); insert into probe.done values (1);"
SECOND = "insert into probe.done values (2);"


def done(connection: psycopg.Connection) -> list[int]:
    """What migrations have written, in that order."""
    return [number for (number,) in connection.execute("select number from probe.done")]


def test_each_runs_once_and_a_failure_leaves_what_came_before(
    callmart: Callmart, owner: psycopg.Connection, write: Write
) -> None:
    write(m0001_first__sql=FIRST, m0002_wrong__sql=f"{SECOND} select 1 / 0;", m0003_third__sql=SECOND)
    with pytest.raises(UserError) as broken:
        migrating.apply(owner, callmart.settings)
    assert str(broken.value) == (
        "migration 0002 wrong broke off (SQLSTATE 22012) and has left nothing: correct the cause, which the server's "
        "log names, and run the same command again; it goes on from there"
    )
    owner.rollback()
    assert (done(owner), len(migrating.pending(owner))) == ([1], 2)

    write(m0001_first__sql=FIRST, m0002_right__sql=SECOND, m0003_third__sql=SECOND)
    for _ in range(2):
        migrating.apply(owner, callmart.settings)
        assert (done(owner), migrating.pending(owner)) == ([1, 2, 2], [])
    noted = owner.execute(
        "select number, name, applied_at is not null from ops.migration order by 1"
    ).fetchall()
    assert noted == [(1, "first", True), (2, "right", True), (3, "third", True)]


def test_after_a_first_one_that_broke_off_the_next_gets_as_far(
    callmart: Callmart, owner: psycopg.Connection, write: Write
) -> None:
    """The functions of the tables that are there already are only made after the last migration."""
    (books,) = migrating.FOLDER.glob("*_dbt_at_work.sql")
    write(m0001_books__sql=books.read_text(), m0002_wrong__sql="select 1 / 0;")
    for _ in range(2):
        with lock.exclusive(owner), pytest.raises(UserError, match="migration 0002 wrong broke off"):
            migrating.apply(owner, callmart.settings)
        owner.rollback()


def test_a_database_that_is_up_to_date_keeps_the_callers_transaction(
    callmart: Callmart, owner: psycopg.Connection, write: Write
) -> None:
    write(m0001_first__sql=FIRST)
    migrating.apply(owner, callmart.settings)
    owner.execute(SECOND)
    migrating.apply(owner, callmart.settings)
    owner.rollback()
    assert done(owner) == [1]


BATCHES = """
def step(connection, settings, place):
    place = (place or 0) + 1
    connection.execute("insert into probe.done values (%s)", [place + 100])
    if place == 3 and connection.execute("select to_regclass('probe.trouble')").fetchone() != (None,):
        {trouble}
    return place if place < 4 else None
"""
TROUBLE = {
    "an error": 'connection.execute("select 1 / 0")',
    "a lost connection": 'connection.execute("select pg_terminate_backend(pg_backend_pid())")',
    "Ctrl-C": "raise KeyboardInterrupt",
}


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_a_step_in_batches_goes_on_where_it_was(
    callmart: Callmart, owner: psycopg.Connection, write: Write, trouble: str
) -> None:
    first = f"{FIRST} create table probe.trouble ();"
    write(m0001_first__sql=first, m0002_batches__py=BATCHES.format(trouble=trouble))
    with pytest.raises((UserError, psycopg.Error, KeyboardInterrupt)), callmart.connect() as own:
        migrating.apply(own, callmart.settings)
    assert done(owner) == [1, 101, 102], "what was committed stays, and nothing of the broken batch"
    assert [migration.number for migration in migrating.pending(owner)] == [2]

    owner.execute("drop table probe.trouble")
    migrating.apply(owner, callmart.settings)
    assert (done(owner), migrating.pending(owner)) == ([1, 101, 102, 103, 104], [])


def test_a_later_version_can_correct_a_step_that_is_not_finished(
    callmart: Callmart, owner: psycopg.Connection, write: Write
) -> None:
    first = f"{FIRST} create table probe.trouble ();"
    write(m0001_first__sql=first, m0002_batches__py=BATCHES.format(trouble="raise ValueError"))
    with pytest.raises(ValueError), callmart.connect() as own:
        migrating.apply(own, callmart.settings)
    write(m0001_first__sql=first, m0002_batches__py=BATCHES.format(trouble="pass"))
    migrating.apply(owner, callmart.settings)
    assert (done(owner), migrating.pending(owner)) == ([1, 101, 102, 103, 104], [])
    write(m0001_first__sql=first, m0002_batches__py=BATCHES.format(trouble="raise ValueError"))
    with pytest.raises(UserError, match="migration 0002 batches is not the one that this database had"):
        migrating.pending(owner)


def test_a_lost_connection_inside_a_migration_leaves_nothing_of_it(
    callmart: Callmart, owner: psycopg.Connection, write: Write
) -> None:
    write(m0001_first__sql=FIRST, m0002_long__sql=f"{SECOND} select pg_terminate_backend(pg_backend_pid());")
    with pytest.raises(psycopg.OperationalError), callmart.connect() as own:
        migrating.apply(own, callmart.settings)
    assert done(owner) == [1]


def test_two_at_once_do_each_migration_once(
    callmart: Callmart, owner: psycopg.Connection, write: Write
) -> None:
    write(m0001_first__sql=FIRST, m0002_slow__sql=f"select pg_sleep(0.3); {SECOND}", m0003_third__sql=SECOND)
    migrating.known(migrating.FOLDER)
    failed: list[Exception] = []
    begin = threading.Barrier(2)

    def upgrade() -> None:
        with callmart.connect() as connection:
            begin.wait()
            try:
                migrating.apply(connection, callmart.settings)
            except Exception as error:
                failed.append(error)

    both = [threading.Thread(target=upgrade) for _ in range(2)]
    for one in both:
        one.start()
    for one in both:
        one.join()
    assert (failed, done(owner)) == ([], [1, 2, 2])


def test_a_lock_that_is_held_is_waited_for_and_named(
    callmart: Callmart, owner: psycopg.Connection, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(m0001_first__sql=FIRST)
    migrating.apply(owner, callmart.settings)
    write(m0001_first__sql=FIRST, m0002_column__sql="alter table probe.done add column more integer;")
    monkeypatch.setattr(lock, "TIMEOUT", "100ms")
    with callmart.connect() as reader:
        reader.execute("select from probe.done")
        with pytest.raises(UserError) as refused:
            migrating.apply(owner, callmart.settings)
    assert str(refused.value) == (
        "migration 0002 column waited 100ms for a table that another session uses: "
        "when that session has ended, run the same command again; it goes on from there"
    )
    owner.rollback()
    migrating.apply(owner, callmart.settings)
    assert owner.execute("select more from probe.done").fetchall() == [(None,)]


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({"m0001_first__sql": "", "m0003_third__sql": ""}, "0003_third.sql in .* should be migration 0002: "),
        ({"m0001_first__sql": "", "m0001_other__sql": ""}, "0001_other.sql in .* should be migration 0002: "),
        ({"m0001_first__sql": "", "m2_second__sql": ""}, "2_second.sql in .* should be migration 0002: "),
        (
            {"m0001_first__sql": "", "m0002_second__txt": ""},
            "0002_second.txt in .* should be migration 0002: ",
        ),
    ],
    ids=["a hole", "twice", "another form", "another kind"],
)
def test_files_without_a_gap(
    callmart: Callmart, owner: psycopg.Connection, write: Write, files: dict[str, str], sentence: str
) -> None:
    write(**files)
    with pytest.raises(UserError, match=f"^{sentence}install callmart again"):
        migrating.apply(owner, callmart.settings)


# -- what every command says ---------------------------------------------------------------------------------------

REFUSED = {
    "newer": (
        f"insert into ops.migration values ({LATEST + 1}, 'later', '', null, now())",
        f"the database is at {LATEST + 1}, this callmart knows {LATEST}: "
        "install the version that upgraded the database, or a newer one",
    ),
    "changed": (
        "update ops.migration set checksum = 'another' where number = 3",
        "migration 0003 clock is not the one that this database had: "
        "install callmart again, without changes to 0003_clock.sql",
    ),
    "hole": (
        "delete from ops.migration where number = 3",
        "migration 0003 clock is missing in ops.migration, but 0004 is there: "
        "restore a backup from before somebody changed that table",
    ),
    "older": (
        f"delete from ops.migration where number = {LATEST}",
        f"the database is at {LATEST - 1}, this is {LATEST}: back up, then run `callmart upgrade`",
    ),
    "functions of another version": (
        "update access.applied set fingerprint = 'another'",
        "the functions and views of this database are of another version of callmart, or of another time_zone: "
        "back up, then run `callmart upgrade`",
    ),
}
# Every command that needs the database as it should be, with the rest of its line.
COMMANDS = {
    "access apply": "", "access diff": "", "access rotate": "--all", "audit": "", "build": "", "demo": "",
    "dsn": "", "expire": "--plan", "extract": "", "land": "events.csv", "open": "", "publish": "",
    "registry apply": "registry.yml", "release": "--customer 1001 --day 2026-11-01 --reason data-is-right",
    "rebuild": "", "retire": "queue_day", "run": "", "status": "", "validate": "",
    "privacy answer": "1", "privacy approve": "1", "privacy close": "1", "privacy forward": "--customer 1001",
    "privacy open": "--customer 1001 --kind agent", "privacy refuse": "1 --because identity", "privacy status": "",
    "privacy verify": "1 --how code --alone", "privacy plan": "1", "privacy do": "1", "privacy prove": "1",
    "privacy replay": "", "privacy corrections": "", "privacy report": "--customer 1001",
    "keys rotate": "--customer 1001", "keys lost": "--customer 1001 --yes",
    "keys attest": "--customer 1001", "keys destroyed": "", "keys entered-again": "--customer 1001 --yes",
    "workbook": "drukte --customer 1001 --out a.twb", "report": "traffic --customer 1001 --out a.pdf", "mail": "",
    "preview": "traffic", "draw": "png", "explain": "offered --customer 1001 --from 2026-11-01",
}  # fmt: skip
UPGRADES = {"upgrade": "", "upgrade --plan": ""}
# `try` and `diff` work with functions of another version, for a project that has a new group: tests/environments.
# `doctor` and `health` say it among other things. `backup` is what is to be done first, and `clock` what an upgrade
# after a long pause waits for. `check` and `privacy ledger` ask no database.
OTHERS = {
    "backup", "check", "clock", "diff", "doctor", "emulator", "health", "privacy ledger", "reports", "restore",
    "simulate", "start", "stop", "try",
}  # fmt: skip


def test_a_new_command_is_put_where_it_belongs() -> None:
    groups = {"registry", "access", "privacy", "keys"}
    every = typer.main.get_command(main.app).commands  # type: ignore[attr-defined]
    commands = every.keys() - groups | {
        f"{group} {name}" for group in groups for name in every[group].commands
    }
    assert commands == COMMANDS.keys() | {"upgrade"} | OTHERS


@pytest.mark.parametrize("case", REFUSED)
def test_a_database_that_does_not_fit_is_one_sentence_of_every_command(
    played: Callmart,
    case: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change, sentence = REFUSED[case]
    use(played.settings, monkeypatch)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "registry.yml").write_text((played.home / "registry.yml").read_text())
    before = played.rows("select * from ops.migration"), played.rows("select fingerprint from access.applied")
    commands = COMMANDS if "run `callmart upgrade`" in sentence else COMMANDS | UPGRADES
    with played.connect() as owner:
        owner.execute(change)
    try:
        for command in commands.items():
            monkeypatch.setattr("sys.argv", ["callmart", *" ".join(command).split()])
            with pytest.raises(SystemExit) as ended:
                main.main()
            said = capsys.readouterr().err.lstrip()  # the demo has begun to show its progress
            assert (ended.value.code, said) == (2, f"error: {sentence}\n"), command
    finally:
        with played.connect() as owner:
            owner.execute("delete from ops.migration")
            owner.execute("delete from access.applied")
            with owner.cursor() as cursor:
                cursor.executemany(
                    "insert into ops.migration values (%(number)s, %(name)s, %(checksum)s, null, %(applied_at)s)",
                    before[0],
                )
                cursor.executemany("insert into access.applied values (%(fingerprint)s)", before[1])
    with played.connect() as owner:
        schema.require(owner, played.settings.time_zone)


# -- what migrations make --------------------------------------------------------------------------------------------

TYPES = {
    pa.bool_(): "boolean",
    pa.float64(): "double precision",
    pa.int32(): "integer",
    pa.int64(): "bigint",
    pa.string(): "text",
    pa.timestamp("us", "UTC"): "timestamp with time zone",
}


@pytest.mark.parametrize(
    ("table", "declared", "own"),
    [("event", EVENT_COLUMNS, {"ordinal", "file_id"}), ("incoming", EVENT_SCHEMA, {"ordinal"})],
)
def test_the_events_have_the_columns_of_the_raw_format(
    played: Callmart, table: str, declared: pa.Schema, own: set[str]
) -> None:
    """A new column comes with a migration and a line in base/raw_format.py."""
    there = played.rows(
        "select attname, format_type(atttypid, atttypmod), attnotnull from pg_attribute"
        " where attrelid = to_regclass(%s) and attnum > 0 and not attisdropped",
        f"raw.{table}",
    )
    found = {tuple(row.values()) for row in there if row["attname"] not in own}
    assert found == {(field.name, TYPES[field.type], not field.nullable) for field in declared}
    assert own <= {row["attname"] for row in there}


def test_no_table_is_made_where_things_are_replaced() -> None:
    made = r"^(create (unlogged )?table|create (unique )?index|create sequence|create schema|alter table .* column).*"
    assert re.findall(made, schema.TEXT, re.MULTILINE) == []
    assert re.search(made, "create table if not exists ops.more (\n", re.MULTILINE)


# -- what single migrations do with rows -----------------------------------------------------------------------------


def test_recipients_keep_their_reports_and_lose_the_transfers_of_one_agent(played: Callmart) -> None:
    (file,) = migrating.FOLDER.glob("0010_*.sql")
    with played.connect() as owner:
        owner.execute(
            "update registry.recipient set reports = '{status,drukte,afhandeling,other,bereikbaarheid,medewerkers}'"
            " where email = 'chef@een.example'"
        )
        owner.execute(
            "insert into ops.extract (customer_id, mart_group, content_hash, row_count, basis)"
            " select customer_id, mart_group, '', 1, '{\"opened\": 1, \"rest\": 2}'"
            " from (values (1001, 'queue'), (1003, 'queue'), (1003, 'line')) as e (customer_id, mart_group)"
        )
        owner.execute(
            "update store.queue_interval set talk_s = null"
            " where (customer_id, interval_start) in (select customer_id, min(interval_start) from store.queue_interval"
            " where customer_id = 1003 group by 1)"
        )
        owner.execute(file.read_bytes())
        reports = owner.execute("select email, reports from registry.recipient order by 1").fetchall()
        hidden = owner.execute(
            "select customer_id, count(*) from store.queue_interval"
            " where transferred_blind is null and transferred_attended is null group by 1"
        ).fetchall()
        stale = owner.execute(
            "select customer_id, mart_group from ops.extract where not basis ? 'opened' and basis ? 'rest'"
        ).fetchall()
        owner.rollback()
    assert reports == [
        ("chef@een.example", ["status", "traffic", "handling", "other", "accessibility", "agents"]),
        ("chef@twee.example", ["traffic"]),
        ("planner@een.example", []),
    ]
    assert (hidden, stale) == ([(1003, 1)], [(1003, "queue")])
