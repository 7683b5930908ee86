"""A new group with a mart, a dimension of its own, a ratio and a report: from files alone to Tableau and to paper.

The files are those of the walk in docs/report_types.md, in a copy of the project. No Python is touched.
"""

import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import tableauserverclient as TSC
from pypdf import PdfReader

from callmart.base.settings import PROJECT
from callmart.publish import tableau
from callmart_home import Callmart
from centre import DAYS, NAMED, STANDARD
from commands import clean_environment, forget_callmart, in_a_process
from drawn_pages import rows_of

pytestmark = pytest.mark.thorough

PAGE = (PROJECT / "docs/report_types.md").read_text()
# A file of the walk under its name, and what the walk adds to a file below a line of it.
FILES = dict(re.findall(r"^`(\S+)`:\n\n```\w+\n(.*?)```", PAGE, re.MULTILINE | re.DOTALL))
ADDED = re.findall(r"[Ii]n `(\S+\.yml)`,\s+under\s+`(\w+:)`\n\n```yaml\n(.*?)```", PAGE, re.DOTALL)
(RATIO,) = re.findall(r"At the end of `metrics\.yml`:\n\n```yaml\n(.*?)```", PAGE, re.DOTALL)
OPENED = {
    "standard: [queue, line]": "standard: [queue, line, planning]",
    "line, agent]": "line, agent, planning]",
}

Command = Callable[..., str]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the whole project, with what is new."""
    folder = tmp_path_factory.mktemp("project")
    for name in ("scripts", "models", "macros", "expectations"):
        shutil.copytree(PROJECT / name, folder / name)  # compiled, as it is
    for name in (
        "access.yml",
        "captions.yml",
        "metrics.yml",
        "processing.yml",
        "dbt_project.yml",
        "profiles.yml",
    ):
        shutil.copy(PROJECT / name, folder)
    (folder / "models/marts/planning").mkdir()
    for name, text in FILES.items():
        to = folder / name.replace("marts/queue", "marts/planning")
        to.write_text(text.replace("group: queue", "group: planning"))
    for name, under, entry in ADDED:
        replace(folder / name, f"\n{under}\n", f"\n{under}\n{entry}")
    for old, new in OPENED.items():
        replace(folder / "access.yml", old, new)
    with (folder / "metrics.yml").open("a") as file:
        file.write(f"\n{RATIO}")
    return folder


def replace(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1, (file, old)
    file.write_text(text.replace(old, new))


def _of_the_copy() -> None:
    """The command of the copy in whose folder it is called, though callmart's own has been imported."""
    forget_callmart()
    sys.path.insert(0, str(Path.cwd() / "scripts"))
    from callmart.cli.entry import main

    main()


@pytest.fixture(scope="module")
def command(played: Callmart, project: Path) -> Command:
    """The command of the copy, in the home."""

    def run(*arguments: str | Path) -> str:
        # The emulator, which it starts, finds the copy by PYTHONPATH.
        environment = clean_environment(played.home) | {"PYTHONPATH": str(project / "scripts")}
        done = in_a_process(_of_the_copy, "callmart", *arguments, cwd=project, environment=environment)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="module")
def run(played: Callmart, command: Command) -> str:
    """What the first run with it said."""
    assert "fits together" in command("check")
    command("upgrade")
    return command("run")  # it computes the days that are open


def formula_on_tableau(callmart: Callmart, folder: Path) -> str:
    """The formula of the ratio in the data source of the standard customer."""
    folder.mkdir()
    with tableau.connect(callmart.settings) as server:
        (source,) = (
            one
            for one in TSC.Pager(server.datasources)
            if one.name == "Planning" and str(STANDARD) in str(one.project_name)
        )
        file = Path(
            server.datasources.download(str(source.id), str(folder / "source"), include_extract=False)
        )
        shutil.unpack_archive(file, folder / "tds", "zip")
        (tds,) = (folder / "tds").rglob("*.tds")
        books = {(one.project_name, one.name) for one in TSC.Pager(server.workbooks)}
        assert (source.project_name, "Dagdelen") in books
    found = re.search(
        r"name=.\[Calculation_part_answer_rate\].*?formula=(.)(.*?)\1", tds.read_text(), re.DOTALL
    )
    assert found
    return found[2]


def test_a_customer_sees_the_mart_and_its_ratio(played: Callmart, run: str) -> None:
    assert "days opened" in run
    for customer in (STANDARD, NAMED):
        rows = played.rows("select * from mart.part_of_day_ratios", customer_id=customer)
        assert {(row["customer_id"], row["day_part"]) for row in rows} == {
            (customer, "morning"),
            (customer, "afternoon"),
        }
        assert {row["call_date"] for row in rows} == set(DAYS)
        by_hand = played.rows(
            "select call_date, day_part, answered::float / offered as rate from mart.part_of_day",
            customer_id=customer,
        )
        assert {(row["call_date"], row["day_part"]): row["part_answer_rate"] for row in rows} == {
            (row["call_date"], row["day_part"]): row["rate"] for row in by_hand
        }


def test_a_changed_ratio_is_in_sql_and_on_tableau_after_the_same_run(
    played: Callmart, command: Command, project: Path, run: str, tmp_path: Path
) -> None:
    before = formula_on_tableau(played, tmp_path / "before")
    assert "answered" in before
    replace(
        project / "metrics.yml",
        "    over: answered\n    per: offered\n    caption: {nl: Bereikbaar per",
        "    over: offered - answered\n    per: offered\n    caption: {nl: Bereikbaar per",
    )
    assert "0 days opened" in command("run")
    (row,) = played.rows(
        "select max(part_answer_rate) as rate, min(part_answer_rate) from mart.part_of_day_ratios",
        customer_id=STANDARD,
    )
    (mart,) = played.rows(
        "select max(1 - answered::float / offered) as rate from mart.part_of_day", customer_id=STANDARD
    )
    assert row["rate"] == pytest.approx(mart["rate"])
    assert formula_on_tableau(played, tmp_path / "later") != before


def test_the_report_is_drawn(command: Command, run: str, tmp_path: Path) -> None:
    week = f"{DAYS[0]:%G-W%V}"
    command("report", "parts", "--customer", STANDARD, "--week", week, "--out", tmp_path / "parts.pdf")
    words = "".join(page.extract_text() for page in PdfReader(tmp_path / "parts.pdf").pages).split()
    assert {"Dagdelen", "Ochtend", "Middag"} <= set(words)
    command("report", "parts", "--customer", STANDARD, "--week", week, "--out", tmp_path / "parts.csv")
    rows = rows_of((tmp_path / "parts.csv").read_bytes())
    assert {row["day_part"] for row in rows if row["sheet"] == "per_part"} == {"Ochtend", "Middag"}
    assert "Bereikbaar per dagdeel" in " ".join(row["caption"] for row in rows)
