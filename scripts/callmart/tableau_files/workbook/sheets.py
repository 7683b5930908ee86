"""Fills in sheets: one function per kind of sheet that reports declare, and the sheets of the dashboard's header."""

from collections.abc import Callable, Mapping

from lxml import etree

from callmart.base.declared import Texts, texts
from callmart.declarations.exposures import OVER_TIME
from callmart.declarations.exposures import Sheet as Declared
from callmart.tableau_files.fields import Field
from callmart.tableau_files.tds import USER
from callmart.tableau_files.workbook import calculated
from callmart.tableau_files.workbook.book import (
    ALARM,
    COLOURS,
    MEASURE_NAMES,
    MEASURE_VALUES,
    SHADES,
    Book,
)
from callmart.tableau_files.workbook.sheet import BREAK, Instance, Sheet

DAY = "*ddd d"  # without the month, which the dashboard's header shows
WHOLE_DAY = "*dddd d mmmm"
MOMENT = "*ddd d mmm hh:nn:ss"
# Sizes in tables, in pixels. On a phone, people scroll.
NAMES_WIDTH, COLUMN_WIDTH, ROW_HEIGHT, HEAD_HEIGHT = 170, 104, 24, 40
TABLE_WIDTH = 960  # the largest width
# How marks look: those that are text; points of a line, so that a single one is seen; and the number of its last one.
TEXT = {"mark-labels-show": "true", "mark-labels-cull": "false"}
POINTS = {"mark-markers-mode": "all"}
LAST_NUMBER = {
    "mark-labels-show": "true",
    "mark-labels-mode": "line-ends",
    "mark-labels-line-first": "false",
    "mark-labels-line-last": "true",
}

WORDS = {
    "day": texts("Dag: ", "Day: "),
    "week": texts("Week: ", "Week: "),
    "from": texts("Kwartier van ", "Quarter-hour from "),
    "period": texts("Periode", "Period"),
    "week of": texts("Week ", "Week "),
    "until": texts(" t/m ", " to "),
}


def add(book: Book, declared: Declared) -> list[Sheet]:
    """Add the sheets of one declared sheet and return them: one, or one per key figure."""
    sheets = KINDS[declared.kind](book, declared)
    for sheet in sheets:
        _filter_choices(sheet, declared.mart)
    return sheets


# -- kinds -----------------------------------------------------------------------------------------------------


def figures(book: Book, declared: Declared) -> list[Sheet]:
    """Add one sheet per key figure: the week's value in large type, and below it the change from the week before."""
    found = []
    for measure in declared.measures:
        caption = book.caption(declared.mart, measure)
        sheet = book.sheet(f"{declared.name}_{measure}", caption)
        now, change, before, note = (
            sheet.use(field) for field in calculated.figure(book, declared.mart, measure)
        )
        sheet.mark, sheet.marks, sheet.title_size = "Text", TEXT, "10"
        sheet.encodings = [("text", name) for name in (now, change, before, note)]
        small = {"fontcolor": "#595959", "fontsize": "9"}
        sheet.label = [
            (f"<{now}>", {"bold": "true", "fontcolor": COLOURS[0], "fontsize": "20"}),
            (BREAK, {}),
            *((f"<{name}>", small) for name in (change, before, note)),
        ]
        sheet.tooltip = [(f"{caption}: ", now), ("", change), ("", before), ("", note)]
        found.append(sheet)
    return found


def line(book: Book, declared: Declared) -> list[Sheet]:
    """Add lines for the chosen week and the week before, with one pane per measure; or for the chosen week, together in
    one pane; or for the last weeks or months.
    """
    sheet = _sheet(book, declared, "Line")
    mart = declared.mart
    measures = _measures(sheet, declared)
    if declared.together:
        return [_together(sheet, declared, measures)]
    if declared.is_trend:
        return [_trend(sheet, declared, measures)]
    _stack(sheet, declared, measures)
    which = sheet.use(calculated.which(book, mart))
    sheet.encodings = [("color", which)]
    sheet.legend, sheet.legend_items = which, 2
    if declared.over == "day":
        sheet.marks = POINTS
        sheet.columns = sheet.use(calculated.day_of_week(book, mart))
        sheet.style("label", "text-format", DAY, field=sheet.columns)
        moment = _day(sheet, mart, "Attribute")
    else:
        sheet.columns, moment = _times_of_day(sheet, mart)
    sheet.tooltip = _tooltip(book, (WORDS["week"], which), moment, *_values(book, declared, measures))
    _filter(sheet, calculated.both(book, mart, by_day=declared.over == "day"))
    return [sheet]


