"""The deadline, the end of the 28th day after a letter came, who is warned, and how long requests are kept."""

import json
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from callmart.base.errors import UserError
from callmart.operations import health
from callmart.privacy import register
from callmart.privacy.register import Request
from callmart.retention import expire, expiry_plan
from commands import command_of
from requests_of_persons import HASH, Desk
from today import TODAY

pytestmark = pytest.mark.dated

ONE, CONTACT = 1, "p@een.example"

# With clocks that change at midnight, over a whole day, by half an hour, and never.
ZONES = (
    "Europe/Amsterdam", "America/Santiago", "America/Havana", "Asia/Beirut", "Pacific/Apia", "Pacific/Kiritimati",
    "Australia/Lord_Howe", "America/St_Johns", "UTC",
)  # fmt: skip


@pytest.fixture
def waiting(desk: Desk) -> Iterator[Desk]:
    """A desk whose register is empty, and is emptied again."""
    yield desk
    desk.forget_all()


@pytest.fixture(scope="module")
def deadline(desk: Desk) -> str:
    """The days that are left, as the database computes them: its own expressions, for any zone and moment."""
    ((today, due),) = desk.owner.execute(
        """
        select
            pg_get_function_sqlbody('privacy.today()'::regprocedure),
            (
                select pg_get_expr(adbin, adrelid) from pg_attrdef
                join pg_attribute on attrelid = adrelid and attnum = adnum
                where adrelid = 'privacy.request'::regclass and attname = 'due'
            )
        """
    ).fetchall()
    assert (today.count("now()"), today.count("'Europe/Amsterdam'"), due.count("received")) == (1, 1, 1)
    today = today.removeprefix("RETURN ").replace("now()", "%(moment)s::timestamptz")
    today = today.replace("'Europe/Amsterdam'", "%(zone)s")
    return f"select ({due.replace('received', '%(received)s::date')}) - ({today})"


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    zone=st.sampled_from(ZONES),
    received=st.dates(date(2020, 1, 1), date(2035, 12, 31)),
    hours=st.integers(-72, 72),
    second=st.integers(-2, 2),
)
@example(zone="Europe/Amsterdam", received=date(2028, 2, 1), hours=0, second=0)  # ends on the leap day
@example(zone="Europe/Amsterdam", received=date(2027, 2, 28), hours=0, second=-1)  # ends on a day of 23 hours
# Before a day without midnight.
@example(zone="America/Santiago", received=date(2026, 8, 8), hours=0, second=0)
@example(zone="America/Havana", received=date(2026, 10, 3), hours=0, second=-1)  # before a day with two
def test_the_deadline_is_the_end_of_the_28th_day(
    desk: Desk, deadline: str, zone: str, received: date, hours: int, second: int
) -> None:
    clock = ZoneInfo(zone)
    end = datetime.combine(received + timedelta(days=29), time(), clock).astimezone(UTC)
    moment = end + timedelta(hours=hours, seconds=second)
    ((left,),) = desk.owner.execute(
        deadline.encode(), {"moment": moment, "zone": zone, "received": received}
    ).fetchall()
    assert (left >= 0) == (moment < end)
    assert left == (received + timedelta(days=28) - moment.astimezone(clock).date()).days


def test_the_day_is_the_provider_s(desk: Desk) -> None:
    assert desk.owner.execute("select privacy.today()").fetchone() == (TODAY,)


def with_left(days: int | None) -> Request:
    nothing = dict.fromkeys(Request.__dataclass_fields__)
    return Request(**nothing | {"days_left": days})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("days", "warning", "left"),
    [
        (28, None, "28 days"), (15, None, "15 days"), (14, 14, "14 days"), (8, 14, "8 days"), (7, 7, "7 days"),
        (4, 7, "4 days"), (3, 3, "3 days"), (2, 3, "2 days"), (1, 1, "1 day"), (0, 0, "until tonight"),
        (-1, -1, "1 day late"), (-400, -1, "400 days late"), (None, None, ""),
    ],
)  # fmt: skip
def test_warnings_come_nearer_and_stay(days: int | None, warning: int | None, left: str) -> None:
    assert (with_left(days).warning, with_left(days).left) == (warning, left)


def troubles(desk: Desk) -> dict[int | None, tuple[int | None, str]]:
    """What health finds about requests: the warning and the sentence by number."""
    found = [one for one in health.look(desk.callmart.settings).troubles if one.kind == "privacy"]
    assert {one.customer_id for one in found} <= {ONE}
    return {one.request: (one.days_left, one.what) for one in found}


