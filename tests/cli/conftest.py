"""The fixtures of tests of the command."""

import socket

import pytest

from callmart_home import Callmart
from commands import Command, command_of


@pytest.fixture(scope="module")
def command(callmart: Callmart) -> Command:
    """The command in the home of the module's callmart."""
    return command_of(callmart.home)


@pytest.fixture
def free_port() -> int:
    """A port of this machine on which nothing listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])
