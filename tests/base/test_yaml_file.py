"""The one reader of YAML: what would cost time or memory is refused in a sentence, by whatever reads a file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from callmart.base import yaml_file
from callmart.base.errors import UserError
from callmart.declarations import expectations, exposures, metrics
from callmart.registry import file as registry_file

READERS: list[Callable[[Path], object]] = [
    registry_file.load,
    exposures.read,
    metrics.read,
    expectations.read,
]

DEEP = "lists and maps are nested more than 16 deep; correct the YAML there"
LAUGHS = "".join(f"l{i}: &l{i} [{', '.join([f'*l{i - 1}'] * 9)}]\n" for i in range(1, 10))
REFUSED = {
    "brackets": ("customers: " + "[" * 50_000, 1, DEEP),
    "closed brackets": ("customers: " + "[" * 50_000 + "]" * 50_000, 1, DEEP),
    "braces": ("customers: " + "{a: " * 50_000, 1, DEEP),
    "dashes": ("customers:\n" + "- " * 50_000, 2, DEEP),
    "indents": ("".join(f"{' ' * level}a:\n" for level in range(1_000)), 16, DEEP),
    "a billion laughs": ("l0: &l0 ha\n" + LAUGHS, 1, "an anchor or an alias is not allowed"),
    "a list in itself": ("customers: &all [*all]\n", 1, "an anchor or an alias is not allowed"),
    "an unknown alias": ("customers:\n  *all\n", 2, "an anchor or an alias is not allowed"),
    "maps as keys": ("? " * 14 + "a\n", 1, "a list or a map can't be a key"),
    "a number that is none": ("customers: !!int\n", 1, "a tag is not allowed"),
    "a set that is none": ("customers: !!set a\n", 1, "a tag is not allowed"),
    "an object": ("customers: !!python/object/apply:os.system [ls]\n", 1, "a tag is not allowed"),
}


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__module__)
@pytest.mark.parametrize(("text", "line", "problem"), REFUSED.values(), ids=REFUSED.keys())
def test_what_costs_time_or_memory_is_refused(
    tmp_path: Path, read: Callable[[Path], object], text: str, line: int, problem: str
) -> None:
    file = tmp_path / "file.yml"
    file.write_text(text)
    with pytest.raises(UserError) as refused:
        read(file)
    assert str(refused.value).startswith(f"{file} line {line}: {problem}")


def load(file: Path) -> object:
    return yaml_file.load(file, "it", "name another")


def test_what_is_just_deep_enough_is_read(tmp_path: Path) -> None:
    file = tmp_path / "file.yml"
    file.write_text("[" * yaml_file.DEEPEST + "]" * yaml_file.DEEPEST)
    assert load(file)
    file.write_text("[" * (yaml_file.DEEPEST + 1) + "]" * (yaml_file.DEEPEST + 1))
    with pytest.raises(UserError, match=r"^it line 1: lists and maps are nested more than 16 deep"):
        load(file)


def test_what_is_too_large_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "file.yml"
    file.write_text("[1, 2, 3]")
    monkeypatch.setattr(yaml_file, "LARGEST", 9)
    assert load(file) == [1, 2, 3]
    file.write_text("[1, 2, 3]\n")
    with pytest.raises(UserError, match=r"^it is larger than 0 MiB; shorten it, or name another file$"):
        load(file)
    with (tmp_path / "endless").open("wb") as endless:
        endless.truncate(2**40)  # takes no room, and would take all memory
    with pytest.raises(UserError, match=r"^it is larger than"):
        load(tmp_path / "endless")
