"""A night expires what is too old, and neither a late file nor a build of that night brings it back."""

from datetime import UTC, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest

from callmart.base.progress import quietly
from callmart.build import months
from callmart.database import catalogue, clock
from callmart.declarations import dbt_project
from callmart.opening import opening
from callmart.operations import run, stages
from callmart.retention import expire, expiry_plan
from callmart_home import Callmart
from events import ndjson
from six_days import DAYS, ZONES, expired, marts_with_days, too_old
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted", "few_reports")]


def test_a_failing_expiry_stops_neither_months_nor_the_run(
    full: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: Any) -> None:
        raise RuntimeError("a row: +31612345678")

    monkeypatch.setattr(expire, "expire", failing)
    ahead = [(TODAY.replace(day=1) + timedelta(days=31 * n)).replace(day=1) for n in (1, 2)]
    for month in ahead:
        for parent in ("raw.event", *marts_with_days(full)):
            with full.connect() as connection:
                connection.execute(f"drop table if exists {parent}_{month:%Y%m}")
    with full.connect() as connection:
        ran = run.run(connection, full.settings, quietly)
        assert ran.problems == ["the expiry broke off (RuntimeError): run `callmart expire` to finish it"]
        groups = {mart.group for mart in dbt_project.marts(full.settings)} - {
            "contact"
        }  # which nobody has ordered
        assert ran.extracts == len(ZONES) * len(groups)
        for month in ahead:
            for name in ("raw.event", *marts_with_days(full)):
                assert catalogue.exists(connection, f"{name}_{month:%Y%m}")


@pytest.mark.waits
def test_months_that_cannot_be_made_are_a_problem(full: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(months, "PATIENCE", "50ms")
    month = (TODAY.replace(day=1) + timedelta(days=31)).replace(day=1)
    ran = stages.Ran()
    with full.connect() as holder, full.connect() as connection:
        holder.execute(f"drop table if exists raw.event_{month:%Y%m}")
        holder.commit()
        holder.execute("lock table raw.event in share update exclusive mode")
        run.follow_calendar(connection, full.settings, ran, quietly)
        holder.rollback()
        assert ran.problems == ["the months ahead were not made (SQLSTATE 55P03): the next run tries again"]
        assert months.ensure_ahead(connection, full.settings) == 1
        assert months.ensure_ahead(connection, full.settings) == 0


def test_a_late_file_brings_nothing_back(full: Callmart) -> None:
    with full.connect() as connection:
        floor = expiry_plan.plan(connection, full.settings, clock.today(connection, full.settings)).floor
    for customer, zone in ZONES.items():
        moments = [datetime.combine(floor, time(), ZoneInfo(zone)) + timedelta(seconds=s) for s in (-1, 0)]
        rows = [
            {"event": "queue_joined", "occurred_at": at.isoformat(), "call_id": f"late-{n}", "queue": "sales"}
            for n, at in enumerate(moments)
        ]
        landed = full.land_text(ndjson(*rows), customer)
        assert (landed.turned_away, landed.landed) == (1, 1)
    full.build_unchecked()
    rows = full.rows("select call_date from store.queue_interval where call_date < %s", DAYS[0])
    assert {row["call_date"] for row in rows} == {floor}
    assert too_old(full, floor) == {}
    expired(full, floor + timedelta(days=1))
    full.build_unchecked()
    assert not full.rows("select from store.queue_interval where call_date < %s", DAYS[0])


def test_a_backfill_of_an_expired_day_opens_nothing(full: Callmart) -> None:
    with full.connect() as connection:
        floor = expiry_plan.plan(connection, full.settings, clock.today(connection, full.settings)).floor
        expired_day = floor - timedelta(days=1)
        connection.execute("select access.ensure_month('raw.event', %s)", [expired_day])
        connection.execute(
            "insert into raw.event"
            " (customer_id, occurred_at, event_key, platform, event, file_id, call_key, queue)"
            " values (1, %s, 1, 'vcloud', 'queue_joined', 1, 1, 'sales')",
            [datetime.combine(expired_day, time(12), UTC)],
        )
        connection.execute(
            "insert into ops.dirty_day (customer_id, call_date, cause) values (1, %s, 'by hand')",
            [expired_day],
        )
    full.build_unchecked()
    assert not full.rows("select from store.queue_interval where call_date < %s", floor)
    with full.connect() as connection:
        expire.expire(connection, full.settings, clock.today(connection, full.settings))
    assert too_old(full, floor) == {}


@pytest.mark.parametrize("age", [0, 1], ids=["still kept", "too old"])
def test_a_day_that_grows_too_old_between_build_and_open_is_not_opened(
    full: Callmart, monkeypatch: pytest.MonkeyPatch, age: int
) -> None:
    """Midnight comes after the checks. Here the window gets older instead."""
    inner = opening.open_build
    marts = [mart.removeprefix("store.") for mart in marts_with_days(full)]
    with full.connect() as connection:
        day = expiry_plan.floor_on(connection, clock.today(connection, full.settings)) - timedelta(days=age)
        connection.execute(
            "insert into ops.dirty_day (customer_id, call_date, cause) values (1, %s, 'by hand')", [DAYS[3]]
        )

    def after_midnight(connection: psycopg.Connection, settings: Any) -> Any:
        for table in ("window", *marts):
            # The days after it are only looked at again.
            connection.execute(f'delete from build."{table}" where call_date <> %s', [DAYS[3]])
            connection.execute(f'update build."{table}" set call_date = %s', [day])
        connection.commit()
        return inner(connection, settings)

    monkeypatch.setattr(opening, "open_build", after_midnight)
    ran = full.build_and_open()
    assert (ran.built_days, ran.opened_days) == (1, 1 - age)
    for table in marts:
        found = full.rows(f"select from store.{table} where call_date = %s", day)
        assert bool(found) == (age == 0)
