"""What a comparison of an environment finds. "Here" is what stands, "there" the environment."""

from dataclasses import dataclass
from datetime import date
from typing import Literal

from callmart.base.counting import several
from callmart.environments.known import Environment

ROWS = "rows"  # stands for a column: how many rows there are

Outcome = Literal["changed", "only here", "only there"]
Number = int | float


@dataclass(frozen=True)
class Cell:
    """A customer's day on which a column of a mart differs; `day` is None in a mart without days. Counts and sums are
    None where they would tell what few persons did, sums also where the column is not a number.
    """

    mart: str
    column: str
    customer_id: int
    day: date | None
    outcome: Outcome
    differing: int | None = None  # rows
    rows_here: int | None = None
    rows_there: int | None = None
    here: Number | None = None  # the sum
    there: Number | None = None
    # How far apart the rows are, as a share of the larger sum, or the share that differs.
    size: float | None = None


@dataclass(frozen=True)
class Column:
    """A column of a mart, with the customers' days that were compared in it. A mart or column that is on one side only
    has no cells; of such a mart, the column is None.
    """

    mart: str
    column: str | None
    compared: int = 0
    cells: tuple[Cell, ...] = ()
    only: Literal["here", "there"] | None = None

    def count(self, outcome: Outcome) -> int:
        """The number of cells with this outcome."""
        return sum(cell.outcome == outcome for cell in self.cells)

    @property
    def equal(self) -> int:
        """The number of cells that are equal."""
        return self.compared - len(self.cells)

    @property
    def differs(self) -> bool:
        """Whether anything of it differs."""
        return bool(self.cells) or self.only is not None


@dataclass(frozen=True)
class Compared:
    """The comparison of an environment. `left_out` are days of customers that no longer stand as when it was made, and
    `not_compared` the tables in which no row is a customer's.
    """

    environment: Environment
    columns: tuple[Column, ...]
    days: int
    left_out: int
    # Marts whose key is another one there: compared by the sums of what both keys have.
    summed: tuple[str, ...]
    not_compared: tuple[str, ...] = ()

    def __str__(self) -> str:
        said = "equal" if self.days else "nothing to compare"
        if self.differing:
            said = f"{self.differing_columns}, in {several(len(self.cells), 'cell')}"
        parts = [f"{self.environment.name}: {several(self.days, 'day')} of customers: {said}"]
        if self.left_out:
            parts.append(
                f"{self.left_out} left out, since they were opened again or wait: make the environment anew"
            )
        if self.environment.held_back:
            parts.append(f"{self.environment.held_back} held back there")
        return "; ".join(parts)

    @property
    def differing_columns(self) -> str:
        """How many columns and marts differ, in words."""
        return f"{several(len(self.differing), 'column')} differ{'s' if len(self.differing) == 1 else ''}"

    @property
    def differing(self) -> list[Column]:
        """The columns and marts that differ."""
        return [column for column in self.columns if column.differs]

    @property
    def cells(self) -> list[Cell]:
        """The cells that differ, the largest first; those without a size come last."""
        found = [cell for column in self.columns for cell in column.cells]
        return sorted(
            found,
            key=lambda one: (
                -1 if one.size is None else one.size, one.differing or 0, one.mart, one.column, one.customer_id,
                one.day or date.min,
            ),
            reverse=True,
        )  # fmt: skip
