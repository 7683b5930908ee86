"""The fixtures of tests of who sees what."""

import pytest

from callmart.audit.scene import Scene, scene_of
from callmart_home import Callmart


@pytest.fixture(scope="module")
def opened(played: Callmart) -> Callmart:
    """Three customers with open marts, and of each a row that is just too old and one that is just not."""
    with played.connect() as owner:
        for age in (0, 1):
            owner.execute(
                "select access.ensure_month('store.queue_interval', access.retention_floor() - %s)", [age]
            )
            owner.execute(
                """
                insert into store.queue_interval (customer_id, call_date, queue, interval_start)
                select customer_id, access.retention_floor() - %s, 'old', access.retention_floor()
                from registry.current_option
                """,
                [age],
            )
    return played


@pytest.fixture(scope="module")
def scene(opened: Callmart) -> Scene:
    """What stands there to be attacked."""
    with opened.connect() as owner:
        return scene_of(owner, opened.settings)
