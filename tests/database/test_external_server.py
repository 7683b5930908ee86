"""The walls on PostgreSQL 17 of Debian, over TLS, as an owner that is no superuser; and a customer that reads by ODBC.

`make test-external` runs it.
"""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from callmart.access import logins, memberships, roles
from callmart.audit import generated, inference, scratch
from callmart.audit.scene import scene_of
from callmart.base.progress import quietly
from callmart.database import server
from callmart.declarations import dbt_project
from callmart_home import Callmart
from centre import STANDARD, WITH_DATA, play, queue_of
from other_server import HOST, OtherServer, running, settings_by

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
        scene = scene_of(owner, away.settings)
        checks = list(inference.checks(owner, away.settings, scene, quietly))
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


# -- by ODBC, as docs/reports.md says -------------------------------------------------------------------------------


def by_odbc(away: Callmart, cluster: OtherServer, customer: int, query: str, **changed: str) -> list[str]:
    """The lines of an answer, with | between columns. Raises ConnectionError if the server is not let in, or doesn't
    let us in.
    """
    if not (isql := shutil.which("isql")):
        pytest.fail("there is no ODBC here: install Debian's packages odbc-postgresql and unixodbc")
    login = roles.customer_role(NAME, customer)
    parts = {
        "Driver": "PostgreSQL Unicode",
        "Server": HOST,
        "Port": str(cluster.port),
        "Database": NAME,
        "SSLmode": "verify-full",
        "pqopt": f"{{sslrootcert={cluster.certificate}}}",
        "Uid": login,
        "Pwd": logins.password(away.settings, login),
    } | changed
    address = ";".join(f"{name}={value}" for name, value in parts.items())
    done = subprocess.run(
        [isql, "-k", address, "-b", "-d|"], input=f"{query}\n", capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise ConnectionError("isql does not connect")  # what it says has the password
    return done.stdout.splitlines()


@pytest.mark.parametrize("customer", WITH_DATA)
def test_a_customer_reads_its_own_rows_by_odbc(away: Callmart, cluster: OtherServer, customer: int) -> None:
    query = "select customer_id, queue, call_date, sum(offered) from {}.queue_interval group by 1, 2, 3 order by 3, 2"
    lines = by_odbc(away, cluster, customer, query.format("mart"))
    all_rows = [tuple(map(str, row.values())) for row in away.rows(query.format("store"))]
    assert lines == ["|".join(row) for row in all_rows if row[0] == str(customer)]
    others = set(WITH_DATA) - {customer}
    assert {row[0] for row in all_rows} >= set(map(str, others)), "the control: there are rows of others"
    assert not any(queue_of(other) in line for line in lines for other in others)
    assert by_odbc(away, cluster, customer, "select ssl from pg_stat_ssl where pid = pg_backend_pid()") == [
        "1"
    ]


@pytest.mark.parametrize(
    "changed", [{"SSLmode": "disable"}, {"pqopt": "{sslrootcert=/etc/hostname}"}, {"Pwd": "wrong"}]
)
def test_odbc_without_tls_certificate_or_password_is_refused(
    away: Callmart, cluster: OtherServer, changed: dict[str, str]
) -> None:
    with pytest.raises(ConnectionError):
        by_odbc(away, cluster, STANDARD, "select 1", **changed)
    assert by_odbc(away, cluster, STANDARD, "select 1") == ["1"], "the control"


def test_a_server_without_tls_is_refused(away: Callmart, cluster: OtherServer) -> None:
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(cluster.dsn("postgres", cluster.password, NAME).replace("verify-full", "disable"))
