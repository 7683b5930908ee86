"""Reads the rows of an extract as its customer's own role: all of them, or the months that changed."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date, timedelta
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from callmart.declarations.dbt_project import Mart
from callmart.declarations.through import THROUGH


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
    """The number of rows that were read, and the hash of each part, by its name."""

    rows: int
    hashes: dict[str, str]


def parts_of(mart: Mart, parts: Sequence[Part]) -> Sequence[Part]:
    """The parts of a mart."""
    return parts if mart.day else [ALL]


def stream(folder: Path, mart: Mart, part: Part) -> Path:
    """The file with the rows of a mart's part."""
    return folder / f"{mart.name}{part.name}"


def read(
    reader: Any, role: str, marts: Sequence[Mart], parts: Sequence[Part], folder: Path, rows_before: int
) -> Contents:
    """Write the rows of each mart's parts, as the role sees them, into Arrow streams. `rows_before` is how many rows
    the file had to which these are added. Raises AdbcError if the role may not read them.

    The hashes show whether the contents have changed. Comparing .hyper files would not: they differ for the same rows.
    """
    rows = 0
    digests = {part.name: sha256() for part in (ALL, *parts)}
    for mart in sorted(marts, key=lambda mart: (mart is THROUGH, mart.name)):
        for part in parts_of(mart, parts):
            held = _read_part(reader, role, mart, part, stream(folder, mart, part))
            rows += held if mart is not THROUGH else 0
            if mart is THROUGH and not rows and not rows_before:
                continue  # nobody asks how far no rows go, and each night would make a new file
            digests[part.name].update(mart.name.encode())
            with stream(folder, mart, part).open("rb") as written:
                digests[part.name].update(file_digest(written, sha256).digest())
    return Contents(rows, {name: digest.hexdigest() for name, digest in digests.items()})


def _read_part(reader: Any, role: str, mart: Mart, part: Part, path: Path) -> int:
    """Write the rows into an Arrow stream. Returns how many there are."""
    rows = 0
    with (
        _rows_of(reader, role, mart, part) as batches,
        pa.OSFile(str(path), "wb") as file,
        pa.ipc.new_stream(file, batches.schema) as writer,
    ):
        for batch in batches:
            # Concatenating copies the batch. The driver's own has random unused bits, which change the hash.
            writer.write_batch(pa.concat_batches([batch, batch.slice(0, 0)]))
            rows += batch.num_rows
    return rows


@contextmanager
def _rows_of(reader: Any, role: str, mart: Mart, part: Part) -> Iterator[pa.RecordBatchReader]:
    """The rows of a mart's part as a role sees them, ordered by the key."""
    # Of the key without the customer, whose number is a constant here.
    columns, order = (
        ", ".join(f'"{name}"' for name in names) for names in (mart.columns, mart.key[1:] or mart.key)
    )
    with reader.cursor() as cursor:
        cursor.execute(f'set role "{role}"')
        try:
            cursor.execute(
                f'select {columns} from mart."{mart.name}" where {part.condition(mart.day)} order by {order}'
            )
            yield cursor.fetch_record_batch()
        finally:
            cursor.execute("reset role")
