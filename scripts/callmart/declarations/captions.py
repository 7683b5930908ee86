"""Captions: what captions.yml calls the marts, their columns, and the values in them."""

from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from callmart.base import declared
from callmart.base.declared import Name, Strict, Text, Texts
from callmart.base.settings import PROJECT

FILE = PROJECT / "captions.yml"

Locale = Literal["nl", "en"]


class Dutch(Strict):
    """The description in Dutch; the English one stands in the mart's YAML."""

    nl: Text


class Column(Texts):
    """What a column is called."""

    description: Dutch | None = None


class Captions(Strict):
    """The whole file."""

    marts: dict[Name, Texts]
    columns: dict[Annotated[str, Field(pattern=r"^[a-z_][a-z_0-9]*\*?$")], Column]
    # YAML reads a bare word such as `other` as text, but a number or `no` as something else
    values: dict[Name, dict[Annotated[str, BeforeValidator(str)], Texts]]

    def mart(self, name: str, locale: Locale) -> str:
        """What a mart is called."""
        return str(getattr(self.marts[name], locale)) if name in self.marts else _readable(name)

    def order(self, mart: str) -> tuple[int, str]:
        """Where a mart stands among others: the first one's columns have the plain captions."""
        names = list(self.marts)
        return (names.index(mart) if mart in names else len(names), mart)

    def column(self, name: str, locale: Locale) -> str:
        """What a column is called."""
        found, number = self._found(name)
        return str(getattr(found, locale)).replace("*", number) if found else _readable(name)

    def description(self, name: str, locale: Locale, english: str) -> str:
        """A sentence about a column; the mart's own where there is none in that language."""
        found, number = self._found(name)
        if locale == "nl" and found and found.description:
            return found.description.nl.replace("*", number)
        return english

    def _found(self, name: str) -> tuple[Column | None, str]:
        if name in self.columns:
            return self.columns[name], ""
        for pattern, column in self.columns.items():
            if pattern.endswith("*") and name.startswith(pattern[:-1]):
                return column, name.removeprefix(pattern[:-1])
        return None, ""


def _readable(name: str) -> str:
    return name.replace("_", " ").capitalize()


def read(file: Path) -> Captions:
    """What a file declares; UserError where it is wrong."""
    return declared.read(file, Captions)


@cache
def captions() -> Captions:
    """The captions of this installation."""
    return read(FILE)
