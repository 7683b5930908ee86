"""What customers should have on Tableau, out of the registry, the extracts and the reports."""

import json
import re
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import psycopg
import pytest
from typer.testing import CliRunner, Result

from callmart.access import logins
from callmart.base.errors import UserError
from callmart.cli import main
from callmart.cli.terminal import UNDONE
from callmart.database import migrating
from callmart.operations import status
from callmart.publish import applying, bookkeeping, deriving, installation, planning, reading, tableau
from callmart.publish.desired import DataSource, Publication, Workbook
from callmart.tableau_files.tds import Live
from callmart_home import Callmart
from commands import use
from emulated import unmark
from tableau_emulator.state import State
from today import TODAY

pytestmark = pytest.mark.dated

DETAILED, STANDARD, LIVE, NONE = 1, 2, 3, 4
REGISTRY = f"""
customers:
  - id: {DETAILED}
    name: Een
    contracts: [{{option: detailed, from: 2020-01-01}}]
    recipients:
      - {{email: chef@example.org, reports: [traffic, agents]}}
      - {{email: kijkt@example.org, reports: []}}
  - id: {STANDARD}
    name: Two
    locale: en
    contracts: [{{option: standard, from: 2020-01-01}}]
    recipients: [{{email: two@example.org, reports: [traffic, agents]}}]
  - id: {LIVE}
    name: Drie
    connection: live
    contracts: [{{option: standard, from: 2020-01-01}}]
  - {{id: {NONE}, name: Vier, contracts: []}}
"""
SAY = "insert into ops.extract (customer_id, mart_group, content_hash, row_count, basis) values "
REPORTS = ["accessibility", "traffic", "handling"]


@pytest.fixture(scope="module")
def applied(callmart: Callmart) -> Callmart:
    """Customers of each kind, whose extracts are on the books, and a file that was landed just now."""
    callmart.apply(REGISTRY)
    with callmart.connect() as connection:
        for customer, groups in ((DETAILED, ("queue", "agent", "line")), (STANDARD, ("queue", "line"))):
            for group in groups:
                connection.execute(
                    SAY + "(%s, %s, 'the rows', 5, jsonb_build_object('opened', null))",
                    [customer, group],
                )
        connection.execute(
            """
            insert into raw.file (
                name_key, content_key, registry_version, asked, row_count, rejected, turned_away, incomplete_last_line
            )
            values ('a file', '', 1, '', 0, 0, 0, false)
            """
        )
    return callmart


@pytest.fixture
def owner(applied: Callmart) -> Iterator[psycopg.Connection]:
    """The owner, whose changes are undone."""
    with applied.connect() as connection:
        yield connection
        connection.rollback()


def desired(callmart: Callmart, owner: psycopg.Connection) -> dict[int, Publication]:
    return {one.customer_id: one for one in deriving.desired(owner, callmart.settings)}


def test_the_days_that_are_held_back_are_said_on_tableau(
    applied: Callmart, owner: psycopg.Connection
) -> None:
    assert {one.warning for one in desired(applied, owner).values()} == {None}
    held = "insert into ops.held_back (customer_id, call_date, build_id, cause) values (%s, %s, 1, 'x')"
    for customer, days in (
        (DETAILED, ["2026-06-02", "2026-06-01"]),
        (STANDARD, [f"2026-06-0{day}" for day in range(1, 9)]),
        (LIVE, ["-infinity"]),  # of a mart without days
    ):
        for day in days:
            owner.execute(held, [customer, day])
    said = {customer: one.warning for customer, one in desired(applied, owner).items()}
    assert said == {
        DETAILED: "Niet meegeteld, omdat de controle van de gegevens nog loopt: ma 1 jun en di 2 jun.",
        STANDARD: "Not counted, because the data is still being checked: Mon 1 Jun, Tue 2 Jun, Wed 3 Jun, Thu 4 Jun, "
        "Fri 5 Jun, Sat 6 Jun, Sun 7 Jun and ….",
        LIVE: None,
    }
    assert bookkeeping.books(owner, applied.settings).warned == {DETAILED, STANDARD}


