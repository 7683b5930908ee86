"""The record of runs: what each did, also one that died, and the log lines of it."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
import pytest
from rich.console import Console

from callmart.access import logins
from callmart.base import log
from callmart.base.errors import UserError
from callmart.base.progress import quietly
from callmart.base.settings import Log
from callmart.cli import looking, terminal
from callmart.database import clock
from callmart.database.lock import exclusive
from callmart.operations import record, run, stages
from callmart.retention import expire, expired_tombstones
from callmart.retention.expiry_steps import Step
from callmart_home import Callmart
from centre import NAMED, STANDARD
from commands import use
from nights import Crash, night

STAGES = [
    "check",
    "remove",
    "expire",
    "months",
    "moved",
    "packages",
    "environments",
    "land",
    "build",
    "validation",
    "opening",
    "rebuild",
    "rights",
    "extract",
    "publish",
    "marts",
    "seal",
]
SECRET = "a row: +31612345678"

pytestmark = pytest.mark.usefixtures("unchecked")


@pytest.fixture
def emptied(played: Callmart) -> Iterator[Callmart]:
    """Without any record."""
    yield played
    played.rows("delete from ops.run returning 1")


@pytest.fixture
def quick(emptied: Callmart, monkeypatch: pytest.MonkeyPatch) -> Callmart:
    """Runs whose stages do nothing."""
    for name in (
        "remove_closed",
        "expire_data",
        "make_months",
        "remove_moved",
        "land_folders",
        "rebuild_old",
        "follow_rights",
        "write_extracts",
        "publish",
        "name_undeclared_marts",
        "seal_log",
    ):
        monkeypatch.setattr(stages, name, lambda *_: None)
    for name in run.BUILD_AND_OPEN:
        monkeypatch.setitem(run.BUILD_AND_OPEN, name, lambda *_: None)
    return emptied


@pytest.mark.parametrize(
    ("ended", "often"),
    [("90 minutes", False), ("59 minutes", True), (None, False)],
    ids=["a pause of more than an hour", "a long run", "a long run that died"],
)
def test_runs_come_often_if_the_pause_between_them_is_short(
    emptied: Callmart, ended: str | None, often: bool
) -> None:
    """However long the run took."""
    with emptied.connect() as connection:
        for began, end, outcome in (
            ("3 hours", ended, "done" if ended else "died"),
            ("0 minutes", None, "at work"),
        ):
            connection.execute(
                "insert into ops.run (began_at, ended_at, outcome)"
                " values (now() - %s::interval, now() - %s::interval, %s)",
                [began, end, outcome],
            )
        assert record.runs_come_often(connection) is often
        connection.rollback()


def runs(callmart: Callmart) -> list[tuple[Any, ...]]:
    rows = callmart.rows(
        "select outcome, problems, error, ended_at is null as endless from ops.run order by run_id"
    )
    return [tuple(row.values()) for row in rows]


def outcomes(callmart: Callmart) -> dict[str, str]:
    """How the stages of the last run ended."""
    rows = callmart.rows(
        "select stage, outcome from ops.run_stage where run_id = (select max(run_id) from ops.run) order by began_at"
    )
    return {row["stage"]: row["outcome"] for row in rows}


def last(callmart: Callmart) -> record.Run:
    with callmart.connect() as connection:
        found = record.last_run(connection)
    assert found is not None
    return found


def recorded(callmart: Callmart) -> str:
    return "\n".join(
        row["text"]
        for table in ("run", "run_stage")
        for row in callmart.rows(f"select t::text as text from ops.{table} as t")
    )


def test_what_expired_is_told_also_if_tombstones_can_not_end(
    emptied: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    went, stayed = (Step("rows", what, "too old", 3, lambda _: 3) for what in ("this", "that"))
    outcomes = [expire.Outcome(went, expire.DONE, 3), expire.Outcome(stayed, expire.LOCKED)]
    monkeypatch.setattr(expire, "expire", lambda *_: outcomes)

    def refuses(*_: object) -> int:
        raise UserError("the copy can't be written")

    monkeypatch.setattr(expired_tombstones, "end", refuses)
    ran = stages.Ran()
    with emptied.connect() as connection, pytest.raises(UserError, match="the copy can't be written"):
        stages.expire_data(connection, emptied.settings, ran, quietly)
    assert ran.expired == 3
    assert [problem.partition(":")[0] for problem in ran.problems] == ["that did not expire"]


def test_a_stage_that_breaks_off_is_recorded_by_the_class_of_its_error(
    quick: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks_off(*_: object) -> None:
        raise RuntimeError(SECRET)

    def refuses(*_: object) -> None:
        raise UserError(f"/data/{SECRET} is not a folder")

    def complains(_: object, __: object, ran: stages.Ran, ___: object) -> None:
        ran.note(f"customer {STANDARD}: {SECRET}")

    monkeypatch.setitem(run.BUILD_AND_OPEN, "build", breaks_off)
    monkeypatch.setattr(stages, "remove_closed", refuses)
    monkeypatch.setattr(stages, "write_extracts", complains)
    night(quick)
    assert runs(quick) == [("problems", 3, None, False)]
    assert outcomes(quick) == {
        name: {"build": "failed", "remove": "failed", "extract": "problems"}.get(name, "done")
        for name in STAGES
        if name not in ("validation", "opening", "rebuild")
    }
    errors = quick.rows("select stage, error from ops.run_stage where error is not null order by 1")
    assert [tuple(row.values()) for row in errors] == [("build", "RuntimeError"), ("remove", "UserError")]
    assert SECRET not in recorded(quick)


def test_an_interrupted_run_is_recorded_as_one(quick: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(stages, "land_folders", interrupted)
    night(quick)
    assert runs(quick) == [("interrupted", 1, None, False)]
    assert list(outcomes(quick).items())[-1] == ("land", "interrupted")


def test_a_run_that_died_is_closed_by_the_next_one(quick: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: object) -> None:
        raise Crash

    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(stages, "land_folders", dies)
        night(quick)
    assert runs(quick) == [("at work", 0, None, True)], "nobody was left to write more"
    assert (last(quick).outcome, last(quick).stages[-1].outcome) == ("died", "died"), "its session is gone"
    night(quick)
    assert runs(quick) == [("died", 0, None, True), ("done", 0, None, False)]
    assert quick.rows("select stage from ops.run_stage where outcome = 'died'") == [{"stage": "land"}]


def test_of_old_runs_those_stay_that_say_how_a_day_ended_badly_and_the_last_good_one(
    quick: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a problem lasts, `health` says since when."""
    old = [
        ("2026-11-01", "problems"),
        ("2026-11-01", "done"),
        ("2026-11-01", "failed"),
        ("2026-11-01", "problems"),
        ("2026-11-01", "done"),
        ("2026-11-02", "problems"),
        ("2026-11-02", "interrupted"),
    ]
    last_ones = [("2026-11-02", "problems"), ("2026-11-02", "problems")]
    for day, outcome in old + last_ones:
        quick.rows(
            "insert into ops.run (began_at, ended_at, outcome, problems)"
            " values (%s, now(), %s, 0) returning 1",
            f"{day} 03:00+00",
            outcome,
        )
    monkeypatch.setattr(record, "KEPT", len(last_ones))
    night(quick)
    stays = old[2:] + last_ones

    def kept() -> list[tuple[str, str]]:
        rows = quick.rows("select began_at::date::text as day, outcome from ops.run order by run_id")
        return [(row["day"], row["outcome"]) for row in rows]

    assert kept()[:-1] == stays
    assert kept()[-1][1] == "done"
    night(quick)
    assert old[4] not in kept(), "there is another"


