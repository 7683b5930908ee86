"""The walls on PostgreSQL 17 of Debian, over TLS, as an owner that is no superuser.

`make test-external` runs it.
"""

import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from callmart.access import memberships
from callmart.audit import attempts, generated, inference, scratch
from callmart.database import server
from callmart.declarations import dbt_project
from callmart_home import Callmart, ignore_step
from centre import WITH_DATA, play
from other_server import OtherServer, running, settings_by

PROGRAMS = Path("/usr/lib/postgresql/17/bin")
OWNER = NAME = "callmart"

pytestmark = pytest.mark.external


@pytest.fixture(scope="module")
def cluster() -> Iterator[OtherServer]:
    if not (PROGRAMS / "initdb").exists():
        pytest.fail("there is no PostgreSQL 17 here: install Debian's package postgresql-17")
    with (
        tempfile.TemporaryDirectory(prefix="callmart-tests-") as folder,
        running(Path(folder), PROGRAMS, tls=True) as other,
    ):
        yield other


@pytest.fixture(scope="module")
def away(cluster: OtherServer, tmp_path_factory: pytest.TempPathFactory) -> Callmart:
    """Three customers with open marts."""
    password = cluster.owner(OWNER)
    cluster.database(NAME, OWNER)
    cluster.administer(NAME)
    callmart = Callmart(settings_by(tmp_path_factory.mktemp("home"), cluster.dsn(OWNER, password, NAME)))
    play(callmart, tmp_path_factory.mktemp("landed"))
    callmart.build_unchecked()
    return callmart


def test_it_is_17_over_tls_and_the_owner_is_no_superuser(away: Callmart) -> None:
    with away.connect() as owner:
        assert owner.info.server_version // 10000 == 17
        encrypted = owner.execute(
            "select ssl, rolsuper from pg_stat_ssl, pg_roles where pid = pg_backend_pid() and rolname = current_user"
        ).fetchall()
    assert encrypted == [(True, False)]


def test_nothing_can_be_inferred(away: Callmart) -> None:
    with server.connect(away.settings, autocommit=True) as owner:
        scene = attempts.scene(owner, away.settings)
        checks = list(inference.checks(owner, away.settings, scene, ignore_step))
        assert [check.outcome for check in checks] == ["holds"] * 3, checks


def test_no_question_made_at_random_tells_anything(away: Callmart, seed: int) -> None:
    with server.connect(away.settings, autocommit=True) as owner:
        with generated.places(owner, away.settings) as places:
            outcome = generated.put(seed, 1000, places)
        assert (outcome.found, outcome.counts["silent"] > 500) == ([], True), seed
        for protection in scratch.LEAKING.values():
            assert generated.control(owner, protection, seed, 1000).found, seed


def test_samples_of_before_are_forgotten(away: Callmart, cluster: OtherServer) -> None:
    """Before PostgreSQL 18 a column lets go of its sample only when its type changes, to its own."""
    sampled = "select count(*) from pg_stats where schemaname = 'store' and attname = 'queue'"
    with cluster.superuser(NAME) as superuser:
        for target in (100, 0):
            superuser.execute(f"alter table store.queue_interval alter queue set statistics {target}")
            for (month,) in superuser.execute(
                "select inhrelid::regclass::text from pg_inherits where inhparent = 'store.queue_interval'::regclass"
            ).fetchall():
                superuser.execute(f"alter table {month} alter queue set statistics {target}")
            superuser.execute("analyze store.queue_interval")
        assert superuser.execute(sampled).fetchall() != [(0,)]
        with away.connect() as owner:
            memberships.apply(owner, away.settings, dbt_project.marts(away.settings))
        assert superuser.execute(sampled).fetchall() == [(0,)]
        before = "select count(*) from mart.queue_interval"
        assert all(away.rows(before, customer_id=customer)[0]["count"] for customer in WITH_DATA)


def test_a_server_without_tls_is_refused(away: Callmart, cluster: OtherServer) -> None:
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(cluster.dsn("postgres", cluster.password, NAME).replace("verify-full", "disable"))
