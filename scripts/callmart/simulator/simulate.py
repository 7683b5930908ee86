"""Simulates a contact centre: its canonical events, and the rows that the marts must have.

The expected rows are counted while the simulated callers and agents act (expected.py), never from the events.
"""

import heapq
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import partial
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from callmart.base.settings import Platform
from callmart.simulator.expected import Cell, Expected, nothing
from callmart.simulator.wall_clock import QUARTER, SECOND, WallClock, rounded

EVENTS = pa.schema(
    [
        ("customer_id", pa.int32()),
        ("platform", pa.string()),
        ("event", pa.string()),
        ("occurred_at", pa.timestamp("us", "UTC")),
        ("call_id", pa.string()),
        ("queue", pa.string()),
        ("agent", pa.string()),
        ("line", pa.string()),
        ("direction", pa.string()),
        ("other_number", pa.string()),
        ("number_withheld", pa.bool_()),
        ("reason", pa.string()),
        ("target", pa.string()),
        ("target_kind", pa.string()),
    ]
)

_OUTCOME_OF = {"abandoned": "abandoned", "timeout": "timed_out", "key": "left_by_key", "empty": "left_empty"}
_ENDED_BY = {"abandoned": "caller"}  # by how the call left its queue; otherwise the system ends it
_RING_END = {"abandoned": "caller_left", "key": "caller_left", "callback": "caller_left"}  # else no_answer

_QUEUE_TIMEOUT_S = 300.0
_PLACES = 2  # a queue is full with this many waiting callers per agent
_DIRECT = 0.03  # share of calls that ring an agent directly, without a queue
_OUTBOUND = 0.03  # how often an agent who becomes free makes a call, as a share
_WITHHELD = 0.06  # share of callers who withhold their number

_OFF_WORK = ("break", "training", "overleg")  # the last is the source's own word, which counts as `other`


class Simulated(NamedTuple):
    """The events of one customer, and the rows that two marts must have."""

    events: pa.Table
    queue_interval: pa.Table
    agent_day: pa.Table


@dataclass(eq=False)
class _Agent:
    name: str
    line: str
    queues: Sequence[str]
    logged_in: bool = False
    busy: bool = False  # ringing, in a call, wrapping up or on a break
    break_due: bool = False
    free_since: int = 0
    shift_end: int = 0
    status: str | None = None
    status_since: int = 0
    attended_until: int = 0  # until when the time logged in has been counted


@dataclass(eq=False)
class _Visit:
    """One call's stay in one queue, or a direct call, which has no queue."""

    call_id: str
    queue: str | None
    began: int
    cell: Cell  # the row of queue_interval in which the visit is counted
    number: str | None = None
    withheld: bool = False
    waiting: bool = True
    rings: dict[_Agent, int] = field(default_factory=dict)  # which agents' telephones ring, and since when
    served_by: set[str] = field(default_factory=set)
    is_held: bool = False


@dataclass(eq=False)
class _Part:
    """One agent's part of a call, from being connected to being released."""

    visit: _Visit
    agent: _Agent
    since: int
    held_since: int = 0
    hold_s: int = 0


def simulate(
    customer_id: int,
    days: Sequence[date],
    time_zone: str,
    queues: Sequence[str],
    agents: Sequence[str],
    *,
    contacts_per_day: int,
    seed: int,
    platform: Platform = "vcloud",
    hours: tuple[int, int] = (8, 20),
    service_level_s: int = 20,
    short_abandon_s: int = 5,
    known_until: datetime | None = None,
) -> Simulated:
    """Simulate `contacts_per_day` calls on each local day. The same seed gives the same tables.

    An agent can take about 150 calls per day; with fewer agents, more callers wait and leave. If `hours` end at 24,
    calls go on past midnight. In the last of several queues, two agents ring at once. `known_until` is the time of the
    customer's last event elsewhere, e.g. on a line: a status that is open at the end lasts until then.
    """
    centre = _Centre(
        customer_id=customer_id,
        platform=platform,
        clock=WallClock(ZoneInfo(time_zone)),
        queues=queues,
        agents=_staff(agents, queues),
        rng=random.Random(f"{seed}:{customer_id}"),
        service_level=service_level_s * SECOND,
        short_abandon=short_abandon_s * SECOND,
    )
    for day in sorted(set(days)):
        centre.plan(day, hours, contacts_per_day)
    centre.play(round(known_until.timestamp() * SECOND) if known_until else 0)
    return centre.result()


