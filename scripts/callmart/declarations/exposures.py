"""Reads the reports, which are the exposures in models/reports.yml.

A report declares the contract that includes it, its sheets and the marts they show, its texts, and when it is mailed.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from callmart.base import declared
from callmart.base.declared import Caption, EarlierNames, Name, Text, Texts
from callmart.base.errors import UserError
from callmart.base.matrix import OPTIONS, GroupName, Matrix, Option, matrix
from callmart.base.nearest import instead, nearest
from callmart.base.settings import PROJECT
from callmart.base.strict import Strict, twice
from callmart.declarations import captions, metrics, model_files
from callmart.declarations.mart import NAMES_OF_AGENTS, Mart
from callmart.declarations.metrics import Metric

FILE = PROJECT / "models" / "reports.yml"

Words = Mapping[str, Mapping[str, Texts]]  # of columns: each value with its caption

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]

# A dimension is a column of the mart by which rows are counted, under its own name. These are called otherwise.
COLUMN: Mapping[str, str] = {
    "day": "call_date",
    "quarter_hour": "interval_local",
    "agent": "agent_key",
    "weeks": "call_date",
    "months": "call_date",
}
Dimension = Name

# Reports use these names themselves: nothing that they show may have one.
TAKEN = (*COLUMN, "hour", "this_week")

# The dimensions that go back further than the week before.
TRENDS: tuple[str, ...] = ("weeks", "months")
TREND = 13  # of these
OVER_TIME = ("day", "quarter_hour", *TRENDS)
MOST_TOGETHER = 3  # lines in one chart

# What each kind of sheet must declare beside its measures: the dimension of its axis (`over`), or of its rows (`by`).
NEEDS: Mapping[str, tuple[str, ...]] = {
    "figures": (),
    "line": ("over",),
    "stacked_bar": ("over",),
    "table": ("by",),
    "heat_map": (),  # always week day by quarter-hour
    "bars": (),  # a bar per measure
    "list": ("columns",),  # a row per row of the mart
}

# What only some kinds of sheets may declare.
ONLY_OF: Mapping[str, tuple[str, ...]] = {
    "over": ("line", "stacked_bar"),
    "by": ("stacked_bar", "table"),
    "then_by": ("table",),
    "columns": ("list",),
    "only": ("list",),
}

AGENT, QUARTER_HOUR = COLUMN["agent"], COLUMN["quarter_hour"]


def column_of(dimension: Dimension) -> str:
    """The column of a dimension."""
    return COLUMN.get(dimension, dimension)


def dimensions(mart: Mart) -> list[Dimension]:
    """The dimensions that a mart has: days, quarter-hours, agents, and its columns of words or of yes and no."""
    own = [
        column.name
        for column in mart.declared
        if column.data_type in ("text", "boolean") and column.name not in mart.unreadable
    ]
    return [*(name for name, column in COLUMN.items() if column in mart.columns), *own]


def _mart(written: str) -> str:
    found = re.fullmatch(r"ref\(['\"]([a-z_][a-z_0-9]*)['\"]\)", written)
    if found is None:
        raise ValueError("not a mart; write it as ref('queue_interval')")
    return found[1]


class Schedule(Strict):
    """When the report is mailed: a weekday and an hour in the customer's time zone."""

    day: Weekday
    hour: Annotated[int, Field(ge=0, le=23)]

    @property
    def weekday(self) -> int:
        """The day's number, as dates have it: Monday's is 0."""
        return get_args(Weekday).index(self.day)

    def due_in_week_of(self, day: date) -> datetime:
        """When it is mailed in the week of a day, by the customer's clock."""
        return datetime.combine(day + timedelta(days=self.weekday - day.weekday()), time(self.hour))


class Mail(Strict):
    """The texts of the mail."""

    subject: Caption
    message: Texts


