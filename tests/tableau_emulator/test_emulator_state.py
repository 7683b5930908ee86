"""The state: made, upgraded, emptied; and never in the place of something else."""

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import tableauserverclient as TSC
from tableauserverclient.server.endpoint.exceptions import FailedSignInError

from earlier import unpack_emulator
from emulated import World
from tableau_emulator import client, state
from tableau_emulator.errors import EmulatorError
from tableau_emulator.state import CHANGES, VERSION, State

# TSC sends a setting of sites that is gone, and warns of itself
pytestmark = pytest.mark.filterwarnings("ignore:FlowsEnabled")


def held(folder: Path) -> dict[str, list[tuple[object, ...]]]:
    """All rows of a state, by table that has some, looked at without the code under test."""
    with closing(sqlite3.connect(folder / "state.sqlite")) as database:
        tables = database.execute("select name from sqlite_master where type = 'table'").fetchall()
        found = {name: database.execute(f"select * from {name}").fetchall() for (name,) in tables}
        return {name: rows for name, rows in found.items() if rows}


def schema(folder: Path) -> tuple[int, set[tuple[str, str]]]:
    """The version of a state, and its tables and indexes."""
    with closing(sqlite3.connect(folder / "state.sqlite")) as database:
        (version,) = database.execute("pragma user_version").fetchone()
        return version, set(database.execute("select type, name from sqlite_master"))


def test_a_state_of_85f5234_is_upgraded_with_everything_in_it(tmp_path: Path) -> None:
    old, new = tmp_path / "old", tmp_path / "new"
    unpack_emulator(old)
    before, files = held(old), {file: file.read_bytes() for file in (old / "files").iterdir()}
    assert (schema(old)[0], len(before["workbook"]), len(before["favorite"]), len(files)) == (3, 4, 1, 6)
    State(new).close()
    for _ in range(2):
        with State(old) as upgraded:
            upgraded.sweep()
        assert held(old) == before
        assert schema(old) == schema(new)
        assert schema(old)[0] == VERSION
        assert {file: file.read_bytes() for file in (old / "files").iterdir()} == files


def test_an_upgrade_that_breaks_off_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unpack_emulator(tmp_path)
    before = held(tmp_path), schema(tmp_path)
    with monkeypatch.context() as patch:
        patch.setitem(CHANGES, VERSION + 1, "delete from tag;\ncreate table broken")
        patch.setattr(state, "VERSION", VERSION + 1)
        with pytest.raises(sqlite3.OperationalError, match="incomplete input"):
            State(tmp_path)
    assert (held(tmp_path), schema(tmp_path)) == before
    State(tmp_path).close()
    assert (held(tmp_path), schema(tmp_path)[0]) == (before[0], VERSION)


def test_of_two_that_upgrade_at_once_both_find_the_state_upgraded(tmp_path: Path) -> None:
    unpack_emulator(tmp_path)
    before = held(tmp_path)

    def upgrade(_: int) -> None:
        State(tmp_path).close()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(upgrade, range(4)))
    assert (held(tmp_path), schema(tmp_path)[0]) == (before, VERSION)


def test_a_state_that_is_too_old_stays_as_it_is(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.database.execute("pragma user_version = 2")
    before = held(tmp_path)
    with pytest.raises(EmulatorError, match=r"is of version 2, which is too old .* delete the folder"):
        State(tmp_path)
    assert held(tmp_path) == before


def test_a_state_of_a_newer_version_stays_as_it_is(tmp_path: Path) -> None:
    with State(tmp_path) as state:
        state.admit("token", "secret")
        state.database.execute(f"pragma user_version = {VERSION + 1}")
    with pytest.raises(EmulatorError, match=f"is of version {VERSION + 1}, from a newer emulator"):
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
