"""Reads all our YAML files. A file that is wrong raises one sentence that says why.

It refuses what none of our files needs, before it costs time or memory: more than LARGEST bytes, more than DEEPEST
levels, tags, lists or maps as keys, and anchors and aliases, with which a few lines can expand to millions.

A file that has none of that is made of libyaml's events, fifteen times as fast. The parser in Python knows lines: it
says what is wrong, and where.
"""

from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError, MaxDepthExceededError
from ruamel.yaml.constructor import DuplicateKeyError, RoundTripConstructor, SafeConstructor
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import (
    DocumentEndEvent,
    MappingEndEvent,
    ScalarEvent,
    SequenceEndEvent,
    SequenceStartEvent,
    StreamEndEvent,
)
from ruamel.yaml.nodes import MappingNode, ScalarNode

from callmart.base.errors import UserError

LARGEST = 16 * 2**20
DEEPEST = 16


class _Values(SafeConstructor):
    """Makes plain values. Dates stay text, so that whoever reads the file can say that one does not exist."""


class _ValuesWithLines(RoundTripConstructor):
    """As `_Values`, and lists and maps know their lines."""


for _constructor in (_Values, _ValuesWithLines):
    _constructor.add_constructor("tag:yaml.org,2002:timestamp", _constructor.construct_scalar)


class _Composer(Composer):
    """Accepts only lists, maps and plain values."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        is_key = isinstance(parent, MappingNode) and index is None
        if event.anchor is not None:
            raise _refusal("an anchor or an alias is not allowed", event)
        if getattr(event, "ctag", None) is not None:
            raise _refusal("a tag is not allowed", event)
        if is_key and not isinstance(event, ScalarEvent):
            raise _refusal("a list or a map can't be a key", event)
        return super().compose_node(parent, index)


def _refusal(problem: str, event: Any) -> ComposerError:
    return ComposerError(None, None, problem, event.start_mark)


def load(file: Path, name: str, absent: str, *, lines: bool = False) -> Any:
    """Return the contents of a file. Raises UserError if it can't be read, is too large or is not valid YAML.

    Messages call the file `name`. `absent` is the remedy if it can't be read. With `lines`, lists and maps know their
    lines (strict.line_of).
    """
    text = read(file, name, absent)
    try:
        if not lines:
            return _plain_values(text)
    except (YAMLError, ValueError):
        pass  # the other parser says where
    yaml = _parser(_ValuesWithLines, "rt")
    yaml.Composer = _Composer
    yaml.max_depth = DEEPEST
    try:
        return yaml.load(text)
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{name} line {line}: {problem(error, text)}; correct the YAML there") from None
    except (YAMLError, ValueError):
        raise UserError(f"{name} is not YAML; correct it, or name another file") from None


def _parser(constructor: type[SafeConstructor], kind: str) -> YAML:
    yaml = YAML(typ=kind)
    yaml.Constructor = constructor
    return yaml


class _Refused(YAMLError):
    """A file has what the other parser refuses, names, or reads in its own way."""


def _plain_values(text: str) -> Any:
    """The values of a file, from libyaml's events. Raises YAMLError at what is not as it should be: anchors, aliases,
    tags, directives, a list or a map as a key, a key that is given twice, more than DEEPEST levels, several documents.
    """
    events, scalar = YAML(typ="safe").parse(text), _scalars()

    def value(event: Any, depth: int) -> Any:
        if event.anchor is not None or getattr(event, "tag", None) is not None:
            raise _Refused
        if isinstance(event, ScalarEvent):
            return scalar(event.value) if event.implicit[0] else event.value
        if depth == DEEPEST:
            raise _Refused
        if isinstance(event, SequenceStartEvent):
            return [value(one, depth + 1) for one in until(SequenceEndEvent)]
        found: dict[Any, Any] = {}
        for one in until(MappingEndEvent):
            key = value(one, depth + 1)
            if not isinstance(one, ScalarEvent) or key in found:
                raise _Refused
            found[key] = value(next(events), depth + 1)
        return found

    def until(end: type[Any]) -> Iterator[Any]:
        while not isinstance(event := next(events), end):
            yield event

    _, begin = next(events), next(events)
    if isinstance(begin, StreamEndEvent):
        return None
    found = value(next(events), 0) if begin.version is None and not begin.tags else None
    if found is None or [type(event) for event in events] != [DocumentEndEvent, StreamEndEvent]:
        raise _Refused
    return found


def _scalars() -> Callable[[str], Any]:
    """What a plain word stands for. Raises YAMLError if it is no value, as `<<`."""
    yaml = _parser(_Values, "safe")
    resolver, constructor = yaml.resolver, yaml.constructor
    return cache(
        lambda word: constructor.construct_object(
            ScalarNode(resolver.resolve(ScalarNode, word, (True, False)), word)
        )
    )


def read(file: Path, name: str, absent: str) -> str:
    """Return the text of a file. Raises UserError if it can't be read, is too large or is not UTF-8."""
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UserError(f"{name} is larger than {LARGEST >> 20} MiB; shorten it, or name another file")
        return content.decode("utf-8")
    except OSError as error:
        raise UserError(f"{name} can't be read ({error.strerror}); {absent}") from None
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{name} line {line}: not UTF-8; save it as UTF-8") from None


def problem(error: Any, text: str) -> str:
    """What a parser found wrong in a text. In our own words where the parser's would repeat a value, or not help."""
    line = text.splitlines()[error.problem_mark.line :][:1] if error.problem_mark else []
    if line and line[0].strip(" ").startswith("\t"):
        return "a tab, where YAML wants spaces"
    match error:
        case DuplicateKeyError():
            return "a key is given twice"
        case MaxDepthExceededError():
            return f"lists and maps are nested more than {DEEPEST} deep"
        case _:
            return str(error.problem)
