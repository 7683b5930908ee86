"""The audit: green where everything holds, red for each thing that does not, and never a value of a customer's."""

import json
import shutil
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import tableauserverclient as TSC
from typer.testing import CliRunner, Result

from audits import attacks_at, attacks_nothing, attacks_of, done, infers_nothing, on_tableau, put_on_tableau
from callmart.access import roles
from callmart.audit import agents, audit, names, objectors, report
from callmart.audit.attacks import ATTACKS
from callmart.audit.check import MOST_FOUND, Check, few
from callmart.base.progress import quietly
from callmart.base.secret_files import secret_file
from callmart.base.settings import Tableau
from callmart.cli import main
from callmart.database import embedded_server, schema
from callmart.declarations import dbt_project
from callmart.extract import extract
from callmart.operations import run, stages
from callmart.reports import shelf, weeks
from callmart.tableau_files import hyper
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED, NONE, NUMBERS, REGISTRY, STANDARD, agent_of, call_of, queue_of
from commands import use
from today import TODAY

pytestmark = pytest.mark.dated


@pytest.fixture(scope="module")
def published(played: Callmart) -> Callmart:
    """Three customers with everything that there is for them, on Tableau too, and one that has ordered nothing."""
    with played.connect() as connection:
        holiday = f"({STANDARD}, '2024-01-01')"
        connection.execute(f"insert into registry.holiday (customer_id, call_date) values {holiday}")
        connection.commit()
        assert run.run(connection, played.settings, quietly).problems == []
    return played


def look(callmart: Callmart) -> audit.Audit:
    with callmart.connect() as connection, infers_nothing():
        return audit.audit(connection, callmart.settings, quietly)


INFERRED = Check("inference", "stands for those of test_inference", 1, 0)


@dataclass(frozen=True)
class Green:
    """An audit by the command while nothing is wrong."""

    found: audit.Audit
    ran: Result
    evidence: Path
    books: list[dict[str, list[str]]]  # before and after


@pytest.fixture(scope="module")
def green_run(published: Callmart) -> Green:
    def books() -> dict[str, list[str]]:
        names = ("audit_log", "opened_day", "dirty_day", "extract", "publication")
        query = "select t::text from ops.{} as t"
        return {name: sorted(map(repr, published.rows(query.format(name)))) for name in names}

    page = shelf.place(published.settings, NAMED, "traffic", weeks.of(TODAY))
    page.parent.mkdir(parents=True)
    secret_file(page, "<!doctype html><p>")
    evidence = published.home.with_name("evidence")
    found: list[audit.Audit] = []
    inner = audit.audit

    def keeping(*given: Any) -> audit.Audit:
        found.append(inner(*given))
        return found[-1]

    with pytest.MonkeyPatch.context() as patched, infers_nothing(INFERRED):
        use(published.settings, patched)
        patched.setattr(audit, "audit", keeping)
        before = books()
        ran = CliRunner().invoke(main.app, ["audit", "--out", str(evidence)])
    return Green(found[0], ran, evidence, [before, books()])


@pytest.fixture(scope="module")
def green(green_run: Green) -> audit.Audit:
    """The audit while nothing is wrong."""
    return green_run.found


OPEN_TO_STANDARD = roles.customer_role(embedded_server.DATABASE, STANDARD)
LOADER = roles.duty_role(embedded_server.DATABASE, "loader")

# Three holes, and how each is closed again. An audit takes its time, so one looks for all of them.
HOLES = {
    "alter policy own_rows on store.agent_day using (true)": (
        "alter policy own_rows on store.agent_day using ((access.own())[customer_id]"
        " and customer_id = access.current_customer() and call_date >= access.retention_floor())"
    ),
    f"grant select on raw.event to {LOADER}": f"revoke select on raw.event from {LOADER}",
    f"grant callmart_reads_agent to {OPEN_TO_STANDARD}": f"revoke callmart_reads_agent from {OPEN_TO_STANDARD}",
}


@pytest.fixture(scope="module")
def red(published: Callmart, green: audit.Audit) -> audit.Audit:
    """The audit while a policy is gone, a right is given too many, and a membership."""
    with ExitStack() as holes:
        for change, undo in HOLES.items():
            holes.enter_context(done(published, change, undo))
        with attacks_of("queries", "contract", "reading"):
            return look(published)


@pytest.fixture(scope="module")
def breaches(red: audit.Audit) -> dict[str, Check]:
    return by_name(red)


