"""The ratios: as others have worked them out, as a ratio of sums whatever is grouped, and seen by whose they are."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isclose
from pathlib import Path
from typing import Any

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callmart.access import drift, memberships
from callmart.base.errors import UserError, saying_mistakes
from callmart.build import months
from callmart.declarations import dbt_project, dictionary, metrics
from callmart.declarations.metrics import Metric, Ratio, Sum, Term, parse
from callmart.opening import opening
from callmart_home import Callmart
from centre import DETAILED, NAMED, STANDARD, WITH_DATA, play
from tableau_files import marts
from wrong_project import wrong_project

pytestmark = pytest.mark.usefixtures("unchecked")

Rows = Sequence[Mapping[str, int | None]]


@pytest.fixture(scope="module")
def opened(played: Callmart) -> Callmart:
    """Three customers with open marts."""
    return played


@pytest.fixture(scope="module")
def owner(opened: Callmart) -> Iterator[psycopg.Connection]:
    with opened.connect() as connection:
        yield connection


# -- what the file says -----------------------------------------------------------------------------------------

NAMES = st.from_regex("[a-z_][a-z_0-9]{0,9}", fullmatch=True)


@st.composite
def sums(draw: st.DrawFn, names: st.SearchStrategy[str] = NAMES) -> Sum:
    columns = draw(st.lists(names, min_size=1, max_size=5, unique=True))
    return Sum(
        tuple(
            Term(column, not i or draw(st.booleans()), draw(st.booleans()))
            for i, column in enumerate(columns)
        )
    )


@given(sums(), st.sampled_from(["", " ", "\n  "]))
def test_a_sum_is_read_as_it_was_written(written: Sum, space: str) -> None:
    assert parse(str(written)) == written
    assert parse(re.sub(" ?([+-]) ?", rf"{space}\1{space}", f"{space}{written}{space}")) == written


@pytest.mark.parametrize(
    "written",
    ["", "a b", "a +", "- a", "a * b", "a??", "a + (b)", "2", "a - a", "A", "sum(a)", "a; b", None, 1],
)
def test_what_is_no_sum_is_refused(written: object) -> None:
    with pytest.raises(ValueError, match=r"not a sum of columns; write it as|twice; keep one"):
        parse(written)


ONE = """\
metrics:
  - name: talk
    mart: queue_interval
    unit: seconds
    over: talk_s + hold_s?
    per: answered
    caption: {nl: Gesprek, en: Talk}
    description: {nl: Gesprek, en: Talk}
    source: nobody
    caveats: none
