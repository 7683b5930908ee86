"""The reports: declared whole, in both languages, of what the marts hold, for contracts that open them."""

import json
import re
from datetime import UTC, date, datetime, time
from pathlib import Path

import pytest

from callmart.base.errors import UserError
from callmart.declarations import dbt_project, exposures, metrics, model_files
from callmart.declarations.exposures import Report
from callmart.declarations.mart import Mart
from callmart.registry import file as registry_file
from callmart.registry.file import Registry
from callmart.registry.planning import Change, plan
from callmart.registry.states import desired_states
from callmart_home import Callmart
from commands import command_of

STANDARD = ("accessibility", "traffic", "handling")
DETAILED = ("agents", "status")
LINES = ("lines",)  # of the statement's O1
ORDERED = ("contacts",)  # where a list of contacts is ordered, too
TODAY = date(2026, 6, 15)


@pytest.fixture(scope="module")
def marts(callmart: Callmart) -> list[Mart]:
    return dbt_project.marts(callmart.settings)


# -- what is declared ------------------------------------------------------------------------------------------------


def test_the_reports_are_those_of_the_statement() -> None:
    assert set(exposures.reports()) >= {*STANDARD, *DETAILED, *LINES, *ORDERED}
    before = ("bereikbaarheid", "drukte", "afhandeling", "medewerkers", "status")
    assert tuple(map(exposures.current_name, before)) == STANDARD + DETAILED
    for report in map(exposures.named, STANDARD + DETAILED + LINES + ORDERED):
        for orders in ([], ["contact_list"]):
            is_ordered = report.name not in ORDERED or bool(orders)
            assert report.is_opened_by("detailed", orders) == is_ordered
            assert report.is_opened_by("standard", orders) == (is_ordered and report.name not in DETAILED)
            assert not report.is_opened_by("none", orders)


def test_a_report_of_detailed_is_no_part_of_standard_whatever_it_shows() -> None:
    traffic = exposures.reports()["traffic"]
    ordered = traffic.model_copy(update={"option": "detailed"})
    assert traffic.is_opened_by("standard", [])
    assert not ordered.is_opened_by("standard", [])
    assert ordered.is_opened_by("detailed", [])


def test_they_show_what_the_marts_hold(marts: list[Mart]) -> None:
    exposures.check(exposures.reports().values(), marts, metrics.metrics())


@pytest.mark.parametrize(
    ("report", "shown"),
    [
        ("accessibility", "offered answered abandoned service_level average_speed_of_answer"),
        ("traffic", "offered average_speed_of_answer agents_present agents_needed"),
        (
            "handling",
            "talk_s hold_s wrapup_s transferred_blind transferred_attended overflowed callbacks answered abandoned",
        ),
        ("agents", "contacts ring_s talk_s hold_s"),
        ("status", "seconds logins"),
    ],
)
def test_a_report_shows_what_was_ordered(report: str, shown: str) -> None:
    measures = {measure for sheet in exposures.reports()[report].sheets for measure in sheet.measures}
    assert set(shown.split()) <= measures


def test_dbt_reads_the_same(callmart: Callmart, marts: list[Mart]) -> None:
    """The exposures of its manifest, and the marts that they depend on."""
    assert marts
    manifest, _ = dbt_project._parse(callmart.settings)
    read = {
        exposure.name: (
            exposure.config.meta["option"],
            {node.rpartition(".")[2] for node in exposure.depends_on.nodes},
        )
        for exposure in manifest.exposures.values()
    }
    assert read == {
        report.name: (report.option, set(report.marts)) for report in exposures.reports().values()
    }


# -- mistakes of the file --------------------------------------------------------------------------------------------

