"""A customer may have a site of its own on Tableau: it is filled, moved to, cleared and looked for there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import psycopg
import pytest
import tableauserverclient as TSC
from pydantic import SecretStr

from callmart.audit import objectors, on_tableau
from callmart.audit.channels import Board
from callmart.audit.check import Check
from callmart.base.errors import UserError
from callmart.base.needles import Needles
from callmart.base.person import Blocked, Person, Work
from callmart.base.progress import quietly
from callmart.base.settings import Settings, Tableau, TableauLogin, _is_secret
from callmart.database import clock
from callmart.declarations import dbt_project
from callmart.operations import doctor, status
from callmart.publish import bookkeeping, credentials, deriving, installation, places, sites, tableau
from callmart.publish.applying import Outcome
from callmart.publish.tableau import At
from callmart_home import Callmart
from published import groups, moved, projects, subscriptions, users
from tableau_emulator import faults
from tableau_emulator.state import State
from today import TODAY

pytestmark = pytest.mark.thorough

OWN, OTHER = 1, 2


def registry(own: str = "", other: str = "", contract: str = "from: 2020-01-01") -> str:
    """Two customers with recipients. The words are the lines that give each its site, if it has one."""
    return f"""
customers:
  - id: {OWN}
    name: Een
    contracts: [{{option: standard, {contract}}}]
    recipients: [{{email: chef@een.example, reports: [traffic]}}]
    {own}
  - id: {OTHER}
    name: Twee
    contracts: [{{option: standard, from: 2020-01-01}}]
    recipients: [{{email: chef@twee.example, reports: [traffic]}}]
    {other}
"""


def at(site: str) -> str:
    return f"tableau_site: {site}"


@dataclass
class Sites:
    """A home, and a Tableau server elsewhere with the sites `een` and `twee` besides the shared one."""

    callmart: Callmart
    folder: Path
    done: list[str] = field(default_factory=list)  # of the last publication

    @property
    def settings(self) -> Settings:
        return self.callmart.settings

    def publish(self, on_step: Callable[..., None] = quietly, *, only_due: bool = False) -> list[Outcome]:
        self.done.clear()
        with self.callmart.connect() as connection, tableau.at_sites(self.settings) as to:
            plans = sites.plan(sites.read(connection, self.settings, to, only_due=only_due))

            def step(name: str, *of: int) -> None:
                self.done.append(name)
                on_step(name, *of)

            return sites.apply(connection, self.settings, to, plans, step)

    def errors(self) -> list[str]:
        """Publish, and return what went wrong."""
        return [outcome.error for outcome in self.publish() if outcome.error]

    def held(self) -> dict[str, set[str]]:
        """The customers' projects and accounts on each site that has some, and their mails that are not suspended."""
        found = {}
        for site in ("", "een", "twee"):
            with tableau.connect(self.settings, site) as server:
                names = {name for name in projects(server) if name not in ("Default", "default", "callmart")}
                mails = {each.subject for each in subscriptions(server) if not each.suspended}
                found[site] = (
                    names | users(server).keys() | {f"mail: {len(mails)}"}
                    if names | users(server).keys()
                    else set()
                )
        return {site: what for site, what in found.items() if what}

    @property
    def books(self) -> set[tuple[int, str, str]]:
        rows = self.callmart.rows("select customer_id, site, state from ops.publication")
        return {(row["customer_id"], row["site"], row["state"]) for row in rows}

    def inject(self, path: str, method: str = "POST", status: int = 400) -> None:
        with State(self.folder) as state:
            faults.inject(state, faults.Fault("status", method, path, count=1, status=status))


EEN, TWEE = {"1 Een", "chef@een.example", "mail: 1"}, {"2 Twee", "chef@twee.example", "mail: 1"}
BOTH = EEN | TWEE


@pytest.fixture(scope="module")
def elsewhere(home_elsewhere: tuple[Callmart, Path]) -> Sites:
    home, folder = home_elsewhere
    with tableau.connect(home.settings) as signed_in:
        for name in ("een", "twee"):
            signed_in.sites.create(TSC.SiteItem(name.capitalize(), name))
    return Sites(home, folder)


@pytest.fixture
def there(elsewhere: Sites) -> Sites:
    """Both customers on the shared site, and nothing anywhere else."""
    with State(elsewhere.folder) as state:
        faults.clear(state)
    elsewhere.callmart.apply(registry())
    assert elsewhere.errors() == []
    return elsewhere


