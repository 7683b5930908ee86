"""What a validation finds of one expectation."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

Day = tuple[int, date]  # of a customer


@dataclass(frozen=True)
class Result:
    """The result of one expectation. `failing` has the days, per customer, that don't meet it, each with the number of
    rows, or None if that is not known.
    """

    mart: str
    expectation: str
    severity: str
    failing: Mapping[Day, int | None]
