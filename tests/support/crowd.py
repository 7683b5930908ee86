"""What the simulator doesn't make, and packages for persons have to tell apart: calls of two callers, names in names of
queues, transfers, a device of two agents.
"""

from datetime import datetime, time, timedelta

from centre import DAYS, NAMED, agent_of
from erasures import CONTACT, LEAVER, STAYER
from events import AMSTERDAM, Row, event

FIRST, SECOND, OUTSIDE = "+31611111111", "+31622222222", "+31633333333"
NAMING = (
    "Lijn van Noor Zandvliet",
    "noor",
    f"naast {agent_of(NAMED, 2)}!",
    "020 123 45 67",
    "piet@een.example",
    f"x{CONTACT.upper()}x",
)
FORMULA = "=1+1"


def rows_of_a_crowd() -> list[Row]:
    """All of them, on the first day."""
    begin = datetime.combine(DAYS[0], time(11), AMSTERDAM)

    def at(minutes: int) -> datetime:
        return begin + timedelta(minutes=minutes)

    return [
        event("queue_joined", at(0), call_id="of two", queue="samen", other_number=FIRST),
        event("queue_joined", at(1), call_id="of two", queue="samen", other_number=SECOND),
        event("queue_left", at(2), call_id="of two", queue="samen", reason="abandoned"),
        *(
            event("queue_joined", at(10 + number), call_id=f"named {number}", queue=queue, other_number=FIRST)
            for number, queue in enumerate((*NAMING, FORMULA))
        ),
        event("queue_joined", at(20), call_id="moved", queue="samen", other_number=FIRST),
        event("agent_connected", at(21), call_id="moved", queue="samen", agent=LEAVER),
        event(
            "transferred",
            at(22),
            call_id="moved",
            agent=LEAVER,
            reason="blind",
            target=OUTSIDE,
            target_kind="number",
        ),
        event(
            "transferred",
            at(23),
            call_id="moved",
            agent=LEAVER,
            reason="blind",
            target=STAYER,
            target_kind="agent",
        ),
        *(event("agent_logged_in", at(30), agent=agent, line="SIP/900") for agent in (LEAVER, STAYER)),
    ]