def by_name(found: audit.Audit) -> dict[str, Check]:
    """The checks that fail, by their areas and names."""
    return {f"{check.area}: {check.name}": check for check in found.failed}


def failed(callmart: Callmart) -> dict[str, Check]:
    """The checks that fail, without the attacks."""
    with attacks_nothing():
        return by_name(look(callmart))


def only(found: dict[str, Check], *words: str) -> bool:
    """Whether there are failing checks, and each is one that some of the words are about."""
    return bool(found) and all(any(word in name for word in words) for name in found)


def of_queues(check: Check, customer: int, outcome: str) -> bool:
    """Whether a check found this of the customer's queue marts, of whichever there are, and nothing else of it."""
    found = [one for one in check.found if one.startswith(f"customer {customer}, ")]
    return f"customer {customer}, queue_interval: {outcome}" in found and all(
        one.endswith(outcome) for one in found
    )


# -- green -----------------------------------------------------------------------------------------------------------


def test_where_everything_holds_nothing_fails(green: audit.Audit) -> None:
    assert green.failed == []
    assert INFERRED in green.checks
    assert {check.outcome for check in green.checks} <= {"holds", "does not apply"}
    # So few customers make up no number over all of them; nobody asks, was erased or objects; nothing is tried.
    assert {
        check.name
        for check in green.checks
        if not check.applies and check.area not in ("usage", "books", "environments", "requests")
    } - {"as XML: a query that is passed as text"} == {
        f"{objectors.NAME}: all that Tableau gives back",
        "no login gets into a node of the cluster, where events are",
        "nobody who was erased is back",
    }
    assert len(green.checks) > len(ATTACKS) > 150


def test_the_matrix_has_every_customer_mart_and_channel(published: Callmart, green: audit.Audit) -> None:
    marts = {mart.name: mart for mart in dbt_project.marts(published.settings) if mart.group != "usage"}
    assert len(green.cells) == 4 * len(marts) * 4
    seen = {(cell.customer_id, cell.mart): set() for cell in green.cells}  # type: dict[tuple[int, str], set[str]]
    for cell in green.cells:
        seen[cell.customer_id, cell.mart].add(cell.outcome)
    for (customer, mart), outcomes in seen.items():
        group = marts[mart].group
        opens = customer in (NAMED, ANONYMOUS) or (customer == STANDARD and group != "agent")
        opens = opens and group != "contact"  # nobody here has ordered a list of contacts
        assert outcomes in ([{"own rows only"}, {"no rows"}] if opens else [{"closed"}]), (customer, mart)
        if opens and mart in ("queue_interval", "agent_day", "agent"):
            assert outcomes == {"own rows only"}


def test_an_audit_changes_nothing(green_run: Green) -> None:
    before, after = green_run.books
    assert after == before


def test_findings_are_named_up_to_a_point() -> None:
    assert few(["a"]) == ("a",)
    assert few(["a"] * (MOST_FOUND + 2)) == ("a",) * MOST_FOUND + ("and 2 more",)


# -- the report ------------------------------------------------------------------------------------------------------


def test_the_command_writes_the_evidence(green_run: Green) -> None:
    ran = green_run.ran
    assert ran.exit_code == 0, ran.output
    html, as_json = sorted(green_run.evidence.iterdir())
    assert str(html) in ran.output and str(as_json) in ran.output
    assert {oct(file.stat().st_mode)[-3:] for file in (html, as_json)} == {"600"}
    told = json.loads(as_json.read_text())
    assert told["versions"].keys() >= {"callmart", "PostgreSQL", "dbt", "Great Expectations"}
    assert told["summary"]["breaches"] == told["summary"]["checks that looked at nothing"] == 0
    assert len(told["matrix"]) == 4 * 4 * told["summary"]["marts"]
    text = html.read_text()
    assert "Everything holds." in text and "What PostgreSQL lets nobody close" in text
    assert not any(outside in text for outside in ("http:", "https:", "<script", "url(", "@import"))


def test_it_goes_to_the_home_otherwise(published: Callmart, green: audit.Audit) -> None:
    html, as_json = report.write(green, report.ready(published.settings))
    assert html.parent == as_json.parent == published.home / "audit"


def test_no_value_of_a_customers_is_in_it(green: audit.Audit, red: audit.Audit) -> None:
    """Also where something is wrong, and the report names what."""
    assert red.failed
    for found in (green, red):
        for text in (report.as_html(found), report.as_json(found)):
            assert str(NAMED) in text and "queue_interval" in text
            for customer in (NAMED, ANONYMOUS, STANDARD, NONE):
                for word in (queue_of(customer), agent_of(customer), call_of(customer)):
                    assert word not in text
            known = NUMBERS, "Noor", "Voorbeeld", "Zorgpunt", "Fietsen", "Stil"
            assert not any(word in text for word in known)


