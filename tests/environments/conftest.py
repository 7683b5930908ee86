"""The fixtures of tests of environments."""

import io
import sys
from collections.abc import Callable, Iterator

import psycopg
import pytest

from callmart.base.progress import quietly
from callmart.cli import main
from callmart.database import server
from callmart.environments import known, making
from callmart_home import Callmart, MakeOnce
from centre import NAMED, STANDARD
from commands import use
from requests_of_persons import Command, Said
from tried import ENVIRONMENT


@pytest.fixture(scope="module")
def tried(
    callmart: Callmart, make_once: MakeOnce, be_played: Callable[[Callmart], None], unchecked: None
) -> Callmart:
    """The module's callmart, with an environment of two customers and two of their three days."""

    def make() -> None:
        be_played(callmart)
        with callmart.connect() as owner:
            making.make(owner, callmart.settings, ENVIRONMENT, (NAMED, STANDARD), 2, quietly)

    make_once(callmart, "tried", make)
    return callmart


@pytest.fixture
def owner(tried: Callmart) -> Iterator[psycopg.Connection]:
    """What stands."""
    with tried.connect() as connection:
        yield connection
        connection.rollback()


@pytest.fixture
def own(tried: Callmart, owner: psycopg.Connection) -> Iterator[psycopg.Connection]:
    """The environment. Each statement is kept."""
    settings = known.settings_of(owner, tried.settings, ENVIRONMENT)
    owner.commit()
    with server.connect(settings, autocommit=True) as connection:
        yield connection


@pytest.fixture
def command(tried: Callmart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """The command in this process."""

    def command(*arguments: object) -> Said:
        use(tried.settings, monkeypatch)
        monkeypatch.setattr(sys, "argv", ["callmart", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO())
        with pytest.raises(SystemExit) as end:
            main.main()
        return Said(int(end.value.code or 0), *capsys.readouterr())

    return command
