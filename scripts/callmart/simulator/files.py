"""Writes simulated customers to files: a registry, events to land, and the rows that the marts must have.

Late, repeated and broken rows don't change the expected rows: once every file has landed, the marts must match.
"""

import random
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from callmart.base.errors import UserError
from callmart.base.raw_format import LINE_PLATFORMS
from callmart.base.secret_files import secret_file
from callmart.base.settings import Platform
from callmart.simulator.lines import SimulatedLine, simulate_line
from callmart.simulator.simulate import EVENTS, Simulated, simulate

# Each list is used in turn: the first customer gets the first entry, and so on.
OPTIONS = ("detailed", "standard", "none")
PLATFORMS: Sequence[Platform] = ("vcloud", "vcare")
TIME_ZONES = ("Europe/Amsterdam", "Europe/London")

# What the first customer has ordered besides.
ORDERS = (
    ", contact_list: true, contact_list_days: 365, service_level_target: 80 %, holidays: NL,"
    ' opening_hours: [{from: 2020-01-01, mon-fri: "08:00-18:00", sat: "09:00-13:00"}],'
    ' queues: [{name: support, opening_hours: [{from: 2020-01-01, mon-sun: "00:00-24:00"}]}]'
)

FIRST_CUSTOMER = 1001
CONTACTS_PER_AGENT = 80  # per day

LATE, REPEATED, BROKEN = 0.02, 0.02, 0.01  # shares of the rows


def write(
    folder: Path, customers: int, days: Sequence[date], *, contacts_per_day: int, seed: int, dirt: bool
) -> int:
    """Write registry.yml, events/ and truth/ into a folder; return the number of events of all customers.

    There is one .parquet file of events per customer. With `dirt` it has broken rows, and there is a second file with
    late and repeated rows. Raises UserError if the folder has another registry.
    """
    registry, entries = folder / "registry.yml", _registry(customers, min(days) - timedelta(days=1))
    if registry.exists() and registry.read_bytes() != entries.encode():
        raise UserError(
            f"{registry} is another registry, or one of another day, and would be lost: remove it, or name a new folder"
        )
    for name in "events", "truth":
        (folder / name).mkdir(parents=True, exist_ok=True)
    secret_file(registry, entries)  # whole or not at all: a part of it would be another registry
    events = 0
    for number in range(customers):
        customer_id = FIRST_CUSTOMER + number
        line = simulate_line(
            customer_id,
            days,
            TIME_ZONES[number % len(TIME_ZONES)],
            f"line-{customer_id}",
            LINE_PLATFORMS[number % len(LINE_PLATFORMS)],
            calls_per_day=contacts_per_day // 2,
            seed=seed,
        )
        simulated = simulate(
            customer_id,
            days,
            TIME_ZONES[number % len(TIME_ZONES)],
            ["sales", "support", "info"],
            [f"agent-{agent:03}" for agent in range(1, contacts_per_day // CONTACTS_PER_AGENT + 3)],
            contacts_per_day=contacts_per_day,
            seed=seed,
            platform=PLATFORMS[number % len(PLATFORMS)],
            known_until=pc.max(line.events["occurred_at"]).as_py(),
        )
        own = pa.concat_tables([simulated.events, line.events])
        _write_events(folder / "events", customer_id, own, seed, dirt)
        _write_truth(folder / "truth", customer_id, simulated, line)
        events += own.num_rows
    return events


def _registry(customers: int, since: date) -> str:
    entries = []
    for number in range(customers):
        option = OPTIONS[number % len(OPTIONS)]
        orders = "" if number else ORDERS
        contracts = "" if option == "none" else f"{{option: {option}, from: {since}}}"
        entries.append(
            f"  - {{id: {FIRST_CUSTOMER + number}, name: simulated {number + 1},"
            f" time_zone: {TIME_ZONES[number % len(TIME_ZONES)]}, contracts: [{contracts}]{orders}}}\n"
        )
    return "customers:\n" + "".join(entries)


def _write_events(folder: Path, customer_id: int, events: pa.Table, seed: int, dirt: bool) -> None:
    file = folder / f"{customer_id}.parquet"
    if not dirt:
        pq.write_table(events, file)
        return
    rng = random.Random(f"dirt:{seed}:{customer_id}")
    dice = pa.array([rng.random() for _ in range(events.num_rows)])
    late = pc.less(dice, LATE)
    repeated = pc.and_(pc.greater_equal(dice, LATE), pc.less(dice, LATE + REPEATED))
    pq.write_table(pa.concat_tables([events.filter(pc.invert(late)), _broken(events, rng)]), file)
    pq.write_table(events.filter(pc.or_(late, repeated)), folder / f"{customer_id}-late.parquet")


def _broken(events: pa.Table, rng: random.Random) -> pa.Table:
    """Rows that must be rejected, because their event doesn't exist."""
    rows = events.take(sorted(rng.sample(range(events.num_rows), int(events.num_rows * BROKEN))))
    nonsense = pa.array(["nonsense"] * rows.num_rows, pa.string())
    return rows.set_column(EVENTS.get_field_index("event"), EVENTS.field("event"), nonsense)


def _write_truth(folder: Path, customer_id: int, simulated: Simulated, line: SimulatedLine) -> None:
    marts = {
        "queue_interval": simulated.queue_interval,
        "agent_day": simulated.agent_day,
        "line_interval": line.line_interval,
    }
    for mart, table in marts.items():
        pq.write_table(table, folder / f"{customer_id}.{mart}.parquet")
