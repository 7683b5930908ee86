"""People who read their marts while something else is at work: logins that send queries until a block ends."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import NamedTuple

import psycopg


class Login(NamedTuple):
    """A login, what it asks in turn, and how long it pauses after each answer."""

    uri: str
    queries: Sequence[str]
    pause_s: float = 0.0


class Query(NamedTuple):
    """When a query began, by time.time(), how many seconds it took, and whether it failed. `late_s` is how long after
    the end of the reader's pause it began: so long the machine held up the reader, or another reader did.
    """

    began: float
    seconds: float
    failed: bool
    late_s: float


@dataclass
class Waits:
    """How long each query of all readers took. It is filled when they have stopped."""

    queries: list[Query] = field(default_factory=list)

    def within(self, begin: float, end: float) -> "Waits":
        """Those of which a part lies in this time."""
        return Waits(
            [each for each in self.queries if each.began < end and each.began + each.seconds > begin]
        )

    def most_ms(self, share: float = 1.0) -> float:
        """The milliseconds within which this share of the queries was answered."""
        ordered = sorted(each.seconds for each in self.queries)
        return ordered[round(share * (len(ordered) - 1))] * 1000 if ordered else 0.0

    def over(self, milliseconds: float) -> int:
        """How many queries took longer."""
        return sum(each.seconds * 1000 > milliseconds for each in self.queries)

    def __str__(self) -> str:
        failed = sum(each.failed for each in self.queries)
        late_ms = max((each.late_s for each in self.queries), default=0.0) * 1000
        return (
            f"{len(self.queries):,} queries, longest {self.most_ms():.0f} ms, {failed} failed; "
            f"a reader woke up to {late_ms:.0f} ms late"
        )


@contextmanager
def readers(logins: Sequence[Login]) -> Iterator[Waits]:
    """Let these logins ask, each in a session of its own, until the block ends. They are a process of their own, so
    that they don't wait for Python's lock. Raises EOFError if it can't connect.
    """
    waits, context = Waits(), get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_ask_all, args=(logins, theirs))
    process.start()
    theirs.close()
    ours.recv()
    try:
        yield waits
    finally:
        ours.send("over")
        waits.queries += ours.recv()
        process.join()


def _ask_all(logins: Sequence[Login], parent: Connection) -> None:
    over, asked = threading.Event(), list[Query]()
    sessions = [psycopg.connect(login.uri, autocommit=True) for login in logins]
    threads = [
        threading.Thread(target=_ask, args=(session, login, number / len(logins), over, asked))
        for number, (session, login) in enumerate(zip(sessions, logins, strict=True))
    ]
    for thread in threads:
        thread.start()
    parent.send("ready")
    parent.recv()
    over.set()
    for thread in threads:
        thread.join()
    parent.send(asked)


def _ask(
    session: psycopg.Connection, login: Login, phase: float, over: threading.Event, asked: list[Query]
) -> None:
    """Ask until it is over. Each begins at another moment of the pause."""
    due = time.perf_counter() + phase * login.pause_s
    stopped = over.wait(phase * login.pause_s)
    while not stopped:
        for query in login.queries:
            began, begin, failed = time.time(), time.perf_counter(), False
            late_s = begin - due
            try:
                session.execute(query.encode()).fetchall()
            except psycopg.Error:
                failed = True
                if session.closed:  # somebody ended it
                    session = psycopg.connect(login.uri, autocommit=True)
            ended = time.perf_counter()
            asked.append(Query(began, ended - begin, failed, late_s))
            due = ended + login.pause_s
            stopped = over.wait(login.pause_s)
            if stopped:
                break
