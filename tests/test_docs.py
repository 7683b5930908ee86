"""What the docs point to is there: pages, headings, files. Needs no server."""

import re
import subprocess
from pathlib import Path

import pytest

from callmart.base.settings import PROJECT

FENCE = re.compile(r"^```.*?^```$", flags=re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)")
PATH = re.compile(r"`([\w.-]+(?:/[\w.-]+)+/?)`")
TEST = re.compile(r"\btest_\w+\.py")
SECTION = re.compile(r'(docs/\w+\.md),\s+"([A-Z][^"]+)"')
SOURCES = (".md", ".py", ".sql", ".yml", ".j2")


def tracked() -> list[Path]:
    """The files of the project, as git has them."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT, check=True, capture_output=True, text=True,
    )  # fmt: skip
    return [path for name in listed.stdout.splitlines() if (path := PROJECT / name).is_file()]


FILES = tracked()
PAGES = [path for path in FILES if path.suffix == ".md"]


def headings(page: Path) -> list[str]:
    return re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text()), flags=re.MULTILINE)


def anchor(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    broken = []
    for link in LINK.findall(FENCE.sub("", page.read_text())):
        if link.startswith("https://"):
            continue
        name, _, place = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (place and place not in map(anchor, headings(target))):
            broken.append(link)
    assert broken == []


def test_every_file_that_a_page_names_is_there() -> None:
    folders = {path.name for path in PROJECT.iterdir() if path.is_dir()}
    tests = {path.name for path in FILES if path.name.startswith("test_")}
    missing = []
    for page in PAGES:
        if page.name in {"CHANGELOG.md", "report_types.md"}:  # what was there once, and what its reader makes
            continue
        named = PATH.findall(page.read_text())
        missing += [path for path in named if path.split("/")[0] in folders and not (PROJECT / path).exists()]
        missing += [name for name in TEST.findall(page.read_text()) if name not in tests]
    assert missing == []


def test_every_section_that_a_message_or_a_page_names_is_there() -> None:
    named = {
        section for path in FILES if path.suffix in SOURCES for section in SECTION.findall(path.read_text())
    }
    assert ("docs/runbook.md", "A mart has drifted") in named
    assert {(page, heading) for page, heading in named if heading not in headings(PROJECT / page)} == set()


def test_the_readme_shows_the_tree() -> None:
    tree = re.search(
        r"## Find your way\n\n```\n(.*?)```", (PROJECT / "README.md").read_text(), flags=re.DOTALL
    )
    assert tree
    shown = {line.split()[0] for line in tree[1].splitlines() if line}
    tops = {path.relative_to(PROJECT).parts[0] for path in FILES if path.parent != PROJECT}
    assert {f"{top}/" for top in tops if not top.startswith(".")} <= shown
    assert [name for name in shown if not (PROJECT / name).exists()] == []
