"""Reads all our YAML files. A file that is wrong raises one sentence that says why.

It refuses what none of our files needs, before it costs time or memory: more than LARGEST bytes, more than DEEPEST
levels, tags, lists or maps as keys, and anchors and aliases, with which a few lines can expand to millions.
"""

from pathlib import Path
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.composer import Composer, ComposerError, MaxDepthExceededError
from ruamel.yaml.constructor import DuplicateKeyError
from ruamel.yaml.error import MarkedYAMLError, YAMLError
from ruamel.yaml.events import ScalarEvent
from ruamel.yaml.nodes import MappingNode

from callmart.base.errors import UserError

LARGEST = 16 * 2**20
DEEPEST = 16


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


def load(file: Path, name: str, absent: str, yaml: YAML | None = None) -> Any:
    """Return the contents of a file. Raises UserError if it can't be read, is too large or is not valid YAML.

    Messages call the file `name`. `absent` is the remedy if it can't be read. Callers that need line numbers pass a
    `yaml` of their own.
    """
    yaml = yaml or YAML(typ="safe", pure=True)
    yaml.Composer = _Composer
    yaml.max_depth = DEEPEST
    try:
        return yaml.load(_text(file, name, absent))
    except MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{name} line {line}: {_problem(error)}; correct the YAML there") from None
    except (YAMLError, ValueError):
        raise UserError(f"{name} is not YAML; correct it, or name another file") from None


def _text(file: Path, name: str, absent: str) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise UserError(f"{name} is larger than {LARGEST >> 20} MiB; shorten it, or name another file")
        return content.decode("utf-8")
    except OSError as error:
        raise UserError(f"{name} can't be read ({error.strerror}); {absent}") from None
    except UnicodeDecodeError:
        raise UserError(f"{name} is not UTF-8; save it as UTF-8") from None


def _problem(error: MarkedYAMLError) -> str:
    """What the parser found wrong. In our own words where the parser's would repeat a value."""
    match error:
        case DuplicateKeyError():
            return "a key is given twice"
        case MaxDepthExceededError():
            return f"lists and maps are nested more than {DEEPEST} deep"
        case _:
            return str(error.problem)
