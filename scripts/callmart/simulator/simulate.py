"""Simulates a contact centre: its canonical events, and the rows that the marts must have.

The expected rows are counted while the simulated callers and agents act, never from the events.
"""

import heapq
import math
import random
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pyarrow as pa

from callmart.base.settings import Platform

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

STATUSES = ("available", "in_call", "wrap_up", "break", "away", "training", "other")

OUTCOMES = ("answered", "abandoned", "timed_out", "left_by_key", "left_empty", "left_otherwise", "still_open")

QUEUE_INTERVAL = pa.schema(
    [
        ("call_date", pa.date32()),
        ("queue", pa.string()),
        ("interval_start", pa.timestamp("us", "UTC")),
        *(
            (name, pa.int64())
            for name in (
                "offered",
                *OUTCOMES,
                "short_abandoned",
                "refused_full",
                "refused_empty",
                "refused_closed",
                "refused_busy",
                "answered_in_threshold",
                "abandoned_in_threshold",
                "wait_answered_s",
                "wait_abandoned_s",
                "wait_max_s",
                "rings",
                "rings_answered",
                "rings_unanswered",
                "ring_s",
                "talk_s",
                "holds",
                "contacts_held",
                "hold_s",
                "wrapup_s",
                "transferred_blind",
                "transferred_attended",
                "overflowed",
                "callbacks",
            )
        ),
    ]
)

AGENT_DAY = pa.schema(
    [
        ("call_date", pa.date32()),
        ("agent", pa.string()),
        *(
            (name, pa.int64())
            for name in (
                "contacts",
                "outbound_calls",
                "rings",
                "rings_answered",
                "rings_unanswered",
                "ring_s",
                "talk_s",
                "holds",
                "hold_s",
                "wrapup_s",
                "transfers",
                "logins",
                "logged_in_s",
                "ready_s",
                *(f"status_{status}_s" for status in STATUSES),
            )
        ),
    ]
)

_Cell = dict[str, int]  # the counts and sums of a row, by column

_SECOND = 1_000_000  # the clock is in microseconds
_QUARTER = 900 * _SECOND  # the offset of every present time zone is a multiple of it

_OUTCOME_OF = {"abandoned": "abandoned", "timeout": "timed_out", "key": "left_by_key", "empty": "left_empty"}
_ENDED_BY = {"abandoned": "caller"}  # by how the call left its queue; otherwise the system ends it
_RING_END = {"abandoned": "caller_left", "key": "caller_left", "callback": "caller_left"}  # else no_answer

_QUEUE_TIMEOUT_S = 300.0
_PLACES = 2  # a queue is full with this many waiting callers per agent
_DIRECT = 0.03  # share of calls that ring an agent directly, without a queue
_OUTBOUND = 0.03  # how often an agent who becomes free makes a call, as a share
_WITHHELD = 0.06  # share of callers who withhold their number

_READY = ("available", "in_call", "wrap_up")
_OFF_WORK = ("break", "training", "overleg")  # the last is the source's own word, which counts as `other`
_LONGEST_STATUS = 744 * 3600 * _SECOND  # without a new event, a status ends after this time


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
    cell: _Cell  # the row of queue_interval in which the visit is counted
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
        zone=ZoneInfo(time_zone),
        queues=queues,
        agents=_staff(agents, queues),
        rng=random.Random(f"{seed}:{customer_id}"),
        service_level=service_level_s * _SECOND,
        short_abandon=short_abandon_s * _SECOND,
    )
    for day in sorted(set(days)):
        centre.plan(day, hours, contacts_per_day)
    centre.play(round(known_until.timestamp() * _SECOND) if known_until else 0)
    return centre.result()


