"""Workbooks: valid, on fields that are there, the same again; what a supervisor sees, and what it comes to."""

import json
import re
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from lxml import etree

from callmart.base.declared import Locale
from callmart.base.errors import UserError
from callmart.declarations import exposures
from callmart.tableau_files import tds, workbook
from callmart.tableau_files.workbook import book, dashboard, references
from callmart.tableau_files.workbook.published import PublishedSource
from callmart.tableau_files.workbook.sheet import BREAK, literal
from earlier import before_renaming
from formulas import Formulas, Row
from tableau_files import (
    CUSTOMER,
    EXPLAIN_DATA,
    FUNCTIONS,
    PUBLISHED,
    built,
    each_report,
    errors,
    marts,
    schema,
    source,
    unknown_to_reader,
    unlisted,
)


def parsed(name: str, locale: Locale = "nl") -> etree._Element:
    return etree.fromstring(built(name, locale))


# -- what is generated -----------------------------------------------------------------------------------------------


@each_report
def test_tableaus_schema_accepts_it(name: str, locale: Locale) -> None:
    assert errors(parsed(name, locale)) == []


@each_report
def test_it_lists_all_that_tableau_would_refuse_unlisted(name: str, locale: Locale) -> None:
    document = parsed(name, locale)
    assert unlisted(document) == set()
    document.find("document-format-change-manifest").clear()
    assert "SetMembershipControl" in unlisted(document)


def test_the_schema_refuses_what_is_wrong() -> None:
    broken = parsed("traffic")
    broken.find("worksheets/worksheet").remove(broken.find("worksheets/worksheet/table"))
    assert not schema().validate(etree.fromstring(etree.tostring(broken)))
    assert [one for one in errors(broken) if one != EXPLAIN_DATA]


@each_report
def test_same_input_gives_the_same_bytes(name: str, locale: Locale) -> None:
    report = exposures.reports()[name]
    again = workbook.build(report, CUSTOMER, tds.source(report.group, marts(), locale), PUBLISHED)
    assert again == built(name, locale)


@each_report
def test_a_renamed_report_is_the_same_workbook(name: str, locale: Locale) -> None:
    """Tableau knows sheets by their ids, so those follow from the report's first name."""
    report = before_renaming(exposures.reports()[name])
    assert workbook.build(report, CUSTOMER, source(report.group, locale), PUBLISHED) == built(name, locale)
    other = report.model_copy(update={"name": "other"})
    assert workbook.build(other, CUSTOMER, source(report.group, locale), PUBLISHED) != built(name, locale)


@each_report
def test_two_customers_differ_in_their_name_and_data_source_only(name: str, locale: Locale) -> None:
    report = exposures.reports()[name]
    other = workbook.build(
        report,
        "Nachtwacht",
        source(report.group, locale),
        PublishedSource(PUBLISHED.server, PUBLISHED.site, "Other"),
    )
    assert PUBLISHED.content_url.encode() not in other
    assert literal(CUSTOMER).replace("&", "&amp;").encode() not in other

    def skeleton(document: bytes) -> list[str]:
        return [element.tag for element in etree.fromstring(document).iter()]

    assert skeleton(other) == skeleton(built(name, locale))


@each_report
def test_every_field_is_in_the_data_source_with_its_type(name: str, locale: Locale) -> None:
    """Held against the .tds as written, not against what wrote both."""
    report = exposures.reports()[name]
    of = etree.fromstring(tds.as_xml(source(report.group, locale), Path("x.hyper")))
    there = {column.get("name"): column for column in of.iterfind("column") if column.get("hidden") != "true"}
    document = parsed(name, locale)
    own = document.find("datasources/datasource[@caption]")
    calculated = {column.get("name") for column in own.iterfind("column[calculation]")}
    seen = 0
    for column in document.iter("column"):
        parent = column.getparent()
        if "Parameters" in (parent.get("name"), parent.get("datasource")) or column.get("datatype") is None:
            continue
        if column.get("name") == "[:Measure Names]":
            continue
        if column.find("calculation") is None or column.get("name") in there:
            assert column.get("datatype") == there[column.get("name")].get("datatype")
            assert column.get("caption") == there[column.get("name")].get("caption")
        seen += 1
    for instance in document.iter("column-instance"):
        assert instance.get("column") in there or instance.get("column") in calculated
    assert seen > 20

    instances = {one.get("name") for one in own.iterfind("column-instance")}
    for sheet in document.iterfind("worksheets/worksheet"):
        used = {
            found[2] for found in references.REFERENCE.finditer(etree.tostring(sheet, encoding="unicode"))
        }
        assert used, sheet.get("name")
        assert {f"[{field}]" for field in used} <= instances | {
            "[:Measure Names]",
            "[Multiple Values]",
            "[weeks_back]",
        }