class Sheet(Strict):
    """One chart or table. A measure is a column of the mart, summed or the largest, or a ratio of metrics.yml. A list
    shows `columns` of the mart's rows instead, `only` those with a word in a column. `then_by` is a second dimension of
    a table's rows. `without` is a value of `by` to leave out. Lines are `together` in one chart; `needed` is the one
    that the first should not be below. `share` is the sheet's part of the page's height, relative to the others.
    """

    name: Name
    kind: Literal["figures", "line", "stacked_bar", "table", "heat_map", "bars", "list"]
    mart: Name
    measures: Annotated[list[Name], Field(min_length=1)] = Field(default=[])
    columns: list[Name] = Field(default=[])
    only: dict[Name, Name] = Field(default={})
    title: Caption
    over: Dimension | None = None
    by: Dimension | None = None
    then_by: Dimension | None = None
    without: Name | None = None
    together: bool = False
    needed: Name | None = None
    share: Annotated[int, Field(ge=1)] = 3

    @model_validator(mode="after")
    def _says_what_it_needs(self) -> "Sheet":
        for needed in NEEDS[self.kind]:
            if not getattr(self, needed):
                choice = (
                    "names of columns of the mart"
                    if needed == "columns"
                    else f"one of {', '.join(COLUMN)}, or a column of the mart"
                )
                raise ValueError(f"a {self.kind} needs `{needed}`: {choice}")
        for option, kinds in ONLY_OF.items():
            if getattr(self, option) and self.kind not in kinds:
                raise ValueError(f"only a {' or a '.join(kinds)} has `{option}`; remove it")
        if bool(self.measures) == (self.kind == "list"):
            raise ValueError(
                "a list has `columns` and no measures; remove them"
                if self.measures
                else f"a {self.kind} needs `measures`: columns that can be summed, or ratios"
            )
        for listed in (self.measures, self.columns, self.dimensions):
            if name := twice(listed):
                raise ValueError(f"{name} is there twice; keep one of the two")
        if self.without is not None and self.by is None:
            raise ValueError("`without` leaves out a value of `by`; add it")
        if (self.is_trend and self.kind != "line") or {self.by, self.then_by} & {*TRENDS}:
            raise ValueError("only a line goes over weeks or months; choose another dimension")
        if len(self.measures) > 1 and (self.kind == "heat_map" or (self.kind == "stacked_bar" and self.by)):
            raise ValueError("its colours show one measure; remove the others")
        if self.together and (self.kind != "line" or self.is_trend or len(self.measures) > MOST_TOGETHER):
            raise ValueError(
                f"at most {MOST_TOGETHER} lines over day or quarter_hour can be together; remove `together`"
            )
        if self.needed is not None and not (self.together and self.needed in self.measures[1:]):
            raise ValueError(
                "`needed` is compared with the first of lines that are `together`; name another of them"
            )
        return self

    @model_validator(mode="after")
    def _is_over_time(self) -> "Sheet":
        if self.kind == "line" and self.over not in OVER_TIME:
            raise ValueError(f"a line goes over one of {', '.join(OVER_TIME)}; choose one, or another kind")
        return self

    @property
    def begins_at_zero(self) -> bool:
        """Whether its axis begins at 0. A line's axis begins where its values do, or the line would be flat; lines that
        are together are compared by their height.
        """
        return self.kind != "line" or self.together

    @property
    def is_trend(self) -> bool:
        """Whether it goes back further than the week before."""
        return self.over in TRENDS

    @property
    def dimensions(self) -> list[Dimension]:
        """What its rows are by, the axis first; a list has columns instead."""
        if self.kind == "heat_map":
            return ["day", "quarter_hour"]
        return [dimension for dimension in (self.over, self.by, self.then_by) if dimension is not None]

    @property
    def axes(self) -> list[str]:
        """The columns of its dimensions; of a list, all that it shows."""
        return [*map(column_of, self.dimensions), *self.columns, *self.only]


