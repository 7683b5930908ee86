"""Reads the reports, which are the exposures in models/reports.yml.

A report declares the contract that includes it, its sheets and the marts they show, its texts, and when it is mailed.
"""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from callmart.base import declared
from callmart.base.declared import EarlierNames, Name, Text, Texts
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT
from callmart.base.strict import Strict
from callmart.declarations import captions
from callmart.declarations.dbt_project import NAMES_OF_AGENTS, Mart
from callmart.declarations.matrix import OPTIONS, Group, Option, matrix
from callmart.declarations.metrics import Metric

FILE = PROJECT / "models" / "reports.yml"

Weekday = Literal["monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday"]
Dimension = Literal[
    "day", "quarter_hour", "queue", "agent", "status", "line", "outcome", "open", "weeks", "months"
]

# The column of each dimension.
COLUMN: Mapping[Dimension, str] = {
    "day": "call_date",
    "quarter_hour": "interval_local",
    "queue": "queue",
    "agent": "agent_key",
    "status": "status",
    "line": "line",
    "outcome": "outcome",
    "open": "open",
    "weeks": "call_date",
    "months": "call_date",
}

# The dimension by which people filter the reports of a group.
FILTERED: Mapping[Group, Dimension] = {
    "queue": "queue",
    "contact": "queue",
    "agent": "agent",
    "line": "line",
}

# The dimensions that go back further than the week before.
TRENDS: tuple[Dimension, ...] = ("weeks", "months")
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


def _mart(written: str) -> str:
    found = re.fullmatch(r"ref\('([a-z_]+)'\)", written)
    if found is None:
        raise ValueError("not a mart; write it as ref('queue_interval')")
    return found[1]


class Schedule(Strict):
    """When the report is mailed: a weekday and an hour in the customer's time zone."""

    day: Weekday
    hour: Annotated[int, Field(ge=0, le=23)]


class Mail(Strict):
    """The texts of the mail."""

    subject: Texts
    message: Texts


class Sheet(Strict):
    """One chart or table. A measure is a column of the mart, summed or the largest, or a ratio of metrics.yml. A list
    shows `columns` of the mart's rows instead, `only` those with a word in a column. `then_by` is a second dimension of
    a table's rows. `without` is a value of `by` to leave out. Lines are `together` in one chart. `share` is the sheet's
    part of the page's height, relative to the other sheets.
    """

    name: Name
    kind: Literal["figures", "line", "stacked_bar", "table", "heat_map", "bars", "list"]
    mart: Name
    measures: Annotated[list[Name], Field(min_length=1)] = Field(default=[])
    columns: list[Name] = Field(default=[])
    only: dict[Name, Name] = Field(default={})
    title: Texts
    over: Dimension | None = None
    by: Dimension | None = None
    then_by: Dimension | None = None
    without: Name | None = None
    together: bool = False
    share: Annotated[int, Field(ge=1)] = 3

    @model_validator(mode="after")
    def _says_what_it_needs(self) -> "Sheet":
        for needed in NEEDS[self.kind]:
            if not getattr(self, needed):
                choice = (
                    "names of columns of the mart" if needed == "columns" else f"one of {', '.join(COLUMN)}"
                )
                raise ValueError(f"a {self.kind} needs `{needed}`: {choice}")
        for option, kind in (("columns", "list"), ("only", "list"), ("then_by", "table")):
            if getattr(self, option) and self.kind != kind:
                raise ValueError(f"only a {kind} has `{option}`; remove it")
        if bool(self.measures) == (self.kind == "list"):
            raise ValueError(
                "a list has `columns` and no measures; remove them"
                if self.measures
                else f"a {self.kind} needs `measures`: columns that can be summed, or ratios"
            )
        if (self.is_trend and self.kind != "line") or {self.by, self.then_by} & {*TRENDS}:
            raise ValueError("only a line goes over weeks or months; choose another dimension")
        if len(self.measures) > 1 and (self.kind == "heat_map" or (self.kind == "stacked_bar" and self.by)):
            raise ValueError("its colours show one measure; remove the others")
        if self.together and (self.kind != "line" or self.is_trend or len(self.measures) > MOST_TOGETHER):
            raise ValueError(
                f"at most {MOST_TOGETHER} lines over day or quarter_hour can be together; remove `together`"
            )
        words = captions.file().values.get(self.by or "", {})
        if self.without is not None and self.without not in words:
            raise ValueError(
                f"{self.without} is not a value of `by`; name one of {', '.join(words) or 'none'}"
            )
        for column, word in self.only.items():
            if word not in (words := captions.file().values.get(column, {})):
                raise ValueError(
                    f"{word} is not a word of {column}; name one of {', '.join(words) or 'a column that has words'}"
                )
        return self

    @property
    def is_trend(self) -> bool:
        """Whether it goes back further than the week before."""
        return self.over in TRENDS

    @property
    def dimensions(self) -> list[Dimension]:
        """What its rows are by; a list has columns instead."""
        if self.kind == "heat_map":
            return ["day", "quarter_hour"]
        return [dimension for dimension in (self.over, self.by, self.then_by) if dimension is not None]

    @property
    def axes(self) -> list[str]:
        """The columns of its dimensions; of a list, all that it shows."""
        return [*(COLUMN[dimension] for dimension in self.dimensions), *self.columns, *self.only]


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
    group: Group
    only_with_data: bool = False
    rows_in: Name | None = None
    schedule: Schedule
    title: Texts
    subtitle: Texts
    empty: Texts
    mail: Mail
    sheets: Annotated[list[Sheet], Field(min_length=1)]

    @model_validator(mode="before")
    @classmethod
    def _with_its_meta(cls, exposure: Any) -> Any:
        """Lift the keys of config.meta, where our own keys are, to the top level."""
        if not isinstance(exposure, dict):
            return exposure
        match exposure.get("config"):
            case {"meta": dict(meta), **others} if not others and not set(meta) & set(exposure):
                return {key: value for key, value in exposure.items() if key != "config"} | meta
            case _:
                raise ValueError(
                    "config.meta must have the report's own keys; docs/report_types.md shows them"
                )

    @model_validator(mode="after")
    def _is_whole(self) -> "Report":
        if self.group not in matrix().opened(self.option, matrix().ordered):
            raise ValueError(f"a {self.option} contract does not open the group {self.group}; choose another")
        names = [sheet.name for sheet in self.sheets]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"sheet {min(twice)} is there twice; keep one of the two")
        shown = {sheet.mart for sheet in self.sheets}
        if any(COLUMN["agent"] in sheet.axes for sheet in self.sheets):
            shown.add(NAMES_OF_AGENTS)
        if difference := shown ^ set(self.marts):
            mart = min(difference)
            raise ValueError(
                f"its sheets show {mart}; add it to depends_on"
                if mart in shown
                else f"no sheet shows {mart}; remove it from depends_on"
            )
        return self

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
        return FILTERED[self.group]

    @property
    def shows_contacts(self) -> bool:
        """Whether it has a row per contact, which a customer may keep for a shorter time than all else."""
        return self.group == "contact"

    def is_opened_by(self, option: str, orders: Iterable[str]) -> bool:
        """Whether a contract with this option and these orders includes the report: its own option, or a larger one."""
        including = OPTIONS[OPTIONS.index(self.option) :]
        known = [order for order in matrix().ordered if order in orders]
        return any(option == each and self.group in matrix().opened(each, known) for each in including)


