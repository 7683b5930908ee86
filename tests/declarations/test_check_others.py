"""`callmart check` of ratios, reports, captions and rights, and of what does not fit together; and when it is asked."""

import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.build import window
from callmart.cli import check
from callmart.declarations import checking, dbt_project, model_files
from callmart.declarations.mart import Mart
from tableau_files import marts
from wrong_project import Case, WrongProject, changed, expect, wrong_project


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> WrongProject:
    return wrong_project(tmp_path, monkeypatch)


RATIO = """\
  - name: NAME
    mart: queue_interval
    unit: seconds
    over: talk_s + hold_s?
    per: answered
    caption: {nl: Gesprek NAME, en: Talk NAME}
    description: {nl: Gesprek, en: Talk}
    source: nobody
    caveats: none
"""

RATIOS: dict[str, Case] = {
    "key": (
        "    unit: seconds",
        "    unit: seconds\n    formula: x",
        "4: formula: unknown key; write one of",
    ),
    "key near": ("    caveats: none", "    caveat: none", "9: caveat: unknown key; write caveats"),
    "mart": (
        "mart: queue_interval",
        "mart: queue_intervall",
        "1: there is no mart queue_intervall; write queue_interval",
    ),
    "column": ("over: talk_s", "over: talks_s", "1: queue_interval.talks_s does not exist; write talk_s"),
    "not additive": (
        "per: answered",
        "per: wait_max_s",
        "1: queue_interval.wait_max_s can't be summed; write",
    ),
    "of a ratio": (
        "per: answered",
        "per: answer_rate",
        "1: queue_interval.answer_rate is a ratio, and ratios can't be summed; write",
    ),
    "nothing to sum": (
        "mart: queue_interval",
        "mart: agent",
        "1: agent has no column that can be summed; name another mart",
    ),
    "unit": ("unit: seconds", "unit: second", "3: write seconds"),
    "sum": (
        "over: talk_s + hold_s?",
        "over: talk_s * 2",
        "4: not a sum of columns; write it as talk_s + hold_s? - ring_s",
    ),
    "optional": ("per: answered", "per: answered?", "1: every column of `per` is optional"),
    "caption": (
        "caption: {nl: Gesprek NAME, en: Talk NAME}",
        "caption: {nl: Gesprek NAME}",
        "6: caption.en: Field required",
    ),
    "missed": (
        "    source: nobody",
        "    source: nobody\n    missed: {nl: a, en: b}",
        "1: only a share that has `better` has `missed`",
    ),
    "a caption that another has": (
        "{nl: Gesprek NAME, en: Talk NAME}",
        "{nl: Opgenomen, en: Answer rate}",
        "1: answer_rate has the same caption; choose another",
    ),
    "seconds of what is no time": (
        "talk_s + hold_s?",
        "answered + holds",
        "1: answered holds no seconds",
        "1: holds holds no",
    ),
    "always 1": (
        "per: answered",
        "per: talk_s + hold_s?",
        "1: `over` and `per` are the same, so it is always 1",
    ),
    "agents without quarter-hours": (
        "unit: seconds",
        "unit: agents",
        "1: goes with `per: quarter_hours`, and with nothing",
    ),
    "quarter-hours without agents": (
        "per: answered",
        "per: quarter_hours",
        "1: goes with `per: quarter_hours`",
    ),
    "a target without queues": (
        "queue_interval\n    unit: seconds\n    over: talk_s + hold_s?\n    per: answered",
        "agent_day\n    unit: seconds\n    target: service_level_target\n    over: talk_s\n    per: contacts",
        "1: agent_day is not by queue, and only queues have targets; remove `target`",
    ),
    "better": ("    source: nobody", "    source: nobody\n    better: mor", "9: write more"),
    "variant": (
        "    source: nobody",
        "    source: nobody\n    variants: [{name: x, over: talk_z, per: answered}]",
        "1: queue_interval.talk_z does not exist",
    ),
    "a variant twice": (
        "    source: nobody",
        "    source: nobody\n    variants:\n      - {name: x, over: talk_s, per: answered}\n"
        "      - {name: x, over: hold_s, per: answered}",
        "1: the variant x is there twice",
    ),
}


def test_a_wrong_ratio(project: WrongProject) -> None:
    text = (project.folder / "metrics.yml").read_text()
    wanted = []
    for number, case in enumerate(RATIOS.values()):
        before = text.count("\n")
        text += changed(RATIO, f"ratio_{number}", case)
        for said in case[2:]:
            line, _, part = said.partition(": ")
            wanted.append(f"{before + int(line)}: {part}")
    project.write("metrics.yml", text)
    expect(project.check(), {"metrics.yml": wanted})


