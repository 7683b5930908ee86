"""Sheets: one function a kind of sheet that a report declares."""

from collections.abc import Callable, Mapping

from lxml import etree

from callmart.fields import COUNT, SHARE, Field
from callmart.reports import Sheet as Declared
from callmart.tds import USER
from callmart.workbook.book import (
    BREAK,
    COLOURS,
    MEASURE_NAMES,
    MEASURE_VALUES,
    SHADES,
    WEEKS_BACK,
    Book,
    Instance,
    Sheet,
    texts,
)

GROUP_OF_FILTER = "1"  # sheets with this filter group share the choice

WORDS = {
    "no data": texts(nl="geen gegevens", en="no data"),
    "none before": texts(nl="geen week ervoor", en="no week before"),
    "day": texts(nl="Dag: ", en="Day: "),
    "week": texts(nl="Week: ", en="Week: "),
    "from": texts(nl="Kwartier van ", en="Quarter-hour from "),
    "of": texts(nl=" op ", en=" on "),
}
# What a change against the week before says, by its kind: up; down; none.
CHANGES = {
    "percent": texts(
        nl='*▲ 0.0% "t.o.v. week ervoor";▼ 0.0% "t.o.v. week ervoor";"gelijk aan week ervoor"',
        en='*▲ 0.0% "on the week before";▼ 0.0% "on the week before";"as in the week before"',
    ),
    "points": texts(
        nl='*▲ 0.0 "procentpunt t.o.v. week ervoor";▼ 0.0 "procentpunt t.o.v. week ervoor";"gelijk aan week ervoor"',
        en='*▲ 0.0 "points on the week before";▼ 0.0 "points on the week before";"as in the week before"',
    ),
    "seconds": texts(
        nl='*▲ 0 "s t.o.v. week ervoor";▼ 0 "s t.o.v. week ervoor";"gelijk aan week ervoor"',
        en='*▲ 0 "s on the week before";▼ 0 "s on the week before";"as in the week before"',
    ),
}


def add(book: Book, declared: Declared) -> list[Sheet]:
    """The sheets of what a report declares: one, or one a key figure."""
    return KINDS[declared.kind](book, declared)


# -- kinds -----------------------------------------------------------------------------------------------------


def figures(book: Book, declared: Declared) -> list[Sheet]:
    """A sheet a key figure: the week's value, large, and under it the change against the week before."""
    found = []
    for measure in declared.measures:
        field = book.source.measure(declared.mart, measure)
        caption = caption_of(book, declared.mart, measure)
        sheet = book.sheet(f"{declared.name}_{measure}", caption)
        now, change, note = _figure(book, declared.mart, measure, field)
        shown, changed, noted = (sheet.use(each) for each in (now, change, note))
        sheet.mark = "Text"
        sheet.encodings = [("text", shown), ("text", changed), ("text", noted)]
        small = {"fontcolor": "#595959", "fontsize": "9"}
        sheet.label = [
            (f"<{shown}>", {"bold": "true", "fontcolor": COLOURS[0], "fontsize": "22"}),
            (BREAK, {}),
            (f"<{changed}>", small),
            (f"<{noted}>", small),
        ]
        sheet.tooltip = [(f"{caption}: ", shown), ("", changed), ("", noted)]
        _filter_people(sheet)
        found.append(sheet)
    return found


def line(book: Book, declared: Declared) -> list[Sheet]:
    """The chosen week beside the week before, a pane a measure."""
    sheet = book.sheet(declared.name, book.say(declared.title))
    mart = declared.mart
    sheet.mark = "Line"
    which = sheet.use(book.which_week(mart))
    measures = [sheet.use(book.source.measure(mart, one)) for one in declared.measures]
    _name_axes(sheet, declared, "rows")
    sheet.rows = _beside(measures)
    sheet.columns = _moments(sheet, declared, is_axis=True)
    sheet.encodings = [("color", which)]
    sheet.legend = which
    sheet.tooltip = [(WORDS["week"][book.locale], which), *_when(sheet, declared)]
    sheet.tooltip += [
        (f"{caption_of(book, mart, one)}: ", name) for one, name in zip(declared.measures, measures, strict=True)
    ]  # fmt: skip
    _filter_week(sheet, mart, with_before=True)
    _filter_people(sheet)
    return [sheet]


