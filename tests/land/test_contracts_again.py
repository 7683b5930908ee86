"""The server compares what comes with the contracts again: somebody else could have the loader's password."""

from collections.abc import Iterator
from datetime import datetime, time, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest

from callmart.access import logins
from callmart_home import Callmart
from events import AMSTERDAM, DAY, registry
from handing_over import handed_over, keep
from today import TODAY

pytestmark = pytest.mark.dated

ENDING, BEGINNING, ALOFT = 1, 2, 3
HONOLULU = ZoneInfo("Pacific/Honolulu")
MOMENT = timedelta(microseconds=1)
ENDS = datetime.combine(TODAY + timedelta(days=1), time(), AMSTERDAM)
BEGINS, BEGINS_ALOFT = (datetime.combine(DAY, time(), zone) for zone in (AMSTERDAM, HONOLULU))

MOMENTS = pytest.mark.parametrize(
    ("customer", "moment", "is_covered"),
    [
        (ENDING, ENDS - MOMENT, True),
        (ENDING, ENDS, False),
        (BEGINNING, BEGINS, True),
        (BEGINNING, BEGINS - MOMENT, False),
        (ALOFT, BEGINS_ALOFT, True),
        (ALOFT, BEGINS_ALOFT - MOMENT, False),
    ],
)


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    expired = "{option: standard, from: 2010-01-01, until: 2020-01-01}"  # no day of it is kept any more
    begins = f"contracts: [{{option: detailed, from: {DAY}}}]"
    callmart.apply(
        registry(
            f"id: {ENDING}, contracts: [{expired}, {{option: detailed, from: 2020-01-01, until: {ENDS:%Y-%m-%d}}}]",
            f"id: {BEGINNING}, {begins}",
            f"id: {ALOFT}, time_zone: {HONOLULU.key}, {begins}",
        )
    )


@pytest.fixture
def loader(callmart: Callmart) -> Iterator[psycopg.Connection]:
    """The loader's session. Nothing that it hands over stays."""
    with logins.connect(callmart.settings, "loader") as connection:
        yield connection
        connection.rollback()


def name_agent(loader: psycopg.Connection, customer: int, moment: datetime) -> None:
    """Hand over the id of an agent of whom no event comes."""
    loader.execute(
        "insert into raw.incoming_agent (customer_id, agent_key, agent, last_at) values (%s, %s, 'SIP/1', %s)",
        [customer, "0123456789abcdef" * 2, moment],
    )
    loader.execute(keep().encode())


@MOMENTS
def test_an_event_is_kept_on_a_day_of_the_contract(
    callmart: Callmart, customer: int, moment: datetime, is_covered: bool
) -> None:
    assert handed_over(callmart, customer, "SIP/1", moment) == is_covered


@MOMENTS
def test_an_id_of_an_agent_is_kept_on_a_day_of_the_detailed_contract(
    loader: psycopg.Connection, customer: int, moment: datetime, is_covered: bool
) -> None:
    if is_covered:
        name_agent(loader, customer, moment)
    else:
        with pytest.raises(psycopg.errors.CheckViolation, match="outside of a detailed contract"):
            name_agent(loader, customer, moment)
