"""A mart as its YAML declares it, and the rules that its declaration has to meet."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from callmart.base.declared import Caption, EarlierNames, Name, Text, as_list
from callmart.base.matrix import USAGE, Matrix
from callmart.base.nearest import nearest
from callmart.base.pointing import COUNTS_AND_MOMENTS, Whom
from callmart.base.raw_format import LONGEST_PHASE
from callmart.base.strict import Listed, Strict, twice

NUMBERS = ("smallint", "integer", "bigint", "double precision")

# The types into which PostgreSQL converts every value of a type without loss.
WIDER: Mapping[str, tuple[str, ...]] = {
    "smallint": ("integer", "bigint", "double precision"),
    "integer": ("bigint", "double precision"),
}

# Of a mart. Its months and the view of its ratios have longer names, and PostgreSQL cuts off at 63.
LONGEST_NAME = 48

# The mart with what agents are called. Every other column that points to a person has keys.
NAMES_OF_AGENTS = "agent"


class Column(Strict):
    """A column of a mart, as the mart's YAML declares it. dbt enforces its type."""

    name: Name
    data_type: str
    description: str = ""
    person: Whom | None = None  # null only where values are counts or moments
    additive: bool = True  # it makes sense to sum it
    largest: bool = False  # it can't be summed, but the largest of several makes sense
    nullable: bool = False
    least: int = 0
    most: int | None = None
    # Its former names; `callmart upgrade` renames a column that has one of them.
    renamed_from: Annotated[Listed[str], BeforeValidator(as_list)] = ()
    widened_from: str | None = None  # its former type; `callmart upgrade` widens a column that has it
    caption: Caption | None = None  # for all columns of this name, in any mart
    description_nl: Text | None = None  # likewise
    description_en: Text | None = None  # likewise, where `description` has words of SQL

    @property
    def is_of_a_person(self) -> bool:
        """Whether its values point to a person."""
        return self.person not in (None, "nobody")

    @property
    def is_number(self) -> bool:
        """Whether its values are numbers to compute with, not keys."""
        return self.data_type in NUMBERS and not self.is_of_a_person and self.name != "customer_id"

    def widens(self, data_type: str) -> bool:
        """Whether a column of this type is to be widened: the former type, or one that fits into it."""
        return self.widened_from is not None and (
            data_type == self.widened_from or self.widened_from in WIDER.get(data_type, ())
        )

    @property
    def is_word(self) -> bool:
        """Whether it contains words, which can be a person's name or key."""
        return self.data_type not in (*COUNTS_AND_MOMENTS, *NUMBERS)

    @property
    def is_duration(self) -> bool:
        """Whether its values are seconds."""
        return self.is_number and (self.name.endswith("_s") or self.name == "seconds")

    @property
    def has_fractions(self) -> bool:
        """Whether its values need not be whole numbers."""
        return self.data_type == "double precision"

    @property
    def unit(self) -> Literal["count", "number", "hours", "seconds"]:
        """The unit in which reports show it of several rows. Summed seconds are too large to read."""
        if not self.is_duration:
            return "number" if self.has_fractions else "count"
        return "hours" if self.additive else "seconds"


class Series(Strict):
    """Columns that differ in a bound: `wait_answered_le` means wait_answered_le_5, wait_answered_le_10 and so on. Each
    includes the counts of smaller bounds. In the texts, * is the bound.
    """

    up_to: str  # the column that counts all, without a bound
    caption: Caption
    description_nl: Text


def _day(day: object) -> object:
    return None if day == "none" else day


