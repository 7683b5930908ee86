"""A check of the audit: what was looked at, how much of it, and what came of it."""

from dataclasses import dataclass

MOST_FOUND = 20  # findings that a check names; the rest is counted


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. Fails on a breach, and where there was nothing to look at."""

    area: str
    name: str
    looked_at: int
    breaches: int
    found: tuple[str, ...] = ()
    applies: bool = True  # false: what it is about does not exist here, which was established

    @property
    def outcome(self) -> str:
        """In a word or two."""
        if self.breaches:
            return "BREACH"
        if not self.applies:
            return "does not apply"
        return "holds" if self.looked_at else "NOTHING TO LOOK AT"

    @property
    def good(self) -> bool:
        """Whether nobody has to do anything."""
        return self.outcome in ("holds", "does not apply")


def few(found: list[str]) -> tuple[str, ...]:
    """The findings that a check names, and how many more there are."""
    more = len(found) - MOST_FOUND
    return (*found[:MOST_FOUND], *((f"and {more} more",) if more > 0 else ()))
