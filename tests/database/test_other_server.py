"""The chain on a server that is not ours: another version of PostgreSQL, with passwords, by CALLMART_DSN.

Twice: in a database that is the owner's own, and in one of somebody else's in which it may only make schemas.
"""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from callmart.access import drift, logins, roles
from callmart.audit import attempts, generated, inference, scratch
from callmart.audit.scene import attackers, scene_of
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.base.settings import Privacy
from callmart.database import server
from callmart.extract import extract
from callmart.extract.drafts import Unproven
from callmart.opening.opening import Drifted, open_build
from callmart.privacy import procedure
from callmart_home import Callmart
from catalogue import unprotected
from centre import DETAILED, NAMED, NONE, REGISTRY, STANDARD, WITH_DATA, agent_of, play, queue_of
from commands import Command, command_of
from erasures import do, left, of, prove
from other_server import OtherServer, running, settings_by, wheel
from requests_of_persons import choose_password, password_of
from today import YESTERDAY

pytestmark = pytest.mark.thorough

OWNER = "callmart_owner"
OWN, LENT = "callmart", "reporting"

Make = Callable[[str], Callmart]


@pytest.fixture(scope="module")
def cluster() -> Iterator[OtherServer]:
    with (
        tempfile.TemporaryDirectory(prefix="callmart-tests-") as folder,
        running(Path(folder), wheel()) as other,
    ):
        yield other


@pytest.fixture(scope="module")
def make(cluster: OtherServer) -> Iterator[Make]:
    """Makes a callmart in a database of this name, which there must be; all have the same owner."""
    password = cluster.owner(OWNER)
    with tempfile.TemporaryDirectory(prefix="callmart-tests-") as folder:

        def in_database(name: str) -> Callmart:
            return Callmart(settings_by(Path(folder) / name, cluster.dsn(OWNER, password, name)))

        yield in_database


@pytest.fixture(scope="module")
def own(cluster: OtherServer, make: Make, tmp_path_factory: pytest.TempPathFactory) -> Callmart:
    """Three customers with open marts, in a database of the owner's."""
    cluster.database(OWN, OWNER)
    callmart = administered(cluster, make(OWN), tmp_path_factory.mktemp(OWN))
    callmart.build_unchecked()
    return callmart


@pytest.fixture(scope="module")
def lent(cluster: OtherServer, make: Make, tmp_path_factory: pytest.TempPathFactory) -> Callmart:
    """The same in a database of somebody else's. Days are checked here, where the owner may do least."""
    cluster.database(LENT, "postgres")
    with cluster.superuser() as postgres:
        postgres.execute(
            sql.SQL("grant create on database {} to {}").format(sql.Identifier(LENT), sql.Identifier(OWNER))
        )
    callmart = administered(cluster, make(LENT), tmp_path_factory.mktemp(LENT))
    ran = callmart.build_and_open()
    assert (ran.held_back_days, ran.opened_days > 0, ran.problems) == (0, True, [])
    return callmart


def administered(cluster: OtherServer, callmart: Callmart, folder: Path) -> Callmart:
    """Three customers of whom nothing is open yet: first the administrator has to do something."""
    play(callmart, folder)
    with callmart.connect() as owner:
        # Two kinds of functions are everybody's, and there is no event trigger.
        assert len(list(drift.of_server(owner))) == 3
        assert [one for one in drift.find(owner, None) if not one.server] == []
    with callmart.connect() as owner, pytest.raises(Drifted, match=r"administrator\.sql"):
        open_build(owner, callmart.settings)
    with callmart.connect() as owner:
        cluster.administer(owner.info.dbname)
    return callmart


@pytest.fixture(scope="module", params=["own", "lent"])
def away(request: pytest.FixtureRequest) -> Callmart:
    """One after the other."""
    callmart: Callmart = request.getfixturevalue(request.param)
    return callmart


@pytest.fixture(scope="module")
def embedded(played: Callmart) -> Callmart:
    """The same on the server that is ours."""
    return played


def test_it_is_another_version_and_trusts_nobody(cluster: OtherServer, away: Callmart) -> None:
    with away.connect() as owner:
        assert owner.info.server_version // 10000 == 16
    with cluster.superuser() as postgres:
        rules = postgres.execute("select distinct auth_method from pg_hba_file_rules").fetchall()
    assert rules == [("scram-sha-256",)]


