"""A report of what was within opening hours only, or outside them."""

from collections.abc import Iterator

import pytest

from callmart.reports.drawing import NoData
from callmart_home import Callmart
from centre import STANDARD
from drawn import WEEK, Draw
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted")]

DAYS = [day for day in WEEK.days if day < TODAY]


@pytest.fixture
def hours(two_weeks: Callmart) -> Iterator[str]:
    """The standard customer is open from nine to five: the condition."""
    within = "extract(hour from interval_local) between 9 and 16"
    change = "update store.queue_interval set open = {} where customer_id = %s"
    with two_weeks.connect() as owner:
        owner.execute(change.format(within).encode(), [STANDARD])
        owner.commit()
        yield within
        owner.execute(change.format("null").encode(), [STANDARD])


def test_only_what_was_within_opening_hours_or_outside_them(
    two_weeks: Callmart, draw: Draw, hours: str
) -> None:
    """Each contact is in one of both, and the page says that it doesn't show all, and which sheets do."""
    for chosen, condition, said in (
        ("true", hours, "Within opening hours"),
        ("false", f"not {hours}", "Outside opening hours"),
    ):
        page = draw("accessibility", STANDARD, locale="en", only={"open": [chosen]})
        query = "select sum(offered) from store.queue_interval where customer_id = %s and call_date = any(%s)"
        with two_weeks.connect() as owner:
            wanted = f"{query} and {condition}".encode()
            ((offered,),) = owner.execute(wanted, [STANDARD, DAYS]).fetchall()
        assert page.sections[0].tiles[0].value == f"{offered:,}"
        assert (
            next(one for one in page.sections if one.name == "per_queue").records.rows[0]["offered"]
            == offered
        )
        assert {f"Only: {said}.", "This does not apply to: Callers who called again."} <= {*page.notices}
        assert "Only" not in str(draw("accessibility", STANDARD, locale="en").notices), "the control"
    page = draw("traffic", STANDARD, locale="en", only={"open": ["true"]})
    assert "Only: Within opening hours." in page.notices
    assert [
        row["open"]
        for row in next(one for one in page.sections if one.name == "within_opening_hours").records.rows
    ] == [True]


def test_opening_hours_that_nobody_declared(draw: Draw) -> None:
    with pytest.raises(NoData, match="see whether the registry has its opening_hours"):
        draw("traffic", STANDARD, only={"open": ["true"]})
    page = draw("traffic", STANDARD, only={"open": ["true"]}, or_empty=True)
    assert "Geen gesprekken in deze periode" in page.notices
