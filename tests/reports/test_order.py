"""In which order tables and lists have words and names."""

from datetime import date
from types import SimpleNamespace
from typing import Any, cast

import pytest

from callmart.base.settings import Settings
from callmart.declarations.exposures import Sheet
from callmart.reports import weeks
from callmart.reports.drawing import Declared
from callmart.reports.language import Language
from callmart.reports.page import Section
from callmart.reports.reading import Queue
from callmart.reports.scene import Scene
from callmart.reports.sheets import listed, table
from callmart.reports.weeks import Week

DAY = date(2026, 11, 16)
QUEUES = {"6001": Queue("Verkoop", "Verkoop", None, 20, 5), "6002": Queue("Balie", "Balie", None, 20, 5)}


def drawn(monkeypatch: pytest.MonkeyPatch, rows: list[dict[str, Any]], **declared: Any) -> Section:
    """A table or list, drawn from these rows."""
    known = Declared.of(Settings())
    reader = cast(Any, SimpleNamespace(queues=QUEUES, agents={"k1": "Zoë", "k2": "Bram"}, through=None))
    period = weeks.counted(Week(DAY), date(2026, 11, 27), [])
    scene = Scene(reader, period, Language("nl"), known.marts, known.metrics, known.captions)
    monkeypatch.setattr(Scene, "rows", lambda *_, **__: [*rows, rows[0]])
    monkeypatch.setattr(Scene, "listed", lambda *_: rows)
    sheet = Sheet.model_validate({"name": "x", "title": {"nl": "Tabel", "en": "Table"}} | declared)
    draw = table.draw if sheet.kind == "table" else listed.draw
    return draw(scene, sheet)


def test_a_table_has_names_by_the_alphabet_and_words_as_the_legend_has_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = [
        {"agent": agent, "status": status, "seconds": 1.0}
        for agent in ("k1", "k2")
        for status in ("away", "in_call", "available")
    ]
    grid = drawn(
        monkeypatch, rows, kind="table", mart="agent_status_interval", by="agent", then_by="status",
        measures=["seconds"],
    ).grid  # fmt: skip
    assert grid is not None
    words = ["Beschikbaar", "In gesprek", "Afwezig"]
    assert [row[:2] for row in grid.rows[:-1]] == [[name, word] for name in ("Bram", "Zoë") for word in words]


def test_queues_are_by_what_they_are_called(monkeypatch: pytest.MonkeyPatch) -> None:
    """Capital letters or not, in a table and in a list."""
    queues = ["6001", "6002", "info"]
    rows = [{"agent": "k1", "queue": queue, "contacts": 1} for queue in queues]
    measures = {"by": "agent", "then_by": "queue", "measures": ["contacts"]}
    grid = drawn(monkeypatch, rows, kind="table", mart="agent_queue_interval", **measures).grid
    assert grid is not None
    assert [row[1] for row in grid.rows[:-1]] == ["Balie", "info", "Verkoop"]
    rows = [{"day": DAY, "call_date": DAY, "queue": queue, "offered": 1} for queue in queues]
    columns = ["call_date", "queue", "offered"]
    grid = drawn(monkeypatch, rows, kind="list", mart="queue_day", columns=columns).grid
    assert grid is not None
    assert [row[1] for row in grid.rows] == ["Balie", "info", "Verkoop"]
