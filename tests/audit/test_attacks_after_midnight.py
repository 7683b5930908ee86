"""The attacks in the hour after midnight, on the day on which contracts begin."""

from datetime import UTC, datetime

import pytest

from callmart.audit import attempts
from callmart.audit.attacks import ATTACKS
from callmart.audit.scene import attackers, scene_of
from callmart_home import Callmart

pytestmark = [pytest.mark.dated, pytest.mark.server]


def just_past_midnight() -> str:
    """A time zone in which the day is not an hour old. The signs of these names are the other way round."""
    hour = datetime.now(UTC).hour
    return f"Etc/GMT+{hour}" if hour <= 12 else f"Etc/GMT-{24 - hour}"


def test_the_rows_of_attacks_land_on_the_first_day_of_contracts(played: Callmart) -> None:
    """If the contract turned them away, nothing would be proven."""
    with played.connect() as owner:
        owner.execute("update registry.customer set time_zone = %s", [just_past_midnight()])
        owner.execute(
            "update registry.contract as k set valid_from = (now() at time zone c.time_zone)::date"
            " from registry.customer as c where c.customer_id = k.customer_id"
        )
        scene = scene_of(owner, played.settings)
        tried = [
            attempt
            for attacker in attackers(scene)
            for attempt in attempts.attempts(
                scene, attacker, [attack for attack in ATTACKS if attack.family == "landing"]
            )
        ]
        assert len(tried) > 40
        for control, attempt in {attempt.control: attempt for attempt in tried}.items():
            assert attempts.make(owner, control, attempt.attack).proves(attempt)
        owner.rollback()
