"""A check of the audit, and its outcome."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

MOST_FOUND = 20  # a check lists so many findings, and counts the others


@dataclass(frozen=True)
class Check:
    """One check. It fails on a breach, and if there was nothing to look at."""

    area: str
    name: str
    looked_at: int
    breaches: int
    found: tuple[str, ...] = ()
    applies: bool = True  # false if the subject of the check certainly does not exist here

    @classmethod
    def of(cls, area: str, name: str, looked_at: int, found: Sequence[str], *, applies: bool = True) -> Self:
        """A check that found these breaches."""
        return cls(area, name, looked_at, len(found), few(found), applies)

    @property
    def outcome(self) -> str:
        """The outcome in a word or two."""
        if self.breaches:
            return "BREACH"
        if not self.applies:
            return "does not apply"
        return "holds" if self.looked_at else "NOTHING TO LOOK AT"

    @property
    def good(self) -> bool:
        """Whether the check passed, or does not apply."""
        return self.outcome in ("holds", "does not apply")


def few(found: Sequence[str]) -> tuple[str, ...]:
    """The first findings, and a line with the number of the others."""
    more = len(found) - MOST_FOUND
    return (*found[:MOST_FOUND], *((f"and {more} more",) if more > 0 else ()))
