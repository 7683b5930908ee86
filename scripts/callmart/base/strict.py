"""The base class of declarations and settings, and pydantic's errors as one sentence.

No sentence repeats a value: it can be a person's name.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from callmart.base.nearest import instead, nearest

Item = TypeVar("Item")
Listed = Annotated[tuple[Item, ...], Field(strict=False)]  # a list in the file


class Strict(BaseModel):
    """Refuses unknown keys and values of another type, so that a typing error changes nothing silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True)
class Mistake:
    """A mistake in a declaration, and how many others there are."""

    place: tuple[str | int, ...]
    remedy: str
    is_unknown_key: bool
    others: int = 0
    is_missing: bool = False

    def sentence(self, name: str, line: int, place: Iterable[str | int], keys: str = "") -> str:
        """The mistake as a sentence: name of the file, line, place and remedy. `keys` says which keys are known, or
        where to read that. It is added if the key is unknown.
        """
        known = f" ({keys})" if keys and self.is_unknown_key else ""
        more = f" (and {self.others} more)" if self.others else ""
        return sentence(name, line, place, f"{self.remedy}{known}{more}")


def sentence(name: str, line: int, place: Iterable[str | int], remedy: str) -> str:
    """A mistake as a sentence: name of the file, line, place and remedy."""
    # A part that does not look like a key can be a person's name.
    where = ".".join(str(part) if re.fullmatch(r"[a-z_0-9]+", str(part)) else "…" for part in place)
    return f"{name} line {line}: {where and where + ': '}{remedy}"


def first_mistake(error: ValidationError) -> Mistake:
    """The mistake to report. An unknown key comes first: it may be the misspelt name of a key that is missing."""
    found = error.errors(include_url=False, include_input=False)
    first = min(found, key=lambda one: one["type"] != "extra_forbidden")
    return _mistake(first, others=len(found) - 1)


def mistakes(error: ValidationError, kind: type[BaseModel]) -> list[Mistake]:
    """All mistakes in a declaration of this kind. An unknown key or word gets the nearest known one."""
    return [_mistake(one, kind) for one in error.errors(include_url=False)]


def _mistake(error: Any, kind: type[BaseModel] | None = None, others: int = 0) -> Mistake:
    place = tuple(part for part in error["loc"] if part != "[key]")
    # Our own messages include a remedy. Pydantic's do not.
    said = error["msg"].removeprefix("Value error, ")
    remedy = said if said != error["msg"] else _with_remedy(error)
    is_unknown_key = error["type"] == "extra_forbidden"
    if is_unknown_key:
        known = f"{instead(place[-1], keys(kind, place[:-1]))}" if kind else "remove or correct it"
        remedy = f"unknown key; {known}"
    elif kind and error["type"] == "literal_error":
        word = nearest(error["input"], re.findall("'([^']*)'", error["ctx"]["expected"]))
        remedy = f"{said}; write {word}" if word else remedy
    elif kind and error["type"] == "model_type":
        remedy = f"{remedy}: {', '.join(keys(kind, place))}"
    return Mistake(place, remedy, is_unknown_key, others, error["type"] == "missing")


# By pydantic's type of error.
_REMEDIES = {
    "missing": "add it there",
    "string_type": "put it in quotes",
    "string_too_long": "shorten it",
    "bool_type": "write true or false",
    "bool_parsing": "write true or false",
    "model_type": "write keys beneath it",
}


def _with_remedy(error: Any) -> str:
    """Pydantic's message in the words of YAML, with what to do."""
    said = re.sub(" or instance of [A-Za-z]+|, unable to .*", "", error["msg"]).replace("tuple", "list")
    return f"{said}; {_REMEDIES.get(error['type'], 'correct it there')}"


def keys(kind: type[BaseModel], place: Iterable[str | int]) -> list[str]:
    """The keys that a declaration of this kind can have at a place."""
    for part in place:  # the numbers of lists' entries and the keys of maps lead to no other kind
        fields = {field.alias or name: field for name, field in kind.model_fields.items()}
        if part in fields:
            kind = next(_kinds(fields[str(part)].annotation), kind)
    return [field.alias or name for name, field in kind.model_fields.items()]


def _kinds(annotation: Any) -> Iterator[type[BaseModel]]:
    """The kinds of declarations that an annotation names."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _kinds(argument)


def twice(names: Sequence[str]) -> str | None:
    """The first name that is there more than once."""
    return next((name for name in names if names.count(name) > 1), None)


def line_of(document: Any, place: Iterable[str | int]) -> int:
    """The line of a place in the document, or of its deepest part that the document has."""
    line = 1
    for part in place:
        document = beneath(document, part)
        if isinstance(document, CommentedMap) and part in document:
            line = document.lc.key(part)[0] + 1
        elif isinstance(document, CommentedSeq) and isinstance(part, int) and part < len(document):
            line = document.lc.item(part)[0] + 1
        else:
            break
        document = document[part]
    return line


def beneath(document: Any, part: str | int) -> Any:
    """The map or list in which to look for a part. Our own keys of a dbt file are under config.meta."""
    match document:
        case {"config": {"meta": dict(meta)}} if part in meta:
            return meta
    return document