# -- who sees what -------------------------------------------------------------------------------------------------


def test_customers_see_their_own_rows_of_the_marts_of_their_contract(away: Callmart) -> None:
    marts = {"mart.queue_interval": WITH_DATA, "mart.agent_day": DETAILED, "mart.agent": DETAILED}
    with away.connect() as owner:
        assert unprotected(owner) == []
        for mart, customers in marts.items():
            assert ids(owner, mart.replace("mart.", "store.")) == set(customers)
    for customer in WITH_DATA:
        with away.connect(customer) as connection:
            for mart, customers in marts.items():
                assert ids(connection, mart) == ({customer} if customer in customers else None), mart


def test_who_leaves_is_out_whatever_its_sessions_hold(away: Callmart) -> None:
    """One has its role open, one reads, and neither would ever end."""
    with away.connect() as owner:
        role = roles.customer_role(owner.info.dbname, STANDARD)
        registry = (away.home / "registry.yml").read_text()
    uri = logins.login_uri(away.settings, role)
    with psycopg.connect(uri) as changing, psycopg.connect(uri) as reading:
        for session in changing, reading:
            session.execute("set transaction read write")
            session.execute("set idle_in_transaction_session_timeout = 0")
        changing.execute("alter role current_user set work_mem = '1MB'")
        reading.execute("select from mart.queue_interval")
        away.apply(registry.replace("contracts: [{option: standard", "contracts: [{option: none"))
        for session in changing, reading:
            with pytest.raises(psycopg.OperationalError):
                session.execute("select 1")
    assert not away.rows("select from pg_roles where rolname = %s", role)
    away.apply(registry)
    assert away.rows("select from mart.queue_interval", customer_id=STANDARD)


def ids(connection: psycopg.Connection, mart: str) -> set[int] | None:
    """Whose rows a login sees; none where it is refused."""
    try:
        with connection.transaction():
            return {id for (id,) in connection.execute(f"select customer_id from {mart}")}
    except psycopg.errors.InsufficientPrivilege:
        return None


def test_the_attacks_fail(away: Callmart) -> None:
    """The whole list as every login, where the owner shows that there is something to get."""
    # Autocommit: who keeps a lock would have the others wait.
    with server.connect(away.settings, autocommit=True) as owner:
        scene = scene_of(owner, away.settings)
        choose_password(away)
        everybody = attackers(scene)
        assert sum(attacker.customer for attacker in everybody) == len(WITH_DATA)
        breaches, unproven = [], []
        controls: dict[tuple[str, str], attempts.Answer] = {}  # many attackers have the same
        for attacker in everybody:
            uri, password = logins.login_uri(away.settings, attacker.role), password_of(attacker.role)
            with psycopg.connect(uri, autocommit=True, password=password) as connection:
                connection.execute("set default_transaction_read_only = off")
                for attempt in attempts.attempts(scene, attacker):
                    what = (attacker.name, attempt.attack.name, attempt.place)
                    if not attempts.make(connection, attempt.sql, attempt.attack).withstood(attempt):
                        breaches.append(what)
                    key = attempt.attack.via, attempt.control
                    control = controls.get(key) or attempts.make(owner, attempt.control, attempt.attack)
                    controls[key] = control
                    if not control.absent() and not control.proves(attempt):
                        unproven.append(what)
        assert (breaches, unproven) == ([], [])


@pytest.mark.parametrize("away", ["own"], indirect=True)
def test_nothing_can_be_inferred(away: Callmart, seed: int) -> None:
    """By plans, by estimates, by time, and by questions made at random; the controls are of this version, too."""
    with server.connect(away.settings, autocommit=True) as owner:
        scene = scene_of(owner, away.settings)
        checks = inference.checks(owner, away.settings, scene, quietly)
        assert [check.outcome for check in checks] == ["holds"] * 3
        with generated.places(owner, away.settings) as places:
            outcome = generated.put(seed, 500, places)
        assert (outcome.found, outcome.counts["silent"] > 250) == ([], True), seed
        for protection in scratch.LEAKING.values():
            assert generated.control(owner, protection, seed, 500).found, seed