class _Centre:
    """Callers, agents and queues. Whatever happens is written as an event and counted immediately."""

    def __init__(
        self,
        *,
        customer_id: int,
        platform: str,
        zone: ZoneInfo,
        queues: Sequence[str],
        agents: list[_Agent],
        rng: random.Random,
        service_level: int,
        short_abandon: int,
    ) -> None:
        self.customer_id, self.platform, self.zone = customer_id, platform, zone
        self.queues, self.agents, self.rng = queues, agents, rng
        self.service_level, self.short_abandon = service_level, short_abandon
        self.members = {queue: [agent for agent in agents if queue in agent.queues] for queue in queues}
        self.waiting: dict[str, deque[_Visit]] = {queue: deque() for queue in queues}
        self.dates: dict[int, date] = {}  # by the number of the quarter-hour
        self.closes_at = 0
        self.now = 0
        self.last_event_at = 0
        self.agenda: list[tuple[int, int, Callable[[], object]]] = []
        self.scheduled = 0
        self.events: list[tuple[object, ...]] = []
        self.queue_cells: dict[tuple[date, str, int], _Cell] = defaultdict(partial(_zeros, QUEUE_INTERVAL, 3))
        self.agent_cells: dict[tuple[date, str], _Cell] = defaultdict(partial(_zeros, AGENT_DAY, 2))
        # By day and agent: seconds of each status, and microseconds logged in and ready.
        self.status_times: dict[tuple[date, str], _Cell] = defaultdict(lambda: dict.fromkeys(STATUSES, 0))
        self.attended: dict[tuple[date, str], _Cell] = defaultdict(lambda: {"logged_in": 0, "ready": 0})

    # The clock

    def plan(self, day: date, hours: tuple[int, int], contacts: int) -> None:
        """Add a day's opening, shifts, breaks and arrivals to the agenda."""
        opens, closes = (self.local(day, hour) for hour in hours)
        self.at(opens, partial(self.open, closes))
        for agent in self.agents:
            self.at(opens - self.seconds(1, 600), partial(self.log_in, agent, closes))
            midday = opens + int((closes - opens) * self.rng.uniform(0.3, 0.6))
            self.at(midday, partial(self.want_break, agent))
            self.at(closes, partial(self.settle, agent))
        # A few callers arrive in the quarter-hour before the opening, and are refused.
        starts = range(opens - _QUARTER, closes, _QUARTER)
        crowd = [0.1, *(_crowd(i / (len(starts) - 1)) for i in range(len(starts) - 1))]
        arrivals = sorted(
            quarter + self.rng.randrange(_QUARTER) for quarter in self.rng.choices(starts, crowd, k=contacts)
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

    def local(self, day: date, hour: int) -> int:
        wall = datetime.combine(day + timedelta(days=hour // 24), time(hour % 24), self.zone)
        return int(wall.timestamp()) * _SECOND

    def date_of(self, moment: int) -> date:
        quarter = moment // _QUARTER
        if quarter not in self.dates:
            self.dates[quarter] = datetime.fromtimestamp(moment // _SECOND, self.zone).date()
        return self.dates[quarter]

    def seconds(self, low: float, high: float) -> int:
        return int(self.rng.uniform(low, high) * _SECOND)

    def about(self, median_s: float, sigma: float) -> int:
        """A random duration, lognormally distributed around the median."""
        return int(median_s * math.exp(self.rng.gauss(0, sigma)) * _SECOND) + 1

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
        self.day_of(agent, self.now)["logins"] += 1
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

    def end_break(self, agent: _Agent) -> None:
        self.free(agent)

    def enter(self, agent: _Agent, status: str) -> None:
        """Set the agent's status. The agent's telephone reports a change."""
        if status == agent.status:
            return
        moment = self.emit("agent_status", agent=agent.name, reason=status)
        self.count_status(agent)
        self.count_attendance(agent)
        self.day_of(agent, moment)
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
        call_id, number = f"{self.date_of(self.now):%y%m%d}.o{self.scheduled}", self.number()
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
            self.after(self.about(8, 0.4), partial(self.call_out_answered, agent, call_id, began))
        else:
            self.day_of(agent, began)["outbound_calls"] += 1
            self.after(self.seconds(15, 40), partial(self.end_call_out, agent, call_id))

    def call_out_answered(self, agent: _Agent, call_id: str, began: int) -> None:
        answered = self.emit("call_answered", call_id, agent=agent.name)
        day = self.day_of(agent, answered)
        day["outbound_calls"] += 1
        day["contacts"] += 1
        self.after(self.about(90, 0.8), partial(self.end_call_out, agent, call_id, answered))

    def end_call_out(self, agent: _Agent, call_id: str, answered: int | None = None) -> None:
        ended = self.emit("call_ended", call_id, reason="agent")
        if answered is not None:
            self.day_of(agent, answered)["talk_s"] += _rounded(ended - answered)
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
            self.after(self.seconds(600, 1800), partial(self.end_break, agent))
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
            visit = _Visit(call_id, None, self.now, _zeros(QUEUE_INTERVAL, 3), number, withheld)
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
            self.cell(queue, moment)[f"refused_{refusal}"] += 1
            self.emit("call_ended", call_id, reason="system")
            return False
        moment = self.emit("queue_joined", call_id, queue, other_number=number, number_withheld=withheld)
        visit = _Visit(call_id, queue, moment, self.cell(queue, moment), number, withheld)
        visit.cell["offered"] += 1
        patience = {
            "abandoned": self.rng.expovariate(1 / (5 if self.rng.random() < 0.04 else 240)),
            "key": self.rng.uniform(20, 90) if self.rng.random() < 0.1 else math.inf,
            "callback": self.rng.uniform(60, 120) if self.rng.random() < 0.1 else math.inf,
            "timeout": _QUEUE_TIMEOUT_S,
        }
        reason = min(patience, key=lambda reason: patience[reason])
        self.after(int(patience[reason] * _SECOND) + 1, partial(self.leave, visit, reason))
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
                ("no_answer", 15 * _SECOND),
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
        rung = _rounded(self.emit("ring_ended", visit.call_id, visit.queue, agent.name, reason=end) - began)
        for cell in visit.cell, self.day_of(agent, began):
            cell["rings"] += 1
            cell["ring_s"] += rung
            cell["rings_answered"] += end == "answered"
            cell["rings_unanswered"] += end not in ("answered", "elsewhere")
        if end != "answered":
            self.after(5 * _SECOND, partial(self.free, agent))

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
        visit.cell["wait_max_s"] = max(visit.cell["wait_max_s"], _rounded(wait))
        if reason == "abandoned":
            visit.cell["wait_abandoned_s"] += _rounded(wait)
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
            visit.cell["wait_answered_s"] += _rounded(wait)
            visit.cell["wait_max_s"] = max(visit.cell["wait_max_s"], _rounded(wait))
            visit.cell["answered_in_threshold"] += wait <= self.service_level
        if agent.name not in visit.served_by:
            visit.served_by.add(agent.name)
            self.day_of(agent, moment)["contacts"] += 1
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
        held = _rounded(moment - part.held_since)
        part.hold_s += held
        for cell in part.visit.cell, self.day_of(part.agent, part.since):
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
        self.day_of(part.agent, part.since)["transfers"] += 1

    def release(self, part: _Part, reason: str) -> None:
        visit, agent = part.visit, part.agent
        moment = self.emit("agent_released", visit.call_id, visit.queue, agent.name, reason=reason)
        talk = _rounded(moment - part.since) - part.hold_s
        visit.cell["talk_s"] += talk
        self.day_of(agent, part.since)["talk_s"] += talk
        if self.rng.random() < 0.8:
            began = self.emit("wrapup_started", visit.call_id, visit.queue, agent.name)
            self.enter(agent, "wrap_up")
            self.after(self.about(25, 0.6), partial(self.end_wrapup, part, began))
        else:
            self.after(_SECOND, partial(self.free, agent))

    def end_wrapup(self, part: _Part, began: int) -> None:
        visit, agent = part.visit, part.agent
        took = _rounded(self.emit("wrapup_ended", visit.call_id, visit.queue, agent.name) - began)
        visit.cell["wrapup_s"] += took
        self.day_of(agent, part.since)["wrapup_s"] += took
        self.free(agent)

    # The expected rows

    def cell(self, queue: str, moment: int) -> _Cell:
        """The row of queue_interval for what comes to the queue at this moment."""
        return self.queue_cells[self.date_of(moment), queue, moment - moment % _QUARTER]

    def day_of(self, agent: _Agent, moment: int) -> _Cell:
        """The row of agent_day for what the agent does at this moment."""
        return self.agent_cells[self.date_of(moment), agent.name]

    def count_status(self, agent: _Agent) -> None:
        """Count the agent's status up to now, divided at midnight. The whole duration is rounded once."""
        if agent.status is None:
            return
        status = agent.status if agent.status in STATUSES else "other"
        since, until = agent.status_since, min(self.now, agent.status_since + _LONGEST_STATUS)
        for day, start, end in self.within_days(since, until):
            seconds = _rounded(end - since) - _rounded(start - since)
            self.status_times[day, agent.name][status] += seconds

    def count_attendance(self, agent: _Agent) -> None:
        """Count the agent's time logged in since the last count; the status was the same throughout."""
        if agent.logged_in:
            is_ready = agent.status is None or agent.status in _READY
            for day, start, end in self.within_days(agent.attended_until, self.now):
                self.attended[day, agent.name]["logged_in"] += end - start
                self.attended[day, agent.name]["ready"] += (end - start) * is_ready
            agent.attended_until = self.now

    def within_days(self, start: int, end: int) -> Iterator[tuple[date, int, int]]:
        """Divide a period at local midnights; yield each day with the start and the end of its part."""
        day, last = self.date_of(start), self.date_of(end)
        while day < last:
            midnight = self.local(day, 24)
            yield day, start, midnight
            day, start = day + timedelta(days=1), midnight
        yield day, start, end

    def result(self) -> Simulated:
        for key, cell in self.agent_cells.items():
            for status, seconds in self.status_times[key].items():
                cell[f"status_{status}_s"] = seconds
            for name, time_us in self.attended[key].items():
                cell[f"{name}_s"] = _rounded(time_us)
        values: Sequence[Sequence[object]] = list(zip(*self.events, strict=True)) or [()] * (len(EVENTS) - 2)
        constants = [[self.customer_id] * len(self.events), [self.platform] * len(self.events)]
        columns = zip([*constants, *values], EVENTS, strict=True)
        return Simulated(
            pa.table([pa.array(column, of.type) for column, of in columns], EVENTS),
            pa.Table.from_pylist(_rows(self.queue_cells, QUEUE_INTERVAL), QUEUE_INTERVAL),
            pa.Table.from_pylist(_rows(self.agent_cells, AGENT_DAY), AGENT_DAY),
        )


def _staff(names: Sequence[str], queues: Sequence[str]) -> list[_Agent]:
    """Agents with one device each. Each agent serves two queues, or one if there is only one."""
    pairs = [(queue, queues[(i + 1) % len(queues)]) for i, queue in enumerate(queues)]
    return [
        _Agent(name, f"device-{i + 1}", tuple(dict.fromkeys(pairs[i % len(pairs)])))
        for i, name in enumerate(names)
    ]


def _zeros(schema: pa.Schema, keys: int) -> _Cell:
    return dict.fromkeys(schema.names[keys:], 0)


def _rows(cells: Mapping[Any, _Cell], schema: pa.Schema) -> list[dict[str, object]]:
    return [dict(zip(schema.names, (*key, *cells[key].values()), strict=True)) for key in sorted(cells)]


def _rounded(duration: int) -> int:
    """The duration in whole seconds, rounded half up."""
    return (duration + _SECOND // 2) // _SECOND


def _crowd(x: float) -> float:
    """How busy it is at this part (0 to 1) of the day: a peak in the morning, a quiet noon, a lower peak later."""
    return 0.3 + math.exp(-(((x - 0.22) / 0.12) ** 2)) + 0.7 * math.exp(-(((x - 0.6) / 0.16) ** 2))