ONE = """\
version: 2
exposures:
  - name: traffic
    label: Drukte
    type: dashboard
    description: When it is busy.
    owner: {name: callmart}
    depends_on: [ref('queue_interval')]
    config:
      meta:
        option: standard
        group: queue
        schedule: {day: monday, hour: 7}
        title: {nl: Drukte, en: Traffic}
        subtitle: {nl: Wanneer, en: When}
        empty: {nl: Niets, en: Nothing}
        mail: {subject: {nl: Drukte, en: Traffic}, message: {nl: Drukte, en: Traffic}}
        sheets:
          - name: per_queue
            kind: table
            mart: queue_interval
            by: queue
            measures: [offered, service_level]
            title: {nl: Per wachtrij, en: By queue}
"""
SHEET = ONE[ONE.index("          - name: per_queue") :]
TRAFFIC = "exposures.traffic"


def changed(old: str, new: str, text: str = ONE) -> str:
    assert old in text
    return text.replace(old, new)


MISTAKES = {
    "no YAML": ("version: [", "correct the YAML there"),
    "another version": (
        changed("version: 2", "version: 3"),
        ": version: Input should be 2; correct it there",
    ),
    "a name twice": (ONE + ONE[ONE.index("  - name: traffic") :], ": traffic is there twice; keep one"),
    "an earlier name that another report has": (
        changed("        option:", "        renamed_from: drukte\n        option:")
        + changed("name: traffic", "name: drukte")[ONE.index("  - name: traffic") :],
        ": drukte is there twice; keep one",
    ),
    "its own name as an earlier one": (
        changed("        option:", "        renamed_from: [drukte, traffic]\n        option:"),
        ": traffic is there twice; keep one",
    ),
    "an earlier name that is none": (
        changed("        option:", "        renamed_from: 1\n        option:"),
        f"{TRAFFIC}.renamed_from: Input should be a valid list",
    ),
    "no meta": (
        ONE[: ONE.index("    config:")],
        f"{TRAFFIC}: config.meta must have the report's own keys, and config nothing else but tags; docs/",
    ),
    "a key in two places": (
        changed("        option:", "        label: x\n        option:"),
        "config.meta must have",
    ),
    "unknown key": (
        changed("        option:", "        mailed: x\n        option:"),
        f"{TRAFFIC}.mailed: unknown key",
    ),
    "no option": (
        changed("        option: standard\n", ""),
        f"{TRAFFIC}.option: Field required; add it there",
    ),
    "an option that opens nothing": (changed("option: standard", "option: none"), f"{TRAFFIC}.option: Input"),
    "an option that does not open the group": (
        changed("group: queue", "group: agent"),
        ": traffic: a standard contract does not open the group agent; choose another",
    ),
    "not in Dutch": (changed("title: {nl: Drukte, en", "title: {en"), f"{TRAFFIC}.title.nl: Field required"),
    "not in English": (
        changed("empty: {nl: Niets, en: Nothing}", "empty: {nl: Niets}"),
        f"{TRAFFIC}.empty.en",
    ),
    "in no language": (
        changed("title: {nl: Drukte, en: Traffic}", "title: Drukte"),
        f"{TRAFFIC}.title: Input should be a valid dictionary; write keys beneath it",
    ),
    "a third language": (
        changed("en: Nothing}", "en: Nothing, fr: Rien}"),
        f"{TRAFFIC}.empty.fr: unknown key",
    ),
    "an empty text": (changed("nl: Niets", "nl: ''"), f"{TRAFFIC}.empty.nl: String should"),
    "a mail without subject": (
        changed("{subject: {nl: Drukte, en: Traffic}, ", "{"),
        f"{TRAFFIC}.mail.subject",
    ),
    "a day that is none": (
        changed("day: monday", "day: maandag"),
        f"{TRAFFIC}.schedule.day: Input should be",
    ),
    "an hour that is none": (
        changed("hour: 7", "hour: 24"),
        f"{TRAFFIC}.schedule.hour: Input should be less",
    ),
    "an hour as text": (
        changed("hour: 7", "hour: '7'"),
        f"{TRAFFIC}.schedule.hour: Input should be a valid integer",
    ),
    "no mart": (
        changed("ref('queue_interval')", "queue_interval"),
        "not a mart; write it as ref('queue_interval')",
    ),
    "no sheet": (
        changed(SHEET, "", ONE.replace("sheets:\n", "sheets: []\n")),
        f"{TRAFFIC}.sheets: List should",
    ),
    "a sheet twice": (ONE + SHEET, ": traffic: sheet per_queue is there twice; keep one of the two"),
    "an unknown kind": (
        changed("kind: table", "kind: pie"),
        f"{TRAFFIC}.sheets.per_queue.kind: Input should be",
    ),
    "a table by nothing": (
        changed("            by: queue\n", ""),
        "per_queue: a table needs `by`: one of day, quarter",
    ),
    "a line over nothing": (
        changed("kind: table", "kind: line"),
        "per_queue: a line needs `over`: one of day",
    ),
    "a table over days": (
        changed("            kind: table\n", "            kind: table\n            over: day\n"),
        "per_queue: only a line or a stacked_bar has `over`; remove it",
    ),
    "a bar per measure by something": (
        changed("kind: table", "kind: bars"),
        "per_queue: only a stacked_bar or a table has `by`; remove it",
    ),
    "a value that is left out of nothing": (
        changed("            by: queue\n", "            by: queue\n            without: sales\n"),
        "per_queue: queue has no words to choose from; add values.queue to captions.yml",
    ),
    "a heat map of two measures": (
        changed("kind: table", "kind: heat_map", changed("            by: queue\n", "")),
        "per_queue: its colours show one measure; remove the others",
    ),
    "no measures": (
        changed("[offered, service_level]", "[]"),
        f"{TRAFFIC}.sheets.per_queue.measures: List should",
    ),
    "a mart that is not named": (
        changed("mart: queue_interval", "mart: queue_day"),
        ": traffic: its sheets show queue_day; add it to depends_on",
    ),
    "a mart that is not shown": (
        changed("[ref('queue_interval')]", "[ref('queue_interval'), ref('queue_day')]"),
        ": traffic: no sheet shows queue_day; remove it from depends_on",
    ),
    "agents without their names": (
        changed("by: queue", "by: agent", changed("standard", "detailed")),
        ": traffic: its sheets show agent; add it to depends_on",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_a_sentence_with_file_line_place_and_remedy(
    tmp_path: Path, marts: list[Mart], mistake: str
) -> None:
    text, sentence = MISTAKES[mistake]
    file = tmp_path / "reports.yml"
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        found = exposures.read(file)
        for wrong in exposures.misnamed(found):
            raise wrong
        exposures.check(found, marts, metrics.metrics())
    assert re.match(rf"{re.escape(str(file))} line \d+: ", str(caught.value))
    assert sentence in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [("hour: 7", "hour: 24", 13), ("kind: table", "kind: pie", 20), ("    label: Drukte\n", "", 3)],
    ids=["under config.meta", "in a list", "what is missing"],
)
def test_the_line_is_that_of_the_mistake(tmp_path: Path, old: str, new: str, line: int) -> None:
    file = tmp_path / "reports.yml"
    file.write_text(changed(old, new))
    with pytest.raises(UserError, match=f"^{file} line {line}: exposures"):
        exposures.read(file)


@pytest.mark.parametrize(
    ("written", "names"),
    [("drukte", ["drukte", "traffic"]), ("[spits, drukte]", ["spits", "drukte", "traffic"])],
    ids=["one", "several, the oldest first"],
)
def test_a_report_names_its_earlier_names(tmp_path: Path, written: str, names: list[str]) -> None:
    file = tmp_path / "reports.yml"
    file.write_text(ONE)
    (report,) = exposures.read(file)
    assert (report.names, report.first_name) == (["traffic"], "traffic")
    file.write_text(changed("        option:", f"        renamed_from: {written}\n        option:"))
    (report,) = exposures.read(file)
    assert (report.names, report.first_name) == (names, names[0])


@pytest.mark.parametrize(
    "text", ["version: 2\n# shown by two exposures\nmodels: []\n", "# version: 2\n# exposures: []\n"]
)
def test_the_word_alone_declares_no_report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setattr(model_files, "FOLDER", tmp_path)
    (tmp_path / "mart.yml").write_text(text)
    (tmp_path / "own.yml").write_text("exposures: []\n")
    assert exposures.files() == [tmp_path / "own.yml"]


@pytest.mark.parametrize("text", ["version: 2\n", "version: 2\nexposure: []\n"])
def test_the_reports_do_not_go_with_the_word(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    """Without reports, all pages, mails and workbooks would be removed."""
    monkeypatch.setattr(model_files, "FOLDER", tmp_path)
    monkeypatch.setattr(exposures, "FILE", tmp_path / "reports.yml")
    exposures.FILE.write_text(text)
    with pytest.raises(UserError, match=r"reports\.yml line 1: exposures: "):
        exposures.reports.__wrapped__()


def test_a_file_that_is_gone_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"gone\.yml can't be read \(.*\); restore it from the repository"):
        exposures.read(tmp_path / "gone.yml")


SHOWS_NOTHING = {
    "a mart": ("queue_interval", "queue_hour", "traffic: there is no mart queue_hour; write "),
    "a mart of another group": (
        "queue_interval",
        "line_interval",
        "traffic: line_interval is in the group line;",
    ),
    "a dimension": (
        "by: queue",
        "by: status",
        "traffic.per_queue: queue_interval has no status to show it by; write one of ",
    ),
    "a column": (
        "offered, ",
        "offerd, ",
        "traffic.per_queue: offerd is neither a column of queue_interval of which reports show the sum or the largest, "
        "nor a ratio of it; write offered, or another of ",
    ),
    "a ratio of another mart": (
        "service_level",
        "agent_ring_answer_rate",
        "traffic.per_queue: agent_ring_answer_rate is neither a column of queue_interval",
    ),
}


@pytest.mark.parametrize("what", SHOWS_NOTHING)
def test_what_the_marts_do_not_hold_is_refused(tmp_path: Path, marts: list[Mart], what: str) -> None:
    def read(text: str) -> list[Report]:
        file = tmp_path / "reports.yml"
        file.write_text(text)
        return exposures.read(file)

    old, new, sentence = SHOWS_NOTHING[what]
    exposures.check(read(ONE), marts, metrics.metrics())
    with pytest.raises(UserError, match=rf"^.*/reports.yml line \d+: {re.escape(sentence)}"):
        exposures.check(read(changed(old, new)), marts, metrics.metrics())


@pytest.mark.parametrize(
    ("lacks", "said"),
    [
        (
            {"caption": None, "description_nl": None},
            r"offered has no caption; add caption: \{nl: …, en: …\} and description_nl",
        ),
        ({"description_nl": None}, "offered has no description_nl, which people read below the numbers"),
    ],
)
def test_what_people_would_not_read_in_their_language_is_refused(
    marts: list[Mart], lacks: dict[str, None], said: str
) -> None:
    def without(mart: Mart) -> Mart:
        columns = [one.model_copy(update=lacks if one.name == "offered" else {}) for one in mart.declared]
        return mart.model_copy(update={"declared": tuple(columns)})

    with pytest.raises(UserError, match=rf"^models/reports.yml line \d+: .*: {said}"):
        exposures.check(exposures.reports().values(), map(without, marts), metrics.metrics())


@pytest.mark.parametrize("name", ["hour", "day", "this_week"])
@pytest.mark.parametrize("shown", ["a measure", "a dimension"])
def test_nothing_is_shown_that_has_a_name_which_reports_give_to_something_else(
    tmp_path: Path, marts: list[Mart], name: str, shown: str
) -> None:
    """Its values would be those of the other, or the database would refuse the query when the report is drawn."""

    def renamed(mart: Mart) -> Mart:
        column = {"a measure": "offered", "a dimension": "queue"}[shown]
        columns = [
            one.model_copy(update={"name": name if one.name == column else one.name}) for one in mart.declared
        ]
        return mart.model_copy(update={"declared": tuple(columns)})

    file = tmp_path / "reports.yml"
    old, new = {"a measure": ("[offered", f"[{name}"), "a dimension": ("by: queue", f"by: {name}")}[shown]
    file.write_text(changed(old, new))
    with pytest.raises(UserError, match=f"reports use the name {name} themselves; choose another for"):
        exposures.check(exposures.read(file), map(renamed, marts), metrics.metrics())


# -- who gets them ---------------------------------------------------------------------------------------------------

REGISTRY = """\
customers:
  - id: 1
    name: One
    contracts: [{{option: {option}, from: {begins}}}]
    recipients:
      - {{email: a@example.org, reports: [traffic]}}
      - email: b@example.org
        reports:
          - traffic
          - {report}
"""


def load(folder: Path, option: str, report: str, begins: str = "2026-01-01") -> Registry:
    file = folder / "registry.yml"
    file.write_text(REGISTRY.format(option=option, report=report, begins=begins))
    return registry_file.load(file)


def test_a_report_that_is_not_declared_is_refused_by_its_line(tmp_path: Path) -> None:
    assert load(tmp_path, "standard", "handling")
    with pytest.raises(UserError) as caught:
        load(tmp_path, "standard", "geheim")
    assert f"line 10: this report is not declared; name one of {', '.join(exposures.reports())}" in str(
        caught.value
    )
    assert "geheim" not in str(caught.value)


def test_the_registry_may_use_a_name_of_before(tmp_path: Path) -> None:
    now = load(tmp_path, "standard", "handling")
    before = load(tmp_path, "standard", "afhandeling")
    at = datetime.combine(TODAY, time(12), UTC)
    assert desired_states(before, at) == desired_states(now, at)
    assert desired_states(now, at)[1].tables["recipient"] == {
        ("a@example.org", ("traffic",), "pdf"),
        ("b@example.org", ("traffic", "handling"), "pdf"),
    }
    assert registry_file.earlier_names(before) == {"afhandeling": "handling"}
    assert registry_file.earlier_names(now) == {}


def test_a_registry_without_recipients_needs_no_reports(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_asked() -> None:
        raise AssertionError

    monkeypatch.setattr(exposures, "reports", not_asked)
    file = tmp_path / "registry.yml"
    file.write_text("customers:\n  - {id: 1, name: One, recipients: [{email: a@b, reports: []}]}\n")
    assert registry_file.load(file).customers[0].id == 1


@pytest.mark.parametrize(
    ("option", "begins", "report", "is_opened"),
    [
        ("standard", "2026-01-01", "handling", True),
        ("standard", "2026-01-01", "agents", False),
        ("detailed", "2026-01-01", "agents", True),
        ("detailed", "2026-07-01", "agents", True),  # from then on
    ],
    ids=["of the option", "of the other", "of detailed", "to come"],
)
def test_the_plan_says_which_report_no_contract_opens(
    tmp_path: Path, option: str, begins: str, report: str, is_opened: bool
) -> None:
    wanted = desired_states(load(tmp_path, option, report, begins), datetime.combine(TODAY, time(12), UTC))
    note = Change(1, f"recipient: nobody gets {report}, which no contract of the customer opens")
    changes = plan({}, wanted, TODAY)
    assert (note in changes) == (not is_opened)
    assert not any(change.deletes for change in changes)
    assert plan(wanted, wanted, TODAY) == [], "said once, not every time"


# -- the command -----------------------------------------------------------------------------------------------------


def test_the_command_lists_them(callmart: Callmart) -> None:
    command = command_of(callmart.home)
    shown = command("reports")
    assert shown.returncode == 0, shown.stderr
    lines = [line.split() for line in shown.stdout.splitlines()]
    assert [line[0] for line in lines if line and line[0] in exposures.reports()] == list(exposures.reports())
    assert "monday, 07:00" in shown.stdout
    as_json = json.loads(command("reports", "--json").stdout)
    assert [report["name"] for report in as_json] == list(exposures.reports())
    assert as_json[0]["schedule"] == {"day": "monday", "hour": 7}
