"""Requests of persons as tests bring them into a state."""

import io
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import NamedTuple

import psycopg
import pytest

from callmart.access import logins, roles
from callmart.base import evidence
from callmart.base.keys import key_file
from callmart.base.rights_of_persons import Right
from callmart.cli import main
from callmart.privacy import register, subject
from callmart_home import Callmart
from commands import use
from today import TODAY

APPROVERS_PASSWORD = "a password that only the approver has"
HASH = "0123456789abcdef"
PLAN: dict[str, dict[str, int]] = {place: {} for place in evidence.PLACES} | {
    "events": {"events in calls": 12, "calls": 2},
    "tableau content": {"data sources": 1},
}


def choose_password(callmart: Callmart) -> None:
    """Let the approver have a password."""
    with callmart.connect() as owner:
        role = roles.duty_role(owner.info.dbname, "privacy_approver")
        logins.choose_password(owner, role, APPROVERS_PASSWORD)


def password_of(role: str) -> str | None:
    """The password of a login that has none in a file."""
    return APPROVERS_PASSWORD if role.endswith("_privacy_approver") else None


class Said(NamedTuple):
    code: int
    out: str
    err: str


Command = Callable[..., Said]


def mistake(said: Said) -> str:
    """One sentence, and exit code 2."""
    assert (said.code, said.out) == (2, ""), said
    assert said.err.startswith("error: ") and said.err.count("\n") == 1, said.err
    return said.err.removeprefix("error: ").rstrip("\n")


@dataclass
class Desk:
    """The privacy officer and the approver of a callmart, with real logins."""

    callmart: Callmart
    owner: psycopg.Connection
    officer: psycopg.Connection
    approver: psycopg.Connection

    def contact(self, customer_id: int, address: str) -> str:
        """A contact as the register knows it."""
        key = key_file(self.callmart.home, customer_id).read_bytes()
        return subject.asker(self.owner, customer_id, key, address)

    def open(
        self,
        customer_id: int,
        address: str,
        *,
        person: str = "0" * 32,
        received: date = TODAY,
        kind: str = "caller",
        right: Right = "erasure",
    ) -> int:
        contact = self.contact(customer_id, address)
        return register.open_request(self.officer, customer_id, kind, person, received, contact, right)

    def verify(
        self,
        number: int,
        *,
        alone: bool | None = True,
        instructed: bool = False,
        by_consent: bool | None = None,
    ) -> None:
        register.verify(
            self.officer, number, "code", alone=alone, instructed=instructed, by_consent=by_consent
        )

    def plan(self, number: int, hash: str = HASH, plan: Mapping[str, Mapping[str, int]] = PLAN) -> None:
        """As the command does: the officer plans, and the owner says what was found."""
        yesterday = datetime.combine(TODAY, time(), UTC) - timedelta(days=1)
        register.note_plan(self.officer, number, hash, yesterday)
        self.find(number, plan)

    def find(self, number: int, plan: Mapping[str, Mapping[str, int]] = PLAN) -> None:
        for place, counts in plan.items():
            register.note_step(self.owner, number, place, "find", counts)

    def approve(self, number: int, hash: str = HASH) -> None:
        register.approve(self.approver, number, hash)

    def do(self, number: int, hash: str | None = HASH) -> None:
        self.begin(number, hash)
        for place, counts in PLAN.items():
            register.note_step(self.owner, number, place, "treat", counts)

    def begin(self, number: int, hash: str | None = HASH) -> None:
        """The control has looked, and the ledger has it."""
        register.begin_doing(self.officer, number, hash)
        register.note_step(self.owner, number, "server files", "control", {"found before": 3})
        self.enter(number)

    def enter(self, number: int, *, later: int = 0, days: int = 0) -> None:
        """Let the ledger have it; or that of a later request, or of days before."""
        self.owner.execute(
            """
            insert into privacy.ledger_entry (
                entry, commitment, digest, salt, customer_id, kind, key_fingerprint, until, at, request
            )
            select
                number * 10 + 2 * %(later)s + %(days)s, '', '', '', customer_id, kind, key_fingerprint,
                until - make_interval(days => %(days)s), now(), number + %(later)s
            from privacy.request where number = %(number)s
            on conflict (entry) do update set key_fingerprint = excluded.key_fingerprint
            """,
            {"number": number, "later": later, "days": days},
        )

    def prove(self, number: int, *, left: int = 0, to_attest: int = 0) -> None:
        register.begin_proving(self.officer, number)
        for place in PLAN:
            waits = to_attest if place == "server files" else 0
            self.prove_place(number, place, left=left, to_attest=waits)

    def prove_place(self, number: int, place: str, **counts: int) -> None:
        register.note_step(self.owner, number, place, "prove", {"left": 0} | counts)

    def answer(self, number: int) -> None:
        register.answer(self.officer, number)

    def close(self, number: int) -> None:
        register.close(self.officer, number)

    def bring(self, number: int, state: str) -> None:
        """Bring a request into a later state on the straight way."""
        steps: dict[str, Callable[[int], None]] = {
            "identified": self.verify, "planned": self.plan, "approved": self.approve, "executing": self.do,
            "proving": self.prove, "answered": self.answer, "closed": self.close,
        }  # fmt: skip
        reached = ["received", *steps]
        for later in reached[reached.index(self.state(number)) + 1 : reached.index(state) + 1]:
            steps[later](number)
            assert self.state(number) == later

    def state(self, number: int) -> str:
        return register.request(self.officer, number).state

    def logged(self, number: int) -> list[tuple[str, str]]:
        """The audit log of a request: who did what."""
        return self.owner.execute(
            "select actor, action from ops.audit_log where details ->> 'request' = %s order by entry",
            [str(number)],
        ).fetchall()

    def forget_all(self) -> None:
        """Empty the register, as nobody can without taking away its guard."""
        with self.owner.transaction():
            self.owner.execute("alter table privacy.request disable trigger kept")
            self.owner.execute("delete from privacy.request")
            self.owner.execute("delete from privacy.ledger_entry where commitment = ''")
            self.owner.execute("alter table privacy.request enable trigger kept")


