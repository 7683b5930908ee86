"""Reads a YAML file of the project into a typed object. A mistake is one sentence with file, line, place and remedy."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, Field, ValidationError
from ruamel.yaml import YAML

from callmart.base import yaml_file
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT
from callmart.base.strict import Strict, beneath, first_mistake, line_of

Name = Annotated[str, Field(pattern="^[a-z_][a-z_0-9]*$")]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


def _listed(written: object) -> object:
    return [written] if isinstance(written, str) else written


# One name, or a list of them, the oldest first.
EarlierNames = Annotated[list[Name], BeforeValidator(_listed)]


class Texts(Strict):
    """A text in the languages of reports and mails."""

    nl: Text
    en: Text


Declared = TypeVar("Declared", bound=BaseModel)


def read(file: Path, kind: type[Declared]) -> Declared:
    """Return what the file declares. Raises UserError if it can't be read or is wrong."""
    name, absent = in_project(file), "restore it from the repository"
    document = yaml_file.load(file, name, absent)
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        mistake = first_mistake(error)
    with_lines = yaml_file.load(file, name, absent, YAML())
    place = named(document, mistake.place)
    raise UserError(mistake.sentence(name, line_of(with_lines, mistake.place), place))


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
