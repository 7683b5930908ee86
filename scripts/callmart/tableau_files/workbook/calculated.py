"""The fields that a workbook calculates itself: conditions for two weeks, key figures and their change, the period."""

from typing import NamedTuple

from callmart.base.declared import texts
from callmart.declarations.data_through import THROUGH
from callmart.declarations.exposures import TREND
from callmart.tableau_files.fields import COUNT, SHARE, DataType, Field
from callmart.tableau_files.workbook.book import COLOURS, GREY, WEEKS_BACK, Book
from callmart.tableau_files.workbook.sheet import Instance

WORDS = {
    "shown": texts("In deze week, hele dagen", "In this week, whole days"),
    "shown_by_day": texts("In deze week", "In this week"),
    "before": texts("In de week ervoor", "In the week before"),
    "both": texts("In deze week, hele dagen, of die ervoor", "In this week, whole days, or the one before"),
    "both_by_day": texts("In deze week of die ervoor", "In this week or the one before"),
    "which": texts("Week", "Week"),
    "this week": texts("Deze week", "This week"),
    "week before": texts("Week ervoor", "Week before"),
    "weeks": texts("In de laatste weken", "In the last weeks"),
    "months": texts("In de laatste maanden", "In the last months"),
    "rows": texts("Aantal", "Number"),
    "day": texts("Dag", "Day"),
    "week": texts("Weeknummer", "Week number"),
    "from": texts("Van", "From"),
    "until": texts("Tot en met", "Until"),
    "through": texts("Gegevens tot en met", "Data through"),
    "so far": texts(", tot nu toe", ", so far"),
    "until the time": texts(" tot ", " until "),
    "going on": texts(", tot en met gisteren", ", until yesterday"),
    "message": texts("Melding", "Message"),
    "no data": texts("geen gegevens", "no data"),
    "none before": texts("geen week ervoor", "no week before"),
    "same": texts("gelijk", "the same"),
    "target": texts("doel ", "target "),
    "met": texts(" gehaald", " met"),
    "missed": texts(" niet gehaald", " missed"),
    "was": texts("was ", "was "),
    "points": texts(" punt", " points"),
}


def shown(book: Book, mart: str, *, by_day: bool = False) -> Field:
    """Return the condition that a row is in the chosen week. A day that is not over counts only where a sheet shows
    something `by_day`.
    """
    of_week = f"{_weeks_ago(book, mart)} = {WEEKS_BACK}"
    if by_day:
        return _condition(book, mart, "shown_by_day", of_week)
    return _condition(book, mart, "shown", f"{of_week} AND {_is_over(book, f'[{book.day(mart).name}]')}")


def before(book: Book, mart: str) -> Field:
    """Return the condition that a row is in the week before the chosen one.

    If the chosen week isn't over, only those days count whose weekday has passed in it. None does in the week in which
    the mart's days begin.
    """
    day = f"[{book.day(mart).name}]"
    is_over = _is_over(book, f"DATEADD('day', 7, {day})")
    has_first = _has_first(day, f"DATETRUNC('week', {day}, 'monday')")
    return _condition(
        book, mart, "before", f"{_weeks_ago(book, mart)} = {WEEKS_BACK} + 1 AND {is_over} AND {has_first}"
    )


def both(book: Book, mart: str, *, by_day: bool) -> Field:
    """Return the condition that a row is in the chosen week or the one before."""
    of_week, name = shown(book, mart, by_day=by_day), "both_by_day" if by_day else "both"
    return _condition(book, mart, name, f"[{of_week.name}] OR [{before(book, mart).name}]")


def which(book: Book, mart: str) -> Field:
    """Return the field that says in words whether a row is in the chosen week or the one before, with its colours."""
    this, last = _word(book, "this week"), _word(book, "week before")
    formula = f"IF [{shown(book, mart, by_day=True).name}] THEN '{this}' ELSE '{last}' END"
    field = _dimension(book, mart, "which", "string", formula)
    book.colours[Instance(field, "None", "nominal").name] = {f'"{this}"': COLOURS[0], f'"{last}"': GREY}
    return field


def day_of_week(book: Book, mart: str) -> Field:
    """Return the field with the row's day. Days of the week before are moved forward, so that the weeks overlap."""
    weeks = f"({_weeks_ago(book, mart)} - {WEEKS_BACK})"
    formula = f"DATE(DATEADD('day', 7 * {weeks}, [{book.day(mart).name}]))"
    return _dimension(book, mart, "day", "date", formula)