def test_what_an_earlier_definition_computed_is_said_on_the_data_source_that_has_it(
    applied: Callmart, owner: psycopg.Connection
) -> None:
    day = """
        with was as (
            insert into ops.definition (mart, fingerprint, columns) values ('queue_day', %s, '{}')
            returning definition_id
        ),
        build as (insert into ops.build (days, tables, definitions) values (1, '{}', '{}') returning build_id)
        insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id, definition_id)
        select %s, %s, 'queue_day', 1, build_id, definition_id from was, build
        """
    owner.execute(day, ["noted", DETAILED, "2026-06-02"])
    owner.execute(day, [None, DETAILED, "2026-06-03"])  # nobody knows by which
    wanted = desired(applied, owner)
    sources = tuple(replace(one, note="") for one in wanted[DETAILED].data_sources)
    assert replace(wanted[DETAILED], data_sources=sources).digest != wanted[DETAILED].digest
    said = {customer: one.warnings for customer, one in wanted.items()}
    assert said.pop(DETAILED) == {
        "Wachtrijen": "Een deel van de cijfers tot en met dinsdag 2 juni 2026 is volgens een eerdere definitie "
        "berekend."
    }
    assert not any(said.values())
    assert bookkeeping.books(owner, applied.settings).warned == {DETAILED}


def test_status_names_the_reports_that_nobody_opens(applied: Callmart) -> None:
    """By the numbers that Tableau gives: from the day on which a report's number last changed."""

    def noted(*outcomes: applying.Outcome) -> dict[int, list[str]]:
        bookkeeping.record(books, applied.settings, outcomes)
        return {
            one.customer_id: [each.report for each in one.unopened]
            for one in status.status(books)
            if one.unopened
        }

    def of(customer: int, opened: dict[str, int | None] | None, error: str | None = None) -> applying.Outcome:
        return applying.Outcome(customer, None, (), error, is_warned=None if error else True, opened=opened)

    with applied.connect() as books:
        first = of(DETAILED, {"traffic": 4, "agents": 0}), of(STANDARD, {"traffic": 0})
        assert noted(*first) == {}
        assert bookkeeping.books(books, applied.settings).warned == {DETAILED, STANDARD}
        books.execute("update registry.report_use set since = current_date - 56")
        unopened = {DETAILED: ["agents", "traffic"], STANDARD: ["traffic"]}
        assert noted(*first) == unopened
        assert noted(of(DETAILED, {"traffic": None, "agents": 0})) == unopened, "Tableau told nothing of one"
        failed = of(STANDARD, None, "Tableau was down")
        assert noted(of(DETAILED, {"traffic": 5, "agents": 0}), failed) == {
            DETAILED: ["agents"],
            STANDARD: ["traffic"],
        }
        assert noted(of(DETAILED, {"traffic": 5}), failed) == {STANDARD: ["traffic"]}
        assert bookkeeping.books(books, applied.settings).warned == {DETAILED, STANDARD}
        books.execute("delete from registry.report_use")
        books.execute("delete from ops.publication")


def test_a_report_that_needs_data_is_for_customers_who_have_some(
    applied: Callmart, owner: psycopg.Connection
) -> None:
    opened = "insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id) values (%s, %s, %s, %s, 1)"
    owner.execute(opened, [DETAILED, "2026-06-01", "line_interval", 0])
    owner.execute(opened, [DETAILED, "2026-06-02", "queue_interval", 9])
    owner.execute(opened, [STANDARD, "2026-06-01", "line_interval", 9])
    found = desired(applied, owner)
    assert "lines" not in [each.report.name for each in found[DETAILED].workbooks]
    assert [each.report.name for each in found[STANDARD].workbooks] == [*REPORTS, "lines"]


