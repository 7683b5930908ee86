"""Templates: workbooks that Tableau saved are used as they are, or refused in a sentence."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from lxml import etree

from callmart.base.declared import Locale
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT
from callmart.declarations import exposures
from callmart.tableau_files import tds, workbook
from callmart.tableau_files.workbook import references
from callmart.tableau_files.workbook.published import PublishedSource
from tableau_files import (
    CUSTOMER,
    LOCALES,
    PUBLISHED,
    SAVED,
    built,
    each_report,
    errors,
    source,
    unknown_to_reader,
    unlisted,
)


def adapted(text: str) -> str:
    """The workbook that Tableau saved, as it would be had its author had a table of ours: fields of other names."""
    for old, new in (
        ("Category (Orders)", "queue (queue_interval)"),
        ("[Orders].[Category]", "[queue_interval].[queue]"),
        ("<remote-name>Category</remote-name>", "<remote-name>queue</remote-name>"),
        ("Sales (Orders)", "offered (queue_interval)"),
        ("[Orders].[Sales]", "[queue_interval].[offered]"),
        ("<remote-name>Sales</remote-name>", "<remote-name>offered</remote-name>"),
        ("<parent-name>[Orders]</parent-name>", "<parent-name>[queue_interval]</parent-name>"),
        (
            "datatype='real' name='[offered (queue_interval)]'",
            "datatype='integer' name='[offered (queue_interval)]'",
        ),
        ("工作表 1", "{{title}}"),
    ):
        assert old in text
        text = text.replace(old, new)
    return text


Fill = Callable[[str], bytes]


@pytest.fixture
def fill(tmp_path: Path) -> Fill:
    def filled(text: str) -> bytes:
        file = tmp_path / "template.twb"
        file.write_text(text, encoding="utf-8")
        return workbook.build(
            exposures.reports()["traffic"], CUSTOMER, source("queue", "nl"), PUBLISHED, file
        )

    return filled


@pytest.fixture(scope="module")
def saved() -> str:
    return adapted(SAVED.read_text(encoding="utf-8"))


def test_a_template_that_tableau_saved_works_as_it_is(fill: Fill, saved: str) -> None:
    result = fill(saved)
    assert result == fill(saved)
    document = etree.fromstring(result)
    assert errors(document) == []
    (connection,) = document.iter("connection")
    assert (connection.get("class"), connection.get("dbname")) == ("sqlproxy", PUBLISHED.content_url)
    (sheet,) = document.iterfind("worksheets/worksheet")
    assert sheet.get("name") == document.find("windows/window").get("name") == "Drukte"
    assert re.fullmatch(r"\[sqlproxy\.\w+\]\.\[none:queue:nk\]", sheet.findtext("table/rows"))
    assert re.fullmatch(r"\[sqlproxy\.\w+\]\.\[sum:offered:qk\]", sheet.findtext("table/cols"))
    for gone in (b"Orders", b"Superstore", b"excel", b"C:/Users", b"federated", b"thumbnail"):
        assert gone not in result


@pytest.mark.parametrize("kept", [True, False], ids=["without the object model", "without a manifest"])
def test_a_template_of_an_older_tableau_gets_what_it_needs(fill: Fill, saved: str, kept: bool) -> None:
    feature = r"<(_\.fcp\.\w+\.true\.\.\.)?(ObjectModel\w+|SchemaViewer\w+) />"
    manifest = r"<document-format-change-manifest>.*</document-format-change-manifest>"
    older = re.sub(feature, "", saved) if kept else re.sub(manifest, "", saved, flags=re.DOTALL)
    assert "<ObjectModelTableType" not in older
    document = etree.fromstring(fill(older))
    assert not unlisted(document) & {"ObjectModelEncapsulateLegacy", "ObjectModelTableType"}
    if kept:
        assert unlisted(document) == set()
        assert errors(document) == []


def test_a_template_may_have_an_earlier_name_of_its_report(
    saved: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(name: str) -> bytes:
        return workbook.build(exposures.reports()[name], CUSTOMER, source("queue", "nl"), PUBLISHED)

    monkeypatch.setattr(workbook, "TEMPLATES", tmp_path)
    generated = build("traffic")
    (tmp_path / "drukte.twb").write_text(saved, encoding="utf-8")
    filled = build("traffic")
    assert filled != generated
    (tmp_path / "drukte.twb").rename(tmp_path / "traffic.twb")
    assert build("traffic") == filled
    (tmp_path / "drukte.twb").touch()
    with pytest.raises(UserError, match=r"the report traffic, drukte\.twb and traffic\.twb; keep one"):
        build("traffic")
    assert build("handling"), "another report is not concerned"


def test_the_sample_itself_is_refused_by_its_field(fill: Fill) -> None:
    with pytest.raises(UserError, match=r"template\.twb: the data source Wachtrijen has no field \[Category"):
        fill(SAVED.read_text(encoding="utf-8"))


@pytest.mark.thorough
@each_report
def test_our_own_workbook_is_a_template_for_another_customer(
    tmp_path: Path, name: str, locale: Locale
) -> None:
    """As when an author downloads a published report, changes it, and saves it: nothing of the first stays."""
    report = exposures.reports()[name]
    file = tmp_path / "template.twb"
    file.write_bytes(
        built(name, locale).replace(b"De Zaak &amp; \xe2\x80\xb9[Sales]\xe2\x80\xba Zn", b"{{customer}}")
    )
    for language in LOCALES:
        other = PublishedSource("https://other.example.nl", "", "Other_1")
        result = workbook.build(report, "Nachtwacht", source(report.group, language), other, file)
        assert errors(etree.fromstring(result)) == []
        assert b"Nachtwacht" in result
        for gone in (PUBLISHED.content_url, "tableau.example.nl", "/t/calls", "{{"):
            assert gone.encode() not in result


# As Tableau 2023.1 saves a workbook on a published data source of ours, with what a demanding author does: a set of the
# busiest queues, a choice of the dimension, a bin, table calculations, a count of rows, actions; and with what Tableau
# keeps beside it: feature flags, a queue's colour and place, a mark that was selected, where it was published.
DESKTOP = (PROJECT / "tests" / "data" / "desktop.twb").read_text(encoding="utf-8")


@pytest.mark.parametrize("locale", LOCALES)
def test_what_a_demanding_author_saved_works_as_it_is(tmp_path: Path, locale: Locale) -> None:
    (file := tmp_path / "desktop.twb").write_text(DESKTOP, encoding="utf-8")
    of, report = source("queue", locale), exposures.reports()["traffic"]
    result = workbook.build(report, CUSTOMER, of, PUBLISHED, file)
    assert result == workbook.build(report, CUSTOMER, of, PUBLISHED, file)
    document = etree.fromstring(result)
    assert errors(document) == []
    assert unlisted(document) == set()
    for gone in (
        "old.example",
        "oldsite",
        "Wachtrijen_7",
        "0kq1x2y",
        "4f1c0f52",
        "geheim",
        "fcp",
        "{{",
        "thumbnail",
    ):
        assert gone not in result.decode()
    (connection,) = document.iter("connection")
    assert (connection.get("class"), connection.get("dbname")) == ("sqlproxy", PUBLISHED.content_url)

    # what was the author's stays
    own = document.find("datasources/datasource[@caption]")
    sheets = [one.get("name") for one in document.iterfind("worksheets/worksheet")]
    title = report.title.of(locale)
    assert sheets == ["Per wachtrij", f"{title} per dag"]
    assert [group.get("name") for group in own.iterfind("group")] == ["[Action (Wachtrij)]", "[Drukste]"]
    assert document.find("shared-views//groupfilter[@member='%null%']") is not None
    assert document.find("dashboards/dashboard/devicelayouts/devicelayout/zones") is not None

    # actions find what they hand over, by the names that it has now
    link = document.find("actions/action/link").get("expression")
    assert link.startswith(
        f"tsl:{title}%20per%20dag?%5B{own.get('name')}%5D.%5Bnone:queue:nk%5D~s0=<[{own.get('name')}]"
    )
    called = document.find("actions//param[@name='field-captions']").get("value")
    assert called == ",".join(of.fields[field].caption for field in ("queue", "call_date"))

    # what our formula uses beside the author's is listed too
    level = of.fields["Calculation_service_level"]
    sheet = document.find("worksheets/worksheet/table/view/datasource-dependencies[2]")
    formulas = {one.get("name"): one.find("calculation") for one in sheet.iterfind("column")}
    assert formulas["[Calculation_service_level]"].get("formula") == level.formula
    assert "[short_abandoned]" in formulas

    # rows are counted of the table that the data source has
    counted = {
        found[3] for found in references.REFERENCE.finditer(result.decode()) if found[2] == tds.OBJECT_ID
    }
    assert counted == {f"cnt:{tds.object_id(of, 'queue_interval')}:qk"}

    from py_tbparse import TwbParser
    from tableau_inspector.analyzer import analyze

    filled = tmp_path / "filled.twb"
    filled.write_bytes(result)
    parser = TwbParser(filled)
    assert len(parser.get_missing_references()) == 0
    assert unknown_to_reader(filled) <= {field.name for field in of.fields.values() if field.is_hidden}
    assert set(analyze(str(filled)).inventory.worksheets) == set(sheets)


SIZES = 'IF {FIXED [queue]: SUM([offered])} &gt; 100 OR ISNULL([queue]) THEN "groot" ELSE "klein" END'


def test_words_of_the_author_are_nobodys(fill: Fill) -> None:
    """Queues by their size: the words are the same for all customers."""
    field = "Calculation_1130614522163032064"
    text = DESKTOP.replace(NARROW, own_formula(SIZES.replace('"', "&quot;")))
    text = text.replace(MEMBER, MEMBER.replace("queue", field).replace("%null%", "&quot;groot&quot;"))
    assert b'member="&quot;groot&quot;"' in fill(text)


@pytest.mark.parametrize(
    "formula",
    [
        "([queue]) = 'geheim'",
        "LOWER([queue]) = LOWER('Geheim')",
        "SPLIT([queue], '-', 2) = 'geheim'",
        "IFNULL([queue], 'onbekend') = 'geheim'",
        "IIF(ISNULL([queue]), 'onbekend', [queue]) = 'geheim'",
        "'q-' + [queue] = 'q-geheim'",
        "{FIXED [call_date]: MAX([queue])} = 'geheim'",
        "[queue] >= 'geheim'",
        "[queue] IN ('', 'geheim')",
        "CASE [queue] WHEN '' THEN 'a' WHEN 'geheim' THEN 'b' END",
        "CONTAINS('geheim of niet', [queue])",
        "STARTSWITH(LOWER([queue]), LOWER('Geh'))",
    ],
)
def test_a_name_is_found_whatever_is_done_before_it_is_compared(fill: Fill, formula: str) -> None:
    assert NARROW in DESKTOP
    with pytest.raises(UserError, match="compares a queue, agent or line with a name"):
        fill(DESKTOP.replace(NARROW, own_formula(formula.replace("'", "&apos;").replace("<", "&lt;"))))


@pytest.mark.parametrize(
    "formula",
    [
        "IIF(ISNULL([queue]), 'onbekend', [queue])",
        "IFNULL(LEFT([queue], 3), 'geen')",
        "IF LEN([queue]) > 12 THEN 'lang' ELSE 'kort' END",
        "STR(RANK_UNIQUE(MAX([queue]), 'asc'))",
        "IF [Parameters].[Parameter 2] = 'wachtrij' THEN [queue] ELSE 'alles' END",
    ],
)
def test_a_text_that_no_name_is_compared_with_may_stand(fill: Fill, formula: str) -> None:
    fill(DESKTOP.replace(NARROW, own_formula(formula.replace("'", "&apos;").replace(">", "&gt;"))))


FROM_DESKTOP = "      <aliases enabled='yes' />\n      <column aggregation='User'"
MEMBER = "<groupfilter function='member' level='[none:queue:nk]' member='%null%' />"
NARROW = (
    "<calculation class='tableau' formula='LOWER(IFNULL([queue], &quot;onbekend&quot;)) // in het klein' />"
)
CHART = "<mark class='Line' />"


def own_formula(formula: str) -> str:
    return f"<calculation class='tableau' formula='{formula}' />"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param(MEMBER, MEMBER.replace("%null%", "&quot;q-geheim&quot;"), "on .queue. names", id="member"),
        pytest.param(
            MEMBER, "<groupfilter expression='CONTAINS([none:queue:nk],&quot;geheim&quot;)' function='filter'>"
            "<groupfilter function='level-members' level='[none:queue:nk]' /></groupfilter>",
            "a filter on .queue. names", id="a part of a name",
        ),
        pytest.param(
            MEMBER, MEMBER.replace("[none:queue:nk]", "[none:Calculation_1130614522163032064:nk]")
            .replace("%null%", "&quot;geheim&quot;"), "a filter on .Calculation_1130614522163032064. names",
            id="member of what is computed from it",
        ),
        pytest.param(
            NARROW, own_formula("IF UPPER(LEFT([queue], 4)) = &quot;GEHE&quot; THEN &quot;a&quot; END"),
            "'Naam in het klein' compares a queue, agent or line with a name", id="a formula with a name",
        ),
        pytest.param(
            NARROW, own_formula("CASE [queue] WHEN &quot;geheim&quot; THEN 1 END"), "compares a queue", id="a case"
        ),
        pytest.param(
            NARROW, own_formula("IIF([queue] = [Parameters].[Parameter 2], &quot;a&quot;, &quot;b&quot;)"),
            "compares a queue", id="a parameter with a name",
        ),
        pytest.param(
            "name='[Parameter 2]' param-domain-type='list'",
            "name='[Parameter 2]' param-domain-type='list'"
            " source-field='[sqlproxy.0kq1x2y0abcdef1ghij2k3lmno4p].[none:queue:nk]'",
            "the parameter 'Per' lists one customer's values of .queue.", id="a parameter's list",
        ),
        pytest.param(
            NARROW, "<calculation class='categorical-bin' column='[queue]' new-bin='true'>"
            "<bin value='&quot;Samen&quot;'><value>&quot;q-geheim&quot;</value></bin></calculation>",
            "the group 'Naam in het klein' has single members of .queue.", id="a group",
        ),
        pytest.param(
            "<simple-id uuid='{F0D67156", "<annotations><annotation class='mark' id='1'><formatted-text><run>!</run>"
            "</formatted-text><point><tuple-reference><tuple-descriptor><columns>"
            "<field>[sqlproxy.0kq1x2y0abcdef1ghij2k3lmno4p].[none:queue:nk]</field></columns></tuple-descriptor>"
            "<tuple><value>&quot;q-geheim&quot;</value></tuple></tuple-reference></point></annotation></annotations>"
            "<simple-id uuid='{F0D67156", "an annotation marks a value of .queue.", id="an annotation",
        ),
        pytest.param(
            NARROW, own_formula("RAWSQL_STR(&quot;select 1&quot;)"), "klein' contains custom SQL", id="raw SQL"
        ),
        pytest.param(
            NARROW, own_formula("SCRIPT_STR(&quot;x&quot;, ATTR([queue]))"), "a program outside Tableau", id="a script"
        ),
        pytest.param(
            NARROW, own_formula("IF ISMEMBEROF(&quot;chefs&quot;) THEN [queue] END"), "depends on the user", id="who"
        ),
        pytest.param(
            "name='sqlproxy' table='[sqlproxy]' type='table'", "name='x' type='text'", "custom SQL", id="flagged SQL"
        ),
        pytest.param(
            FROM_DESKTOP, "<_.fcp.ObjectModelExtractV2.true...extract enabled='true' count='-1' units='records' "
            f"object-id='' />{FROM_DESKTOP}", "has its own extract, i.e. data", id="a flagged extract",
        ),
        pytest.param("<datasources>\n    <datasource has", "<local-data directory='Data' />\n  <datasources>\n"
                     "    <datasource has", "has its own extract, i.e. data", id="local data"),
        pytest.param(
            "id='4' mode='compact' param='[Parameters].[Parameter 2]' type-v2='paramctrl'",
            "id='4' param='C:/Users/jan/logo.png' type-v2='bitmap'",
            "shows C:/Users/jan/logo.png from outside the workbook", id="a picture",
        ),
        pytest.param(
            "id='4' mode='compact' param='[Parameters].[Parameter 2]' type-v2='paramctrl'",
            "id='4' param='https://example.org/' type-v2='web'",
            "shows https://example.org/ from outside the workbook", id="a page",
        ),
        pytest.param(
            "<actions>", "<actions><action caption='Zoek' name='[Action9_X]'><activation type='on-select' />"
            "<source type='all' /><link caption='Zoek' expression='https://example.org/?q=&lt;[x].[none:queue:nk]&gt;'"
            " /></action>", "an action opens https://example.org/.*, which could receive", id="a page by an action",
        ),
        pytest.param(
            "w='98400' x='800' y='16000' />", "w='98400' x='800' y='16000'><add-in add-in-id='x' instance-id='y' "
            "extension-version='1' /></zone>", "it has an extension, which would get the data", id="an extension",
        ),
        pytest.param(
            CHART, f"{CHART}<encodings><size column='[sqlproxy.0kq1x2y0abcdef1ghij2k3lmno4p].[sum:colour:qk]' />"
            "</encodings>", r"no field \[colour\], which 'Drukte per dag' uses", id="a field, by its sheet",
        ),
        pytest.param(
            "expression='SUM([offered])'", "expression='SUM([customer_id])'", r"no field \[customer_id\]",
            id="a hidden field in a set",
        ),
        pytest.param(NARROW, own_formula("[Parameters].[Parameter 3]"), "parameter .Parameter 3.", id="a parameter"),
        pytest.param("queue_interval_0123", "agent_day_0123", "counts the rows of a table", id="another table's rows"),
    ],
)  # fmt: skip
def test_what_a_demanding_author_may_not_bring_along(fill: Fill, old: str, new: str, said: str) -> None:
    assert old in DESKTOP
    with pytest.raises(UserError, match=said) as refused:
        fill(DESKTOP.replace(old, new))
    assert "template.twb" in str(refused.value)


@pytest.mark.parametrize(
    "flagged",
    [
        "_.fcp.X.true...1st", "_.fcp.X.true...", "_.fcp.X.maybe...relation", "_.fcp.X.TRUE...relation",
        "_.fcp.X.true..relation", "_.fcp.X.Y.true...relation", "_.fcp.relation", "_.fcp.X.true..._.fcp.Y.relation",
    ],
)  # fmt: skip
@pytest.mark.parametrize("what", ["a tag", "an attribute", "the manifest"])
def test_a_feature_flag_of_another_form_is_refused_by_its_line(fill: Fill, flagged: str, what: str) -> None:
    old, new = {
        "a tag": ("<datasources>", f"<datasources>\n<{flagged} />"),
        "an attribute": ("<datasources>", f"<datasources\n {flagged}='x'>"),
        "the manifest": (
            "<document-format-change-manifest>",
            f"<document-format-change-manifest>\n<{flagged} />",
        ),
    }[what]
    assert old in DESKTOP
    line = DESKTOP[: DESKTOP.index(old)].count("\n") + 1
    with pytest.raises(UserError) as refused:
        fill(DESKTOP.replace(old, new, 1))
    said = re.fullmatch(
        r".*template\.twb, line (\d+): '(.*)' is not of the form .*; save .*", str(refused.value)
    )
    assert said is not None
    assert said[2] == flagged
    assert line <= int(said[1]) <= line + 1


PIECES = (
    "", "_.fcp.X.true...", "_.fcp.X.false...", "_.fcp.X.true...1", "_.fcp.X.", "]", "[", "].[", "&#x1;", "&lt;", "x:",
    "::", "{{", "{{customer}}", "%5B", "%", "é", "-1", "[Parameters].[", "\\", ":nk", "(", "'", '"', "[" * 500,
)  # fmt: skip
PLACES = (
    r"</?([\w.:-]+)",
    r"\s([\w.:-]+)=",
    r"='([^']*)'",
    r">([^<>]+)<",
    r"\s([\w.:-]+='[^']*')",
    r"(<\w[^<>]*/>)",
)


def renamed(text: str, tag: str, new: str) -> str:
    return re.sub(rf"(</?){re.escape(tag)}(?=[\s/>])", lambda found: found[1] + new, text)


def mutant(seed: int) -> str:
    """The template with up to three tags, attributes, values, texts or elements that are another's, or are gone."""
    random, text = Random(seed), DESKTOP
    for _ in range(random.randint(1, 3)):
        found = list(re.finditer(random.choice(PLACES), text))
        place, other = random.choice(found), random.choice(found)
        at = random.randint(0, len(place[1]))
        new = random.choice(
            (place[1][:at] + random.choice(PIECES) + place[1][at:], other[1], random.choice(PIECES))
        )
        if place.re.pattern == PLACES[0]:  # of all of them, or it would be no XML
            text = renamed(text, place[1], new)
        else:
            text = (
                text[: place.start(1)]
                + new.replace("'", "&apos;" if "=" not in new else "'")
                + text[place.end(1) :]
            )
    return text


