"""Reads the rows of an extract as its customer's own role: all of them, or the months that changed."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from hashlib import sha256
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from callmart.declarations.data_through import THROUGH
from callmart.declarations.mart import Mart


class Part(NamedTuple):
    """A month of the rows of each mart, or all rows. Marts without days have no months: they are read whole."""

    month: date | None

    @property
    def name(self) -> str:
        """What the books call it."""
        return str(self.month or "")

    def condition(self, day: str | None) -> str:
        """The condition on a mart's day in SQL, for PostgreSQL and Hyper."""
        if self.month is None or day is None:
            return "true"
        after = (self.month + timedelta(days=31)).replace(day=1)
        return f"(\"{day}\" >= date '{self.month}' and \"{day}\" < date '{after}')"


ALL = Part(None)


class Contents(NamedTuple):
    """The number of rows that were read, and the hashes of what was read: of each month's rows by its name, of marts
    without days under an empty name, and of how far the data goes under THROUGH's name.
    """

    rows: int
    part_hashes: dict[str, str]


def parts_of(mart: Mart, parts: Sequence[Part]) -> Sequence[Part]:
    """The parts of a mart."""
    return parts if mart.day else [ALL]


def stream(folder: Path, mart: Mart, part: Part) -> Path:
    """The file with the rows of a mart's part."""
    return folder / f"{mart.name}{part.name}"


def read(reader: Any, role: str, marts: Sequence[Mart], parts: Sequence[Part], folder: Path) -> Contents:
    """Write the rows of each mart's parts, as the role sees them, into Arrow streams. Raises AdbcError if the role may
    not read them.

    The hashes show whether the contents have changed. Comparing .hyper files would not: they differ for the same rows.
    """
    rows = 0
    digests = defaultdict[str, Any](sha256)
    with _as(role, reader) as cursor:
        for mart in sorted(marts, key=lambda mart: mart.name):
            for part in parts_of(mart, parts):
                batches = _rows_of(cursor, mart, part)
                with (
                    pa.OSFile(str(stream(folder, mart, part)), "wb") as file,
                    pa.ipc.new_stream(file, batches.schema) as writer,
                ):
                    for name, batch in _by_month(mart, batches):
                        writer.write_batch(batch)
                        digests[name].update(mart.name.encode())
                        digests[name].update(batch.serialize())
                        rows += batch.num_rows if mart is not THROUGH else 0
    return Contents(rows, {name: digest.hexdigest() for name, digest in digests.items()})


def _by_month(mart: Mart, batches: pa.RecordBatchReader) -> Iterator[tuple[str, pa.RecordBatch]]:
    """The rows of each month in one batch. They come in the order of days."""
    held: list[pa.RecordBatch] = []
    current = ""
    for batch in batches:
        for name, rows in _split(mart, batch):
            if name != current and held:
                yield current, _joined(held)
                held = []
            current = name
            held.append(rows)
    if held:
        yield current, _joined(held)


def _split(mart: Mart, batch: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch]]:
    if mart.day is None:
        yield THROUGH.name if mart is THROUGH else "", batch
        return
    months = pc.run_end_encode(pc.floor_temporal(batch[mart.day], unit="month"))
    for month, (first, after) in zip(months.values, pairwise([0, *months.run_ends.to_pylist()]), strict=True):
        yield str(month), batch.slice(first, after - first)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    # Concatenating copies the rows. The driver's own have random unused bits, which change the hash.
    return pa.concat_batches([*batches, batches[0].slice(0, 0)])


@contextmanager
def _as(role: str, reader: Any) -> Iterator[Any]:
    """A cursor that reads as a role."""
    with reader.cursor() as cursor:
        cursor.execute(f'set role "{role}"')
        try:
            yield cursor
        finally:
            cursor.execute("reset role")


def _rows_of(cursor: Any, mart: Mart, part: Part) -> pa.RecordBatchReader:
    """The rows of a mart's part as the cursor's role sees them, ordered by the day and the key."""
    # The customer's number is a constant here. The key of a mart with days begins with the day.
    ordered = dict.fromkeys([*([mart.day] if mart.day else []), *(mart.key[1:] or mart.key)])
    columns, order = (", ".join(f'"{name}"' for name in names) for names in (mart.columns, ordered))
    cursor.execute(
        f'select {columns} from mart."{mart.name}" where {part.condition(mart.day)} order by {order}'
    )
    return cursor.fetch_record_batch()
