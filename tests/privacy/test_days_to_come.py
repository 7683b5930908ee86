"""A plan for an agent who has left without a word: of days to come there is nothing that could change."""

from datetime import date

import pytest

from agent_events import added, told_until
from callmart.privacy import erasing, objecting, procedure
from callmart.privacy.procedure import Case, Plan
from callmart_home import Callmart
from erasing import key_of, person
from events import DETAILED, Row, at, days, registry

pytestmark = pytest.mark.server

CUSTOMER = 1


@pytest.fixture(scope="module")
def home(callmart: Callmart) -> Callmart:
    """An agent comes into a queue, and never leaves it; the data ends a day later."""
    callmart.apply(registry(f"id: {CUSTOMER}, {DETAILED}"))
    land(callmart, added("09:00"), told_until("12:00", 1))
    return callmart


def land(home: Callmart, *rows: Row) -> None:
    """Leaves no file in the home, of which no plan would know who is in it."""
    home.land_together({CUSTOMER: rows})
    next(home.home.glob("landed-*")).unlink()


def plan_of(home: Callmart, module: procedure.Procedure) -> Plan:
    who = person(home, CUSTOMER, "agent", "a", at("00:00", 1))
    with home.connect() as connection, procedure.working(connection, home.settings) as work:
        return module.plan(Case(work, who, key_of(home, CUSTOMER), 1))


def staffed(plan: Plan) -> list[date]:
    """The days on which the plan changes the staffing."""
    assert plan.counts["marts"]["cells staffing"] == len(plan.cells.known)
    return [cell.call_date for cell in plan.cells.known]


def test_a_plan_counts_days_up_to_the_end_of_the_data_and_stays_approved(home: Callmart) -> None:
    modules: tuple[procedure.Procedure, ...] = (erasing, objecting)
    before = [plan_of(home, module) for module in modules]
    land(home, told_until("12:00", 2))
    after = [plan_of(home, module) for module in modules]
    for first, later in zip(before, after, strict=True):
        assert (staffed(first), staffed(later)) == (days(2), days(3))
        assert first.hash == later.hash
    land(home, added("09:00", 1))
    assert before[0].hash != plan_of(home, erasing).hash, "what was known has changed"
