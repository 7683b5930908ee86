"""Reads the YAML of the dbt project as dbt does, and keeps the lines of its keys."""

from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from callmart.base import declared
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT

FOLDER = PROJECT / "models"


def files() -> list[Path]:
    """All YAML files of models, in the order of their paths."""
    return sorted(file for file in FOLDER.rglob("*") if file.suffix in (".yml", ".yaml"))


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]
    """dbt's loader, whose maps and lists also know their lines, as ruamel's do."""

    def map_with_lines(self, node: yaml.MappingNode) -> CommentedMap:
        found = CommentedMap()
        for key, value in node.value:
            name = self.construct_object(key, deep=True)
            if name in found:  # of which dbt would take the last
                raise yaml.constructor.ConstructorError(None, None, "a key is given twice", key.start_mark)
            found[name] = self.construct_object(value, deep=True)
            found.lc.add_kv_line_col(name, [key.start_mark.line, key.start_mark.column] * 2)
        return found

    def list_with_lines(self, node: yaml.SequenceNode) -> CommentedSeq:
        found = CommentedSeq()
        for number, value in enumerate(node.value):
            found.append(self.construct_object(value, deep=True))
            found.lc.add_idx_line_col(number, [value.start_mark.line, value.start_mark.column])
        return found


_Loader.add_constructor("tag:yaml.org,2002:map", _Loader.map_with_lines)
_Loader.add_constructor("tag:yaml.org,2002:seq", _Loader.list_with_lines)


def load(file: Path) -> Any:
    """Return the contents of a file. Raises UserError if it can't be read or is not YAML."""
    name = declared.in_project(file)
    try:
        return yaml.load(file.read_bytes(), _Loader)
    except OSError as error:
        raise UserError(f"{name} can't be read ({error.strerror}); restore it from the repository") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{name} line {line}: {error.problem}; correct the YAML there") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise UserError(f"{name} is not YAML in UTF-8; correct it") from None
