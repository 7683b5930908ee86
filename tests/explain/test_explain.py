"""The contacts behind a number add up to it, whoever asks for what; and nobody learns more than the number says."""

import csv
import json
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from itertools import count
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmart.base.errors import UserError
from callmart.cli import demo, main
from callmart.declarations import dbt_project, metrics
from callmart.explain import comparing, contacts, explaining, other_list, question, written
from callmart.explain.explaining import Explained
from callmart.explain.question import MART, Question
from callmart_home import Callmart, leave_dirty
from centre import ANONYMOUS, DAYS, NAMED, NONE, STANDARD, WITH_DATA, queue_of
from commands import use
from events import AMSTERDAM, DAY, DETAILED, at, ndjson, registry
from events import STANDARD as STANDARD_CONTRACT

STAFFING = {"staffed_s", "needed_s"}


@pytest.fixture
def owner(played: Callmart) -> Iterator[psycopg.Connection]:
    with played.connect() as connection:
        connection.execute("set transaction isolation level repeatable read")
        yield connection
        connection.rollback()


def every_measure(callmart: Callmart) -> list[question.Measure]:
    """Every column that can be summed, every ratio and every variant; but for staffing."""
    mart = next(mart for mart in dbt_project.marts(callmart.settings) if mart.name == MART)
    named: list[tuple[str, str | None]] = [(column, None) for column in mart.additive]
    for metric in metrics.metrics().values():
        if metric.mart == MART:
            named += [(metric.name, None), *((metric.name, one.name) for one in metric.variants)]
    found = [question.measure(callmart.settings, *one) for one in named]
    return [measure for measure in found if not measure.columns & STAFFING]


def ask(
    callmart: Callmart,
    connection: psycopg.Connection,
    customer: int,
    name: str,
    days: Sequence[date] = DAYS,
    queue: str | None = None,
    variant: str | None = None,
) -> Question:
    measure = question.measure(callmart.settings, name, variant)
    return question.ask(connection, measure, customer, queue, days[0], days[-1])


@pytest.mark.parametrize("customer", WITH_DATA)
def test_every_number_is_the_sum_of_its_contacts(
    played: Callmart, owner: psycopg.Connection, customer: int
) -> None:
    """The number is what customers see; the contacts are computed anew."""
    asked = ask(played, owner, customer, "offered")
    contacts.compute(owner, played.settings, asked)
    measures = every_measure(played)
    assert len(measures) > 70
    empty = set()
    for measure in measures:
        one = Question(measure, customer, asked.zone, asked.queues, asked.labels, asked.first, asked.last)
        counted = [contact for contact in contacts.read(owner, one) if contact.is_counted]
        totals = contacts.totals(owner, one)
        assert tuple(map(sum, zip(*(c.parts for c in counted), strict=True))) == totals.sums or not any(
            totals.sums
        )
        assert bool(counted) == any(totals.sums)
        if not counted:
            empty.add(measure.name)
    assert len(empty) < len(measures) / 3, "few numbers are 0 here, or nothing would be proved"
    seen = played.rows("select sum(offered) as n from mart.queue_interval", customer_id=customer)
    assert contacts.totals(owner, asked).number == seen[0]["n"] > 0


def test_a_ratio_is_what_its_view_says(played: Callmart, owner: psycopg.Connection) -> None:
    answer = explaining.explain(owner, played.settings, ask(played, owner, NAMED, "service_level", DAYS[:1]))
    (seen,) = played.rows(
        "select service_level from mart.queue_ratios where call_date = %s", DAYS[0], customer_id=NAMED
    )
    assert answer.adds_up
    assert answer.totals.number == seen["service_level"]
    kept, of = answer.sums
    assert 0 < kept < of == len(answer.counted)


# -- who may know what -------------------------------------------------------------------------------------------------

