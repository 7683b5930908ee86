"""The results of checks, their pages and logs say what failed, hold no value of a row, and load nothing."""

import re
from pathlib import Path

import psycopg
import pytest
from lxml import html

from callmart.opening import opening
from callmart.validate import quality_pages
from callmart_home import Callmart
from centre import DAYS, NAMED
from checking import check

# What no result, page or log may repeat.
TELLING, QUEUE, AGENT = 987654321, "geheime-wachtrij", "Jan Klaassen"


@pytest.fixture
def told(
    played: Callmart,
    owner: psycopg.Connection,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> list[str]:
    """All that is kept and said of a build whose rows hold marker words and odd numbers, and fail."""
    owner.execute(
        "update build.queue_interval set offered = -%s, queue = %s where customer_id = %s",
        [TELLING, QUEUE, NAMED],
    )
    owner.execute(
        "update build.agent_day set agent_key = %s, talk_s = %s where customer_id = %s",
        [AGENT, TELLING, NAMED],
    )
    for marker, query in (
        (TELLING, "select -offered from build.queue_interval"),
        (QUEUE, "select queue from build.queue_interval"),
        (AGENT, "select agent_key from build.agent_day"),
        (TELLING, "select talk_s from build.agent_day"),
    ):
        assert (marker,) in owner.execute(query).fetchall(), "what could be told"
    capfd.readouterr()
    caplog.set_level("DEBUG")
    assert check(played, owner, "queue_interval", "agent_day").held_back == {(NAMED, day) for day in DAYS}
    opening.open_build(owner, played.settings)
    said = capfd.readouterr()
    tables = [name for (name,) in owner.execute("select tablename from pg_tables where schemaname = 'ops'")]
    rows = [row for name in tables for (row,) in owner.execute(f"select t::text from ops.{name} as t")]
    assert any(f",{NAMED},{DAYS[0]}," in row for row in rows), "keys are kept"
    files = [
        file.read_bytes() for file in played.home.rglob("*") if file.is_file() and readable(played, file)
    ]
    return [said.out, said.err, caplog.text, *rows, *(file.decode(errors="replace") for file in files)]


def readable(callmart: Callmart, file: Path) -> bool:
    """Not what holds the rows themselves; the server's log does not."""
    return callmart.home / "postgres" not in file.parents or file.name == "server.log"


def pages(callmart: Callmart) -> list[Path]:
    """The pages of the builds, the newest first, as the index lists them."""
    index = html.parse(callmart.home / "quality" / "index.html")
    return [callmart.home / "quality" / link for link in index.xpath("//a/@href")]


def test_results_pages_and_logs_hold_no_values(played: Callmart, told: list[str]) -> None:
    for marker in (str(TELLING), QUEUE, AGENT, "98765432"):
        assert not [text for text in told if marker in text]
    page = pages(played)[0].read_text()
    assert page in told
    assert "offered is the sum of its outcomes" in page


def test_a_page_says_what_failed_where_and_how_often(played: Callmart, told: list[str]) -> None:
    summary, *parts = html.parse(pages(played)[0]).xpath("//table")
    failed = {tuple(row.xpath("td/text()")) for row in summary.xpath(".//tbody/tr")}
    assert failed >= {
        ("queue_interval", "offered is the sum of its outcomes", "critical", "3", "1"),
        (
            "agent_day",
            "expect_column_values_to_be_between: max_value 86400, column talk_s",
            "warning",
            "3",
            "1",
        ),
    }
    shown = [" ".join(part.text_content().split()) for part in parts]
    rows = "select sum(row_count)::int as all, (sum(row_count) filter (where customer_id = %s))::int as bad"
    (agent_day,) = played.rows(f"{rows} from ops.opened_day where mart = 'agent_day'", NAMED)
    counted = (
        rf"86400\.0 ?\. {agent_day['bad']} unexpected values found\. .*% of {agent_day['all']} total rows\."
    )
    assert any(re.search(counted, text) for text in shown), "as Great Expectations says it"
    assert any("✗ offered is the sum of its outcomes 3 days fail" in text for text in shown)
    assert any("✓ values must never be null" in text and text.endswith(" met") for text in shown)


def test_a_page_loads_nothing(played: Callmart, told: list[str]) -> None:
    folder = played.home / "quality"
    assert folder.stat().st_mode & 0o777 == 0o700
    for file in folder.iterdir():
        assert file.stat().st_mode & 0o777 == 0o600
        page = html.parse(file)
        assert {element.tag for element in page.iter()} <= quality_pages.KEPT | {
            "html", "head", "meta", "title", "style", "body", "h1", "h2", "a", "details", "summary",
        }  # fmt: skip
        assert {name for element in page.iter() for name in element.attrib} <= {
            "class", "href", "charset", "name", "content", "http-equiv", "lang",
        }  # fmt: skip
        assert set(page.xpath("//@href")) <= {one.name for one in folder.iterdir()}
        assert not re.search(r"https?:|//|url\(|@import|cookie", file.read_text())


def test_the_index_lists_the_newest_first(played: Callmart, told: list[str]) -> None:
    listed = pages(played)
    assert set(listed) == set((played.home / "quality").glob("2*.html"))
    assert len(listed) > 1
    builds = [int(page.stem[11:]) for page in listed]
    assert builds == sorted(builds, reverse=True)
    assert re.fullmatch(r"\d{4}-\d\d-\d\d-\d+", listed[0].stem)
    listed[-1].unlink()
    quality_pages.write_index(played.settings)
    assert pages(played) == listed[:-1]
