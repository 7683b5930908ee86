"""Weeks, Monday to Sunday, as ISO numbers them; and the days of one that a report counts."""

import re
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from callmart.base.errors import UserError
from callmart.declarations.exposures import TREND


@dataclass(frozen=True)
class Week:
    """A week, by its Monday."""

    monday: date

    def __str__(self) -> str:
        return f"{self.monday:%G-W%V}"

    @property
    def number(self) -> int:
        """The week's number in its year."""
        return self.monday.isocalendar().week

    @property
    def days(self) -> tuple[date, ...]:
        """Its seven days."""
        return tuple(self.monday + timedelta(days=day) for day in range(7))

    @property
    def before(self) -> "Week":
        """The week before."""
        return Week(self.monday - timedelta(days=7))

    @property
    def sunday(self) -> date:
        """Its last day."""
        return self.days[-1]

    @property
    def first_of_trend(self) -> date:
        """The first day that a trend of months can show, drawn on any day after it."""
        return next(_months(self.monday))[0]


def of(day: date) -> Week:
    """The week of a day."""
    return Week(day - timedelta(days=day.weekday()))


def back(today: date, number: int) -> Week:
    """The week before today's by a number of weeks."""
    return of(today - timedelta(weeks=number))


def last_complete(today: date) -> Week:
    """The last week that is over."""
    return back(today, 1)


def parse(written: str) -> Week:
    """Return the week that somebody wrote as 2026-W47. Raises UserError if it is not one."""
    week = named(written)
    if week is None:
        raise UserError(f"{written} is not a week: write the year and the week's number, as in 2026-W47")
    return week


def named(written: str) -> Week | None:
    """Return the week of this name, as 2026-W47, or None."""
    found = re.fullmatch(r"(\d{4})-W(\d{2})", written)
    try:
        return Week(date.fromisocalendar(int(found[1]), int(found[2]), 1)) if found else None
    except ValueError:
        return None


@dataclass(frozen=True)
class Period:
    """The days of a week that a report counts. Those of the week before have the same weekdays, so that a week that
    goes on, or lacks a day, is never compared with a whole one. If one of them can't be counted, there are none.
    """

    week: Week
    days: tuple[date, ...]
    has_begun: bool  # whether a day of it is over
    is_going_on: bool
    unfinished: date | None  # a day that is open, and not over: it is shown by day, and counts nowhere else
    before: tuple[date, ...]  # the days of the week before with which these are compared
    weeks: tuple[date, ...]  # the days of whole weeks that a trend counts
    months: tuple[date, ...]
    lacks: frozenset[str]  # what of weeks and months a trend lacks for a day that is held back or not over

    @property
    def shown(self) -> tuple[date, ...]:
        """The days that are shown by day."""
        return (*self.days, self.unfinished) if self.unfinished else self.days

    def firsts(self, what: str) -> list[date]:
        """The first days of the weeks or months that a trend counts."""
        if what == "weeks":
            return list(self.weeks[::7])
        return [day for day in self.months if day.day == 1]


def counted(
    week: Week,
    today: date,
    held_back: Collection[date],
    unfinished: date | None = None,
    first: date | None = None,
) -> Period:
    """The days of a week that are over and not held back. The last open day can be `unfinished`. The data begins with
    its `first` day.
    """
    after = min(week.monday + timedelta(days=7), today)
    lacking = {*held_back, *([unfinished] if unfinished else ())}

    def is_whole(day: date) -> bool:
        return day not in lacking and (first is None or day >= first)

    spans = {"weeks": list(_weeks(after)), "months": list(_months(after))}
    days = tuple(day for day in week.days if day < today and is_whole(day))
    before = tuple(day - timedelta(days=7) for day in days)
    return Period(
        week,
        days,
        has_begun=week.monday < today,
        is_going_on=week.sunday >= today,
        unfinished=unfinished if unfinished in week.days and unfinished not in held_back else None,
        before=before if all(map(is_whole, before)) else (),
        weeks=_whole(spans["weeks"], is_whole),
        months=_whole(spans["months"], is_whole),
        lacks=frozenset(
            what
            for what, each in spans.items()
            if any(begin <= day < end for begin, end in each for day in lacking)
        ),
    )


def _weeks(after: date) -> Iterator[tuple[date, date]]:
    """The first days of the last weeks that are over at a day, each with that of the next."""
    monday = after - timedelta(days=after.weekday())
    for back in range(TREND, 0, -1):
        yield monday - timedelta(weeks=back), monday - timedelta(weeks=back - 1)


def _months(after: date) -> Iterator[tuple[date, date]]:
    """Likewise of months."""
    number = after.year * 12 + after.month - 1
    for month in range(number - TREND, number):
        yield date(month // 12, month % 12 + 1, 1), date((month + 1) // 12, (month + 1) % 12 + 1, 1)


def _whole(spans: Iterable[tuple[date, date]], is_whole: Callable[[date], bool]) -> tuple[date, ...]:
    """The days of spans of which each is whole: one that lacks a day can't be compared with the others."""
    each = ([first + timedelta(days=day) for day in range((after - first).days)] for first, after in spans)
    return tuple(day for days in each if all(map(is_whole, days)) for day in days)
