"""Reads a YAML file of the project into a typed object. A mistake is one sentence with file, line, place and remedy."""

import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, Field, ValidationError

from callmart.base import yaml_file
from callmart.base.controls import CONTROL
from callmart.base.errors import UserError
from callmart.base.nearest import nearest
from callmart.base.settings import PROJECT
from callmart.base.strict import Mistake, Strict, beneath, first_mistake, line_of, mistakes, sentence


def _name(written: str) -> str:
    if not re.fullmatch("[a-z_][a-z_0-9]*", written):
        raise ValueError("not a name; write small letters, digits and underscores, and begin with a letter")
    return written


# The database cuts off what is longer.
Name = Annotated[str, Field(max_length=63), AfterValidator(_name)]
# What is longer is a mistake of writing: no page has room for it.
LONGEST_CAPTION, LONGEST_TEXT = 100, 1000
Text = Annotated[str, Field(min_length=1, max_length=LONGEST_TEXT, pattern=r"\S")]


def _one_line(written: str) -> str:
    if CONTROL.search(written):
        raise ValueError(
            "a line break or another control character is in it; write it in one line, or after `>-`"
        )
    return written


def as_list(written: object) -> object:
    """What may be written as one value or as a list of them."""
    return [written] if isinstance(written, str) else written


# One name, or a list of them, the oldest first.
EarlierNames = Annotated[list[Name], BeforeValidator(as_list)]


Locale = Literal["nl", "en"]  # the languages of reports, mails and letters


class Texts(Strict):
    """A text in each language."""

    nl: Text
    en: Text

    def of(self, locale: Locale) -> str:
        """The text in a language."""
        return self.nl if locale == "nl" else self.en


class Caption(Texts):
    """A text of one line, such as a title, the subject of a mail, or a word in a chart."""

    nl: Annotated[Text, Field(max_length=LONGEST_CAPTION), AfterValidator(_one_line)]
    en: Annotated[Text, Field(max_length=LONGEST_CAPTION), AfterValidator(_one_line)]


def texts(nl: str, en: str) -> Texts:
    """A text of our own."""
    return Texts(nl=nl, en=en)


Declared = TypeVar("Declared", bound=BaseModel)


def read(file: Path, kind: type[Declared]) -> Declared:
    """Return what the file declares. Raises UserError if it can't be read or is wrong."""
    name, absent = in_project(file), "restore it from the repository"
    document = yaml_file.load(file, name, absent)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        mistake = first_mistake(error)
    with_lines = yaml_file.load(file, name, absent, lines=True)
    place = named(document, mistake.place)
    raise UserError(mistake.sentence(name, line_of(with_lines, mistake.place), place))


def examine(file: Path, kind: type[Declared]) -> tuple[Declared | None, list[UserError]]:
    """Return what the file declares as far as it is right, and all mistakes in it, as `read` would say them.

    What is right is without unknown keys and without wrong entries of the outermost lists; None if that is not enough.
    """
    name = in_project(file)
    try:
        document = yaml_file.load(file, name, "restore it from the repository", lines=True)
    except UserError as mistake:
        return None, [mistake]
    found, mistakes = right_part(document, kind)
    return found, [at(name, document, mistake) for mistake in mistakes]


def at(name: str, document: Any, mistake: Mistake) -> UserError:
    """The error for a mistake in a document with lines. Messages call its file `name`."""
    line = line_of(document, mistake.place)
    return UserError(sentence(name, line, named(document, mistake.place), mistake.remedy))


def right_part(document: Any, kind: type[Declared]) -> tuple[Declared | None, list[Mistake]]:
    """What is right in a document, and all mistakes. First the unknown keys are left out, because they hide others,
    then the wrong entries of the outermost lists and maps. What is wrong only because those are left out is no mistake.
    """
    found: list[Mistake] = []
    is_whole = True
    while True:
        try:
            return kind.model_validate(document), _causes(found)
        except ValidationError as error:
            new = mistakes(error, kind)
        found += [one for one in new if is_whole and one not in found]
        document = deepcopy(document)
        if unknown := [one.place for one in new if one.is_unknown_key]:
            _leave_out(document, unknown)
        elif is_whole and all(len(one.place) > 1 for one in new):
            _leave_out(document, {one.place[:2] for one in new})
            is_whole = False
        else:
            return None, _causes(found)


def _causes(mistakes: list[Mistake]) -> list[Mistake]:
    """The mistakes without those that only follow from another: a key is missing because its name is misspelt."""
    misspelt = [one.place for one in mistakes if one.is_unknown_key]
    return [
        one
        for one in mistakes
        if not one.is_missing
        or not any(
            place[:-1] == one.place[:-1] and nearest(place[-1], [str(one.place[-1])]) for place in misspelt
        )
    ]


def _leave_out(document: Any, places: Iterable[tuple[str | int, ...]]) -> None:
    """Leave out what is at these places of a document."""
    later_first = sorted(
        places, key=lambda place: [(isinstance(part, str), part) for part in place], reverse=True
    )
    for *above, last in later_first:
        entries: Any = document
        for part in above:
            entries = beneath(entries, part)[part]
        entries = beneath(entries, last)
        if not isinstance(entries, dict) or last in entries:
            entries.pop(last)


def text(file: Path) -> str:
    """The text of a file of the project. Raises UserError if it can't be read, is too large or is not UTF-8."""
    return yaml_file.read(file, in_project(file), "restore it from the repository")


def wrong(file: Path, place: str, message: str) -> UserError:
    """The error for a mistake that shows only when declarations are compared. `place` has names of lists' entries, the
    outermost first, and `message` includes the remedy.
    """
    line = f" line {_line_named(file, place)}" if file.is_file() else ""
    return UserError(f"{in_project(file)}{line}: {place}: {message}")


def _line_named(file: Path, place: str) -> int:
    """The line of the last name of a place that is found, each within the entry of the one before."""
    line, lines = 1, file.read_text("utf-8").splitlines()
    for name in place.split("."):
        pattern = re.compile(rf"\s*-\s+(\{{\s*)?name: {re.escape(name)}\b")
        line = next(
            (number for number, text in enumerate(lines[line - 1 :], line) if pattern.match(text)), line
        )
    return line


def fill(file: Path, command: str, parts: Mapping[str, str]) -> None:
    """Write the parts of a page that are generated, each between its two markers, which name the command that does it.
    Raises UserError if one is missing.
    """
    text = file.read_text(encoding="utf-8")
    for what, content in parts.items():
        begin, end = f"<!-- {what}, written by {command} -->\n", f"<!-- end of {what} -->\n"
        before, _, rest = text.partition(begin)
        _, found, after = rest.partition(end)
        if not found:
            raise wrong(file, f"the {what}", f"put `{begin.strip()}` and `{end.strip()}` around them")
        text = f"{before}{begin}\n{content}\n{end}{after}"
    file.write_text(text, encoding="utf-8")


def in_project(file: Path) -> str:
    """The path of a file as people write it: relative to the project's folder."""
    return str(file.relative_to(PROJECT) if file.is_relative_to(PROJECT) else file)


def named(document: Any, place: Iterable[str | int]) -> list[str | int]:
    """The same place, with the name of a list's entry instead of its number."""
    found: list[str | int] = []
    for part in place:
        match beneath(document, part):
            case dict() as entries:
                document = entries.get(part)
            case list() as entries if isinstance(part, int):
                document = entries[part]
            case _:
                document = None
        name = isinstance(part, int) and isinstance(document, dict) and document.get("name")
        found.append(name or part)
    return found
