"""Every number of every report, three times: as we draw it, as the workbook's formulas compute it, and by SQL that was
written by hand.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import date, time, timedelta
from typing import Any, NamedTuple

import pytest
from lxml import etree

from callmart.access import logins
from callmart.declarations import exposures
from callmart.declarations.exposures import Report, Sheet
from callmart.reports import drawing, reading, weeks
from callmart.reports.drawing import Declared
from callmart.reports.language import Language
from callmart.reports.page import Page, Section
from callmart.reports.scene import NOW
from callmart_home import Callmart
from centre import NAMED, STANDARD
from drawn import BEFORE, WEEK
from formulas import Formulas
from tableau_files import built, source
from today import TODAY, YESTERDAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted")]

REPORTS = exposures.reports()
SHEETS = [(name, sheet.name) for name, report in REPORTS.items() for sheet in report.sheets]
DAYS = [day for day in WEEK.days if day < TODAY]
Numbers = Counter[tuple[Any, ...]]  # a tuple per row: what it is about, and its numbers

# -- by hand ---------------------------------------------------------------------------------------------------------

LARGEST = ("wait_max_s", "peak_calls", "channels")
HOURS = ("talk_s", "hold_s", "wrapup_s", "ring_s", "member_s", "seconds", "logged_in_s", "ready_s", "status_break_s",
         "status_training_s")  # fmt: skip
HANDLING = "sum(talk_s + coalesce(hold_s, 0) + coalesce(wrapup_s, 0))"
RATIOS = {
    "service_level": "sum(answered_in_threshold)::float / nullif(sum(offered - short_abandoned), 0)",
    "answer_rate": "sum(answered)::float / nullif(sum(offered - short_abandoned), 0)",
    "abandonment_rate": "sum(abandoned - short_abandoned)::float / nullif(sum(offered - short_abandoned), 0)",
    "average_speed_of_answer": "sum(wait_answered_s)::float / nullif(sum(answered), 0)",
    "average_time_to_abandon": "sum(wait_abandoned_s)::float / nullif(sum(abandoned), 0)",
    "average_handling_time": f"{HANDLING}::float / nullif(sum(answered) filter (where talk_s is not null), 0)",
    "average_talk_time": "sum(talk_s)::float / nullif(sum(answered) filter (where talk_s is not null), 0)",
    "average_hold_time": "sum(hold_s)::float / nullif(sum(contacts_held), 0)",
    "average_wrapup_time": "sum(wrapup_s)::float / nullif(sum(answered) filter (where wrapup_s is not null), 0)",
    "transfer_rate": "sum(transferred_blind + transferred_attended)::float"
    " / nullif(sum(answered) filter (where transferred_blind is not null), 0)",
    "overflow_rate": "sum(overflowed)::float / nullif(sum(offered), 0)",
    "agents_present": "sum(staffed_s)::float / 900"
    " / nullif(count(distinct interval_start) filter (where staffed_s is not null), 0)",
    "agents_needed": "sum(needed_s)::float / 900"
    " / nullif(count(distinct interval_start) filter (where needed_s is not null), 0)",
    "agent_average_handling_time": f"{HANDLING}::float / nullif(sum(contacts), 0)",
    "agent_ring_answer_rate": "sum(rings_answered)::float / nullif(sum(rings_answered + rings_unanswered), 0)",
    "occupancy": "(sum(talk_s + coalesce(hold_s, 0) + coalesce(wrapup_s, 0)) filter (where ready_s is not null))::float"
    " / nullif(sum(ready_s - ring_s), 0)",
}  # fmt: skip
DIMENSIONS = {
    "day": "call_date",
    "quarter_hour": "to_char(interval_local, 'HH24:MI')",
    "agent": "(select agent from store.agent as a where (a.customer_id, a.agent_key) = (m.customer_id, m.agent_key))",
    "weeks": "(call_date - (extract(isodow from call_date)::int - 1))",
    "months": "make_date(extract(year from call_date)::int, extract(month from call_date)::int, 1)",
}


def by_hand(name: str) -> str:
    if name in RATIOS:
        return RATIOS[name]
    total = f"max({name})" if name in LARGEST else f"sum({name})"
    return f"{total} / 3600.0" if name in HOURS else total


def dimensions(sheet: Sheet) -> list[str]:
    if sheet.kind == "heat_map":
        return ["day", "quarter_hour"]
    return [str(each) for each in (sheet.over, sheet.by, sheet.then_by) if each]


def is_compared(sheet: Sheet) -> bool:
    return sheet.kind == "figures" or (sheet.kind == "line" and not (sheet.together or sheet.is_trend))


def of_sql(callmart: Callmart, customer: int, sheet: Sheet) -> Numbers:
    days, where = list(DAYS), "true"
    if sheet.over == "weeks":
        end = WEEK.monday + timedelta(days=7) if WEEK.sunday < TODAY else WEEK.monday
        days = [end - timedelta(days=n) for n in range(1, 13 * 7 + 1)]
    elif sheet.over == "months":
        until = min(WEEK.monday + timedelta(days=7), TODAY).replace(day=1)
        days = [until - timedelta(days=n) for n in range(1, 366)]  # there are three weeks of data
    elif is_compared(sheet):
        days += [day - BEFORE for day in DAYS]
    if sheet.without:
        where = f"{sheet.by} <> '{sheet.without}'"
    for column, word in sheet.only.items():
        where = f"{column} = '{word}'"
    if sheet.kind == "list":
        columns = ["agent" if each == "agent_key" else each for each in sheet.columns]
        shown = ", ".join(DIMENSIONS.get(each, each) for each in columns)
        tail = ""
    else:
        named = [DIMENSIONS.get(each, each) for each in dimensions(sheet)]
        if is_compared(sheet):
            named.append(f"call_date >= '{WEEK.monday}'")
        shown = ", ".join([*named, *map(by_hand, sheet.measures)])
        tail = f"group by {', '.join(map(str, range(1, len(named) + 1)))}" if named else ""
        if sheet.kind == "heat_map":  # a cell without a number is none
            tail += f" having {by_hand(sheet.measures[0])} is not null"
    with callmart.connect() as owner:
        rows = owner.execute(
            f"select {shown} from store.{sheet.mart} as m"
            f" where customer_id = %s and call_date = any(%s) and {where} {tail}",
            [customer, days],
        ).fetchall()
    return counted(rows)


def counted(rows: Any) -> Numbers:
    return Counter(tuple(plain(value) for value in row) for row in rows)


def plain(value: Any) -> Any:
    match value:
        case bool() | None | str() | date():
            return value
        case time():
            return f"{value:%H:%M}"
    return round(float(value), 6)


# -- as we draw it ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def names(two_weeks: Callmart) -> dict[str, str]:
    return {
        row["agent_key"]: row["agent"] for row in two_weeks.rows("select agent_key, agent from store.agent")
    }


@pytest.fixture(scope="module")
def pages(two_weeks: Callmart) -> dict[str, Page]:
    declared = Declared.of(two_weeks.settings)
    with two_weeks.connect() as owner, logins.connect(two_weeks.settings, "publisher") as publisher:
        return {
            name: drawing.draw(publisher, declared, report, reading.customer(owner, whose(report)), WEEK)
            for name, report in REPORTS.items()
        }


def whose(report: Report) -> int:
    return STANDARD if report.group == "contact" else NAMED


def of_drawing(section: Section, sheet: Sheet, names: dict[str, str]) -> Numbers:
    measures = sheet.columns or sheet.measures
    grains = dimensions(sheet)
    if is_compared(sheet):
        grains.append(NOW)
    return counted(
        [
            names.get(value, value) if isinstance(value, str) else value
            for value in (row[each] for each in (*grains, *measures))
        ]
        for row in section.records.rows
    )


# -- as the workbook computes it -------------------------------------------------------------------------------------


class Used(NamedTuple):
    """A field as a sheet of the workbook uses it."""

    derivation: str
    name: str


INSTANCE = re.compile(r"\[(none|sum|max|usr|wd|attr):([^\]]*?):(?:nk|ok|qk)\]")
TOTALS: dict[str, Callable[[list[Any]], Any]] = {"sum": sum, "max": max}


def used(written: str) -> Used:
    found = INSTANCE.search(written)
    assert found is not None
    return Used(*found.groups())


class Tableau:
    """A workbook of a report, with the rows of a mart as its data source has them."""

    def __init__(self, callmart: Callmart, report: Report, names: dict[str, str]) -> None:
        self.callmart, self.report, self.names = callmart, report, names
        self.source = source(report.group, "nl")
        self.document = etree.fromstring(built(report.name, "nl"))
        own = self.document.iterfind("datasources/datasource[@caption]/column[calculation]")
        formulas = {name: field.formula for name, field in self.source.fields.items() if field.formula}
        formulas |= {each.get("name")[1:-1]: each.find("calculation").get("formula") for each in own}
        formulas.pop("Person_agent", None)
        back = (weeks.of(TODAY).monday - WEEK.monday).days // 7
        self.formulas = Formulas(formulas, {"weeks_back": back}, TODAY, [])

    def through(self, customer: int) -> dict[str, Any]:
        """How far the data goes, as each row is joined with it."""
        (row,) = self.callmart.rows("select * from mart.data_through", customer_id=customer)
        return {self.source.name("data_through", column): value for column, value in row.items()}

    def rows(self, mart: str, customer: int) -> list[dict[str, Any]]:
        through = self.through(customer)
        found = self.callmart.rows(f"select * from store.{mart} where customer_id = %s", customer)
        rows = [
            {**through, **row, **{self.source.name(mart, column): value for column, value in row.items()},
             "Person_agent": self.names.get(row.get("agent_key", ""))}
            for row in found
        ]  # fmt: skip
        self.formulas.hold(rows)
        return rows

    def value(self, used: Used, rows: list[dict[str, Any]]) -> Any:
        if used.derivation in TOTALS:
            known = [value for row in rows if (value := self.formulas.value(used.name, [row])) is not None]
            return TOTALS[used.derivation](known) if known else None
        return self.formulas.value(used.name, rows)

    def numbers(self, sheet: Sheet, customer: int) -> Numbers:
        rows = self.rows(sheet.mart, customer)
        if sheet.kind == "figures":
            values = [self.figure(sheet, measure, rows) for measure in sheet.measures]
            return counted((is_now, *(each[n] for each in values)) for n, is_now in enumerate((True, False)))
        title = sheet.title.nl
        sheets = {one.get("name"): one for one in self.document.iterfind("worksheets/worksheet")}
        drawn = sheets.get(f"{title} ({sheet.name})", sheets.get(title))
        assert drawn is not None
        rows = [row for row in rows if all(self.passes(each, row) for each in drawn.iter("filter"))]
        shelves = f"{drawn.findtext('table/rows')} {drawn.findtext('table/cols')}"
        colours = [each.get("column") for each in drawn.iterfind("table/panes/pane/encodings/color")]
        found = [Used(*each) for each in INSTANCE.findall(" ".join([shelves, *colours]))]
        dims = list(dict.fromkeys(each for each in found if each.derivation in ("none", "wd")))
        if sheet.kind == "list":
            count = Used("usr", f"Workbook_rows_of_{sheet.mart}")
            return Counter(
                {tuple(map(plain, key)): self.value(count, own) for key, own in self.marks(dims, rows)}
            )
        measures = [each for each in found if each not in dims] or list(self.several(drawn))
        if sheet.kind == "heat_map":
            (measure,) = drawn.iterfind("table/panes/pane/encodings/color")
            measures = [used(measure.get("column"))]
            # Or a cell has no colour.
            rows = [row for row in rows if self.value(measures[0], [row]) is not None]
        measures = list(dict.fromkeys(measures))
        return counted(
            (*self.place(sheet, dims, key), *(self.value(each, own) for each in measures))
            for key, own in self.marks(dims, rows)
        )

    def marks(
        self, dims: list[Used], rows: list[dict[str, Any]]
    ) -> Iterator[tuple[tuple[Any, ...], list[Any]]]:
        marks: dict[tuple[Any, ...], list[Any]] = {}
        for row in rows:
            marks.setdefault(tuple(self.formulas.value(each.name, [row]) for each in dims), []).append(row)
        yield from marks.items()

    def place(self, sheet: Sheet, dims: list[Used], key: tuple[Any, ...]) -> list[Any]:
        """What a mark is about, in the order in which the report declares it."""
        at = {each.name.partition(" (")[0]: value for each, value in zip(dims, key, strict=True)}
        is_now = at.get("Workbook_which") != "Week ervoor"
        fields = {
            "day": "call_date", "agent": "Person_agent", "weeks": "Time_week", "months": "Time_month",
            "quarter_hour": "Time_quarter_hour",
        }  # fmt: skip
        found = []
        for dimension in dimensions(sheet):
            if dimension == "day" and "Workbook_day" in at:
                found.append(at["Workbook_day"] - (timedelta(0) if is_now else BEFORE))
            elif dimension == "quarter_hour" and "Time_time_of_day" in at:
                hour, minute = divmod(round(60 * at["Time_time_of_day"]), 60)
                found.append(f"{hour:02}:{minute:02}")
            else:
                found.append(at[fields.get(dimension, dimension)])
        return [*found, is_now] if is_compared(sheet) else found

    def several(self, drawn: etree._Element) -> Iterator[Used]:
        """The measures that a sheet shows by their names."""
        for one in drawn.iterfind(".//filter/groupfilter/groupfilter[@level='[:Measure Names]']"):
            yield used(one.get("member"))

    def figure(self, sheet: Sheet, measure: str, rows: list[dict[str, Any]]) -> tuple[Any, Any]:
        field = self.source.measure(sheet.mart, measure).name
        now, before = (self.formulas.value(f"Workbook_{part}_{field}", rows) for part in ("now", "before"))
        return now, before

    def passes(self, condition: etree._Element, row: dict[str, Any]) -> bool:
        """Whether a row passes a filter of a sheet."""
        found = INSTANCE.search(condition.get("column"))
        if found is None:  # by the names of measures
            return True
        value = self.formulas.value(found[2], [row])
        (group,) = condition.iterfind("groupfilter")
        match group.get("function"):
            case "level-members":
                return True
            case "except":
                return bool(value != group[1].get("member").strip('"'))
        return bool(value == (True if group.get("member") == "true" else group.get("member").strip('"')))


@pytest.fixture(scope="module")
def workbooks(two_weeks: Callmart, names: dict[str, str]) -> dict[str, Tableau]:
    return {name: Tableau(two_weeks, report, names) for name, report in REPORTS.items()}


@pytest.mark.parametrize("name", REPORTS)
def test_both_say_how_far_the_data_goes(
    pages: dict[str, Page], workbooks: dict[str, Tableau], name: str
) -> None:
    """By the last open day, which a mart's own rows may not have."""
    workbook = workbooks[name]
    day = workbook.formulas.value("Workbook_through", [workbook.through(whose(REPORTS[name]))])
    assert day == min(YESTERDAY, WEEK.sunday)
    assert pages[name].through == f"Gegevens tot en met {Language('nl').long(day)}"


# -- all three -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "sheet_name"), SHEETS)
def test_each_number_is_the_same_three_times(
    two_weeks: Callmart,
    pages: dict[str, Page],
    workbooks: dict[str, Tableau],
    names: dict[str, str],
    name: str,
    sheet_name: str,
) -> None:
    report = REPORTS[name]
    sheet = next(one for one in report.sheets if one.name == sheet_name)
    section = next(one for one in pages[name].sections if one.name == sheet_name)
    wanted = of_sql(two_weeks, whose(report), sheet)
    assert len(DAYS) == 1 or any(isinstance(value, float) and value for row in wanted for value in row), (
        "the control"
    )
    assert of_drawing(section, sheet, names) == wanted
    assert workbooks[name].numbers(sheet, whose(report)) == wanted
