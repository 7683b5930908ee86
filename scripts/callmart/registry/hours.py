"""Opening hours and holidays as the registry file writes them. Times are on the customer's clock.

The functions that read them raise ValueError with the remedy.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationInfo

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
CLOSED = "closed"

# The years of the holidays that are kept. No earlier day can be stored any more.
FIRST_YEAR = 2024
YEARS_AHEAD = 10


class Hours(NamedTuple):
    """Opening hours of a weekday (1 is Monday) or of one date, in minutes since midnight; closed if they are equal."""

    weekday: int | None
    day: date | None
    opens: int
    closes: int  # exclusive


@dataclass(frozen=True)
class Period:
    """Opening hours that hold from a day (inclusive) until a day (exclusive)."""

    from_: date
    until: date | None
    hours: frozenset[Hours]


@dataclass(frozen=True)
class Calendar:
    """The holidays of a country or a part of it, such as NL or DE-BY."""

    name: str

    def days(self, years: Iterable[int]) -> frozenset[date]:
        """Its holidays in these years."""
        from holidays import country_holidays  # takes a moment to import

        country, _, subdivision = self.name.partition("-")
        return frozenset(country_holidays(country, subdivision or None, years))


Holiday = Calendar | frozenset[date]


def day(written: object) -> date:
    """Read a date; not the first of all, because planning needs one before it."""
    try:
        found = date.fromisoformat(str(written))
    except ValueError:
        found = date.min
    if found == date.min:
        raise ValueError("not a date; write it as 2026-03-01")
    return found


def period(written: object) -> Period:
    """Read opening hours: their first day, and the ranges of weekdays and dates."""
    if not isinstance(written, dict) or "from" not in written:
        raise ValueError("opening hours need a first day; write {from: 2026-01-01, mon-fri: 08:00-18:00}")
    first, until = day(written["from"]), day(written["until"]) if "until" in written else None
    hours: list[Hours] = []
    for key, ranges in written.items():
        if key in ("from", "until"):
            continue
        for weekday, one_day in _days(str(key)):
            if any((one.weekday, one.day) == (weekday, one_day) for one in hours):
                raise ValueError(f"{key} has opening hours twice; keep one of the two")
            if one_day and not first <= one_day < (until or date.max):
                raise ValueError(
                    f"{key} is outside of the days of these opening hours; correct the date or them"
                )
            hours += [Hours(weekday, one_day, *minutes) for minutes in _minutes(str(key), ranges)]
    if not hours:
        raise ValueError("these opening hours have no day; add one, such as mon-fri: 08:00-18:00")
    return Period(first, until, frozenset(hours))


def _days(key: str) -> Iterator[tuple[int | None, date | None]]:
    """The weekdays that a key names, or its date."""
    first, dash, last = key.partition("-")
    last = last if dash else first
    if first in WEEKDAYS and last in WEEKDAYS[WEEKDAYS.index(first) :]:
        for weekday in range(WEEKDAYS.index(first), WEEKDAYS.index(last) + 1):
            yield weekday + 1, None
        return
    try:
        yield None, day(key)
    except ValueError:
        raise ValueError(
            "a key is neither from, until, a day nor a date; write mon, mon-fri or 2026-12-24"
        ) from None


def _minutes(key: str, written: object) -> list[tuple[int, int]]:
    """The ranges of a day, in minutes."""
    if written == CLOSED:
        return [(0, 0)]
    found = []
    for one in str(written).split(","):
        clock = re.fullmatch(r"\s*(\d\d):([0-5]\d)\s*-\s*(\d\d):([0-5]\d)\s*", one)
        if clock is None:
            raise ValueError(
                f'{key} has no opening hours; write them as "08:00-12:00, 13:00-17:30", or closed'
            )
        hour, minute, last_hour, last_minute = map(int, clock.groups())
        found.append((hour * 60 + minute, last_hour * 60 + last_minute))
    if any(not opens < closes <= 24 * 60 for opens, closes in found):
        raise ValueError(
            f"{key} has opening hours that end before they begin or after 24:00; "
            "write what goes on after midnight on the next day"
        )
    if any(after[0] < before[1] for before, after in pairwise(sorted(found))):
        raise ValueError(
            f"{key} has opening hours that overlap; let each begin when the one before has ended"
        )
    return found


def holiday(written: object, info: ValidationInfo) -> Holiday:
    """Read a calendar, a date, or the name of a file of dates in the folder that the context of `info` names."""
    text = str(written)
    if text.endswith(".txt"):
        folder = info.context
        assert isinstance(folder, Path)
        return _of_file(folder / text)
    if re.fullmatch(r"[A-Z]{2}(-[A-Z0-9]{1,4})?", text):
        calendar = Calendar(text)
        try:
            calendar.days(())
        except NotImplementedError:
            raise ValueError(
                "there is no such calendar; name a country, as NL, or a part of it, as DE-BY"
            ) from None
        return calendar
    try:
        return frozenset({day(text)})
    except ValueError:
        raise ValueError("neither a calendar nor a date; write NL, 2026-12-24 or closed_days.txt") from None


def _of_file(file: Path) -> frozenset[date]:
    """The dates in a file, one per line; what follows # is a remark."""
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        raise ValueError("the file of dates can't be read; put it beside the registry file") from None
    found = set()
    for number, line in enumerate(lines, 1):
        if text := line.partition("#")[0].strip():
            try:
                found.add(day(text))
            except ValueError as error:
                raise ValueError(f"line {number} of the file of dates is {error}") from None
    return frozenset(found)


def days_of(holidays: Iterable[Holiday], this_year: int) -> frozenset[date]:
    """The days of calendars and dates, from the first year on and for some years to come."""
    years = range(FIRST_YEAR, this_year + YEARS_AHEAD + 1)
    return frozenset(
        one for each in holidays for one in (each.days(years) if isinstance(each, Calendar) else each)
    )
