"""Drawn reports: their numbers are those of SQL written by hand, and a customer's report is read as that customer."""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import openpyxl
import psycopg
import pypdf
import pytest
from lxml import html as lxml_html

from callmart.access import logins
from callmart.base.errors import UserError
from callmart.declarations import captions, exposures
from callmart.declarations.exposures import Report
from callmart.reports import drawing, paper, reading, spreadsheet
from callmart.reports.drawing import ENDINGS, Declared, NoData
from callmart.reports.page import Page
from callmart.reports.reading import Reader, Unopened
from callmart.reports.sheets import bars, listed
from callmart_home import Callmart
from centre import ANONYMOUS, DETAILED, NAMED, NONE, STANDARD, WITH_DATA, agent_of, queue_of
from commands import command_of
from drawn import BEFORE, WEEK, Draw, asked
from drawn_pages import of_csv, of_xlsx, section, words
from outdated import earlier_day
from today import TODAY, YESTERDAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted")]

REPORTS = exposures.reports()
DAYS = [day for day in WEEK.days if day < TODAY]
OPENED = {
    customer: [report for report in REPORTS.values() if report.is_opened_by(option, orders)]
    for customer, option, orders in (
        (NAMED, "detailed", []),
        (ANONYMOUS, "detailed", []),
        (STANDARD, "standard", ["contact_list"]),
    )
}
ALL = [(customer, report.name) for customer, reports in OPENED.items() for report in reports]


# -- numbers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("customer", WITH_DATA)
def test_key_figures_are_those_of_sql_written_by_hand(two_weeks: Callmart, draw: Draw, customer: int) -> None:
    page = draw("accessibility", customer, locale="en")
    query = """
        select sum(offered), sum(answered), sum(abandoned),
            100.0 * sum(answered_in_threshold) / sum(offered - short_abandoned),
            sum(wait_answered_s)::float / sum(answered), max(wait_max_s)
        from store.queue_interval where customer_id = %s and call_date = any(%s)
        """
    ((offered, answered, abandoned, level, wait, longest),) = asked(two_weeks, query, customer, DAYS)
    (was, *_) = asked(two_weeks, query, customer, [day - BEFORE for day in DAYS])[0]
    tiles = section(page, "key_figures").tiles
    assert [tile.value for tile in tiles] == [
        f"{offered:,}", f"{answered:,}", f"{abandoned:,}", f"{level:.1f}%", f"{wait:.0f} s", f"{longest} s"
    ]  # fmt: skip
    assert tiles[0].before == f"was {was:,}"
    assert was < offered
    assert tiles[0].change == f"▲ {100 * (offered / was - 1):,.1f}%"
    assert tiles[3].target == f"target 80% {'met' if level >= 80 else 'missed'}"


def test_each_day_and_queue_is_that_of_sql_written_by_hand(two_weeks: Callmart, draw: Draw) -> None:
    page = draw("accessibility", STANDARD)
    by_day = asked(
        two_weeks,
        """
        select call_date, sum(answered_in_threshold)::float / sum(offered - short_abandoned) from store.queue_interval
        where customer_id = %s and call_date = any(%s) group by 1 order by 1
        """,
        STANDARD,
        DAYS,
    )
    rows = section(page, "service_level_per_day").records.rows
    assert [(row["day"], row["service_level"]) for row in rows if row["this_week"]] == by_day
    assert {row["day"] for row in rows if not row["this_week"]} == {day - BEFORE for day, _ in by_day}
    ((offered, abandoned),) = asked(
        two_weeks,
        "select sum(offered), sum(abandoned) from store.queue_interval where customer_id = %s and call_date = any(%s)",
        STANDARD,
        DAYS,
    )
    (row,) = section(page, "per_queue").records.rows
    assert (row["queue"], row["offered"], row["abandoned"]) == (queue_of(STANDARD), offered, abandoned)