def test_a_customer_moves_to_a_site_of_its_own_and_back(there: Sites) -> None:
    there.callmart.apply(registry(own=at("een")))
    assert there.errors() == []
    assert there.held() == {"": TWEE, "een": EEN}
    assert there.books == {(OWN, "een", "published"), (OTHER, "", "published")}
    filled, cleared = there.done.index("Drukte"), len(there.done) - 1 - there.done[::-1].index("1 Een")
    assert there.done[0] == "all", "the mail of before stops first"
    assert filled < cleared, "it is there before it is gone"
    with there.callmart.connect() as connection:
        said = {one.customer_id: one.tableau for one in status.status(connection)}
    assert said == {OWN: "callmart / 1 Een on the site een", OTHER: "callmart / 2 Twee"}
    assert (there.errors(), there.done) == ([], []), "nothing is left to do"
    there.callmart.apply(registry())
    assert there.errors() == []
    assert there.held() == {"": BOTH}


def test_sites_share_the_schedules_of_their_server(there: Sites) -> None:
    """Both are read before either makes the schedule."""
    with tableau.connect(there.settings) as server:
        for schedule in TSC.Pager(server.schedules):
            server.schedules.delete(schedule.id)
    there.callmart.apply(registry(own=at("een")))
    assert there.errors() == []
    assert there.held() == {"": TWEE, "een": EEN}


def test_two_customers_change_places(there: Sites) -> None:
    there.callmart.apply(registry(own=at("een"), other=at("twee")))
    assert there.errors() == []
    assert there.held() == {"een": EEN, "twee": TWEE}
    there.callmart.apply(registry(own=at("twee"), other=at("een")))
    assert there.errors() == []
    assert there.held() == {"een": TWEE, "twee": EEN}
    assert there.books == {(OWN, "twee", "published"), (OTHER, "een", "published")}


def test_the_plan_says_what_moves_and_asks_for_nothing(there: Sites) -> None:
    there.callmart.apply(registry(own=at("een")))
    with there.callmart.connect() as connection, tableau.at_sites(there.settings) as to:
        plans = sites.plan(sites.read(connection, there.settings, to))
        lines = list(plans.lines())
    assert plans.leaving == ()
    first, on_own, clearing = (
        lines.index(f"on {site}")
        for site in (
            "the shared site",
            "the site 'een'",
            "the shared site, as soon as they are on the other one",
        )
    )
    assert "  ~ subscription 'all'" in lines[first:on_own]
    assert "  + project '1 Een'" in lines[on_own:clearing]
    assert "  - project '1 Een'" in lines[clearing:]
    assert "- user 'c…@een.example'" in lines[clearing:]
    steps = plans.as_json()["steps"]
    assert {step["site"] for step in steps if step["customer_id"] == OWN} == {"", "een"}


def test_what_can_not_be_filled_is_not_cleared(there: Sites) -> None:
    there.callmart.apply(registry(own=at("een")))
    there.inject("/workbooks$")
    (error,) = there.errors()
    assert error.startswith("customer 1: Tableau answered 400")
    held = there.held()
    assert held[""] == {"1 Een", "2 Twee", "chef@een.example", "chef@twee.example", "mail: 1"}, (
        "its mail has stopped"
    )
    assert (OWN, "een", "failed") in there.books
    assert there.errors() == []
    assert there.held() == {"": TWEE, "een": EEN}


@pytest.mark.parametrize(
    "only_due",
    [pytest.param(False, marks=pytest.mark.thorough, id="by hand"), pytest.param(True, id="run")],
)
def test_killed_between_filling_and_clearing_the_next_publication_clears(
    there: Sites, *, only_due: bool
) -> None:
    """A run would not look at the other site again on that day."""
    there.callmart.apply(registry(own=at("een")))

    def kill(name: str, *_: int) -> None:
        if name == "c…@een.example" and "Drukte" in there.done:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        there.publish(kill, only_due=only_due)
    assert {site for customer, site, _ in there.books if customer == OWN} == {"", "een"}
    assert there.held()["een"] == EEN
    assert not any(one.error for one in there.publish(only_due=only_due))
    assert there.held() == {"": TWEE, "een": EEN}
    assert {site for customer, site, _ in there.books if customer == OWN} == {"een"}


