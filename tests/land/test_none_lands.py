"""What keeps every file from landing ends the landing with one sentence."""

from pathlib import Path
from typing import Any

import adbc_driver_manager
import pytest

from callmart.access import roles
from callmart.base.errors import UserError
from callmart.database import embedded_server
from callmart.land.loader import Loader
from callmart_home import Callmart
from events import DETAILED, at, event, ndjson, registry

pytestmark = pytest.mark.dated

CUSTOMER = 1
ROLE = roles.duty_role(embedded_server.DATABASE, "loader")


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    callmart.apply(registry(f"id: {CUSTOMER}, {DETAILED}"))


@pytest.fixture
def files(tmp_path: Path) -> list[tuple[Path, None]]:
    """Files of a call each, which share a transaction."""
    for number in range(5):
        call = f"{tmp_path} {number}"
        row = event("queue_joined", at("12:00"), customer_id=CUSTOMER, call_id=call, queue="q")
        (tmp_path / f"{number}").write_text(ndjson(row))
    return [(path, None) for path in sorted(tmp_path.iterdir())]


def failing(monkeypatch: pytest.MonkeyPatch, sqlstate: str) -> list[int]:
    """Have the server fail whatever lands. Returns of how many files each try was."""
    tries: list[int] = []

    def store(loader: Loader, prepared: Any, *more: Any) -> Any:
        tries.append(len(prepared.landing))
        raise adbc_driver_manager.OperationalError(
            "a row", status_code=adbc_driver_manager.AdbcStatusCode.IO, sqlstate=sqlstate
        )

    monkeypatch.setattr(Loader, "store", store)
    return tries


@pytest.mark.parametrize(
    ("sqlstate", "what"), [("53100", "SQLSTATE 53100: the disk is full"), ("58030", "SQLSTATE 58030")]
)
def test_what_fails_for_all_files_is_told_once(
    callmart: Callmart,
    files: list[tuple[Path, None]],
    monkeypatch: pytest.MonkeyPatch,
    sqlstate: str,
    what: str,
) -> None:
    """As soon as it fails for one alone. A smaller part of the files may still find room."""
    tries = failing(monkeypatch, sqlstate)
    with pytest.raises(UserError) as said:
        callmart.land_all(*files)
    assert str(said.value) == f"no file can land: the server failed ({what}); mend that, and land again"
    assert tries == [5, 2, 1]


def test_what_can_be_due_to_one_file_stops_no_other(
    callmart: Callmart, files: list[tuple[Path, None]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as a lack of memory."""
    failing(monkeypatch, "53200")
    outcomes = callmart.land_all(*files)
    assert outcomes == [
        f"{path} did not land: the server failed (SQLSTATE 53200); land it again" for path, _ in files
    ]


def test_a_second_session_that_is_refused_is_told_once(
    callmart: Callmart, files: list[tuple[Path, None]]
) -> None:
    with callmart.superuser() as superuser:
        limits = superuser.execute("select rolconnlimit from pg_roles where rolname = %s", [ROLE]).fetchall()
        superuser.execute(f"alter role {ROLE} connection limit 1")
    try:
        with pytest.raises(UserError, match="the login of the loader: "):
            callmart.land_all(*files)
    finally:
        with callmart.superuser() as superuser:
            superuser.execute(f"alter role {ROLE} connection limit {limits[0][0]}")


def refusal(callmart: Callmart, files: list[tuple[Path, None]], column: str, value: str) -> str:
    """What is said of a landing while a table has a row with this value."""
    callmart.rows(f"insert into {column} values ({value}) returning 1")
    try:
        with pytest.raises(UserError) as said:
            callmart.land_all(*files)
    finally:
        callmart.rows(f"delete from {column.partition(' ')[0]} returning 1")
    return str(said.value)


def test_a_rotation_that_has_begun_is_told_once(callmart: Callmart, files: list[tuple[Path, None]]) -> None:
    assert refusal(callmart, files, "ops.rotation (customer_id)", str(CUSTOMER)) == (
        "no file can land: the key of a customer is being rotated; wait until that has ended, and land again"
    )


@pytest.mark.parametrize("last", ["current_date - 9", "current_date + 2"], ids=["ahead", "back"])
def test_a_clock_that_jumps_while_a_landing_is_at_work_turns_nothing_away(
    callmart: Callmart, files: list[tuple[Path, None]], last: str
) -> None:
    """It would count as landed ever after."""
    assert refusal(callmart, files, "ops.clock (day)", last) == (
        "no file can land: the clock has jumped; correct it, or accept it with `callmart clock`, and land again"
    )
    assert [getattr(one, "landed", one) for one in callmart.land_all(*files)] == [1] * len(files)


@pytest.mark.parametrize("shown_to_the_owner", [False, True])
@pytest.mark.parametrize("table", ["registry.contract", "privacy.tombstone"])
def test_what_row_security_hides_is_not_taken_for_absent(
    callmart: Callmart, files: list[tuple[Path, None]], table: str, shown_to_the_owner: bool
) -> None:
    """Who has no contract would be turned away for good, and who was erased would land again."""
    with callmart.connect() as owner:
        owner.execute(f"alter table {table} enable row level security".encode())
        if shown_to_the_owner:
            owner.execute(f"create policy builder on {table} to callmart_owner using (true)".encode())
    try:
        with pytest.raises(UserError, match=f"no file can land: row security could hide rows of {table}, "):
            callmart.land_all(*files)
    finally:
        with callmart.connect() as owner:
            owner.execute(f"drop policy if exists builder on {table}".encode())
            owner.execute(f"alter table {table} disable row level security".encode())
    assert [getattr(one, "landed", one) for one in callmart.land_all(*files)] == [1] * len(files)
