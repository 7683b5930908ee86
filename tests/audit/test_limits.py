"""The audit's checks of limits: each measure that is not in place is a breach."""

from pathlib import Path

import psycopg
import pytest
from pydantic import SecretStr

from audits import done
from callmart.audit import limits
from callmart.base.matrix import Limits, matrix
from callmart.database import server
from callmart_home import Callmart
from centre import STANDARD

TAKES_MORE = {
    "shut everybody out": (
        "grant execute on function pg_advisory_lock(bigint) to public",
        "revoke execute on function pg_advisory_lock(bigint) from public",
    ),
    "temporary files": (
        "alter role callmart_owner set temp_file_limit = -1",
        "alter role callmart_owner reset temp_file_limit",
    ),
    "sessions are the owner's": (
        "revoke pg_use_reserved_connections from callmart_owner",
        "grant pg_use_reserved_connections to callmart_owner",
    ),
    "another database": (
        "grant connect on database postgres to public",
        "revoke connect on database postgres from public",
    ),
    "into another database": (
        f"grant connect on database postgres to callmart_customer_{STANDARD}",
        f"revoke connect on database postgres from callmart_customer_{STANDARD}",
    ),
    "gets into another database": (
        "grant connect on database postgres to callmart_privacy_approver",
        "revoke connect on database postgres from callmart_privacy_approver",
    ),
}


@pytest.mark.parametrize("what", TAKES_MORE)
def test_a_limit_that_is_not_in_place_is_a_breach(played: Callmart, what: str) -> None:
    with done(played, *TAKES_MORE[what]), psycopg.connect(server.uri(played.settings)) as owner:
        found = [check for check in limits.of_limits(owner, played.settings) if not check.good]
    assert [what in check.name for check in found] == [True], found


def test_a_way_that_is_open_is_a_breach(played: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    for dsn, outcome in (
        ("postgresql://owner@db.example/callmart", "holds"),
        ("postgresql://owner@db.example/callmart?sslmode=require", "BREACH"),
        ("postgresql://owner@localhost/callmart?sslmode=disable", "holds"),
    ):
        settings = played.settings.model_copy(update={"dsn": SecretStr(dsn)})
        assert limits.of_way(settings).outcome == outcome
    monkeypatch.setenv("PGHOST", "db.example")
    settings = played.settings.model_copy(
        update={"dsn": SecretStr("dbname=callmart user=owner sslmode=disable")}
    )
    assert limits.of_way(settings).outcome == "BREACH"


def test_a_file_that_others_can_open_is_a_breach(tmp_path: Path) -> None:
    inner = tmp_path / "keys"
    inner.mkdir(mode=0o700)
    key = inner / "customer_1.key"
    key.touch(mode=0o644)
    tmp_path.chmod(0o711)  # as root's, so that the server's account can pass
    assert limits.of_home(tmp_path).outcome == "holds"
    inner.chmod(0o711)
    assert limits.of_home(tmp_path).found == (f"keys/customer_1.key: `chmod go= {key}`",)
    tmp_path.chmod(0o700)
    assert limits.of_home(tmp_path).outcome == "holds"


def test_a_folder_into_which_others_can_put_files_is_a_breach(tmp_path: Path) -> None:
    """A mail that goes out, an extract, a page."""
    outer = tmp_path / "outbox"
    inner = outer / "1001"
    inner.mkdir(parents=True)
    for folder in (outer, inner):
        folder.chmod(0o711)
    tmp_path.chmod(0o711)
    assert limits.of_home(tmp_path).outcome == "holds"
    for mode, found in (
        (0o733, (f"outbox/1001: `chmod go-w {inner}`",)),
        (0o730, (f"outbox/1001: `chmod go-w {inner}`",)),
        (0o722, ()),  # nobody gets into it
    ):
        inner.chmod(mode)
        assert limits.of_home(tmp_path).found == found
    inner.chmod(0o733)
    outer.chmod(0o700)
    assert limits.of_home(tmp_path).outcome == "holds"
    outer.chmod(0o711)
    inner.chmod(0o700)
    tmp_path.chmod(0o733)
    assert limits.of_home(tmp_path).found == (f".: `chmod go-w {tmp_path}`",)


def test_more_sessions_than_the_server_has_are_a_breach(
    played: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    generous = matrix().model_copy(update={"limits": Limits(connections=200)})
    monkeypatch.setattr(limits, "matrix", lambda: generous)
    with played.connect() as owner:
        (found,) = [check for check in limits.of_limits(owner, played.settings) if not check.good]
    assert "the server has 287" in found.found[0]
