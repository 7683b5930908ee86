"""While rights differ from what is declared, no command lets anything leave."""

import shutil
from datetime import UTC, datetime
from pathlib import Path

import pytest

from callmart.base.person import Blocked, Person, Place
from callmart.cli.terminal import UNDONE
from callmart.extract.places import Extracts
from callmart.mailing import places
from callmart.privacy import procedure
from callmart.publish.places import Content
from callmart_home import Callmart
from centre import STANDARD
from commands import Command, command_of, mistake

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture(scope="module")
def drifted(played: Callmart) -> Callmart:
    """A customer's policy lets rows of others through, which the reader of a report does not look for again."""
    with played.connect() as owner:
        for name in ("queue_interval", "line_interval"):
            owner.execute(f"alter policy own_rows on store.{name} using (true)")
    for name in ("extracts", "reports"):
        shutil.rmtree(played.home / name, ignore_errors=True)
    return played


@pytest.fixture
def command(drifted: Callmart) -> Command:
    return command_of(drifted.home)


@pytest.mark.parametrize("what", ["extract", "publish --yes", "report --all", "report", "mail"])
def test_what_lets_something_leave_is_refused(
    drifted: Callmart, command: Command, tmp_path: Path, what: str
) -> None:
    drawn = tmp_path / "report.csv"
    rest = ["traffic", "--customer", str(STANDARD), "--out", str(drawn)] if what == "report" else []
    said = mistake(command(*what.split(), *rest, CALLMART_MAIL__SENDER="callmart"))
    assert said.startswith(
        "error: nothing is opened while rights differ from what is declared (the policies of "
    )
    assert not drawn.exists()
    assert not list((drifted.home / "extracts").rglob("*.hyper"))
    assert not list((drifted.home / "reports").rglob("*.html"))
    assert not list(places.folder(drifted.settings).rglob("*.eml"))


@pytest.mark.parametrize("place", [Extracts(), Content()], ids=lambda place: place.name)
def test_a_request_of_a_person_lets_nothing_leave_either(drifted: Callmart, place: Place) -> None:
    """Not even if it opens no day, which would find the difference."""
    caller = Person(STANDARD, "caller", frozenset(), frozenset(), datetime.now(UTC))
    with (
        drifted.connect() as owner,
        procedure.working(owner, drifted.settings) as work,
        pytest.raises(Blocked, match=r"^nothing is opened while rights differ") as blocked,
    ):
        place.treat(work, caller)
    assert blocked.value.code == "drift"


def test_what_would_be_published_is_shown_all_the_same(command: Command) -> None:
    done = command("publish", "--plan")
    assert done.returncode == UNDONE, done.stderr
    assert "data sources and workbooks unchanged" in done.stdout
