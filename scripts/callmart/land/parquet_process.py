"""Asks `parquet_reader`, the program that reads Parquet files in a process of its own."""

import atexit
import os
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from multiprocessing import Pipe
from multiprocessing.reduction import recv_handle
from pathlib import Path

import pyarrow as pa

from callmart.base.errors import UserError
from callmart.land import parquet_reader

_SECRETS = ("CALLMART_", "PG")  # how variables begin that a file has no use for


class _Reader:
    """The program, and the connection to it."""

    def __init__(self) -> None:
        self.connection, theirs = Pipe()
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-m", parquet_reader.__name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={
                    "ARROW_DEFAULT_MEMORY_POOL": "system",  # others take more from the kernel than they need
                    **{name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)},
                },
                start_new_session=True,  # Ctrl-C is for us alone
            )

    def end(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.wait()


_idle: defaultdict[int, list[_Reader]] = defaultdict(list)  # a forked process has none of its parent's


def ask(path: Path, *request: object) -> Iterator[pa.RecordBatch]:
    """Yield the batches of the answer about the file at a path. Raises UserError if the file can't be read."""
    idle = _idle[os.getpid()]
    reader = _living(idle) or _Reader()
    try:
        reader.connection.send(request)
        while (answer := reader.connection.recv_bytes()) == parquet_reader.FILE or len(answer) > 1:
            rows = _mapped(reader) if answer == parquet_reader.FILE else answer
            yield pa.ipc.open_stream(rows).read_next_batch()
    except (EOFError, ConnectionError):
        reader.end()
        raise UserError(
            f"{path} ended the process that reads it, or took too long; write it anew, and deliver it again"
        ) from None
    except BaseException:
        reader.end()  # it would go on with its answer
        raise
    idle.append(reader)
    match answer:
        case parquet_reader.DAMAGED:
            raise broken(path)
        case parquet_reader.TOO_LARGE:
            raise UserError(
                f"{path}: to read it takes more than {parquet_reader.MEMORY >> 30} GiB of memory; write smaller row "
                "groups"
            )


def _living(idle: list[_Reader]) -> _Reader | None:
    """Take an idle one that still runs, if there is one. For what ended another meanwhile no file is to blame."""
    while idle:
        reader = idle.pop()
        if reader.process.poll() is None:
            return reader
        reader.end()
    return None


def _mapped(reader: _Reader) -> pa.MemoryMappedFile:
    """The file in memory that comes next. The reader goes on with the one after it."""
    file = recv_handle(reader.connection)
    try:
        return pa.memory_map(f"/proc/self/fd/{file}")
    finally:
        os.close(file)
        reader.connection.send_bytes(b"go on")


def broken(path: Path) -> UserError:
    """The error for a file that can't be read to its end."""
    return UserError(
        f"{path} is damaged, breaks off or has encrypted columns; deliver the whole file again, without encryption"
    )


@atexit.register
def _end() -> None:
    for reader in _idle.pop(os.getpid(), []):
        reader.end()
