"""The events of one call, in few words."""

from typing import Any

from events import Row, at, event


def call(name: str, clock: str, queue: str | None = "q", agent: str | None = None, **values: Any) -> Row:
    """Of the call c-1: what is None is not told."""
    row = event(name, at(clock), call_id="c-1", queue=queue, agent=agent, **values)
    return {column: value for column, value in row.items() if value is not None}


JOIN, CONNECT = call("queue_joined", "10:00"), call("agent_connected", "10:00:10", agent="a")
