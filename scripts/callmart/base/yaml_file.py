"""The one reader of YAML: lists, maps and values of a file, or one sentence that says what is wrong with it.

What no file of this product needs is refused before it costs time or memory: more than LARGEST bytes, more than DEEPEST
levels, anchors and aliases, by which a few lines can stand for millions, tags, and lists or maps as keys.
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
    """Takes lists, maps and plain values only."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event = self.parser.peek_event()
        is_key = isinstance(parent, MappingNode) and index is None
        if event.anchor is not None:
            raise _refusal("an anchor or an alias has no place here", event)
        if getattr(event, "ctag", None) is not None:
            raise _refusal("a tag has no place here", event)
        if is_key and not isinstance(event, ScalarEvent):
            raise _refusal("a list or a map can't be a key", event)
        return super().compose_node(parent, index)


def _refusal(problem: str, event: Any) -> ComposerError:
    return ComposerError(None, None, problem, event.start_mark)


def load(file: Path, name: str, absent: str, yaml: YAML | None = None) -> Any:
    """What the file holds. Messages call it `name`, and say `absent` where it can't be read. `yaml` is for callers that
    need more than plain lists and maps, such as lines.
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
        raise UserError(f"{name} is no YAML; correct it, or name another file") from None


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
    """What the parser has against it, in our words where its own hold a value."""
    match error:
        case DuplicateKeyError():
            return "a key is given twice"
        case MaxDepthExceededError():
            return f"lists and maps lie more than {DEEPEST} deep in each other"
        case _:
            return str(error.problem)