@pytest.mark.thorough
def test_what_a_template_says_ends_in_a_workbook_or_in_a_sentence(fill: Fill) -> None:
    outcomes: Counter[str] = Counter()
    for seed in range(250):
        try:
            fill(mutant(seed))
            outcomes["a workbook"] += 1
        except UserError as refused:
            assert re.search(r"template\.twb.*[;:] ", str(refused)), seed
            outcomes["not XML" if "not XML" in str(refused) else "refused"] += 1
    assert min(outcomes.values()) > 10, outcomes
    assert len(outcomes) == 3, "each of them happens"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("<run>{{subtitle}}</run>", "Wanneer bellers u zoeken"),
        ("<run>{{ customer }}, {{period}}</run>", "De Zaak & ‹[Sales]› Zn, de laatste volledige week"),
        ("<run>{{empty}}</run>", "Geen gesprekken in deze periode"),
    ],
)
def test_texts_are_swapped(fill: Fill, saved: str, text: str, said: str) -> None:
    titled = f"<layout-options><title><formatted-text>{text}</formatted-text></title></layout-options>\n      <table>"
    document = etree.fromstring(fill(saved.replace("<table>", titled, 1)))
    assert document.findtext(".//layout-options/title/formatted-text/run") == said


COLUMN = "      <aliases enabled='yes' />"


