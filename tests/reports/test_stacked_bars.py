"""Stacked bars of whatever data a customer has."""

from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callmart.base.settings import Settings
from callmart.declarations import exposures
from callmart.declarations.exposures import Sheet
from callmart.reports import weeks
from callmart.reports.drawing import Declared
from callmart.reports.language import Language
from callmart.reports.page import Section
from callmart.reports.scene import Scene
from callmart.reports.sheets import bars
from callmart.reports.weeks import Week

DAY = date(2026, 11, 16)


def drawn(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], **declared: Any) -> Section:
    """Bars of the days of a week, drawn from these rows."""
    known = Declared.of(Settings())
    reader = cast(Any, SimpleNamespace(queues={}, through=None))
    period = weeks.counted(Week(DAY), date(2026, 11, 27), [])
    scene = Scene(reader, period, Language("nl"), known.marts, known.metrics, known.captions)
    monkeypatch.setattr(Scene, "rows", lambda *_, **__: rows)
    title = {"nl": "Per dag", "en": "Per day"}
    sheet = {"name": "x", "kind": "stacked_bar", "mart": "queue_interval", "over": "day", "title": title}
    return bars.draw(scene, Sheet.model_validate(sheet | declared))


def test_bars_of_what_became_of_contacts_add_up_to_those_offered() -> None:
    shown = [set(sheet.measures) for report in exposures.reports().values() for sheet in report.sheets]
    outcomes = {
        "answered",
        "abandoned",
        "timed_out",
        "left_by_key",
        "left_empty",
        "left_otherwise",
        "still_open",
    }
    assert [one for one in shown if "left_otherwise" in one] == [outcomes, outcomes]


def test_what_is_not_known_is_a_part_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before opening hours were known, `open` is null."""
    rows = [{"day": DAY, "open": known, "offered": 3} for known in (True, None, False)]
    grid = drawn(monkeypatch, rows, by="open", measures=["offered"]).grid
    assert grid is not None
    assert grid.head[-1] == "Geen openingstijden bekend"
    assert grid.rows == [["ma 16 nov", "3", "3", "3"]]


def test_there_are_more_parts_than_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    queues = [f"wachtrij {number}" for number in range(17)]
    rows = [{"day": DAY, "queue": queue, "offered": 3} for queue in queues]
    (panel,) = drawn(monkeypatch, rows, by="queue", measures=["offered"]).panels
    assert all(queue in panel.svg for queue in queues)


def test_a_part_that_is_the_only_one_has_its_name_too(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"day": DAY, "open": True, "offered": 3}]
    (panel,) = drawn(monkeypatch, rows, by="open", measures=["offered"]).panels
    assert ">Binnen openingstijden</text>" in panel.svg


@pytest.mark.parametrize("character", ["\ufffe", "\uffff", "\x07", "\u2028", "\u202e"])
def test_a_character_that_no_chart_can_have_is_shown_as_such(
    monkeypatch: pytest.MonkeyPatch, character: str
) -> None:
    """In a name that a source gives, or in a label."""
    rows = [{"day": DAY, "queue": f"Win{character}kel", "offered": 3}]
    section = drawn(monkeypatch, rows, by="queue", measures=["offered"])
    assert section.grid is not None and section.grid.head == ["", "Win\ufffdkel"]
    assert "Win\ufffdkel" in section.panels[0].svg


def test_agents_can_be_bars(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"day": DAY, "agents_present": 3.25}]
    (panel,) = drawn(monkeypatch, rows, measures=["agents_present"]).panels
    assert "3,2" in panel.svg


def test_the_table_has_words_in_the_order_of_the_legend(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        {"day": DAY, "outcome": outcome, "offered": 3}
        for outcome in ("abandoned", "answered", None, "timed_out")
    ]
    grid = drawn(monkeypatch, rows, by="outcome", measures=["offered"]).grid
    assert grid is not None and grid.head == ["", "Opgenomen", "Afgehaakt", "Te lang gewacht", ""]