CENTRE, ONLY, TWO = 501, 502, 503
Event = tuple[str, str, str, dict[str, Any]]  # call, name, time, and what else is told
TOLD: list[Event] = [
    ("a", "queue_joined", "10:00", {}),
    ("a", "agent_connected", "10:00:20.4", {"agent": "x"}),
    ("a", "agent_released", "10:01:20.4", {"agent": "x", "reason": "caller"}),
    ("b", "queue_joined", "10:02", {}),
    ("b", "queue_left", "10:02:03", {"reason": "abandoned"}),
    ("c", "queue_joined", "10:03", {}),
    ("c", "queue_left", "10:04", {"reason": "timeout"}),
    ("c", "queue_joined", "10:04", {"queue": "s"}),
    ("c", "agent_connected", "10:04:05", {"queue": "s", "agent": "x"}),
    ("c", "agent_released", "10:05", {"queue": "s", "agent": "x", "reason": "transfer"}),
    ("c", "queue_joined", "10:05:01", {}),
    ("c", "queue_left", "10:05:31", {"reason": "key"}),
    ("d", "queue_refused", "10:06", {"reason": "full"}),
    ("e", "queue_joined", "23:59:30", {}),
    ("e", "queue_left", "00:00:10", {"reason": "withdrawn", "day": 1}),
]
SECOND_AGENT: list[Event] = [
    ("f", "queue_joined", "11:00", {}),
    ("f", "agent_connected", "11:00:05", {"agent": "y"}),
    ("f", "agent_released", "11:01:05", {"agent": "y", "reason": "agent"}),
]


def told(*rows: Event) -> str:
    return ndjson(
        *(
            {
                "queue": "q",
                "event": name,
                "call_id": call,
                "occurred_at": at(clock, more.get("day", 0)).isoformat(),
            }
            | {key: value for key, value in more.items() if key != "day"}
            for call, name, clock, more in rows
        )
    )


@pytest.fixture(scope="module")
def centre(make_callmart: Any) -> Callmart:
    """The same day of three customers; one has two agents in a queue, another a label."""
    callmart: Callmart = make_callmart(ready=True)
    callmart.apply(
        registry(
            f"id: {CENTRE}, {DETAILED}, queues: [{{name: q, label: Vragen}}]",
            f"id: {ONLY}, {STANDARD_CONTRACT}",
            f"id: {TWO}, {STANDARD_CONTRACT}",
        )
    )
    for customer in (CENTRE, ONLY, TWO):
        callmart.land_text(told(*TOLD, *(SECOND_AGENT if customer == TWO else [])), customer)
    callmart.build_unchecked()
    return callmart


def explained(callmart: Callmart, customer: int, name: str, day: date = DAY, **more: Any) -> Explained:
    with callmart.connect() as connection:
        asked = ask(callmart, connection, customer, name, [day], **more)
        answer = explaining.explain(connection, callmart.settings, asked)
        left = connection.execute(
            "select to_regclass('pg_temp.int_contact'), to_regclass('pg_temp.int_visit')"
        )
        assert left.fetchone() == (None, None)
    assert answer.adds_up
    return answer


def listed(answer: Explained) -> list[tuple[Any, ...]]:
    zone = answer.question.zone
    return [
        (f"{one.joined_at.astimezone(zone):%H:%M:%S}", one.queue, one.outcome, one.wait_s, *one.parts)
        for one in answer.counted
    ]


def test_a_definition_decides_which_contacts_are_behind_it(centre: Callmart) -> None:
    """The wait of 20.4 s is over the threshold, and an abandon after 3 s is short: left out of ours, in Cisco's."""
    ours = [
        ("10:00:00", "q", "answered", 20.4, 0, 1),
        ("10:03:00", "q", "timed_out", 60, 0, 1),
        ("10:05:01", "q", "left_by_key", 30, 0, 1),
        ("23:59:30", "q", "withdrawn", 40, 0, 1),
    ]
    assert listed(explained(centre, CENTRE, "service_level", queue="q")) == ours
    by_label = explained(centre, CENTRE, "service_level", queue="Vragen", variant="of all received")
    assert listed(by_label) == [ours[0], ("10:02:00", "q", "abandoned", 3, 0, 1), *ours[1:]]
    assert by_label.totals.number == 0
    assert listed(explained(centre, CENTRE, "refused_full")) == [("10:06:00", "q", "refused_full", None, 1)]
    assert listed(explained(centre, CENTRE, "talk_s")) == [
        ("10:00:00", "q", "answered", 20.4, 60),
        ("10:04:00", "s", "answered", 5, 55),
    ]


def test_where_a_call_was_before_is_said(centre: Callmart) -> None:
    answer = explained(centre, CENTRE, "offered")
    assert [
        (one.call, one.queue, one.came_from, one.came_after, one.overflowed_to) for one in answer.counted
    ] == [
        (1, "q", None, None, None),
        (2, "q", None, None, None),
        (3, "q", None, None, "s"),
        (3, "s", "q", "timed_out", None),
        (3, "q", "s", "answered", None),
        (5, "q", None, None, None),
    ]