"""
MISTAKES = {
    "no YAML": ("metrics: [", "correct the YAML there"),
    "nothing": ("", "Input should be a valid dictionary"),
    "no metrics": ("metrics: []", "metrics: List should have at least 1 item"),
    "unknown key": (
        ONE + "    formula: x\n",
        "metrics.talk.formula: unknown key; remove or correct it",
    ),
    "no caption in Dutch": (
        ONE.replace("{nl: Gesprek, en", "{en"),
        "metrics.talk.caption.nl: Field required",
    ),
    "an empty text": (ONE.replace("source: nobody", "source: ' '"), "metrics.talk.source: String should"),
    "a number for a text": (
        ONE.replace("nobody", "1"),
        "metrics.talk.source: Input should be a valid string",
    ),
    "no sum": (ONE.replace("hold_s?", "2 * hold_s"), "metrics.talk.over: not a sum of columns; write it as"),
    "a column twice": (ONE.replace("hold_s?", "talk_s"), "metrics.talk.over: a column is in it twice"),
    "with and without": (
        ONE.replace("per: answered", "per: hold_s"),
        "hold_s is there with and without `?`",
    ),
    "nothing known": (ONE.replace("per: answered", "per: answered?"), "every column of `per` is optional"),
    "unknown unit": (
        ONE.replace("seconds", "minutes"),
        "metrics.talk.unit: Input should be 'share', 'seconds' or 'agents'",
    ),
    "a name twice": (ONE + ONE.removeprefix("metrics:\n"), ": talk is there twice; keep one of the two"),
    "a variant": (
        ONE + "    variants: [{name: x, over: a, per: ''}]\n",
        "metrics.talk.variants.x.per: not a sum",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_a_sentence_with_file_line_place_and_remedy(tmp_path: Path, mistake: str) -> None:
    text, sentence = MISTAKES[mistake]
    file = tmp_path / "metrics.yml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        metrics.read(file)
    assert re.match(rf"{re.escape(str(file))} line \d+: ", str(caught.value))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


def one(**changed: object) -> Metric:
    return metrics.metrics()["average_talk_time"].model_copy(update=changed)


@pytest.mark.parametrize(
    ("metric", "sentence"),
    [
        (one(mart="queue_hour"), "there is no mart queue_hour; write "),
        (one(over=parse("talk")), "queue_interval.talk does not exist; write talk_s, or another of "),
        (one(over=parse("wait_max_s")), "queue_interval.wait_max_s can't be summed; write "),
        (one(over=parse("customer_id")), "queue_interval.customer_id can't be summed"),
        (one(over=parse("queue")), "queue_interval.queue can't be summed"),
        (one(name="offered"), "queue_interval has a column of that name; choose another"),
    ],
    ids=["mart", "column", "not additive", "key", "text", "name"],
)
def test_what_a_mart_does_not_hold_is_refused(metric: Metric, sentence: str) -> None:
    metrics.check(metrics.metrics().values(), marts())
    with pytest.raises(UserError, match=rf"^metrics.yml line \d+: {metric.name}: {re.escape(sentence)}"):
        metrics.check([metric], marts())


# -- the dictionary -------------------------------------------------------------------------------------------------


def test_the_dictionary_is_what_the_files_say(tmp_path: Path) -> None:
    copy = tmp_path / "metrics.md"
    copy.write_text(dictionary.FILE.read_text())
    dictionary.write(copy, marts(), metrics.metrics().values())
    assert copy.read_text() == dictionary.FILE.read_text(), f"run {dictionary.COMMAND}"


def test_a_mistake_ends_a_program_with_its_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    """The dictionary is written by one."""
    with pytest.raises(SystemExit) as ended, saying_mistakes():
        raise UserError("metrics.yml line 3: correct it")
    assert (ended.value.code, capsys.readouterr().err) == (2, "error: metrics.yml line 3: correct it\n")


def test_the_dictionary_has_every_column_and_ratio() -> None:
    written = dictionary.FILE.read_text()
    for mart in marts():
        table = written.partition(f": `{mart.name}`\n")[2].partition("\n### ")[0]
        for column in mart.columns:
            assert f"| `{re.sub(r'_le_[0-9]+$', '_le_N', column)}` |" in table, (mart.name, column)
    for name in metrics.metrics():
        assert f"`{name}`\n" in written


def test_every_column_is_described_and_says_when_it_is_null() -> None:
    for mart in marts():
        assert mart.description, mart.name
        for column in mart.declared:
            assert column.description.endswith("."), (mart.name, column.name)
            assert not column.nullable or "null" in column.description.lower(), (mart.name, column.name)


@pytest.mark.parametrize("what", ["marts", "ratios"])
def test_a_documentation_without_the_markers_is_left_alone(tmp_path: Path, what: str) -> None:
    file = tmp_path / "metrics.md"
    text = dictionary.FILE.read_text().replace(f"<!-- end of {what} -->\n", "")
    file.write_text(text)
    with pytest.raises(UserError, match=r"put `<!-- .* -->` and `<!-- .* -->` around them"):
        dictionary.write(file, marts(), metrics.metrics().values())
    assert file.read_text() == text


# -- worked examples ----------------------------------------------------------------------------------------------


def values(ratio: Ratio, rows: Rows) -> str:
    """The rows as a table that SQL can take from, with the columns of the ratio."""
    columns = sorted(
        {term.column for term in ratio.terms} | ({"interval_start"} if ratio.is_at_once else set())
    )
    lines = ", ".join(
        f"({', '.join('null::int' if row.get(c) is None else str(row[c]) for c in columns)})" for row in rows
    )
    return f"(values {lines}) as rows ({', '.join(columns)})"


def by_sql(owner: psycopg.Connection, ratio: Ratio, rows: Rows) -> float | None:
    (answer,) = owner.execute(f"select {metrics.as_sql(ratio)} from {values(ratio, rows)}").fetchall()[0]
    return answer  # type: ignore[no-any-return]


def by_tableau(owner: psycopg.Connection, ratio: Ratio, rows: Rows) -> float | None:
    """Tableau's formula, put into SQL word by word: its division is never of integers, and by 0 it is NULL."""
    formula = metrics.as_tableau(ratio)
    assert formula.count(" / ") == 1
    over, per = formula.split(" / ")
    said = f"{over}::double precision / nullif({per}, 0)"
    for pattern, replacement in (
        (r"NOT ISNULL\(\[(\w+)\]\)", r"\1 is not null"),
        (r"ZN\(\[(\w+)\]\)", r"coalesce(\1, 0)"),
        (r"\[(\w+)\]", r"\1"),
        (r"\bCOUNTD\(", "count(distinct "),
        (r"\bIF\b", "case when"),
        (r"\bTHEN\b", "then"),
        (r"\bEND\b", "end"),
    ):
        said = re.sub(pattern, replacement, said)
    (answer,) = owner.execute(f"select {said} from {values(ratio, rows)}").fetchall()[0]
    return answer  # type: ignore[no-any-return]


