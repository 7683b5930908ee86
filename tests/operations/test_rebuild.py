"""A rebuild computes again what is of an earlier definition, and nothing else comes back or changes by it."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from math import inf

import psycopg
import pytest

from callmart.base.progress import quietly
from callmart.base.raw_format import LONGEST_PHASE
from callmart.base.settings import Rebuild
from callmart.build import window
from callmart.cli import main
from callmart.database.lock import exclusive
from callmart.opening import opening
from callmart.operations import rebuild, stages, status
from callmart.operations.rebuild import Chosen, Plan, Rebuilt
from callmart.validate import suites
from callmart_home import Callmart, hold_back
from centre import ANONYMOUS, DAYS, NAMED, NONE, STANDARD, agent_of
from commands import use
from erasing import erase, key_of, person
from nights import Crash, night, outcome
from outdated import MORE, make_outdated, offered

pytestmark = [pytest.mark.thorough, pytest.mark.usefixtures("unchecked", "trusted")]
ALL = Chosen()


def planned(callmart: Callmart, chosen: Chosen = ALL) -> Plan:
    with callmart.connect() as owner:
        return rebuild.plan(owner, callmart.settings, chosen)


def rebuilt(callmart: Callmart, chosen: Chosen = ALL, budget_s: float = inf) -> Rebuilt:
    with callmart.connect() as owner:
        return rebuild.rebuild(owner, callmart.settings, chosen, quietly, budget_s)


def crash(*_: object) -> None:
    raise Crash


@pytest.fixture
def restored(played: Callmart) -> Iterator[Callmart]:
    """Afterwards nothing is outdated."""
    yield played
    rebuilt(played)
    assert planned(played).due == 0


def test_nothing_is_outdated_at_first(played: Callmart) -> None:
    assert planned(played) == Plan((), 0, 0, 0, 0, 0, 0, 0, None, 0)
    assert rebuilt(played) == Rebuilt(0, 0, 0)
    with played.connect() as owner:
        assert status.earlier(owner) == []


def test_killed_twice_it_ends_as_if_computed_afresh(
    restored: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Until a piece has passed its checks, customers see the former values."""
    frozen = ("usage.function_month", "raw.function_use")
    restored.rows("insert into raw.function_use values ('2026-01-01', 'queue_answer', 1001, 7) returning 1")
    restored.rows("insert into usage.function_month values ('2026-01-01', 'queue_answer', 7) returning 1")
    fresh, seen = outcome(restored), offered(restored)
    kept = [restored.rows(f"table {table}") for table in frozen]
    make_outdated(restored)
    assert (planned(restored).due, [one.days for one in planned(restored).marts]) == (9, [9])
    former = offered(restored)
    assert all(former[customer] > seen[customer] + MORE for customer in seen)

    monkeypatch.setattr(rebuild, "FIRST_PIECE", 4)
    for stage in ("suites.validate", "opening.open_build"):
        with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
            patch.setattr(f"callmart.operations.rebuild.{stage}", crash)
            rebuilt(restored)
        assert offered(restored) == former
    assert (planned(restored).due, planned(restored).waiting) == (1, 8)

    steps: list[tuple[str, int, int]] = []
    with restored.connect() as owner:
        done = rebuild.rebuild(
            owner, restored.settings, ALL, lambda item, finished, of: steps.append((item, finished, of))
        )
    assert done == Rebuilt(1, 0, 0)
    assert (f"customer {STANDARD}: queue_interval", 0, 1) in steps
    assert steps[-1] == ("", 1, 1)
    assert offered(restored) == seen
    assert outcome(restored) == fresh
    assert [restored.rows(f"table {table}") for table in frozen] == kept
    assert rebuilt(restored) == Rebuilt(0, 0, 0)


def test_only_what_is_chosen(restored: Callmart) -> None:
    make_outdated(restored)
    before = offered(restored)
    day = DAYS[-1]
    assert rebuilt(restored, Chosen("queue_interval", NAMED, day, day)) == Rebuilt(1, 0, 0)
    assert planned(restored, Chosen(mart="line_interval")).due == 0
    assert planned(restored, Chosen(customer_id=NAMED)).due == 2
    after = offered(restored)
    assert after[NAMED] < before[NAMED]
    assert (after[ANONYMOUS], after[STANDARD]) == (before[ANONYMOUS], before[STANDARD])


