"""What a drawn report says, before it is laid out: the same for page, paper and picture."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from callmart.base.declared import Locale
from callmart.reports.measures import Unit

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
    """A table: its head, its rows, how many columns say what a row is about, and whether the last row is a total."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    names: int = 1
    has_total: bool = False


@dataclass(frozen=True)
class Day:
    """A day of a list, with its rows."""

    date: str
    title: str
    grid: Grid


@dataclass(frozen=True)
class Panel:
    """A chart, and what it shows, in sentences. Without a chart, the sentences say why there is none."""

    svg: str
    title: str
    subtitle: str
    readings: Sequence[str]


@dataclass(frozen=True)
class Column:
    """A column of a sheet's values. `words` are what is shown for them: what people call them, if they are words.
    `place` is the dimension, or another column of a CSV file, if it says what a row is about; empty for a measure.
    """

    name: str
    caption: str
    unit: Unit
    words: Mapping[Any, Any]
    place: str = ""

    def shown(self, row: Mapping[str, Any]) -> Any:
        """The value of a row, as a spreadsheet shows it."""
        value = row.get(self.name)
        return self.words.get(value, value)


@dataclass(frozen=True)
class Records:
    """The values of a sheet, for a CSV or Excel file: its columns, and its rows as they were read."""

    columns: Sequence[Column]
    rows: Sequence[dict[str, Any]]


@dataclass(frozen=True)
class Section:
    """A sheet: key figures, or charts with the table behind them, or a table alone, or a list by day."""

    name: str
    title: str
    kind: Literal["figures", "chart", "table", "list"]
    records: Records = field(repr=False)
    tiles: Sequence[Tile] = ()
    panels: Sequence[Panel] = ()
    grid: Grid | None = None
    days: Sequence[Day] = ()
    remark: str = ""
    empty: str = ""  # instead of all that, if there is nothing to show

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return not (self.tiles or self.panels or self.days or (self.kind == "table" and self.grid))


@dataclass(frozen=True)
class Page:
    """A report of a customer and a week. `words` are those of the layout."""

    name: str
    title: str
    subtitle: str
    customer_id: int
    customer: str
    locale: Locale
    week: str
    period: str
    compared: str
    through: str
    notices: Sequence[str]
    focus: Sequence[str]
    sections: Sequence[Section]
    meanings: Sequence[tuple[str, str]]  # caption and description of each measure
    words: dict[str, str]
    oldest_day: str  # that it can show
    days: Sequence[tuple[str, str]] = ()  # that count: date, and as a person writes it
