"""A session that is lost while extracts are made fails one file, and is closed."""

from collections.abc import Callable
from typing import Any

import pytest
from adbc_driver_manager import Error as AdbcError

from callmart.access import roles
from callmart.base.progress import quietly
from callmart.extract import extract, reading
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
