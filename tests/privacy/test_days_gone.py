"""An agent of whom only the name is left, because all days are too old; or also such days, which no run has deleted."""

import pytest

from callmart.base.keys import key_file, keyed
from callmart.base.person import Work
from callmart.base.progress import quietly
from callmart.extract import extract
from callmart.operations import run, stages
from callmart.retention import expiry_plan
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
        run.deliver(owner, home.settings, stages.Ran(), quietly)
    person = of(work, "agent", AGENT)
    planned = plan_of(work, person)
    assert planned.counts["extracts"] == {"files": 1}
    assert planned.counts["tableau content"] == {"data sources": 1}
    assert do(work, person, request=1)["extracts"] == {"files": 1}
    assert left(prove(work, person, request=1)) == {}


@pytest.mark.thorough
def test_days_that_became_too_old_this_night_go_with_the_person(home: Callmart, work: Work) -> None:
    key = keyed(key_file(home.home, NAMED).read_bytes(), "agent", AGENT)
    with home.connect() as owner:
        owner.execute("select access.ensure_month('store.agent_day', access.retention_floor() - 1)")
        owner.execute(
            "insert into store.agent_day select old.* from store.agent_day as t, jsonb_populate_record("
            " t, jsonb_build_object('agent_key', %s::text, 'call_date', access.retention_floor() - 1)) as old"
            " where t.customer_id = %s limit 1",
            [key, NAMED],
        )
        owner.execute(
            "insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id)"
            " select customer_id, access.retention_floor() - 1, mart, 1, build_id from ops.opened_day"
            " where customer_id = %s and mart = 'agent_day' limit 1",
            [NAMED],
        )
    person = of(work, "agent", AGENT)
    assert left(prove(work, person, request=2))["marts"]["mart.agent_day"] == 1, "the control"
    do(work, person, request=2)
    assert left(prove(work, person, request=2)) == {}
    with home.connect() as owner:
        assert not expiry_plan.too_old(owner, home.settings), "they are in no book either"
