"""The names of marts, columns and values in reports, in Dutch and English.

One mart's YAML gives the caption for all columns of a name. captions.yml has only what does not belong to one mart.
"""

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from callmart.base import declared
from callmart.base.declared import Caption, Locale, Name, Text, Texts
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT
from callmart.base.strict import Strict
from callmart.declarations import model_files
from callmart.declarations.mart import Mart

FILE = PROJECT / "captions.yml"
YES_OR_NO = ("true", "false")  # the words of a column that says yes or no


def _word(written: object) -> str:
    """YAML reads a bare word such as `other` as text, but a number, or `true`, as something else."""
    return str(written).lower() if isinstance(written, bool) else str(written)


class File(Strict):
    """The contents of captions.yml."""

    order: list[Name]
    values: dict[Name, dict[Annotated[str, BeforeValidator(_word)], Caption]]


def read(file: Path) -> File:
    """Return what a file declares. Raises UserError if it is wrong."""
    return declared.read(file, File)


@cache
def file() -> File:
    """The captions.yml of this installation."""
    return read(FILE)


class Words(Strict):
    """The caption of a column, and its descriptions for people. Without one, it is the mart's, which is English."""

    caption: Texts
    description_nl: Text | None
    description_en: Text | None = None


class Captions:
    """The captions from the marts' YAML and from captions.yml."""

    def __init__(self, marts: Iterable[Mart], file: File) -> None:
        """Raises UserError if a caption is given twice: for a name, or to two things of a group."""
        self.file = file
        marts = list(marts)
        for mistake in mistakes(marts):
            raise mistake
        self._marts = {mart.name: mart.caption for mart in marts if mart.caption}
        self.columns = captioned(marts)

    @property
    def values(self) -> Mapping[str, Mapping[str, Texts]]:
        """The captions of values, by column."""
        return self.file.values

    def mart(self, name: str, locale: Locale) -> str:
        """The caption of a mart."""
        return self._marts[name].of(locale) if name in self._marts else _readable(name)

    def order(self, mart: str) -> tuple[int, str]:
        """Sorts marts. If several have a column of a name, the first mart's column has the plain caption."""
        names = self.file.order
        return (names.index(mart) if mart in names else len(names), mart)

    def column(self, name: str, locale: Locale) -> str:
        """The caption of a column."""
        return self.columns[name].caption.of(locale) if name in self.columns else _readable(name)

    def description(self, name: str, locale: Locale, english: str) -> str:
        """The description of a column in a language; `english` if there is none."""
        words = self.columns.get(name)
        return (words and getattr(words, f"description_{locale}")) or english


def mistakes(marts: Iterable[Mart]) -> Iterator[UserError]:
    """Columns of a name for which two marts give a caption, and two columns, or marts, of a group with the same one."""
    marts = list(marts)
    first: dict[str, str] = {}
    for mart in marts:
        for column, _ in _said(mart):
            if (other := first.setdefault(column, mart.name)) != mart.name:
                remedy = f"{other} already has a caption for columns of this name; remove one of the two"
                yield _wrong(mart, column, remedy)
    # A mart may have the caption of a column.
    columns = [(mart, column, words.caption) for mart in marts for column, words in _said(mart)]
    yield from _same_caption(columns)
    yield from _same_caption([(mart, mart.name, mart.caption) for mart in marts if mart.caption])


def _same_caption(named: Iterable[tuple[Mart, str, Texts]]) -> Iterator[UserError]:
    """What has the caption, in a language, of something else in its group."""
    taken: dict[tuple[str, str, str], str] = {}
    for mart, name, caption in named:
        texts = [(mart.group, "nl", caption.nl), (mart.group, "en", caption.en)]
        if others := [other for text in texts if (other := taken.setdefault(text, name)) != name]:
            yield _wrong(mart, name, f"{others[0]} has the same caption; choose another")


def _wrong(mart: Mart, name: str, remedy: str) -> UserError:
    place = mart.name if name == mart.name else f"{mart.name}.{name}"
    return declared.wrong(model_files.file_of(mart.name), place, remedy)


def alike(words: Mapping[str, Texts]) -> Iterator[str]:
    """The words of a column that have the caption of an earlier one."""
    taken: set[tuple[str, str]] = set()
    for word, caption in words.items():
        said = {("nl", caption.nl), ("en", caption.en)}
        if said & taken:
            yield word
        taken |= said


def captioned(marts: Iterable[Mart]) -> dict[str, Words]:
    """The columns that have a caption, with their words; of two captions of one name, the first."""
    found: dict[str, Words] = {}
    for mart in marts:
        for column, words in _said(mart):
            found.setdefault(column, words)
    return found


def _said(mart: Mart) -> Iterable[tuple[str, Words]]:
    """The captions in a mart's YAML, by column."""
    for column in mart.declared:
        if column.caption:
            yield (
                column.name,
                Words(
                    caption=column.caption,
                    description_nl=column.description_nl,
                    description_en=column.description_en,
                ),
            )
    for name, series in mart.series.items():
        for bound in mart.bounds(name):
            yield (
                f"{name}_{bound}",
                Words(
                    caption=Texts(
                        nl=series.caption.nl.replace("*", str(bound)),
                        en=series.caption.en.replace("*", str(bound)),
                    ),
                    description_nl=series.description_nl.replace("*", str(bound)),
                ),
            )


def _readable(name: str) -> str:
    return name.replace("_", " ").capitalize()


def captions(marts: Iterable[Mart]) -> Captions:
    """The captions of this installation."""
    return Captions(marts, file())
