"""The one reader of YAML: what would cost time or memory is refused in a sentence, by whatever reads a file."""

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ruamel.yaml import YAML

from callmart.base import yaml_file
from callmart.base.errors import UserError
from callmart.base.settings import PROJECT
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


# What YAML 1.1 and 1.2 read differently, what only looks like a number or a date, and what needs quotes.
WORDS = st.sampled_from(
    [
        "yes",
        "on",
        "NO",
        "012",
        "0o14",
        "12:30",
        "1_000",
        "1e3",
        ".5",
        "~",
        "null",
        "2026-02-30",
        "2026-01-01",
        "=",
        "<<",
    ]
)
PLAIN = (
    WORDS
    # libyaml refuses `{:a: 1}` and `{a: ?b}`, as the other writes them.
    | st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), max_size=9).filter(
        lambda text: text[:1] not in (":", "?")
    )
    | st.integers()
    | st.booleans()
)
DOCUMENTS = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(PLAIN, inner, max_size=3), max_leaves=9
)


@given(document=st.dictionaries(WORDS, DOCUMENTS, min_size=1, max_size=3), flow=st.booleans())
def test_both_parsers_read_the_same(
    tmp_path_factory: pytest.TempPathFactory, document: object, flow: bool
) -> None:
    file = tmp_path_factory.getbasetemp() / "both.yml"
    yaml = YAML(typ="safe", pure=True)
    yaml.default_flow_style = flow
    yaml.dump(document, file)
    assert typed(yaml_file.load(file, "it", "name another")) == typed(
        yaml_file.load(file, "it", "name another", lines=True)
    )


def test_both_parsers_read_all_files_of_the_project() -> None:
    files = [*PROJECT.glob("*.yml"), *PROJECT.glob("models/**/*.yml"), *PROJECT.glob("demo/**/*.yml")]
    assert len(files) > 50
    for file in files:
        yaml_file._plain_values(file.read_text())  # none of them takes the slow one
        assert typed(yaml_file.load(file, "it", "")) == typed(yaml_file.load(file, "it", "", lines=True)), (
            file
        )


def typed(document: object) -> object:
    """A document with the type of each value, as true and 1 are equal."""
    match document:
        case dict():
            return {typed(key): typed(value) for key, value in document.items()}
        case list():
            return [typed(value) for value in document]
        case bool() | int() | float() | str() | None:
            kind = next(one for one in (bool, int, float, str, type(None)) if isinstance(document, one))
            return kind.__name__, document
        case _:
            raise AssertionError(f"{type(document)} is no plain value")
