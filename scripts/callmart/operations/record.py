"""The record of runs: what each did, written to ops.run and ops.run_stage while it does it, and the log lines of it.

Counts and classes of errors only: no value of a row, no name. The record commits each statement in a session of its
own, so it shows how far a run came that died. The name of that session shows that its run is still at work.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from time import monotonic
from typing import LiteralString

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from callmart.base import log, sql_file
from callmart.base.errors import UserError, kind

SQL = sql_file.statements(__file__)

KEPT = 10_000  # runs; the statement `forget` says which of those before them stay

AT_WORK, DONE, PROBLEMS = "at work", "done", "problems"
INTERRUPTED, FAILED, DIED = "interrupted", "failed", "died"
_LEVELS: Mapping[str, log.Level] = {DONE: "info", PROBLEMS: "warning"}  # the others are errors


def held_back(days: int, whose: str = "") -> str:
    """What a run and `health` say of days that are held back, such as those ' of the rebuild'."""
    which = (
        f"1 day{whose} is held back by its checks"
        if days == 1
        else f"{days} days{whose} are held back by their checks"
    )
    return f"{which}: see `callmart status`"


@dataclass(frozen=True)
class Stage:
    """What a stage did. `error` is the class of the error that ended it."""

    stage: str
    began_at: datetime
    ended_at: datetime | None
    outcome: str
    counts: dict[str, int]
    error: str | None


@dataclass(frozen=True)
class Run:
    """What a run did. `ended_at` is None while it is at work, and for a run that died: nobody knows when."""

    run_id: int
    began_at: datetime
    ended_at: datetime | None
    outcome: str
    problems: int
    error: str | None
    stages: tuple[Stage, ...] = ()


class Record:
    """The record of a run at work. If it can't be written, `failure` says why, and the run goes on."""

    def __init__(self, connect: Callable[[], psycopg.Connection]) -> None:
        """Begin the record, and close those of runs that died. The caller holds the lock of the run."""
        self.failure: str | None = None
        self._connect = connect
        self._connection = connect()
        self._began = self._stage_began = monotonic()
        for (died,) in self._connection.execute(SQL["close_died"]).fetchall():
            log.line("warning", "an earlier run died", run=died)
        self._connection.execute(SQL["forget"], {"kept": KEPT})
        ((self.run_id, _),) = self._connection.execute(SQL["begin"]).fetchall()

    def begin_stage(self, stage: str) -> None:
        """Record that a stage begins."""
        self._stage_began = monotonic()
        self._write(SQL["begin_stage"], {"stage": stage})

    def end_stage(self, stage: str, outcome: str, counts: Mapping[str, int], error: Exception | None) -> None:
        """Record how a stage ended, and log it."""
        named = _class_of(error)
        self._write(
            SQL["end_stage"], {"stage": stage, "outcome": outcome, "counts": Jsonb(counts), "error": named}
        )
        log.line(
            _LEVELS.get(outcome, "error"),
            f"{stage}: {outcome}",
            error=named,
            seconds=round(monotonic() - self._stage_began, 1),
            **counts,
        )

    def end(self, outcome: str, problems: int, error: Exception | None = None) -> None:
        """Record how the run ended, and with it a stage that it left at work, and log it."""
        named = _class_of(error)
        self._write(SQL["end"], {"outcome": outcome, "problems": problems, "error": named})
        log.line(
            _LEVELS.get(outcome, "error"),
            f"run: {outcome}",
            error=named,
            problems=problems,
            seconds=round(monotonic() - self._began, 1),
        )

    def close(self) -> None:
        """End the session."""
        self._connection.close()

    def _write(self, statement: LiteralString, values: Mapping[str, object]) -> None:
        for _ in range(2):  # the session may have been ended while a stage was at work
            try:
                if self._connection.closed:
                    self._connection = self._connect()
                    self._connection.execute(SQL["name_session"], {"run": self.run_id})
                self._connection.execute(statement, {"run": self.run_id, **values})
                return
            except psycopg.Error as error:
                failure = _class_of(error)
        self.failure = failure


def _class_of(error: Exception | None) -> str | None:
    """The class of an error. A UserError's sentence is left out: it can name a file."""
    if error is None:
        return None
    return type(error).__name__ if isinstance(error, UserError) else kind(error)


def last_run(connection: psycopg.Connection, *, before: int | None = None) -> Run | None:
    """The run that began last, or last before another one. It has died if its record says that it is at work, and its
    session is gone.
    """
    with connection.cursor(row_factory=class_row(Run)) as runs:
        run = runs.execute(SQL["last_run"], {"before": before}).fetchone()
    if run is None:
        return None
    with connection.cursor(row_factory=class_row(Stage)) as found:
        stages = found.execute(SQL["stages"], {"run": run.run_id, "has_died": run.outcome == DIED}).fetchall()
    return replace(run, stages=tuple(stages))


def runs_come_often(connection: psycopg.Connection) -> bool:
    """Whether runs come often: what has to wait waits for the next one, and nobody has to look."""
    ((is_so,),) = connection.execute(SQL["runs_come_often"]).fetchall()
    return bool(is_so)
