"""What access.yml can't declare away. Needs no server."""

from pathlib import Path

import pytest

from callmart.base import declared
from callmart.base.errors import UserError
from callmart.base.matrix import FILE, Matrix


@pytest.mark.parametrize(
    ("there", "instead", "said"),
    [
        (
            "    groups: [usage]",
            "    groups: [usage]\n    becomes: customers",
            "analyst would read every customer's rows; only publisher becomes customers",
        ),
        (
            "    password: typed\n",
            "",
            "whoever has the password file of privacy_approver could approve alone; write `password: typed`",
        ),
        (
            "    execute: [registry.known_agents, privacy.is_objector]",
            "    execute: [registry.known_agents, privacy.approve]",
            "whoever has the password file of quality could approve alone; write `password: typed`",
        ),
        (
            "raw.incoming_agent, raw.incoming_marked]",
            "raw.incoming_agent, ops.audit_log]",
            "loader would write ops.audit_log, past the functions that look at what comes; it may insert into "
            "raw.incoming, raw.incoming_reject, raw.incoming_agent and raw.incoming_marked only",
        ),
        (
            "  analyst:\n",
            "  customer_1042:\n",
            "customer_1042 would be the login of a customer or a group, or the owner's; give the duty another name",
        ),
    ],
)
def test_a_protection_that_is_declared_away_is_refused(
    tmp_path: Path, there: str, instead: str, said: str
) -> None:
    text = FILE.read_text()
    assert text.count(there) == 1
    file = tmp_path / "access.yml"
    file.write_text(text.replace(there, instead))
    with pytest.raises(UserError) as refused:
        declared.read(file, Matrix)
    assert str(refused.value).endswith(said)
