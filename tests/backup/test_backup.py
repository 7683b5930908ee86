"""A backup is whole or not there, holds no key in clear, and is checked before a restore touches anything."""

import errno
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from backups import PASSPHRASE, back_up, restored, with_settings
from callmart.access import drift
from callmart.backup import backup, contents, manifest, programs, restore, sealed
from callmart.base.errors import UserError
from callmart.base.keys import INSTALLATION, fingerprint_of, key_file, new_key
from callmart.base.secret_files import secret_file
from callmart.base.settings import PROJECT
from callmart.database import clock, embedded_server, rotation, schema
from callmart.declarations import dbt_project
from callmart.upgrade import upgrading
from callmart_home import Callmart
from catalogue import unprotected
from centre import NAMED, WITH_DATA, queue_of
from commands import command_of, exit_code, mistake

EARLIER = PROJECT / "tests" / "data" / "homes" / "85f5234.dump"


@pytest.fixture(scope="module")
def old(played: Callmart) -> Callmart:
    with played.connect() as connection:
        clock.believe(connection, played.settings)
    return with_settings(played)


@pytest.fixture(scope="module")
def made(old: Callmart, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a backup."""
    folder = tmp_path_factory.mktemp("backups") / "first"
    back_up(old, folder)
    return folder


@pytest.fixture
def copied(made: Path, tmp_path: Path) -> Path:
    """A copy of it, which a test may damage."""
    return Path(shutil.copytree(made, tmp_path / "copied"))


# what is in it


def test_nobody_else_can_read_it_and_no_key_is_in_clear(old: Callmart, made: Path) -> None:
    assert {path.name for path in made.iterdir()} == {"database.dump", "keys.sealed", "manifest.json"}
    assert made.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in made.iterdir()} == {0o600}
    keys = {whose: key_file(old.home, whose).read_bytes() for whose in (*WITH_DATA, INSTALLATION)}
    held = b"".join(path.read_bytes() for path in made.iterdir())
    for key in keys.values():
        assert key not in held
        assert key.hex().encode() not in held
    assert PASSPHRASE.encode() not in held
    assert restore.open_backup(made, old.settings).keys == keys


def test_it_has_the_rows_of_one_moment(old: Callmart, made: Path) -> None:
    tables = manifest.read(made).tables
    for table in ("store.queue_interval", "raw.event", "registry.customer"):
        (counted,) = old.rows(f"select count(*) from {table}")
        assert tables[table].rows == counted["count"] > 0
    assert not {table for table in tables if table.startswith(("build.", "raw.incoming"))}


def test_rows_that_come_while_it_is_made_are_in_neither_dump_nor_manifest(
    old: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dumping = programs.dumping

    @contextmanager
    def dumping_late(*arguments: Any) -> Iterator[None]:
        old.rows("insert into ops.to_vacuum (relation) values ('late') returning 1")
        with dumping(*arguments):
            yield

    monkeypatch.setattr(programs, "dumping", dumping_late)
    counted = back_up(old, tmp_path / "b").tables["ops.to_vacuum"].rows
    old.rows("delete from ops.to_vacuum where relation = 'late' returning 1")
    script = subprocess.run(
        [
            embedded_server.PROGRAMS / "pg_restore",
            "--data-only", "--table=to_vacuum", "--file=-", tmp_path / "b/database.dump",
        ],
        check=True, capture_output=True,
    ).stdout  # fmt: skip
    assert (counted, b"late" in script, b"COPY ops.to_vacuum" in script) == (0, False, True)


def test_the_audit_log_has_it(old: Callmart, made: Path) -> None:
    id = manifest.read(made).backup
    noted = old.rows(
        "select at, actor from ops.audit_log where action = 'backed up' and details ->> 'backup' = %s", id
    )
    assert len(noted) == 1


@pytest.mark.thorough
def test_a_backup_from_before_an_upgrade_is_restored_and_upgraded(
    make_callmart: Callable[[], Callmart], tmp_path: Path
) -> None:
    """Its marts are in another schema, and that version has no command to restore it."""
    earlier = with_settings(make_callmart())
    with earlier.connect() as owner:
        dsn = owner.info.dsn
    subprocess.run(
        [embedded_server.PROGRAMS / "pg_restore", "--dbname", dsn, EARLIER],
        stderr=subprocess.DEVNULL,
        check=False,
    )
    for customer in WITH_DATA:  # their keys are not in that dump
        key = new_key(earlier.home, customer)
        earlier.rows(
            "update registry.customer set key_fingerprint = %s where customer_id = %s returning 1",
            fingerprint_of(key), customer,
        )  # fmt: skip
    with earlier.connect() as owner:
        owner.execute("create function access.obsolete() returns integer return 1")
    written = back_up(earlier, tmp_path / "b")
    assert set(written.keys) == set(WITH_DATA)
    assert written.callmart.startswith("before ")
    assert written.ledger is None, "that version has no tables for it"
    key_file(earlier.home, NAMED).unlink()
    with earlier.connect() as owner:  # its upgrade needs the keys
        assert restore.restore_keys(owner, earlier.settings, tmp_path / "b") == ([NAMED], [])

    other = with_settings(make_callmart())
    marts = dbt_project.marts(other.settings)
    with other.connect() as owner:
        today = clock.today(owner, other.settings)
    done = restored(other, tmp_path / "b", accepted=today, lost="never-copied")
    assert done.problems == []
    with other.connect() as owner:
        schema.require(owner, other.settings.time_zone)
        assert drift.find(owner, marts) == []
        assert unprotected(owner) == []
        assert owner.execute("select to_regprocedure('access.obsolete()')").fetchone() == (None,)
        in_marts = {table for table in written.tables if table.startswith("mart.")}
        assert len(in_marts) > 8  # the next build makes those that came later
        for table in in_marts:
            (rows,) = owner.execute(
                f"select count(*) from {table.replace('mart.', 'store.')}".encode()
            ).fetchall()
            assert rows == (written.tables[table].rows,) > (0,)
    for customer in WITH_DATA:
        shown = other.rows("select distinct queue from mart.queue_interval", customer_id=customer)
        assert shown == [{"queue": queue_of(customer)}]


# where it can't be made


def test_a_disk_that_is_full_leaves_nothing(
    old: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By pg_dump itself, which writes to a device that is always full; and by a file of ours."""
    dumping = programs.dumping

    def to_a_full_disk(*arguments: Any) -> AbstractContextManager[None]:
        arguments[-1].symlink_to("/dev/full")
        return dumping(*arguments)

    def full(path: Path, content: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    for module, name, broken in ((programs, "dumping", to_a_full_disk), (backup, "secret_file", full)):
        with monkeypatch.context() as patch:
            patch.setattr(module, name, broken)
            with pytest.raises(UserError) as refused:
                back_up(old, tmp_path / "b")
        assert str(refused.value).startswith("nothing was backed up: the disk is full; make room")
        assert list(tmp_path.iterdir()) == []
    back_up(old, tmp_path / "b")


def test_a_backup_that_is_killed_is_no_backup(
    old: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it leaves has another name and no manifest."""
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_, **__: None)
        patch.setattr(contents, "of_tables", interrupted)
        with pytest.raises(KeyboardInterrupt):
            back_up(old, tmp_path / "b")
    (left,) = tmp_path.iterdir()
    assert left.name.startswith("b.unfinished-")
    with pytest.raises(UserError, match=r"is not a whole backup: it has no manifest\.json"):
        restore.open_backup(left, old.settings)

    what_can_not_be_removed_is_said(old, tmp_path, left, monkeypatch)
    back_up(old, tmp_path / "b")
    assert [made.name for made in tmp_path.iterdir()] == ["b"]


def what_can_not_be_removed_is_said(
    old: Callmart, folder: Path, left: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def held(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", held)
        with pytest.raises(UserError) as said:
            back_up(old, folder / "b")
    assert f"{left} with a part of the data could not be removed (PermissionError: Perm" in str(said.value)


@pytest.mark.thorough
def test_killed_anywhere_the_folder_is_whole_or_not_there(tmp_path: Path) -> None:
    """SIGKILL before each file or folder that is opened, made, changed or renamed."""
    assert exit_code(killed_anywhere, tmp_path) == 0


def killed_anywhere(folder: Path) -> None:
    """In a process of its own, which has no threads, and so may fork."""
    files = {name: name * 10_000 for name in (manifest.DATABASE, manifest.KEYS, manifest.NAME)}
    is_there: list[bool] = []
    is_killed = True
    while is_killed:
        target = folder / str(len(is_there)) / "b"
        target.parent.mkdir()
        if (child := os.fork()) == 0:
            with kill_at(len(is_there) + 1), backup._draft(target) as draft:
                for name, content in files.items():
                    secret_file(draft / name, content)
            os._exit(0)
        is_killed = os.WIFSIGNALED(os.waitpid(child, 0)[1])
        is_there.append(target.exists())
        if is_there[-1]:
            assert {file.name: file.read_text() for file in target.iterdir()} == files, len(is_there)
    assert is_there.count(False) > 10
    assert is_there[-1]


@contextmanager
def kill_at(number: int) -> Iterator[None]:
    """Ends this process before the operation of that number; the first is 1."""
    count = 0

    def look(event: str, _: object) -> None:
        nonlocal count
        if event == "open" or event.startswith("os."):
            count += 1
            if count == number:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(look)
    yield


def interrupted(*_: object) -> None:
    raise KeyboardInterrupt


FOLDERS = {
    "the home": (lambda old, _: old.home / "backup", "is in CALLMART_HOME"),
    "a file": (lambda _, folder: folder / "file", "is not an empty folder; name a new one"),
    "a full folder": (lambda _, folder: folder, "is not an empty folder; name a new one"),
    "nowhere": (lambda _, folder: folder / "no" / "b", "is not a folder; make it"),
}


@pytest.mark.parametrize(("place", "said"), FOLDERS.values(), ids=FOLDERS)
def test_a_folder_that_does_not_do_is_refused(
    old: Callmart, tmp_path: Path, place: Callable[[Callmart, Path], Path], said: str
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=said):
        back_up(old, place(old, tmp_path))
    assert list(tmp_path.iterdir()) == [tmp_path / "file"]


def test_an_empty_folder_does_unless_it_is_a_mount(
    old: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount can't get its name when it is whole."""
    (tmp_path / "b").mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(os.path, "ismount", lambda path: path == tmp_path / "b")
        with pytest.raises(UserError, match="is a mount; name a new folder in it"):
            back_up(old, tmp_path / "b")
    back_up(old, tmp_path / "b")
    assert (tmp_path / "b" / "manifest.json").exists()


def test_the_command_says_it_in_a_sentence(old: Callmart, tmp_path: Path) -> None:
    command = command_of(old.home)
    assert "there is no passphrase for the keys in a backup" in mistake(command("backup", tmp_path / "b"))
    short = command("backup", tmp_path / "b", CALLMART_BACKUP_PASSPHRASE="short")
    assert "shorter than 16 characters" in mistake(short)
    (tmp_path / "phrase").write_text(PASSPHRASE)
    (tmp_path / "phrase").chmod(0o644)
    shared = command("backup", tmp_path / "b", CALLMART_BACKUP_PASSPHRASE_FILE=str(tmp_path / "phrase"))
    assert "other users can open" in mistake(shared)
    assert [path.name for path in tmp_path.iterdir()] == ["phrase"]
    (tmp_path / "phrase").chmod(0o600)
    done = command("backup", tmp_path / "b", CALLMART_BACKUP_PASSPHRASE_FILE=str(tmp_path / "phrase"))
    assert (done.returncode, "4 keys" in done.stdout) == (0, True), done.stderr


def test_a_lost_or_wrong_key_is_found_when_it_is_backed_up(old: Callmart, tmp_path: Path) -> None:
    path = key_file(old.home, NAMED)
    key = path.read_bytes()
    try:
        path.write_bytes(secrets.token_bytes(32))
        with pytest.raises(UserError, match=f"is not the key of customer {NAMED}'s data"):
            back_up(old, tmp_path / "b")
        path.unlink()
        with pytest.raises(UserError, match=f"the key of customer {NAMED} is missing"):
            back_up(old, tmp_path / "b")
    finally:
        path.write_bytes(key)
        path.chmod(0o600)
    assert list(tmp_path.iterdir()) == []


def test_rows_that_a_policy_hides_are_not_left_out_silently(old: Callmart, tmp_path: Path) -> None:
    with old.superuser() as superuser:
        superuser.execute(
            "create policy hidden on store.queue_interval as restrictive using (customer_id <> 1003)"
        )
    try:
        with pytest.raises(
            UserError, match=r"the policies of store\.queue_interval are not callmart's.*`callmart acc"
        ):
            back_up(old, tmp_path / "b")
        with (
            upgrade_due(old),
            pytest.raises(UserError, match="or run `callmart upgrade` without this backup"),
        ):
            back_up(old, tmp_path / "b")
    finally:
        with old.superuser() as superuser:
            superuser.execute("drop policy hidden on store.queue_interval")


@contextmanager
def upgrade_due(callmart: Callmart) -> Iterator[None]:
    """With functions of another version. Most commands refuse before the upgrade, and say to back up first."""
    (noted,) = callmart.rows("delete from access.applied returning fingerprint")
    try:
        yield
    finally:
        callmart.rows("insert into access.applied values (%s) returning 1", noted["fingerprint"])


def test_what_the_owner_may_not_read_is_named(
    old: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "of_tables", lambda _: {})  # else it can be the first to notice
    with old.superuser() as superuser:
        superuser.execute("alter table ops.to_vacuum owner to current_user")
    try:
        with pytest.raises(UserError, match=r"the owner may not read the table to_vacuum, which belongs to"):
            back_up(old, tmp_path / "b")
    finally:
        with old.superuser() as superuser:
            superuser.execute("alter table ops.to_vacuum owner to callmart_owner")


def test_a_rotation_that_broke_off_is_finished_first(old: Callmart, tmp_path: Path) -> None:
    goes_on = f"`callmart keys rotate --customer {NAMED}` goes on"
    old.rows("insert into ops.rotation (customer_id) values (%s) returning 1", NAMED)
    try:
        with pytest.raises(UserError, match=f"is being rotated; if that broke off, {goes_on}"):
            back_up(old, tmp_path / "b")
        with (
            upgrade_due(old),
            pytest.raises(UserError, match=f"`callmart upgrade` without this backup, and then {goes_on}"),
        ):
            back_up(old, tmp_path / "b")
        old.rows("delete from access.applied returning 1")
        with old.connect() as connection:
            upgrading.upgrade(connection, old.settings, dbt_project.marts(old.settings))
            schema.require(connection, old.settings.time_zone)
            assert rotation.unfinished(connection) == NAMED
    finally:
        old.rows("delete from ops.rotation returning 1")


def test_programs_that_can_t_work_with_a_server_are_not_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that come with callmart are of version 18, and have no TLS."""
    monkeypatch.setenv("PATH", str(tmp_path))
    for version in (160014, 180004):
        assert programs.folder_for(version, encrypted=False) == embedded_server.PROGRAMS
    for version, encrypted, said in ((990001, False, ""), (170006, True, " and can encrypt its connection")):
        major = version // 10000
        with pytest.raises(UserError) as refused:
            programs.folder_for(version, encrypted=encrypted)
        assert str(refused.value) == (
            f"no pg_dump here is as new as PostgreSQL {major}{said}: install PostgreSQL {major}'s client programs "
            f"(Debian's postgresql-client-{major}), so that pg_dump is on PATH"
        )
    for name, does in (("pg_dump", "echo 'pg_dump (PostgreSQL) 99.1'"), ("psql", "exit 2")):
        (tmp_path / name).write_text(f"#!/bin/sh\n{does}\n")
        (tmp_path / name).chmod(0o755)
    assert programs.folder_for(990001, encrypted=True) == tmp_path
    assert programs.folder_for(180000, encrypted=False) == embedded_server.PROGRAMS


# what is refused before anything is touched


def damaged(folder: Path, what: str) -> None:
    file = folder / what
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    file.write_bytes(content)


def rewritten(folder: Path, **values: object) -> None:
    """A manifest that says something else, and has the hashes of the files as they are."""
    file = folder / "manifest.json"
    said = json.loads(file.read_text())
    for name, entry in said["files"].items():
        content = (folder / name).read_bytes()
        entry |= {"size": len(content), "sha256": sha256(content).hexdigest()}
    file.write_text(json.dumps(said | values))


def of_another_key(folder: Path) -> None:
    dump = sha256((folder / "database.dump").read_bytes()).hexdigest()
    keys = sealed.unseal((folder / "keys.sealed").read_bytes(), PASSPHRASE, dump)
    keys[NAMED] = secrets.token_bytes(32)
    (folder / "keys.sealed").write_bytes(sealed.seal(keys, PASSPHRASE, dump))
    rewritten(folder)


def exchanged(folder: Path) -> None:
    with (folder / "database.dump").open("ab") as file:
        file.write(b"drop schema store;")
    rewritten(folder)


WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "no manifest": (
        lambda folder: (folder / "manifest.json").unlink(),
        r"is not a whole backup: it has no manifest\.json; copy the folder again",
    ),
    "half a manifest": (
        lambda folder: os.truncate(folder / "manifest.json", 500),
        r"manifest\.json is damaged; copy the folder again",
    ),
    "no dump": (lambda folder: (folder / "database.dump").unlink(), "was not copied whole; copy it again"),
    "no keys": (lambda folder: (folder / "keys.sealed").unlink(), "was not copied whole; copy it again"),
    "half a dump": (
        lambda folder: os.truncate(folder / "database.dump", 5000),
        r"database\.dump is not as it was written: copy it again",
    ),
    "a bit of the dump": (
        lambda folder: damaged(folder, "database.dump"),
        r"database\.dump is not as it was written: copy it again",
    ),
    "a bit of the keys": (
        lambda folder: damaged(folder, "keys.sealed"),
        r"keys\.sealed is not as it was written: copy it again",
    ),
    "another folder": (shutil.rmtree, "is not a whole backup"),
    "a later format": (lambda folder: rewritten(folder, format=2), "is of a later version of callmart"),
    "no format": (lambda folder: (folder / "manifest.json").write_text("[]"), "is damaged"),
    "other files": (
        lambda folder: rewritten(folder, files={"../x.key": {"size": 1, "sha256": ""}}),
        "is damaged",
    ),
    "a newer version": (
        lambda folder: rewritten(folder, schema_version=9999, callmart="9.0.0"),
        "is of a newer version of callmart: install 9.0.0, or one after it, and restore it with that",
    ),
    "another time zone": (
        lambda folder: rewritten(folder, time_zone="Asia/Tokyo"),
        "was made with time_zone = Asia/Tokyo, and the setting is Europe/Amsterdam",
    ),
    "a key that does not fit": (
        of_another_key,
        f"the key of customer {NAMED} in this backup is not the key of",
    ),
    "another dump": (exchanged, "its database was exchanged"),
}


@pytest.mark.parametrize(("wrong", "said"), WRONG.values(), ids=WRONG)
def test_a_backup_that_is_not_whole_or_does_not_fit_is_refused(
    old: Callmart, copied: Path, wrong: Callable[[Path], object], said: str
) -> None:
    wrong(copied)
    with pytest.raises(UserError, match=said) as refused:
        restore.open_backup(copied, old.settings)
    assert "\n" not in str(refused.value)


def test_another_passphrase_opens_nothing(old: Callmart, made: Path) -> None:
    other = with_settings(old, backup_passphrase=SecretStr("another passphrase"))
    with pytest.raises(UserError, match=r"can't be decrypted: give the passphrase that it was made with"):
        restore.open_backup(made, other.settings)


def test_a_refused_restore_makes_no_server(made: Path, tmp_path: Path) -> None:
    command = command_of(tmp_path / "home")
    said = mistake(command("restore", made, CALLMART_BACKUP_PASSPHRASE="another passphrase"))
    assert "can't be decrypted" in said
    assert not (tmp_path / "home").exists()
    assert "name the folder of a backup" in mistake(command("restore"))


# where a restore is refused


def test_over_data_nothing_is_restored(old: Callmart, made: Path) -> None:
    command = command_of(old.home)
    before = old.rows("select count(*) from ops.audit_log")
    said = mistake(command("restore", made, CALLMART_BACKUP_PASSPHRASE=PASSPHRASE))
    assert "already holds callmart's data: restore into an empty database" in said
    assert old.rows("select count(*) from ops.audit_log") == before


@pytest.mark.parametrize("name", [f"keys/customer_{NAMED}.key", "keys/customer_7.key", "installation"])
def test_a_home_with_keys_or_a_publication_is_left_alone(
    make_callmart: Callable[[], Callmart], made: Path, name: str
) -> None:
    other = with_settings(make_callmart())
    opened = restore.open_backup(made, other.settings)
    (other.home / name).parent.mkdir(exist_ok=True)
    (other.home / name).write_text("of somebody else")
    with other.connect() as connection, pytest.raises(UserError, match="empty CALLMART_HOME"):
        restore.restore(connection, other.settings, opened, None, take_over=False)
    assert (other.home / name).read_text() == "of somebody else"
    assert other.rows("select from pg_namespace where nspname in ('registry', 'callmart_restoring')") == []


def test_a_dump_that_breaks_off_loads_nothing(make_callmart: Callable[[], Callmart], copied: Path) -> None:
    other = with_settings(make_callmart())
    os.truncate(copied / "database.dump", (copied / "database.dump").stat().st_size - 100)
    with pytest.raises(UserError, match="the database was not restored"):
        programs.load(
            other.settings,
            embedded_server.PROGRAMS,
            embedded_server.PROGRAMS,
            180000,
            copied / "database.dump",
            (),
        )
    assert other.rows("select from pg_namespace where nspname = 'registry'") == []


def test_the_day_of_the_manifest_is_that_on_which_callmart_last_worked(old: Callmart, made: Path) -> None:
    with old.connect() as connection:
        assert manifest.read(made).day == clock.last_day(connection) is not None
