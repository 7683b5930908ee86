"""The fixtures of tests that publish to an emulator."""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import tableauserverclient as TSC
from pydantic import SecretStr

from callmart.base.settings import Settings, Tableau
from callmart.declarations import exposures
from callmart.publish import deriving
from callmart.publish.desired import DataSource, Publication
from callmart.publish.tableau import connect
from callmart.tableau_files import tds
from callmart_home import Callmart
from emulated import in_threads
from publications import MONDAY, report
from published import Emptied, groups, projects, publish, real
from tableau_emulator.client import served
from tableau_emulator.faults import clear
from tableau_emulator.state import State
from tableau_files import hyper, marts


@pytest.fixture(scope="session")
def known_types() -> Callable[[Path], Any]:
    """The types of an extract. Hyper, which takes its time to start, reads them once: the files stay as they are."""
    return cache(tds.held_types)


@pytest.fixture(scope="session")
def made_extracts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, DataSource]:
    """Extracts, real ones but for their rows, by a word each."""
    folder = tmp_path_factory.mktemp("extracts")
    groups: dict[str, str] = {"queues": "queue", "queues later": "queue", "agents": "agent"}
    return {
        word: DataSource(
            tds.source(group, marts(), "nl"),
            hyper(folder / word, group),
            f"hash of {word}".replace(" ", "-"),
            2,
        )
        for word, group in groups.items()
    }


@pytest.fixture(scope="module")
def extracts(
    made_extracts: dict[str, DataSource], known_types: Callable[[Path], Any]
) -> Iterator[dict[str, DataSource]]:
    """The extracts, for a module that publishes them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tds, "held_types", known_types)
        yield made_extracts


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    """Of a home, whose emulator is not there yet."""
    with in_threads():
        yield Settings(home=tmp_path, tableau=Tableau())


@pytest.fixture
def server(settings: Settings) -> Iterator[TSC.Server]:
    with connect(settings) as server:
        yield server


@pytest.fixture(scope="module")
def emulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Settings, State]]:
    folder = tmp_path_factory.mktemp("shared")
    with served(folder) as emulator, State(folder) as state:
        yield (
            real(folder, server=emulator.url, token_name=emulator.token_name, token=emulator.token),
            state,
        )


@pytest.fixture(scope="module")
def home_elsewhere(
    callmart: Callmart,
    extracts: dict[str, DataSource],
    tmp_path_factory: pytest.TempPathFactory,
    trusted: None,
) -> Iterator[tuple[Callmart, Path]]:
    """A home, and the folder of its emulator, which is a server elsewhere to it. All is real but the extracts, the week
    that would have to be whole for the mail, and the hour of the mail, which is always to come. There is one report.
    """
    # Nobody has ordered the second.
    traffic = {name: exposures.named(name) for name in ("traffic", "contacts")}
    folder = tmp_path_factory.mktemp("elsewhere")
    with served(folder) as emulator, pytest.MonkeyPatch.context() as patch:
        patch.setattr(exposures, "reports", lambda: traffic)
        patch.setattr(deriving, "_extracts", lambda *_: [extracts["queues"]])
        patch.setattr(deriving, "mail_stopped", lambda _: {})
        patch.setattr(deriving, "_hour", lambda *_: MONDAY.hour)
        server = Tableau(
            server=emulator.url,
            token_name=emulator.token_name,
            token=SecretStr(emulator.token),
            keep_extracts=True,
        )
        yield Callmart(callmart.settings.model_copy(update={"tableau": server})), folder


@pytest.fixture
def emptied(emulated: tuple[Settings, State]) -> Iterator[Emptied]:
    """With nothing of anybody's but the project above all."""
    settings, state = emulated
    clear(state)
    with connect(settings) as server:
        for project in projects(server).values():
            if project.name == "callmart":
                server.projects.delete(project.id)
        for group, luid in groups(server).items():
            if group.startswith("callmart-"):
                server.groups.delete(luid)
        for user in TSC.Pager(server.users):
            if user.id != server.user_id:
                server.users.remove(user.id)
        publish(server)
        yield Emptied(settings, state, server)


@pytest.fixture
def detailed(extracts: dict[str, DataSource]) -> Publication:
    return Publication(
        1042,
        "Voorbeeld, Zn & Co: [BV]",
        (extracts["queues"], extracts["agents"]),
        (report("traffic", extracts["queues"]), report("agents", extracts["agents"])),
        ("chef@example.org",),
    )


@pytest.fixture
def standard(extracts: dict[str, DataSource]) -> Publication:
    return Publication(7, "Ander BV", (extracts["queues"],))


@pytest.fixture
def later(standard: Publication, extracts: dict[str, DataSource]) -> Publication:
    """The standard customer when its data have changed."""
    return Publication(standard.customer_id, standard.name, (extracts["queues later"],))