def test_a_contract_orders_data_sources_reports_and_mail(
    applied: Callmart, owner: psycopg.Connection
) -> None:
    found = desired(applied, owner)
    assert NONE not in found
    detailed, standard = found[DETAILED], found[STANDARD]
    assert [each.name for each in detailed.data_sources] == ["Medewerkers", "Lijnen", "Wachtrijen"]
    assert [each.report.name for each in detailed.workbooks] == [*REPORTS, "agents", "status"]
    assert [each.name for each in standard.data_sources] == ["Lines", "Queues"]
    assert [each.report.name for each in standard.workbooks] == REPORTS
    assert [each.name for each in standard.workbooks] == ["Accessibility", "Traffic", "Handling"]
    assert detailed.members == ("chef@example.org", "kijkt@example.org")
    assert {(mail.workbook, mail.member) for mail in detailed.mails} == {
        ("Drukte", "chef@example.org"),
        ("Medewerkers", "chef@example.org"),
    }
    assert [(mail.workbook, mail.subject) for mail in standard.mails] == [
        ("Traffic", "Your weekly report Traffic")
    ], "no report that the contract does not order"
    assert detailed.no_mail_because is None


def test_what_the_contract_does_not_open_is_not_published_whatever_the_books_say(
    applied: Callmart, owner: psycopg.Connection
) -> None:
    """As after a downgrade: an extract of the agents stays on the books until the next one."""
    owner.execute(SAY + "(%s, 'agent', 'the rows', 5, jsonb_build_object('opened', null))", [STANDARD])
    assert [each.name for each in desired(applied, owner)[STANDARD].data_sources] == ["Lines", "Queues"]


def test_an_extract_that_was_not_made_takes_nothing_from_tableau(
    applied: Callmart, owner: psycopg.Connection
) -> None:
    """As after a change from live, or of the order, if the extract then fails."""
    owner.execute("delete from ops.extract where customer_id = %s and mart_group = 'queue'", [STANDARD])
    found = desired(applied, owner)
    assert found[STANDARD].problem is None, "nothing is open"
    owner.execute(
        "insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id) values (%s, %s, %s, 9, 1)",
        [STANDARD, TODAY - timedelta(days=1), "queue_day"],
    )
    found = desired(applied, owner)
    assert found[STANDARD].problem == (
        "the queue extract was not made: run `callmart extract`, and then this again"
    )
    assert found[DETAILED].problem is None


def test_the_same_is_the_same_and_what_changes_is_another(
    applied: Callmart, owner: psycopg.Connection
) -> None:
    def hashes() -> dict[str, str]:
        one = desired(applied, owner)[STANDARD]
        contents: list[DataSource | Workbook] = [*one.data_sources, *one.workbooks]
        return {each.name: each.content_hash for each in contents}

    before = hashes()
    assert hashes() == before
    assert len(set(before.values())) == len(before)
    owner.execute(
        "update ops.extract set content_hash = 'others' where customer_id = %s and mart_group = 'queue'",
        [STANDARD],
    )
    assert {name for name, one in hashes().items() if one != before[name]} == {"Queues"}
    before = hashes()
    owner.execute("update registry.customer set name = 'Twee' where customer_id = %s", [STANDARD])
    assert {name for name, one in hashes().items() if one != before[name]} == {
        "Accessibility",
        "Traffic",
        "Handling",
    }