@each_report
def test_it_has_one_connection_to_the_published_data_source(name: str, locale: Locale) -> None:
    document = parsed(name, locale)
    (connection,) = document.iter("connection")
    assert connection.get("class") == "sqlproxy"
    assert (connection.get("server"), connection.get("port"), connection.get("channel")) == (
        "tableau.example.nl",
        "443",
        "https",
    )
    assert connection.get("dbname") == PUBLISHED.content_url
    (location,) = document.iter("repository-location")
    assert (location.get("id"), location.get("site")) == (PUBLISHED.content_url, PUBLISHED.site)
    assert location.get("path") == "/t/calls/datasources"


@each_report
def test_independent_readers_see_all_of_it(tmp_path: Path, name: str, locale: Locale) -> None:
    from py_tbparse import TwbParser
    from tableau_inspector.analyzer import analyze

    file = tmp_path / f"{name}.twb"
    file.write_bytes(built(name, locale))
    document = parsed(name, locale)
    sheets = {one.get("name") for one in document.iterfind("worksheets/worksheet")}
    (title,) = (one.get("name") for one in document.iterfind("dashboards/dashboard"))
    calculated = {one.get("name") for one in document.iterfind("datasources/datasource/column[calculation]")}

    parser = TwbParser(file)
    assert list(parser.get_dashboards()["name"]) == [title]
    assert set(parser.get_dashboard_sheets()["sheet"]) == sheets
    assert set(parser.get_calculated_fields()["tableau_internal_name"]) >= calculated - {"[weeks_back]"}
    assert list(parser.get_datasources()["connection_class"]) == ["sqlproxy"]
    assert (
        len(parser.get_missing_references())
        == len(parser.get_custom_sql())
        == len(parser.get_initial_sql())
        == 0
    )
    fields = source(exposures.reports()[name].group, locale).fields
    assert unknown_to_reader(file) <= {field.name for field in fields.values() if field.is_hidden}

    inspected = analyze(str(file))
    assert set(inspected.inventory.worksheets) == sheets
    assert inspected.inventory.dashboards == [title]
    assert inspected.inventory.connections == ["sqlproxy: tableau.example.nl"]
    found = {issue.rule_id for issue in inspected.issues if issue.severity != "info"}
    # Tastes that are not ours: people see the dashboard only, its filter always, and columns in the order declared. The
    # calculations of the data source are all there, whether a sheet uses them or not.
    assert found <= {
        "dashboard-header-font-size",
        "dashboard-missing-filter-toggle",
        "hidden-worksheets",
        "inconsistent-member-order",
        "unused-calculations",
        "workbook-complexity",
    }


# -- what a supervisor sees ------------------------------------------------------------------------------------------


@each_report
def test_the_head_says_report_customer_and_period(name: str, locale: Locale) -> None:
    report = exposures.reports()[name]
    document = parsed(name, locale)
    said = "".join(document.find("dashboards/dashboard/zones").itertext("run"))
    assert report.title.of(locale) in said
    assert literal(CUSTOMER) in said
    assert "<" not in said  # or Tableau would look for a field
    dates = document.xpath("datasources/datasource/column[@datatype='date']/@name")
    assert {"[Workbook_from]", "[Workbook_until]"} <= set(dates)
    message = document.find("datasources/datasource/column[@name='[Workbook_message]']/calculation")
    assert report.empty.of(locale) in message.get("formula")


