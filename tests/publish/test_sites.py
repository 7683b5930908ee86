"""A customer may have a site of its own on Tableau: it is filled, moved to, cleared and looked for there."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import tableauserverclient as TSC
from pydantic import SecretStr

from callmart.base.errors import UserError
from callmart.base.settings import Settings, Tableau, TableauLogin
from callmart.operations import doctor, status
from callmart.publish import DataSource, Outcome, credentials, publishing, sites, tableau
from callmart_home import Callmart, ignore_step
from published import projects, subscriptions, users
from tableau_emulator import client, faults
from tableau_emulator.state import State

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

    def publish(self, on_step: Callable[..., None] = ignore_step) -> list[Outcome]:
        self.done.clear()
        with self.callmart.connect() as connection, tableau.at_sites(self.settings) as to:
            plans = sites.plan(sites.read(connection, self.settings, to))

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
def shared(
    callmart: Callmart, extracts: dict[str, DataSource], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Sites]:
    """Everything is real but the extracts, and the week that would have to be whole for the mail."""
    folder = tmp_path_factory.mktemp("elsewhere")
    with client.served(folder) as emulator, pytest.MonkeyPatch.context() as patch:
        patch.setattr(publishing, "_extracts", lambda *_: [extracts["queues"]])
        patch.setattr(publishing, "mail_stopped", lambda _: {})
        server = Tableau(
            server=emulator.url,
            token_name=emulator.token_name,
            token=SecretStr(emulator.token),
            keep_extracts=True,
        )
        home = Callmart(callmart.settings.model_copy(update={"tableau": server}))
        with tableau.connect(home.settings) as signed_in:
            for name in ("een", "twee"):
                signed_in.sites.create(TSC.SiteItem(name.capitalize(), name))
        yield Sites(home, folder)


@pytest.fixture
def there(shared: Sites) -> Sites:
    """Both customers on the shared site, and nothing anywhere else."""
    with State(shared.folder) as state:
        faults.clear(state)
    shared.callmart.apply(registry())
    assert shared.errors() == []
    assert shared.held() == {"": BOTH}
    return shared


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
