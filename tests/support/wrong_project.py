"""A copy of what the project declares, to declare something wrongly in it."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from callmart.base import declared, matrix
from callmart.base.settings import PROJECT
from callmart.declarations import (
    captions,
    checking,
    checking_models,
    expectations,
    exposures,
    metrics,
    model_files,
    processing,
)

# What is written, what is written instead, and what is said: the line, and a part of it.
Case = tuple[str, ...]

COPIED = (
    "models",
    "macros",
    "expectations",
    "metrics.yml",
    "captions.yml",
    "access.yml",
    "processing.yml",
    "dbt_project.yml",
)


@dataclass
class WrongProject:
    """The copy. `check` looks at it."""

    folder: Path

    def write(self, file: str, text: str) -> None:
        """Write a file of the copy."""
        (self.folder / file).write_text(text, encoding="utf-8")

    def change(self, file: str, old: str, new: str) -> int:
        """Replace a text that the file has once; the line on which it begins."""
        text = (self.folder / file).read_text("utf-8")
        assert text.count(old) == 1, f"{file} has it {text.count(old)} times: {old}"
        self.write(file, text.replace(old, new))
        return text[: text.index(old)].count("\n") + 1

    def check(self) -> list[str]:
        """What is wrong in it."""
        checking_models._docs.cache_clear()
        processing.processing.cache_clear()
        return checking.check()


def wrong_project(folder: Path, monkeypatch: pytest.MonkeyPatch) -> WrongProject:
    """Copy what the project declares, and let callmart look there."""
    for name in COPIED:
        if (PROJECT / name).is_dir():
            shutil.copytree(PROJECT / name, folder / name)
        else:
            shutil.copy(PROJECT / name, folder)
    for module in (declared, model_files, checking, checking_models):
        monkeypatch.setattr(module, "PROJECT", folder)
    for module in (model_files, checking, checking_models):
        monkeypatch.setattr(module, "FOLDER", folder / "models")
    monkeypatch.setattr(expectations, "FOLDER", folder / "expectations")
    monkeypatch.setattr(exposures, "FILE", folder / "models" / "reports.yml")
    for of_file in (captions, metrics, matrix, processing):
        monkeypatch.setattr(of_file, "FILE", folder / of_file.FILE.name)
    return WrongProject(folder)


def changed(text: str, name: str, case: Case) -> str:
    """What is right, under a name of its own, with the change."""
    old, new, *_ = case
    assert text.count(old) == 1, old
    return text.replace(old, new).replace("NAME", name)


def expect(found: list[str], wanted: dict[str, list[str]]) -> None:
    """Everything that is wanted of each file was said, and nothing else."""
    for file, sentences in wanted.items():
        for sentence in sentences:
            line, _, part = sentence.partition(": ")
            said = [one for one in found if one.startswith(f"{file} line {line}: ") and part in one]
            assert len(said) == 1, (file, sentence, [one for one in found if one.startswith(file)])
            assert "\n" not in said[0]
            found.remove(said[0])
    assert found == []
