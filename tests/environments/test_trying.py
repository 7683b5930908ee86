"""An environment holds what was chosen and nothing else, lets nobody in, goes on after a kill, and ends."""

import dataclasses
import json
import shutil
from collections.abc import Iterator
from datetime import date, timedelta
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest

from callmart.access import logins, roles, sessions
from callmart.audit import environments as audit
from callmart.audit import limits
from callmart.base.errors import UserError
from callmart.base.keys import key_file, keyed
from callmart.base.progress import quietly
from callmart.database import clock, embedded_server, ledger, ledger_files, lock, server
from callmart.database.tombstones import secret_of, tombstone
from callmart.declarations import checking, dbt_project
from callmart.declarations.mart import reach
from callmart.environments import comparing, copying, databases, known, making
from callmart.environments.known import Environment
from callmart.environments.places import Environments
from callmart.operations import stages
from callmart.privacy import correcting, procedure
from callmart.retention import copies
from callmart.retention import environments as retention
from callmart.validate.suites import Validated
from callmart_home import Callmart
from centre import ANONYMOUS, DAYS, NAMED, NONE, STANDARD, agent_of
from erasing import key_of, person
from requests_of_persons import Command
from tried import ENVIRONMENT

pytestmark = [pytest.mark.thorough, pytest.mark.server]

BOTH = (NAMED, STANDARD)


@pytest.fixture
def ledger_as_before(tried: Callmart, owner: psycopg.Connection) -> Iterator[None]:
    """Afterwards the ledger is as before, and the environment `another` is gone."""
    before = ledger_files.in_home(tried.settings).read_bytes()
    yield
    owner.rollback()
    databases.drop(owner, tried.settings, "another")
    for table in ("correction", "secret", "renewed_tombstone", "tombstone", "ledger_entry"):
        owner.execute(f"delete from privacy.{table}".encode())
    owner.commit()
    ledger_files.in_home(tried.settings).write_bytes(before)


