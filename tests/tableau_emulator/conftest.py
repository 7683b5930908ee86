"""The fixtures of tests with an emulator, which all tests of a module share; for `pytest_plugins` of the module."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import tableauserverclient as TSC

from emulated import World, signed_in, world
from emulated_shop import Shop


@pytest.fixture(scope="module")
def world_of_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """The module's emulator, with whatever the last test left in it."""
    with world(tmp_path_factory.mktemp("emulator")) as made:
        yield made


@pytest.fixture
def here(world_of_module: World) -> World:
    """The module's emulator as it was at the start, the administrator signed in anew."""
    with world_of_module.state() as state:
        state.reset()
    return replace(world_of_module, server=signed_in(world_of_module.emulator))


@pytest.fixture
def server(here: World) -> TSC.Server:
    """The administrator's server."""
    return here.server


@pytest.fixture
def project(server: TSC.Server) -> TSC.ProjectItem:
    """A new project."""
    return server.projects.create(TSC.ProjectItem("a project"))


@pytest.fixture
def all_users(server: TSC.Server) -> str:
    """The LUID of the group of everybody."""
    return next(str(group.id) for group in TSC.Pager(server.groups) if group.name == "All Users")


@pytest.fixture
def shop(here: World) -> Shop:
    shop = Shop(here.emulator, here.folder, here.server)
    shop.open()
    return shop
