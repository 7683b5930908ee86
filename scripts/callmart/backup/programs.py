"""Runs pg_dump, pg_restore and psql as the owner. What they print is never shown: it can contain rows."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from callmart.access import logins
from callmart.backup import contents
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database import embedded_server

LOCKS_WAIT_MS = 60_000
FIRST_WITH_TRANSACTION_TIMEOUT = 170000


def folder_for(version: int, *, encrypted: bool) -> Path:
    """The folder of programs that can work with a server of this version (180004 is 18.4), or with a dump of such
    programs: those of the embedded server if they can, otherwise those on PATH. Raises UserError if neither can.
    """
    needed = version // 10000
    on_path = shutil.which("pg_dump")
    for folder in (embedded_server.PROGRAMS, Path(on_path).parent if on_path else None):
        if folder is not None and major(folder) >= needed and (_encrypts(folder) or not encrypted):
            return folder
    raise UserError(
        f"no pg_dump here is as new as PostgreSQL {needed}{' and can encrypt its connection' if encrypted else ''}: "
        f"install PostgreSQL {needed}'s client programs (Debian's postgresql-client-{needed}), so that pg_dump is on "
        "PATH"
    )


def major(folder: Path) -> int:
    """The version of the programs in a folder, as 18."""
    said = _said(folder / "pg_dump", "--version").stdout
    found = re.search(r"\) (\d+)", said)
    return int(found[1]) if found else 0


def _encrypts(folder: Path) -> bool:
    """Whether the programs have TLS. Those that come with callmart have none."""
    return "not compiled in" not in _said(folder / "psql", "--dbname=host=/nowhere sslmode=require").stderr


def _said(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=embedded_server.environment(), capture_output=True, text=True, check=False
    )


@contextmanager
def dumping(
    settings: Settings, programs: Path, schemas: Iterable[str], snapshot: str, file: Path
) -> Iterator[None]:
    """Dump schemas as of a snapshot, and `build` without its rows, while the block does something else. Raises
    UserError at the end of the block if the dump fails. If the block fails, the dump ends.
    """
    running = subprocess.Popen(
        [
            programs / "pg_dump",
            f"--dbname={logins.owner_uri(settings)}",
            "--format=custom",
            f"--file={file}",
            f"--snapshot={snapshot}",
            "--enable-row-security",  # policies bind the owner, too; the one for the owner shows every row
            "--no-privileges",
            "--no-publications",
            "--no-subscriptions",
            "--no-security-labels",
            "--no-unlogged-table-data",
            f"--lock-wait-timeout={LOCKS_WAIT_MS}",
            *(f"--schema={schema}" for schema in (*schemas, "build")),
            *(f"--exclude-table-data={table}" for table in (*contents.LEFT_OUT, "build.*")),
            "--exclude-table=ops.running_now",
        ],
        env=embedded_server.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        errors="replace",
    )
    try:
        yield
        _, said = running.communicate()
    finally:
        running.kill()
        running.wait()
    if running.returncode:
        raise UserError(_why(said))


def _why(said: str) -> str:
    """Why pg_dump failed, and the remedy."""
    if "No space left on device" in said:
        return FULL
    if denied := re.search(r"permission denied for (.+)", said):
        return (
            f"nothing was backed up: the owner may not read the {denied[1]}, which belongs to somebody else; have a "
            "superuser give it back with `alter … owner to`, and run the same command again"
        )
    if "canceling statement due to lock timeout" in said or "could not obtain lock" in said:
        return "nothing was backed up: another session has a table locked; end it, and run the same command again"
    return "nothing was backed up: pg_dump broke off; see the server's log, and run the same command again"


FULL = "nothing was backed up: the disk is full; make room, or name a folder on another disk"


def load(
    settings: Settings, reader: Path, psql: Path, version: int, file: Path, before: Iterable[str]
) -> None:
    """Load a dump in one transaction, after the statements in `before`, without owners, policies and rights. The
    programs in the folder `reader` read the dump, those in `psql` reach the server, which is of this version. Raises
    UserError if it breaks off; then nothing is loaded.
    """
    with tempfile.TemporaryFile() as said:
        restoring = subprocess.Popen(
            [
                reader / "pg_restore", "--file=-", "--no-owner", "--no-policies", "--no-privileges", "--no-tablespaces",
                file,
            ],
            env=embedded_server.environment(),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        running = subprocess.Popen(
            [
                psql / "psql", f"--dbname={logins.owner_uri(settings)}", "--no-psqlrc", "--quiet", "--file=-",
                "--set=ON_ERROR_STOP=1", "--set=VERBOSITY=sqlstate",
            ],
            env=embedded_server.environment(), stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=said,
        )  # fmt: skip
        assert restoring.stdout is not None and running.stdin is not None
        try:
            with restoring.stdout as script, running.stdin as into:
                into.write("".join(f"{statement};\n" for statement in ("begin", *before)).encode())
                _copy(script, into, version)
                if restoring.wait() == 0:
                    into.write(b"commit;\n")
        except BrokenPipeError:
            pass  # psql has ended, and says why below
        finally:
            restoring.kill()
            if restoring.wait() != 0:
                running.kill()
        if running.wait() or restoring.returncode:
            said.seek(0)
            states = re.findall(rb"ERROR: +([0-9A-Z]{5})", said.read())
            cause = f"SQLSTATE {states[0].decode()}" if states else "pg_restore or psql broke off"
            raise UserError(
                f"the database was not restored ({cause}) and nobody can log in: if the server has room and is well, "
                "run the same command again"
            )


def _copy(script: IO[bytes], into: IO[bytes], version: int) -> None:
    """Copy the script, without a setting in its head that servers before 17 do not know."""
    for line in script:
        if line != b"SET transaction_timeout = 0;\n" or version >= FIRST_WITH_TRANSACTION_TIMEOUT:
            into.write(line)
        if line.startswith(b"SET client_encoding"):
            break
    shutil.copyfileobj(script, into, 1 << 20)