def may(connection: psycopg.Connection, statement: str) -> bool:
    """Whether a login has the privilege that a statement asks for."""
    try:
        with connection.transaction(force_rollback=True):
            connection.execute("set local transaction_read_only = off")
            connection.execute(statement)
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


SAME = {
    "queue_interval": "select * from store.queue_interval order by customer_id, interval_start",
    # Of an agent both have another key, and so another pseudonym.
    "agent_day": "select (to_jsonb(d) - 'agent_key')::text as day from store.agent_day as d order by 1",
    "agent": "select customer_id, count(*), count(distinct agent) from store.agent group by 1 order by 1",
}


@pytest.mark.parametrize("mart", SAME)
def test_the_marts_are_those_of_the_embedded_server(away: Callmart, embedded: Callmart, mart: str) -> None:
    """Whatever a server's own time zone and style of dates are."""
    ours = embedded.rows(SAME[mart])
    assert len(ours) > 1
    assert away.rows(SAME[mart]) == ours


# -- the stages ----------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("away", ["own"], indirect=True)
def test_the_command_alone_lands_with_the_dsn_in_the_environment(away: Callmart, tmp_path: Path) -> None:
    (tmp_path / "late.csv").write_text(
        "customer_id,platform,event,occurred_at,call_id,queue,reason\n"
        f"{STANDARD},vcloud,queue_joined,{YESTERDAY}T11:00:00Z,late,{queue_of(STANDARD)},\n"
        f"{STANDARD},vcloud,queue_left,{YESTERDAY}T11:00:09Z,late,{queue_of(STANDARD)},abandoned\n"
    )
    assert away.settings.dsn is not None
    dsn = away.settings.dsn.get_secret_value()
    offered = "select sum(offered) from mart.queue_interval"
    away.build_and_open()  # what other tests have left to be built
    before = away.rows(offered, customer_id=STANDARD)[0]["sum"]
    command: Command = command_of(away.home)
    done = command("land", tmp_path / "late.csv", CALLMART_DSN=dsn)
    assert done.returncode == 0, done.stderr
    assert away.build_and_open().opened_days == 1
    assert away.rows(offered, customer_id=STANDARD) == [{"sum": before + 1}]
    assert not (away.home / "postgres").exists()


