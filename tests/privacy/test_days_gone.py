"""An agent of whom only the name is left, because all days are too old."""

import pytest

from callmart.base.keys import key_file, keyed
from callmart.base.person import Work
from callmart.base.progress import quietly
from callmart.extract import extract
from callmart.operations import run
from callmart_home import Callmart
from centre import NAMED
from erasures import do, left, of, plan_of, prove

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("unchecked", "trusted")]

AGENT = "long gone"


@pytest.mark.thorough
def test_the_name_leaves_what_was_extracted_and_published(home: Callmart, work: Work) -> None:
    key = keyed(key_file(home.home, NAMED).read_bytes(), "agent", AGENT)
    with home.connect() as owner:
        for table in ("registry.agent", "store.agent"):
            owner.execute(
                f"insert into {table} (customer_id, agent_key, agent) values (%s, %s, %s)".encode(),
                [NAMED, key, AGENT],
            )
        owner.execute("update ops.opened_day set row_count = row_count + 1 where mart = 'agent'")
        extract.read_again(owner, NAMED)
        owner.commit()
        run.deliver(owner, home.settings, run.Ran(), quietly)
    person = of(work, "agent", AGENT)
    planned = plan_of(work, person)
    assert planned.counts["extracts"] == {"files": 1}
    assert planned.counts["tableau content"] == {"data sources": 1}
    assert do(work, person, request=1)["extracts"] == {"files": 1}
    assert left(prove(work, person, request=1)) == {}
