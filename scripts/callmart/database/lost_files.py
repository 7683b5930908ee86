"""Removes files of the embedded server's database that belong to no table.

If the server crashes, PostgreSQL leaves the files of tables that a transaction was making, or writing anew, for ever:
with all their rows, and no statement reaches them.
"""

import re
from pathlib import Path

from callmart.base import disk, sql_file
from callmart.database import embedded_server

SQL = sql_file.statements(__file__)

_NUMBER = re.compile(
    r"([0-9]+)(?:[._].*)?"
)  # of a table or an index; those of temporary ones begin with a letter


def remove(home: Path) -> int:
    """Remove them. Returns how many. While a transaction writes, nothing: what it makes is not yet seen by others."""
    with embedded_server.administrator(home) as postgres:
        ((own,),) = postgres.execute(SQL["own"]).fetchall()
        files: dict[int, list[Path]] = {}
        for path in disk.files(home / "postgres" / "base" / own):
            if path.stat().st_size and (
                found := _NUMBER.fullmatch(path.name)
            ):  # what was dropped is empty at once
                files.setdefault(int(found[1]), []).append(path)
        # In this order: what was made by then, and is not being made, is seen.
        if postgres.execute(SQL["writing"]).fetchone():
            return 0
        lost = postgres.execute(SQL["lost"], {"numbers": list(files)}).fetchall()
        if lost:
            postgres.execute(
                "checkpoint"
            )  # nothing in memory, or in the log that a crash would replay, is of them
        gone = [path for (number,) in lost for path in files[number]]
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)
