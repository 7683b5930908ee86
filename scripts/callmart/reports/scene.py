"""What the sheets of a report are drawn from: the customer's rows, the days that count, the words of the language."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta
from functools import cached_property
from typing import Any

from callmart.base import controls
from callmart.declarations.captions import Captions
from callmart.declarations.exposures import Sheet, column_of
from callmart.declarations.mart import Mart
from callmart.declarations.metrics import Metric
from callmart.reports import measures
from callmart.reports.language import Language
from callmart.reports.measures import Measure
from callmart.reports.page import Grid
from callmart.reports.reading import Line, Queue, Reader, Row
from callmart.reports.weeks import Period

Grain = str  # a dimension of reports, or an hour of the day
EXPRESSIONS: Mapping[Grain, str] = {  # of those that are not a column
    "quarter_hour": "interval_local::time",
    "weeks": "date_trunc('week', call_date::timestamp)::date",
    "months": "date_trunc('month', call_date::timestamp)::date",
    "hour": "date_trunc('hour', interval_local)::time",
}
NAMED: Mapping[Grain, Grain] = {
    "agent_key": "agent",
    "overflowed_to": "queue",
}  # columns of a dimension's names
# Those that a chart's XML has not end the whole process. Landed names have no control characters any more.
NOT_SHOWN = re.compile(f"{controls.CONTROL.pattern}|[\ufffe\uffff]")
NOW = "this_week"  # of a row: true in the week, false in the week before


def expression(grain: Grain) -> str:
    """What the database computes of a row for a grain."""
    return EXPRESSIONS.get(grain) or f'"{column_of(grain)}"'


def _called(listed: Mapping[Any, Queue | Line], name: str) -> str:
    """What a queue or line is called. One that the registry does not list can be named like the label of another."""
    if name in listed:
        return listed[name].shown or name
    return f"{name} ({name})" if any(one.shown == name for one in listed.values()) else name


@dataclass(frozen=True)
class Scene:
    """Everything that the sheets of one report need."""

    reader: Reader
    period: Period
    language: Language
    marts: Mapping[str, Mart]
    metrics: Mapping[str, Metric]
    captions: Captions

    def measures(self, sheet: Sheet) -> list[Measure]:
        """The measures of a sheet; of a list, its columns."""
        mart = self.marts[sheet.mart]
        if sheet.columns:
            return [
                measures.listed(mart, name, self.captions, self.language.locale) for name in sheet.columns
            ]
        return [
            measures.of(mart, name, self.metrics, self.captions, self.language.locale)
            for name in sheet.measures
        ]

    def rows(
        self,
        sheet: Sheet,
        *grains: Grain,
        compared: bool = False,
        with_total: bool = False,
        where_all_are_known: bool = False,
    ) -> list[Row]:
        """The measures of a sheet by dimensions, of the week; compared, also of the week before. Ratios leave out what
        they don't know, each its own rows, or all of them those that one of them leaves out.
        """
        dimensions = {grain: expression(grain) for grain in grains}
        days = self.period.shown if "day" in grains else self.period.days
        if compared:
            dimensions[NOW] = f"call_date >= '{self.period.week.monday}'"
            days += self.period.before
        elif sheet.is_trend:
            days = self.period.weeks if sheet.over == "weeks" else self.period.months
        where = "true"
        if sheet.without is not None and sheet.by is not None:
            where = f"{expression(sheet.by)} is distinct from '{sheet.without}'"
        if where_all_are_known:
            ratios = [one.metric for one in self.measures(sheet) if one.metric]
            known = sorted({column for ratio in ratios for column in ratio.known})
            where += "".join(f' and "{column}" is not null' for column in known)
        return self.reader.rows(
            sheet.mart, dimensions, self.measures(sheet), days, where=where, with_total=with_total
        )

    def listed(self, sheet: Sheet) -> list[Row]:
        """The rows that a list shows."""
        return self.reader.listed(sheet.mart, self.measures(sheet), self.period.shown, sheet.only)

    # -- words -----------------------------------------------------------------------------------------------------

    def label(self, grain: Grain, value: Any) -> str:
        """A value of a dimension, or of a list's column of words, as people read it."""
        if isinstance(value, date | time):
            return self._moment(grain, value)
        if grain == "open" and value is None:
            return self.language.say("no_hours")
        if isinstance(value, bool):
            words = self.captions.values.get(grain, {}).get(str(value).lower())
            return self.language.of(words) if words else self.language.say("yes" if value else "no")
        return "" if value is None else NOT_SHOWN.sub("\ufffd", self._name(NAMED.get(grain, grain), value))

    def order(self, grain: Grain, value: Any) -> tuple[Any, ...]:
        """Where a value of a dimension comes in a table: our words as captions.yml has them, names by the alphabet."""
        if value is None or isinstance(value, date | time):
            return value is None, value
        declared, word = list(self.captions.values.get(grain, {})), str(value).lower()
        if word in declared:
            return False, declared.index(word)
        said = self.label(grain, value)
        return False, len(declared), said.casefold(), said

    def _name(self, grain: Grain, value: str) -> str:
        match grain:
            case "agent":
                return self.reader.agents.get(value, value[:10])
            case "queue":
                return _called(self.reader.queues, value)
            case "line":
                return _called(self.reader.lines, value) or self.language.say("no_name")
        words = self.captions.values.get(grain, {}).get(value)
        return self.language.of(words) if words else value

    def _moment(self, grain: Grain, value: date | time) -> str:
        """A day, the first day of a week or month, or a time, as on an axis."""
        if isinstance(value, time):
            return f"{value:%H:%M}"
        if grain == "weeks":
            return f"{value:%V}".lstrip("0")
        return self.language.month(value) if grain == "months" else self.weekday(value)

    def weekday(self, day: date) -> str:
        """A day as on an axis; one that is not over, with how far it goes."""
        return self._until(day, self.language.weekday(day))

    @property
    def weekdays(self) -> list[str]:
        """The days of the week as on an axis."""
        return [self.weekday(day) for day in self.period.week.days]

    def _until(self, day: date, said: str) -> str:
        if day != self.period.unfinished or not (through := self.reader.through) or not through.so_far:
            return said
        return self.language.say("until", day=said, time=f"{through.so_far:%H:%M}")

    def is_over(self, row: Row) -> bool:
        """Whether the day of a row is over, if it is of one."""
        return row.get("day") is None or row["day"] != self.period.unfinished

    def place(self, grain: Grain, row: Row) -> str:
        """Where a row is on an axis. A day of the week before is at the day that it is compared with."""
        value = row[grain]
        if isinstance(value, date) and row.get(NOW) is False:
            value += timedelta(days=7)
        return self.label(grain, value)

    def sentence(self, grain: Grain, row: Row) -> str:
        """Where a row is, in a sentence."""
        value = row[grain]
        match grain:
            case "weeks":
                return self.language.say("of_week", number=self.label(grain, value))
            case "months":
                return self.language.whole_month(value)
        if isinstance(value, date):
            return self._until(value, self.language.short(value))
        return self.label(grain, value)

    def with_unit(self, measure: Measure, *, in_minutes: bool = False) -> str:
        """What a measure is called where its numbers have no unit."""
        unit = self.language.unit("minutes" if in_minutes else measure.unit)
        return f"{measure.caption} ({unit})" if unit else measure.caption

    def subtitle(self, measure: Measure) -> str:
        """What is below the title of a chart of one measure: nothing, if its numbers need no unit."""
        return self.with_unit(measure) if self.language.unit(measure.unit) else ""

    def value(self, measure: Measure, row: Row) -> str:
        """A value with its unit."""
        return self.language.value(measure.unit, row[measure.name])

    def pointed_at(self, measure: Measure, row: Row, *grains: Grain) -> str:
        """What a mark says when somebody points at it: where it is, what it counts, and how much."""
        where = ", ".join(self.sentence(grain, row) for grain in grains)
        return f"{where}, {measure.caption}: {self.value(measure, row)}"

    # -- targets ---------------------------------------------------------------------------------------------------

    @cached_property
    def _target(self) -> float | None:
        """The target of the service level, if all queues have the same."""
        targets = {queue.target for queue in self.reader.queues.values()}
        return targets.pop() if len(targets) == 1 else None

    def target(self, measure: Measure) -> float | None:
        """The target of a measure, if it has one for the whole customer."""
        return self._target if measure.metric and measure.metric.target else None

    def _cell(self, measure: Measure, row: Row) -> str:
        """A value in a table; beside it the target of the row's queue, if queues have different ones."""
        value, queues = self.value(measure, row), self.reader.queues
        if self._target is None and measure.metric and measure.metric.target and row.get("queue"):
            queue = queues.get(row["queue"]) or queues.get(None)
            if queue and queue.target is not None:
                return f"{value} ({self.target_words(queue.target)})"
        return value

    # -- tables ----------------------------------------------------------------------------------------------------

    def grid(
        self,
        names: Sequence[Grain],
        shown: Sequence[Measure],
        rows: Sequence[Row],
        total: Row | None = None,
    ) -> Grid:
        """A table with a row per value of a dimension, or per values of two, and a column per measure."""
        body = [
            [*(self.sentence(each, row) for each in names), *(self._cell(one, row) for one in shown)]
            for row in rows
        ]
        if total is not None:
            head = [self.language.say("total"), *("" for _ in names[1:])]
            body.append([*head, *(self.value(one, total) for one in shown)])
        head = ["" for _ in names]
        return Grid([*head, *map(self._head, shown)], body, len(names), has_total=total is not None)

    def _head(self, measure: Measure) -> str:
        target = self.target(measure)
        return measure.caption if target is None else f"{measure.caption} ({self.target_words(target)})"

    def target_words(self, target: float) -> str:
        """How a target is called: target 80%."""
        return self.language.say("target", value=self.language.share(target))

    def crossed(self, down: Grain, across: Grain, measure: Measure, rows: Sequence[Row]) -> Grid:
        """A table of one measure by two dimensions."""
        columns = sorted({row[across] for row in rows}, key=lambda value: self.order(across, value))
        lines: dict[Any, dict[Any, str]] = {}
        for row in rows:
            lines.setdefault(row[down], {})[row[across]] = self.value(measure, row)
        return Grid(
            ["", *(self.label(across, column) for column in columns)],
            [
                [self.sentence(down, {down: name}), *(cells.get(column, "") for column in columns)]
                for name, cells in lines.items()
            ],
        )
