"""The audit's checks of limits: each measure that is not in place is a breach."""

import psycopg
import pytest

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
    assert [what in check.name for check in found] == [True]


def test_more_sessions_than_the_server_has_are_a_breach(
    played: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    generous = matrix().model_copy(update={"limits": Limits(connections=200)})
    monkeypatch.setattr(limits, "matrix", lambda: generous)
    with played.connect() as owner:
        (found,) = [check for check in limits.of_limits(owner, played.settings) if not check.good]
    assert "the server has 287" in found.found[0]
