"""A person of one customer is treated on Tableau whatever there is of others, who may have the same recipient."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
import tableauserverclient as TSC

from callmart.base.needles import Needles
from callmart.base.person import Blocked, Person, Work
from callmart.base.progress import quietly
from callmart.publish import places, sites, tableau
from callmart.publish.applying import Outcome
from callmart_home import Callmart
from published import projects, users
from tableau_emulator import faults
from tableau_emulator.state import State

pytestmark = pytest.mark.thorough

ONE, OTHER = 1, 2
ADVISER = "adviser@beide.example"


def registry(one: str = "", other: str = "") -> str:
    """Two customers, each with a recipient if one is named."""

    def customer(number: int, recipient: str) -> str:
        people = f"[{{email: {recipient}, reports: [traffic]}}]" if recipient else "[]"
        contracts = "[{option: standard, from: 2020-01-01}]"
        return f"  - {{id: {number}, name: C{number}, contracts: {contracts}, recipients: {people}}}\n"

    return f"customers:\n{customer(ONE, one)}{customer(OTHER, other)}"


@dataclass
class Shared:
    """A home, and the site of a Tableau server that both customers are on."""

    callmart: Callmart
    folder: Path

    def publish(self) -> list[Outcome]:
        with self.callmart.connect() as connection, tableau.at_sites(self.callmart.settings) as to:
            plans = sites.plan(sites.read(connection, self.callmart.settings, to))
            return sites.apply(connection, self.callmart.settings, to, plans, quietly)

    @contextmanager
    def work(self, *words: str) -> Iterator[Work]:
        with self.callmart.connect() as connection, tableau.at_sites(self.callmart.settings) as to:
            yield Work(connection, self.callmart.settings, to, Needles(words))

    @contextmanager
    def server(self) -> Iterator[TSC.Server]:
        with tableau.connect(self.callmart.settings) as server:
            yield server

    @contextmanager
    def no_account_goes(self) -> Iterator[None]:
        with State(self.folder) as state:
            faults.inject(state, faults.Fault("status", "DELETE", "/users/[^/]+$", count=9, status=400))
            yield
            faults.clear(state)


@pytest.fixture(scope="module")
def elsewhere(home_elsewhere: tuple[Callmart, Path]) -> Shared:
    return Shared(*home_elsewhere)


@pytest.fixture
def with_recipients(elsewhere: Shared) -> Callable[[str, str], Shared]:
    """Published with these recipients."""

    def published(one: str, other: str) -> Shared:
        elsewhere.callmart.apply(registry(one, other))
        assert [outcome.error for outcome in elsewhere.publish() if outcome.error] == []
        return elsewhere

    return published


def recipient(customer: int, address: str) -> Person:
    return Person(customer, "recipient", frozenset({address}), frozenset(), datetime.now(UTC))


def test_who_is_a_recipient_of_two_customers_goes_from_each_by_itself(
    with_recipients: Callable[[str, str], Shared],
) -> None:
    members = places.Members()
    there = with_recipients(ADVISER, ADVISER)
    one, other = recipient(ONE, ADVISER), recipient(OTHER, ADVISER)
    with there.work(ADVISER) as work:
        assert members.find(work, one) == members.find(work, other) == {"members": 1, "subscriptions": 1}
        there.callmart.apply(registry("", ADVISER))
        assert members.treat(work, one) == {"members": 1, "subscriptions": 1}
        assert members.prove(work, one).left == {}
        assert members.find(work, other) == {"users": 1, "members": 1, "subscriptions": 1}
        with there.server() as server:
            assert ADVISER in users(server)
        there.callmart.apply(registry())
        members.treat(work, other)
        assert members.prove(work, other).left == {}
        with there.server() as server:
            assert ADVISER not in users(server)


def test_what_can_not_be_read_of_another_customer_is_in_nobodys_way(
    with_recipients: Callable[[str, str], Shared],
) -> None:
    there = with_recipients("chef@een.example", "chef@twee.example")
    one, other = recipient(ONE, "chef@een.example"), recipient(OTHER, "chef@twee.example")

    def move(server: TSC.Server, to: str) -> None:
        project = projects(server)["2 C2"]
        project.parent_id = projects(server)[to].id
        server.projects.update(project)

    with there.server() as server:
        server.projects.create(TSC.ProjectItem("elders"))
        move(server, "elders")
    with there.work("chef@een.example") as work:
        there.callmart.apply(registry("", "chef@twee.example"))
        for place in (places.Content(), places.Members()):
            place.find(work, one)
            place.treat(work, one)
            assert place.prove(work, one).left == {}
            with pytest.raises(Blocked, match="customer 2: its project 2 C2 was moved"):
                place.find(work, other)
        with pytest.raises(Blocked, match="customer 2: its project 2 C2 was moved"):
            places.Members().treat(work, other)
    with there.server() as server:
        move(server, "callmart")


def test_only_the_own_account_that_can_not_be_removed_blocks(
    with_recipients: Callable[[str, str], Shared],
) -> None:
    members = places.Members()
    there = with_recipients("chef@een.example", "chef@twee.example")
    one, other = recipient(ONE, "chef@een.example"), recipient(OTHER, "chef@twee.example")
    there.callmart.apply(registry("chef@een.example", ""))
    with there.server() as server:  # so that no customer's group has it
        group = next(each for each in TSC.Pager(server.groups) if each.name.endswith(f"-customer-{OTHER}"))
        chef = next(each for each in TSC.Pager(server.users) if each.name == "chef@twee.example")
        server.groups.remove_user(group, chef.id)
    with there.work() as work, there.no_account_goes():
        members.treat(work, one)
        with pytest.raises(Blocked, match=r"the user c…@twee\.example: Tableau answered 400"):
            members.treat(work, other)
    with there.work() as work:
        members.treat(work, other)
        assert members.prove(work, other).left == {}


def test_what_others_put_into_the_customers_project_keeps_its_revisions(
    with_recipients: Callable[[str, str], Shared], tmp_path: Path
) -> None:
    there = with_recipients(ADVISER, "")
    with there.server() as server:
        ours = next(each for each in TSC.Pager(server.workbooks) if each.project_name == "1 C1")
        file = server.workbooks.download(ours.id, str(tmp_path / "report"))
        for mode in ("CreateNew", "Overwrite"):
            theirs = server.workbooks.publish(TSC.WorkbookItem(ours.project_id, "Van hen"), file, mode)
    person = Person(ONE, "agent", frozenset({"somebody"}), frozenset(), datetime.now(UTC))
    with there.work("somebody") as work, there.server() as server:
        places.Content().treat(work, person)
        server.workbooks.populate_revisions(theirs)
        assert len(theirs.revisions) == 2
        server.workbooks.delete(theirs.id)
