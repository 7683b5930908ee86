"""What a crash of the server leaves of tables that were being made is removed."""

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import sleep

import psutil
import psycopg
import pytest

from callmart.database import embedded_server, lost_files
from callmart_home import Callmart
from searching import files_with

pytestmark = pytest.mark.server

NAME = b"Noor Zandvliet"


def crash(home: Path) -> None:
    """End the embedded server as a machine that loses its power does. A session that sees the first process end would
    remove the files of its transaction. So that one stands still until the others are gone, and starts no more of them.
    """
    postmaster = psutil.Process(int((home / "postgres" / "postmaster.pid").read_text().splitlines()[0]))
    postmaster.suspend()
    while postmaster.status() != psutil.STATUS_STOPPED:
        sleep(0.001)
    for process in (*postmaster.children(), postmaster):
        process.kill()
    postmaster.wait(60)


def test_files_of_no_table_are_removed_and_that_of_one_that_is_being_made_stays(
    make_callmart: Callable[..., Callmart],
) -> None:
    """No statement reaches them, so they would be there for ever, and a proof would find them."""
    callmart = make_callmart()
    base = callmart.home / "postgres" / "base"
    with closing(callmart.connect()) as owner:
        owner.execute("create schema made")
        owner.commit()
        owner.execute(
            "create table made.lost as select %s || n as name from generate_series(1, 1000) as n",
            [NAME.decode()],
        )
        with embedded_server.administrator(callmart.home) as postgres:
            postgres.execute("checkpoint")
        crash(callmart.home)
        with pytest.raises(psycopg.OperationalError, match="server closed the connection unexpectedly"):
            owner.execute("select")
    with callmart.connect() as owner:
        assert files_with(base, {NAME}), "the control"
        owner.execute("create table made.kept as select 1 as number")
        assert lost_files.remove(callmart.home) == 0, "it could be that of the table that is being made"
        owner.commit()
    assert lost_files.remove(callmart.home)
    assert files_with(base, {NAME}) == set()
    assert callmart.rows("select number from made.kept") == [{"number": 1}]
    assert lost_files.remove(callmart.home) == 0