class Report(Strict):
    """A report as its exposure declares it. `renamed_from` has the names that it had before, the oldest first. A report
    `only_with_data` is for customers of whom its marts have rows. `rows_in` is the report with the contacts behind its
    numbers.
    """

    name: Name
    renamed_from: EarlierNames = Field(default=[])
    label: Text
    type: Literal["dashboard"]
    description: Text
    owner: dict[str, str]
    marts: Annotated[list[Annotated[str, AfterValidator(_mart)]], Field(alias="depends_on")]
    option: Option
    group: GroupName
    only_with_data: bool = False
    rows_in: Name | None = None
    schedule: Schedule
    title: Caption
    subtitle: Caption
    empty: Caption
    mail: Mail
    sheets: Annotated[list[Sheet], Field(min_length=1)]

    # dbt's own
    url: Any = None
    maturity: Any = None
    tags: Any = None
    _file: Path = PrivateAttr(FILE)  # that declares it

    @model_validator(mode="before")
    @classmethod
    def _with_its_meta(cls, exposure: Any) -> Any:
        """Lift the keys of config.meta, where our own keys are, to the top level."""
        if not isinstance(exposure, dict):
            return exposure
        match exposure.get("config"):
            case {"meta": dict(meta), **others} if not set(others) - {"tags"} and not set(meta) & set(
                exposure
            ):
                return {key: value for key, value in exposure.items() if key != "config"} | meta
            case _:
                raise ValueError(
                    "config.meta must have the report's own keys, and config nothing else but tags; "
                    "docs/report_types.md shows them"
                )

    def __hash__(self) -> int:
        return hash(self.name)  # its lists have none

    @property
    def names(self) -> list[str]:
        """All its names, the first one first and the present one last."""
        return [*self.renamed_from, self.name]

    @property
    def first_name(self) -> str:
        """The name under which it was first published. Ids in its workbooks are made from it, so they stay the same."""
        return self.names[0]

    @property
    def filtered(self) -> Dimension:
        """The dimension by which people filter it."""
        return matrix().groups[self.group].filtered

    @property
    def main_mart(self) -> str:
        """The mart of its first sheet."""
        return self.sheets[0].mart

    def filters_hours(self, marts: Mapping[str, Mart]) -> bool:
        """Whether people can filter it by opening hours: whether its main mart tells them apart."""
        return "open" in marts[self.main_mart].columns

    @property
    def shows_contacts(self) -> bool:
        """Whether it has a row per contact, which a customer may keep for a shorter time than all else."""
        return matrix().is_ordered(self.group)

    def is_opened_by(self, option: str, orders: Iterable[str]) -> bool:
        """Whether a contract with this option and these orders includes the report: its own option, or a larger one."""
        including = OPTIONS[OPTIONS.index(self.option) :]
        known = [order for order in matrix().ordered if order in orders]
        return any(option == each and self.group in matrix().opened(each, known) for each in including)


class File(BaseModel):
    """The exposures of a file of models; the rest of it is read elsewhere."""

    model_config = ConfigDict(extra="ignore", strict=True)

    version: Literal[2] = 2
    exposures: list[Report]


def files() -> list[Path]:
    """The files that declare reports, in the order of their names; at least the one that always does."""
    with_the_word = [file for file in model_files.files() if b"exposures" in file.read_bytes()]
    return [file for file in with_the_word if "exposures" in (model_files.load(file) or ())] or [FILE]


def read(file: Path) -> list[Report]:
    """Return the reports that a file declares, in its order. Raises UserError if it is wrong."""
    return found_in(file, declared.read(file, File))


def found_in(file: Path, content: File) -> list[Report]:
    """The reports of a file that was read."""
    for report in content.exposures:
        report._file = file
    return content.exposures


@cache
def reports() -> dict[str, Report]:
    """The reports of this installation, by name. `check` compares them with the marts. Raises UserError if two have the
    same name, or one leads to a report that does not exist.
    """
    found = [report for file in files() for report in read(file)]
    for mistake in misnamed(found):
        raise mistake
    return {report.name: report for report in found}