def named(name: str) -> Ratio:
    """A metric, or a variant of the service level by the beginning of its name."""
    if found := metrics.metrics().get(name):
        return found
    return next(v for v in metrics.metrics()["service_level"].variants if v.name.startswith(name))


# Cisco's example: 100 offered, 70 answered in time, 10 abandoned in time, the others later.
CISCO = {
    "offered": 100, "answered": 85, "abandoned": 15, "answered_in_threshold": 70, "abandoned_in_threshold": 10,
    "short_abandoned": 4,
}  # fmt: skip
# 120 offered: 90 answered of which 18 late, 20 abandoned of which 6 at once, 10 flowed out.
GENESYS = {
    "offered": 120, "answered": 90, "abandoned": 20, "answered_in_threshold": 72, "abandoned_in_threshold": 8,
    "short_abandoned": 6, "wait_answered_s": 1350, "wait_abandoned_s": 500, "overflowed": 6,
    "transferred_blind": 7, "transferred_attended": 2,
}  # fmt: skip
# Two hours of a queue at Amazon: 40 contacts handled, 10 of them put on hold 15 times.
AMAZON = {
    "answered": 40, "talk_s": 7200, "hold_s": 600, "wrapup_s": 1200, "contacts_held": 10, "holds": 15,
    "rings": 52, "rings_answered": 40, "rings_unanswered": 10,
}  # fmt: skip

EXAMPLES = [
    ("Cisco, abandoned contacts left out", CISCO, 70 / 90),
    ("Cisco, abandoned contacts count against", CISCO, 0.70),
    ("Cisco, abandoned contacts count as kept", CISCO, 0.80),
    ("service_level", CISCO, 70 / 96),
    ("abandonment_rate", CISCO, 11 / 96),
    ("answer_rate", CISCO, 85 / 96),
    ("service_level", GENESYS, (90 - 18) / (90 + 20 + 10 - 6)),
    ("Genesys Cloud, without flow-outs", GENESYS, (90 - 18) / (90 + 20)),
    ("Genesys Cloud, without flow-outs and short", GENESYS, (90 - 18) / (90 + 20 - 6)),
    ("Asterisk and Wazo, of those answered", GENESYS, 72 / 90),
    ("Asterisk, with those abandoned in time", GENESYS, (72 + 8) / (90 + 20)),
    ("average_speed_of_answer", GENESYS, 15.0),
    ("average_time_to_abandon", GENESYS, 25.0),
    ("overflow_rate", GENESYS, 0.05),
    ("transfer_rate", GENESYS, 0.1),
    ("average_handling_time", AMAZON, (7200 + 600 + 1200) / 40),
    ("average_talk_time", AMAZON, 180.0),
    ("average_hold_time", AMAZON, 60.0),
    ("average_wrapup_time", AMAZON, 30.0),
    ("ring_answer_rate", AMAZON, 0.8),
    ("occupancy", AMAZON | {"ready_s": 12500, "ring_s": 500}, 0.75),
    ("agent_average_handling_time", AMAZON | {"contacts": 30}, 300.0),
    ("agent_ring_answer_rate", AMAZON, 0.8),
    ("agents_present", {"interval_start": 9, "staffed_s": 2700}, 3.0),
    ("agents_needed", {"interval_start": 9, "needed_s": 3600}, 4.0),
    ("agents_needed", {"interval_start": 9, "needed_s": None}, None),
    # What is not known: no wrap-up and no hold told; suppressed; nothing offered.
    ("average_handling_time", AMAZON | {"hold_s": None, "wrapup_s": None}, 180.0),
    ("average_wrapup_time", AMAZON | {"wrapup_s": None}, None),
    ("average_talk_time", AMAZON | {"talk_s": None}, None),
    ("transfer_rate", GENESYS | {"transferred_blind": None, "transferred_attended": None}, None),
    ("service_level", dict.fromkeys(CISCO, 0), None),
    ("service_level", {"offered": 3, "short_abandoned": 3, "answered_in_threshold": 0}, None),
]


