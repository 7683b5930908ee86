"""The simulator's clock: moments in microseconds, and the local days and quarter-hours that they are in."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from zoneinfo import ZoneInfo

SECOND = 1_000_000
QUARTER = 900 * SECOND  # the offset of every present time zone is a multiple of it


class Clock:
    """The clock of a time zone."""

    def __init__(self, zone: ZoneInfo) -> None:
        self.zone = zone
        self._dates: dict[int, date] = {}  # by the number of the quarter-hour

    def local(self, day: date, hour: int) -> int:
        """The moment of an hour of a local day; 24 is the next midnight."""
        wall = datetime.combine(day + timedelta(days=hour // 24), time(hour % 24), self.zone)
        return int(wall.timestamp()) * SECOND

    def date_of(self, moment: int) -> date:
        """The local day of a moment."""
        quarter = moment // QUARTER
        if quarter not in self._dates:
            self._dates[quarter] = datetime.fromtimestamp(moment // SECOND, self.zone).date()
        return self._dates[quarter]

    def within_days(self, start: int, end: int) -> Iterator[tuple[date, int, int]]:
        """Divide a period at local midnights; yield each day with the start and the end of its part."""
        day, last = self.date_of(start), self.date_of(end)
        while day < last:
            midnight = self.local(day, 24)
            yield day, start, midnight
            day, start = day + timedelta(days=1), midnight
        yield day, start, end


def quarter_of(moment: int) -> int:
    """When the quarter-hour of a moment begins."""
    return moment - moment % QUARTER


def rounded(duration: int) -> int:
    """A duration in whole seconds, rounded half up."""
    return (duration + SECOND // 2) // SECOND
