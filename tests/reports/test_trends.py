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

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked")]

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