REPORT = """\
version: 2
exposures:
  - name: NAME
    label: NAME
    type: dashboard
    maturity: high
    url: https://example.org
    tags: [weekly]
    description: When it is busy.
    owner: {name: callmart, email: a@example.org}
    depends_on: [ref('queue_interval')]
    config:
      tags: [standard]
      meta:
        option: standard
        group: queue
        schedule: {day: monday, hour: 7}
        title: {nl: NAME, en: NAME}
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

REPORTS: dict[str, Case] = {
    "a title that another has": (
        "title: {nl: NAME, en: NAME}",
        "title: {nl: NAME, en: right}",
        "3: another report has its title",
    ),
    "key": ("maturity: high", "maturty: high", "6: maturty: unknown key; write maturity"),
    "meta key": (
        "        group: queue",
        "        group: queue\n        schedul: x",
        "17: schedul: unknown key; write schedule",
    ),
    "config": ("      tags: [standard]", "      enabled: false", "3: config nothing else but tags"),
    "mart": (
        "            mart: queue_interval",
        "            mart: queue_intervall",
        "3: there is no mart queue_intervall; write queue_interval",
    ),
    "mart that was taken out": (
        "            mart: queue_interval",
        "            mart: zzz",
        "3: queue_interval, or remove it from depends_on, and the sheets that show it",
    ),
    "depends": (
        "ref('queue_interval')",
        "ref('queue_interval'), ref('queue_day')",
        "3: no sheet shows queue_day; remove it from depends_on",
    ),
    "no ref": (
        "[ref('queue_interval')]",
        "[queue_interval]",
        "11: not a mart; write it as ref('queue_interval')",
    ),
    "group": ("group: queue", "group: quue", "3: there is no group quue that reports show; write queue"),
    "unopened": (
        "option: standard\n        group: queue",
        "option: standard\n        group: agent",
        "3: a standard contract does not open the group agent",
        "3: queue_interval is in the group queue",
    ),
    "option": ("option: standard", "option: standrd", "15: write standard"),
    "day": ("day: monday", "day: mondy", "17: write monday"),
    "hour": ("hour: 7", "hour: 24", "17: Input should be less than or equal to 23"),
    "kind": ("kind: table", "kind: tabel", "24: write table"),
    "measure": ("offered, service", "offerd, service", "23: offerd is neither a column of queue_interval"),
    "dimension": ("by: queue", "by: queu", "23: queue_interval has no queu to show it by; write queue"),
    "needs by": ("            by: queue\n", "", "23: a table needs `by`"),
    "two captions": (
        "title: {nl: Per wachtrij, en: By queue}",
        "title: {nl: Per wachtrij}",
        "28: title.en: Field required",
    ),
    "mail": (
        "message: {nl: Drukte, en: Traffic}",
        "massage: {nl: Drukte, en: Traffic}",
        "21: massage: unknown key; write message",
    ),
    "share": (
        "            by: queue",
        "            by: queue\n            share: 0",
        "27: greater than or equal to 1",
    ),
    "word": (
        "            by: queue",
        "            by: open\n            without: shut",
        "23: shut is not a word of open",
    ),
    "a column without words": (
        "            by: queue",
        "            by: queue\n            without: sales",
        "23: queue has no words to choose from; add values.queue to captions.yml",
    ),
    "bars of two units": (
        "kind: table\n            mart: queue_interval\n            by: queue",
        "kind: bars\n            mart: queue_interval",
        "23: its measures are in count and share, and have one axis",
    ),
    "bars of hours and seconds": (
        "kind: table\n            mart: queue_interval\n            by: queue\n"
        "            measures: [offered, service_level]",
        "kind: bars\n            mart: queue_interval\n            measures: [talk_s, wait_max_s]",
        "23: its measures are in hours and seconds, and have one axis",
    ),
    "stacked parts of two units": (
        "kind: table\n            mart: queue_interval\n            by: queue",
        "kind: stacked_bar\n            mart: queue_interval\n            over: day",
        "23: its measures are in count and share, and have one axis",
    ),
    "lines of two units together": (
        "kind: table\n            mart: queue_interval\n            by: queue",
        "kind: line\n            mart: queue_interval\n            over: day\n            together: true",
        "23: its measures are in count and share, and have one axis",
    ),
    "a line over what is no time": (
        "kind: table\n            mart: queue_interval\n            by: queue",
        "kind: line\n            mart: queue_interval\n            over: queue",
        "23: a line goes over one of day, quarter_hour, weeks, months; choose one, or another kind",
    ),
    "a dimension twice": (
        "            by: queue",
        "            by: queue\n            then_by: queue",
        "23: queue is there twice; keep one of the two",
    ),
    "a measure twice": (
        "[offered, service",
        "[offered, offered, service",
        "23: offered is there twice; keep one",
    ),
    "rows in": (
        "        option: standard",
        "        option: standard\n        rows_in: contact",
        "3: there is no report for rows_in; write contacts",
    ),
    "rows in a report that was taken out": (
        "        option: standard",
        "        option: standard\n        rows_in: zzz",
        "3: , or remove rows_in",
    ),
}


def test_a_wrong_report_in_whatever_file(project: WrongProject) -> None:
    (project.folder / "models" / "of_mine").mkdir()
    project.write("models/of_mine/right.yml", REPORT.replace("NAME", "right"))
    wanted = {"models/of_mine/right.yml": ["3: another report has its title"]}
    for number, case in enumerate(REPORTS.values()):
        file = f"models/of_mine/report_{number}.yml"
        project.write(file, changed(REPORT, f"report_{number}", case))
        wanted[file] = list(case[2:])
    expect(project.check(), wanted)


# Of the project's own files: what is written, what instead, and what is said at that line.
OTHERS: dict[str, tuple[str, str, str, str]] = {
    "a ratio that is called as a column of its group": (
        "metrics.yml",
        "  - name: ring_answer_rate",
        "  - name: callers",
        "queue_day has a column of that name; choose another",
    ),
    "a view of ratios in the place of another": (
        "models/marts/queue/queue_interval.yml",
        "ratios: queue_ratios",
        "ratios: queue_label",
        "the view of its ratios, mart.queue_label, is another view already; name one in config.meta.ratios",
    ),
    "a mart in the order": (
        "captions.yml",
        "  - queue_day\n",
        "  - queue_dy\n",
        "there is no mart queue_dy; write queue_day",
    ),
    "a mart that was taken out": (
        "captions.yml",
        "  - agent_day\n",
        "  - zzz\n",
        "queue_interval, or remove it",
    ),
    "a column of words": (
        "captions.yml",
        "  direction:\n",
        "  diretion:\n",
        "no mart has a column diretion of words; write direction",
    ),
    "a word in one language": (
        "captions.yml",
        "{nl: Zonder overleg, en: Without asking}",
        "{nl: Zonder overleg}",
        "values.transferred.blind.en: Field required",
    ),
    "two words with one caption": (
        "captions.yml",
        "    isdn30: {nl: ISDN30, en: ISDN30}",
        "    isdn30: {nl: ISDN2, en: ISDN30}",
        "another word of this column has the same caption",
    ),
    "a key of the matrix": (
        "access.yml",
        "    becomes: customers",
        "    become: customers",
        "duties.publisher.become: unknown key; write becomes",
    ),
    "a table of the matrix": (
        "access.yml",
        "      - raw.reject\n",
        "      - raw.rejects\n",
        "nothing makes raw.rejects; write raw.reject",
    ),
    "a function of the matrix": (
        "access.yml",
        "[registry.known_agents, privacy.is_objector]",
        "[registry.known_agent]",
        "nothing makes registry.known_agent; write registry.known_agents",
    ),
    "the root of a group": (
        "access.yml",
        "root: line_interval",
        "root: line_day",
        "line_day is no mart of the group line; write line_interval",
    ),
    "the filter of a group": (
        "access.yml",
        "root: agent, filtered: agent}",
        "root: agent, filtered: agents}",
        "agent has no agents to filter by; write agent",
    ),
    "a model that is read": (
        "models/marts/queue/queue_day.sql",
        "ref('int_caller')",
        "ref('int_calller')",
        "there is no model int_calller; write int_caller",
    ),
    "a source that is read": (
        "models/staging/stg_line.sql",
        "source('registry', 'line')",
        "source('registry', 'lines')",
        "there is no source registry.lines; write registry.line",
    ),
    "whom a model's column points to": (
        "models/intermediate/calls/int_caller.yml",
        "{person: caller}",
        "{person: calller}",
        "whom it points to",
    ),
    "a key of a model's column": (
        "models/intermediate/calls/int_left_out_agent.yml",
        "config: {meta: {person: nobody}}",
        "config: {meta: {person: nobody, persn: x}}",
        "persn: unknown key; write person",
    ),
    "a model of a unit test": (
        "models/intermediate/calls/int_caller.yml",
        "    model: int_caller\n",
        "    model: int_callr\n",
        "there is no model int_callr; write int_caller",
    ),
    "what a unit test is given": (
        "models/intermediate/calls/int_visit.yml",
        "      - input: ref('int_straight_visit')\n",
        "      - input: ref('int_straigt_visit')\n",
        "there is no model int_straigt_visit; write int_straight_visit",
    ),
    "a person who is said to be nobody": (
        "models/marts/agent/agent_contact.yml",
        "{person: caller}",
        "{person: nobody}",
        "this column points to caller; write that, or another name",
    ),
    "a part of a file": (
        "models/marts/queue/queue_day.yml",
        "version: 2",
        "versoin: 2",
        "versoin: unknown key; write version",
    ),
    "a text for several columns": (
        "models/marts/queue/queue_day.yml",
        "doc('customer_id')",
        "doc('customer')",
        "there is no text customer; write customer_id",
    ),
}


def test_what_does_not_fit_together(project: WrongProject) -> None:
    wanted: dict[str, list[str]] = {}
    for file, old, new, said in OTHERS.values():
        wanted.setdefault(file, []).append(f"{project.change(file, old, new)}: {said}")
    expect(project.check(), wanted)


def test_what_is_right_is_right(project: WrongProject) -> None:
    assert project.check() == []


def test_a_mart_of_persons_says_what_a_person_is_told(project: WrongProject) -> None:
    project.change(
        "models/marts/agent/agent_day.yml",
        "            description_nl: Tijd aangemeld en niet in pauze, afwezig, training of anders;"
        " leeg waar dat niet bekend is.\n",
        "",
    )
    project.change(
        "models/marts/agent/agent_day.yml",
        "            description_nl: Tijd in de status Beschikbaar; leeg waar geen status bekend is.\n",
        "",
    )
    project.change("processing.yml", "  contact: {why: contact_list", "  contacts: {why: contact_list")
    of_day, of_contact = (said for said in project.check() if said.startswith("models/marts/"))
    assert of_day.startswith("models/marts/agent/agent_day.yml line 4: ")
    assert "does not say in Dutch what it means by status_available_s, ready_s: add description_nl" in of_day
    assert of_contact.startswith("models/marts/contact/queue_contact.yml line 4: ")
    assert "processing.yml: marts: the mart queue_contact has columns of persons" in of_contact


def test_a_person_under_another_name_is_a_person(project: WrongProject) -> None:
    project.change(
        "models/marts/queue/queue_day.sql",
        "select * from {{ ref('int_visit') }}",
        "select *, last_agent_key as whose, whose as queue from {{ ref('int_visit') }}",
    )
    (said,) = project.check()
    assert said.startswith("models/marts/queue/queue_day.yml line ")
    assert "in int_visit this column, last_agent_key, points to agent; write that" in said


def test_only_the_group_with_the_names_of_agents_has_a_filter_by_agent(project: WrongProject) -> None:
    project.change("access.yml", "root: agent, filtered: agent}", "root: agent_day, filtered: agent}")
    assert "agent_day has no agent to filter by; write " in next(
        said for said in project.check() if said.startswith("access.yml")
    )


@pytest.mark.parametrize("former", ["calls", "[called, calls]"])
def test_a_column_has_one_former_name_or_several(project: WrongProject, former: str) -> None:
    caption = "            caption: {nl: Inkomende gesprekken, en: Inbound calls}"
    project.change(
        "models/marts/line/line_interval.yml", caption, f"            renamed_from: {former}\n{caption}"
    )
    assert project.check() == []


def test_what_a_wrong_mart_says_is_missed_nowhere_else(project: WrongProject) -> None:
    """The captions in queue_interval are those of agents' marts and of reports, too."""
    line = project.change(
        "models/marts/queue/queue_interval.yml",
        "      - name: talk_s\n        data_type: integer",
        "      - name: talk_s\n        data_type: int",
    )
    (said,) = project.check()
    assert said.startswith(f"models/marts/queue/queue_interval.yml line {line + 1}: ")


