"""Finds what is wrong in the models: who declares them, what their SQL reads and returns, whom columns point to."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from callmart.base import declared
from callmart.base.errors import UserError
from callmart.base.nearest import instead
from callmart.base.pointing import WHOM
from callmart.base.settings import PROJECT
from callmart.base.strict import Mistake, line_of, sentence
from callmart.declarations import dbt_project, model_files, model_sql
from callmart.declarations.model_files import FOLDER, Model

MARTS = ("store", "frozen")  # what dbt makes of marts and of statistics


def at(file: Path, content: Any, place: Sequence[str | int], remedy: str) -> UserError:
    """The error for a place in a file."""
    return declared.at(
        declared.in_project(file), content, Mistake(tuple(place), remedy, is_unknown_key=False)
    )


def at_model(model: Model, place: Sequence[str | int], remedy: str) -> UserError:
    """The error for a place in a model's declaration."""
    line = max(line_of(model.document, place), model.document.lc.line + 1)
    where = [model.name, *declared.named(model.document, place)]
    said = remedy.replace("its YAML", "the file")
    return UserError(sentence(declared.in_project(model.file), line, where, said))


def mistakes(contents: Mapping[Path, Any], models: Sequence[Model]) -> Iterator[UserError]:
    """What is wrong in models, marts apart, and in what they read."""
    files = {file.stem: file for file in sorted(FOLDER.rglob("*.sql"))}
    yamls = [model.name for model in models]
    sources = [
        f"{source.get('name')}.{table.get('name')}"
        for content in contents.values()
        for source in model_files.entries(content, "sources")
        for table in model_files.entries(source, "tables")
    ]
    project, by_name = model_sql.Project(files, sources, _macros()), {model.name: model for model in models}
    for model in models:
        if model.name not in files:
            yield at_model(
                model, (), f"there is no {model.name}.sql; {instead(model.name, set(files) - set(yamls))}"
            )
        if yamls.count(model.name) > 1:
            yield at_model(model, (), "the model is declared twice; keep one of the two")
        if model.materialized not in MARTS:
            yield from _of_model(model)
    unread = {file.stem for file in model_files.files() if file not in contents}
    for name, file in files.items():
        if name not in yamls and name not in unread:
            yield UserError(
                f"{declared.in_project(file)} line 1: no file declares the model {name}; add {file.stem}.yml beside it"
            )
        yield from _of_sql(file, by_name, project)
    for file in FOLDER.rglob("*.py"):
        yield UserError(f"{declared.in_project(file)} line 1: a model is SQL; write it as {file.stem}.sql")
    for file, content in contents.items():
        yield from _of_descriptions(file)
        yield from _of_unit_tests(file, content, files)


def _of_unit_tests(file: Path, content: Any, models: Mapping[str, Path]) -> Iterator[UserError]:
    """Models of unit tests that are not there."""
    for number, test in enumerate(model_files.entries(content, "unit_tests")):
        named: list[tuple[tuple[str | int, ...], str]] = [(("model",), str(test.get("model")))]
        for place, entry in enumerate(model_files.entries(test, "given")):
            named += (
                (("given", place, "input"), name) for _, name in model_sql.reads(str(entry.get("input")))
            )
        for at_test, name in named:
            if name not in models:
                remedy = f"there is no model {name}; {instead(name, models)}"
                yield at(file, content, ("unit_tests", number, *at_test), remedy)


def _of_model(model: Model) -> Iterator[UserError]:
    """What is wrong in a model that is no mart: it has nothing of ours but whom its columns point to."""
    if "marts" in model.file.relative_to(FOLDER).parts and dbt_project.STATISTICS not in tags(model):
        yield at_model(
            model, ("config", "materialized"), "remove it: dbt_project.yml says what is made of a mart"
        )
    for key in _meta(model.document):
        yield at_model(model, ("config", "meta", key), "unknown key: only a mart has one; remove it")
    for number, column in enumerate(model_files.entries(model.document, "columns")):
        for key in ("name", "description", "data_type"):
            if not isinstance(column.get(key, ""), str):
                yield at_model(model, ("columns", number, key), "not a text; correct it there")
        meta = _meta(column)
        for key in meta.keys() - {"person"}:
            remedy = f"unknown key; {instead(key, ['person'])}"
            yield at_model(model, ("columns", number, "config", "meta", key), remedy)
        if not dbt_project.says_whom(meta.get("person"), column.get("data_type")):
            remedy = f"write config: {{meta: {{person: {' | '.join(WHOM)}}}}}, or a list of them: whom it points to"
            yield at_model(model, ("columns", number, "config", "meta", "person"), remedy)


