"""The fixtures of tests of drawn reports: customers with a week and the week before it."""

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from callmart.access import logins
from callmart.base.declared import Locale
from callmart.declarations import exposures
from callmart.reports import charts, drawing, reading, weeks
from callmart.reports.drawing import Declared
from callmart.reports.page import Page
from callmart_home import Callmart
from drawn import WEEK, Draw
from kept_drawings import DRAW


@pytest.fixture(scope="module")
def declared(two_weeks: Callmart) -> Declared:
    return Declared.of(two_weeks.settings)


@pytest.fixture
def publisher(two_weeks: Callmart) -> Iterator[psycopg.Connection]:
    with logins.connect(two_weeks.settings, "publisher") as connection:
        yield connection


@pytest.fixture
def draw(two_weeks: Callmart, declared: Declared, publisher: psycopg.Connection) -> Draw:
    """Draws a report of a customer: of the week with data, if no other is named."""

    def draw(
        report: str, customer_id: int, week: weeks.Week = WEEK, locale: Locale | None = None, **how: Any
    ) -> Page:
        with two_weeks.connect() as owner:
            customer = reading.customer(owner, customer_id)
        return drawing.draw(publisher, declared, exposures.named(report), customer, week, locale, **how)

    return draw


@pytest.fixture
def drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """No chart is one that was drawn before."""
    monkeypatch.setattr(charts, "_svg", DRAW)