def test_a_file_that_is_no_yaml_hides_no_other(project: WrongProject) -> None:
    for file in (
        "metrics.yml",
        "captions.yml",
        "access.yml",
        "models/reports.yml",
        "expectations/queue_day.yml",
    ):
        project.write(file, "[")
    project.change("models/marts/queue/queue_day.yml", "reach_days: 6", "reach_day: 6")
    found = project.check()
    assert [one.partition(" line ")[0] for one in found] == [
        "access.yml",
        "captions.yml",
        "expectations/queue_day.yml",
        "metrics.yml",
        "models/marts/queue/queue_day.yml",
        "models/reports.yml",
    ]


def test_files_that_are_missing_or_too_many(project: WrongProject) -> None:
    (project.folder / "expectations/queue_day.yml").rename(project.folder / "expectations/queue_dy.yml")
    (project.folder / "models/marts/line/line_interval.yml").rename(project.folder / "line_interval.yml")
    (project.folder / "models/marts/agent/agent_day.sql").rename(
        project.folder / "models/marts/agent/agent_dy.sql"
    )
    (project.folder / "models/marts/agent/agent.sql").write_bytes(b"--\n-- \xe9\n")
    project.write("models/marts/agent/agent.yml", "models:\n  - name: agent\n\tgroup: agent\n")
    project.write("models/of_python.py", "")
    project.write("expectations/queue_interval.yaml", "")
    found = "\n".join(project.check())
    for said in (
        "models/marts/queue/queue_day.yml line 4: queue_day: mart queue_day has no suite; add expectations/",
        "expectations/queue_dy.yml line 1: there is no mart queue_dy",
        "models/marts/line/line_interval.sql line 1: no file declares the model line_interval",
        "agent_day: there is no agent_day.sql; write agent_dy",
        "models/marts/agent/agent_dy.sql line 1: no file declares the model agent_dy",
        "models/marts/agent/agent.sql line 2: not UTF-8; save it as UTF-8",
        "models/marts/agent/agent.yml line 3: a tab, where YAML wants spaces",
        "models/of_python.py line 1: a model is SQL; write it as of_python.sql",
        "expectations/queue_interval.yaml line 1: nobody reads this file; rename it to queue_interval.yml",
    ):
        assert said in found, found