def _stack(sheet: Sheet, declared: Declared, measures: list[str]) -> None:
    """Put the measures below each other, each in a pane of its own, with its target."""
    _name_axes(sheet, declared, measures, "rows")
    sheet.rows, sheet.axes = _beside(measures), measures
    if not declared.begins_at_zero:
        for name in measures:
            sheet.styles.append(("axis", _without_zero(name)))
    _show_targets(sheet, declared, measures)


def _together(sheet: Sheet, declared: Declared, measures: list[str]) -> Sheet:
    book, mart = sheet.book, declared.mart
    value, colour = book.qualified(MEASURE_VALUES), book.qualified(MEASURE_NAMES)
    names = _several(sheet, declared, measures)
    _colour(book, f"[{MEASURE_NAMES}]", names)
    sheet.style("axis", "title", "", **{"class": "0", "field": value, "scope": "rows"})
    sheet.rows, sheet.encodings = value, [("color", colour)]
    sheet.legend, sheet.legend_items = colour, len(names)
    if declared.over == "day":
        sheet.columns, moment = _days(sheet, mart)
    else:
        sheet.columns, moment = _times_of_day(sheet, mart)
    sheet.tooltip = _tooltip(book, moment, (f"<{colour}>: ", value))
    _filter(sheet, calculated.shown(book, mart, by_day=declared.over == "day"))
    return sheet


def _trend(sheet: Sheet, declared: Declared, measures: list[str]) -> Sheet:
    book, mart = sheet.book, declared.mart
    _stack(sheet, declared, measures)
    sheet.marks = POINTS | LAST_NUMBER
    (over,) = declared.dimensions
    part = book.part(mart, "week" if over == "weeks" else "month")
    sheet.columns = sheet.use(part)
    sheet.tooltip = _tooltip(book, (f"{part.caption}: ", sheet.columns), *_values(book, declared, measures))
    _filter(sheet, calculated.recent(book, mart, over))
    return sheet


def _show_targets(sheet: Sheet, declared: Declared, measures: list[str]) -> None:
    for measure, name in zip(declared.measures, measures, strict=True):
        if (target := sheet.book.target_of(declared.mart, measure)) is not None:
            sheet.targets[name] = (target, calculated.target_words(sheet.book, target))


def stacked_bar(book: Book, declared: Declared) -> list[Sheet]:
    """Add stacked bars: of several measures, or of one measure by the values of a dimension."""
    sheet = _sheet(book, declared, "Bar")
    measures = _measures(sheet, declared)
    over = declared.dimensions[0]
    is_over_time = over in OVER_TIME
    scope = "rows" if is_over_time else "cols"
    if declared.by is not None:
        by = dimension(book, declared.mart, declared.by)
        (value,), colour = measures, sheet.use(by)
        names = [f'"{written}"' for written, _ in by.words]
        _colour(book, Instance(by, "None", by.kind).name, names)
        sheet.sorts.append(_in_order(colour, names))
        if declared.without is not None:
            sheet.filters.append(_all_but(colour, declared.without))
            sheet.slices.append(colour)
        _name_axes(sheet, declared, measures, scope)
        parts = [(f"{by.caption}: ", colour), *_values(book, declared, measures)]
    else:
        value, colour = book.qualified(MEASURE_VALUES), book.qualified(MEASURE_NAMES)
        names = _several(sheet, declared, measures)
        _colour(book, f"[{MEASURE_NAMES}]", names)
        sheet.style("axis", "title", "", **{"class": "0", "field": value, "scope": scope})
        parts = [(f"<{colour}>: ", value)]
    sheet.encodings = [("color", colour)]
    sheet.legend, sheet.legend_items = colour, len(names)
    if is_over_time:
        sheet.rows = value
        if over == "day":
            sheet.columns, moment = _days(sheet, declared.mart)
        else:
            sheet.columns, moment = _quarter_hours(sheet, declared.mart)
        sheet.tooltip = _tooltip(book, moment, *parts)
    else:
        field = dimension(book, declared.mart, over)
        sheet.rows, sheet.columns = sheet.use(field), value
        sheet.zoom = "fit-width"  # the height grows with the number of bars
        sheet.style("header", "width", str(NAMES_WIDTH), field=sheet.rows)
        if declared.by is None:
            sheet.sorts.append(_most_first(sheet.rows, measures[0]))
        sheet.tooltip = _tooltip(book, (f"{field.caption}: ", sheet.rows), *parts)
    _filter(sheet, calculated.shown(book, declared.mart, by_day=over == "day"))
    return [sheet]