def last_week(day: int) -> date:
    return TODAY - timedelta(days=TODAY.weekday() + 7 - day)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            "insert into ops.held_back (customer_id, call_date, build_id, cause) values (1, %(day)s, 1, '')",
            "held back",
        ),
        ("insert into ops.dirty_day (customer_id, call_date, cause) values (1, %(day)s, '')", "not open yet"),
        (
            "insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id, so_far)"
            " values (1, %(day)s, 'agent_day', 0, 1, now())",
            "open before they were over",
        ),
        ("update raw.file set landed_at = %(day)s", "nothing was landed"),
        ("update ops.extract set basis = '{\"opened\": 1}' where customer_id = 1", "run `callmart extract`"),
    ],
)
def test_a_week_that_is_not_complete_stops_the_mail(
    applied: Callmart, owner: psycopg.Connection, change: str, said: str
) -> None:
    owner.execute(change, {"day": last_week(2)})
    found = desired(applied, owner)
    why = found[DETAILED].no_mail_because
    assert why is not None
    assert said in why
    assert (found[STANDARD].no_mail_because is None) is ("raw.file" not in change)


@pytest.mark.parametrize(
    ("hours", "waits"),
    [
        # Before the ends of five weeks, the last one first, the hours in which a customer had no data any more.
        ([10, 2, 1.5, 2, 2.5], True),
        ([3, 2, 1.5, 2, 2.5], False),
        ([60, 54, 56, 55, 54], True),  # closed at the weekend, and Friday breaks off
        ([57, 54, 56, 55, 54], False),
        ([10, 2, 20, 3, 5], False),  # few calls: each week ends at another hour
        ([80, 2, 20, 3, 5], True),
        ([10, 2, 2], False),  # too new to know
        ([10, 2, 2, 2], True),
        ([-1, 10, 2, 2, 2, 2], False),  # more has come since the week ended
        ([200, 2, 2, 2, 2], False),  # nothing at all: nothing is mailed anyway
    ],
)
def test_a_week_that_breaks_off_early_stops_the_mail(
    applied: Callmart,
    owner: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    hours: list[float],
    waits: bool,
) -> None:
    """Another customer's file, which lands later, does not make it whole. Whoever has no data for longer is closed."""
    monkeypatch.setattr(deriving, "PATIENCE", timedelta(days=8))
    ends_at = datetime.combine(last_week(7), time(), ZoneInfo("Europe/Amsterdam"))
    for number, quiet in enumerate(hours, start=-1 if hours[0] < 0 else 0):
        last = (ends_at - timedelta(days=7) * max(number, 0)).timestamp() - quiet * 3600
        owner.execute(
            "select access.ensure_month('raw.event', date_trunc('month', to_timestamp(%s))::date)", [last]
        )
        owner.execute(
            "insert into raw.event (customer_id, occurred_at, event_key, platform, event, file_id)"
            " values (%s, to_timestamp(%s), %s, 'vcloud', 'queue_joined', 1)",
            [DETAILED, last, number],
        )
    found = desired(applied, owner)
    assert found[DETAILED].no_mail_because == (
        "the data of last week ends earlier than usual; land the rest, or wait for more until Wednesday"
        if waits
        else None
    )
    assert found[STANDARD].no_mail_because is None
    monkeypatch.setattr(deriving, "PATIENCE", timedelta())
    assert desired(applied, owner)[DETAILED].no_mail_because is None


@pytest.mark.parametrize("day", [-1, 7])
def test_another_week_stops_no_mail(applied: Callmart, owner: psycopg.Connection, day: int) -> None:
    owner.execute(
        "insert into ops.held_back (customer_id, call_date, build_id, cause) values (1, %s, 1, '')",
        [last_week(day)],
    )
    assert desired(applied, owner)[DETAILED].no_mail_because is None


def test_live_needs_a_server_that_tableau_reaches(applied: Callmart, owner: psycopg.Connection) -> None:
    found = desired(applied, owner)
    assert "set CALLMART_DSN" in str(found[LIVE].problem)
    assert found[DETAILED].problem is None