class Commands:
    """`callmart` in this process, as an officer and an approver use it. `lines` are its standard input."""

    def __init__(
        self, callmart: Callmart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        self.callmart, self.monkeypatch, self.capsys = callmart, monkeypatch, capsys

    def __call__(self, *arguments: object, lines: tuple[str, ...] = ()) -> tuple[int, str]:
        use(self.callmart.settings.model_copy(update={"backup_kept_days": 0}), self.monkeypatch)
        self.monkeypatch.setattr(sys, "argv", ["callmart", *map(str, arguments)])
        self.monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        with pytest.raises(SystemExit) as end:
            main.main()
        said = self.capsys.readouterr()
        return int(end.value.code or 0), said.out + said.err

    def approved(
        self, customer: int, contact: str, right: str, kind: str, *words: str, plan: tuple[str, ...]
    ) -> str:
        """Bring a request from the letter to the approval; returns its number. `words` are entered at the plan."""
        code, said = self(
            "privacy",
            "open",
            "--customer",
            customer,
            "--kind",
            kind,
            "--right",
            right,
            lines=(contact, words[0]),
        )
        assert code == 0, said
        number = said.split()[1]
        assert self("privacy", "verify", number, "--how", "code", "--alone", "--not-by-consent")[0] == 0
        code, said = self("privacy", "plan", number, *plan, lines=words)
        assert code == 0, said
        code, said = self("privacy", "approve", number, lines=(APPROVERS_PASSWORD, "y"))
        assert code == 0, said
        return number

    def done(self, number: str, *words: str) -> str:
        """Do it, prove it and answer; returns the letter."""
        for step in ("do", "prove"):
            code, said = self("privacy", step, number, lines=words)
            assert code == 0, said
        code, letter = self("privacy", "answer", number)
        assert code == 0, letter
        return letter