def tags(model: Model) -> Sequence[str]:
    """The tags in a model's config: dbt takes a list, or one word."""
    match model.document:
        case {"config": {"tags": list(tags)}}:
            return tags
        case {"config": {"tags": str(tag)}}:
            return (tag,)
    return ()


def _meta(document: Mapping[str, Any]) -> dict[str, Any]:
    match document:
        case {"config": {"meta": dict(meta)}}:
            return meta
    return {}


def _of_sql(file: Path, models: Mapping[str, Model], project: model_sql.Project) -> Iterator[UserError]:
    """What is wrong in the SQL of a model."""
    try:
        text = declared.text(file)
    except UserError as mistake:
        yield mistake
        return
    model, in_staging = models.get(file.stem), "staging" in file.relative_to(FOLDER).parts
    of_all_customers = model is not None and _puts_customers_together(model)
    found = [*model_sql.mistakes(text, project, in_staging=in_staging, of_all_customers=of_all_customers)]
    read = [(place, models[name]) for place, name in model_sql.reads(text) if name in models]
    if not of_all_customers:
        found += (
            (place, f"{one.name} puts customers together; only a statistic can read it")
            for place, one in read
            if _puts_customers_together(one)
        )
    if model and model.materialized in MARTS:
        columns = model_files.entries(model.document, "columns")
        found += model_sql.differences(text, [str(column.get("name")) for column in columns])
    if model and model.materialized == "store":
        if _meta(model.document).get("day") != "none":
            found += model_sql.of_days(
                text, [one.name for one in models.values() if one.materialized == "store"]
            )
        yield from _of_persons(model, [one for _, one in read], text)
    for place, remedy in found:
        yield _in_text(file, text, place, remedy)


def _puts_customers_together(model: Model) -> bool:
    return (
        dbt_project.STATISTICS in tags(model)
        and model.materialized != "store"
        and "staging" not in model.file.relative_to(FOLDER).parts
    )


def _of_persons(model: Model, read: Iterable[Model], text: str) -> Iterator[UserError]:
    """Columns of a mart that are said to point to nobody, and that point to a person in a model that it reads, by this
    name or by another one that the mart's text gives them.
    """
    persons = {
        column.get("name"): (one.name, whom)
        for one in read
        for column in model_files.entries(one.document, "columns")
        if (whom := _meta(column).get("person", "nobody")) != "nobody"
    }
    for number, column in enumerate(model_files.entries(model.document, "columns")):
        if _meta(column).get("person") != "nobody":
            continue
        for name in sorted(model_sql.renamed(text, str(column.get("name"))) & persons.keys()):
            reads, whom = persons[name]
            said = whom if isinstance(whom, str) else ", ".join(map(str, whom))
            remedy = (
                f"in {reads} this column{'' if name == column['name'] else f', {name},'} points to {said}; write that, "
                "or another name if it is another thing"
            )
            yield at_model(model, ("columns", number, "config", "meta", "person"), remedy)


@cache
def _macros() -> frozenset[str]:
    texts = [declared.text(file) for file in (PROJECT / "macros").rglob("*.sql")]
    return frozenset(name for text in texts for name in re.findall(r"{%-?\s*macro\s+(\w+)", text))


def _of_descriptions(file: Path) -> Iterator[UserError]:
    """Texts that descriptions take from elsewhere, and that are not there."""
    text = declared.text(file)
    for found in re.finditer(r"{{\s*doc\(\s*['\"](\w+)['\"]", text):
        if found[1] not in _docs():
            yield _in_text(
                file, text, found.start(), f"there is no text {found[1]}; {instead(found[1], _docs())}"
            )


@cache
def _docs() -> list[str]:
    return [
        name
        for file in sorted(FOLDER.rglob("*.md"))
        for name in re.findall(r"{%\s*docs (\w+)", declared.text(file))
    ]


def _in_text(file: Path, text: str, place: int, remedy: str) -> UserError:
    line = text.count("\n", 0, place) + 1
    return UserError(f"{declared.in_project(file)} line {line}: {remedy}")