def test_health_warns_until_it_is_answered(waiting: Desk) -> None:
    ages = {"far off": 13, "near": 14, "tonight": 28, "late": 40, "answered": 40, "blocked": 26}
    numbers = {
        name: waiting.open(ONE, CONTACT, person=f"{place:032}", received=TODAY - timedelta(days=age))
        for place, (name, age) in enumerate(ages.items())
    }
    waiting.bring(numbers["answered"], "answered")
    waiting.bring(numbers["blocked"], "executing")
    register.block(waiting.officer, numbers["blocked"], "tableau content", "tableau")
    found = troubles(waiting)
    assert {number: warning for number, (warning, _) in found.items()} == {
        numbers["near"]: 14, numbers["tonight"]: 0, numbers["late"]: -1, numbers["blocked"]: 3,
    }  # fmt: skip
    late, due = numbers["late"], TODAY - timedelta(days=12)
    assert found[late][1] == (
        f"request {late} is due on {due}, 12 days late: check who asks, then `callmart privacy verify {late}`"
    )
    assert found[numbers["blocked"]][1].endswith(
        "2 days: blocked by tableau content (tableau): run again the command that said so"
    )

    command = command_of(waiting.callmart.home)
    assert command("health").returncode == 1
    said = command("status")
    assert said.returncode == 0
    assert (
        f"requests of persons: 5 to answer, the first by {due} (request {late}, customer 1), 12 days late"
        in said.stdout
    )
    told = json.loads(command("status", "--json").stdout)["requests"]
    assert [one["number"] for one in told] == [
        number for name, number in numbers.items() if name != "answered"
    ]
    shown = command("privacy", "status")
    assert "12 days late" in shown.stdout and "blocked: tableau content" in shown.stdout.replace("\n", " ")
    assert [one["state"] for one in json.loads(command("privacy", "status", "--json").stdout)] == [
        "received", "received", "received", "received", "answered", "executing",
    ]  # fmt: skip


def test_the_register_is_kept_for_five_years_and_no_longer(waiting: Desk) -> None:
    kept, gone, recent, late = (
        waiting.open(ONE, CONTACT, person=f"{place:032}", received=TODAY - timedelta(days=1800))
        for place in range(4)
    )
    for number in (kept, gone):
        waiting.bring(number, "closed")
    register.refuse(waiting.officer, recent, "identity")
    register.forward(waiting.officer, ONE, TODAY - timedelta(days=1800), "erasure")
    waiting.owner.execute(
        "update privacy.request set ended_at = now() - interval '5 years' - %s"
        " where number = any(%s) or state = 'forwarded'",
        [timedelta(days=2), [gone]],
    )
    waiting.owner.execute(
        "update privacy.request set ended_at = now() - interval '5 years' + interval '2 days' where number = %s",
        [kept],
    )
    with waiting.callmart.connect() as connection:
        planned = expiry_plan.plan(connection, waiting.callmart.settings, TODAY)
        (step,) = [step for step in planned.steps if step.kind == "privacy"]
        assert (step.what, step.count) == ("privacy.request", 2)
        assert {one.outcome for one in expire.execute(connection, planned)} == {expire.DONE}
    assert [one.number for one in register.requests(waiting.officer)] == [kept, recent, late]
    rows = waiting.owner.execute("select distinct request from privacy.step").fetchall()
    assert rows == [(kept,)], "the evidence goes with its request"
    with pytest.raises(psycopg.errors.RaiseException), waiting.callmart.connect() as connection:
        connection.execute("delete from privacy.request where number = %s", [kept])


def test_a_day_far_ahead_expires_no_request_early(waiting: Desk) -> None:
    number = waiting.open(ONE, CONTACT)
    register.refuse(waiting.officer, number, "authority")
    with waiting.callmart.connect() as connection:
        planned = expiry_plan.plan(connection, waiting.callmart.settings, TODAY + timedelta(days=3000))
    assert [step for step in planned.steps if step.kind == "privacy"] == []
    with pytest.raises(UserError, match="there is no request 999"):
        register.request(waiting.officer, 999)


def test_a_day_that_can_only_be_a_slip_is_refused(waiting: Desk) -> None:
    """A day that Python doesn't know would close the register to everybody, for as long as it is kept."""
    tomorrow = TODAY + timedelta(days=1)
    for day, mistake in [
        (f"{tomorrow}", f"{tomorrow} lies ahead"),
        ("0202-11-24", "0202-11-24 is more than five years ago"),
        ("-infinity", "-infinity is more than five years ago"),
    ]:
        for enters in (
            "open_request(%(one)s, 'erasure', 'caller', repeat('0', 32), %(day)s::date, %(contact)s, null)",
            "forward(%(one)s, 'erasure', %(day)s::date)",
        ):
            given = {"one": ONE, "day": day, "contact": waiting.contact(ONE, CONTACT)}
            with pytest.raises(psycopg.Error, match=mistake), waiting.officer.transaction():
                waiting.officer.execute(f"select privacy.{enters}".encode(), given)
    assert register.requests(waiting.officer) == []
    number = waiting.open(ONE, CONTACT)
    waiting.verify(number)
    for until in ("tomorrow", "-infinity", None):
        with pytest.raises(psycopg.Error, match="a day that is over"), waiting.officer.transaction():
            waiting.officer.execute(
                "select privacy.note_plan(%s, %s, %s::timestamptz)", [number, HASH, until]
            )
