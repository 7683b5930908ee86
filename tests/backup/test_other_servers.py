"""From the embedded server to one of another version, owner and database name, and on from there.

PostgreSQL 16 comes with pip. `make test-external` does the same with Debian's PostgreSQL 17 over TLS.
"""

import os
import shlex
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from backups import PASSPHRASE, Runbook, back_up, content, restored, with_settings
from callmart.access import drift, logins, roles
from callmart.backup import manifest, programs
from callmart.base.settings import Privacy
from callmart.database import embedded_server, ledger_files
from callmart.declarations import dbt_project
from callmart.publish import installation
from callmart_home import Callmart
from centre import DETAILED, WITH_DATA, queue_of
from other_server import OtherServer, running, settings_by, wheel

pytestmark = pytest.mark.thorough

DEBIAN = Path("/usr/lib/postgresql/17/bin")
OWNER = "somebody"


@pytest.fixture(scope="module", params=[16, pytest.param(17, marks=pytest.mark.external)])
def cluster(request: pytest.FixtureRequest) -> Iterator[OtherServer]:
    if request.param == 17 and not (DEBIAN / "initdb").exists():
        pytest.fail("there is no PostgreSQL 17 here: install Debian's package postgresql-17")
    found, tls = (wheel(), False) if request.param == 16 else (DEBIAN, True)
    with (
        pytest.MonkeyPatch.context() as patch,
        tempfile.TemporaryDirectory(prefix="callmart-tests-") as folder,
        running(Path(folder), found, tls=tls) as other,
    ):
        if tls:  # the programs that come with callmart have no TLS
            patch.setenv("PATH", f"{DEBIAN}:{os.environ['PATH']}")
        yield other


@pytest.fixture(scope="module")
def password(cluster: OtherServer) -> str:
    """The owner's."""
    return cluster.owner(OWNER)


@pytest.fixture(scope="module")
def moved(
    cluster: OtherServer, password: str, played: Callmart, tmp_path_factory: pytest.TempPathFactory
) -> Callmart:
    """What was backed up on the embedded server, restored as the runbook says."""
    folder = tmp_path_factory.mktemp("backups") / "embedded"
    callmart = empty(cluster, password, "reporting", tmp_path_factory.mktemp("moved"))
    assert callmart.settings.dsn is not None and callmart.settings.privacy.ledger_copy is not None
    shutil.copy(ledger_files.in_home(played.settings), callmart.settings.privacy.ledger_copy)
    passphrase = {"CALLMART_BACKUP_PASSPHRASE": PASSPHRASE}
    there = passphrase | {
        "CALLMART_DSN": callmart.settings.dsn.get_secret_value(),
        "CALLMART_PRIVACY__LEDGER_COPY": str(callmart.settings.privacy.ledger_copy),
    }
    backing_up, restoring = (Runbook(folder, folder, environment) for environment in (passphrase, there))
    for done in (
        backing_up.run(played.home, backing_up.to_back_up),
        restoring.run(callmart.home, restoring.to_restore[0]),
        restoring.run(callmart.home, restoring.to_take_over[0]),
    ):
        assert done.returncode == 0, done.stderr
    return callmart


def empty(
    cluster: OtherServer, password: str, database: str, home: Path, privacy: Privacy | None = None
) -> Callmart:
    """A callmart whose home and database hold nothing. With a DSN the ledger has a copy."""
    cluster.database(database, OWNER)
    cluster.administer(database)
    privacy = privacy or Privacy(ledger_copy=home.with_name(f"ledger-of-{database}"))
    return with_settings(Callmart(settings_by(home, cluster.dsn(OWNER, password, database))), privacy=privacy)


def test_it_has_every_row_and_every_right(played: Callmart, moved: Callmart) -> None:
    assert content(moved) == content(played)
    with moved.connect() as owner:
        assert (owner.info.user, owner.info.dbname) == (OWNER, "reporting")
        assert owner.info.server_version < 180000
        assert drift.find(owner, dbt_project.marts(moved.settings)) == []
        assert logins.refused(owner, moved.settings) == []
    for customer in WITH_DATA:
        shown = moved.rows("select distinct customer_id, queue from mart.queue_day", customer_id=customer)
        assert shown == [{"customer_id": customer, "queue": queue_of(customer)}]
    assert moved.rows("select from mart.agent", customer_id=DETAILED[0])
    assert not (moved.home / "postgres").exists()
    assert installation.takes_over(moved.home)


def test_no_password_is_told_to_another_program(
    moved: Callmart,
    password: str,
    cluster: OtherServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not on the command line and not in the environment, where others and crash reports can see it."""
    assert moved.settings.dsn is not None
    monkeypatch.setenv("CALLMART_DSN", moved.settings.dsn.get_secret_value())
    monkeypatch.setenv("CALLMART_BACKUP_PASSPHRASE", PASSPHRASE)
    real = programs.folder_for(170000, encrypted=cluster.certificate is not None)
    told = tmp_path / "told"
    (tmp_path / "bin").mkdir()
    for name in ("pg_dump", "pg_restore", "psql"):
        (tmp_path / "bin" / name).write_text(
            f'#!/bin/sh\n{{ echo {name} "$@"; env; }} >> {shlex.quote(str(told))}\n'
            f'exec {shlex.quote(str((embedded_server.PROGRAMS if name == "pg_restore" else real) / name))} "$@"\n'
        )
        (tmp_path / "bin" / name).chmod(0o755)
    monkeypatch.setattr(programs, "folder_for", lambda version, encrypted: tmp_path / "bin")

    back_up(moved, tmp_path / "b")
    again = empty(cluster, password, "again", tmp_path / "home", moved.settings.privacy)
    assert restored(again, tmp_path / "b").problems == []
    assert content(again) == content(moved)
    words = told.read_text()
    assert all(f"\n{name} " in f"\n{words}" for name in ("pg_dump", "pg_restore", "psql"))
    assert f"postgresql://{OWNER}@/reporting" in words
    for secret in (password, cluster.dsn(OWNER, password, "").split("@")[0].split(":")[-1], PASSPHRASE):
        assert secret not in words
    assert "CALLMART_" not in words


def test_each_database_has_roles_of_its_own(moved: Callmart, tmp_path: Path) -> None:
    with moved.connect() as owner:
        first, second = (roles.existing(owner, name) for name in ("reporting", "again"))
    assert {role.removeprefix("reporting_") for role in first} == {
        role.removeprefix("again_") for role in second
    }
    back_up(moved, tmp_path / "b")
    assert manifest.read(tmp_path / "b").postgresql < 180000
