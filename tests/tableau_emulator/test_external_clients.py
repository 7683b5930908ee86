"""Other clients of Tableau go through their day with the emulator: tabcmd in XML, tableau_api_lib in JSON.

Each is installed from the package index into an environment of its own. `make test-external` runs it.
"""

import subprocess
from pathlib import Path

import pytest

import api_lib_day
from emulated import SOURCE, WORKBOOK, World
from venvs import installed

pytestmark = pytest.mark.external


def ran(folder: Path, *command: str | Path) -> str:
    """What a command prints that runs in this folder, without anything of ours."""
    done = subprocess.run(
        command, cwd=folder, env={"HOME": str(folder), "PATH": "/usr/bin:/bin"}, text=True, check=False,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.fixture
def desk(here: World, tmp_path: Path) -> Path:
    """A folder with a data source and a workbook to publish. The token `client` signs in as administrator."""
    with here.state() as state:
        state.admit("client", "secret")
    (tmp_path / "calls.tds").write_text(SOURCE)
    (tmp_path / "report.twb").write_text(WORKBOOK.format(source="calls"))
    return tmp_path


def test_tabcmd(here: World, desk: Path) -> None:
    program = installed(desk / "tabcmd", "tabcmd==2.0.21") / "tabcmd"

    def tabcmd(*words: str) -> str:
        return ran(desk, program, *words)

    tabcmd("login", "-s", here.emulator.url, "--token-name", "client", "--token-value", "secret")
    tabcmd("createproject", "-n", "shelf")
    tabcmd("publish", "calls.tds", "-n", "calls", "-r", "shelf")
    tabcmd("publish", "report.twb", "-n", "report", "-r", "shelf", "--overwrite")
    for kind, name in (("projects", "shelf"), ("datasources", "calls"), ("workbooks", "report")):
        assert name in tabcmd("list", kind, "-n")
    assert "Default" in tabcmd("listsites")
    tabcmd("get", "/workbooks/report.twb", "-f", "got.twb")
    assert (desk / "got.twb").read_text() == (desk / "report.twb").read_text()
    for name, start in (("view.png", b"\x89PNG"), ("view.pdf", b"%PDF"), ("view.csv", b'"Overview"')):
        tabcmd("get", f"/views/report/Overview{Path(name).suffix}", "-f", name)
        assert (desk / name).read_bytes().startswith(start)
    tabcmd("export", "report/Overview", "--fullpdf", "-f", "whole.pdf")
    assert (desk / "whole.pdf").read_bytes().startswith(b"%PDF")
    (desk / "users.csv").write_text("ada@example.org\n")
    tabcmd("createsiteusers", "users.csv", "-r", "Viewer")
    assert {user.name for user in here.server.users.get()[0]} == {"admin", "ada@example.org"}
    tabcmd("creategroup", "readers")
    tabcmd("addusers", "readers", "--users", "users.csv")
    tabcmd("refreshextracts", "--datasource", "calls", "--project", "shelf")
    tabcmd("delete", "report", "-r", "shelf")
    tabcmd("deleteproject", "shelf")
    assert [project.name for project in here.server.projects.get()[0]] == ["Default"]
    tabcmd("logout")


def test_tableau_api_lib(here: World, desk: Path) -> None:
    python = installed(desk / "api_lib", "tableau-api-lib==0.1.50") / "python"
    said = ran(desk, python, "-W", "ignore", api_lib_day.__file__, here.emulator.url, "client", "secret")
    assert said.endswith("all of it worked\n")
    (workbook,) = here.server.workbooks.get()[0]
    assert (workbook.name, workbook.tags, workbook.show_tabs) == ("report", {"weekly"}, False)
    assert [source.certified for source in here.server.datasources.get()[0]] == [True]
    with here.state() as state:
        assert [row["name"] for row in state.all("select distinct name from user order by name")] == [
            "ada",
            "admin",
        ]
        assert not state.all("select * from session where token_name = 'client'")  # it has signed out