def plain(mart: Mart) -> str:
    """A mart without what dbt does to its texts: it fills in descriptions, and cuts off the ends of lines."""
    without = {"description": ""}
    columns = tuple(column.model_copy(update=without) for column in mart.declared)
    return mart.model_copy(update=without | {"declared": columns}).model_dump_json().replace("\\n", "")


def test_the_marts_are_those_that_dbt_reads() -> None:
    """What is checked is what is built: both readings of the YAML give the same marts."""
    documents = {
        model.name: dbt_project.mart_document(model.document)
        for model in model_files.models({file: model_files.load(file) for file in model_files.files()})
        if model.materialized == "store"
    }
    read = {name: Mart.model_validate(document) for name, document in documents.items()}
    for mart in marts():
        assert plain(read.pop(mart.name)) == plain(mart)
    assert not read


def test_a_build_begins_with_it(project: WrongProject, tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home", dsn=None, folders=[])
    checking.require(settings)
    project.change("models/marts/queue/queue_day.yml", "reach_days: 6", "reach_day: 6")
    project.change("captions.yml", "{nl: Inkomend, en: Inbound}", "{nl: Inkomend}")
    with pytest.raises(
        UserError, match=r"^captions.yml line \d+: .* \(and 1 more: `callmart check` says all\)$"
    ):
        window.build(None, settings, lambda *_: None)  # type: ignore[arg-type]  # it asks for no server
    project.change("models/marts/queue/queue_day.yml", "reach_day: 6", "reach_days: 6")
    with pytest.raises(UserError, match=r"^captions.yml line \d+: [^(]*$"):
        checking.require(settings)
    project.change("captions.yml", "{nl: Inkomend}", "{nl: Inkomend, en: Inbound}")
    checking.require(settings)


def test_the_command_says_all_and_imports_little(
    project: WrongProject, capsys: pytest.CaptureFixture[str]
) -> None:
    run = CliRunner().invoke
    said = run(check.app)
    assert (said.exit_code, said.stdout) == (0, "check: everything that is declared fits together\n")
    project.change("models/marts/queue/queue_day.yml", "reach_days: 6", "reach_day: 6")
    said = run(check.app)
    assert said.exit_code == 2
    assert "reach_day: unknown key; write reach_days" in said.stdout
    assert said.stdout.endswith("\ncheck: 1 mistake\n")
    program = "import sys; sys.argv[1:] = ['check']; from callmart.cli.entry import main\n"
    program += "try: main()\nfinally: print(*{name.partition('.')[0] for name in sys.modules})"
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert not {"dbt", "great_expectations", "pandas", "tableauserverclient"} & set(ran.stdout.split())