def recent(book: Book, mart: str, what: str) -> Field:
    """Return the condition that a row is in one of the last thirteen weeks or months that are over at the end of the
    chosen week.
    """
    day = f"[{book.day(mart).name}]"
    monday = f"DATEADD('week', 1 - {WEEKS_BACK}, DATETRUNC('week', TODAY(), 'monday'))"
    after = f"(IF {WEEKS_BACK} = 0 THEN TODAY() ELSE DATE({monday}) END)"
    if what == "weeks":
        ago = f"DATEDIFF('week', {day}, {after}, 'monday')"
        first = f"DATETRUNC('week', {day}, 'monday')"
        last = f"DATEADD('day', 6, {first})"
    else:
        ago = f"DATEDIFF('month', {day}, {after})"
        first = f"DATETRUNC('month', {day})"
        last = f"DATEADD('day', -1, DATEADD('month', 1, {first}))"
    is_whole = f"{_has_first(day, first)} AND {_has_whole(book, last)}"
    return _condition(book, mart, what, f"{ago} >= 1 AND {ago} <= {TREND} AND {is_whole}")


def count(book: Book, mart: str) -> Field:
    """Return the number of rows in the chosen week."""
    formula = f"SUM(IF [{shown(book, mart, by_day=True).name}] THEN 1 END)"
    return _aggregate(book, mart, f"rows_of_{mart}", _word(book, "rows"), "integer", formula, COUNT)


class Figure(NamedTuple):
    """A key figure: the week's value, its change, the value of the week before, and a note if one is missing, or if it
    has a target.
    """

    now: Field
    change: Field
    before: Field
    note: Field


def figure(book: Book, mart: str, measure: str) -> Figure:
    """Return the fields of a key figure."""
    field = book.source.measure(mart, measure)
    is_ratio = field.aggregation == "User"
    form = field.format or COUNT

    def of_week(condition: Field) -> str:
        if is_ratio:
            return book.source.ratio(book.source.metrics[measure], f"[{condition.name}]")
        return f"{field.aggregation.upper()}(IF [{condition.name}] THEN [{field.name}] END)"

    def add(name: str, datatype: DataType, formula: str, form: str | None = None) -> Field:
        caption = f"{book.caption(mart, measure)} ({name})"
        return _aggregate(book, mart, f"{name}_{field.name}", caption, datatype, formula, form)

    now = add("now", "real", of_week(shown(book, mart)), form)
    was = add("before", "real", of_week(before(book, mart)), f'*"({_word(book, "was")}"{_digits(form)}")"')
    # The change is rounded as it is shown, so that one too small to be seen counts as none.
    if not is_ratio:
        change = add("change", "real", f"ROUND([{now.name}] / [{was.name}] - 1, 3)", _change(book, "0.0%"))
    elif form == SHARE:
        points = _change(book, f'0.0"{_word(book, "points")}"')
        change = add("change", "real", f"ROUND(([{now.name}] - [{was.name}]) * 100, 1)", points)
    else:
        change = add("change", "real", f"ROUND([{now.name}] - [{was.name}])", _change(book, _digits(form)))
    said = "''"
    if (target := book.target_of(mart, measure)) is not None:
        met, missed = (target_words(book, target) + _word(book, word) for word in ("met", "missed"))
        said = f"IF [{now.name}] >= {target} THEN '{met}' ELSE '{missed}' END"
    note = add(
        "note",
        "string",
        f"IF ISNULL([{now.name}]) THEN '{_word(book, 'no data')}' "
        f"ELSEIF ISNULL([{was.name}]) THEN '{_word(book, 'none before')}' ELSE ({said}) END",
    )
    return Figure(now, change, was, note)


def target_words(book: Book, target: float) -> str:
    """Return how a target is called: target 80 %."""
    share = f"{100 * target:.4f}".rstrip("0").rstrip(".")
    return f"{_word(book, 'target')}{share.replace('.', ',') if book.locale == 'nl' else share}%"


class Period(NamedTuple):
    """The chosen week: its number, its first and last day, a text if it isn't over, how far the data goes, and a text
    while that day isn't over.
    """

    week: Field
    first: Field
    last: Field
    going_on: Field
    through: Field
    so_far: Field