def stacked_bar(book: Book, declared: Declared) -> list[Sheet]:
    """Bars of several measures, or of one measure by the values of a dimension."""
    sheet = book.sheet(declared.name, book.say(declared.title))
    mart = declared.mart
    sheet.mark = "Bar"
    measures = [sheet.use(book.source.measure(mart, one)) for one in declared.measures]
    by = dimension(book, mart, declared.by) if declared.by else None
    if by is not None:
        value, colour = _beside(measures), sheet.use(by)
        for number, (written, _) in enumerate(by.words):
            colours = book.colours.setdefault(Instance(by, "None", by.kind).name, {})
            colours[f'"{written}"'] = COLOURS[number % len(COLOURS)]
        _name_axes(sheet, declared, "cols" if declared.over in ("queue", "agent", "line") else "rows")
        parts = [(f"{by.caption}: ", colour)]
        parts += [(f"{caption_of(book, mart, one)}: ", name)
                  for one, name in zip(declared.measures, measures, strict=True)]  # fmt: skip
    else:
        value, colour = book.qualified(MEASURE_VALUES), book.qualified(MEASURE_NAMES)
        _several(sheet, declared, measures)
        colours = book.colours.setdefault(f"[{MEASURE_NAMES}]", {})
        for number, name in enumerate(measures):
            colours.setdefault(f'"{name}"', COLOURS[number % len(COLOURS)])
        parts = [("", colour), ("", value)]
    sheet.encodings = [("color", colour)]
    sheet.legend = colour
    if declared.over in ("day", "quarter_hour"):
        sheet.rows, sheet.columns = value, _moments(sheet, declared, is_axis=False)
        sheet.tooltip = [*_when(sheet, declared), *parts]
    else:
        field = dimension(book, mart, declared.over or "")
        over = sheet.use(field)
        sheet.rows, sheet.columns = over, value
        sheet.fit = "fit-width"  # as many bars as there are
        sheet.sorts.insert(0, _most_first(over, measures[0]))
        sheet.tooltip = [(f"{field.caption}: ", over), *parts]
    _filter_week(sheet, mart)
    _filter_people(sheet)
    return [sheet]


def heat_map(book: Book, declared: Declared) -> list[Sheet]:
    """Week days by quarter-hours, the darker the more."""
    sheet = book.sheet(declared.name, book.say(declared.title))
    mart = declared.mart
    sheet.mark = "Square"
    value = sheet.use(book.source.measure(mart, declared.measures[0]))
    sheet.rows = sheet.use(_day(book, mart), "Weekday", "ordinal")
    sheet.columns = _quarter_hours(sheet, mart)
    sheet.encodings = [("color", value)]
    sheet.legend = value
    encoding = etree.Element("encoding", attr="color", field=value, type="custom-interpolated")
    palette = etree.SubElement(encoding, "color-palette", custom="true", name="", type="ordered-sequential")
    for shade in SHADES:
        etree.SubElement(palette, "color").text = shade
    sheet.styles.append(("mark", encoding))
    sheet.tooltip = [
        (WORDS["day"][book.locale], sheet.rows),
        (WORDS["from"][book.locale], sheet.use(book.part(mart, "quarter_hour"))),
        (f"{caption_of(book, mart, declared.measures[0])}: ", value),
    ]
    _filter_week(sheet, mart)
    _filter_people(sheet)
    return [sheet]


def table(book: Book, declared: Declared) -> list[Sheet]:
    """A row a queue or agent, a column a measure, the most first."""
    sheet = book.sheet(declared.name, book.say(declared.title))
    mart = declared.mart
    sheet.mark = "Text"
    field = dimension(book, mart, declared.by or "")
    sheet.rows = sheet.use(field)
    sheet.columns = book.qualified(MEASURE_NAMES)
    measures = [sheet.use(book.source.measure(mart, one)) for one in declared.measures]
    _several(sheet, declared, measures)
    sheet.encodings = [("text", book.qualified(MEASURE_VALUES))]
    sheet.fit = "fit-width"
    sheet.sorts.insert(0, _most_first(sheet.rows, measures[0]))
    sheet.tooltip = [
        (f"{field.caption}: ", sheet.rows),
        ("", book.qualified(MEASURE_NAMES)),
        ("", book.qualified(MEASURE_VALUES)),
    ]
    _filter_week(sheet, mart)
    _filter_people(sheet)
    return [sheet]


KINDS: Mapping[str, Callable[[Book, Declared], list[Sheet]]] = {
    "figures": figures,
    "line": line,
    "stacked_bar": stacked_bar,
    "heat_map": heat_map,
    "table": table,
}


# -- what the dashboard's head says ----------------------------------------------------------------------------


