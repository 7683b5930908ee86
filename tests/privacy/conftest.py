"""The fixtures of tests of the register of requests."""

import io
import sys
from collections.abc import Callable, Iterator
from time import sleep
from typing import Any

import pytest

from callmart.access import logins
from callmart.base.person import Work
from callmart.cli import main
from callmart.privacy import procedure
from callmart.reports import paper
from callmart_home import Callmart, MakeOnce
from commands import use
from erasures import deliver
from requests_of_persons import APPROVERS_PASSWORD, Command, Desk, Said, choose_password

ONE, OTHER, GONE = 1, 2, 3
REGISTRY = f"""
customers:
  - id: {ONE}
    name: Een
    locale: nl
    contracts: [{{option: detailed, from: 2020-01-01}}]
    agents:
      - {{id: Agent/1, name: Ada Eerste}}
      - {{id: Agent/2, name: Bo Tweede}}
      - {{id: Agent/3, name: Bo Tweede}}
    contacts:
      - {{name: P. Een, email: P@een.example, authorised: true}}
      - {{name: Q. Een, email: q@een.example, authorised: true}}
      - {{name: R. Een, email: r@een.example}}
  - id: {OTHER}
    name: Other
    locale: en
    contracts: [{{option: standard, from: 2020-01-01}}]
    contacts: [{{name: S. Other, email: s@other.example, authorised: true}}]
  - {{id: {GONE}, name: Gone}}
"""


@pytest.fixture(scope="module")
def registered(callmart: Callmart, make_once: MakeOnce) -> Callmart:
    """Customers with contacts, and an approver with a password."""

    def make() -> None:
        callmart.apply(REGISTRY)
        choose_password(callmart)

    make_once(callmart, "registered", make)
    return callmart


@pytest.fixture(scope="module")
def desk(registered: Callmart) -> Iterator[Desk]:
    """The owner, the officer and the approver at work, each statement by itself."""
    with (
        registered.connect() as owner,
        logins.connect(registered.settings, "privacy_officer") as officer,
        logins.connect(registered.settings, "privacy_approver", APPROVERS_PASSWORD) as approver,
    ):
        owner.autocommit = officer.autocommit = approver.autocommit = True
        yield Desk(registered, owner, officer, approver)


@pytest.fixture
def undone(desk: Desk) -> Iterator[Desk]:
    """Afterwards the contacts are as before, and nothing is open."""
    yield desk
    desk.owner.execute("update registry.contact set authorised = email !~* '^r'")
    desk.forget_all()


@pytest.fixture(scope="module")
def home(
    callmart: Callmart, make_once: MakeOnce, be_played: Callable[[Callmart], None], few_reports: None
) -> Callmart:
    """The module's callmart, from which persons are erased."""

    def make() -> None:
        be_played(callmart)
        deliver(callmart)

    make_once(callmart, "delivered", make)
    installation = callmart.home / "installation"
    # A copy may take the place of its original when it has but the id.
    installation.write_text(installation.read_text().splitlines()[0] + "\n")
    return callmart


@pytest.fixture
def work(home: Callmart) -> Iterator[Work]:
    """What places work with."""
    with home.connect() as connection, procedure.working(connection, home.settings) as work:
        yield work


def await_place(callmart: Callmart, login: str) -> None:
    """Wait until a login may open another session, two seconds at most: the server takes a while to end one."""
    has_place = (
        "select from pg_roles where rolname = %s"
        " and rolconnlimit > (select count(*) from pg_stat_activity where usename = rolname)"
    )
    for _ in range(200):
        if callmart.rows(has_place, login):
            return
        sleep(0.01)


@pytest.fixture
def command(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Command]:
    """The command in this process; `lines` are its standard input."""

    def command(*arguments: object, lines: tuple[str, ...] = (), **changed: Any) -> Said:
        wanted = desk.callmart.settings.model_copy(update={"backup_kept_days": 30} | changed)
        use(wanted, monkeypatch)
        monkeypatch.setattr(sys, "argv", ["callmart", "privacy", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        await_place(desk.callmart, "callmart_privacy_approver")
        with pytest.raises(SystemExit) as end:
            main.main()
        return Said(int(end.value.code or 0), *capsys.readouterr())

    yield command
    desk.forget_all()


@pytest.fixture
def unprinted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without paper, which takes most of the time and says what the page says."""
    monkeypatch.setattr(paper, "typeset", lambda *_, **__: b"")
