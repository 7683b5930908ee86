"""Reports with sheets that go over weeks and months: what is drawn, and of whom."""

from typing import Any

import psycopg
import pytest

from callmart.declarations import exposures
from callmart.reports import drawing, reading, sheets, weeks
from callmart.reports.drawing import Declared, NoData
from callmart_home import Callmart
from centre import STANDARD
from drawn import WEEK, Draw
from drawn_pages import of_csv, of_xlsx, section

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted")]

LONG_AGO = weeks.parse("2020-W01")


def test_a_report_of_trends_only_is_drawn(
    two_weeks: Callmart, declared: Declared, publisher: psycopg.Connection
) -> None:
    handling = exposures.named("handling")
    trends = [sheet for sheet in handling.sheets if sheet.is_trend]
    report = handling.model_copy(update={"sheets": trends})
    with two_weeks.connect() as owner:
        customer = reading.customer(owner, STANDARD)
    page = drawing.draw(publisher, declared, report, customer, WEEK)
    assert [one.name for one in page.sections] == [sheet.name for sheet in trends]
    assert any(panel.svg for one in page.sections for panel in one.panels)
    assert handling.empty.nl not in page.notices
    with pytest.raises(NoData):
        drawing.draw(publisher, declared, report, customer, LONG_AGO)


def test_no_trend_is_drawn_for_a_week_without_data(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    """A mailing looks every hour whether there is some."""
    drawn, inner = list[str](), sheets.draw

    def note(scene: Any, sheet: Any) -> Any:
        drawn.append(sheet.name)
        return inner(scene, sheet)

    monkeypatch.setattr(sheets, "draw", note)
    with pytest.raises(NoData):
        draw("handling", STANDARD, LONG_AGO)
    assert drawn and not {"weeks", "months"} & set(drawn)


def test_a_trends_row_has_its_own_week_or_month(draw: Draw) -> None:
    page = draw("handling", STANDARD)
    trends = {name: section(page, name).records.rows for name in ("weeks", "months")}
    weeks_of = [str(weeks.Week(row["weeks"])) for row in trends["weeks"]]
    months_of = [f"{row['months']:%Y-%m}" for row in trends["months"]]
    assert len(weeks_of) > 1
    for name, wanted in (
        ("weeks", [(week, "") for week in weeks_of]),
        ("months", [("", month) for month in months_of]),
    ):
        rows = [row for row in of_csv(page) if (row["sheet"], row["measure"]) == (name, "offered")]
        assert [(row["week"], row["month"]) for row in rows] == wanted
        head, body = of_xlsx(page)[name]
        assert head[:2] == ["Week" if name == "weeks" else "Maand", "Aangeboden"]
        assert [row[0] for row in body] == [week or month for week, month in wanted]