@pytest.mark.parametrize(
    ("name", "row", "expected"), EXAMPLES, ids=[f"{i:02} {name}" for i, (name, *_) in enumerate(EXAMPLES)]
)
def test_a_ratio_is_what_others_have_worked_out(
    owner: psycopg.Connection, name: str, row: Mapping[str, int | None], expected: float | None
) -> None:
    for answer in (by_sql(owner, named(name), [row]), by_tableau(owner, named(name), [row])):
        assert answer == (None if expected is None else pytest.approx(expected))


def test_every_ratio_has_a_worked_example() -> None:
    assert {name for name, *_ in EXAMPLES if name in metrics.metrics()} == set(metrics.metrics())


# -- the ratio of the sums ------------------------------------------------------------------------------------------


def by_hand(ratio: Ratio, rows: Rows) -> float | None:
    """The ratio of the sums over the rows in which all is known that must be."""
    kept = [row for row in rows if all(row[column] is not None for column in ratio.known)]

    def total(part: Sum) -> int:
        return sum((row[t.column] or 0) * (1 if t.is_added else -1) for row in kept for t in part.terms)

    per = 900 * len({row["interval_start"] for row in kept}) if ratio.is_at_once else total(ratio.per)
    return total(ratio.over) / per if per else None


FEW = st.sampled_from("abcd")


@st.composite
def ratios(draw: st.DrawFn) -> Ratio:
    over, per = draw(sums(FEW)), draw(sums(FEW))
    optional = draw(st.sets(FEW)) - {per.terms[0].column}
    over, per = (
        Sum(tuple(Term(t.column, t.is_added, t.column in optional) for t in part.terms))
        for part in (over, per)
    )
    return Ratio(over=over, per=per)


ROWS = st.lists(
    st.fixed_dictionaries({column: st.none() | st.integers(0, 9) for column in "abcd"}),
    min_size=1,
    max_size=6,
)


@given(ratios(), ROWS)
def test_sql_and_tableau_give_the_ratio_of_the_sums(
    owner: psycopg.Connection, ratio: Ratio, rows: Rows
) -> None:
    expected = by_hand(ratio, rows)
    for answer in (by_sql(owner, ratio, rows), by_tableau(owner, ratio, rows)):
        assert answer is expected or (expected is not None and answer == pytest.approx(expected))


def test_agents_at_once_are_added_over_queues_and_averaged_over_quarter_hours(
    owner: psycopg.Connection,
) -> None:
    """Two queues in one quarter-hour, one of them in the next; in the third nothing is known."""
    told = ((1, 1800), (1, 900), (2, 900), (3, None))
    rows = [{"interval_start": quarter, "staffed_s": seconds} for quarter, seconds in told]
    for answer in (by_sql, by_tableau):
        assert answer(owner, metrics.metrics()["agents_present"], rows) == 2.0


