"""The base class of declarations and settings, and pydantic's errors as one sentence.

No sentence repeats a value: it can be a person's name.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from ruamel.yaml.comments import CommentedMap, CommentedSeq

Item = TypeVar("Item")
Listed = Annotated[tuple[Item, ...], Field(strict=False)]  # a list in the file


class Strict(BaseModel):
    """Refuses unknown keys and values of another type, so that a typing error changes nothing silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


@dataclass(frozen=True)
class Mistake:
    """The first mistake in a declaration, and how many others there are."""

    place: tuple[str | int, ...]
    remedy: str
    is_unknown_key: bool
    others: int

    def sentence(self, name: str, line: int, place: Iterable[str | int], keys: str = "") -> str:
        """The mistake as a sentence: name of the file, line, place and remedy. `keys` says which keys are known, or
        where to read that. It is added if the key is unknown.
        """
        # A part that does not look like a key can be a person's name.
        where = ".".join(str(part) if re.fullmatch(r"[a-z_0-9]+", str(part)) else "…" for part in place)
        known = f" ({keys})" if keys and self.is_unknown_key else ""
        more = f" (and {self.others} more)" if self.others else ""
        return f"{name} line {line}: {where and where + ': '}{self.remedy}{known}{more}"


def first_mistake(error: ValidationError) -> Mistake:
    """The mistake to report. An unknown key comes first: it may be the misspelt name of a key that is missing."""
    found = error.errors(include_url=False, include_input=False)
    first = min(found, key=lambda one: one["type"] != "extra_forbidden")
    is_unknown_key = first["type"] == "extra_forbidden"
    # Our own messages include a remedy. Pydantic's do not.
    ours = first["msg"].removeprefix("Value error, ")
    remedy = ours if ours != first["msg"] else f"{ours}; correct it there"
    return Mistake(
        tuple(part for part in first["loc"] if part != "[key]"),
        "unknown key; remove or correct it" if is_unknown_key else remedy,
        is_unknown_key,
        len(found) - 1,
    )


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
