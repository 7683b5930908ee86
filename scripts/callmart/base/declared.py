"""Declarations: a YAML file of the project as a typed object, or one sentence that names file, place and remedy."""

from pathlib import Path
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from callmart.base import yaml_file
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT

Name = Annotated[str, Field(pattern="^[a-z_][a-z_0-9]*$")]
Text = Annotated[str, Field(min_length=1, pattern=r"\S")]


class Strict(BaseModel):
    """Unknown keys and other types are errors."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class Texts(Strict):
    """A text in the languages of reports and mails."""

    nl: Text
    en: Text


Declared = TypeVar("Declared", bound=BaseModel)


def read(file: Path, kind: type[Declared]) -> Declared:
    """What the file declares; UserError where it can't be read or is wrong."""
    name = _name(file)
    document = yaml_file.load(file, name, "restore it from the repository")
    try:
        return kind.model_validate(document)
    except ValidationError as error:
        place, message = first_mistake(document, error)
        raise UserError(f"{name}: {place + ': ' if place else ''}{message}") from None


def first_mistake(document: Any, error: ValidationError) -> tuple[str, str]:
    """Where a document is wrong, and what to do about it; the place is empty where it is the whole."""
    found = error.errors(include_url=False, include_input=False)
    # An unknown key first: what is missing may be what it was meant to be.
    first = min(found, key=lambda one: one["type"] != "extra_forbidden")
    # Ours say what to do, pydantic's do not.
    ours = first["msg"].removeprefix("Value error, ")
    message = ours if ours != first["msg"] else f"{ours}; correct it there"
    return ".".join(_place(document, first["loc"])), message


def wrong(file: Path, place: str, message: str) -> UserError:
    """The sentence for what only shows beside other declarations; the message holds the remedy."""
    return UserError(f"{_name(file)}: {place}: {message}")


def _name(file: Path) -> str:
    return str(file.relative_to(PROJECT) if file.is_relative_to(PROJECT) else file)


def _place(document: Any, parts: tuple[int | str, ...]) -> list[str]:
    """Where it is, an entry of a list by its name."""
    names = []
    for part in parts:
        match document:
            case {"config": {"meta": dict(meta)}} if part in meta:  # where dbt has it
                document = meta[part]
            case dict():
                document = document.get(part)
            case list():
                document = document[part] if isinstance(part, int) else None
        named = isinstance(part, int) and isinstance(document, dict) and document.get("name")
        names.append(str(named or part))
    return names
