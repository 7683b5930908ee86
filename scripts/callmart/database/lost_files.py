"""Removes files of the embedded server's database that belong to no table.

If the server crashes, PostgreSQL leaves the files of tables that a transaction was making, or writing anew, for ever:
with all their rows, and no statement reaches them.
"""

import re
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from callmart.base import disk, sql_file
from callmart.database import embedded_server

SQL = sql_file.statements(__file__)

# The name of a file of a table or an index begins with its number, that of a temporary one with a letter.
_NUMBER = re.compile(r"([0-9]+)(?:[._].*)?")


def remove(home: Path) -> int:
    """Remove them. Returns how many. While a transaction writes, nothing: what it makes is not yet seen by others."""
    with embedded_server.administrator(home) as postgres:
        ((own,),) = postgres.execute(SQL["own"]).fetchall()
        files = _files(home / "postgres" / "base" / own)
        # In this order: what was made by then, and is not being made, is seen.
        if postgres.execute(SQL["writing"]).fetchone():
            return 0
        lost = postgres.execute(SQL["lost"], {"numbers": list(files)}).fetchall()
        if lost:
            # Then nothing of them is left in memory, or in the log that a crash would replay.
            postgres.execute("checkpoint")
        gone = [path for (number,) in lost for path in files[number]]
        for path in gone:
            path.unlink(missing_ok=True)
        return len(gone)


def _files(folder: Path) -> Mapping[int, list[Path]]:
    """The files of tables and indexes, by their numbers, without empty ones: what is dropped is empty at once."""
    files = defaultdict(list)
    for path in disk.files(folder):
        with suppress(FileNotFoundError):  # the server removes what was dropped
            if (found := _NUMBER.fullmatch(path.name)) and path.stat().st_size:
                files[int(found[1])].append(path)
    return files