def heat_map(book: Book, declared: Declared) -> list[Sheet]:
    """Add a heat map of weekdays by quarter-hours. Darker means more."""
    sheet = _sheet(book, declared, "Square")
    (value,) = measures = _measures(sheet, declared)
    sheet.rows = sheet.use(book.day(declared.mart), "Weekday", "ordinal")
    sheet.columns, moment = _quarter_hours(sheet, declared.mart)
    sheet.encodings = [("color", value)]
    sheet.legend, sheet.legend_items = value, 1
    encoding = etree.Element("encoding", attr="color", field=value, type="custom-interpolated")
    palette = etree.SubElement(encoding, "color-palette", custom="true", name="", type="ordered-sequential")
    for shade in SHADES:
        etree.SubElement(palette, "color").text = shade
    sheet.styles.append(("mark", encoding))
    day = (WORDS["day"], sheet.rows)
    sheet.tooltip = _tooltip(book, day, moment, *_values(book, declared, measures))
    _filter(sheet, calculated.shown(book, declared.mart, by_day=True))
    return [sheet]


def table(book: Book, declared: Declared) -> list[Sheet]:
    """Add a table: one row per value of a dimension, or per values of two, and one column per measure. Of one
    dimension, it is sorted by the first measure, descending.
    """
    sheet = _sheet(book, declared, "Text")
    measures = _measures(sheet, declared)
    fields = [dimension(book, declared.mart, name) for name in declared.dimensions]
    rows = [sheet.use(field) for field in fields]
    sheet.rows, sheet.columns = _nested(rows), book.qualified(MEASURE_NAMES)
    _several(sheet, declared, measures)
    sheet.encodings = [("text", book.qualified(MEASURE_VALUES))]
    sheet.zoom = ""
    for row in rows:
        sheet.style("header", "width", str(NAMES_WIDTH), field=row)
    sheet.style("header", "height", str(HEAD_HEIGHT), field=sheet.columns)
    width = min(COLUMN_WIDTH, (TABLE_WIDTH - NAMES_WIDTH * len(rows)) // len(measures))
    sheet.style("cell", "width", str(width))
    sheet.style("cell", "height", str(ROW_HEIGHT), field=rows[-1])
    sheet.style("cell", "text-align", "right")
    if len(rows) == 1:
        sheet.sorts.append(_most_first(rows[0], measures[0]))
    value = (f"<{sheet.columns}>: ", book.qualified(MEASURE_VALUES))
    heads = [(f"{field.caption}: ", row) for field, row in zip(fields, rows, strict=True)]
    sheet.tooltip = _tooltip(book, *heads, value)
    _filter(sheet, calculated.shown(book, declared.mart))
    return [sheet]


def bars(book: Book, declared: Declared) -> list[Sheet]:
    """Add a bar per measure, in the declared order."""
    sheet = _sheet(book, declared, "Bar")
    measures = _measures(sheet, declared)
    sheet.rows, sheet.columns = book.qualified(MEASURE_NAMES), book.qualified(MEASURE_VALUES)
    _several(sheet, declared, measures)
    sheet.zoom = "fit-width"
    sheet.style("header", "width", str(NAMES_WIDTH), field=sheet.rows)
    sheet.style("axis", "title", "", **{"class": "0", "field": sheet.columns, "scope": "cols"})
    sheet.tooltip = _tooltip(book, (f"<{sheet.rows}>: ", sheet.columns))
    _filter(sheet, calculated.shown(book, declared.mart))
    return [sheet]


def listed(book: Book, declared: Declared) -> list[Sheet]:
    """Add a list: each column a header, and beside them how many rows of the mart say just that, mostly one."""
    sheet = _sheet(book, declared, "Text")
    fields = [_listed(book, declared.mart, name) for name in declared.columns]
    columns = [
        sheet.use(field, "None", "ordinal" if field.kind == "quantitative" else "") for field in fields
    ]
    sheet.rows = _nested(columns)
    count = sheet.use(calculated.count(book, declared.mart))
    sheet.encodings = [("text", count)]
    sheet.zoom = ""
    for field, column in zip(fields, columns, strict=True):
        if field.datatype == "datetime":
            sheet.style("label", "text-format", MOMENT, field=column)
        sheet.style("header", "width", str(TABLE_WIDTH // (len(columns) + 1)), field=column)
    sheet.style("cell", "height", str(ROW_HEIGHT), field=columns[-1])
    pairs = zip(fields, columns, strict=True)
    sheet.tooltip = _tooltip(book, *((f"{field.caption}: ", column) for field, column in pairs))
    for name, word in declared.only.items():
        only = sheet.use(dimension(book, declared.mart, name))
        sheet.filters.append(_categorical(only, "member", member=f'"{word}"', **_chosen("inclusive")))
        sheet.slices.append(only)
    _filter(sheet, calculated.shown(book, declared.mart, by_day=True))
    return [sheet]


def _listed(book: Book, mart: str, column: str) -> Field:
    """The field of a column in a list. For agents, it is the one with their names, and for what the marts share, the
    root's.
    """
    if column == "agent_key":
        return book.source.agent
    field = book.source.fields[book.source.name(mart, column)]
    return book.source.fields[column] if field.is_hidden else field


KINDS: Mapping[str, Callable[[Book, Declared], list[Sheet]]] = {
    "figures": figures,
    "line": line,
    "stacked_bar": stacked_bar,
    "heat_map": heat_map,
    "table": table,
    "bars": bars,
    "list": listed,
}


# -- the dashboard's header ------------------------------------------------------------------------------------


def period(book: Book) -> Sheet:
    """Add the sheet that shows the chosen week, with its first and last day."""
    sheet = book.sheet("period", book.say(WORDS["period"]))
    fields = calculated.period(book)
    week, first, last, going_on, through, so_far = (sheet.use(field) for field in fields)
    sheet.mark, sheet.marks = "Text", TEXT
    sheet.encodings = [("text", name) for name in (week, first, last, going_on, through, so_far)]
    look = {"bold": "true", "fontcolor": "#333333", "fontsize": "12"}
    of, until = book.say(WORDS["week of"]), book.say(WORDS["until"])
    label = f"{of}<{week}>  ·  <{first}>{until}<{last}><{going_on}>"
    until_now = (
        f"{fields.through.caption} <{through}><{so_far}>",
        {"fontcolor": "#595959", "fontsize": "10"},
    )
    sheet.label = [(label, look), (BREAK, {}), until_now]
    sheet.tooltip = [(of, week), (f"<{first}>{until}", last)]
    return sheet


def message(book: Book) -> Sheet:
    """Add the sheet with the report's message for a week without data. It is empty for other weeks."""
    field = calculated.message(book, book.report.marts[0], book.say(book.report.empty))
    sheet = book.sheet("message", field.caption)
    name = sheet.use(field)
    sheet.mark, sheet.marks = "Text", TEXT
    sheet.encodings = [("text", name)]
    sheet.label = [(f"<{name}>", {"bold": "true", "fontcolor": ALARM, "fontsize": "12"})]
    sheet.tooltip = [("", name)]
    _filter_choices(sheet, book.report.marts[0])
    return sheet


# -- parts -----------------------------------------------------------------------------------------------------


def dimension(book: Book, mart: str, name: str) -> Field:
    """Return the field of a report's dimension. For agents, it is the one with their names."""
    if name == "agent":
        return book.source.agent
    if name == "day":
        return book.day(mart)
    if name == "quarter_hour":
        return book.part(mart, "quarter_hour")
    root = book.source.root
    return book.source.fields[book.source.name(root.name if name in root.key else mart, name)]


def _sheet(book: Book, declared: Declared, mark: str) -> Sheet:
    """A chart or table. Its title says what is in the columns, so they have no labels."""
    sheet = book.sheet(declared.name, book.say(declared.title))
    sheet.mark = mark
    sheet.style("worksheet", "display-field-labels", "false", scope="cols")
    if declared.kind == "heat_map":
        sheet.style("worksheet", "display-field-labels", "false", scope="rows")
    return sheet


def _measures(sheet: Sheet, declared: Declared) -> list[str]:
    source = sheet.book.source
    return [sheet.use(source.measure(declared.mart, measure)) for measure in declared.measures]


def _day(sheet: Sheet, mart: str, derivation: str = "") -> tuple[Texts, str]:
    """The day's field and its words for the tooltip, where it is written out."""
    name = sheet.use(sheet.book.day(mart), derivation)
    sheet.style("cell", "text-format", WHOLE_DAY, field=name)
    return WORDS["day"], name


def _days(sheet: Sheet, mart: str) -> tuple[str, tuple[Texts, str]]:
    """Days, and the day for the tooltip."""
    moment = _day(sheet, mart)
    sheet.style("label", "text-format", DAY, field=moment[1])
    return moment[1], moment


def _times_of_day(sheet: Sheet, mart: str) -> tuple[str, tuple[Texts, str]]:
    """The time of day as one axis, and the quarter-hour for the tooltip."""
    column = sheet.use(sheet.book.part(mart, "time_of_day"))
    return column, (WORDS["from"], sheet.use(sheet.book.part(mart, "quarter_hour"), "Attribute"))


def _quarter_hours(sheet: Sheet, mart: str) -> tuple[str, tuple[Texts, str]]:
    """Quarter-hours within hours. Only the hours have labels, as quarter-hours would be too many to read."""
    hour = sheet.use(sheet.book.part(mart, "hour"))
    quarter_hour = sheet.use(sheet.book.part(mart, "quarter_hour"))
    sheet.style("label", "display", "false", field=quarter_hour)
    return f"({hour} / {quarter_hour})", (WORDS["from"], quarter_hour)


def _tooltip(book: Book, *parts: tuple[Texts | str, str]) -> list[tuple[str, str]]:
    return [(words if isinstance(words, str) else book.say(words), name) for words, name in parts]


def _values(book: Book, declared: Declared, measures: list[str]) -> list[tuple[str, str]]:
    """The parts of a tooltip for the measures."""
    captions = (book.caption(declared.mart, measure) for measure in declared.measures)
    return [(f"{caption}: ", name) for caption, name in zip(captions, measures, strict=True)]


def _several(sheet: Sheet, declared: Declared, measures: list[str]) -> list[str]:
    """Show several measures through Tableau's measure names, in the order of the declaration; return those names."""
    book = sheet.book
    column = book.qualified(MEASURE_NAMES)
    names = [f'"{measure}"' for measure in measures]
    union = etree.Element("groupfilter", {"function": "union", f"{{{USER}}}op": "manual"})
    for measure, field, name in zip(declared.measures, measures, names, strict=True):
        caption = book.caption(declared.mart, measure)
        while caption in {other for name, other in book.captions.items() if name != field}:
            caption += "\u2060"  # Tableau tells measures apart by their names; nobody sees a word joiner
        book.captions[field] = caption
        etree.SubElement(union, "groupfilter", function="member", level=f"[{MEASURE_NAMES}]", member=name)
    filtered = etree.Element("filter", {"class": "categorical", "column": column})
    filtered.append(union)
    sheet.filters.append(filtered)
    sheet.sorts.append(_in_order(column, names))
    sheet.slices.append(column)
    return names


def _colour(book: Book, field: str, values: list[str]) -> None:
    """Set the colours of values. They are the same in all sheets."""
    colours = book.colours.setdefault(field, {})
    for number, value in enumerate(values):
        colours.setdefault(value, COLOURS[number % len(COLOURS)])


def _in_order(column: str, values: list[str]) -> etree._Element:
    order = etree.Element("manual-sort", column=column, direction="ASC")
    dictionary = etree.SubElement(order, "dictionary")
    for value in values:
        etree.SubElement(dictionary, "bucket").text = value
    return order


def _most_first(name: str, measure: str) -> etree._Element:
    return etree.Element("computed-sort", column=name, direction="DESC", using=measure)


def _name_axes(sheet: Sheet, declared: Declared, measures: list[str], scope: str) -> None:
    """Give axes the sheet's captions of the measures instead of the fields' own captions."""
    for measure, name in zip(declared.measures, measures, strict=True):
        caption = sheet.book.caption(declared.mart, measure)
        sheet.style("axis", "title", caption, **{"class": "0", "field": name, "scope": scope})


def _without_zero(name: str) -> etree._Element:
    """The axis of a measure, when Tableau need not include 0 in it."""
    where = {"attr": "space", "class": "0", "field": name, "field-type": "quantitative", "scope": "rows"}
    return etree.Element("encoding", {**where, "type": "space", "domain-expand": "false"})


def _nested(names: list[str]) -> str:
    """Several dimensions on one shelf, each within the one before."""
    return _on_shelf(names, "/")


def _beside(names: list[str]) -> str:
    """Several measures on one shelf."""
    return _on_shelf(names, "+")


def _on_shelf(names: list[str], sign: str) -> str:
    return names[0] if len(names) == 1 else f"({names[0]} {sign} {_on_shelf(names[1:], sign)})"


# -- filters ---------------------------------------------------------------------------------------------------


def _filter(sheet: Sheet, condition: Field) -> None:
    """Show only rows that meet the condition."""
    name = sheet.use(condition)
    sheet.filters.append(_categorical(name, "member", member="true", **_chosen("inclusive")))
    sheet.slices.append(name)


def _filter_choices(sheet: Sheet, mart: str) -> None:
    """Add the filters that people choose by: queue, agent or line, and opening hours. At first they select all."""
    for group, field in enumerate(sheet.book.choices, 1):
        if field == sheet.book.source.filtered or field.mart == mart:
            name = sheet.use(field)
            element = _categorical(name, "level-members", **_chosen("all"))
            element.set("filter-group", str(group))  # sheets with the same filter group share the selection
            sheet.filters.append(element)
            sheet.slices.append(name)


def _all_but(name: str, value: str) -> etree._Element:
    element = etree.Element("filter", {"class": "categorical", "column": name})
    level = name.partition("].")[2]
    left_out = etree.SubElement(element, "groupfilter", {"function": "except", **_chosen("exclusive")})
    etree.SubElement(left_out, "groupfilter", function="level-members", level=level)
    etree.SubElement(left_out, "groupfilter", function="member", level=level, member=f'"{value}"')
    return element


def _chosen(how: str) -> dict[str, str]:
    """Attributes for how Tableau's filter dialog shows the selection."""
    domain = {} if how == "all" else {f"{{{USER}}}ui-domain": "database"}
    return {f"{{{USER}}}ui-enumeration": how, f"{{{USER}}}ui-marker": "enumerate", **domain}


def _categorical(name: str, function: str, **attributes: str) -> etree._Element:
    element = etree.Element("filter", {"class": "categorical", "column": name})
    level = name.partition("].")[2]
    etree.SubElement(element, "groupfilter", {"function": function, "level": level, **attributes})
    return element