def misnamed(reports: Sequence[Report], unread: Iterable[str] = ()) -> Iterator[UserError]:
    """What is wrong in the names of reports, and in those of the reports to which they lead. `unread` are the names of
    reports that are wrong by themselves.
    """
    known = [*(report.name for report in reports), *unread]
    names = Counter(name for report in reports for name in report.names)
    titles = Counter(title for report in reports for title in report.title)  # each with its language
    for report in reports:
        if taken := [name for name in report.names if names[name] > 1]:
            yield declared.wrong(report._file, report.name, f"{taken[0]} is there twice; keep one of the two")
        if any(titles[title] > 1 for title in report.title):
            yield declared.wrong(
                report._file,
                report.name,
                "another report has its title, and so its name on Tableau; choose another",
            )
        if report.rows_in and report.rows_in not in known:
            yield declared.wrong(
                report._file,
                report.name,
                f"there is no report for rows_in; {instead(report.rows_in, known)}, or remove rows_in",
            )


def current_name(name: str) -> str:
    """Return the name that a report has now, if this is one that it had before. Any other name stays as it is."""
    return next((report.name for report in reports().values() if name in report.renamed_from), name)


def named(name: str) -> Report:
    """Return the report of this name. Raises UserError if there is none, with the nearest one."""
    known = reports()
    if report := known.get(current_name(name)):
        return report
    alike = nearest(name, known)
    raise UserError(
        f"there is no report {name}: name "
        + (f"{alike}, if that is what you mean" if alike else f"one of {', '.join(known)}")
    )


@cache
def places() -> list[Dimension]:
    """The dimensions of all reports, weeks and months apart: days and quarter-hours, then the others as declared."""
    every = [name for report in reports().values() for sheet in report.sheets for name in sheet.dimensions]
    return [name for name in dict.fromkeys(["day", "quarter_hour", *every]) if name not in TRENDS]


def check_all(marts: Collection[Mart]) -> None:
    """Raise UserError if a ratio or a report of this installation does not fit the marts."""
    metrics.check(metrics.metrics().values(), marts)
    check(reports().values(), marts, metrics.metrics())


def check(reports: Iterable[Report], marts: Iterable[Mart], metrics: Mapping[str, Metric]) -> None:
    """Raise UserError if a report shows a mart, a column or a ratio that does not exist, or a mart of another group."""
    for mistake in mistakes(reports, marts, metrics.values(), captions.file().values, matrix()):
        raise mistake


def mistakes(
    reports: Iterable[Report],
    marts: Iterable[Mart],
    metrics: Iterable[Metric],
    words: Words,
    matrix: Matrix,
    unread: Collection[str] = (),
    *,
    has_all_words: bool = True,
) -> Iterator[UserError]:
    """What is wrong in reports compared with the marts, the ratios, the words of columns and the contracts. Nothing is
    said about `unread` marts and ratios, whose own declarations are wrong, nor about captions unless `has_all_words`.
    """
    by_name = {mart.name: mart for mart in marts}
    captioned = captions.captioned(by_name.values())
    measures: dict[str, dict[str, str]] = {
        mart.name: {column.name: column.unit for column in mart.measures if column.name in mart.shown}
        for mart in by_name.values()
    }
    for metric in metrics:
        measures.get(metric.mart, {})[metric.name] = metric.unit
    for report in reports:
        for sentence in _of_report(report, by_name, matrix, unread):
            yield declared.wrong(report._file, report.name, sentence)
        for sheet in report.sheets:
            if mart := by_name.get(sheet.mart):
                sentences = [
                    *_of_sheet(sheet, mart, measures[mart.name], words, unread),
                    *(_unsaid(sheet, mart, captioned) if has_all_words else ()),
                ]
                for sentence in sentences:
                    yield declared.wrong(report._file, f"{report.name}.{sheet.name}", sentence)


