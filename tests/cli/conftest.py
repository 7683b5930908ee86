"""The fixtures of tests of the command."""

import pytest

from callmart_home import Callmart
from commands import Command, command_of


@pytest.fixture(scope="module")
def command(callmart: Callmart) -> Command:
    """The command in the home of the module's callmart."""
    return command_of(callmart.home)
