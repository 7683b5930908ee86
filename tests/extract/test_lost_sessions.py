"""A session that is lost while extracts are made fails one file, and is closed. What helps is said."""

import errno
import shutil
from collections.abc import Callable
from typing import Any

import pytest
from adbc_driver_manager import AdbcStatusCode
from adbc_driver_manager import Error as AdbcError
from tableauhyperapi import HyperException
from tableauhyperapi.hyperexception import ContextId

from callmart.access import roles
from callmart.base.progress import quietly
from callmart.extract import drafts, extract, reading
from callmart.extract.drafts import Unproven
from callmart_home import Callmart
from centre import NAMED

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked")]


@pytest.fixture
def before_reading(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Any], None]], None]:
    """What to do with the publisher's session before each file is read. The files are made one after the other."""
    monkeypatch.setattr(extract, "WORKERS", 1)
    read = reading.read

    def do(first: Callable[[Any], None]) -> None:
        def reading_after(reader: Any, *how: Any) -> reading.Contents:
            first(reader)
            return read(reader, *how)

        monkeypatch.setattr(reading, "read", reading_after)

    return do


def failures(callmart: Callmart) -> list[Unproven]:
    """The failures of making all files again."""
    with callmart.connect() as owner:
        owner.execute("delete from ops.extract")
        owner.commit()
        found = extract.extract(owner, callmart.settings, quietly)
    return [one for one in found if isinstance(one, Unproven)]


@pytest.mark.thorough
def test_a_session_that_ends_fails_one_file(played: Callmart, before_reading: Any) -> None:
    used: list[Any] = []

    def end_first(reader: Any) -> None:
        used.append(reader)
        if len(used) == 1:
            with reader.cursor() as cursor, pytest.raises(AdbcError):
                cursor.execute("select pg_terminate_backend(pg_backend_pid())")
                cursor.fetchall()

    before_reading(end_first)
    (failed,) = failures(played)
    assert str(failed).endswith(": run this again")
    assert len(used) > 2


def test_a_session_in_which_something_fails_is_closed(played: Callmart, before_reading: Any) -> None:
    used: list[Any] = []

    def fail(reader: Any) -> None:
        used.append(reader)
        raise RuntimeError

    before_reading(fail)
    assert len(failures(played)) == len(used) > 1
    for reader in used:
        # What the driver says of a connection that was closed.
        with pytest.raises(AdbcError, match="AdbcConnectionInit"):
            reader.execute("select 1")


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "make room on the disk, and run this again"),
        (OSError(errno.EIO, "Input/output error"), "run this again"),
        (
            AdbcError("", status_code=AdbcStatusCode.INTERNAL, sqlstate="42P01"),
            "run `callmart build`, and then this again",
        ),
    ],
    ids=["a full disk", "any other error", "no mart yet"],
)
def test_what_helps_is_said(played: Callmart, before_reading: Any, error: Exception, remedy: str) -> None:
    def fail(_: Any) -> None:
        raise error

    before_reading(fail)
    failed = failures(played)
    assert failed
    assert all(str(one).endswith(f"): {remedy}") for one in failed)


@pytest.mark.parametrize(
    ("free", "said"), [(0, "its disk is full: make room, and "), (1 << 40, "check whether the disk or the ")]
)
def test_where_hyper_has_no_room_that_is_said(
    played: Callmart, monkeypatch: pytest.MonkeyPatch, free: int, said: str
) -> None:
    """Hyper itself doesn't say why it could not write."""

    def fail(*_: Any) -> None:
        raise HyperException(ContextId(1))

    monkeypatch.setattr(drafts.Draft, "write", fail)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: (1 << 40, 0, free))
    failed = failures(played)
    assert failed
    assert all(said in str(one) for one in failed)


def test_a_role_that_is_missing_is_put_right_by_access_apply(played: Callmart, before_reading: Any) -> None:
    role = roles.customer_role("callmart", NAMED)
    before_reading(lambda reader: None)
    with played.connect() as owner:
        owner.execute(f"alter role {role} rename to callmart_away")
        owner.commit()
        found = failures(played)
        owner.execute(f"alter role callmart_away rename to {role}")
        owner.commit()
    assert found
    assert all("callmart access apply" in str(one) for one in found)
