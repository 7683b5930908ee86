"""Nights in which clocks go back over midnight, so that it comes twice."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from today import TODAY

AZORES, HAVANA = "Atlantic/Azores", "America/Havana"


def night_with_two_midnights(zone: str) -> date:
    """The last day that began twice."""
    days = (TODAY - timedelta(days=back) for back in range(3, 400))
    return next(day for day in days if two_midnights(day, zone)[0] < two_midnights(day, zone)[1])


def two_midnights(day: date, zone: str) -> tuple[datetime, datetime]:
    first = datetime.combine(day, time(), ZoneInfo(zone))
    return first.astimezone(UTC), first.replace(fold=1).astimezone(UTC)