def calculated(formula: str) -> str:
    """The template with a calculation of its own."""
    return (
        f"{COLUMN}\n<column caption='Mine' datatype='real' name='[Calculation_1]' role='measure' type='quantitative'>"
        f"<calculation class='tableau' formula='{formula}' /></column>"
    )


def test_a_calculation_of_its_own_stays(fill: Fill, saved: str) -> None:
    text = saved.replace(COLUMN, calculated("SUM([offered (queue_interval)]) // of [Sales]"), 1)
    document = etree.fromstring(fill(text.replace("sum:offered (queue_interval):qk", "usr:Calculation_1:qk")))
    column = document.find("datasources/datasource/column[@name='[Calculation_1]']")
    assert column.find("calculation").get("formula") == "SUM([offered]) // of [Sales]"


def test_a_ratio_is_computed_as_here_whatever_the_template_says(fill: Fill, saved: str) -> None:
    old = calculated("SUM([answered]) / SUM([offered (queue_interval)])").replace(
        "Calculation_1", "Calculation_service_level"
    )
    text = saved.replace(COLUMN, old, 1).replace(
        "sum:offered (queue_interval):qk", "usr:Calculation_service_level:qk"
    )
    document = etree.fromstring(fill(text))
    wanted = source("queue", "nl").fields["Calculation_service_level"]
    column = document.find("datasources/datasource/column[@name='[Calculation_service_level]']")
    assert column.find("calculation").get("formula") == wanted.formula
    assert column.get("caption") == wanted.caption