def _of_report(
    report: Report, marts: Mapping[str, Mart], matrix: Matrix, unread: Collection[str]
) -> Iterator[str]:
    """What is wrong in a report as a whole."""
    if name := twice([sheet.name for sheet in report.sheets]):
        yield f"sheet {name} is there twice; keep one of the two"
    shown = {sheet.mart: None for sheet in report.sheets}
    if any(AGENT in sheet.axes for sheet in report.sheets):
        shown[NAMES_OF_AGENTS] = None
    unknown = [
        name for name in {**dict.fromkeys(report.marts), **shown} if name not in marts and name not in unread
    ]
    yield from (
        f"there is no mart {name}; {instead(name, marts)}, or remove it from depends_on, and the sheets that show it"
        for name in unknown
    )
    if not unknown:
        yield from (
            f"its sheets show {name}; add it to depends_on" for name in shown if name not in report.marts
        )
        yield from (
            f"no sheet shows {name}; remove it from depends_on" for name in report.marts if name not in shown
        )
    if report.group not in matrix.groups:
        yield f"there is no group {report.group} that reports show; {instead(report.group, matrix.groups)}"
        return
    if report.group not in matrix.opened(report.option, matrix.ordered):
        yield f"a {report.option} contract does not open the group {report.group}; choose another"
    for name in shown:
        if name in marts and not marts[name].caption:
            yield f"{name} has no caption; add config: {{meta: {{caption: {{nl: …, en: …}}}}}} to its YAML"
        if name in marts and marts[name].group != report.group:
            by_agent = "; a sheet by agent needs it" if name == NAMES_OF_AGENTS else ""
            yield f"{name} is in the group {marts[name].group}; a report shows marts of its own group{by_agent}"


def _unsaid(sheet: Sheet, mart: Mart, captioned: Mapping[str, captions.Words]) -> Iterator[str]:
    """Columns that the sheet shows, and of which its readers would see a name of ours, or English for Dutch."""
    for column in dict.fromkeys([*sheet.axes, *sheet.measures]):
        if column not in mart.columns or column == AGENT:
            continue
        if column not in captioned:
            also = " and description_nl: …" if column in sheet.measures else ""
            yield f"{column} has no caption; add caption: {{nl: …, en: …}}{also} to the column in {mart.name}"
        elif column in sheet.measures and not captioned[column].description_nl:
            yield f"{column} has no description_nl, which people read below the numbers; add it to its caption"


def _of_sheet(
    sheet: Sheet, mart: Mart, measures: Mapping[str, str], words: Words, unread: Collection[str]
) -> Iterator[str]:
    """What is wrong in a sheet compared with its mart."""
    if mart.day != COLUMN["day"]:
        yield f"reports show days, and {mart.name} has no {COLUMN['day']} as its day; choose another mart"
    shown = {*sheet.dimensions, *sheet.columns, *sheet.measures} & {*mart.columns, *measures}
    yield from (
        f"reports use the name {name} themselves; choose another for the column of {mart.name}, or the ratio in"
        " metrics.yml"
        for name in TAKEN
        if name in shown
    )
    there = dimensions(mart)
    for dimension in dict.fromkeys(sheet.dimensions):
        if dimension not in there:
            yield f"{mart.name} has no {dimension} to show it by; {instead(dimension, there)}"
    for column in dict.fromkeys([*sheet.columns, *sheet.only]):
        if column not in mart.columns:
            yield f"{mart.name} has no {column}; {instead(column, mart.columns)}"
        elif column in mart.unreadable:
            yield f"nobody can read {column}, a key or a time in UTC; choose another column"
    for measure in sheet.measures:
        if measure not in measures and measure not in unread:
            yield (
                f"{measure} is neither a column of {mart.name} of which reports show the sum or the largest, "
                f"nor a ratio of it; {instead(measure, measures)}"
            )
    units = sorted({measures[measure] for measure in sheet.measures if measure in measures})
    if (sheet.kind in ("bars", "stacked_bar") or sheet.together) and len(units) > 1:
        yield f"its measures are in {' and '.join(units)}, and have one axis; keep those of one unit"
    chosen = sheet.only | ({sheet.by: sheet.without} if sheet.by and sheet.without else {})
    for column, word in chosen.items():
        if column not in words:
            yield f"{column} has no words to choose from; add values.{column} to captions.yml"
        elif word not in words[column]:
            yield f"{word} is not a word of {column}; {instead(word, words[column])}"
