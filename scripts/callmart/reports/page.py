"""What a drawn report says, before it is laid out: the same for page, paper and picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["better", "worse", ""]


@dataclass(frozen=True)
class Tile:
    """A key figure. `verdict` says whether its change is good, where one can say so."""

    caption: str
    value: str
    change: str
    verdict: Verdict
    before: str
    target: str
    meaning: str


@dataclass(frozen=True)
class Grid:
    """A table: its head, its rows, and whether the last row is a total."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    has_total: bool = False


@dataclass(frozen=True)
class Panel:
    """A chart, and what it shows, in sentences."""

    svg: str
    title: str
    subtitle: str
    readings: Sequence[str]


@dataclass(frozen=True)
class Records:
    """The values of a sheet as they were read, for a CSV file: rows of dimensions and measures by name."""

    measures: Sequence[tuple[str, str, str]]  # name, caption and unit
    rows: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Section:
    """A sheet: key figures, or charts with the table behind them, or a table alone."""

    name: str
    title: str
    kind: Literal["figures", "chart", "table"]
    records: Records = field(repr=False)
    tiles: Sequence[Tile] = ()
    panels: Sequence[Panel] = ()
    grid: Grid | None = None
    empty: str = ""  # instead of all that, if there is nothing to show

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.tiles or self.panels or (self.kind == "table" and self.grid))


@dataclass(frozen=True)
class Page:
    """A report of a customer and a week. `words` are those of the layout, `labels` what people call the values of a
    dimension that has names.
    """

    name: str
    title: str
    subtitle: str
    customer_id: int
    customer: str
    locale: str
    week: str
    week_before: str
    period: str
    compared: str
    through: str
    notices: Sequence[str]
    focus: Sequence[str]
    sections: Sequence[Section]
    meanings: Sequence[tuple[str, str]]  # caption and description of each measure
    words: dict[str, str]
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict, repr=False)