def test_every_customer_gets_its_extract(away: Callmart) -> None:
    with away.connect() as owner:
        files = extract.extract(owner, away.settings, quietly)
    assert not [failure for failure in files if isinstance(failure, Unproven)]
    assert {(file.customer_id, file.group) for file in files if isinstance(file, extract.Extract)} == {
        *((customer, group) for customer in WITH_DATA for group in ("queue", "line")),
        *((customer, "agent") for customer in DETAILED),
    }


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize("away", ["own"], indirect=True)
def test_whoever_is_erased_is_found_by_no_query_and_its_operator_attests_the_rest(
    away: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (away.home / "registry.yml").unlink(missing_ok=True)
    with away.connect() as owner, procedure.working(owner, away.settings) as work:
        person = of(work, "agent", agent_of(NAMED, 2))
        with pytest.raises(UserError, match=r"privacy\.ledger_copy"):
            do(work, person, 1)
        monkeypatch.setattr(away.settings, "privacy", Privacy(ledger_copy=tmp_path / "ledger"))
        key = min(person.keys)
        assert dumped(owner, key)
        do(work, person, 1)
        with work.connection.transaction():
            owner.execute(f"comment on table raw.file is '{agent_of(NAMED, 2)}'")
        assert left(prove(work, person, 1)) == {"server files": {"catalogue": 1}}
        with work.connection.transaction():
            owner.execute("comment on table raw.file is null")
        proofs = prove(work, person, 1)
        assert left(proofs) == {}
        assert proofs["server files"].to_attest
        assert not dumped(owner, key)


def dumped(owner: psycopg.Connection, word: str) -> set[str]:
    """The tables, months and all, of which a row has a word as its text."""
    names = owner.execute(
        "select oid::regclass::text from pg_class where relkind = 'r' and relnamespace in"
        " (select oid from pg_namespace where nspname !~ '^pg_' and nspname <> 'information_schema')"
    ).fetchall()
    query = "select exists (select from {} as t where strpos(t::text, %s) > 0)"
    return {
        name for (name,) in names if owner.execute(query.format(name).encode(), [word]).fetchone() == (True,)
    }


def test_a_customer_that_leaves_loses_its_login_at_once(away: Callmart) -> None:
    role = roles.customer_role(away.connect().info.dbname, STANDARD)
    there = "select 1 from pg_roles where rolname = %s"
    with away.connect(STANDARD) as connection:
        assert ids(connection, "mart.queue_interval") == {STANDARD}
        away.apply(REGISTRY.replace(f"id: {STANDARD}\n", f"id: {NONE + 1}\n"))
        assert away.rows(there, role) == []
    away.apply(REGISTRY)
    assert away.rows(there, role) != []
    assert away.rows("select distinct customer_id from mart.queue_interval", customer_id=DETAILED[0]) == [
        {"customer_id": DETAILED[0]}
    ]


# -- other databases of the cluster --------------------------------------------------------------------------------

ROLES = """
select
    r.oid::bigint, r.rolname, r.rolconfig, m.roleid::bigint, m.member::bigint, m.grantor::bigint,
    m.inherit_option, m.set_option
from pg_roles as r left join pg_auth_members as m on m.member = r.oid or m.roleid = r.oid
where r.rolname = any(%s) order by 1, 4, 5, 6 -- several can have granted the same
"""
ACLS = """
select oid::regclass::text, relacl::text from pg_class
where relnamespace in ('store'::regnamespace, 'mart'::regnamespace) order by 1
"""


def standing(callmart: Callmart) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """The roles of a callmart's own database with their memberships, and who may do what with its marts."""
    with callmart.connect() as owner:
        database = owner.info.dbname
        names = logins.known(owner) + roles.showing_roles(database)
        names += [roles.group_role(database, group) for group in roles.groups()]
    found = callmart.rows(ROLES, names), callmart.rows(ACLS)
    assert {row["rolname"] for row in found[0]} == set(names)
    assert found[1]
    return found


@pytest.mark.parametrize("name", ["callmart_customer", "callmart_customer_1001", "call", "reporting_reads"])
def test_what_is_done_in_another_database_changes_nothing_here(
    cluster: OtherServer, make: Make, own: Callmart, lent: Callmart, name: str
) -> None:
    """Its name begins like one of ours or ours like its; it has the same customers, and the same owner."""
    before = standing(own), standing(lent)
    cluster.database(name, OWNER)
    try:
        other = make(name)
        other.apply(REGISTRY)
        with other.connect(DETAILED[0]) as customer:
            assert customer.info.user == f"{name}_customer_{DETAILED[0]}"
        assert (standing(own), standing(lent)) == before
        other.apply("customers: []\n")
        assert other.rows("select 1 from pg_roles where rolname ~ %s", f"^{name}_customer_[0-9]+$") == []
        assert (standing(own), standing(lent)) == before
        for here in own, lent:
            for customer_id in WITH_DATA:
                assert here.rows(
                    "select distinct customer_id from mart.queue_interval", customer_id=customer_id
                )
    finally:
        with cluster.superuser() as postgres:
            postgres.execute(sql.SQL("drop database {} with (force)").format(sql.Identifier(name)))


def test_an_owner_of_another_database_can_take_and_give_nothing_here(
    cluster: OtherServer, away: Callmart
) -> None:
    database = away.connect().info.dbname
    password = cluster.owner("stranger")
    cluster.database("strange", "stranger")
    customer, group = roles.customer_role(database, DETAILED[0]), roles.group_role(database, "queue")
    before = standing(away)
    try:
        with psycopg.connect(cluster.dsn("stranger", password, "strange")) as stranger:
            for statement in (
                f"revoke {group} from {customer}",
                f"grant {group} to stranger",
                f"grant {customer} to stranger",
                f"alter role {customer} password 'mine'",
                f"drop role {customer}",
                f"set role {group}",
                f"set role {roles.showing_role(database, 'queue')}",
            ):
                assert not may(stranger, statement), statement
            assert may(stranger, "create role strange_customer_1")
    finally:
        with cluster.superuser() as postgres:
            postgres.execute("drop database strange")
            postgres.execute("drop role stranger")
    assert standing(away) == before