# -- red -------------------------------------------------------------------------------------------------------------


def test_a_policy_that_is_gone_is_a_breach(breaches: dict[str, Check]) -> None:
    assert any(name.startswith("attacks: queries: plain") for name in breaches)
    assert {
        f"customer {NAMED}, agent_day: DIFFERS",
        f"customer {ANONYMOUS}, agent_day: DIFFERS",
    } <= set(own_rows(breaches))


def test_a_right_too_many_is_a_breach(breaches: dict[str, Check]) -> None:
    assert "loader raw.event" in breaches["attacks: reading: read: a relation that it may not read"].found


def test_a_membership_too_many_is_a_breach(breaches: dict[str, Check]) -> None:
    found = own_rows(breaches)
    assert {f"customer {STANDARD}, agent: OPEN", f"customer {STANDARD}, agent_day: OPEN"} <= set(found)
    assert "attacks: contract: agents under standard: a mart that the contract does not open" in breaches


def test_nothing_else_is_a_breach(breaches: dict[str, Check]) -> None:
    assert only(breaches, "attacks", "rights", "statistics", "every customer and mart")
    about = (
        f"customer {NAMED}, agent_day",
        f"customer {ANONYMOUS}, agent_day",
        f"customer {STANDARD}, agent",
    )
    assert all(one.startswith(about) for one in own_rows(breaches))


def own_rows(found: dict[str, Check]) -> tuple[str, ...]:
    """The marts in which a login does not find its own rows."""
    return next(check.found for name, check in found.items() if "login: own rows" in name)


AGENT_KEY = f"(select min(agent_key) from raw.event where customer_id = {STANDARD})"
NAMES = {
    '{"project": "1042 Voorbeeld BV"}': "the name of",  # so it stood in ops.publication
    "mailed to noor@example.org, who called": "an agent of",
    "Voorbeelden": None,
}

# What each check is about, and how it ends again: looked for together, as above.
WRONGS = {
    "insert into ops.dirty_day (customer_id, call_date, cause) values "
    + ", ".join(f"({NAMED}, current_date - {n}, '{cause}')" for n, cause in enumerate(NAMES)): (
        f"delete from ops.dirty_day where customer_id = {NAMED}"
    ),
    f"insert into store.agent_day (customer_id, call_date, agent_key) values"
    f" ({NAMED}, access.retention_floor() - 1, 'old')": "delete from store.agent_day where agent_key = 'old'",
    "insert into store.agent_day (customer_id, call_date, agent_key)"
    f" select {NAMED}, max(call_date), 'smuggled' from store.agent_day": (
        "delete from store.agent_day where agent_key = 'smuggled'"
    ),
    "insert into ops.held_back select customer_id, call_date, build_id, 'a check'"
    f" from ops.opened_day where customer_id = {NAMED} and isfinite(call_date) limit 1": (
        "delete from ops.held_back"
    ),
    f"insert into ops.dirty_day (customer_id, call_date, cause) values ({NONE}, current_date, 'a test')": (
        f"delete from ops.dirty_day where customer_id = {NONE}"
    ),
    "grant select (cause) on ops.dirty_day to callmart_loader": "revoke all on ops.dirty_day from callmart_loader",
    "alter table ops.audit_log disable trigger user": "alter table ops.audit_log enable trigger user",
    f"update store.queue_interval set queue = {AGENT_KEY} where customer_id = {STANDARD}": (
        f"update store.queue_interval set queue = '{queue_of(STANDARD)}' where customer_id = {STANDARD}"
    ),
}


@pytest.fixture(scope="module")
def wrong(published: Callmart, green: audit.Audit) -> dict[str, Check]:
    """What fails while much is wrong in the tables, and among the files."""
    key = published.home / "keys" / f"customer_{NONE}.key"
    folder = extract.folder(published.settings)
    strays = folder / str(STANDARD) / "agent.hyper", folder / "left.over"
    with published.connect() as owner:
        owner.execute("select access.ensure_month('store.agent_day', access.retention_floor() - 1)")
    shutil.copy(folder / str(NAMED) / "agent.hyper", strays[0])
    strays[1].touch()
    key.write_bytes(b"left over")
    copies = [
        published.home / "keys" / f"customer_{NAMED}.bak.key",
        published.home / "outbox" / str(NAMED) / "copy.eml",
        published.home / "reports" / f"{NAMED}.old" / f"traffic-{weeks.of(TODAY)}.html",
    ]
    for copy in copies:
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.touch()
    page = shelf.place(published.settings, NONE, "traffic", weeks.of(TODAY))
    page.parent.mkdir(parents=True)
    page.touch()
    with ExitStack() as wrongs:
        for change, undo in WRONGS.items():
            wrongs.enter_context(done(published, change, undo))
        found = failed(published)
    for file in (key, page, *copies, *strays):
        file.unlink()
    return found