@each_report
def test_all_sheets_share_the_filter_and_show_the_chosen_week(name: str, locale: Locale) -> None:
    document = parsed(name, locale)
    people = source(exposures.reports()[name].group, locale).filtered
    for sheet in document.iterfind("worksheets/worksheet"):
        formulas = " ".join(one.get("formula", "") for one in sheet.iter("calculation"))
        assert "[Parameters].[weeks_back]" in formulas
        shared = [
            one.get("filter-group") for one in sheet.iter("filter") if f":{people.name}:" in one.get("column")
        ]
        assert shared == ([] if sheet.get("name") in ("Periode", "Period") else ["1"])
    shown = {zone.get("type-v2") for zone in document.iterfind("dashboards/dashboard/zones//zone")}
    assert {"filter", "paramctrl", "text"} <= shown


HOURS = {
    "accessibility",
    "traffic",
    "handling",
    "lines",
    "contacts",
}  # their key figures count by quarter-hour


@each_report
def test_opening_hours_are_a_filter_where_the_data_tell_them_apart(name: str, locale: Locale) -> None:
    document, report = parsed(name, locale), exposures.reports()[name]
    of = source(report.group, locale)
    field = of.name(report.main_mart, "open")
    titles = {one.title.of(locale) for one in report.sheets if one.mart == report.main_mart}
    if name not in HOURS:
        assert not document.xpath("//filter[@filter-group='2']")
        return
    cards = document.xpath("//dashboard/zones//zone[@type-v2='filter']/@param")
    assert [card.split(":")[1] for card in cards] == [of.filtered.name, field]
    for sheet in document.iterfind("worksheets/worksheet"):
        shared = [one for one in sheet.iter("filter") if one.get("filter-group") == "2"]
        if sheet.get("name") in titles:
            assert [one.get("column").split(":")[1] for one in shared] == [field]
            assert [one.get("function") for (one,) in shared] == ["level-members"], "at first, all"
    words = document.findall(f"datasources/datasource/column[@name='[{field}]']/aliases/alias")
    assert [word.get("key") for word in words] == ["true", "false"]


@each_report
def test_zones_neither_overlap_nor_leave_the_page(name: str, locale: Locale) -> None:
    dashboard_ = parsed(name, locale).find("dashboards/dashboard")
    layouts = [dashboard_.find("zones"), dashboard_.find("devicelayouts/devicelayout/zones")]
    contents = []
    for layout in layouts:
        leaves = [zone for zone in layout.iter("zone") if zone.find("zone") is None]
        boxes = [tuple(int(zone.get(side)) for side in "xywh") for zone in leaves]
        for number, (x, y, wide, high) in enumerate(boxes):
            assert wide > 0 < high
            assert x >= 0 <= y
            assert x + wide <= dashboard.WHOLE >= y + high
            for x2, y2, wide2, high2 in boxes[:number]:
                assert x >= x2 + wide2 or x2 >= x + wide or y >= y2 + high2 or y2 >= y + high
        contents.append({(zone.get("id"), zone.get("name"), zone.get("param")) for zone in leaves})
    assert contents[0] == contents[1]  # the phone has all of it
    ids = [zone.get("id") for zone in layouts[0].iter("zone")]
    assert len(ids) == len(set(ids))
    size = dashboard_.find("size")
    assert int(size.get("maxheight")) / int(size.get("maxwidth")) == pytest.approx(2**0.5, abs=0.001)


@each_report
def test_it_leads_to_the_contacts_where_the_customer_has_their_list(name: str, locale: Locale) -> None:
    report = exposures.reports()[name]
    assert parsed(name, locale).find("actions") is None
    document = etree.fromstring(
        workbook.build(report, CUSTOMER, source(report.group, locale), PUBLISHED, rows_at="Contacten_7")
    )
    assert errors(document) == []
    view = {"nl": "Contacten", "en": "Contacts"}[locale]
    there = f"https://tableau.example.nl/#/site/calls/views/Contacten_7/{view}?"
    actions = document.findall("actions/action")
    assert all(one.find("link").get("expression").startswith(there) for one in actions)
    for sheet in document.iterfind("worksheets/worksheet"):
        own = [one for one in actions if sheet.get("name") not in one.xpath("source/exclude-sheet/@name")]
        assert len(own) == bool(report.rows_in)