def test_a_site_that_is_not_there_is_one_sentence_of_its_customer(there: Sites) -> None:
    there.callmart.apply(registry(own=at("nergens")))
    with there.callmart.connect() as connection, tableau.at_sites(there.settings) as to:
        lines = list(sites.plan(sites.read(connection, there.settings, to)).lines())
    assert lines[0].startswith("! the site 'nergens' can't be read: Tableau at http")
    assert not any(line.strip().startswith("-") for line in lines), (
        "nothing is cleared before it is elsewhere"
    )
    for _ in range(2):
        (error,) = there.errors()
        assert error.startswith("customer 1: the site 'nergens': Tableau at http")
        assert "/site/nergens/" in error
        assert there.held()["een" if "een" in there.held() else ""] >= TWEE
    assert "1 Een" in there.held()[""], "it stays where it was, without mail"
    assert {site for _, site, _ in there.books} == {""}, "a typing error leaves nothing to look for"
    there.callmart.apply(registry())
    assert there.errors() == []
    assert there.held() == {"": BOTH}


def test_the_end_of_a_contract_clears_its_site(there: Sites) -> None:
    there.callmart.apply(registry(own=at("een")))
    assert there.errors() == []
    there.callmart.apply(registry(contract="from: 2020-01-01, until: 2021-01-01"))
    there.inject("/projects/", "DELETE")
    assert len(there.errors()) == 1
    assert (OWN, "een", "failed") in there.books, "it is looked for until it is gone"
    assert there.errors() == []
    assert there.held() == {"": TWEE}
    assert there.books == {(OTHER, "", "published")}


def test_who_leaves_is_removed_also_if_the_group_of_our_accounts_was(there: Sites) -> None:
    with tableau.connect(there.settings) as server:
        (ours,) = (luid for name, luid in groups(server).items() if name.endswith("-users"))
        server.groups.delete(ours)
    there.callmart.apply(registry(contract="from: 2020-01-01, until: 2021-01-01"))
    assert there.errors() == []
    assert there.held() == {"": TWEE}
    assert len(there.callmart.rows("select user_id from registry.account")) == 1, (
        "who left is no longer known"
    )


def test_a_site_that_is_gone_is_forgotten_by_a_person(there: Sites) -> None:
    with tableau.connect(there.settings) as signed_in:
        site = signed_in.sites.create(TSC.SiteItem("Drie", "drie"))
    there.callmart.apply(registry(own=at("drie")))
    assert there.errors() == []
    with (
        there.callmart.connect() as connection,
        pytest.raises(UserError, match="customer 1 has the site 'drie'"),
    ):
        sites.forget(connection, there.settings, "drie")
    with tableau.connect(there.settings, "drie") as signed_in:
        signed_in.sites.delete(site.id)
    there.callmart.apply(registry())
    (error,) = there.errors()
    assert error.startswith("customer 1: the site 'drie'")
    assert error.endswith("`callmart publish --forget-site drie`")
    held = there.held()
    assert held[""] >= {"1 Een", "2 Twee", "mail: 1"}, "nobody knows whether the old one mails"
    with there.callmart.connect() as connection:
        sites.forget(connection, there.settings, "drie")
        with pytest.raises(UserError, match="the books have no site 'drie'"):
            sites.forget(connection, there.settings, "drie")
    assert there.callmart.rows("select user_id from registry.account where site = 'drie'") == []
    assert there.errors() == []
    assert there.held() == {"": BOTH}