class _Centre:
    """Callers, agents and queues. Whatever happens is written as an event and counted immediately."""

    def __init__(
        self,
        *,
        customer_id: int,
        platform: str,
        clock: WallClock,
        queues: Sequence[str],
        agents: list[_Agent],
        rng: random.Random,
        service_level: int,
        short_abandon: int,
    ) -> None:
        self.customer_id, self.platform, self.clock = customer_id, platform, clock
        self.queues, self.agents, self.rng = queues, agents, rng
        self.service_level, self.short_abandon = service_level, short_abandon
        self.members = {queue: [agent for agent in agents if queue in agent.queues] for queue in queues}
        self.waiting: dict[str, deque[_Visit]] = {queue: deque() for queue in queues}
        self.expected = Expected(clock)
        self.closes_at = 0
        self.now = 0
        self.last_event_at = 0
        self.agenda: list[tuple[int, int, Callable[[], object]]] = []
        self.scheduled = 0
        self.events: list[tuple[object, ...]] = []

    # The agenda

    def plan(self, day: date, hours: tuple[int, int], contacts: int) -> None:
        """Add a day's opening, shifts, breaks and arrivals to the agenda."""
        opens, closes = (self.clock.local(day, hour) for hour in hours)
        self.at(opens, partial(self.open, closes))
        for agent in self.agents:
            self.at(opens - self.seconds(1, 600), partial(self.log_in, agent, closes))
            midday = opens + int((closes - opens) * self.rng.uniform(0.3, 0.6))
            self.at(midday, partial(self.want_break, agent))
            self.at(closes, partial(self.settle, agent))
        # A few callers arrive in the quarter-hour before the opening, and are refused.
        starts = range(opens - QUARTER, closes, QUARTER)
        crowd = [0.1, *(_crowd(i / (len(starts) - 1)) for i in range(len(starts) - 1))]
        arrivals = sorted(
            quarter + self.rng.randrange(QUARTER) for quarter in self.rng.choices(starts, crowd, k=contacts)
        )
        for i, moment in enumerate(arrivals):
            self.at(moment, partial(self.arrive, f"{day:%y%m%d}.{i}"))

    def play(self, known_until: int) -> None:
        """Carry out the agenda until it is empty. Open statuses last until the customer's last event."""
        while self.agenda:
            moment, _, action = heapq.heappop(self.agenda)
            self.now = max(self.now, moment)
            action()
        self.now = max(self.last_event_at, known_until)
        for agent in self.agents:
            self.count_status(agent)

    def at(self, moment: int, action: Callable[[], object]) -> None:
        self.scheduled += 1  # breaks ties, so that actions are never compared
        heapq.heappush(self.agenda, (moment, self.scheduled, action))

    def after(self, delay: int, action: Callable[[], object]) -> None:
        self.at(self.now + delay, action)

    def seconds(self, low: float, high: float) -> int:
        return int(self.rng.uniform(low, high) * SECOND)

    def about(self, median_s: float, sigma: float) -> int:
        """A random duration, lognormally distributed around the median."""
        return int(median_s * math.exp(self.rng.gauss(0, sigma)) * SECOND) + 1

    def emit(
        self,
        event: str,
        call_id: str | None = None,
        queue: str | None = None,
        agent: str | None = None,
        *,
        line: str | None = None,
        direction: str | None = None,
        other_number: str | None = None,
        number_withheld: bool | None = None,
        reason: str | None = None,
        target: str | None = None,
        target_kind: str | None = None,
    ) -> int:
        """Write an event; return its time. The clock advances by a microsecond, so that no two events share a time."""
        self.now += 1
        self.events.append(
            (event, self.now, call_id, queue, agent, line, direction, other_number, number_withheld, reason, target,
             target_kind)
        )  # fmt: skip
        self.last_event_at = self.now
        return self.now

    # The day of an agent

    def open(self, closes: int) -> None:
        self.closes_at = closes

    def log_in(self, agent: _Agent, shift_end: int) -> None:
        agent.shift_end = shift_end
        if agent.logged_in:  # still there from the day before
            return
        agent.logged_in, agent.break_due = True, False
        agent.attended_until = self.emit("agent_logged_in", agent=agent.name, line=agent.line)
        self.expected.of_agent(agent.name, self.now)["logins"] += 1
        for queue in agent.queues:
            self.emit("agent_joined_queue", agent=agent.name, queue=queue)
        self.enter(agent, "available")
        self.settle(agent)

    def log_out(self, agent: _Agent) -> None:
        self.enter(agent, "away")
        for queue in agent.queues:
            self.emit("agent_left_queue", agent=agent.name, queue=queue)
        self.emit("agent_logged_out", agent=agent.name, line=agent.line)
        self.count_attendance(agent)
        agent.logged_in = False
        for queue in agent.queues:
            if not self.staffed(queue):
                for visit in list(self.waiting[queue]):
                    self.leave(visit, "empty")

    def want_break(self, agent: _Agent) -> None:
        agent.break_due = True
        self.settle(agent)

    def enter(self, agent: _Agent, status: str) -> None:
        """Set the agent's status. The agent's telephone reports a change."""
        if status == agent.status:
            return
        moment = self.emit("agent_status", agent=agent.name, reason=status)
        self.count_status(agent)
        self.count_attendance(agent)
        self.expected.of_agent(agent.name, moment)
        agent.status, agent.status_since = status, moment

    def free(self, agent: _Agent) -> None:
        self.enter(agent, "available")
        agent.busy, agent.free_since = False, self.now
        if self.rng.random() < _OUTBOUND and self.now < agent.shift_end:
            self.call_out(agent)
        else:
            self.settle(agent)

    def call_out(self, agent: _Agent) -> None:
        """The agent calls somebody, who may or may not answer."""
        agent.busy = True
        call_id, number = f"{self.clock.date_of(self.now):%y%m%d}.o{self.scheduled}", self.number()
        began = self.emit(
            "call_started",
            call_id,
            agent=agent.name,
            direction="outbound",
            other_number=number,
            number_withheld=False,
        )
        self.enter(agent, "in_call")
        if self.rng.random() < 0.7:
            self.after(self.about(8, 0.4), partial(self.call_out_answered, agent, call_id))
        else:
            self.expected.of_agent(agent.name, began)["outbound_calls"] += 1
            self.after(self.seconds(15, 40), partial(self.end_call_out, agent, call_id))

    def call_out_answered(self, agent: _Agent, call_id: str) -> None:
        answered = self.emit("call_answered", call_id, agent=agent.name)
        day = self.expected.of_agent(agent.name, answered)
        day["outbound_calls"] += 1
        day["contacts"] += 1
        self.after(self.about(90, 0.8), partial(self.end_call_out, agent, call_id, answered))

    def end_call_out(self, agent: _Agent, call_id: str, answered: int | None = None) -> None:
        ended = self.emit("call_ended", call_id, reason="agent")
        if answered is not None:
            self.expected.of_agent(agent.name, answered)["talk_s"] += rounded(ended - answered)
        self.free(agent)

    def settle(self, agent: _Agent) -> None:
        """An agent who has nothing to do goes home, has a break, or takes the next caller."""
        if agent.busy or not agent.logged_in:
            return
        if self.now >= agent.shift_end:
            self.log_out(agent)
        elif agent.break_due:
            agent.break_due, agent.busy = False, True
            self.enter(agent, self.rng.choices(_OFF_WORK, (8, 1, 1))[0])
            self.after(self.seconds(600, 1800), partial(self.free, agent))
        else:
            for queue in agent.queues:
                self.dispatch(queue)

    def staffed(self, queue: str) -> bool:
        return any(agent.logged_in for agent in self.members[queue])

    # The course of a call

    def arrive(self, call_id: str) -> None:
        number = self.number()
        withheld = self.rng.random() < _WITHHELD
        self.emit("call_started", call_id, direction="inbound", other_number=number, number_withheld=withheld)
        is_direct = self.rng.random() < _DIRECT
        if is_direct and (free := [agent for agent in self.agents if agent.logged_in and not agent.busy]):
            visit = _Visit(call_id, None, self.now, nothing(), number, withheld)
            self.ring(visit, self.rng.choice(free))
        else:
            self.join(call_id, self.rng.choice(self.queues), number, withheld)

    def number(self) -> str:
        return f"+3160{self.rng.randrange(2_000_000):07}"  # numbers in 060 belong to nobody

    def join(self, call_id: str, queue: str, number: str | None, withheld: bool) -> bool:
        """A caller comes to a queue. Return whether the queue lets the caller in."""
        refusal = self.refusal(queue)
        if refusal:
            moment = self.emit("queue_refused", call_id, queue, reason=refusal)
            self.expected.of_queue(queue, moment)[f"refused_{refusal}"] += 1
            self.emit("call_ended", call_id, reason="system")
            return False
        moment = self.emit("queue_joined", call_id, queue, other_number=number, number_withheld=withheld)
        visit = _Visit(call_id, queue, moment, self.expected.of_queue(queue, moment), number, withheld)
        visit.cell["offered"] += 1
        patience = {
            "abandoned": self.rng.expovariate(1 / (5 if self.rng.random() < 0.04 else 240)),
            "key": self.rng.uniform(20, 90) if self.rng.random() < 0.1 else math.inf,
            "callback": self.rng.uniform(60, 120) if self.rng.random() < 0.1 else math.inf,
            "timeout": _QUEUE_TIMEOUT_S,
        }
        reason = min(patience, key=lambda reason: patience[reason])
        self.after(int(patience[reason] * SECOND) + 1, partial(self.leave, visit, reason))
        self.waiting[queue].append(visit)
        self.dispatch(queue)
        return True

    def refusal(self, queue: str) -> str | None:
        if self.now >= self.closes_at:
            return "closed"
        if not self.staffed(queue):
            return "empty"
        if len(self.waiting[queue]) >= _PLACES * len(self.members[queue]):
            return "full"
        return None

    def dispatch(self, queue: str) -> None:
        """Ring the agents who have been free longest for the callers who have waited longest."""
        line = self.waiting[queue]
        if not line:
            return
        at_once = 2 if queue == self.queues[-1] and len(self.queues) > 1 else 1
        free = [agent for agent in self.members[queue] if agent.logged_in and not agent.busy]
        free.sort(key=lambda agent: agent.free_since)
        while line and free:
            visit = line.popleft()
            rung, free = free[:at_once], free[at_once:]
            for agent in rung:
                self.ring(visit, agent)

    def ring(self, visit: _Visit, agent: _Agent) -> None:
        agent.busy = True
        moment = self.emit("ring_started", visit.call_id, visit.queue, agent.name)
        visit.rings[agent] = moment
        end, delay = self.rng.choices(
            (
                ("answered", self.about(4, 0.5)),
                ("no_answer", 15 * SECOND),
                ("declined", self.about(3, 0.5)),
                ("busy", self.seconds(0, 0.4)),
            ),
            (90, 6, 3, 1),
        )[0]
        self.after(delay, partial(self.respond, visit, agent, moment, end))

    def respond(self, visit: _Visit, agent: _Agent, rung_at: int, end: str) -> None:
        """The agent answers, or doesn't. Nothing happens if the ring is already over."""
        if visit.rings.get(agent) != rung_at:
            return
        self.end_ring(visit, agent, end)
        if end == "answered":
            for other in list(visit.rings):
                self.end_ring(visit, other, "elsewhere")
            self.connect(visit, agent)
        elif visit.queue is None:
            visit.waiting = False
            self.emit("call_ended", visit.call_id, reason="caller")
        elif not visit.rings:
            self.waiting[visit.queue].appendleft(visit)
            self.dispatch(visit.queue)

    def end_ring(self, visit: _Visit, agent: _Agent, end: str) -> None:
        began = visit.rings.pop(agent)
        rung = rounded(self.emit("ring_ended", visit.call_id, visit.queue, agent.name, reason=end) - began)
        for cell in visit.cell, self.expected.of_agent(agent.name, began):
            cell["rings"] += 1
            cell["ring_s"] += rung
            cell["rings_answered"] += end == "answered"
            cell["rings_unanswered"] += end not in ("answered", "elsewhere")
        if end != "answered":
            self.after(5 * SECOND, partial(self.free, agent))

    def leave(self, visit: _Visit, reason: str) -> None:
        """The caller's wait ends without an agent. Nothing happens if it is already over."""
        if not visit.waiting or visit.queue is None:
            return
        visit.waiting = False
        if visit in self.waiting[visit.queue]:
            self.waiting[visit.queue].remove(visit)
        for agent in list(visit.rings):
            self.end_ring(visit, agent, _RING_END.get(reason, "no_answer"))
        moment = self.emit("queue_left", visit.call_id, visit.queue, reason=reason)
        wait = moment - visit.began
        visit.cell[_OUTCOME_OF.get(reason, "left_otherwise")] += 1
        visit.cell["wait_max_s"] = max(visit.cell["wait_max_s"], rounded(wait))
        if reason == "abandoned":
            visit.cell["wait_abandoned_s"] += rounded(wait)
            visit.cell["abandoned_in_threshold"] += wait <= self.service_level
            visit.cell["short_abandoned"] += wait < self.short_abandon
        visit.cell["callbacks"] += reason == "callback"
        if reason == "timeout" and len(self.queues) > 1 and self.rng.random() < 0.5:
            other = self.rng.choice([queue for queue in self.queues if queue != visit.queue])
            visit.cell["overflowed"] += self.join(visit.call_id, other, visit.number, visit.withheld)
        else:
            self.emit("call_ended", visit.call_id, reason=_ENDED_BY.get(reason, "system"))

    def connect(self, visit: _Visit, agent: _Agent) -> None:
        """The agent and the caller talk. Holds and the end of the talk are drawn at random."""
        moment = self.emit("agent_connected", visit.call_id, visit.queue, agent.name)
        self.enter(agent, "in_call")
        if visit.waiting:
            visit.waiting = False
            wait = moment - visit.began
            visit.cell["answered"] += 1
            visit.cell["wait_answered_s"] += rounded(wait)
            visit.cell["wait_max_s"] = max(visit.cell["wait_max_s"], rounded(wait))
            visit.cell["answered_in_threshold"] += wait <= self.service_level
        if agent.name not in visit.served_by:
            visit.served_by.add(agent.name)
            self.expected.of_agent(agent.name, moment)["contacts"] += 1
        talk = self.about(140, 0.8)
        part = _Part(visit, agent, moment)
        if self.rng.random() < 0.12:
            self.after(int(talk * 0.3), partial(self.hold, part))
            self.after(int(talk * self.rng.uniform(0.35, 0.6)), partial(self.resume, part))
            if self.rng.random() < 0.2:
                self.after(int(talk * 0.7), partial(self.hold, part))
                self.after(int(talk * 0.8), partial(self.resume, part))
        end = self.rng.choices(("caller", "agent", "blind", "attended"), (55, 35, 6, 4))[0]
        self.after(talk, partial(self.finish, part, end))

    def hold(self, part: _Part) -> None:
        part.held_since = self.emit("hold_started", part.visit.call_id, part.visit.queue, part.agent.name)

    def resume(self, part: _Part) -> None:
        moment = self.emit("hold_ended", part.visit.call_id, part.visit.queue, part.agent.name)
        held = rounded(moment - part.held_since)
        part.hold_s += held
        for cell in part.visit.cell, self.expected.of_agent(part.agent.name, part.since):
            cell["holds"] += 1
            cell["hold_s"] += held
        part.visit.cell["contacts_held"] += not part.visit.is_held
        part.visit.is_held = True

    def finish(self, part: _Part, end: str) -> None:
        """The talk ends: one party hangs up, or the agent transfers the call to a queue or a colleague."""
        visit = part.visit
        if end == "attended":
            colleagues = [other for other in self.agents if other.logged_in and not other.busy]
            if colleagues:
                self.consult(part, self.rng.choice(colleagues))
                return
            end = "agent"
        if end == "blind":
            queue = self.rng.choice(self.queues)
            self.transfer(part, "blind", queue)
            self.release(part, "transfer")
            self.join(visit.call_id, queue, visit.number, visit.withheld)
        else:
            self.release(part, end)
            self.emit("call_ended", visit.call_id, reason=end)

    def consult(self, part: _Part, colleague: _Agent) -> None:
        """Ring a colleague, who always answers, while the caller waits with the agent."""
        colleague.busy = True
        visit = part.visit
        visit.rings[colleague] = self.emit("ring_started", visit.call_id, visit.queue, colleague.name)
        self.after(self.about(4, 0.5), partial(self.hand_over, part, colleague))

    def hand_over(self, part: _Part, colleague: _Agent) -> None:
        self.end_ring(part.visit, colleague, "answered")
        self.transfer(part, "attended", colleague.name)
        self.release(part, "transfer")
        self.connect(part.visit, colleague)

    def transfer(self, part: _Part, reason: str, target: str) -> None:
        visit, kind = part.visit, "queue" if reason == "blind" else "agent"
        self.emit(
            "transferred", visit.call_id, visit.queue, part.agent.name, reason=reason, target=target, target_kind=kind
        )  # fmt: skip
        visit.cell[f"transferred_{reason}"] += 1
        self.expected.of_agent(part.agent.name, part.since)["transfers"] += 1

    def release(self, part: _Part, reason: str) -> None:
        visit, agent = part.visit, part.agent
        moment = self.emit("agent_released", visit.call_id, visit.queue, agent.name, reason=reason)
        talk = rounded(moment - part.since) - part.hold_s
        visit.cell["talk_s"] += talk
        self.expected.of_agent(agent.name, part.since)["talk_s"] += talk
        if self.rng.random() < 0.8:
            began = self.emit("wrapup_started", visit.call_id, visit.queue, agent.name)
            self.enter(agent, "wrap_up")
            self.after(self.about(25, 0.6), partial(self.end_wrapup, part, began))
        else:
            self.after(SECOND, partial(self.free, agent))

    def end_wrapup(self, part: _Part, began: int) -> None:
        visit, agent = part.visit, part.agent
        took = rounded(self.emit("wrapup_ended", visit.call_id, visit.queue, agent.name) - began)
        visit.cell["wrapup_s"] += took
        self.expected.of_agent(agent.name, part.since)["wrapup_s"] += took
        self.free(agent)

    # What has lasted until now

    def count_status(self, agent: _Agent) -> None:
        if agent.status is not None:
            self.expected.count_status(agent.name, agent.status, agent.status_since, self.now)

    def count_attendance(self, agent: _Agent) -> None:
        if agent.logged_in:
            self.expected.count_attendance(agent.name, agent.status, agent.attended_until, self.now)
            agent.attended_until = self.now

    def result(self) -> Simulated:
        values: Sequence[Sequence[object]] = list(zip(*self.events, strict=True)) or [()] * (len(EVENTS) - 2)
        constants = [[self.customer_id] * len(self.events), [self.platform] * len(self.events)]
        columns = zip([*constants, *values], EVENTS, strict=True)
        events = pa.table([pa.array(column, of.type) for column, of in columns], EVENTS)
        return Simulated(events, *self.expected.tables())


def _staff(names: Sequence[str], queues: Sequence[str]) -> list[_Agent]:
    """Agents with one device each. Each agent serves two queues, or one if there is only one."""
    pairs = [(queue, queues[(i + 1) % len(queues)]) for i, queue in enumerate(queues)]
    return [
        _Agent(name, f"device-{i + 1}", tuple(dict.fromkeys(pairs[i % len(pairs)])))
        for i, name in enumerate(names)
    ]


def _crowd(x: float) -> float:
    """How busy it is at this part (0 to 1) of the day: a peak in the morning, a quiet noon, a lower peak later."""
    return 0.3 + math.exp(-(((x - 0.22) / 0.12) ** 2)) + 0.7 * math.exp(-(((x - 0.6) / 0.16) ** 2))