def test_a_quiet_day_counts_for_little(owner: psycopg.Connection) -> None:
    """100 of 100, and 0 of 1: not the mean of 100 % and 0 %."""
    rows = [
        {"answered": answered, "offered": offered, "short_abandoned": 0}
        for answered, offered in ((100, 100), (0, 1))
    ]
    assert by_sql(owner, metrics.metrics()["answer_rate"], rows) == pytest.approx(100 / 101)


# -- the views ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mart", sorted({metric.mart for metric in metrics.metrics().values()}))
def test_a_view_shows_the_ratio_of_the_sums_of_its_rows(opened: Callmart, mart: str) -> None:
    (declared,) = (one for one in dbt_project.marts(opened.settings) if one.name == mart)
    per, view = metrics.grain_of(declared), metrics.view_of(declared)
    rows: list[dict[str, Any]] = []
    shown: dict[tuple[Any, ...], dict[str, Any]] = {}
    for customer in WITH_DATA if mart == "queue_interval" else DETAILED:
        rows += opened.rows(f"select * from mart.{mart}", customer_id=customer)
        ratios = opened.rows(f"select * from mart.{view}", customer_id=customer)
        shown |= {tuple(row[c] for c in per): row for row in ratios}
    assert shown.keys() == {tuple(row[c] for c in per) for row in rows}
    looked_at = 0
    for key, row in shown.items():
        of_key = [one for one in rows if tuple(one[c] for c in per) == key]
        for metric in metrics.metrics().values():
            if metric.mart == mart:
                expected = by_hand(metric, of_key)
                assert row[metric.name] is expected or isclose(row[metric.name], expected or 0)
                looked_at += expected is not None
    assert looked_at > len(shown)


@pytest.mark.parametrize("customer", WITH_DATA)
def test_over_days_and_queues_a_customer_gets_the_ratio_of_the_sums(opened: Callmart, customer: int) -> None:
    """By the dictionary's own SQL, as the customer; the mean of the days is another number."""
    rows = opened.rows("select * from store.queue_interval where customer_id = %s", customer)
    ratios = [metric for metric in metrics.metrics().values() if metric.mart == "queue_interval"]
    expressions = ", ".join(f"{metrics.as_sql(metric)} as {metric.name}" for metric in ratios)
    means = ", ".join(f"avg({metric.name}) as {metric.name}" for metric in ratios)
    (whole,) = opened.rows(f"select {expressions} from mart.queue_interval", customer_id=customer)
    (mean,) = opened.rows(f"select {means} from mart.queue_ratios", customer_id=customer)
    other = 0
    for metric in ratios:
        expected = by_hand(metric, rows)
        assert whole[metric.name] is expected or isclose(whole[metric.name], expected or 0)
        other += expected is not None and not isclose(mean[metric.name], expected)
    assert other


def customers_in(opened: Callmart, view: str, customer_id: int) -> set[int]:
    rows = opened.rows(f"select distinct customer_id from mart.{view}", customer_id=customer_id)
    return {row["customer_id"] for row in rows}


def test_a_customer_sees_the_ratios_of_its_own_and_of_its_option(opened: Callmart) -> None:
    for customer in WITH_DATA:
        assert customers_in(opened, "queue_ratios", customer) == {customer}
        if customer in DETAILED:
            assert customers_in(opened, "agent_ratios", customer) == {customer}
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        customers_in(opened, "agent_ratios", STANDARD)


def drifted(opened: Callmart) -> list[str]:
    with opened.connect() as owner:
        return [found.text for found in drift.find(owner, dbt_project.marts(opened.settings))]


def apply(opened: Callmart) -> None:
    with opened.connect() as owner:
        memberships.apply(owner, opened.settings, dbt_project.marts(opened.settings))


