"""Queues and lines with the same label."""

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import psycopg
import pytest

from callmart.base.settings import Settings
from callmart.reports import reading, weeks
from callmart.reports.drawing import Declared
from callmart.reports.language import Language
from callmart.reports.reading import Line, Queue
from callmart.reports.scene import Scene
from callmart_home import Callmart
from centre import STANDARD, queue_of
from drawn import WEEK, Draw

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted")]

LABEL, MOVED, OTHER = "Verkoop", "6001", "6002"
QUEUE = queue_of(STANDARD)
CALLED = [f"{LABEL} ({MOVED})", f"{LABEL} ({QUEUE})"]


@pytest.fixture
def moved(two_weeks: Callmart) -> Iterator[None]:
    """The standard customer's queue had another name until noon, and the same label."""
    change = "update store.queue_interval set queue = %s where customer_id = %s and queue = %s"
    with two_weeks.connect() as owner:
        owner.execute(
            f"{change} and extract(hour from interval_local) < 12".encode(), [MOVED, STANDARD, QUEUE]
        )
        for name, label in (QUEUE, LABEL), (MOVED, LABEL), (OTHER, "Service"), ("Service", None):
            owner.execute(
                "insert into registry.queue (customer_id, queue, label, service_level_s, short_abandon_s)"
                " values (%s, %s, %s, 20, 5)",
                [STANDARD, name, label],
            )
            owner.execute("insert into registry.line values (%s, %s, %s)", [STANDARD, name, label])
        owner.commit()
        yield
        owner.execute(change.encode(), [QUEUE, STANDARD, MOVED])
        owner.execute("delete from registry.queue")
        owner.execute("delete from registry.line")


@pytest.mark.usefixtures("moved")
def test_queues_with_the_same_label_are_told_apart(draw: Draw) -> None:
    """As on Tableau, which shows their names."""
    page = draw("handling", STANDARD)
    bars, table = (
        next(one for one in page.sections if one.name == name) for name in ("outcome_per_queue", "per_queue")
    )
    for grid in bars.grid, table.grid:
        assert grid is not None
        assert sorted(row[0] for row in grid.rows if row[0].startswith(LABEL)) == sorted(CALLED)
    (panel,) = bars.panels
    assert all(one in panel.svg for one in CALLED), "a bar of each"
    words = next(one for one in table.records.columns if one.name == "queue").words
    assert words == {MOVED: CALLED[0], QUEUE: CALLED[1]}


@pytest.mark.usefixtures("moved")
def test_who_chooses_a_label_that_several_have_gets_all_of_them(draw: Draw) -> None:
    for chosen, shown in ((LABEL, CALLED), (CALLED[0], CALLED[:1]), (QUEUE, CALLED[1:])):
        page = draw("handling", STANDARD, only={"queue": [chosen]})
        grid = next(one for one in page.sections if one.name == "per_queue").grid
        assert grid is not None
        assert sorted(row[0] for row in grid.rows if row[0].startswith(LABEL)) == sorted(shown)


@pytest.mark.usefixtures("moved")
def test_a_label_that_is_the_name_of_another_is_told_apart_too(
    two_weeks: Callmart, publisher: psycopg.Connection
) -> None:
    with two_weeks.connect() as owner:
        customer = reading.customer(owner, STANDARD)
    with reading.reading(publisher, customer) as reader:
        shown = {MOVED: CALLED[0], QUEUE: CALLED[1], OTHER: f"Service ({OTHER})", "Service": None}
        assert {name: line.shown for name, line in reader.lines.items()} == shown
        assert {name: queue.shown for name, queue in reader.queues.items() if name} == shown


@pytest.mark.usefixtures("moved")
def test_a_label_is_not_one_that_the_customer_ended_with_a_name(two_weeks: Callmart, draw: Draw) -> None:
    with two_weeks.connect() as owner:
        owner.execute("update registry.queue set label = %s where queue = %s", [CALLED[0], MOVED])
    page = draw("handling", STANDARD, only={"queue": [LABEL]})
    grid = next(one for one in page.sections if one.name == "per_queue").grid
    assert grid is not None
    assert [row[0] for row in grid.rows if row[0].startswith(LABEL)] == [LABEL]


@pytest.mark.usefixtures("moved")
def test_a_report_says_within_how_many_seconds_a_call_has_to_be_answered_and_which_abandon_is_short(
    two_weeks: Callmart, draw: Draw
) -> None:
    said = dict(draw("handling", STANDARD).meanings)
    assert said["De norm"] == "Opgenomen binnen 20 s"
    assert said["Korte ophangers"] == "Afgehaakt in minder dan 5 s"
    with two_weeks.connect() as owner:
        owner.execute(
            "update registry.queue set service_level_s = 90, short_abandon_s = 3 where queue in (%s, %s)",
            [MOVED, OTHER],
        )
    said = dict(draw("accessibility", STANDARD).meanings)
    assert said["De norm"] == f"Opgenomen binnen 20 s; Service ({OTHER}) en {CALLED[0]}: 1:30 min"
    assert said["Korte ophangers"] == f"Afgehaakt in minder dan 5 s; Service ({OTHER}) en {CALLED[0]}: 3 s"


def test_a_queue_that_is_not_listed_can_have_the_name_that_is_the_label_of_another() -> None:
    """A queue that is called by a number from some day on, and by its former name as a label."""
    reader = SimpleNamespace(
        queues={MOVED: Queue(LABEL, LABEL, None, 20, 5), None: Queue(None, None, 0.8, 20, 5)},
        lines={MOVED: Line(LABEL, LABEL)},
    )
    known, period = Declared.of(Settings()), weeks.counted(WEEK, WEEK.sunday, [])
    scene = Scene(cast(Any, reader), period, Language("nl"), known.marts, known.metrics, known.captions)
    for grain in "queue", "line":
        called = [scene.label(grain, name) for name in (MOVED, LABEL, OTHER)]
        assert called == [LABEL, f"{LABEL} ({LABEL})", OTHER]
    assert scene.label("line", "") == "zonder naam"
