"""What an agent does between calls, in few words."""

from typing import Any

from events import Row, at, event


def status(clock: str, word: str, day: int = 0, agent: str = "a", **values: Any) -> Row:
    return event("agent_status", at(clock, day), agent=agent, reason=word, **values)


def login(clock: str, day: int = 0, agent: str = "a", line: str = "d-1", **values: Any) -> Row:
    return event("agent_logged_in", at(clock, day), agent=agent, line=line, **values)


def logout(clock: str, day: int = 0, agent: str = "a", line: str = "d-1", **values: Any) -> Row:
    return event("agent_logged_out", at(clock, day), agent=agent, line=line, **values)


def added(clock: str, day: int = 0, agent: str = "a", queue: str = "q", **values: Any) -> Row:
    return event("agent_joined_queue", at(clock, day), agent=agent, queue=queue, **values)


def removed(clock: str, day: int = 0, agent: str = "a", queue: str = "q", **values: Any) -> Row:
    return event("agent_left_queue", at(clock, day), agent=agent, queue=queue, **values)


def wrapup(which: str, clock: str, day: int = 0, **values: Any) -> Row:
    return event(f"wrapup_{which}", at(clock, day), agent="a", **values)


def told_until(clock: str, day: int = 0) -> Row:
    """Somebody's call: so long the data goes on."""
    return event("queue_joined", at(clock, day), call_id=f"last-{day}", queue="q")