@pytest.mark.parametrize("name", ["talk_s", "average_handling_time", "transfer_rate", "rings"])
def test_the_work_of_an_only_agent_stays_hidden(centre: Callmart, name: str) -> None:
    answer = explained(centre, ONLY, name)
    assert (answer.counted, answer.totals.number, answer.totals.hidden_days) == ((), None, 1)
    assert not any(any(one.parts) for one in answer.others)


def test_a_ratio_that_takes_hidden_work_for_0_does_not_show_it(centre: Callmart) -> None:
    """Whoever declares ratios could otherwise declare the rule of two agents away."""
    over, per = metrics.parse("answered + talk_s?"), metrics.parse("offered")
    measure = question.Measure("x", None, {"over": over, "per": per}, metrics.Ratio(over=over, per=per))
    with centre.connect() as connection:
        asked = question.ask(connection, measure, ONLY, "s", DAY, DAY)
        answer = explaining.explain(connection, centre.settings, asked)
    assert answer.adds_up
    assert listed(answer) == [("10:04:00", "s", "answered", 5, 1, 1)]


def test_of_two_agents_it_is_shown_and_nobody_is_named(centre: Callmart) -> None:
    answer = explained(centre, TWO, "talk_s", queue="q")
    assert listed(answer) == [("10:00:00", "q", "answered", 20.4, 60), ("11:00:00", "q", "answered", 5, 60)]
    keys = centre.rows("select agent_key from raw.event where agent_key is not null")
    assert keys and not any(row["agent_key"] in repr(answer) for row in keys)


def test_a_question_leaves_its_entry_and_nothing_else(centre: Callmart) -> None:
    """A build that waits to be checked stays what it was."""
    with centre.connect() as connection:
        tables = (
            "select oid, relname from pg_class where relnamespace <> 'pg_toast'::regnamespace order by oid"
        )
        before = connection.execute(tables).fetchall(), connection.execute("table build.window").fetchall()
    explained(centre, CENTRE, "service_level", queue="q", variant="of all received")
    with centre.connect() as connection:
        assert (
            connection.execute(tables).fetchall(),
            connection.execute("table build.window").fetchall(),
        ) == before
    (entry,) = centre.rows(
        "select customer_id, details - 'by' as details from ops.audit_log where action = 'explained'"
        " order by entry desc limit 1"
    )
    assert entry == {
        "customer_id": CENTRE,
        "details": {
            "metric": "service_level", "variant": "Cisco, abandoned contacts count against; COPC, of all received",
            "from": str(DAY), "to": str(DAY), "queues": 1, "contacts": 5,
        },
    }  # fmt: skip


# -- the command -------------------------------------------------------------------------------------------------------

Said = tuple[int, str, str]