def test_live_is_the_customers_own_login(
    applied: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        logins, "customer_uri", lambda *_: "postgresql://callmart_customer_3@db.example.nl/callmart"
    )
    (line, queue) = sorted(desired(applied, owner)[LIVE].data_sources, key=lambda one: one.source.group)
    assert queue.data == Live("db.example.nl", "5432", "callmart", "callmart_customer_3")
    assert queue.password == logins.password(applied.settings, "callmart_customer_3")
    assert str(queue.password) not in repr(queue)
    logins.set_password(owner, applied.home, "callmart_customer_3")
    assert desired(applied, owner)[LIVE].data_sources[0].content_hash not in (
        line.content_hash,
        queue.content_hash,
    )


# -- which installation it is ----------------------------------------------------------------------------------------


def test_each_home_is_an_installation_of_its_own(tmp_path: Path) -> None:
    one, other = tmp_path / "one", tmp_path / "other"
    made = installation.ensure_id(one)
    assert re.fullmatch(installation.ID, made)
    assert installation.ensure_id(one) == made != installation.ensure_id(other)
    assert (one / "installation").stat().st_mode & 0o777 == 0o600
    assert [each.name for each in one.iterdir()] == ["installation"]
    one.rename(tmp_path / "moved")
    assert installation.ensure_id(tmp_path / "moved") == made


def test_of_two_that_make_it_at_once_one_counts(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(installation.ensure_id, [tmp_path] * 8))) == 1


def test_a_copied_home_is_noticed(tmp_path: Path) -> None:
    """Two homes of one id would remove each other's customers; a person says which of them goes on."""
    one, copy = tmp_path / "one", tmp_path / "copy"
    made = installation.ensure_id(one)
    shutil.copytree(one, copy)
    with pytest.raises(UserError, match=r"copy/installation is a copy: .*second line.*delete the file"):
        installation.ensure_id(copy)
    assert installation.ensure_id(one) == made
    (copy / "installation").write_text(f"{made}\n")  # as after its second line is deleted, or by hand
    assert installation.ensure_id(copy) == installation.ensure_id(copy) == made
    shutil.copytree(copy, tmp_path / "another")
    with pytest.raises(UserError, match="is a copy"):
        installation.ensure_id(tmp_path / "another")
    (copy / "installation").unlink()
    assert installation.ensure_id(copy) != made


@pytest.mark.parametrize(
    "held", ["", "0123456789AB\n", "0123456789ab inode 1", "0123456789abc", "0123456789ab\ninode x"]
)
def test_a_file_that_holds_no_id_is_refused(tmp_path: Path, held: str) -> None:
    (tmp_path / "installation").write_text(held)
    with pytest.raises(UserError, match=r"contains no installation id; put .* or delete"):
        installation.ensure_id(tmp_path)


# -- the command; its last test takes the customers away -------------------------------------------------------------