class _File(Strict):
    version: Literal[2]
    exposures: list[Report]

    @model_validator(mode="after")
    def _names_once(self) -> "_File":
        names = [name for report in self.exposures for name in report.names]
        known = {report.name for report in self.exposures}
        if lost := {report.rows_in for report in self.exposures if report.rows_in} - known:
            raise ValueError(f"there is no report {min(lost)}; correct `rows_in`")
        if twice := {name for name in names if names.count(name) > 1}:
            raise ValueError(f"{min(twice)} is there twice; keep one of the two")
        return self


def read(file: Path) -> list[Report]:
    """Return the reports that a file declares, in its order. Raises UserError if it is wrong."""
    return declared.read(file, _File).exposures


@cache
def reports() -> dict[str, Report]:
    """The reports of this installation, by name. `check` compares them with the marts."""
    return {report.name: report for report in read(FILE)}


def current_name(name: str) -> str:
    """Return the name that a report has now, if this is one that it had before. Any other name stays as it is."""
    return next((report.name for report in reports().values() if name in report.renamed_from), name)


def named(name: str) -> Report:
    """Return the report of this name. Raises UserError if there is none, with the nearest one."""
    known = reports()
    if report := known.get(current_name(name)):
        return report
    alike = get_close_matches(name, known, 1)
    raise UserError(
        f"there is no report {name}: name "
        + (f"{alike[0]}, if that is what you mean" if alike else f"one of {', '.join(known)}")
    )


def nearest(name: str, known: Iterable[str]) -> list[str]:
    """The names that are most like this one, at least one of them."""
    return get_close_matches(name, list(known), 3, cutoff=0)


def check(reports: Iterable[Report], marts: Iterable[Mart], metrics: Mapping[str, Metric]) -> None:
    """Raise UserError if a report shows a mart, a column or a ratio that does not exist, or a mart of another group."""
    by_name = {mart.name: mart for mart in marts}
    for report in reports:
        for name in report.marts:
            if name not in by_name:
                raise declared.wrong(FILE, report.name, f"there is no mart {name}; name one that exists")
            if by_name[name].group != report.group:
                raise declared.wrong(
                    FILE,
                    report.name,
                    f"{name} is in the group {by_name[name].group}; a report shows marts of its own group",
                )
        for sheet in report.sheets:
            mart = by_name[sheet.mart]
            place = f"{report.name}.{sheet.name}"
            for column in sheet.axes:
                if column not in mart.columns:
                    what = "column" if column in sheet.columns else "dimension"
                    raise declared.wrong(FILE, place, f"{mart.name} has no {column}; choose another {what}")
            if unreadable := set(sheet.columns) & set(mart.unreadable):
                raise declared.wrong(
                    FILE,
                    place,
                    f"nobody can read {min(unreadable)}, a key or a time in UTC; choose another column",
                )
            for measure in sheet.measures:
                there = [*mart.shown, *(name for name, one in metrics.items() if one.mart == mart.name)]
                if measure not in there:
                    raise declared.wrong(
                        FILE,
                        place,
                        f"{measure} is neither a column of {mart.name} of which reports show the sum or the largest, "
                        f"nor a ratio of it; choose one that is, such as {', '.join(nearest(measure, there))}",
                    )