class Mart(Strict):
    """A mart as its YAML declares it. If a key is missing, the message quotes the description of its field here."""

    name: Name
    group: str
    key: Annotated[
        Listed[str], Field(min_length=1, description="the columns of its grain, customer_id first")
    ]
    day: Annotated[
        str | None, BeforeValidator(_day), Field(description="the column of its local day, or none")
    ]
    reach_days: Annotated[int, Field(ge=0)] = 0  # a row also reads so many days before its own
    renamed_from: EarlierNames = Field(default=[])  # `callmart upgrade` renames a mart that has one of them
    description: str = ""
    suite: Annotated[
        Literal["none"] | None, Field(description="`none`, or leave it out if the mart has a suite")
    ] = None
    ratios: Name | None = None  # what the view with its ratios is called; <mart>_ratios by default
    caption: Caption | None = None
    series: dict[str, Series] = Field(default={})
    declared: Listed[Column]

    @property
    def table(self) -> str:
        """The table that has its rows, not the view that customers read. Names of marts are plain."""
        return f"{USAGE if self.group == USAGE else 'store'}.{self.name}"

    @property
    def shown_as(self) -> str:
        """The relation that its readers read: its view, or the table of a statistic."""
        return f"{USAGE if self.group == USAGE else 'mart'}.{self.name}"

    @property
    def columns(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.declared)

    @property
    def measures(self) -> tuple[Column, ...]:
        """The columns of numbers that are not part of the key."""
        return tuple(column for column in self.declared if column.is_number and column.name not in self.key)

    @property
    def additive(self) -> tuple[str, ...]:
        """The columns that can be summed."""
        return tuple(column.name for column in self.measures if column.additive)

    @property
    def shown(self) -> tuple[str, ...]:
        """The columns that reports can show of several rows: their sum, or the largest."""
        return tuple(column.name for column in self.measures if column.additive or column.largest)

    @property
    def unreadable(self) -> tuple[str, ...]:
        """The columns that a list can't show: keys, but for those of agents, who have names, and times in UTC."""
        return tuple(
            column.name
            for column in self.declared
            if (column.is_of_a_person and column.name != "agent_key")
            or column.name == "customer_id"
            or column.data_type == "timestamp with time zone"
        )

    def bounds(self, series: str) -> tuple[int, ...]:
        """The bounds of a series, found in the names of its columns."""
        found = (re.fullmatch(rf"{series}_(\d+)", column) for column in self.columns)
        return tuple(sorted(int(one[1]) for one in found if one))

    def whole_of(self, column: str) -> str:
        """The column that counts all of which this one counts those within a bound; empty if it is none of a series."""
        return next(
            (
                series.up_to
                for name, series in self.series.items()
                if column in (f"{name}_{bound}" for bound in self.bounds(name))
            ),
            "",
        )

    @property
    def types(self) -> Mapping[str, str]:
        """The declared type of each column."""
        return {column.name: column.data_type for column in self.declared}

    @property
    def descriptions(self) -> Mapping[str, str]:
        """The description of each column."""
        return {column.name: column.description for column in self.declared}

    @property
    def pseudonyms(self) -> tuple[Column, ...]:
        """The columns with keys of persons: all that point to a person, but what agents are called."""
        return tuple(
            column
            for column in self.declared
            if column.is_of_a_person and (self.name != NAMES_OF_AGENTS or column.name in self.key)
        )

    @property
    def words(self) -> tuple[str, ...]:
        """The columns that could contain a name or a key."""
        return tuple(column.name for column in self.declared if column.is_word)

    def mistakes(self, matrix: Matrix, *, is_frozen: bool = False) -> Iterator[tuple[str, str]]:
        """What is wrong beyond the form of each key: the column, or an empty text, and a sentence with the remedy."""
        # macros/store/store_declaration.sql has the same rules for dbt.
        groups = [USAGE] if is_frozen else [*matrix.groups]
        if self.group not in groups:
            yield "", f"add to its YAML config.meta.group: one of {', '.join(groups)}"
        if len(self.name) > LONGEST_NAME:
            remedy = f"shorten the name to {LONGEST_NAME} characters: its months and its ratios are called after it"
            yield "", remedy
        if self.group != USAGE and self.key[0] != "customer_id":
            yield "", "add to its YAML config.meta.key: the columns of its grain, customer_id first"
        yield from self._key_and_day()
        if self.reach_days and not self.day:
            yield (
                "",
                "remove config.meta.reach_days from its YAML: a mart without days can't look back at other days",
            )
        if self.renamed_from and self.group == USAGE:
            yield "", "remove config.meta.renamed_from from its YAML: a statistic keeps its name"
        for name, series in self.series.items():
            if not self.bounds(name) or series.up_to not in self.columns:
                yield (
                    "",
                    f"correct config.meta.series.{name} in its YAML: it names columns {name}_5 and so on, and in up_to"
                    " the column that counts all",
                )
        for column in self.declared:
            of_column = [*self._undue(column), *self._changes(column)]
            if self.group in groups:
                of_column += self._persons(column, matrix)
            yield from ((column.name, sentence) for sentence in of_column)

    def _key_and_day(self) -> Iterator[tuple[str, str]]:
        """What is wrong in the columns of the key and of the day."""
        for name in dict.fromkeys((*self.key, *([self.day] if self.day else []))):
            if name not in self.columns:
                near = nearest(name, self.columns)
                remedy = f"; or write {near} there" if near else ""
                yield "", f"add to its YAML a column {name}: its key or day names it{remedy}"
        if again := twice(self.key):
            yield "", f"correct config.meta.key in its YAML: {again} is there twice"
        for name, data_type in {"customer_id": "integer", self.day or "": "date"}.items():
            if self.types.get(name, data_type) != data_type and self.group != USAGE:
                yield name, f"correct data_type of the column {name} in its YAML: it must be {data_type}"
        if self.day and self.day not in self.key:
            yield "", f"add to its YAML {self.day} to config.meta.key: a partitioned key holds the day"

    def _undue(self, column: Column) -> Iterator[str]:
        """What has no effect on a column, or weakens the key."""
        for name in ("description_nl", "description_en"):
            if getattr(column, name) and not column.caption:
                yield f"add to its YAML a caption to the column {column.name}: {name} needs one"
        if column.nullable and column.name in self.key:
            yield f"remove nullable from the column {column.name} in its YAML: it is part of the key"
        if column.largest and column.additive:
            yield f"remove largest from the column {column.name} in its YAML, or add additive: false"
        if not column.is_number and (column.least or column.most is not None):
            yield f"remove least and most from the column {column.name} in its YAML: its values are not numbers"
        if column.most is not None and column.most < column.least:
            yield f"correct most of the column {column.name} in its YAML: it is smaller than least"
        if not column.additive and not column.is_number:
            yield f"remove additive from the column {column.name} in its YAML: its values are not numbers"

    def _changes(self, column: Column) -> Iterator[str]:
        """A former name that is in use, and a type that some values would not fit into."""
        if self.group == USAGE and (column.renamed_from or column.widened_from):
            yield (
                f"remove renamed_from and widened_from from the column {column.name} in its YAML: a statistic is frozen"
            )
        claims = Counter([*self.columns, *(former for one in self.declared for former in one.renamed_from)])
        if claimed := [former for former in column.renamed_from if claims[former] > 1]:
            yield (
                f"correct renamed_from of the column {column.name} in its YAML: "
                f"{claimed[0]} is also another column, or there twice"
            )
        if column.name == "customer_id" and (column.renamed_from or column.widened_from):
            yield (
                "remove renamed_from and widened_from from the column customer_id in its YAML: the policies read it"
            )
        if column.widened_from is not None and column.data_type not in WIDER.get(column.widened_from, ()):
            wider = "; ".join(f"{narrow} to {', '.join(wide)}" for narrow, wide in WIDER.items())
            yield (
                f"correct widened_from of the column {column.name} in its YAML: only these lose nothing: {wider}"
            )

    def _persons(self, column: Column, matrix: Matrix) -> Iterator[str]:
        """What is wrong in whom a column points to."""
        allowed = matrix.persons(self.group)
        if column.person is None:
            if column.data_type not in COUNTS_AND_MOMENTS:
                said = f"config: {{meta: {{person: {' | '.join(allowed)}}}}}"
                yield f"add to its YAML, at the column {column.name}, {said}: whom its values point to"
        elif column.person not in allowed:
            showing = [group for group in matrix.groups if column.person in matrix.persons(group)]
            other = (
                f", or declare the mart there in the group {showing[0]}, if that may show it"
                if showing
                else ""
            )
            yield (
                f"a mart of the group {self.group} may not show a person ({column.person}): remove the column "
                f"{column.name} from its YAML{other}"
            )


def reach(marts: Iterable[Mart]) -> int:
    """How many days before its own a row of one of these marts can read: at least those of a phase."""
    return max((LONGEST_PHASE.days, *(mart.reach_days for mart in marts)))