@pytest.fixture
def published(applied: Callmart, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """`callmart publish` in this process."""
    use(applied.settings, monkeypatch)
    return lambda *options: CliRunner().invoke(main.app, ["publish", *options])


def test_the_plan_is_shown_and_changes_nothing(published: Callable[..., Result]) -> None:
    shown = published("--plan")
    assert shown.exit_code == UNDONE, "one customer has a problem"
    assert shown.stdout.count("  ! ") == 1
    planned = json.loads(published("--plan", "--json").stdout)
    step = {"customer_id": STANDARD, "action": "add", "kind": "workbook", "name": "Traffic"}
    assert {"site": "", **step} in planned["steps"]
    assert list(planned["problems"]) == [str(LIVE)]
    assert json.loads(published("--plan", "--json").stdout) == planned
    assert "chef@" not in shown.stdout + json.dumps(planned)


def test_what_fails_is_said_and_held(published: Callable[..., Result]) -> None:
    said = published()
    assert said.exit_code == UNDONE
    assert "! " not in said.stdout, "stderr says it"
    assert said.stderr.count(f"customer {LIVE}: ") == 1
    done = published("--json")
    assert done.exit_code == UNDONE
    # The extracts that are on the books stand nowhere.
    assert [said.partition(":")[0] for said in json.loads(done.stdout)["failed"]] == [
        f"customer {customer}" for customer in (DETAILED, STANDARD, LIVE)
    ]


def test_the_books_hold_no_name_and_a_backup_of_them_no_id(applied: Callmart, tmp_path: Path) -> None:
    """Another home on the same database is another installation, to which nothing there belongs."""
    made = installation.ensure_id(applied.home)
    with applied.connect() as owner:
        ours, another = (
            bookkeeping.books(owner, applied.settings.model_copy(update={"home": home}))
            for home in (applied.home, tmp_path)
        )
        held = owner.execute("select p::text from ops.publication as p").fetchall()
        held += owner.execute("select a::text from ops.audit_log as a").fetchall()
        wanted = deriving.desired(owner, applied.settings)
        with tableau.connect(applied.settings) as server:
            planned = planning.plan(wanted, reading.read(server, another))
    assert not any(word in text for (text,) in held for word in (made, "Een", "Two", "Drie"))
    assert ours.projects == another.projects
    assert set(ours.projects) == {DETAILED, STANDARD}
    assert None not in ours.projects.values()
    assert not [step for step in planned.steps if step.customer_id]
    problems = {one.customer_id: str(one.problem) for one in planned.customers}
    assert all(f"bears the mark of installation {made}" in problems[one] for one in (DETAILED, STANDARD))


def test_a_home_of_before_is_adopted_when_that_is_confirmed(
    applied: Callmart, published: Callable[..., Result]
) -> None:
    """Its books had the project's name, which is the customer's, and nothing on Tableau had a mark."""
    with State(applied.home / "emulator") as state:
        unmark(state, installation.ensure_id(applied.home))
        names = [row["name"] for row in state.all("select name from project")]
    with applied.connect() as owner:
        owner.execute(
            """
            alter table ops.publication drop column project_id, drop column is_from_before, add column project text;
            update ops.publication set project = format('%s a name', customer_id)
            """
        )
        owner.execute((migrating.FOLDER / "0004_publication_without_names.sql").read_bytes())
    for _ in range(2):
        applied.apply(REGISTRY, looks=True)
        books = applied.rows("select p::text as said, project_id, is_from_before from ops.publication as p")
        assert {(row["project_id"], row["is_from_before"]) for row in books} == {(None, True)}
        assert not any("name" in row["said"] for row in books)
    assert "ops.publication" in {
        row["relation"] for row in applied.rows("select relation from ops.to_vacuum")
    }

    shown = published("--plan")
    assert "* adopt project '1 Een'" in shown.stdout
    planned = json.loads(published("--plan", "--json").stdout)
    assert planned["adopting"] == [DETAILED, STANDARD]
    step = {"customer_id": STANDARD, "action": "adopt", "kind": "project", "name": "2 Two"}
    assert {"site": "", **step} in planned["steps"]
    refused = published()
    assert isinstance(refused.exception, UserError)
    assert "customers 1, 2 that has no mark of ours would be adopted" in str(refused.exception)
    assert json.loads(published("--plan", "--json").stdout) == planned
    published("--yes")
    after = json.loads(published("--plan", "--json").stdout)
    assert (after["adopting"], after["foreign"]) == ([], [])
    with State(applied.home / "emulator") as state:
        assert [row["name"] for row in state.all("select name from project")] == names


def test_a_customer_goes_only_when_that_is_confirmed(
    applied: Callmart, published: Callable[..., Result]
) -> None:
    applied.apply("customers: []")
    assert json.loads(published("--plan", "--json").stdout)["leaving"] == [DETAILED, STANDARD]
    refused = published()
    assert isinstance(refused.exception, UserError)
    assert "--yes" in str(refused.exception)
    assert json.loads(published("--plan", "--json").stdout)["leaving"] == [DETAILED, STANDARD]
    assert published("--yes").exit_code == 0
    assert json.loads(published("--plan", "--json").stdout)["leaving"] == []