def period(book: Book, mart: str) -> Sheet:
    """From when until when: the chosen week."""
    monday = f"DATEADD('week', -{WEEKS_BACK}, DATETRUNC('week', TODAY(), 'monday'))"
    sheet = book.sheet("period", texts(nl="Periode", en="Period")[book.locale])
    names = [
        sheet.use(book.calculate(_value(f"Workbook_{name}", mart, book.word(name), "date", formula, "*d mmmm yyyy")))
        for name, formula in (
            ("from", f"MIN(DATE({monday}))"),
            ("until", f"MIN(DATE(DATEADD('day', 6, {monday})))"),
        )
    ]  # fmt: skip
    sheet.mark = "Text"
    sheet.encodings = [("text", name) for name in names]
    look = {"bold": "true", "fontcolor": "#333333", "fontsize": "12"}
    week, until = texts(nl="Week van ", en="Week of ")[book.locale], texts(nl=" t/m ", en=" to ")[book.locale]
    sheet.label = [(week, look), (f"<{names[0]}>", look), (until, look), (f"<{names[1]}>", look)]
    sheet.tooltip = [(week, names[0]), (until, names[1])]
    return sheet


def message(book: Book, mart: str, text: str) -> Sheet:
    """Says so where the chosen week has nothing to show; else it says nothing."""
    sheet = book.sheet("message", texts(nl="Melding", en="Message")[book.locale])
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    field = _value(
        "Workbook_message",
        mart,
        sheet.name,
        "string",
        f"IF ZN(SUM(IF {book.weeks_ago(mart)} = {WEEKS_BACK} THEN 1 END)) = 0 THEN '{quoted}' ELSE '' END",
    )
    name = sheet.use(book.calculate(field))
    sheet.mark = "Text"
    sheet.encodings = [("text", name)]
    sheet.label = [(f"<{name}>", {"bold": "true", "fontcolor": COLOURS[5], "fontsize": "12"})]
    sheet.tooltip = [("", name)]
    _filter_people(sheet)
    return sheet


# -- parts -----------------------------------------------------------------------------------------------------


def dimension(book: Book, mart: str, name: str) -> Field:
    """The field of a report's dimension: what people are called, where it is people."""
    if name == "agent":
        return book.source.fields["Person_agent"]
    if name == "day":
        return _day(book, mart)
    if name == book.source.group:
        return book.source.filtered
    return book.source.fields[book.source.name(mart, name)]


def caption_of(book: Book, mart: str, measure: str) -> str:
    """What a measure is called in a sheet: without its unit, and without its mart."""
    if measure in book.source.metrics and book.source.metrics[measure].mart == mart:
        return book.say(book.source.metrics[measure].caption)
    return book.source.captions.column(measure, book.locale)


def _value(name: str, mart: str, caption: str, datatype: str, formula: str, form: str | None = None) -> Field:
    """A calculated field that is an aggregate."""
    return Field(
        name, mart, caption, "", datatype, "measure",  # type: ignore[arg-type]
        "nominal" if datatype == "string" else "quantitative", "User", "features", form, formula=formula,
    )  # fmt: skip


def _figure(book: Book, mart: str, measure: str, field: Field) -> tuple[Field, Field, Field]:
    """A key figure's fields: the week's value, its change against the week before, and what stands there instead."""
    source, ago = book.source, book.weeks_ago(mart)

    def of_week(week: str) -> str:
        if field.aggregation == "User":
            return source.ratio(source.metrics[measure], f"{ago} = {week}")
        return f"SUM(IF {ago} = {week} THEN [{field.name}] END)"

    caption = caption_of(book, mart, measure)
    now = _value(
        f"Workbook_now_{field.name}", mart, f"{caption}, {book.word('this').lower()}", "real",
        of_week(WEEKS_BACK), field.format or COUNT,
    )  # fmt: skip
    before = _value(
        f"Workbook_before_{field.name}", mart, f"{caption}, {book.word('before').lower()}", "real",
        of_week(f"{WEEKS_BACK} + 1"), field.format or COUNT,
    )  # fmt: skip
    kind, formula = "percent", f"[{now.name}] / [{before.name}] - 1"
    if field.aggregation == "User":
        kind = "points" if field.format == SHARE else "seconds"
        formula = f"([{now.name}] - [{before.name}])" + (" * 100" if kind == "points" else "")
    change = _value(
        f"Workbook_change_{field.name}", mart, f"{caption}, +/-", "real", formula, CHANGES[kind][book.locale]
    )
    note = _value(
        f"Workbook_note_{field.name}", mart, f"{caption}, !", "string",
        f"IF ISNULL([{now.name}]) THEN '{WORDS['no data'][book.locale]}' "
        f"ELSEIF ISNULL([{before.name}]) THEN '{WORDS['none before'][book.locale]}' ELSE '' END",
    )  # fmt: skip
    for each in (before, now, change, note):
        book.calculate(each)
    return now, change, note


def _day(book: Book, mart: str) -> Field:
    return book.source.fields[book.source.name(mart, "call_date")]


