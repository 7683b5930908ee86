"""Gives events that seem to be of one agent to the agent whose they are: within some days, A is B.

The ledger says so before anything changes. Landing follows it (land/corrected.py): no file brings the mistake back, and
after a restore it is corrected again. It ends with the days that it is about. It can't be undone: afterwards nothing
tells which of B's events seemed to be A's.
"""

from dataclasses import dataclass, field
from datetime import datetime

import psycopg

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.evidence import TOO_OLD
from callmart.base.keys import keyed
from callmart.base.person import Counts, Person, Place, Work
from callmart.base.raw_format import LONGEST_PHASE
from callmart.database import clock, ledger, vacuum
from callmart.database.tombstones import Kind
from callmart.land.places import Doorway, Events
from callmart.opening import opening
from callmart.opening.places import Marts, waiting_days
from callmart.privacy.decided import SHOWING
from callmart.privacy.places import PLACES, each, prove_counted, require_covered
from callmart.privacy.procedure import Case, OnProof, Plan, Steps

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Correction:
    """The correction of a person's events, from `since` until the end of what the request is about."""

    agent_key: str = field(repr=False)  # the agent whose they are
    since: datetime
    former: frozenset[str] = field(default=frozenset(), repr=False)  # that key before rotations

    def plan(self, case: Case) -> Plan:
        """Count the events. Raises UserError if another correction is in the way. They can be none: then the letter
        says so, and what still lands is corrected. If this correction is made already, the agent counts: a restored
        register does not know what was done since its backup.
        """
        connection, person = case.work.connection, case.person
        require_covered(case.work)
        counts = {place.name: Counts() for place in PLACES}
        counts[Events.name] = self._count(connection, person)
        if self._stands(connection, person):
            counts[Events.name] += Counts(agents=1)
        else:
            self._refuse_wrong(connection, person)
            if not counts[Events.name]:
                too_old, _ = self._days_too_old(connection, person)
                counts[Events.name] = +Counts({TOO_OLD: too_old})
        whose = keyed(case.key, "plan", f"{case.whose} {self.agent_key} {self.since.timestamp()}")
        return Plan(whose, counts)

    def do(self, case: Case, steps: Steps) -> None:
        """Correct what was landed, and what is made of it. What lands from here on is corrected at the door."""
        work, person = case.work, case.person

        def treat(place: Place) -> Counts:
            if place.name == Events.name:
                return self.correct(work, person)
            # What was landing meanwhile is there now.
            return place.treat(work, person) if place.name in (*SHOWING, Doorway.name) else Counts()

        with clock.guarded(work.connection, work.settings):
            planned = None if self._is_noted(case) else self.plan(case)
            steps.begin(planned.hash if planned else None)
            _, is_over = self._days_too_old(work.connection, person)
            finds_none = planned is not None and TOO_OLD in planned.counts[Events.name]
            if not (finds_none and is_over):  # else nothing of it can land
                self._note(case)
            each(treat, steps.on_place)

    def prove(self, case: Case, on_place: OnProof) -> int:
        """Look whether no event is left with the mistake, and no day waits."""
        work, person = case.work, case.person
        with clock.guarded(work.connection, work.settings):
            require_covered(work)
            wrong = self._count(work.connection, person)
            _, is_over = self._days_too_old(work.connection, person)
            wrong["agents"] += not (self._is_noted(case) or is_over)
            waiting = Counts(days=waiting_days(work.connection, person.customer_id))
            return prove_counted({Events.name: wrong, Marts.name: waiting}, on_place)

    def correct(self, work: Work, person: Person) -> Counts:
        """Correct what was landed, and mark the days whose marts change. What is given to an agent who was erased since
        is erased, too. In one transaction.
        """
        connection, parameters = work.connection, self._parameters(person)
        with connection.transaction():
            counts = self._count(connection, person)
            connection.execute(SQL["mark_days"], parameters)
            days = {day for (day,) in connection.execute(SQL["correct"], parameters)}
            vacuum.note(connection, *vacuum.months(connection, "raw.event", days))
            connection.execute(SQL["renew_tombstones"], parameters)
            ((erased_until,),) = connection.execute(SQL["erased_until"], parameters).fetchall()
            if erased_until is not None:
                own = frozenset({self.agent_key})
                Events().treat(work, Person(person.customer_id, "agent", frozenset(), own, erased_until))
            opening.forget_build(connection)
        return counts

    def _note(self, case: Case) -> None:
        """Write it into the ledger and where landing finds it. Commits."""
        work, person = case.work, case.person
        whose: dict[Kind, list[str]] = {
            "mistaken": case.tombstones("mistaken", self._mistaken(person)),
            "corrected": case.tombstones("corrected", [self.agent_key]),
        }
        with work.connection.transaction():
            entry = ledger.append(
                work.connection, work.settings, person.customer_id, person.kind, person.until,
                whose, case.request, "rectification", self.since,
            )  # fmt: skip
            enter(work.connection, entry.number, self.agent_key)

    def _is_noted(self, case: Case) -> bool:
        return case.is_in_ledger("mistaken", self._mistaken(case.person))

    def _count(self, connection: psycopg.Connection, person: Person) -> Counts:
        with connection.transaction():
            ((outside, inside),) = connection.execute(SQL["count"], self._parameters(person)).fetchall()
        return +Counts({"events outside calls": outside, "events in calls": inside})

    def _days_too_old(self, connection: psycopg.Connection, person: Person) -> tuple[int, bool]:
        """How many of the days are too old to be kept, and whether all are."""
        found = connection.execute(SQL["days_too_old"], self._parameters(person)).fetchone()
        connection.rollback()
        return found or (0, False)

    def _stands(self, connection: psycopg.Connection, person: Person) -> bool:
        found = connection.execute(SQL["stands"], self._parameters(person)).fetchone()
        connection.rollback()
        return found == (True,)

    def _refuse_wrong(self, connection: psycopg.Connection, person: Person) -> None:
        if self.agent_key in person.entered:  # 1001.0 may become 1001
            raise UserError("both are the same agent: ask the contact whose the events are")
        if self.since >= person.until:
            raise UserError("the first day lies after the last one: enter them again")
        overlapping = connection.execute(SQL["overlapping"], self._parameters(person)).fetchone()
        connection.rollback()
        if overlapping is not None:
            raise UserError(
                "another correction is about one of these agents on some of these days (`callmart privacy "
                "corrections` lists them): choose days that no other is about"
            )

    def _parameters(self, person: Person) -> dict[str, object]:
        return {
            "customer": person.customer_id,
            "keys": sorted(self._mistaken(person)),
            "agent": self.agent_key,
            "former": sorted(self.former),
            "asked": sorted({key for _, key in person.all_keys} | {self.agent_key} | self.former),
            "since": self.since,
            "until": person.until,
            "longest_phase": LONGEST_PHASE,
        }

    def _mistaken(self, person: Person) -> frozenset[str]:
        """The keys whose events become the other agent's; not its own, if 1001.0 is corrected to 1001."""
        return person.keys - {self.agent_key}


def enter(connection: psycopg.Connection, entry: int, agent_key: str) -> None:
    """Let landing find the correction of a ledger entry, in the caller's transaction."""
    connection.execute(SQL["enter"], {"entry": entry, "agent": agent_key})
