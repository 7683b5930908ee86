"""Reads the YAML of the dbt project as dbt does, and keeps the lines of its keys."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml.comments import CommentedMap, CommentedSeq

from callmart.base import declared, yaml_file
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT

FOLDER = PROJECT / "models"


def files() -> list[Path]:
    """All YAML files of models, in the order of their paths."""
    return sorted(file for file in FOLDER.rglob("*") if file.suffix in (".yml", ".yaml"))


def file_of(model: str) -> Path:
    """The file that declares a model: by custom the one with its name, or else the folder."""
    return next(iter(FOLDER.rglob(f"{model}.y*ml")), FOLDER)


class _Loader(yaml.CSafeLoader):  # type: ignore[misc]
    """dbt's loader, whose maps and lists also know their lines, as ruamel's do."""

    def map_with_lines(self, node: yaml.MappingNode) -> CommentedMap:
        found = CommentedMap()
        found.lc.line, found.lc.col = node.start_mark.line, node.start_mark.column
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
    name, text = declared.in_project(file), declared.text(file)
    try:
        return yaml.load(text, _Loader)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(
            f"{name} line {line}: {yaml_file.problem(error, text)}; correct the YAML there"
        ) from None
    except yaml.YAMLError:
        raise UserError(f"{name} is not YAML; correct it") from None


# -- models ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Model:
    """A model as a file declares it. `materialized` is what dbt makes of it."""

    name: str
    file: Path
    document: CommentedMap
    materialized: str


def models(contents: Mapping[Path, Any]) -> Iterator[Model]:
    """The models of the files with these contents."""
    project = load(PROJECT / "dbt_project.yml")
    match project:
        case {"name": str(name), "models": {**folders}} if isinstance(folders.get(name), dict):
            folder = folders[name]
        case _:
            raise UserError("dbt_project.yml line 1: it does not say what models are made of; restore it")
    for file, content in contents.items():
        for document in entries(content, "models"):
            if isinstance(document.get("name"), str):
                yield Model(document["name"], file, document, _materialized(folder, file, document))


def entries(content: Any, key: str) -> list[CommentedMap]:
    """The maps in a list of a file; none if the file has no such list."""
    found = content.get(key) if isinstance(content, dict) else None
    return [entry for entry in found if isinstance(entry, CommentedMap)] if isinstance(found, list) else []


def _materialized(folder: Any, file: Path, document: CommentedMap) -> str:
    """What dbt makes of a model: as its own config says, or else the innermost folder of dbt_project.yml."""
    found = "view"
    for name in (*file.relative_to(FOLDER).parts[:-1], document["name"]):
        folder = folder.get(name) if isinstance(folder, dict) else None
        found = folder.get("+materialized", found) if isinstance(folder, dict) else found
    own = document.get("config")
    return str(own.get("materialized", found) if isinstance(own, dict) else found)