def test_a_name_that_a_duty_reads_is_a_breach(wrong: dict[str, Check]) -> None:
    (check,) = (check for name, check in wrong.items() if "no name or mail address" in name)
    assert sorted(check.found) == sorted(
        f"{duty}: ops.dirty_day.cause contains {whose} customer {NAMED}"
        for duty in ("loader", "auditor", "operator")
        for whose in NAMES.values()
        if whose
    )


def test_an_agent_who_is_called_by_an_extension_is_no_count() -> None:
    called = {name: [(name, f"an agent called {name}")] for name in ("101", "0612345678", "Jo")}
    found = [
        list(names._in_text(text, called))
        for text in ('{"rows": 101}', "101", '{"by": "101"}', '{"to": 0612345678}', "to Jo")
    ]
    extension = ["an agent called 101"]
    assert found == [[], extension, extension, ["an agent called 0612345678"], ["an agent called Jo"]]


def test_an_old_row_is_a_breach(wrong: dict[str, Check]) -> None:
    assert wrong["retention: the expiry finds nothing that is due, in tables and files"].breaches
    assert any(name.startswith("retention: nothing older than") for name in wrong)


def test_a_row_that_was_never_opened_is_a_breach(wrong: dict[str, Check]) -> None:
    assert any("every visible day" in name for name in wrong)


def test_a_held_back_day_that_is_visible_is_a_breach(wrong: dict[str, Check]) -> None:
    assert any("no day that is held back" in name for name in wrong)


def test_what_is_kept_of_who_ordered_nothing_is_a_breach(wrong: dict[str, Check]) -> None:
    found = wrong["contracts: nothing is kept of a customer without a contract, in tables and files"].found
    assert found == (
        f"ops.dirty_day: customer {NONE}",
        f"keys/customer_{NAMED}.bak.key",
        f"keys/customer_{NONE}.key",
        f"reports/{NAMED}.old/traffic-{weeks.of(TODAY)}.html",
        f"outbox/{NAMED}/copy.eml",
    )


def test_a_drawn_page_that_nobody_ordered_is_a_breach(wrong: dict[str, Check]) -> None:
    check = wrong["contracts: every drawn page and mail is of a customer whose contract orders those reports"]
    assert check.found == (f"customer {NONE}, traffic of {weeks.of(TODAY)}",)


def test_an_audit_log_that_can_be_changed_is_a_breach(wrong: dict[str, Check]) -> None:
    assert wrong["audit log: it is append-only, for its owner too"].breaches == 3


def test_a_file_that_nobody_ordered_is_a_breach(wrong: dict[str, Check]) -> None:
    assert wrong["extracts: no file that no contract orders"].found == (
        f"extracts/{STANDARD}/agent.hyper",
        "extracts/left.over",
    )


def test_an_agent_in_a_mart_that_standard_opens_is_a_breach(wrong: dict[str, Check]) -> None:
    assert wrong[f"agents: {agents.NAME}: marts"].found == (f"customer {STANDARD}, queue_interval: 1 agent",)


def test_nothing_else_is_wrong(wrong: dict[str, Check]) -> None:
    about = (
        "no name or mail address", "retention", "every visible day", "no day that is held back", "contracts",
        "audit log", "extracts: no file", "file: own rows", "expiry", "one place", "agents", "rights", "pages",
        "nobody else on the machine", "keys alone",
    )  # fmt: skip
    assert only(wrong, *about), sorted(wrong)