@pytest.fixture
def unbuilt(tried: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    """Environments get their rows, and are not built. dbt reads the project once, not for each."""
    marts = dbt_project.marts(tried.settings)
    monkeypatch.setattr(dbt_project, "marts", lambda settings: marts)
    monkeypatch.setattr(making, "_finish", lambda connection, settings, environment, on_step: environment)


@pytest.fixture
def planted(tried: Callmart, owner: psycopg.Connection) -> Iterator[Environment]:
    """An environment that only says what it holds."""
    environment = Environment(name="planted", customers=BOTH, ends_on=clock.today(owner, tried.settings))
    owner.commit()
    databases.create(owner, environment)
    yield environment
    databases.drop(owner, tried.settings, "planted")


def make(
    tried: Callmart,
    owner: psycopg.Connection,
    name: str = "another",
    customers: tuple[int, ...] = BOTH,
    days: int = 2,
) -> Any:
    """As the command makes it."""
    owner.rollback()
    return making.make(owner, tried.settings, name, customers, days, quietly)


def names(owner: psycopg.Connection) -> list[str]:
    owner.rollback()
    return [environment.name for environment in known.all_of(owner)]


# -- what it holds -----------------------------------------------------------------------------------------------------


def test_it_holds_the_chosen_customers_and_days_and_no_address(
    tried: Callmart, owner: psycopg.Connection, own: psycopg.Connection
) -> None:
    assert str(known.find(owner, ENVIRONMENT)).startswith(
        f"{ENVIRONMENT}: customer {NAMED}, {STANDARD}, {DAYS[1]} to {DAYS[2]}, ready, until "
    )
    for table in ("raw.event", "raw.call", "store.queue_interval", "registry.customer", "ops.opened_day"):
        found = own.execute(f"select distinct customer_id from {table} order by 1".encode()).fetchall()
        assert found == [(NAMED,), (STANDARD,)], table
    assert own.execute("select distinct call_date from store.queue_interval order by 1").fetchall() == [
        (DAYS[1],),
        (DAYS[2],),
    ]
    for table in ("contact", "recipient", "mailed", "report_use"):
        assert own.execute(f"select count(*) from registry.{table}".encode()).fetchone() == (0,), table
    assert own.execute("select count(*) from privacy.request").fetchone() == (0,)
    assert owner.execute("select count(*) from registry.recipient").fetchone() != (0,), "the control"


def test_who_is_left_out_here_is_left_out_there_and_a_name_without_events_stays_here(
    tried: Callmart, owner: psycopg.Connection, unbuilt: None, ledger_as_before: None
) -> None:
    """The ledger goes along, so its customers are open there and the agent is not shown."""
    owner.execute(
        "insert into registry.agent (customer_id, agent_key, agent, name) values (%s, 'nobody', 'n', 'N. Obody')",
        [NAMED],
    )
    ((agent,),) = owner.execute(
        "select min(agent_key) from raw.event where customer_id = %s", [NAMED]
    ).fetchall()
    mark = tombstone(secret_of(key_file(tried.home, NAMED).read_bytes()), "objector", agent)
    ledger.append(
        owner, tried.settings, NAMED, "agent", clock.now(owner), {"objector": [mark]}, 1, "objection"
    )
    renewed = tombstone(secret_of(key_file(tried.home, NAMED).read_bytes()), "objector", "f" * 32)
    owner.execute(
        "insert into privacy.renewed_tombstone (customer_id, kind, tombstone, renewed, key_fingerprint)"
        " select customer_id, 'objector', %s, %s, key_fingerprint from registry.customer where customer_id = %s",
        [mark, renewed, NAMED],
    )
    owner.commit()
    make(tried, owner)
    settings = known.settings_of(owner, tried.settings, "another")
    with server.connect(settings) as own:
        known_again = "select count(*) from privacy.objector where tombstone = any(%s)"
        assert own.execute(known_again, [[mark, renewed]]).fetchone() == (2,), (
            "by the keys before and after a rotation"
        )
        assert own.execute("select privacy.objects(%s, %s)", [NAMED, agent]).fetchone() == (True,)
        assert ledger.compare(own, settings).problems == []
        assert own.execute("select count(*) from privacy.secret").fetchone() == (1,)
        agents = {agent for (agent,) in own.execute("select agent from registry.agent")}
        assert agent_of(NAMED, 2) in agents
        assert "n" not in agents
        own.execute("delete from privacy.tombstone")
        assert ledger.compare(own, settings).problems, "the control"
    owner.execute("delete from registry.agent where agent_key = 'nobody'")
    owner.commit()


def test_corrections_of_its_customers_come_along_and_no_others(
    tried: Callmart, owner: psycopg.Connection, unbuilt: None, ledger_as_before: None
) -> None:
    """A file that lands there gives the events to the right agent, too."""
    until = clock.now(owner)
    for request, customer in enumerate((NAMED, ANONYMOUS), 1):
        key = key_of(tried, customer)
        mistaken = person(tried, customer, "agent", agent_of(customer, 1), until)
        whose = keyed(key, "agent", agent_of(customer, 2))
        with procedure.working(owner, tried.settings) as work:
            case = procedure.Case(work, mistaken, key, request)
            correcting.Correction(whose, until - timedelta(days=1))._note(case)
        owner.commit()
    make(tried, owner)
    with server.connect(known.settings_of(owner, tried.settings, "another")) as own:
        corrected = own.execute("select customer_id, agent_key from privacy.correction").fetchall()
        assert corrected == [(NAMED, keyed(key_of(tried, NAMED), "agent", agent_of(NAMED, 2)))]
    assert len(owner.execute("select from privacy.correction").fetchall()) == 2, "the control"


def test_events_come_along_from_a_month_before_or_from_where_a_call_began(
    owner: psycopg.Connection,
) -> None:
    first_day = DAYS[1]
    asked = {"customers": [NAMED], "first_day": first_day, "looks_back": reach([]) + 1}
    ((since,),) = owner.execute(copying.SQL["since"], asked).fetchall()
    assert since.date() == first_day - timedelta(days=32)
    for days, whose in ((40, STANDARD), (41, NAMED)):
        owner.execute(
            "insert into raw.call (customer_id, call_key, first_at, last_at, spans_days) values"
            " (%s, 1, %s::date - %s, %s::date + interval '1 hour', true)",
            [whose, first_day, days, first_day],
        )
    ((since,),) = owner.execute(copying.SQL["since"], asked).fetchall()
    assert since.date() == first_day - timedelta(days=41)


# -- who gets in -------------------------------------------------------------------------------------------------------


def test_no_login_of_what_stands_gets_in_and_no_customer_has_one_there(
    tried: Callmart, owner: psycopg.Connection, own: psycopg.Connection
) -> None:
    assert logins.of_customers(owner), "the control: they have logins here"
    owner.rollback()
    assert limits._elsewhere(owner, tried.settings).outcome == "holds"
    assert audit.of_environments(owner, tried.settings).outcome == "holds"
    assert logins.of_customers(own) == set()
    database = known.database_of(owner, ENVIRONMENT)
    own.execute(f"grant connect on database {database} to public".encode())
    assert limits._elsewhere(owner, tried.settings).outcome == "BREACH", "the mutant"
    own.execute(f"revoke connect on database {database} from public".encode())


def test_the_audit_finds_a_login_an_end_that_has_passed_and_a_customer_that_left(
    tried: Callmart, owner: psycopg.Connection, planted: Environment
) -> None:
    owner.execute(f"create role {known.database_of(owner, 'planted')}_customer_{NAMED} login".encode())
    databases.say(
        owner,
        planted.model_copy(
            update={"customers": (NAMED, NONE), "ends_on": planted.ends_on - timedelta(days=1)}
        ),
    )
    owner.commit()
    assert audit.of_environments(owner, tried.settings).found == (
        f"planted ended on {planted.ends_on - timedelta(days=1)}",
        f"planted holds customer {NONE}, who has no contract",
        f"callmart_try_planted_customer_{NAMED} may log in",
    )


# -- killed, and gone on -----------------------------------------------------------------------------------------------


def test_the_same_command_goes_on_where_it_was_killed(
    tried: Callmart, owner: psycopg.Connection, unbuilt: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with lock.second(owner) as session:  # killed before the database could say what it holds
        session.execute("create database callmart_try_another allow_connections false")
    assert "another" in names(owner)

    def killed(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(copying, "copy", killed)
        make(tried, owner)
    assert known.find(owner, "another").state == "copying"
    assert make(tried, owner).state == "building"
    with monkeypatch.context() as patch:
        patch.setattr(copying, "copy", killed)
        assert make(tried, owner).state == "building", "nothing is copied twice"
        with pytest.raises(UserError, match="is not ready: run its `callmart try` again"):
            comparing.compare(owner, tried.settings, "another")
        with pytest.raises(UserError, match="there is an environment another already"):
            make(tried, owner, days=1)
    owner.rollback()
    assert databases.drop(owner, tried.settings, "another")
    assert not databases.drop(owner, tried.settings, "another")


def test_no_login_keeps_it(
    tried: Callmart, planted: Environment, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has a setting of its own in a database locks that, though it may not enter."""
    monkeypatch.setattr(sessions, "PATIENCE", "100ms")
    uri = logins.login_uri(tried.settings, roles.customer_role(embedded_server.DATABASE, STANDARD))
    with psycopg.connect(uri, autocommit=True) as session:
        session.execute("set idle_in_transaction_session_timeout = '60s'")  # so that nothing waits for ever
        session.execute("begin read write")
        session.execute("alter role current_user in database callmart_try_planted set work_mem = '1MB'")
        assert command("try", "planted", "--drop") == (0, "try: environment planted is gone\n", "")
        with pytest.raises(psycopg.errors.AdminShutdown):
            session.execute("select 1")
    ended = "select customer_id from ops.audit_log where action = 'sessions ended'"
    assert tried.rows(ended) == [{"customer_id": STANDARD}]


def test_what_a_killed_removal_left_goes_with_the_same_command(
    tried: Callmart, owner: psycopg.Connection, command: Command
) -> None:
    owner.execute("create role callmart_try_gone_quality")
    owner.commit()
    file = known.folder(tried.settings, "gone") / "secrets" / "callmart_try_gone_quality.pgpass"
    file.parent.mkdir(parents=True)
    file.write_text("")
    assert command("try", "gone", "--drop") == (0, "try: environment gone is gone\n", "")
    assert not file.parent.parent.exists()
    assert owner.execute("select to_regrole('callmart_try_gone_quality')").fetchone() == (None,)
    assert command("try", "gone", "--drop").err == (
        "error: there is no environment gone: `callmart status` lists those that there are\n"
    )


def test_what_a_killed_removal_left_goes_with_the_next_run(
    tried: Callmart, owner: psycopg.Connection, planted: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner.execute("create role callmart_try_planted_quality")
    owner.commit()
    folder = known.folder(tried.settings, "planted")
    (folder / "secrets").mkdir(parents=True)
    other = known.folder(tried.settings, "Not one")  # no environment can have that name
    other.mkdir()
    with monkeypatch.context() as patch:
        patch.setattr(sessions, "end", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            databases.drop(owner, tried.settings, "planted")
        patch.undo()
        patch.setattr(shutil, "rmtree", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            databases.drop(owner, tried.settings, "planted")
    assert (names(owner), folder.exists()) == ([ENVIRONMENT], True)
    owner.execute("create role callmart_try_planted_quality")  # as if it had been killed before that
    today = clock.today(owner, tried.settings)
    owner.commit()
    assert list(retention.follow(owner, tried.settings, today)) == []
    assert not folder.exists()
    assert owner.execute("select to_regrole('callmart_try_planted_quality')").fetchone() == (None,)
    assert (other.exists(), names(owner)) == (True, [ENVIRONMENT])
    other.rmdir()


def test_what_a_killed_removal_left_goes_when_somebody_is_erased(
    tried: Callmart, owner: psycopg.Connection
) -> None:
    page = known.folder(tried.settings, "gone") / "quality" / "index.html"
    page.parent.mkdir(parents=True)
    page.write_text("somebody")
    somebody = person(tried, ANONYMOUS, "agent", agent_of(ANONYMOUS, 1), clock.now(owner))
    with procedure.working(owner, tried.settings) as work:
        assert Environments().treat(work, somebody) == {"databases": 1}
    assert not known.folder(tried.settings, "gone").exists()
    assert names(owner) == [ENVIRONMENT]


# -- wrong input -------------------------------------------------------------------------------------------------------

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "a customer that left": (
        {"customers": (NAMED, NONE)},
        f"customer {NONE} has no contract today: it left, or is not in the registry; name others",
    ),
    "a customer that never was": ({"customers": (9999,)}, "customer 9999 has no contract today: it left, "),
    "days beyond the retention": ({"days": 800}, "is the oldest day that is kept: ask for at most 7"),
    "the name of another": (
        {"name": ENVIRONMENT},
        f"there is an environment {ENVIRONMENT} already, of customer {NAMED}, {STANDARD} and 2 days: choose another "
        f"name, or remove it with `callmart try --drop {ENVIRONMENT}`",
    ),
    "no identifier": (
        {"name": "PR-812; --"},
        "PR-812; -- can't be the name of an environment: begin it with a lower-case letter, and use at most 29 ",
    ),
    "a long name": ({"name": "a" * 30}, "can't be the name of an environment"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_can_not_be_made_is_one_sentence_and_leaves_nothing(
    tried: Callmart, owner: psycopg.Connection, case: str
) -> None:
    asked, sentence = REFUSED[case]
    with pytest.raises(UserError) as refused:
        make(tried, owner, **asked)
    assert sentence in str(refused.value)
    assert names(owner) == [ENVIRONMENT]


def test_a_login_that_may_not_make_databases_is_told_what_the_administrator_runs(
    tried: Callmart, owner: psycopg.Connection
) -> None:
    with tried.superuser() as postgres:
        postgres.execute("alter role callmart_owner nocreatedb")
    try:
        with pytest.raises(UserError) as refused:
            make(tried, owner)
    finally:
        with tried.superuser() as postgres:
            postgres.execute("alter role callmart_owner createdb")
    assert str(refused.value) == (
        "the login callmart_owner may not make databases: have an administrator run "
        '`alter role "callmart_owner" createdb`, then run the same command again'
    )
    assert names(owner) == [ENVIRONMENT]


def test_a_database_of_somebody_else_is_neither_taken_nor_dropped(
    tried: Callmart, owner: psycopg.Connection
) -> None:
    with lock.second(owner) as session:
        session.execute("create database callmart_try_another")
        for act in (lambda: make(tried, owner), lambda: databases.drop(owner, tried.settings, "another")):
            with pytest.raises(UserError, match="callmart_try_another is no environment of callmart"):
                act()
        owner.rollback()
        session.execute("drop database callmart_try_another")


def test_it_waits_for_a_run_a_request_and_a_ledger_that_differs(
    tried: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with tried.connect() as other, lock.exclusive(other), pytest.raises(UserError, match="is at work"):
        make(tried, owner)
    owner.execute("alter table privacy.request disable trigger user")
    owner.execute(
        "insert into privacy.request (customer_id, asked_right, kind, subject, received, state) values"
        " (%s, 'erasure', 'agent', repeat('a', 32), current_date, 'proving')",
        [NAMED],
    )
    owner.commit()
    with pytest.raises(
        UserError, match=r"request \d+ of customer 1001 has begun: .* `callmart privacy answer"
    ):
        make(tried, owner)
    owner.rollback()
    owner.execute("delete from privacy.request")
    owner.execute("alter table privacy.request enable trigger user")
    owner.commit()
    differs = dataclasses.replace(ledger.compare(owner, tried.settings), differing=frozenset({STANDARD}))
    monkeypatch.setattr(ledger, "compare", lambda *_: differs)
    with pytest.raises(UserError, match=f"customer {STANDARD}: the privacy ledger and the database differ"):
        make(tried, owner)
    assert names(owner) == [ENVIRONMENT]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["x"], "say what it gets: `callmart try x --customers 1043,1044 --days 14`"),
        (["x", "--customers", "one", "--days", "2"], "--customers one: write their numbers with commas"),
        (["x", "--customers", "0", "--days", "2"], "--customers 0: write their numbers with commas"),
        (["x", "--customers", "1001,9999999999", "--days", "2"], "--customers 1001,9999999999: write their"),
        (["x", "--customers", "1001", "--days", "2", "--once", "--out", "a.pdf"], "--out a.pdf is no .html"),
        (["x", "--customers", "1001", "--days", "2", "--out", "a.html"], "--out goes with --once"),
    ],
)
def test_a_command_that_lacks_something_is_one_sentence(
    command: Command, arguments: list[str], sentence: str
) -> None:
    said = command("try", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith(f"error: {sentence}") and said.err.count("\n") == 1


# -- the command -------------------------------------------------------------------------------------------------------


def test_status_lists_it(tried: Callmart, command: Command) -> None:
    assert f"environment {ENVIRONMENT}: customer {NAMED}, {STANDARD}, " in command("status").out
    (environment,) = json.loads(command("status", "--json").out)["environments"]
    assert (environment["name"], environment["customers"]) == (ENVIRONMENT, list(BOTH))


def test_once_compares_and_leaves_nothing_whatever_happens(
    tried: Callmart,
    owner: psycopg.Connection,
    command: Command,
    unbuilt: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here nothing is built, so the comparison refuses: then it is removed, too."""

    def finish(connection: psycopg.Connection, settings: Any, environment: Environment, *_: Any) -> Any:
        return making.Made(environment, 0, Validated(None))

    monkeypatch.setattr(making, "_finish", finish)
    said = command("try", "another", "--customers", "1003", "--days", "1", "--once")
    assert said.code == 2
    assert "the environment another is not ready" in said.err
    assert names(owner) == [ENVIRONMENT]
    said = command("try", ENVIRONMENT, "--customers", "1003", "--days", "1", "--once")
    assert said.err.startswith(f"error: there is an environment {ENVIRONMENT} already")
    assert names(owner) == [ENVIRONMENT], "that of somebody else stays"
    said = command("try", "another", "--customers", NONE, "--days", "1", "--once")
    assert said.err.startswith(f"error: customer {NONE} has no contract today")


@pytest.mark.parametrize("failing", [UserError("the project can't be built"), KeyboardInterrupt()])
def test_once_removes_no_environment_of_before_whatever_fails_first(
    tried: Callmart,
    owner: psycopg.Connection,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    failing: BaseException,
) -> None:
    monkeypatch.setattr(checking, "require", Mock(side_effect=failing))
    asked = ("--customers", "1003", "--days", "1", "--once")
    assert command("try", ENVIRONMENT, *asked).code != 0
    assert names(owner) == [ENVIRONMENT]


def test_once_leaves_an_environment_in_which_another_command_is_at_work(
    tried: Callmart,
    owner: psycopg.Connection,
    own: psycopg.Connection,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checking, "require", lambda settings: None)
    environment = known.find(owner, ENVIRONMENT)
    databases.say(owner, environment.model_copy(update={"state": "building"}))
    owner.commit()
    with lock.exclusive(own):
        said = command("try", ENVIRONMENT, "--customers", f"{NAMED},{STANDARD}", "--days", "2", "--once")
    assert "another callmart run is at work on this database" in said.err
    assert names(owner) == [ENVIRONMENT]
    databases.say(owner, environment)
    owner.commit()


# -- how it ends -------------------------------------------------------------------------------------------------------


def test_it_is_dropped_when_it_ends_and_expires_until_then(
    tried: Callmart, owner: psycopg.Connection, own: psycopg.Connection, planted: Environment
) -> None:
    today = clock.today(owner, tried.settings)
    owner.rollback()
    # As if it had been made by an earlier callmart.
    own.execute("drop function access.begin_of_day cascade")
    own.execute("update access.applied set fingerprint = 'of an earlier one'")
    own.commit()
    assert list(retention.follow(owner, tried.settings, today - timedelta(days=1))) == []
    assert names(owner) == ["planted", ENVIRONMENT]
    ran = stages.Ran()
    stages.follow_environments(owner, tried.settings, ran, quietly)
    assert (names(owner), ran.problems) == ([ENVIRONMENT], [])
    environment = known.find(owner, ENVIRONMENT)
    assert environment.ends_on == today + timedelta(days=14)

    databases.say(owner, environment.model_copy(update={"ends_on": date(9999, 1, 1)}))
    owner.commit()
    two_years_later = DAYS[2].replace(year=DAYS[2].year + 2)
    assert list(retention.follow(owner, tried.settings, two_years_later)) == []
    databases.say(owner, environment)
    owner.commit()
    days = own.execute("select distinct call_date from store.queue_interval").fetchall()
    assert days == [(DAYS[2],)], "the day before is two years and a day old"


def test_one_whose_build_was_killed_expires_unless_somebody_builds_it(
    tried: Callmart, owner: psycopg.Connection, own: psycopg.Connection
) -> None:
    environment = known.find(owner, ENVIRONMENT)
    databases.say(owner, environment.model_copy(update={"state": "building"}))
    owner.commit()
    today = clock.today(owner, tried.settings)
    own.execute(
        "insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id)"
        " values (%s, access.retention_floor() - 1, 'queue_interval', 1, 1)",
        [NAMED],
    )

    def due() -> tuple[str, ...]:
        return audit.of_environments(owner, tried.settings).found

    (found,) = due()
    assert found.startswith(f"{ENVIRONMENT}: ops.opened_day: ")
    with lock.exclusive(own):
        assert list(retention.follow(owner, tried.settings, today)) == []
        assert due() == (found,)
    assert list(retention.follow(owner, tried.settings, today)) == []
    assert due() == ()
    databases.say(owner, environment)
    owner.commit()


def test_one_that_can_not_be_reached_is_named_and_stops_no_other(
    tried: Callmart, owner: psycopg.Connection, planted: Environment
) -> None:
    """This one says that it is ready, and has no tables."""
    databases.say(owner, planted.model_copy(update={"state": "ready"}))
    owner.commit()
    (problem,) = retention.follow(owner, tried.settings, planted.ends_on - timedelta(days=1))
    assert problem.startswith("the environment planted did not expire (SQLSTATE ")
    assert problem.endswith("or remove it with `callmart try --drop planted`")
    found = audit.of_environments(owner, tried.settings).found
    assert [one.partition(" (SQLSTATE")[0] for one in found] == ["planted can't be looked at"]


def test_a_rotation_drops_it(tried: Callmart, owner: psycopg.Connection, planted: Environment) -> None:
    assert databases.drop_of(owner, tried.settings, ANONYMOUS) == 0
    copies.remove_copies(owner, tried.settings, ANONYMOUS)
    assert "planted" in names(owner)
    databases.say(owner, planted.model_copy(update={"customers": (ANONYMOUS,)}))
    owner.commit()
    copies.remove_copies(owner, tried.settings, ANONYMOUS)
    assert names(owner) == [ENVIRONMENT]


def test_a_customer_that_leaves_takes_it_along(tried: Callmart, owner: psycopg.Connection) -> None:
    """The last test: nothing of the environment is left, neither roles nor files."""
    assert known.folder(tried.settings, ENVIRONMENT).exists()
    text = (tried.home / "registry.yml").read_text()
    tried.apply(text.replace("contracts: [{option: standard, from: 2020-01-01}]", "contracts: []"))
    stages.remove_closed(owner, tried.settings, stages.Ran(), quietly)
    assert names(owner) == []
    assert not known.folder(tried.settings, ENVIRONMENT).exists()
    left = owner.execute(
        "select rolname from pg_roles where starts_with(rolname, 'callmart_try_')"
    ).fetchall()
    assert left == []
    logged = owner.execute(
        "select details from ops.audit_log where action = 'environment dropped'"
    ).fetchall()
    assert ({"environment": ENVIRONMENT},) in logged