def _moments(sheet: Sheet, declared: Declared, *, is_axis: bool) -> str:
    """The days or quarter-hours along which a sheet goes; on an axis lines of two weeks lie over each other."""
    book, mart = sheet.book, declared.mart
    if declared.over == "day":
        field = _day(book, mart)
        name = sheet.use(field, "Weekday", "ordinal") if is_axis else sheet.use(field)
        if not is_axis:
            sheet.styles.append(("label", _format("text-format", "*ddd d mmm", name)))
        return name
    if declared.over == "quarter_hour":
        return sheet.use(book.part(mart, "time_of_day")) if is_axis else _quarter_hours(sheet, mart)
    return sheet.use(dimension(book, mart, declared.over or ""))


def _quarter_hours(sheet: Sheet, mart: str) -> str:
    """Quarter-hours in their hours; only the hours have heads, which are few enough to read."""
    hour = sheet.use(sheet.book.part(mart, "hour"))
    quarter_hour = sheet.use(sheet.book.part(mart, "quarter_hour"))
    sheet.styles.append(("label", _format("display", "false", quarter_hour)))
    return f"({hour} / {quarter_hour})"


def _when(sheet: Sheet, declared: Declared) -> list[tuple[str, str]]:
    """What a tooltip says of the moment."""
    book, mart = sheet.book, declared.mart
    if declared.over == "day":
        is_axis = declared.kind == "line"
        field = _day(book, mart)
        name = sheet.use(field, "Weekday", "ordinal") if is_axis else sheet.use(field)
        return [(WORDS["day"][book.locale], name)]
    if declared.over == "quarter_hour":
        part = "time_of_day" if declared.kind == "line" else "quarter_hour"
        return [(WORDS["from"][book.locale], sheet.use(book.part(mart, part)))]  # type: ignore[arg-type]
    field = dimension(book, mart, declared.over or "")
    return [(f"{field.caption}: ", sheet.use(field))]


def _several(sheet: Sheet, declared: Declared, measures: list[str]) -> None:
    """Several measures at once: by their names, in the order of the declaration."""
    book = sheet.book
    names = book.qualified(MEASURE_NAMES)
    union = etree.Element("groupfilter", {"function": "union", f"{{{USER}}}op": "manual"})
    order = etree.Element("manual-sort", column=names, direction="ASC")
    dictionary = etree.SubElement(order, "dictionary")
    for measure, name in zip(declared.measures, measures, strict=True):
        book.captions[name] = caption_of(book, declared.mart, measure)
        etree.SubElement(
            union, "groupfilter", function="member", level=f"[{MEASURE_NAMES}]", member=f'"{name}"'
        )
        etree.SubElement(dictionary, "bucket").text = f'"{name}"'
    filtered = etree.Element("filter", {"class": "categorical", "column": names})
    filtered.append(union)
    sheet.filters.append(filtered)
    sheet.sorts.append(order)
    sheet.slices.append(names)


def _most_first(name: str, measure: str) -> etree._Element:
    return etree.Element("computed-sort", column=name, direction="DESC", using=measure)


def _name_axes(sheet: Sheet, declared: Declared, scope: str) -> None:
    """An axis says what it shows in the words of the sheet, not by the field's own caption."""
    for measure in declared.measures:
        name = sheet.use(sheet.book.source.measure(declared.mart, measure))
        title = _format("title", caption_of(sheet.book, declared.mart, measure), name)
        title.set("class", "0")
        title.set("scope", scope)
        sheet.styles.append(("axis", title))


def _format(attribute: str, value: str, field: str) -> etree._Element:
    return etree.Element("format", attr=attribute, field=field, value=value)


def _beside(names: list[str]) -> str:
    """Several measures on a shelf."""
    return names[0] if len(names) == 1 else f"({names[0]} + {_beside(names[1:])})"


def _filter_week(sheet: Sheet, mart: str, *, with_before: bool = False) -> None:
    name = sheet.use(sheet.book.is_shown(mart, with_before=with_before))
    level = name.partition("].")[2]
    element = etree.Element("filter", {"class": "categorical", "column": name})
    etree.SubElement(
        element,
        "groupfilter",
        {
            "function": "member",
            "level": level,
            "member": "true",
            f"{{{USER}}}ui-domain": "database",
            f"{{{USER}}}ui-enumeration": "inclusive",
            f"{{{USER}}}ui-marker": "enumerate",
        },
    )
    sheet.filters.append(element)
    sheet.slices.append(name)


def _filter_people(sheet: Sheet) -> None:
    """The filter that all sheets share: queue, agent or line; at first all."""
    name = sheet.use(sheet.book.source.filtered)
    element = etree.Element(
        "filter", {"class": "categorical", "column": name, "filter-group": GROUP_OF_FILTER}
    )
    etree.SubElement(
        element,
        "groupfilter",
        {
            "function": "level-members",
            "level": name.partition("].")[2],
            f"{{{USER}}}ui-enumeration": "all",
            f"{{{USER}}}ui-marker": "enumerate",
        },
    )
    sheet.filters.append(element)
    sheet.slices.append(name)