@pytest.fixture(scope="module")
def elsewhere(published: Callmart, green: audit.Audit) -> dict[str, Check]:
    """What fails while files are wrong, and what stands on Tableau."""
    queues, lines, others = (
        extract.place(published.settings, customer, group)
        for customer, group in ((NAMED, "queue"), (NAMED, "line"), (ANONYMOUS, "queue"))
    )
    kept = {file: published.home.with_name(f"{number}.hyper") for number, file in enumerate((queues, lines))}
    away = published.home.with_name("away.hyper")
    for file, copy in kept.items():
        shutil.copy(file, copy)
    put_on_tableau(published, NAMED, "Wachtrijen", others, (b"SUM(", b"0+SUM("))
    agents_ = extract.place(published.settings, NAMED, "agent")
    again = Path(shutil.copy(agents_, published.home.with_name("again.hyper")))
    with hyper.written(again) as written:
        written.execute_command(f'update "{hyper.SCHEMA}"."agent_day" set agent_key = agent_key')
    assert again.read_bytes() != agents_.read_bytes()
    put_on_tableau(published, NAMED, "Medewerkers", again)
    with on_tableau(published, NAMED) as (tableau_server, project):
        elses = TSC.DatasourceItem(project.id, "Something else")
        foreign = tableau_server.datasources.publish(elses, str(others), "CreateNew")
        groups = list(TSC.Pager(tableau_server.groups))
        group = next(each for each in groups if each.name.endswith(f"-{NAMED}"))
        user = tableau_server.users.add(TSC.UserItem("iemand@example.org", "Viewer"))
        tableau_server.groups.add_user(group, user.id)
        everybody = next(each for each in groups if each.name == "All Users")
        rule = TSC.PermissionsRule(everybody, {TSC.Permission.Capability.Read: TSC.Permission.Mode.Allow})
        tableau_server.projects.update_permissions(project, [rule])
    shutil.copy(others, queues)
    others.rename(away)
    with hyper.written(lines) as written:
        written.execute_command(f'update "{hyper.SCHEMA}"."line_interval" set line = \'{agent_of(NAMED)}\'')
    put_on_tableau(published, NAMED, "Lijnen", lines)
    found = failed(published)
    away.rename(others)
    for file, copy in kept.items():
        copy.rename(file)
    with on_tableau(published, NAMED) as (tableau_server, project):
        tableau_server.projects.delete_permission(project, rule)
        tableau_server.users.remove(user.id)
        tableau_server.datasources.delete(foreign.id)
    put_on_tableau(published, NAMED, "Wachtrijen", queues, (b"0+SUM(", b"SUM("))
    put_on_tableau(published, NAMED, "Lijnen", lines)
    return found


def test_a_file_of_another_customer_or_none_is_a_breach(elsewhere: dict[str, Check]) -> None:
    check = next(check for name, check in elsewhere.items() if "file: own rows" in name)
    assert of_queues(check, NAMED, "DIFFERS")
    assert of_queues(check, ANONYMOUS, "MISSING")


def test_anothers_rows_on_tableau_are_a_breach(elsewhere: dict[str, Check]) -> None:
    check = next(check for name, check in elsewhere.items() if "Tableau: own rows" in name)
    assert of_queues(check, NAMED, "DIFFERS")


def test_foreign_content_on_tableau_is_a_breach(elsewhere: dict[str, Check]) -> None:
    assert (f"customer {NAMED}: a data source that is not ours",) in [
        check.found for check in elsewhere.values()
    ]


def test_whoever_reaches_a_project_and_is_no_recipient_is_a_breach(elsewhere: dict[str, Check]) -> None:
    found = [check.found for check in elsewhere.values()]
    assert (f"customer {NAMED}: other rights than those of its group; publish again",) in found
    (reached,) = (told for told in found if any("reaches project" in one for one in told))
    another, member = sorted(reached)
    assert another.startswith(f"customer {NAMED}: c…@twee.example (Viewer) reaches project ")
    assert member.startswith(f"customer {NAMED}: i…@example.org (Viewer) reaches project ")
    assert member.endswith("(Connect, ExportImage, Filter, Read); publish again")


def test_an_agent_in_a_file_that_standard_opens_is_a_breach(elsewhere: dict[str, Check]) -> None:
    for place in ("extracts", "Tableau"):
        assert elsewhere[f"agents: {agents.NAME}: {place}"].found == (f"customer {NAMED}, line: 1 agent",)


def test_other_contents_are_a_breach_where_the_counts_are_right(elsewhere: dict[str, Check]) -> None:
    """On disk and on Tableau. The same rows in a file of other bytes are none."""
    for name in ("file: own rows", "Tableau: own rows"):
        (check,) = (check for check_name, check in elsewhere.items() if name in check_name)
        assert f"customer {NAMED}, line_interval: DIFFERS" in check.found
        assert not any(f"customer {NAMED}, agent" in one for one in check.found)