def test_agents_are_shown_by_name_and_durations_in_hours(two_weeks: Callmart, draw: Draw) -> None:
    page = draw("agents", NAMED, locale="en")
    grid = section(page, "per_agent").grid
    assert grid is not None
    wanted = asked(
        two_weeks,
        """
        select agent, sum(contacts), sum(talk_s)
        from store.agent_day join store.agent using (customer_id, agent_key)
        where customer_id = %s and call_date = any(%s) group by agent_key, agent order by 2 desc, lower(agent)
        """,
        NAMED,
        DAYS,
    )
    talk = list(grid.head).index("Talk")
    assert [(row[0], row[1], row[talk]) for row in grid.rows[:-1]] == [
        (name, f"{contacts:,}", by_clock(talk_s)) for name, contacts, talk_s in wanted
    ]
    assert "Noor Zandvliet" in [row[0] for row in grid.rows]
    assert grid.rows[-1][:2] == ["Total", f"{sum(contacts for _, contacts, _ in wanted):,}"]


def by_clock(seconds: int) -> str:
    if seconds >= 3600:
        return f"{seconds / 3600:.2f} h"
    return f"{seconds // 60}:{seconds % 60:02} min" if seconds >= 60 else f"{seconds} s"


def test_bars_of_less_than_an_hour_are_drawn_in_minutes(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = []
    for least in (0, 1e6):
        monkeypatch.setattr(bars, "SHORT", least)
        (panel,) = section(draw("agents", NAMED, locale="en"), "time_per_agent").panels
        drawn.append(panel)
    hours, minutes = drawn
    assert (hours.subtitle, minutes.subtitle) == ("hours", "minutes")
    assert hours.readings == minutes.readings
    assert hours.svg != minutes.svg


def test_waits_within_a_bound_have_their_share(two_weeks: Callmart, draw: Draw) -> None:
    query = """
        select sum(wait_answered_le_10), 100.0 * sum(wait_answered_le_10) / sum(answered), sum(answered)
        from store.queue_interval where customer_id = %s and call_date = any(%s)
        """
    ((within, share, answered),) = asked(two_weeks, query, STANDARD, DAYS)
    page = draw("accessibility", STANDARD, locale="en")
    grid, refused = section(page, "answered_within").grid, section(page, "refused").grid
    assert grid is not None and refused is not None
    assert grid.rows[0][1] == f"{within:,} ({re.sub(r'[.]0$', '', f'{share:.1f}')}%)"
    assert grid.rows[-1][1] == f"{answered:,}", "the whole has no share"
    assert not any("%" in row[1] for row in refused.rows), "these are no parts of a whole"


def test_agents_of_the_same_name_are_told_apart(two_weeks: Callmart, draw: Draw) -> None:
    with two_weeks.connect() as owner:
        owner.execute("update store.agent set agent = 'Same' where customer_id = %s", [ANONYMOUS])
        keys = owner.execute("select left(agent_key, 4) from store.agent where customer_id = %s", [ANONYMOUS])
        wanted = {f"Same ({key})" for (key,) in keys}
    grid = section(draw("agents", ANONYMOUS), "per_agent").grid
    assert grid is not None
    assert {row[0] for row in grid.rows[:-1]} == wanted
    with two_weeks.connect() as owner:
        owner.execute("update store.agent set agent = agent_key where customer_id = %s", [ANONYMOUS])


def test_a_queue_with_a_target_of_its_own_is_shown_beside_it(two_weeks: Callmart, draw: Draw) -> None:
    with two_weeks.connect() as owner:
        owner.execute(
            "insert into registry.queue (customer_id, queue, service_level_s, short_abandon_s, service_level_target)"
            " values (%s, %s, 20, 5, 0.5)",
            [STANDARD, queue_of(STANDARD)],
        )
    page, other = draw("accessibility", STANDARD, locale="en"), draw("accessibility", NAMED, locale="en")
    with two_weeks.connect() as owner:
        owner.execute("delete from registry.queue")
    assert section(page, "key_figures").tiles[3].target == "", "the queues have different ones"
    grid, others = section(page, "per_queue").grid, section(other, "per_queue").grid
    assert grid is not None and others is not None
    assert any(cell.endswith("% (target 50%)") for cell in grid.rows[0])
    assert not any("target" in cell for cell in others.rows[0])
    assert "Service level" in grid.head
    assert "Service level (target 80%)" in others.head


def test_a_list_has_a_row_per_contact_by_day(
    two_weeks: Callmart, draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = asked(
        two_weeks,
        "select call_date::text, count(*) from store.queue_contact where customer_id = %s and call_date = any(%s)"
        " group by 1 order by 1",
        STANDARD,
        DAYS,
    )
    found = section(draw("contacts", STANDARD, locale="en"), "contacts")
    assert [(day.date, len(day.grid.rows)) for day in found.days] == wanted
    assert re.fullmatch(r"\d\d:\d\d:\d\d", found.days[0].grid.rows[0][0])
    assert not found.remark
    monkeypatch.setattr(listed, "MOST", 5)
    cut = section(draw("contacts", STANDARD, locale="en"), "contacts")
    assert sum(len(day.grid.rows) for day in cut.days) == 5
    assert cut.days[0].title.endswith(f" · {wanted[0][1]}"), "of the day, not of what is shown"
    assert cut.remark.startswith(f"The first 5 of {len(found.records.rows)}. A CSV file has them all;")
    assert len(cut.records.rows) == len(found.records.rows)


# -- days --------------------------------------------------------------------------------------------------------


@contextmanager
def held_back(callmart: Callmart, customer_id: int, day: date) -> Iterator[None]:
    with callmart.connect() as owner:
        owner.execute(
            "insert into ops.held_back (customer_id, call_date, build_id, cause) values (%s, %s, 1, 'test')",
            [customer_id, day],
        )
    yield
    with callmart.connect() as owner:
        owner.execute("delete from ops.held_back")


def test_a_held_back_day_is_named_and_counts_in_neither_week(two_weeks: Callmart, draw: Draw) -> None:
    whole = draw("accessibility", STANDARD, locale="en")
    assert not any("still being checked" in notice for notice in whole.notices)
    with held_back(two_weeks, STANDARD, YESTERDAY):
        if len(DAYS) == 1:
            with pytest.raises(NoData):
                draw("accessibility", STANDARD)
            return
        page = draw("accessibility", STANDARD, locale="en")
        other = draw("accessibility", NAMED, locale="en")
    assert any(f"{YESTERDAY:%a} {YESTERDAY.day}" in notice for notice in page.notices)
    assert not any("still being checked" in notice for notice in other.notices)
    days = {row["day"] for row in section(page, "service_level_per_day").records.rows}
    assert not days & {YESTERDAY, YESTERDAY - BEFORE}
    assert page.compared == f"compared with the same days of week {WEEK.before.number}"


@contextmanager
def told(callmart: Callmart, *statements: str) -> Iterator[None]:
    """The books say something else for a while. Each statement is followed by the one that takes it back."""
    for statement in statements[::2]:
        asked(callmart, f"{statement} returning 1")
    yield
    for statement in statements[::-2]:
        asked(callmart, f"{statement} returning 1")


def test_a_week_in_which_the_data_began_is_compared_with_nothing(two_weeks: Callmart, draw: Draw) -> None:
    """It lacks days. Data about agents can begin later, with a detailed contract."""
    monday, number = WEEK.monday - BEFORE, WEEK.before.number
    lacks = f"niet vergeleken met week {number}, waarvan dagen ontbreken"
    ((first,),) = asked(
        two_weeks,
        "select min(call_date) from ops.opened_day where customer_id = %s and isfinite(call_date)",
        NAMED,
    )

    def begin(day: date, former: date) -> str:
        return f"update ops.opened_day set call_date = '{day}' where customer_id = {NAMED} and call_date = '{former}'"

    for day, is_whole in (monday, True), (monday + date.resolution, False):
        with told(two_weeks, begin(day, first), begin(first, day)):
            page = draw("traffic", NAMED)
        assert (page.compared != lacks) is is_whole
    contract, standard = f"from registry.contract where customer_id = {NAMED}", "option = 'standard'"
    for day, is_whole in (monday, True), (monday + date.resolution, False):
        with told(
            two_weeks,
            f"update registry.contract set valid_from = '{day}' where customer_id = {NAMED}",
            f"update registry.contract set valid_from = '2020-01-01' where customer_id = {NAMED}",
            "insert into registry.contract (customer_id, option, valid_from, valid_until)"
            f" values ({NAMED}, 'standard', '2020-01-01', '{day}')",
            f"delete {contract} and {standard}",
        ):
            assert draw("traffic", NAMED).compared != lacks
            assert (draw("agents", NAMED).compared != lacks) is is_whole


def test_figures_of_an_earlier_definition_are_named(two_weeks: Callmart, draw: Draw) -> None:
    """And those that are not known yet; of no other mart, and of no other customer."""
    day = YESTERDAY - BEFORE
    with earlier_day(two_weeks, STANDARD, day, "earlier", without="answered"):
        notices = draw("accessibility", STANDARD, locale="en").notices
        others = [
            *draw("accessibility", NAMED, locale="en").notices,
            *draw("lines", STANDARD, locale="en").notices,
        ]
    (earlier,) = (one for one in notices if "earlier definition" in one)
    (unknown,) = (one for one in notices if one.startswith("Not known yet up to"))
    assert f"{day:%B %Y}" in earlier and f" {day.day} {day:%B %Y}: " in unknown
    assert "Answered" in unknown and "Offered" not in unknown
    assert not any("definition" in one or "Not known" in one for one in others)
    with earlier_day(two_weeks, STANDARD, day, None):  # nobody knows whether it was another one
        assert not any("definition" in one for one in draw("accessibility", STANDARD, locale="en").notices)


# -- what is drawn -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def drawn(two_weeks: Callmart, declared: Declared) -> dict[tuple[int, str], Page]:
    """All reports of all customers."""
    pages = {}
    with two_weeks.connect() as owner, logins.connect(two_weeks.settings, "publisher") as publisher:
        for customer, name in ALL:
            found = reading.customer(owner, customer)
            pages[customer, name] = drawing.draw(publisher, declared, REPORTS[name], found, WEEK)
    return pages


def test_words_are_found_in_the_pdf(drawn: dict[tuple[int, str], Page]) -> None:
    pages = {
        name: page for (_, name), page in drawn.items()
    }  # of one customer each, the last that it is open to
    found = {name: words(ENDINGS[".pdf"](page)) for name, page in pages.items()}
    for name, page in pages.items():
        for wanted in (
            page.title,
            page.customer,
            *(sheet.title.nl for sheet in REPORTS[name].sheets if sheet.kind == "table"),
            *(tile.value for tile in next(one for one in page.sections if one.kind == "figures").tiles),
        ):
            assert wanted in found[name], (name, wanted)
    # A font that vl-convert lacks would draw a chart without its words.
    assert re.search(rf"(ma|di|wo|do|vr|za|zo) {DAYS[-1].day}\b", found["accessibility"])


def test_a_page_loads_nothing_and_is_whole(drawn: dict[tuple[int, str], Page]) -> None:
    for page in drawn.values():
        text = ENDINGS[".html"](page).decode()
        assert "http" not in text
        assert "url(" not in text.replace("url(#", "")
        root = lxml_html.document_fromstring(text)
        assert not root.xpath("//script | //link | //img | //iframe | //@src | //@href")
        ids = root.xpath("//@id")
        assert len(ids) == len(set(ids))
        figures = root.xpath("//figure")
        assert len(root.xpath("//figure//details//table")) == sum(bool(one.panels) for one in page.sections)
        charts = [figure for figure in figures if figure.xpath(".//svg")]
        assert charts and all(figure.xpath(".//div[@role='img']/@aria-label") for figure in charts)
        assert all(figure.xpath("./p") for figure in figures if figure not in charts), "why there is no chart"


def test_each_page_of_a_long_list_says_its_day(drawn: dict[tuple[int, str], Page]) -> None:
    page = drawn[STANDARD, "contacts"]
    contacts = section(page, "contacts")
    (day, *_) = contacts.days
    long = replace(day, grid=replace(day.grid, rows=[day.grid.rows[0]] * 200))
    pdf = ENDINGS[".pdf"](replace(page, sections=[replace(contacts, days=[long])]))
    pages = [each.extract_text() for each in pypdf.PdfReader(io.BytesIO(pdf)).pages]
    assert len(pages) > 2
    assert all(day.title in " ".join(text.split()) for text in pages if day.grid.rows[0][0] in text)


def test_the_same_input_gives_the_same_bytes(
    draw: Draw, drawn: dict[tuple[int, str], Page], drawn_anew: None
) -> None:
    page, again = (draw("traffic", STANDARD) for _ in range(2))
    for ending, written in ENDINGS.items():
        first = written(page)
        paper._compiler.cache_clear()
        assert written(again) == first, ending
        assert written(drawn[NAMED, "traffic"]) != first, ending


def test_both_languages_have_all_words(draw: Draw) -> None:
    dutch, english = (draw("accessibility", STANDARD, locale=locale) for locale in ("nl", "en"))
    assert (dutch.title, english.title) == ("Bereikbaarheid", "Accessibility")
    assert "," in section(dutch, "key_figures").tiles[3].value
    assert "." in section(english, "key_figures").tiles[3].value
    assert not any("_" in meaning for _, meaning in english.meanings)


ODD = '<script>alert("x")</script> #eval("1+1") *x* $y$'


def test_a_customers_words_are_text_and_nothing_else(two_weeks: Callmart, draw: Draw) -> None:
    with two_weeks.connect() as owner:
        owner.execute(
            "insert into registry.queue (customer_id, queue, label, service_level_s, short_abandon_s)"
            " values (%s, %s, %s, 20, 5)",
            [STANDARD, queue_of(STANDARD), ODD],
        )
    page = replace(draw("handling", STANDARD), customer=ODD)
    with two_weeks.connect() as owner:
        owner.execute("delete from registry.queue")
    root = lxml_html.document_fromstring(ENDINGS[".html"](page).decode())
    assert not root.xpath("//script")
    assert ODD in root.xpath("string(//header)")
    assert any(ODD in cell.text_content() for cell in root.xpath("//th")), "the label of the queue"
    assert any(ODD in title.text for title in root.xpath("//*[local-name() = 'title']")), "of a mark"
    assert words(ENDINGS[".pdf"](page)).count('#eval("1+1") *x* $y$') >= 2


# -- CSV and Excel -----------------------------------------------------------------------------------------------

WORDS = captions.file().values
RAW = {word for of_column in WORDS.values() for word in of_column} | {"True", "False"}


def test_the_csv_has_what_the_page_shows(draw: Draw) -> None:
    page = draw("traffic", STANDARD)
    rows = of_csv(page)
    assert {row["sheet"] for row in rows} == {one.name for one in REPORTS["traffic"].sheets}
    offered = [row for row in rows if row["sheet"] == "offered_by_moment"]
    assert [row["value"] for row in offered] == [
        str(row["offered"]) for row in section(page, "offered_by_moment").records.rows
    ]
    assert {row["week"] for row in rows if row["sheet"] == "key_figures"} == {str(WEEK), str(WEEK.before)}


def test_a_list_has_each_column_once_with_the_words_of_the_page(draw: Draw) -> None:
    page = draw("contacts", STANDARD)
    contacts = section(page, "contacts")
    head, body = of_xlsx(page)["contacts"]
    shown = contacts.days[0].grid
    assert [each.removesuffix(" (seconden)") for each in head] == ["Week", "Dag", *shown.head]
    outcome = list(shown.head).index("Uitkomst")
    on_page = [row[outcome] for day in contacts.days for row in day.grid.rows]
    assert {"Opgenomen", "Afgehaakt"} <= set(on_page)
    assert [row[2 + outcome] for row in body] == on_page
    rows = [row for row in of_csv(page) if row["sheet"] == "contacts"]
    assert {row["measure"] for row in rows} & {"queue", "outcome"} == set(), "they are columns"
    assert [row["outcome"] for row in rows if row["measure"] == "wait_s"] == on_page


def test_no_file_has_a_column_twice_or_a_raw_word(drawn: dict[tuple[int, str], Page]) -> None:
    said: set[str] = set()
    for page in drawn.values():
        cells = {cell for _, body in of_xlsx(page).values() for row in body for cell in row}
        values = {
            value
            for row in of_csv(page)
            for name, value in row.items()
            if name in (*exposures.places(), "value")
        }
        assert not (cells | values) & RAW, page.name
        assert all(len(head) == len(set(head)) for head, _ in of_xlsx(page).values()), page.name
        said |= {cell for cell in cells if isinstance(cell, str)}
    assert {"Opgenomen", "Inkomend", "ja", "Getoond"} <= said, "the control"


def test_an_excel_file_says_whose_and_of_which_days_it_is(draw: Draw) -> None:
    page = draw("traffic", STANDARD)
    about = openpyxl.load_workbook(io.BytesIO(ENDINGS[".xlsx"](page))).worksheets[0]
    said = {cell for row in about.iter_rows(values_only=True) for cell in row}
    assert {page.customer, page.period, page.through, *page.meanings[0]} <= said


def test_a_sheet_with_more_rows_than_excel_has_is_refused(
    draw: Draw, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = draw("traffic", STANDARD)
    longest = max(len(one.records.rows) for one in page.sections)
    monkeypatch.setattr(spreadsheet, "MOST_ROWS", longest + 1)
    assert ENDINGS[".xlsx"](page)
    monkeypatch.setattr(spreadsheet, "MOST_ROWS", longest)
    with pytest.raises(UserError, match=r"has more rows than a sheet of Excel: name a \.csv instead"):
        ENDINGS[".xlsx"](page)


@pytest.mark.parametrize("word", ["=1+1", "+1", "-1", "@x", "\t=1"])
def test_no_cell_of_a_csv_is_a_formula(draw: Draw, word: str) -> None:
    page = draw("accessibility", STANDARD)
    per_queue = section(page, "per_queue")
    odd = replace(
        per_queue, records=replace(per_queue.records, rows=[{**per_queue.records.rows[0], "queue": word}])
    )
    assert {row["queue"] for row in of_csv(replace(page, sections=[odd]))} == {f"'{word}"}


# -- isolation ---------------------------------------------------------------------------------------------------


def test_a_report_has_no_word_of_another_customer(drawn: dict[tuple[int, str], Page]) -> None:
    for (customer, name), page in drawn.items():
        text = ENDINGS[".html"](page).decode() + ENDINGS[".csv"](page).decode()
        for other in set(WITH_DATA) - {customer}:
            assert queue_of(other) not in text
            assert agent_of(other)[:-1] not in text
        if any(sheet.by == "queue" for sheet in REPORTS[name].sheets):
            assert queue_of(customer) in text, "the control"


@pytest.mark.parametrize("name", [report.name for report in REPORTS.values() if report.option == "detailed"])
def test_the_database_refuses_what_the_contract_does_not_open(
    draw: Draw, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with pytest.raises(Unopened, match=rf"customer {STANDARD} \(standard\) does not open"):
        draw(name, STANDARD)
    monkeypatch.setattr(Report, "is_opened_by", lambda self, *_: True)
    with pytest.raises(Unopened):
        draw(name, STANDARD)
    assert draw(name, DETAILED[0]).customer_id == DETAILED[0]


def test_a_list_of_contacts_is_only_for_who_ordered_it(draw: Draw, monkeypatch: pytest.MonkeyPatch) -> None:
    assert section(draw("contacts", STANDARD), "contacts").days
    with pytest.raises(Unopened):
        draw("contacts", NAMED)
    monkeypatch.setattr(Report, "is_opened_by", lambda self, *_: True)
    with pytest.raises(Unopened):
        draw("contacts", NAMED)


def test_a_report_of_a_larger_contract_is_refused_although_its_marts_are_open(
    two_weeks: Callmart, declared: Declared, publisher: psycopg.Connection
) -> None:
    report = REPORTS["traffic"].model_copy(update={"option": "detailed"})
    with two_weeks.connect() as owner:
        customer = reading.customer(owner, STANDARD)
    with pytest.raises(Unopened):
        drawing.draw(publisher, declared, report, customer, WEEK)


def test_the_publisher_reads_nothing_as_itself(publisher: psycopg.Connection, draw: Draw) -> None:
    draw("accessibility", STANDARD)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        publisher.execute("select * from mart.queue_interval")


# -- wrong input -------------------------------------------------------------------------------------------------

WRONG = [
    (
        ("accesibility", "--customer", STANDARD, "--out", "x.pdf"),
        "no report accesibility: name accessibility",
    ),
    (("zzz", "--customer", STANDARD, "--out", "x.pdf"), "name one of accessibility, traffic"),
    (("agents", "--customer", STANDARD, "--out", "x.pdf", "--week", str(WEEK)), "does not open this report"),
    (("traffic", "--customer", 99, "--out", "x.pdf"), "there is no customer 99"),
    (("traffic", "--customer", NONE, "--out", "x.pdf"), f"customer {NONE} has no contract today"),
    (("traffic", "--customer", STANDARD, "--out", "x.doc"), "drawn as .html, .pdf, .png, .csv"),
    (
        ("traffic", "--customer", STANDARD, "--out", "x.pdf", "--week", "2099-W01"),
        "2099-W01 has no day that is over",
    ),
    (("traffic", "--customer", STANDARD, "--out", "x.pdf", "--week", "2020-W01"), "has no data of 2020-W01"),
    (("traffic", "--customer", STANDARD, "--out", "x.pdf", "--week", "2026-W60"), "2026-W60 is not a week"),
    (("traffic", "--customer", STANDARD, "--out", "/dev/null/x.pdf", "--week", str(WEEK)), "/dev/null"),
    (("traffic", "--customer", STANDARD), "name a report, --customer and --out"),
    (("traffic", "--all"), "--all draws every report"),
    (("agents", "--customer", NAMED, "--out", "x.pdf", "--closed"), "does not tell opening hours apart"),
]


@pytest.mark.parametrize(("arguments", "sentence"), WRONG, ids=[sentence for _, sentence in WRONG])
def test_a_mistake_is_one_sentence(two_weeks: Callmart, arguments: tuple[Any, ...], sentence: str) -> None:
    done = command_of(two_weeks.home)("report", *map(str, arguments))
    assert done.returncode == 2
    assert sentence in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not done.stdout


def test_a_customer_of_whom_nothing_is_open_needs_no_other_week(
    two_weeks: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Reader, "through", None)
    done = command_of(two_weeks.home)(
        "report", "traffic", "--customer", str(STANDARD), "--week", "2020-W01", "--out", "x.pdf"
    )
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: customer {STANDARD} has no data yet: ")


def test_the_command_draws_a_file(two_weeks: Callmart, tmp_path: Path) -> None:
    file = tmp_path / "traffic.PDF"
    done = command_of(two_weeks.home)(
        "report", "drukte", "--customer", str(STANDARD), "--week", str(WEEK), "--locale", "en", "--out", file
    )
    assert (done.returncode, done.stderr, file.stat().st_mode & 0o777) == (0, "", 0o600)
    assert "Traffic" in words(file.read_bytes())


def test_a_missing_font_is_one_sentence(draw: Draw, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    page = draw("traffic", STANDARD)
    monkeypatch.setattr(paper, "FONTS", tmp_path)
    paper._compiler.cache_clear()
    with pytest.raises(
        UserError, match=f"the font Liberation Sans is missing: bring its files back into {tmp_path}"
    ):
        ENDINGS[".pdf"](page)
    paper._compiler.cache_clear()