SECOND = """<datasource caption='Their calls' inline='true' name='federated.2' version='18.1'>
  <connection class='postgres' server='db.example.nl' username='callmart_customer_7' dbname='callmart' /></datasource>
  </datasources>"""
FILTER = """<filter class='categorical'
    column='[federated.0ahyg8e1xelf3914bag3r0yukuro].[none:queue (queue_interval):nk]'>
  <groupfilter function='member' level='[none:queue (queue_interval):nk]' member='&quot;Verkoop&quot;' /></filter>
  <aggregation value='true' />"""


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param("queue (queue_interval)", "colour", r"has no field \[colour\]", id="a field that is not there"),
        pytest.param(
            "offered (queue_interval)", "customer_id", r"has no field \[customer_id\]", id="a field that is hidden"
        ),
        pytest.param(
            "datatype='integer' name='[offered", "datatype='real' name='[offered",
            r"\[offered\] has type real but type integer in the data source", id="another type",
        ),
        pytest.param(
            "table='[Orders$]' type='table'", "type='text'", "contains custom SQL; use the marts'", id="custom SQL"
        ),
        pytest.param(
            "<connection class='excel-direct'", "<connection one-time-sql='set role x' class='excel-direct'",
            "contains initial SQL", id="initial SQL",
        ),
        pytest.param("</datasources>", SECOND, "it has the connections 'Sample.*', 'Their calls'", id="a second one"),
        pytest.param(
            COLUMN, f"{COLUMN}<extract enabled='true' count='-1' units='records' object-id=''><connection class='hyper'"
            " dbname='x.hyper'/></extract>", "has its own extract, i.e. data", id="an extract",
        ),
        pytest.param(
            "<aggregation value='true' />", FILTER, r"a filter on \[queue\] names single members", id="a queue's name"
        ),
        pytest.param("{{title}}", "{{name}}", "there is no text {{name}}; use one of customer, empty", id="a text"),
        pytest.param(COLUMN, calculated("SUM([secret])"), r"has no field \[secret\]", id="a formula's field"),
        pytest.param("<workbook ", "<workbooks ", "is not XML; save the workbook again", id="no XML"),
        pytest.param(
            "<workbook ", "<!DOCTYPE workbook [<!ENTITY x SYSTEM 'file:///etc/passwd'>]><workbook ",
            "is not a workbook", id="an entity",
        ),
    ],
)  # fmt: skip
def test_a_template_is_refused(fill: Fill, saved: str, old: str, new: str, said: str) -> None:
    text = saved
    if "federated" in old or old in ("{{title}}", "queue (queue_interval)", "offered (queue_interval)"):
        text = text.replace(old, new)
    else:
        assert old in text
        text = text.replace(old, new, -1 if old.startswith(("datatype", "table=")) else 1)
    if "customer_id" in new:
        text = text.replace("<remote-name>offered</remote-name>", "<remote-name>customer_id</remote-name>")
        text = text.replace("[queue_interval].[offered]", "[queue_interval].[customer_id]")
    if "colour" in new:
        text = text.replace("<remote-name>queue</remote-name>", "<remote-name>colour</remote-name>")
        text = text.replace("[queue_interval].[queue]", "[queue_interval].[colour]")
    with pytest.raises(UserError, match=said) as refused:
        fill(text)
    assert "template.twb" in str(refused.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [("template.twbx", "contains data; save the workbook as .twb"), ("missing.twb", "can't be read")],
)
def test_a_file_that_is_none_is_refused(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "template.twbx").write_bytes(b"PK")
    with pytest.raises(UserError, match=said):
        workbook.build(exposures.reports()["traffic"], "x", source("queue", "nl"), PUBLISHED, tmp_path / name)
