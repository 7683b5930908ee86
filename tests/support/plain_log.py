"""A queue_log read line by line, as a person would: what queue_interval and agent_day must say of it.

Nothing of callmart is used, so that the two can be compared.
"""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

LEFT = {
    "ABANDON": "abandoned",
    "EXITWITHTIMEOUT": "timed_out",
    "EXITWITHKEY": "left_by_key",
    "EXITEMPTY": "left_empty",
    "WITHDRAW": "left_otherwise",
}
RANG = {"CONNECT": "rings_answered", "RINGNOANSWER": "rings_unanswered", "RINGCANCELED": "rings_unanswered",
        "AGENTDUMP": "rings_unanswered"}  # fmt: skip
ENDED = ("COMPLETEAGENT", "COMPLETECALLER", "BLINDTRANSFER", "ATTENDEDTRANSFER")


@dataclass
class Visit:
    """From ENTERQUEUE on."""

    queue: str
    began: int
    counts: Counter[str] = field(default_factory=Counter)
    outcome: str = "still_open"
    wait: int | None = None
    agents: set[str] = field(default_factory=set)
    ended_by: str = ""


def read(text: str) -> tuple[dict[Any, Counter[str]], dict[str, Counter[str]]]:
    """Counts by queue and quarter-hour (its second), and by agent; those that are 0 are not there."""
    visits: list[Visit] = []
    last: dict[tuple[str, str], Visit] = {}  # of a call in a queue
    agents: dict[str, Counter[str]] = defaultdict(Counter)
    for second, call, queue, agent, verb, *data in (line.split("|") for line in text.splitlines()):
        if verb == "ENTERQUEUE":
            last[call, queue] = Visit(queue, int(second))
            visits.append(last[call, queue])
        if (visit := last.get((call, queue))) is None:
            continue
        counts = Counter[str]()
        if verb in RANG:
            milliseconds = {"CONNECT": int((data[2:] or ["0"])[0]) * 1000, "AGENTDUMP": 0}.get(verb)
            counts.update({"rings": 1, RANG[verb]: 1})
            counts["ring_s"] = ((int(data[0]) if milliseconds is None else milliseconds) + 500) // 1000
        if verb == "CONNECT":
            visit.outcome, visit.wait = "answered", int(data[0])
            counts["contacts"] = agent not in visit.agents
            visit.agents.add(agent)
        elif verb in ENDED:
            talk = int(data[1] if verb.startswith("COMPLETE") else data[-2])
            # Of two endings of one talk the transfer is the true one; they differ in nothing here.
            assert not visit.ended_by or visit.counts["talk_s"] == talk
            counts["talk_s"] = 0 if visit.ended_by else talk
            visit.ended_by = verb
        elif verb in LEFT:
            visit.outcome = LEFT[verb]
            visit.wait = int(data[3 if verb == "EXITWITHKEY" else 2])
        visit.counts += counts
        agents[agent] += counts
    return by_quarter_hour(visits), agents


def by_quarter_hour(visits: list[Visit]) -> dict[Any, Counter[str]]:
    cells: dict[Any, Counter[str]] = defaultdict(Counter)
    for visit in visits:
        cell = cells[visit.queue, visit.began // 900 * 900]
        cell += visit.counts
        cell.update(("offered", visit.outcome))
        if visit.wait is not None:
            cell["wait_max_s"] = max(cell["wait_max_s"], visit.wait)
        if visit.outcome in ("answered", "abandoned"):
            assert visit.wait is not None
            cell[f"wait_{visit.outcome}_s"] += visit.wait
            cell[f"{visit.outcome}_in_threshold"] += visit.wait <= 20
            cell["short_abandoned"] += visit.outcome == "abandoned" and visit.wait < 5
    for cell in cells.values():
        del cell["contacts"]
    return cells