def test_what_its_checks_hold_back_stays_held_back(
    restored: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The others go on, until so many are held back that the definition must be wrong."""
    make_outdated(restored)
    before = offered(restored)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(suites, "validate", hold_back(NAMED))
        assert rebuilt(restored) == Rebuilt(9, 3, 0)
        after = offered(restored)
        assert after[NAMED] == before[NAMED]
        assert after[STANDARD] < before[STANDARD]
        assert (planned(restored).due, planned(restored).waiting) == (0, 3)

        make_outdated(restored, f"customer_id = {STANDARD}")
        patch.setattr(rebuild, "HELD_BACK_MOST", 3)
        stopped = rebuilt(restored)
        assert (stopped.days, stopped.held_back, stopped.left) == (0, 3, 3)
        (problem,) = stopped.problems
        assert problem.startswith("the rebuild stopped, because 3 days that it computed are held back")
    with restored.connect() as owner:  # the definition is right again
        window.build(owner, restored.settings, quietly)
        suites.validate(owner, restored.settings, quietly)
        opening.open_build(owner, restored.settings)
    assert restored.rows("select 1 from ops.held_back union all select 1 from ops.dirty_day") == []
    assert rebuilt(restored) == Rebuilt(3, 0, 0)


def test_who_was_erased_or_objects_does_not_come_back(restored: Callmart) -> None:
    until = datetime.combine(DAYS[-1] + timedelta(days=1), datetime.min.time(), UTC)
    who = person(restored, NAMED, "agent", agent_of(NAMED), until)
    (key,) = who.keys
    agents = f"select count(*) as n from store.agent_day where agent_key = '{key}'"
    assert restored.rows(agents)[0]["n"] == len(DAYS), "a control"
    erase(restored, who)
    make_outdated(restored)
    plan = planned(restored, Chosen(customer_id=NAMED))
    assert (plan.due, plan.before_erasure, plan.with_objectors) == (3, 3, 0)
    rebuilt(restored)
    assert restored.rows(agents)[0]["n"] == 0
    assert key_of(restored, NAMED)


# -- the night ---------------------------------------------------------------------------------------------------


def test_a_night_computes_what_its_minutes_allow(restored: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    """After what is new, and before the extracts, which are then not behind."""
    monkeypatch.setattr(stages, "publish", quietly)
    monkeypatch.setattr(stages, "write_extracts", quietly)
    make_outdated(restored, f"customer_id = {STANDARD}")
    none = Callmart(restored.settings.model_copy(update={"rebuild": Rebuild(minutes_per_night=0)}))
    assert (night(none).rebuilt_days, planned(restored).due) == (0, 3)
    restored.rows(
        "insert into ops.run_stage (run_id, stage, began_at, ended_at, outcome)"
        " select max(run_id), 'rebuild', now(), now() + interval '30 minutes', 'done' from ops.run returning 1"
    )
    assert (night(restored).rebuilt_days, planned(restored).due) == (0, 3), (
        "an earlier run of the day took them"
    )
    restored.rows(
        "update ops.run set began_at = began_at - interval '1 day' where run_id in"
        " (select run_id from ops.run_stage where counts = '{}' and stage = 'rebuild') returning 1"
    )
    ran = night(restored)
    assert (ran.rebuilt_days, ran.problems) == (3, [])
    done = restored.rows(
        "select stage, counts ->> 'days' as days from ops.run_stage where run_id = (select max(run_id) from ops.run)"
        " order by began_at"
    )
    names = [one["stage"] for one in done]
    assert names.index("opening") + 1 == names.index("rebuild") < names.index("extract")
    assert [one["days"] for one in done if one["stage"] == "rebuild"] == ["3"]
    assert (planned(restored).due, planned(restored).measured_days) == (0, 3)


@pytest.mark.parametrize(
    ("seconds_per_day", "seconds_left", "days"),
    [
        (None, inf, rebuild.FIRST_PIECE),
        (None, 1, rebuild.FIRST_PIECE),
        (None, 0, 0),
        (0.1, inf, rebuild.PIECE),
        (0.1, 5, 50),
        (2, 1, 0),
        (1000, inf, 1),
        (3, inf, rebuild.PIECE_S // 3),
    ],
)
def test_a_piece_is_as_large_as_time_allows(
    seconds_per_day: float | None, seconds_left: float, days: int
) -> None:
    assert rebuild._size(seconds_per_day, seconds_left) == days


# -- wrong input -------------------------------------------------------------------------------------------------

REFUSED = {
    "--mart=queue_intervall": "no mart queue_intervall is declared: write queue_interval, or another of",
    "--customer=77": "there is no customer 77: `callmart status` lists them",
    f"--customer={NONE}": "none of these days is open",
    "--from=2026-03-02 --to=2026-03-01": "--from 2026-03-02 is after --to 2026-03-01: exchange them",
    "--from=yesterday": "--from: yesterday is not a date",
    "--to=2001-01-01": "none of these days is open",
}


def say(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    monkeypatch.setattr("sys.argv", ["callmart", "rebuild", *words])
    with pytest.raises(SystemExit) as ended:
        main.main()
    said = capsys.readouterr()
    return int(ended.value.code or 0), " ".join((said.out + said.err).split())


def test_wrong_input_is_one_sentence(
    played: Callmart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(played.settings, monkeypatch)
    for words, sentence in REFUSED.items():
        for more in ("--plan", "--json"):
            code, said = say(monkeypatch, capsys, *words.split(), more)
            assert (code, said.count("error:")) == (2, 1), words
            assert f"error: {sentence}" in said
    with played.connect() as owner, exclusive(owner):
        code, said = say(monkeypatch, capsys)
        assert (code, "another callmart run is at work" in said) == (2, True)


def test_the_plan_says_what_it_costs_and_what_cant_be_given_back(
    restored: Callmart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    use(restored.settings, monkeypatch)
    make_outdated(restored, without="held")
    code, said = say(monkeypatch, capsys, "--plan")
    assert code == 0
    for part in (
        f"queue_interval 9 3 {DAYS[0]} {DAYS[-1]}",
        "it takes about 1 minute,",
        "rebuild: 9 days are of an earlier definition",
    ):
        assert part in said
    code, said = say(monkeypatch, capsys)
    assert (code, "rebuild: 9 days computed again, 0 left, the next run publishes it" in said) == (0, True)
    assert say(monkeypatch, capsys)[1].endswith("rebuild: nothing to do")


# -- mutants -----------------------------------------------------------------------------------------------------

STATES = f"""
    insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id) values
    ({NONE}, current_date - 40, 'queue_interval', 0, 1), ({NAMED}, access.retention_floor() - 1, 'queue_day', 0, 1);
    insert into ops.dirty_day (customer_id, call_date, cause) values ({NAMED}, '{DAYS[0]}', 'person');
    insert into privacy.closed (customer_id, cause) values ({ANONYMOUS}, 'differs');