@pytest.fixture
def command(centre: Callmart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    use(centre.settings, monkeypatch)

    def command(*words: str) -> Said:
        monkeypatch.setattr("sys.argv", ["callmart", "explain", *words])
        with pytest.raises(SystemExit) as ended:
            main.main()
        said = capsys.readouterr()
        return int(ended.value.code or 0), said.out, said.err

    return command


Q = ("--customer", str(CENTRE), "--from", str(DAY))

MISTAKES = {
    "metric": (("answerd", *Q), "there is no metric answerd: write answered"),
    "a column that can't be summed": (("wait_max_s", *Q), "wait_max_s can't be summed"),
    "a column of another mart": (("repeat_callers_day", *Q), "repeat_callers_day is a column of queue_day, and only"),
    "a ratio of agents": (("occupancy", *Q), "occupancy is a ratio of agent_day"),
    "staffing": (("agents_present", *Q), "agents_present counts no contacts (staffed_s)"),
    "variant": (("service_level", *Q, "--variant", "cisco"), "--variant does not name one variant of service_level"),
    "variant of a column": (("offered", *Q, "--variant", "cisco"), "offered is a column, which has no variants"),
    "no variants": (("overflow_rate", *Q, "--variant", "x"), "overflow_rate has no variants"),
    "customer": (("offered", "--customer", "9", "--from", str(DAY)), "there is no customer 9"),
    "queue": (("offered", *Q, "--queue", "qq"), f"customer {CENTRE} has no queue qq on these days: write "),
    "no day": (("offered", *Q[:3], "yesterday"), "--from: yesterday is not a date"),
    "a day without data": (("offered", *Q[:3], "2025-12-31"), "from 2025-12-31 to 2025-12-31 is there: there are"),
    "a day to come": (("offered", *Q, "--to", "2199-01-01"), "2199-01-01 has not come yet"),
    "backwards": (("offered", *Q, "--to", "2026-01-01"), "exchange them"),
    "no such list": (("offered", *Q, "--against", "/nowhere.csv"), "/nowhere.csv: No such file or directory"),
    "time zone": (("offered", *Q, "--against", "/nowhere.csv", "--timezone", "CE"), "--timezone CE is no time zone"),
    "form": (("offered", *Q, "--out", "x.pdf"), "--out x.pdf is no .csv"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_sentence(centre: Callmart, command: Any, words: Sequence[str], said: str) -> None:
    before = centre.rows("select count(*) as n from ops.audit_log")
    code, out, err = command(*words)
    assert (code, out, len(err.splitlines())) == (2, "", 1)
    assert err.startswith("error: ") and said in err
    assert centre.rows("select count(*) as n from ops.audit_log") == before


def test_a_customer_without_a_contract_has_no_numbers(played: Callmart, owner: psycopg.Connection) -> None:
    with pytest.raises(UserError, match=f"customer {NONE} has no contract today"):
        ask(played, owner, NONE, "offered")


def test_a_day_that_is_not_what_raw_says_is_refused(played: Callmart) -> None:
    with played.connect() as connection:
        leave_dirty(connection, [(NAMED, DAYS[1])])
        with pytest.raises(
            UserError, match=f"{DAYS[1]} of customer {NAMED} is not computed yet: run `callmart run`"
        ):
            ask(played, connection, NAMED, "offered")
        assert ask(played, connection, NAMED, "offered", DAYS[:1]).queues
        connection.execute(
            "insert into ops.held_back (customer_id, call_date, build_id, cause) values (%s, %s, 1, 'x')",
            [STANDARD, DAYS[0]],
        )
        with pytest.raises(UserError, match=f"{DAYS[0]} of customer {STANDARD} is held back by its checks"):
            ask(played, connection, STANDARD, "offered")
        assert ask(played, connection, ANONYMOUS, "offered").queues == (queue_of(ANONYMOUS),)
        connection.rollback()


def test_the_answer_is_a_table_a_file_and_json(command: Any, tmp_path: Path) -> None:
    code, out, err = command("service_level", *Q, "--queue", "q", "--out", str(tmp_path / "x.csv"))
    assert (code, err) == (0, "")
    assert f"service_level of customer {CENTRE}, {DAY} to {DAY}: 0 (over 0, per 4)" in out
    assert "behind it 4 contacts; they add up to it" in out
    with (tmp_path / "x.csv").open(encoding="utf-8-sig") as file:
        rows = list(csv.DictReader(file))
    assert [row["outcome"] for row in rows] == ["answered", "timed_out", "left_by_key", "withdrawn"]
    assert rows[0]["joined"] == str(at("10:00"))
    assert (tmp_path / "x.csv").stat().st_mode & 0o077 == 0

    assert command("abandoned", *Q, "--queue", "s", "--out", str(tmp_path / "none.csv"))[0] == 0
    head, *none = (tmp_path / "none.csv").read_text(encoding="utf-8-sig").splitlines()
    assert none == [] and head.split(",") == [*written.CONTACT, "value"]

    code, out, _ = command("service_level", *Q, "--queue", "q", "--json")
    told = json.loads(out)
    assert code == 0 and told["adds_up"] and told["sums"] == {"over": 0, "per": 4} == told["sums_of_contacts"]
    assert [
        {name: str(one[name] or "") for name in row} for one, row in zip(told["contacts"], rows, strict=True)
    ] != []


def test_a_number_that_its_contacts_do_not_make_is_said(centre: Callmart, command: Any) -> None:
    change = "update store.queue_interval set answered = answered + {} where customer_id = %s and queue = 's'"
    with centre.connect() as connection:
        connection.execute(change.format(1).encode(), [CENTRE])
    try:
        code, out, err = command("answered", *Q)
        assert code == 1 and "they do NOT add up to it" in out
        assert "the contacts add up to (2,), and the mart says (3,)" in err
        assert command("abandoned", *Q)[0] == 0
    finally:
        with centre.connect() as connection:
            connection.execute(change.format(-1).encode(), [CENTRE])


def test_another_list_is_compared(command: Any, tmp_path: Path) -> None:
    """It has the short abandon, but not the contact that was transferred into the queue; and it cuts days by UTC."""
    rows = [("10:00", "answered", 20), ("10:02", "abandoned", 3), ("10:03", "timed_out", 60)]
    lines = [f"{at(clock).isoformat()},q,{outcome},{wait}" for clock, outcome, wait in rows]
    (tmp_path / "list.csv").write_text("\n".join(["moment,queue,outcome,wait", *lines]))
    words = ("service_level", *Q, "--queue", "q", "--against", str(tmp_path / "list.csv"))
    code, out, _ = command(*words, "--json")
    against = json.loads(out)["against"]
    assert (code, against["here"], against["there"], against["same"]) == (0, 4, 3, 2)
    assert [(one["side"], one["why"]) for one in against["differences"]] == [
        ("only there", "short"),
        ("only here", "transferred"),
        ("only here", "withdrawn"),
    ]
    code, out, _ = command(*words)
    assert "against: 4 contacts here, 3 there: 2 the same on both sides" in out
    assert re.search(r"1 only here: transferred", out)


# -- a real recording --------------------------------------------------------------------------------------------------

TRUTH = demo.EXAMPLE / "asterisk" / "ground_truth_visits.csv"
OUTCOMES = {
    "answered": "answered", "answered_open_at_stop": "answered", "answered_by_pickup": "answered",
    "abandoned": "abandoned", "abandoned_in_announce": "abandoned", "redirected_by_ami": "abandoned",
    "timeout": "timed_out", "exitkey": "left_by_key", "exitempty": "left_empty", "withdraw": "withdrawn",
    "waiting_at_stop": "still_open", "refused_full": "refused_full", "refused_empty": "refused_empty",
}  # fmt: skip
RECORDED = 601


def midnight(day: date) -> float:
    return datetime.combine(day, time(), AMSTERDAM).timestamp()


def test_what_the_callers_did_is_reconciled_to_the_contact(centre: Callmart, tmp_path: Path) -> None:
    """The list is what the driver of the recording wrote down. It has the calls that were refused, which the log lacks.
    Of two contacts it does not say when they joined klantenservice: they left another queue by a key.
    """
    centre.apply(registry(f"id: {RECORDED}, {DETAILED}"))
    mondays = (DAY - timedelta(days=DAY.weekday(), weeks=weeks) for weeks in count())
    monday = next(monday for monday in mondays if not demo.missing(monday))
    day = monday + timedelta(days=demo.RECORDED_ON.weekday())
    demo.move_recording("queue_log", tmp_path / "queue_log", monday)
    centre.land(tmp_path / "queue_log", RECORDED)
    centre.build_unchecked()
    moved_s = midnight(day) - midnight(demo.RECORDED_ON)
    with TRUTH.open() as file:
        visits = [
            visit for visit in csv.DictReader(file) if visit["outcome"] in OUTCOMES and visit["t_enter"]
        ]
    with (tmp_path / "list.csv").open("w") as file:
        writer = csv.writer(file)
        writer.writerow(["moment", "queue", "outcome"])
        for visit in visits:
            joined = float(visit["t_enter"])
            moment = datetime.fromtimestamp(joined + moved_s, UTC)
            writer.writerow([moment.isoformat(), visit["queue"], OUTCOMES[visit["outcome"]]])
    refused = sum(visit["outcome"].startswith("refused") for visit in visits)
    answer = explained(centre, RECORDED, "offered", day=day)
    compared = comparing.compare(answer, other_list.read(tmp_path / "list.csv", None), timedelta(seconds=2))
    assert (compared.here, compared.there, compared.same) == (354, 352 + refused, 352)
    only_there = [one.there for one in compared.differences if one.side == "only there"]
    assert {one.outcome for one in only_there if one} == {"refused_full", "refused_empty"}
    only_here = [one.here for one in compared.differences if one.side == "only here"]
    assert [one.queue for one in only_here if one] == ["klantenservice"] * 2
    assert len(only_there) + len(only_here) == len(compared.differences) == refused + 2