def test_two_names_of_one_site_remove_nothing(there: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    there.callmart.apply(registry(own=at("een"), other=at("een")))
    assert there.errors() == []
    real = credentials.of
    monkeypatch.setattr(credentials, "of", lambda wanted, site="": real(wanted, site.lower()))
    there.callmart.apply(registry(own=at("een"), other=at("EEN")))
    errors = there.errors()
    assert len(errors) == 3
    assert all("it is the same site as the site '" in error for error in errors)
    assert there.held() == {"een": BOTH}
    there.callmart.apply(registry())
    with there.callmart.connect() as connection:
        there.callmart.rows("update ops.publication set site = 'een' where site = 'EEN' returning 1")
        connection.commit()


def test_another_spelling_of_a_site_that_is_not_due_removes_nothing(
    there: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended = "from: 2020-01-01, until: 2021-01-01"
    there.callmart.apply(registry(other=at("een"), contract=ended))
    assert there.errors() == []
    real = credentials.of
    monkeypatch.setattr(credentials, "of", lambda wanted, site="": real(wanted, site.lower()))
    there.callmart.apply(registry(own=at("EEN"), other=at("een")))
    errors = [one.error for one in there.publish(only_due=True) if one.error]
    assert len(errors) == 2
    assert all("it is the same site as the site '" in error for error in errors)
    assert there.held() == {"een": TWEE}
    there.callmart.apply(registry(other=at("een")))
    named = there.settings.model_copy(
        update={"tableau": there.settings.tableau.model_copy(update={"site": "EEN"})}
    )
    with there.callmart.connect() as connection, tableau.at_sites(there.settings) as to:
        unread = sites.read(connection, named, to).unread
    assert unread.keys() == {"", "een"}


def test_nobody_leaves_while_the_group_of_a_customer_that_moves_is_unread(there: Sites) -> None:
    there.callmart.apply(registry(own=at("een"), other=at("een")))
    assert there.errors() == []
    with tableau.connect(there.settings, "een") as server:
        group = next(luid for name, luid in groups(server).items() if name.endswith(f"-customer-{OWN}"))
    there.callmart.apply(registry(own=at("twee"), other=at("een")))
    there.inject(f"/groups/{group}/users$", "GET")
    there.inject("/workbooks$")
    assert len(there.errors()) == 1
    assert there.held()["een"] == {"1 Een", "chef@een.example", *TWEE}, "it is not there yet"
    assert there.errors() == []
    assert there.held() == {"een": TWEE, "twee": EEN}


def test_the_plan_of_one_customer_does_not_end_a_take_over(
    there: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As for a person's erasure, before everything of the former installation is adopted."""
    settled: list[Path] = []
    monkeypatch.setattr(installation, "takes_over", lambda _: True)
    monkeypatch.setattr(installation, "settle", settled.append)
    with there.callmart.connect() as connection, tableau.at_sites(there.settings) as to:
        plans = sites.plan(sites.read(connection, there.settings, to))
        for wanted in (plans.of(OWN), plans):
            assert settled == []
            outcomes = sites.apply(connection, there.settings, to, wanted, quietly)
            assert outcomes[0].error is None
    assert settled == [there.settings.home]


def test_the_site_of_the_settings_is_the_shared_one(there: Sites) -> None:
    wanted = there.settings.tableau.model_copy(update={"site": "een"})
    named = Sites(Callmart(there.settings.model_copy(update={"tableau": wanted})), there.folder)
    there.callmart.apply(registry(own=at("een")))
    assert there.errors() == []
    with named.callmart.connect() as connection:
        assert {one.site for one in deriving.desired(connection, named.settings)} == {""}
        assert bookkeeping.sites(connection, named.settings) == [""]
        assert bookkeeping.books(connection, named.settings).known == {OWN, OTHER}
        assert bookkeeping.sites(connection, there.settings) == ["", "een"]


def test_a_site_can_have_a_login_of_its_own(there: Sites, tmp_path: Path) -> None:
    wanted = there.settings.tableau
    assert wanted.token is not None
    (file := tmp_path / "token").write_text(wanted.token.get_secret_value())
    file.chmod(0o600)
    login = TableauLogin(token_name=wanted.token_name, token_file=file)
    apart = wanted.model_copy(update={"token": SecretStr("wrong"), "sites": {"een": login}})
    settings = there.settings.model_copy(update={"tableau": apart})
    with tableau.connect(settings, "een") as server:
        assert server.site_url == "een"
    for site in ("", "twee"):
        with (
            pytest.raises(UserError, match=r"tableau\.token or tableau\.token_file"),
            tableau.connect(settings, site),
        ):
            pass
    file.write_text("wrong")
    wrong = pytest.raises(UserError, match=r"/site/een/.* or tableau\.sites\.een\.token_file")
    with wrong, tableau.connect(settings, "een"):
        pass
    apart = apart.model_copy(update={"sites": {"een": TableauLogin()}})
    with pytest.raises(ValueError, match=r"sites\.een is the site that customers share"):
        Tableau(site="een", sites={"een": login})
    for secret in ("token", "connected_app.secret"):
        assert _is_secret(f"tableau.sites.een.{secret}"), "so callmart.toml must be its owner's alone"
    assert not _is_secret("tableau.sites.een.token_file")
    lacking = there.settings.model_copy(update={"tableau": apart})
    wrong = pytest.raises(
        UserError, match=r"settings tableau\.sites\.een\.token_file and .*: set exactly one"
    )
    with wrong, tableau.connect(lacking, "een"):
        pass


def test_the_doctor_signs_in_to_each_site(there: Sites) -> None:
    def found() -> tuple[str, str]:
        (check,) = [one for one in doctor.checks(lambda: there.settings) if one.name == "Tableau sites"]
        return check.outcome, check.found

    assert found() == ("ok", "no customer has one of its own")
    there.callmart.apply(registry(own=at("een")))
    assert found() == ("ok", "een, each signed in to")
    there.callmart.apply(registry(own=at("een"), other=at("nergens")))
    outcome, said = found()
    assert outcome == "wrong"
    assert said.startswith("site 'nergens': Tableau at ")


# -- who looks at each site ------------------------------------------------------------------------------------------

WORD = "Verzonnen Persoon"


@contextmanager
def saying(sites_: Sites, site: str) -> Iterator[None]:
    """Somebody has put a person's name on a site."""
    with tableau.connect(sites_.settings, site) as server:
        project = server.projects.create(
            TSC.ProjectItem(f"of {WORD}", parent_id=projects(server)["callmart"].id)
        )
        yield
        server.projects.delete(project.id)


def test_the_audit_reads_each_site(there: Sites, monkeypatch: pytest.MonkeyPatch) -> None:
    board = Board({OWN: "standard", OTHER: "standard"}, (), {}, {}, "", frozenset(), {})

    def failed(sites_read: int = 2) -> dict[str, tuple[str, ...]]:
        with there.callmart.connect() as connection, tableau.at_sites(there.settings) as to:
            found = on_tableau.look(connection, there.settings, to, board, quietly)
        assert found.persons == {"ServerAdministrator": sites_read}
        return {check.name: check.found for check in found.checks if not check.good}

    there.callmart.apply(registry(own=at("een")))
    assert there.errors() == []
    assert failed() == {}
    content = "nothing is in the projects that no contract orders or that is not ours"
    with saying(there, "een"):
        assert failed()[content] == ("site 'een': a project beside the customers' projects",)
    with tableau.connect(there.settings, "een") as server:
        (group,) = (luid for name, luid in groups(server).items() if name.endswith(f"-customer-{OWN}"))
    there.inject(f"/groups/{group}/users$", "GET", 403)
    ((_, (what,)),) = failed(sites_read=1).items()
    assert what.startswith("customer 1: Tableau answered 403")
    with moved(there.settings, OTHER):
        ((_, (what,)),) = failed().items()
        assert what.startswith(f"customer {OTHER}: its project ") and "was moved: move it back" in what
    there.callmart.apply(registry())
    assert failed()[content][0] == "site 'een': customer 1 has another site, but a project or a group"
    there.callmart.apply(registry(own=at("een"), other=at("nergens")))
    unread = failed()["the content of the site 'nergens' can be read"]
    assert "refuses the token" in unread[0]

    def refuse(*_: object) -> Check:
        raise UserError("the site refuses the token")

    before = failed()
    monkeypatch.setattr(objectors, "of_sites", refuse)
    assert failed() == before, "what can't be read is said once"
    there.callmart.apply(registry(own=at("een")))
    assert "everything that Tableau gives back can be read" in failed()


def test_a_closed_project_with_content_of_others_is_no_breach_of_rights(there: Sites) -> None:
    mart = dbt_project.marts(there.settings)[0]
    board = Board({OWN: "none", OTHER: "standard"}, (mart,), {}, {}, "", frozenset(), {})

    def looked() -> tuple[set[str], dict[int, str]]:
        with there.callmart.connect() as connection, tableau.at_sites(there.settings) as to:
            found = on_tableau.look(connection, there.settings, to, board, quietly)
        of_own = {cell.customer_id: str(cell.outcome) for cell in found.cells if cell.customer_id == OWN}
        return {what for check in found.checks for what in check.found}, of_own

    ended = "from: 2020-01-01, until: 2021-01-01"
    with tableau.connect(there.settings) as server:
        inside = TSC.ProjectItem("van een mens", parent_id=projects(server)["1 Een"].id)
        luid = server.projects.create(inside).id
    there.callmart.apply(registry(contract=ended))
    of_rights = "customer 1: rights on a project that is to be closed; publish again"
    said, cells = looked()
    assert of_rights in said
    assert cells == {OWN: "OPEN"}
    assert there.errors() == []
    said, cells = looked()
    assert {each for each in said if "1" in each} == {
        "customer 1 has no contract, but a project or a group",
        "customer 1: a project that is not ours",
    }
    assert cells == {OWN: "closed"}
    with tableau.connect(there.settings) as server:
        server.projects.delete(luid)
    there.publish(only_due=True)
    assert there.done == ["1 Een"], "a run removes it as soon as it can"
    assert there.books == {(OTHER, "", "published")}


def test_persons_are_sought_on_each_site(there: Sites) -> None:
    def work(connection: psycopg.Connection, to: At) -> Work:
        return Work(connection, there.settings, to, Needles([WORD]))

    there.callmart.apply(registry(own=at("een")))
    assert there.errors() == []
    agent = Person(OTHER, "agent", frozenset({WORD}), frozenset(), datetime.now(UTC))
    chef = replace(agent, customer_id=OWN, kind="recipient", words=frozenset({"chef@een.example"}))
    with there.callmart.connect() as connection, tableau.at_sites(there.settings) as to:
        assert places.Content().find(work(connection, to), agent) == {}
        found = places.Members().find(work(connection, to), chef)
        assert found == {"users": 1, "members": 1, "subscriptions": 1}
        with saying(there, "een"):
            assert places.Content().find(work(connection, to), agent) == {"list of projects": 1}
        there.callmart.apply(registry(own=at("een"), other=at("nergens")))
        for look in (places.Content().find, places.Members().find, places.Members().treat):
            with pytest.raises(Blocked, match=r"refuses the token .* for site 'nergens'"):
                look(work(connection, to), chef)


@pytest.mark.parametrize(("customers", "days"), [(999, 1), (1000, 2), (5000, 7)])
def test_each_customer_has_a_turn_within_a_week(elsewhere: Sites, customers: int, days: int) -> None:
    """Also beside customers with new data, who are looked at each day. A turn that was missed is made up for."""
    everybody, busy = set(range(1, customers + 1)), set(range(1, 600))
    with elsewhere.callmart.connect() as connection:

        def note(who: set[int], day: int, state: str = "published") -> None:
            connection.execute(
                "insert into ops.publication (customer_id, site, state, looked_on)"
                " select n, 'many', %s, %s from unnest(%s::integer[]) as n on conflict (customer_id, site)"
                " do update set state = excluded.state, looked_on = excluded.looked_on",
                [state, TODAY + timedelta(day), list(who)],
            )

        def due(day: int) -> set[int]:
            return everybody - bookkeeping.settled(connection, "many", TODAY + timedelta(day)).keys()

        note(everybody, 0)
        seen = due(0)
        assert seen == set()
        for day in range(1, days + 1):
            assert len(due(day)) == pytest.approx(customers / days, rel=0.1)
            seen |= due(day)
            note(due(day) | busy, day)
            assert due(day) == set()
        assert seen == everybody
        assert len(due(days + 3)) == pytest.approx(customers * min(1, 3 / days), rel=0.1), "nobody looked"
        note({1}, days, "failed")
        note({2}, days + 1)
        assert due(days) == {1, 2}, "failed, and looked at when the clock was ahead"
        connection.rollback()


def test_what_is_changed_by_hand_is_undone_on_the_customers_turn(
    there: Sites, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every second day, which is the same for both."""
    monkeypatch.setattr(bookkeeping, "ENOUGH", 1)

    def undone(day: int, *, only_due: bool = True) -> set[str]:
        monkeypatch.setattr(clock, "today", lambda *_: date(2026, 3, day))
        there.publish(only_due=only_due)
        return set(there.done)

    assert undone(1, only_due=False) == set()
    with tableau.connect(there.settings) as server:
        (everybody,) = (group for group in TSC.Pager(server.groups) if group.name == "All Users")
        rule = TSC.PermissionsRule(everybody, {TSC.Permission.Capability.Read: TSC.Permission.Mode.Allow})
        for name, project in projects(server).items():
            if name in ("1 Een", "2 Twee"):
                server.projects.update_permissions(project, [rule])
    assert [undone(day) for day in (1, 2, 3, 3)] == [set(), set(), {"1 Een", "2 Twee"}, set()]


def test_an_address_that_tableau_refused_is_tried_by_each_run(there: Sites) -> None:
    with State(there.folder) as state:
        state.write("update user set email = '' where name = 'chef@een.example'")
    there.inject("/users/[^/]+$", "PUT", 403)
    assert ["chef" in said for one in there.publish() if (said := one.alert)] == [False]
    assert there.publish(only_due=True) and there.done == ["c…@een.example"]