"""


def wrong(callmart: Callmart) -> list[str]:
    """What is wrong in how days are chosen and marked. Nothing of it is kept."""
    found = []
    with callmart.connect() as owner:
        owner.execute(STATES)
        rebuild._find(owner, callmart.settings, ALL)
        (row,) = owner.execute(rebuild.SQL["limits"], {"longest_phase": LONGEST_PHASE}).fetchall()
        if row[:4] != (4, 1, 2, 3):
            found.append(f"counted {row}")
        due = owner.execute(rebuild.SQL["due"]).fetchall()
        wanted = [(NAMED, day) for day in DAYS[:0:-1]] + [(STANDARD, day) for day in DAYS[1::-1]]
        if due != wanted:
            found.append("other days are due")
        everything = {"customers": [NAMED], "days": [DAYS[0]], "by": "a test"}
        owner.execute("alter table ops.dirty_day disable trigger keep_person")
        owner.execute(rebuild.SQL["mark"], everything)
        if owner.execute("select cause from ops.dirty_day").fetchall() != [("person",)]:
            found.append("a request of a person lost its day")
        owner.rollback()
    return found


MUTANTS = {
    "too old": ("outdated", "or o.call_date < access.retention_floor()", ""),
    "no contract": ("outdated", "k.customer_id is null or", ""),
    "closed": ("outdated", "when c.customer_id is not null then 'closed'", ""),
    "waiting": ("outdated", "when d.call_date is not null then 'waiting'", ""),
    "never computed": ("outdated", "or o.definition_id is null", ""),
    "every definition": ("outdated", "and d.definition_id <> all(%(present)s)", ""),
    "the oldest first": ("due", "call_date desc", "call_date asc"),
    "what is not due": ("due", "where state = 'due'", ""),
    "another cause": (
        "mark",
        "on conflict do nothing",
        "on conflict (customer_id, call_date) do update set cause = 'rebuild'",
    ),
}


def test_every_mutant_of_the_choice_is_noticed(restored: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    make_outdated(restored, f"not (customer_id = {STANDARD} and call_date = '{DAYS[-1]}')")
    assert wrong(restored) == []
    for name, (statement, old, new) in MUTANTS.items():
        with pytest.MonkeyPatch.context() as patch:
            assert rebuild.SQL[statement].count(old) == 1, name
            patch.setitem(rebuild.SQL, statement, rebuild.SQL[statement].replace(old, new))
            try:
                assert wrong(restored), name
            except psycopg.Error:
                continue  # it breaks off
