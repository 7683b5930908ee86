"""Three customers, and files with two days of two of them, for whole nights."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from callmart.base.settings import Folder
from callmart.simulator.simulate import simulate
from callmart_home import Callmart
from events import days, registry

DETAILED, STANDARD, NONE = 1, 2, 3
REGISTRY = registry(
    f"id: {DETAILED}, contracts: [{{option: detailed, from: 2020-01-01}}]",
    f"id: {STANDARD}, contracts: [{{option: standard, from: 2020-01-01}}]",
    f"id: {NONE}, contracts: []",
)


def parts(number: int) -> list[pa.Table]:
    """Two days of two customers, cut into files in the order of time, so that each adds to a day before it."""
    tables = []
    for customer in DETAILED, STANDARD:
        events = simulate(
            customer, days(2), "Europe/Amsterdam", ["sales"], ["SIP/1", "SIP/2", "SIP/3"],
            contacts_per_day=40, seed=4, hours=(0, 24),
        ).events  # fmt: skip
        size = events.num_rows // number + 1
        tables.append([events.slice(i * size, size) for i in range(number)])
    return [pa.concat_tables(of_both) for of_both in zip(*tables, strict=True)]


def with_folders(callmart: Callmart, *folders: Folder) -> Callmart:
    """The same callmart, with folders in its settings."""
    return Callmart(callmart.settings.model_copy(update={"folders": list(folders)}))


def fill(folder: Path, *tables: pa.Table) -> None:
    folder.mkdir(exist_ok=True)
    for number, table in enumerate(tables):
        pq.write_table(table, folder / f"{number}.parquet")
