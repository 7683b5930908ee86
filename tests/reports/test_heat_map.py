"""Heat maps: a measure by day and quarter-hour."""

import re

import pytest

from callmart.declarations import exposures
from callmart.reports.sheets import heat_map
from callmart_home import Callmart
from centre import NAMED, STANDARD
from drawn import WEEK, Draw, asked
from drawn_pages import section
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked")]

DAYS = [day for day in WEEK.days if day < TODAY]


def test_a_heat_map_shows_each_quarter_hour(two_weeks: Callmart, draw: Draw) -> None:
    page = draw("traffic", STANDARD)
    wanted = asked(
        two_weeks,
        """
        select call_date, interval_local::time, sum(offered)::bigint from store.queue_interval
        where customer_id = %s and call_date = any(%s) group by 1, 2 order by 1, 2
        """,
        STANDARD,
        DAYS,
    )
    shown = section(page, "offered_by_moment")
    found = sorted((row["day"], row["quarter_hour"], row["offered"]) for row in shown.records.rows)
    assert found == wanted
    marks = re.findall(r"<title>[^<]*: (\d+)</title>", shown.panels[0].svg)
    assert sorted(map(int, marks)) == sorted(count for *_, count in wanted)
    assert shown.grid is not None
    assert sum(int(cell) for row in shown.grid.rows for cell in row[1:] if cell) == sum(
        count for *_, count in wanted
    )


def test_a_heat_map_of_durations_is_in_minutes(
    two_weeks: Callmart, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of them are shorter than an hour, and would have one shade."""
    report = exposures.named("agents")
    (sheet,) = (one for one in report.sheets if one.kind == "heat_map")
    changed = report.model_copy(update={"sheets": [sheet.model_copy(update={"measures": ["talk_s"]})]})
    monkeypatch.setattr(exposures, "named", lambda name: changed)
    monkeypatch.setattr(exposures, "reports", lambda: {"agents": changed})
    (panel,) = section(draw("agents", NAMED, locale="en"), sheet.name).panels
    assert panel.subtitle.endswith("(minutes)")
    longest = asked(
        two_weeks,
        """
        select max(sum) / 60 from (
            select sum(talk_s) from store.agent_interval where customer_id = %s and call_date = any(%s)
            group by call_date, interval_local
        ) as quarters
        """,
        NAMED,
        DAYS,
    )[0][0]
    (darkest,) = re.findall(r">(\d+)\+<", panel.svg)
    assert 0 < int(darkest) / (heat_map.SHADES - 1) <= longest, "more than one shade"


@pytest.mark.parametrize(
    ("value", "shade"), [(0.0, 0), (0.19, 0), (0.2, 1), (0.4, 2), (0.6, 3), (0.8, 4), (1.0, 4)]
)
def test_a_share_at_a_bound_has_the_darker_shade(value: float, shade: int) -> None:
    assert heat_map._shade(value, 0.2) == shade
