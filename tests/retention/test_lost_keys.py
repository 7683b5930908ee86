"""A key goes with its customer, which is attested; and after a key was lost its customer starts over."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from callmart.base.errors import UserError
from callmart.base.keys import key_file, keyed
from callmart.operations import run
from callmart.retention import destroyed, remove
from callmart_home import Callmart, ignore_step
from events import days
from leavers import file_of, leaver
from registries import OPEN
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked")]

STAYS, GONE, LOST = 11, 12, 13


@pytest.fixture(scope="module")
def house(make_callmart: Callable[[], Callmart]) -> Callmart:
    """Three customers; a file of the one whose key will be lost, and one of all of them."""
    callmart = make_callmart()
    everybody = (STAYS, GONE, LOST)
    callmart.apply("customers:\n" + "".join(leaver(customer, OPEN) for customer in everybody))
    update = {"max_reject_share": 0.5, "backup_kept_days": 30}
    callmart = Callmart(callmart.settings.model_copy(update=update))
    for customer in everybody:
        callmart.land_text(file_of(customer), customer)
    callmart.build_unchecked()
    return callmart


def events_of(callmart: Callmart, customer: int) -> int:
    (row,) = callmart.rows("select count(*) as n from raw.event where customer_id = %s", customer)
    return int(row["n"])


def test_the_key_of_who_leaves_is_destroyed_and_attested_when_the_last_backup_is_gone(
    house: Callmart,
) -> None:
    file = house.home / "registry.yml"
    assert key_file(house.home, GONE).exists()
    file.write_text("customers:\n" + "".join(leaver(customer, OPEN) for customer in (STAYS, LOST)))
    house.apply(file.read_text())
    with house.connect() as owner:
        with pytest.raises(UserError, match=f"no key of customer {GONE} was destroyed"):
            destroyed.attest(owner, house.settings, GONE)
        run.remove_closed(owner, house.settings, run.Ran(), ignore_step)
        assert not key_file(house.home, GONE).exists()
        (key,) = destroyed.listed(owner)
        gone = TODAY + timedelta(days=30)
        assert (key.customer_id, key.backups_gone, key.attested_at) == (GONE, gone, None)
        with pytest.raises(UserError, match=f"until {gone} a backup with the key of customer {GONE} is kept"):
            destroyed.attest(owner, house.settings, GONE)
        owner.execute(
            "update ops.audit_log set details = %s where action = 'key destroyed'", ['{"backups gone": null}']
        )
        done = destroyed.attest(owner, house.settings, GONE)
        assert done.attested_at is not None and done.attested_by
        with pytest.raises(UserError, match="or its backups were attested"):
            destroyed.attest(owner, house.settings, GONE)
        run.remove_closed(owner, house.settings, run.Ran(), ignore_step)
        assert len(destroyed.listed(owner)) == 1


def test_a_key_that_is_there_is_not_lost(house: Callmart) -> None:
    with house.connect() as owner:
        with pytest.raises(UserError, match=f"the key of customer {LOST} is there, and fits its data"):
            remove.start_over(owner, house.settings, LOST)
        with pytest.raises(UserError, match="customer 99 has no key"):
            remove.start_over(owner, house.settings, 99)
    assert events_of(house, LOST) == 6


def test_after_a_loss_the_customer_starts_over_with_what_lands_again(house: Callmart) -> None:
    key = key_file(house.home, LOST).read_bytes()
    key_file(house.home, LOST).unlink()
    with pytest.raises(UserError, match=f"the key of customer {LOST} is missing"):
        house.land_text(file_of(LOST, first=3), LOST)
    with house.connect() as owner:
        done = remove.start_over(owner, house.settings, LOST)
    assert (done.counts["events"], done.counts["keys"]) == (6, 1)
    assert (events_of(house, LOST), events_of(house, STAYS)) == (0, 6)
    assert house.rows("select from store.queue_day where customer_id = %s", LOST) == []
    new = key_file(house.home, LOST).read_bytes()
    assert new != key
    assert house.land_text(file_of(LOST), LOST).landed == 6, "the same file lands again"
    (agent,) = {
        row["agent_key"]
        for row in house.rows("select agent_key from registry.agent where customer_id = %s", LOST)
    }
    assert agent == keyed(new, "agent", f"SIP/geheim{LOST}")
    house.build_unchecked()
    (row,) = house.rows(
        "select count(distinct call_date) as n from store.queue_day where customer_id = %s", LOST
    )
    assert row["n"] == len(days(3))