def test_the_link_to_the_contacts_says_of_which_day_queue_and_week_they_are() -> None:
    """With fields that the sheet has: Tableau has no value for any other. Each is a field of the other workbook."""
    report = exposures.reports()["accessibility"]
    document = etree.fromstring(
        workbook.build(report, CUSTOMER, source("queue", "nl"), PUBLISHED, rows_at="Contacten_7")
    )
    names, contacts = {}, source("contact", "nl")
    for action in document.iterfind("actions/action"):
        without = action.xpath("source/exclude-sheet/@name")
        asked = action.find("link").get("expression").partition("?")[2]
        told = dict(re.findall(r"([^&=]+)=<([^>]+)~na>", unquote(asked)))
        for sheet in document.iterfind("worksheets/worksheet"):
            if sheet.get("name") in without:
                continue
            names[sheet.get("name")] = {key: value.partition("].")[2] for key, value in told.items()}
            used = set(sheet.xpath("table/panes/pane/encodings/*/@column"))
            shelves = f"{sheet.findtext('table/rows')} {sheet.findtext('table/cols')}"
            for field in set(told.values()) - {"[Parameters].[weeks_back]"}:
                assert field in used or field in shelves
    weeks, day, queue = book.WEEKS.nl, contacts.fields["call_date"].caption, contacts.filtered.caption
    of_day = {weeks: "[attr:Time_weeks_ago:ok]", day: "[attr:call_date:ok]"}
    assert names["Wat er van de gesprekken werd"] == of_day
    assert names["Servicelevel en bereikbaarheid per dag"] == of_day
    assert names["Per wachtrij"] == {weeks: "[weeks_back]", queue: "[none:queue:nk]"}
    assert names["Hoe lang bellers wachtten"] == {weeks: "[weeks_back]"}


def test_a_heat_map_is_week_day_by_quarter_hour() -> None:
    (sheet,) = parsed("traffic").iterfind(
        "worksheets/worksheet[@name='Aangeboden gesprekken per dag en kwartier']"
    )
    assert ".[wd:call_date:ok]" in sheet.findtext("table/rows")
    assert "[none:Time_hour:nk]" in sheet.findtext("table/cols")
    assert "[none:Time_quarter_hour:nk]" in sheet.findtext("table/cols")
    assert sheet.find("table/panes/pane/mark").get("class") == "Square"


