"""Weeks, Monday to Sunday, as ISO numbers them; and the days of one that a report counts."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from datetime import date, timedelta

from callmart.base.errors import UserError


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
    found = re.fullmatch(r"(\d{4})-W(\d{2})", written)
    try:
        return Week(date.fromisocalendar(int(found[1]), int(found[2]), 1)) if found else _refuse(written)
    except ValueError:
        return _refuse(written)


def _refuse(written: str) -> Week:
    raise UserError(f"{written} is not a week: write the year and the week's number, as in 2026-W47")


@dataclass(frozen=True)
class Period:
    """The days of a week that a report counts. Those of the week before have the same weekdays, so that a week that
    goes on, or lacks a day, is never compared with a whole one.
    """

    week: Week
    days: tuple[date, ...]
    is_going_on: bool

    @property
    def before(self) -> tuple[date, ...]:
        """The days of the week before with which these are compared."""
        return tuple(day - timedelta(days=7) for day in self.days)


def counted(week: Week, today: date, held_back: Collection[date]) -> Period:
    """The days of a week that are over and not held back. Raises UserError for a week that has not begun."""
    if week.monday >= today:
        raise UserError(f"{week} has no day that is over: name a week before it, or leave --week out")
    return Period(
        week,
        tuple(day for day in week.days if day < today and day not in held_back),
        is_going_on=week.sunday >= today,
    )
