"""Simulated customers as files, with dirt: landed in any order they give the truth that was written beside them."""

from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq

from callmart import simulated_files
from callmart.simulated_files import FIRST_CUSTOMER
from conftest import YESTERDAY, Callmart


def test_dirt_changes_nothing_of_what_the_marts_say(callmart: Callmart, tmp_path: Path) -> None:
    days = [YESTERDAY - timedelta(days=1), YESTERDAY]
    simulated_files.write(tmp_path, 3, days, contacts_per_day=150, seed=1, dirt=True)
    callmart.apply((tmp_path / "registry.yml").read_text())
    landed = [callmart.land(file) for file in sorted((tmp_path / "events").glob("*.parquet"))]
    assert {one.file for one in landed if one.repeated} == {"1001.parquet", "1002.parquet"}, (
        "the late ones came first"
    )
    assert all(bool(one.rejected) == ("late" not in one.file) for one in landed if one.landed)
    callmart.build_unchecked()

    for customer_id, option in zip(
        range(FIRST_CUSTOMER, FIRST_CUSTOMER + 3), simulated_files.OPTIONS, strict=True
    ):
        truth = pq.read_table(tmp_path / "truth" / f"{customer_id}.queue_interval.parquet").to_pylist()
        found = callmart.rows("select * from store.queue_interval where customer_id = %s", customer_id)
        if option == "none":
            assert truth and not found
            continue
        offered = {(row["queue"], row["interval_start"]): (row["offered"], row["answered"]) for row in truth}
        assert {
            (row["queue"], row["interval_start"]): (row["offered"], row["answered"]) for row in found
        } == offered
        lines = pq.read_table(tmp_path / "truth" / f"{customer_id}.line_interval.parquet")
        shown = callmart.rows(
            f"select {', '.join(lines.column_names)} from store.line_interval where customer_id = %s"
            " order by interval_start",
            customer_id,
        )
        assert shown == lines.to_pylist()
        assert max(row["peak_calls"] for row in shown) > 1
    agents = pq.read_table(tmp_path / "truth" / f"{FIRST_CUSTOMER}.agent_day.parquet").to_pylist()
    assert callmart.rows(
        "select sum(contacts)::int as contacts, sum(ready_s)::int as ready from store.agent_day"
    ) == [
        {"contacts": sum(row["contacts"] for row in agents), "ready": sum(row["ready_s"] for row in agents)}
    ]