def period(book: Book) -> Period:
    """Return the fields of the chosen week, and how far in it the data goes."""
    through, moment = _data_through(book)
    monday = f"DATEADD('week', -{WEEKS_BACK}, DATETRUNC('week', TODAY(), 'monday'))"

    def add(name: str, datatype: DataType, formula: str, form: str | None = None) -> Field:
        return _aggregate(book, "", name.replace(" ", "_"), _word(book, name), datatype, formula, form)

    sunday = f"DATE(DATEADD('day', 6, {monday}))"
    hour, minute = (f"RIGHT('0' + STR(DATEPART('{part}', {moment})), 2)" for part in ("hour", "minute"))
    until = f"'{_word(book, 'until the time')}' + {hour} + ':' + {minute} + '{_word(book, 'so far')}'"
    return Period(
        add("week", "integer", f"MIN(DATEPART('iso-week', {monday}))", "n0"),
        add("from", "date", f"MIN(DATE({monday}))", "*d mmm"),
        add("until", "date", f"MIN({sunday})", "*d mmm yyyy"),
        add("going on", "string", f"MIN(IF {WEEKS_BACK} = 0 THEN '{_word(book, 'going on')}' ELSE '' END)"),
        add(
            "through", "date", f"MAX(IF {through} > {sunday} THEN {sunday} ELSE {through} END)", "*d mmm yyyy"
        ),
        add(
            "so far",
            "string",
            f"MAX(IF ISNULL({moment}) OR {through} < DATE({monday}) OR {through} > {sunday} THEN '' ELSE {until} END)",
        ),
    )


def message(book: Book, mart: str, text: str) -> Field:
    """Return the field with a text if the chosen week has no data, or else an empty text."""
    quoted = text.replace("\\", "\\\\").replace("'", "\\'")
    formula = (
        f"IF ZN(SUM(IF [{shown(book, mart, by_day=True).name}] THEN 1 END)) = 0 THEN '{quoted}' ELSE '' END"
    )
    return _aggregate(book, mart, "message", _word(book, "message"), "string", formula)


# -- parts -----------------------------------------------------------------------------------------------------


def _word(book: Book, name: str) -> str:
    return book.say(WORDS[name])


def _weeks_ago(book: Book, mart: str) -> str:
    return f"[{book.part(mart, 'weeks_ago').name}]"


def _data_through(book: Book) -> tuple[str, str]:
    """The last day with data, and until when its data goes while it is not over."""
    return (
        f"[{book.source.name(THROUGH.name, 'through')}]",
        f"[{book.source.name(THROUGH.name, 'so_far')}]",
    )


def _is_over(book: Book, day: str) -> str:
    """The condition that a day is over: by Tableau's clock, and in the data, which may have been published before."""
    return f"{day} < TODAY() AND {_has_whole(book, day)}"


def _has_whole(book: Book, day: str) -> str:
    """The condition that the data has the whole of a day, if it breaks off within one. Both are the same for all rows:
    joined with each row, rows of a mart that is not the first of its data source would count several times.
    """
    through, so_far = (f"{{MAX({field})}}" for field in _data_through(book))
    return f"(ISNULL({so_far}) OR {day} < {through})"


def _has_first(day: str, first: str) -> str:
    """The condition that the mart's days go back to the first day of a week or month."""
    return f"{{MIN({day})}} <= {first}"


def _digits(form: str) -> str:
    """The digits of a number format, for use among words."""
    return form[1:].partition(";")[0]


def _change(book: Book, digits: str) -> str:
    """A number format with an arrow up, an arrow down, or a word for no change."""
    return f'*▲ {digits} ;▼ {digits} ;"{_word(book, "same")} "'


def _condition(book: Book, mart: str, name: str, formula: str) -> Field:
    return _dimension(book, mart, name, "boolean", formula)


def _dimension(book: Book, mart: str, name: str, datatype: DataType, formula: str) -> Field:
    return book.calculate(
        Field(
            name=book.source.name(mart, f"Workbook_{name}"),
            mart=mart,
            caption=book.of_mart(_word(book, name), mart),
            description="",
            datatype=datatype,
            role="dimension",
            kind="ordinal" if datatype == "date" else "nominal",
            aggregation="Count",
            folder="features",
            formula=formula,
        )
    )


def _aggregate(
    book: Book, mart: str, name: str, caption: str, datatype: DataType, formula: str, form: str | None = None
) -> Field:
    return book.calculate(
        Field(
            name=f"Workbook_{name}",
            mart=mart,
            caption=caption,
            description="",
            datatype=datatype,
            role="measure",
            kind="nominal" if datatype == "string" else "quantitative",
            aggregation="User",
            folder="features",
            format=form,
            formula=formula,
        )
    )
