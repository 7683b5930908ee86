"""The state: made, made anew, emptied; and never in the place of something else."""

import sqlite3
from pathlib import Path

import pytest
import tableauserverclient as TSC
from tableauserverclient.server.endpoint.exceptions import FailedSignInError

from emulated import World
from tableau_emulator import client
from tableau_emulator.errors import EmulatorError
from tableau_emulator.state import FORM, State

# TSC sends a setting of sites that is gone, and warns of itself
pytestmark = pytest.mark.filterwarnings("ignore:FlowsEnabled")


def test_a_state_of_an_older_form_is_made_anew(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.admit("token", "secret")
        state.database.execute("pragma user_version = 1")
    with State(tmp_path) as state:
        assert state.one("select 1 from token") is None
        assert state.administrator()["site_role"] == "ServerAdministrator"


def test_a_state_of_a_newer_form_stays_as_it_is(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.admit("token", "secret")
        state.database.execute(f"pragma user_version = {FORM + 1}")
    with pytest.raises(EmulatorError, match="newer emulator"):
        State(tmp_path)
    with sqlite3.connect(tmp_path / "state.sqlite") as database:
        assert database.execute("select name from token").fetchall() == [("token",)]


def test_a_database_of_another_program_stays_as_it_is(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "state.sqlite") as database:
        database.execute("create table mine (x)")
    with pytest.raises(EmulatorError, match="another program"):
        State(tmp_path)
    assert database.execute("select count(*) from mine").fetchone() == (0,)


def test_files_of_another_program_stay_as_they_are(tmp_path: Path) -> None:
    for folder in ("files", "uploads"):
        (tmp_path / folder / folder).mkdir(parents=True)
        (mine := tmp_path / folder / folder / "mine").touch()
        with pytest.raises(EmulatorError, match="another program"):
            State(tmp_path / folder)
        assert mine.exists()


def test_the_administrator_is_the_first_whatever_the_name(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        first = state.administrator()["id"]
        state.update("user", first, name="zoe")
        state.add_user("another", state.administrator()["site_id"], "anna", "ServerAdministrator")
        state.admit("token", "secret")
        assert state.administrator()["id"] == first
        assert state.all("select user_id from token")[0]["user_id"] == first
        assert state.user("zoe")["id"] == first


def rows(state: State) -> dict[str, int]:
    """How many rows each table has."""
    tables = state.all("select name from sqlite_master where type = 'table'")
    return {each["name"]: state.all(f"select count(*) from {each['name']}")[0][0] for each in tables}


def test_a_reset_leaves_what_there_was_at_the_start_and_the_administrators_token(
    here: World, server: TSC.Server, project: TSC.ProjectItem, tmp_path: Path
) -> None:
    workbook = here.publish_workbook(project, here.publish(project))
    server.workbooks.add_tags(workbook, "a tag")
    server.sites.create(TSC.SiteItem("Other", "other"))
    here.user("someone")
    desk = client.Desk(here.emulator)
    desk.admit("theirs", "another secret", "someone")
    desk.inject("status", count=None, path="/nowhere$")
    desk.reset()
    with here.state() as state, State(tmp_path) as new:
        new.admit(here.emulator.token_name, here.emulator.token)
        assert rows(state) == rows(new)
    assert not list((here.folder / "files").iterdir())
    with pytest.raises(FailedSignInError):
        server.projects.get()
    server = client.administrator(here.emulator)
    assert [each.name for each in TSC.Pager(server.projects)] == ["Default"]
    server.projects.create(TSC.ProjectItem("a project"))