# By the view: two at once, of which each is found and mended by itself.
BY_HAND = {
    "of other options": {
        "queue_ratios": "alter view mart.queue_ratios set (security_barrier = false)",
        "agent_ratios": "alter view mart.agent_ratios set (security_invoker = true)",
    },
    "another in its place, and gone": {
        "queue_ratios": (
            "drop view mart.queue_ratios;\ncreate view mart.queue_ratios as select * from store.queue_interval;\n"
            "grant select on mart.queue_ratios to callmart_reads_queue"
        ),
        "agent_ratios": "drop view mart.agent_ratios",
    },
    "for others": {
        "queue_ratios": "grant select on mart.queue_ratios to public",
        "agent_ratios": "grant select on mart.agent_ratios to callmart_reads_queue",
    },
    "for nobody": {"queue_ratios": "revoke select on mart.queue_ratios from callmart_reads_queue"},
}


@pytest.mark.parametrize("what", BY_HAND)
def test_what_was_done_to_a_view_by_hand_is_found_and_mended(opened: Callmart, what: str) -> None:
    with opened.superuser() as superuser:  # not even the owner may change the views, only make them anew
        for statements in BY_HAND[what].values():
            for statement in statements.split(";\n"):
                superuser.execute(statement)
    if "another" in what:
        assert customers_in(opened, "queue_ratios", NAMED) == set(WITH_DATA), "it would leak"
    found = "\n".join(drifted(opened))
    views = set(re.findall(r"^function or view (\S+) is not as", found, re.MULTILINE))
    assert views == {f"mart.{view}" for view in BY_HAND[what]}
    with opened.connect() as owner, pytest.raises(opening.Drifted):
        opening.open_build(owner, opened.settings)
    apply(opened)
    assert drifted(opened) == []
    test_a_customer_sees_the_ratios_of_its_own_and_of_its_option(opened)


def test_applying_a_registry_looks_at_no_mart_and_makes_no_view_right(opened: Callmart) -> None:
    with opened.superuser() as superuser:
        superuser.execute(BY_HAND["for nobody"]["queue_ratios"])
    opened.apply((opened.home / "registry.yml").read_text(), looks=True)
    assert drifted(opened)
    apply(opened)
    assert drifted(opened) == []


def open_ratios(opened: Callmart) -> int:
    """What an opening does before it moves days; the view's number in the catalogue."""
    with opened.connect() as owner:
        opening.show(owner, dbt_project.marts(opened.settings))
        (number,) = owner.execute("select 'mart.queue_ratios'::regclass::oid::int").fetchall()[0]
    return int(number)


def test_the_views_follow_the_file(opened: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(months, "PATIENCE", "100ms")
    before = open_ratios(opened)
    assert open_ratios(opened) == before, "what says the same stays, so nobody has to let go of it"
    others = {name: metric for name, metric in metrics.metrics().items() if name != "service_level"}
    with monkeypatch.context() as changed:
        changed.setattr(metrics, "metrics", lambda: others)
        with opened.connect(NAMED) as reader:
            reader.execute("select from mart.queue_ratios")
            assert open_ratios(opened) == before, "a reader keeps it, and the opening goes on"
        assert open_ratios(opened) != before
        (row,) = opened.rows("select * from mart.queue_ratios limit 1", customer_id=NAMED)
        assert "service_level" not in row and "answer_rate" in row
        assert drifted(opened) == []
    open_ratios(opened)
    assert drifted(opened) == []
    test_a_customer_sees_the_ratios_of_its_own_and_of_its_option(opened)


def test_a_new_database_has_the_views_from_the_first_opening_on(
    make_callmart: Callable[[], Callmart], tmp_path: Path
) -> None:
    fresh = make_callmart()
    play(fresh, tmp_path, (NAMED,))
    assert drifted(fresh) == []
    with fresh.connect() as owner:
        memberships.show(owner, dbt_project.marts(fresh.settings))  # no table stands yet
    assert drifted(fresh) == []
    assert fresh.build_and_open().opened_days
    assert customers_in(fresh, "agent_ratios", NAMED) == {NAMED}


def test_a_ratio_called_like_a_word_of_sql_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Customers with a login would have to quote it."""
    project = wrong_project(tmp_path, monkeypatch)
    line = project.change("metrics.yml", "  - name: occupancy\n", "  - name: order\n")
    assert f"metrics.yml line {line}: order: order is a word of SQL; choose another name" in project.check()
