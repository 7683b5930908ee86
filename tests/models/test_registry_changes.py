"""After a change of the registry the marts are as if it had been so from the beginning."""

import re

import pytest

from callmart.simulator.simulate import simulate
from callmart_home import Callmart
from events import DETAILED, STANDARD, Row, at, days, event, ndjson, registry

pytestmark = pytest.mark.thorough

CHANGES = {
    "another time zone": (
        "time_zone: Europe/Amsterdam, " + DETAILED,
        "time_zone: America/St_Johns, " + DETAILED,
    ),
    "other thresholds": (
        DETAILED,
        DETAILED
        + ", queues: [{name: sales, service_level_s: 5, short_abandon_s: 30}, {name: support, label: S}]",
    ),
    "more reports": (STANDARD, DETAILED),
    "fewer reports": (DETAILED, STANDARD),
    "more reports from a day on": (
        STANDARD,
        f"contracts: [{{option: standard, from: 2020-01-01, until: {days(3)[1]}}},"
        f" {{option: detailed, from: {days(3)[1]}}}]",
    ),
    "an earlier contract": (f"contracts: [{{option: detailed, from: {days(3)[1]}}}]", DETAILED),
    "a contract that ended earlier": (
        DETAILED,
        f"contracts: [{{option: detailed, from: 2020-01-01, until: {days(3)[2]}}}]",
    ),
    "anonymous agents": (DETAILED, "anonymous_agents: true, " + DETAILED),
    "agents by name": (DETAILED, DETAILED + ", agents: [{id: SIP/1, name: Noor}]"),
}
# For each change: one who had it from the beginning, and three to whom it comes at different moments.
FIRST = {change: 501 + 10 * number for number, change in enumerate(CHANGES)}


def apply(callmart: Callmart, *, changed: bool) -> None:
    """Apply the registry as it is before the changes, or after them."""
    callmart.apply(
        registry(
            *(
                f"id: {FIRST[change] + i}, {states[changed or i == 0]}"
                for change, states in CHANGES.items()
                for i in range(4)
            )
        )
    )


def agents(callmart: Callmart, customer: int) -> set[str]:
    found = callmart.rows("select agent from store.agent where customer_id = %s", customer)
    return {row["agent"] for row in found}


@pytest.fixture(scope="module")
def changed(callmart: Callmart) -> Callmart:
    """All changes, to customers of whom everything, nothing or half was opened before."""
    events = simulate(
        1, days(3), "Europe/Amsterdam", ["sales", "support"], ["SIP/1", "SIP/2", "SIP/3"],
        contacts_per_day=20, seed=3, hours=(0, 24),
    ).events.to_pylist()  # fmt: skip
    rows = [row | {"occurred_at": row["occurred_at"].isoformat()} for row in events]
    # A call over each midnight, as contracts begin and end there; and, on a day of its own, a wait that only its end
    # tells: on the other clock it began on the day before.
    for day in range(2):
        over = {"call_id": f"n-{day}", "queue": "sales"}
        rows.append(event("queue_joined", at("23:59:50", day), **over))
        rows.append(event("agent_connected", at("00:00:10", day + 1), agent="SIP/2", **over))
        rows.append(event("agent_released", at("00:01", day + 1), agent="SIP/2", reason="agent", **over))
    gone = {"call_id": "g-1", "queue": "sales", "agent": "SIP/9"}  # who worked on the first day only
    rows.append(event("agent_connected", at("12:00"), **gone))
    late = {"call_id": "l-1", "queue": "sales", "agent": "SIP/2", "duration_s": 60}
    rows.append(event("agent_connected", at("04:30:20", 9), **late))

    def land(part: list[Row], *numbers: int) -> None:
        whose = [first + number for first in FIRST.values() for number in numbers]
        callmart.land_text(ndjson(*(row | {"customer_id": customer} for customer in whose for row in part)))

    apply(callmart, changed=False)
    land(rows, 1)
    land(rows[::2], 3)
    callmart.build_unchecked()
    land(rows, 2)
    apply(callmart, changed=True)
    land(rows, 0, 1, 2, 3)  # again, as some days may be let in now
    callmart.build_unchecked()
    return callmart


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_is_as_if_it_had_been_so_from_the_beginning(changed: Callmart, change: str) -> None:
    anonymous = change == "anonymous agents"  # who are called by a key, and each customer has its own
    told = changed.told(FIRST[change], named=not anonymous)
    assert any(told.values()) != (change == "a contract that ended earlier"), (
        "of a span that is over nothing is kept"
    )
    for number, before in enumerate(("everything opened", "everything landed", "half opened")):
        customer = FIRST[change] + number + 1
        assert changed.told(customer, named=not anonymous) == told, before
        assert not anonymous or all(
            re.fullmatch("agent-[0-9a-f]{10}", name) for name in agents(changed, customer)
        )


@pytest.mark.parametrize("change", CHANGES)
def test_the_changes_change_something(changed: Callmart, change: str) -> None:
    """Else the test above passes on nothing."""
    plain = FIRST["fewer reports"] if change.startswith("more reports") else FIRST["agents by name"]
    if change == "agents by name":
        assert agents(changed, FIRST[change]) == {"Noor", "SIP/2", "SIP/3", "SIP/9"}
    else:
        assert changed.told(FIRST[change]) != changed.told(plain)