def contrast(colour: str) -> float:
    """Relative luminance against white, as WCAG has it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 1.05 / (0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2] + 0.05)


@each_report
def test_texts_can_be_read_and_tooltips_have_words(name: str, locale: Locale) -> None:
    document = parsed(name, locale)
    for run in document.iter("run"):
        if run.get("fontcolor"):
            is_large = int(run.get("fontsize", "9")) >= 12 and run.get("bold")
            assert contrast(run.get("fontcolor")) >= (3 if is_large else 4.5)
    for pane in document.iterfind("worksheets/worksheet/table/panes/pane"):
        runs = list(pane.find("customized-tooltip").iter("run"))
        assert runs
        assert runs[-1].text != BREAK
        # or Tableau says that a field is missing
        table = pane.getparent().getparent()
        on_shelves = (table.findtext("rows") or "") + (table.findtext("cols") or "")
        encoded = {one.get("column") for one in pane.find("encodings")}
        for run in [*runs, *pane.iterfind("customized-label//run")]:
            for field in re.findall(r"<(\[[^>]+\])>", run.text or ""):
                assert field in encoded or field in on_shelves


@each_report
def test_each_report_has_key_figures_and_each_colour_its_legend(name: str, locale: Locale) -> None:
    document = parsed(name, locale)
    for zones in document.iter("zones"):
        leaves = [zone for zone in zones.iter("zone") if zone.find("zone") is None]
        legends = {zone.get("name"): zone.get("param") for zone in leaves if zone.get("type-v2") == "color"}
        tiles = [
            zone for zone in leaves if zone.find("zone-style/format[@attr='background-color']") is not None
        ]
        assert len(tiles) >= 3
        for sheet in document.iterfind("worksheets/worksheet"):
            colours = {one.get("column") for one in sheet.iterfind("table/panes/pane/encodings/color")}
            assert colours == ({legends[sheet.get("name")]} if sheet.get("name") in legends else set())


@each_report
def test_an_axis_begins_where_it_says_something(name: str, locale: Locale) -> None:
    """That of a line does not at 0, unless several lines are compared by their height. That of bars does."""
    report = exposures.reports()[name]
    sheets = {sheet.get("name"): sheet for sheet in parsed(name, locale).iterfind("worksheets/worksheet")}
    lines = 0
    for declared in report.sheets:
        sheet = sheets.get(declared.title.of(locale))
        elsewhere = [] if sheet is None else sheet.findall(".//encoding[@domain-expand='false']")
        measures = [
            source(report.group, locale).measure(declared.mart, one).name for one in declared.measures
        ]
        is_line = declared.kind == "line" and not declared.together
        assert [axis.get("field").split(":")[1] for axis in elsewhere] == (measures if is_line else [])
        lines += is_line
    assert lines or name not in ("accessibility", "handling")


def test_statuses_have_their_order_and_colours_and_absence_is_grey() -> None:
    document = parsed("status")
    field = "[none:status (agent_status_interval):nk]"
    encoding = document.find(f"datasources/datasource/style/style-rule/encoding[@field='{field}']")
    colours = {one.findtext("bucket"): one.get("to") for one in encoding}
    assert len(set(colours.values())) == 7
    red, green, blue = (colours['"away"'][i : i + 2] for i in (1, 3, 5))
    assert red == green == blue
    left_out = {}
    for sheet in document.iterfind("worksheets/worksheet"):
        sort = sheet.find("table/view/manual-sort")
        if sort is not None and field in sort.get("column"):
            assert [one.text for one in sort.iterfind("dictionary/bucket")] == list(colours)
            excepted = sheet.iterfind(".//groupfilter[@function='except']/groupfilter[@member]")
            left_out[sheet.get("name")] = [one.get("member") for one in excepted]
    assert left_out == {"Tijd per status": [], "Status over de dag, zonder afwezig": ['"away"']}


# -- what it computes ------------------------------------------------------------------------------------------------

WEDNESDAY = date(2026, 11, 25)
# Two weeks and a piece, until yesterday: of no two days are the numbers alike.
THROUGH, SO_FAR = "through (data_through)", "so_far (data_through)"
DAYS: list[Row] = [
    {
        THROUGH: date(2026, 11, 24),
        SO_FAR: None,
        "call_date": day,
        "offered": 40 + number,
        "short_abandoned": number % 3,
        "answered_in_threshold": 20 + number % 5,
        "answered": 30 + number % 7,
        "wait_answered_s": None if number == 9 else 900 + 7 * number,
    }
    for number, day in enumerate(date(2026, 11, 9) + timedelta(days=n) for n in range(16))
]


def computed(name: str, weeks_back: int = 1, today: date = WEDNESDAY, data: Sequence[Row] = DAYS) -> Formulas:
    columns = parsed(name).iterfind("datasources/datasource[@caption]/column[calculation]")
    formulas = {column.get("name")[1:-1]: column.find("calculation").get("formula") for column in columns}
    return Formulas(formulas, {"weeks_back": weeks_back}, today, data)


def total(rows: list[Row], column: str, first: int, last: int) -> int:
    return sum(row[column] or 0 for row in rows if first <= row["call_date"].day <= last)


@pytest.mark.parametrize(
    ("weeks_back", "this", "before"),
    [
        pytest.param(1, (16, 22), (9, 15), id="the last complete week"),
        pytest.param(0, (23, 24), (16, 17), id="the week that goes on, against the same days"),
    ],
)
def test_a_key_figure_and_its_change_against_the_week_before(
    weeks_back: int, this: tuple[int, int], before: tuple[int, int]
) -> None:
    of = computed("accessibility", weeks_back)

    def value(name: str) -> Any:
        return of.value(f"Workbook_{name}", DAYS)

    now, was = total(DAYS, "offered", *this), total(DAYS, "offered", *before)
    assert (value("now_offered"), value("before_offered")) == (now, was)
    assert value("change_offered") == pytest.approx(now / was - 1, abs=0.0005)

    # a ratio of sums, and never a mean of ratios; its change is in points
    levels = [
        total(DAYS, "answered_in_threshold", *days)
        / (total(DAYS, "offered", *days) - total(DAYS, "short_abandoned", *days))
        for days in (this, before)
    ]
    assert value("now_Calculation_service_level") == pytest.approx(levels[0])
    assert value("change_Calculation_service_level") == pytest.approx((levels[0] - levels[1]) * 100, abs=0.05)

    # a day of which the waits are not known is in neither sum
    known = [day for day in DAYS if day["wait_answered_s"] is not None]
    wait = total(known, "wait_answered_s", *this) / total(known, "answered", *this)
    assert value("now_Calculation_average_speed_of_answer") == pytest.approx(wait)
    assert value("note_offered") == ""


@pytest.mark.parametrize(
    ("offered", "expected"),
    [
        ({17: 7}, (7, None, None, "geen week ervoor")),
        ({11: 7}, (None, None, 7, "geen gegevens")),
        ({11: 0, 17: 7}, (7, None, 0, "")),
        ({11: 10_000, 17: 10_004}, (10_004, 0, 10_000, "")),
    ],
    ids=["no week before", "no week", "nothing before", "a change too small to be seen"],
)
def test_a_key_figure_says_what_is_missing(offered: dict[int, int], expected: tuple[Any, ...]) -> None:
    of = computed("accessibility")
    rows = [
        {**DAYS[-1], "call_date": date(2026, 11, day), "offered": number} for day, number in offered.items()
    ]
    assert tuple(of.value(f"Workbook_{part}_offered", rows) for part in FIGURE) == expected
    said = of.value("Workbook_message", rows)
    assert said == ("Geen gesprekken in deze periode" if expected[0] is None else "")


FIGURE = ("now", "change", "before", "note")


@pytest.mark.parametrize(("target", "said"), [(0.4, "doel 40% gehaald"), (0.825, "doel 82,5% niet gehaald")])
def test_the_target_is_a_line_and_beside_the_key_figure(target: float, said: str) -> None:
    report = exposures.reports()["accessibility"]
    document = etree.fromstring(
        workbook.build(report, CUSTOMER, source("queue", "nl"), PUBLISHED, target=target)
    )
    assert errors(document) == []
    (line,) = document.iter("reference-line")
    assert ".[usr:Calculation_service_level:qk]" in line.get("axis-column")
    assert float(line.get("value")) == target
    formulas = {
        column.get("name")[1:-1]: column.find("calculation").get("formula")
        for column in document.iterfind("datasources/datasource[@caption]/column[calculation]")
    }
    of = Formulas(formulas, {"weeks_back": 1}, WEDNESDAY, DAYS)
    assert of.value("Workbook_note_Calculation_service_level", DAYS) == said
    assert of.value("Workbook_note_offered", DAYS) == ""


def test_a_trend_of_one_week_is_a_point_with_its_number() -> None:
    for pane in parsed("handling").iterfind("worksheets/worksheet[@name='De laatste dertien weken']//pane"):
        looks = {each.get("attr"): each.get("value") for each in pane.iterfind("style/style-rule/format")}
        assert (looks["mark-markers-mode"], looks["mark-labels-line-last"]) == ("all", "true")


def test_lines_of_two_weeks_lie_over_each_other() -> None:
    of = computed("accessibility")
    shown = [day for day in DAYS if of.value("Workbook_both_by_day", [day])]
    assert [day["call_date"].day for day in shown] == list(range(9, 23))
    placed = [(of.value("Workbook_which", [day]), of.value("Workbook_day", [day]).day) for day in shown]
    week = list(range(16, 23))
    assert placed == [("Week ervoor", day) for day in week] + [("Deze week", day) for day in week]


@pytest.mark.parametrize(
    ("today", "weeks_back", "expected"),
    [
        (WEDNESDAY, 1, (47, date(2026, 11, 16), date(2026, 11, 22), "")),
        (date(2026, 11, 23), 0, (48, date(2026, 11, 23), date(2026, 11, 29), ", tot en met gisteren")),
        (date(2027, 1, 4), 1, (53, date(2026, 12, 28), date(2027, 1, 3), "")),
    ],
)
def test_the_head_says_which_week(today: date, weeks_back: int, expected: tuple[Any, ...]) -> None:
    of = computed("accessibility", weeks_back, today)
    assert (
        tuple(of.value(f"Workbook_{name}", DAYS) for name in ("week", "from", "until", "going_on"))
        == expected
    )


def test_today_is_shown_by_day_and_counts_nowhere_else() -> None:
    of, today = computed("accessibility", 0), {**DAYS[-1], "call_date": WEDNESDAY, "offered": 5}
    assert of.value("Workbook_now_offered", [*DAYS, today]) == total(DAYS, "offered", 23, 24)
    assert (of.value("Workbook_both_by_day", [today]), of.value("Workbook_shown", [today])) == (True, False)
    assert of.value("Workbook_which", [today]) == "Deze week"
    through: dict[str, Any] = {THROUGH: WEDNESDAY, SO_FAR: datetime(2026, 11, 25, 14, 5)}
    assert of.value("Workbook_so_far", [through]) == " tot 14:05, tot nu toe"
    assert of.value("Workbook_so_far", [through | {SO_FAR: None}]) == ""
    assert computed("accessibility", 1).value("Workbook_so_far", [through]) == "", "another week"


def test_a_day_that_was_published_before_its_end_counts_as_if_it_went_on() -> None:
    """Tableau could not be reached since, or the customer's midnight comes later than that of Tableau's clock."""
    days = [{**day, SO_FAR: datetime(2026, 11, 24, 14, 5)} for day in DAYS]
    for today in (WEDNESDAY, date(2026, 11, 27)):
        of = computed("accessibility", 0, today, days)
        now, was = (of.value(f"Workbook_{name}_offered", days) for name in ("now", "before"))
        assert (now, was) == (total(DAYS, "offered", 23, 23), total(DAYS, "offered", 16, 16)), "the same days"
        assert of.value("Workbook_both_by_day", [days[-1]])


def test_a_week_or_month_in_which_the_data_begins_is_compared_with_nothing() -> None:
    """It lacks days."""
    begun = DAYS[2:]
    for data, was, trend in (DAYS, (9, 15), list(range(9, 23))), (begun, None, list(range(16, 23))):
        of = computed("handling", data=data)
        shown = [day["call_date"].day for day in data if of.value("Workbook_weeks", [day])]
        assert shown == trend
        of = computed("accessibility", data=data)
        assert of.value("Workbook_before_offered", data) == (total(DAYS, "offered", *was) if was else None)
        assert of.value("Workbook_now_offered", data) == total(DAYS, "offered", 16, 22)
    days = [{**DAYS[-1], "call_date": date(2026, 9, 1) + timedelta(days=n)} for n in range(85)]
    of = computed("handling", data=days)
    assert {day["call_date"].month for day in days if of.value("Workbook_months", [day])} == {9, 10}
    of = computed("handling", data=days[1:])
    assert {day["call_date"].month for day in days if of.value("Workbook_months", [day])} == {10}


@each_report
def test_tableau_has_the_functions_that_formulas_use(name: str, locale: Locale) -> None:
    known = {one["name"] for one in json.loads(FUNCTIONS.read_text(encoding="utf-8"))}
    for calculation in parsed(name, locale).iter("calculation"):
        bare = re.sub(r"'[^']*'|\[[^\]]*\]", "", calculation.get("formula"))
        assert set(re.findall(r"([A-Z]+)\(", bare)) <= known


def test_a_server_that_is_no_url_is_refused() -> None:
    with pytest.raises(UserError, match="is not the URL of a Tableau server"):
        workbook.build(
            exposures.reports()["traffic"], "x", source("queue", "nl"), PublishedSource("tableau", "", "x")
        )