def test_only_a_session_of_the_owner_shows_that_a_run_is_at_work(
    quick: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(stages, "land_folders", lambda *_: seen.append(last(quick)))
    night(quick)
    (at_work,) = seen
    assert (at_work.outcome, at_work.stages[-1].stage, at_work.stages[-1].outcome) == (
        "at work",
        "land",
        "at work",
    )

    (row,) = quick.rows("insert into ops.run default values returning run_id")
    with quick.connect(NAMED) as customer:
        customer.execute(
            "select set_config('application_name', %s, false)", [f"callmart run {row['run_id']}"]
        )
        assert last(quick).outcome == "died"


def test_a_run_that_can_not_begin_leaves_no_record(quick: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    with quick.connect() as connection, exclusive(connection), pytest.raises(UserError, match="at work"):
        night(quick)
    doubtful = property(lambda _: "the clock says 2099-01-01")
    monkeypatch.setattr(clock.Reading, "doubt", doubtful)
    with pytest.raises(UserError, match="2099-01-01"):
        night(quick)
    assert runs(quick) == []


def test_the_record_outlives_its_session(quick: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    def ends_it(*_: object) -> None:
        ended = quick.rows(
            "select pg_terminate_backend(pid) as ended from pg_stat_activity"
            " where application_name like 'callmart run %%'"
        )
        assert ended == [{"ended": True}]

    monkeypatch.setattr(stages, "land_folders", ends_it)
    assert night(quick).problems == []
    assert runs(quick) == [("done", 0, None, False)]
    assert outcomes(quick) == dict.fromkeys(STAGES, "done")


def test_a_record_that_can_not_be_written_is_a_problem_and_ends_nothing(
    quick: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def hide(connection: psycopg.Connection, *_: object) -> None:
        connection.execute("alter table ops.run_stage rename to hidden")
        connection.commit()

    def show(connection: psycopg.Connection, *_: object) -> None:
        connection.execute("alter table ops.hidden rename to run_stage")
        connection.commit()

    monkeypatch.setattr(stages, "land_folders", hide)
    monkeypatch.setattr(stages, "name_undeclared_marts", show)
    assert night(quick).problems == [
        "the record of the run is not complete (SQLSTATE 42P01): see the server's log"
    ]


def test_the_operator_reads_the_record_and_writes_nothing(quick: Callmart) -> None:
    night(quick)
    with logins.connect(quick.settings, "operator") as operator:
        assert operator.execute("select outcome from ops.run").fetchall() == [("done",)]
        assert len(operator.execute("select from ops.run_stage").fetchall()) == len(STAGES)
        operator.execute("select from ops.alarm")
        operator.rollback()
        operator.execute("set default_transaction_read_only = off")
        operator.commit()
        for change in ("delete from ops.run", "update ops.run set outcome = 'done'", "delete from ops.alarm"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                operator.execute(change)
            operator.rollback()


def test_records_go_after_two_years(emptied: Callmart) -> None:
    for age in (735, 1):
        (row,) = emptied.rows(
            "insert into ops.run (began_at) values (now() - make_interval(days => %s)) returning run_id", age
        )
        emptied.rows(
            "insert into ops.run_stage (run_id, stage) values (%s, 'land') returning 1", row["run_id"]
        )
        emptied.rows(
            "insert into ops.alarm values (%s, 'backup', null, now() - make_interval(days => %s)) returning 1",
            str(age),
            age,
        )
    with emptied.connect() as connection:
        outcome = expire.expire(connection, emptied.settings, clock.today(connection, emptied.settings))
    assert {one.outcome for one in outcome} == {expire.DONE}
    assert len(emptied.rows("select from ops.run")) == len(emptied.rows("select from ops.run_stage")) == 1
    assert emptied.rows("delete from ops.alarm returning channel") == [{"channel": "1"}]


# the log


@pytest.fixture
def no_log() -> Iterator[None]:
    yield
    log._LOG.handlers = []


def test_log_lines_are_json_with_run_stage_and_customer(
    quick: Callmart, no_log: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def complains(_: object, __: object, ran: stages.Ran, ___: object) -> None:
        for _ in range(2):
            ran.note("the mail is held", STANDARD)

    monkeypatch.setattr(stages, "publish", complains)
    log.begin(Log(format="json"))
    night(quick)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    (row,) = quick.rows("select run_id from ops.run")
    assert {line["run"] for line in lines} == {row["run_id"]}
    assert [line["event"] for line in lines if "stage" in line and "customer" not in line] == [
        f"{name}: {'problems' if name == 'publish' else 'done'}" for name in STAGES
    ]
    (problem,) = [line for line in lines if "customer" in line]
    assert problem.items() >= {
        "level": "warning", "stage": "publish", "customer": STANDARD, "event": "the mail is held"
    }.items()  # fmt: skip
    assert lines[-1].items() >= {"level": "warning", "event": "run: problems", "problems": 1}.items()
    assert datetime.now(UTC) - datetime.fromisoformat(lines[-1]["at"]) < timedelta(days=1)


def test_no_text_can_pretend_to_be_another_line(no_log: None, capsys: pytest.CaptureFixture[str]) -> None:
    for format in ("text", "json"):
        log.begin(Log(format=format, level="warning"))
        log.line("info", "this is too little to be said")
        log.line("warning", 'a\n2026 info event="all is well"\x1b[31m\x9b', customer=5, run=None)
        (line,) = capsys.readouterr().err.splitlines()
        assert line.isprintable()
    assert json.loads(line)["event"].startswith("a\n2026")
    assert "run" not in json.loads(line)


def test_progress_is_bars_on_a_terminal_and_elsewhere_a_line_per_stage(
    played: Callmart, no_log: None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(played.settings, monkeypatch)
    for is_terminal in (False, True):
        monkeypatch.setattr(terminal, "err", Console(stderr=True, force_terminal=is_terminal, width=100))
        with terminal.progress() as step:
            for number in range(3):
                step("land", "Voorbeeld.csv", number, 2)
        said = capsys.readouterr().err
        if is_terminal:
            assert "━" in said
        else:
            (line,) = said.splitlines()
            assert line.endswith('info event="land: 2 of 2"')


def test_status_begins_with_the_last_run(
    quick: Callmart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(quick.settings, monkeypatch)

    def status(*, as_json: bool = False) -> str:
        looking.status_(as_json)
        return capsys.readouterr().out

    assert status().startswith("last run: none yet\n")
    assert json.loads(status(as_json=True))["run"] is None
    night(quick)
    assert status().startswith("last run: done; it began on ")
    found = json.loads(status(as_json=True))
    assert [one["stage"] for one in found["run"]["stages"]] == STAGES
    assert datetime.fromisoformat(found["run"]["ended_at"]) == last(quick).ended_at
    assert found["customers"][0]["customer_id"] == NAMED
    quick.rows("update ops.run set outcome = 'problems', problems = 2 returning 1")
    assert status().startswith("last run: problems, 2 to look at: its output and log name them; it began on ")
    quick.rows("insert into ops.run default values returning 1")
    assert status().startswith("last run: died; it began on ")
    monkeypatch.setattr(stages, "land_folders", lambda *_: shown.append(status()))
    shown: list[str] = []
    night(quick)
    assert shown[0].startswith("a run is at work since ")
    assert shown[0].splitlines()[0].endswith(" (land)")


def test_a_database_that_is_lost_before_the_first_stage_is_a_problem_of_the_run(
    quick: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lost(*_: Any) -> None:
        raise psycopg.OperationalError(SECRET)

    with monkeypatch.context() as patch:
        patch.setattr(run, "Record", lost)
        assert night(quick).problems == [run.LOST]
    assert night(quick).problems == []
