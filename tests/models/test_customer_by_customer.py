"""Nothing joins customers: the window built once whole gives what it gives built customer by customer.

The customers have the same queues, agents and calls, so a join without the customer would find rows of the others.
test_check.py plants such joins in the text of a model.
"""

from pathlib import Path
from typing import Any

import pyarrow.parquet

from callmart.base.progress import quietly
from callmart.build import window
from callmart.declarations import dbt_project
from callmart.opening import opening
from callmart.simulator.simulate import simulate
from callmart_home import Callmart, leave_dirty, let_pass
from centre import DAYS, DETAILED, REGISTRY, WITH_DATA

USED_BY_ALL = ["intake", "balie"], ["medewerker-1", "medewerker-2", "medewerker-3"]


def land_the_same(callmart: Callmart, folder: Path) -> None:
    callmart.apply(REGISTRY)
    for customer in WITH_DATA:
        file = folder / f"{customer}.parquet"
        queues, agents = USED_BY_ALL
        told = simulate(customer, DAYS, "Europe/Amsterdam", queues, agents, contacts_per_day=40, seed=1)
        pyarrow.parquet.write_table(told.events, file)
        callmart.land(file)


def build(callmart: Callmart) -> None:
    with callmart.connect() as owner:
        window.build(owner, callmart.settings, quietly)


def open_all(callmart: Callmart) -> None:
    with callmart.connect() as owner:
        let_pass(owner, callmart.settings, quietly)
        opening.open_build(owner, callmart.settings)


def marts(callmart: Callmart) -> dict[str, list[str]]:
    """All rows of all marts."""
    names = [mart.name for mart in dbt_project.marts(callmart.settings)]
    return {name: sorted(map(repr, callmart.rows(f"select * from store.{name}"))) for name in names}


def customers_in(callmart: Callmart, mart: str) -> set[Any]:
    return {row["customer_id"] for row in callmart.rows(f"select distinct customer_id from store.{mart}")}


def test_the_whole_window_gives_what_each_customer_gives_alone(callmart: Callmart, tmp_path: Path) -> None:
    land_the_same(callmart, tmp_path)
    build(callmart)
    (pairs,) = callmart.rows(
        """
        select count(*) as found, count(*) filter (where a.customer_id = b.customer_id) as own
        from build.queue_interval as a
        inner join build.queue_interval as b using (call_date, queue, interval_start)
        """
    )
    assert pairs["found"] > pairs["own"] > 0, "a join without the customer finds the others' rows"
    open_all(callmart)
    whole = marts(callmart)
    assert customers_in(callmart, "queue_interval") == {*WITH_DATA}
    assert customers_in(callmart, "agent_interval") == {*DETAILED}

    for customer in WITH_DATA:
        with callmart.connect() as owner:
            leave_dirty(owner, [(customer, day) for day in DAYS])
        build(callmart)
        assert {row["customer_id"] for row in callmart.rows('table build."window"')} == {customer}
        open_all(callmart)
    assert marts(callmart) == whole


# Few rows, which would stay on one machine: their keys are numbers of the whole installation.
NUMBERED = ["ops.audit_log", "ops.rotation", "privacy.correction", "privacy.ledger_entry", "privacy.request"]


def test_the_customer_is_in_every_key_of_what_is_of_customers(callmart: Callmart) -> None:
    keys = """
        select indrelid::regclass::text as name
        from pg_index
        inner join pg_class as c on c.oid = indrelid
        inner join pg_attribute as customer on attrelid = indrelid and attname = 'customer_id'
        where
            indisunique and not relispartition and (attnum = any(indkey)) = %s
            and relnamespace = any(array['raw', 'build', 'store', 'registry', 'ops', 'privacy']::regnamespace[])
        order by 1
    """
    assert [row["name"] for row in callmart.rows(keys, False)] == NUMBERED
    with_customer = {row["name"] for row in callmart.rows(keys, True)}
    assert {
        "raw.event",
        "raw.call",
        "registry.agent",
        "ops.dirty_day",
        "store.queue_interval",
    } <= with_customer