def test_another_formula_on_tableau_is_a_breach(elsewhere: dict[str, Check]) -> None:
    (check,) = (check for name, check in elsewhere.items() if "formulas and files" in name)
    assert check.found == (
        f"customer {NAMED}: data source 'Wachtrijen' has other connections, formulas or files; remove it on Tableau, "
        "and publish again",
    )


def test_nothing_else_is_wrong_elsewhere(elsewhere: dict[str, Check]) -> None:
    assert len(elsewhere) == 8


@pytest.mark.thorough
def test_a_look_for_agents_that_finds_none_of_the_planted_proves_nothing(
    published: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = [f"agents: {agents.NAME}: {place}" for place in ("marts", "extracts", "Tableau")]
    with published.superuser() as superuser:
        superuser.execute(
            "create or replace function registry.known_agents(customer integer, words text[]) returns text[]"
            " stable security definer return '{}'::text[]"
        )
    found = failed(published)
    with published.connect() as owner:
        schema.apply(owner, published.settings)
    assert {found[place].outcome for place in places} == {"NOTHING TO LOOK AT"}
    assert only(found, "agents", "roles, memberships, rights")

    monkeypatch.setattr(agents, "_words_of", lambda file, marts: iter(()))
    found = failed(published)
    assert {name: check.outcome for name, check in found.items()} == {
        f"agents: {whom}: {place}": "NOTHING TO LOOK AT"
        for whom in (agents.NAME, objectors.NAME)
        for place in ("extracts", "Tableau")
    }


def test_after_all_that_everything_holds_again_and_files_that_are_not_kept_are_not_missed(
    published: Callmart,
) -> None:
    forgetful = Callmart(published.settings.model_copy(update={"tableau": Tableau(keep_extracts=False)}))
    with forgetful.connect() as connection:
        run.deliver(connection, forgetful.settings, stages.Ran(), quietly)
    assert not list(extract.folder(forgetful.settings).rglob("*.hyper"))
    assert failed(forgetful) == {}


BEGINS_TODAY = f"""
insert into registry.customer
select (jsonb_populate_record(c, '{{"customer_id": 7}}')).* from registry.customer as c where customer_id = {NONE};
insert into registry.contract (customer_id, option, valid_from) values (7, 'standard', current_date)
"""


def test_whose_contract_begins_today_is_locked_out_until_the_next_run(published: Callmart) -> None:
    """It has no role yet, and is the first of all customers."""
    with (
        done(published, BEGINS_TODAY, "delete from registry.customer where customer_id = 7"),
        attacks_at("server"),
    ):
        found = by_name(look(published))
    (logins,) = (check for name, check in found.items() if name.startswith("logins: "))
    assert logins.found == ("customer 7",)
    (seen,) = (check for name, check in found.items() if "publisher: own rows" in name)
    assert set(seen.found) >= {"customer 7, queue_day: MISSING"}
    assert not [name for name in found if name.startswith("attacks")]


# -- nothing to look at ----------------------------------------------------------------------------------------------


def test_with_nothing_to_look_at_it_fails(
    make_callmart: Callable[..., Callmart], monkeypatch: pytest.MonkeyPatch
) -> None:
    callmart = make_callmart(ready=True)
    use(callmart.settings, monkeypatch)
    with attacks_at("mart", "dated mart", "closed mart"):
        ran = CliRunner().invoke(main.app, ["audit"])
    assert ran.exit_code == 1
    told = json.loads(next((callmart.home / "audit").glob("*.json")).read_text())
    assert told["summary"]["breaches"] == 0
    assert told["summary"]["checks that looked at nothing"] > 50
    nothing = {check["name"] for check in told["checks"] if check["outcome"] == "NOTHING TO LOOK AT"}
    assert "there are marts with rows of several customers to keep apart" in nothing
    assert "plain: a plain query" in nothing


@pytest.mark.thorough
def test_with_a_single_customer_it_fails(published: Callmart) -> None:
    """When the others have left, its own rows prove nothing of theirs."""
    published.apply(REGISTRY.partition(f"  - id: {ANONYMOUS}\n")[0])
    with published.connect() as connection:
        ran = stages.Ran()
        stages.remove_closed(connection, published.settings, ran, quietly)
        run.deliver(connection, published.settings, ran, quietly)
        assert ran.problems == []
    with attacks_at("mart", "dated mart", "closed mart"):
        found = by_name(look(published))
    assert all(check.breaches == 0 for check in found.values())
    assert "every customer and mart: there are marts with rows of several customers to keep apart" in found
