"""Finds all that is wrong in what the project declares, without a server and without dbt, each with file and line.

A run and a build begin with it, so it reads the files itself: dbt takes seconds. What only dbt or the database can say
(a macro, the types of a query's columns) they say when they build.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from callmart.base import declared, matrix
from callmart.base.errors import UserError
from callmart.base.keys import secret_file
from callmart.base.matrix import Matrix
from callmart.base.nearest import instead, nearest
from callmart.base.pointing import COUNTS_AND_MOMENTS, WHOM
from callmart.base.settings import PROJECT, Settings
from callmart.base.strict import Mistake, keys, line_of, sentence
from callmart.declarations import (
    captions,
    dbt_keys,
    dbt_project,
    expectations,
    exposures,
    metrics,
    model_files,
    model_sql,
)
from callmart.declarations.dbt_project import Mart
from callmart.declarations.exposures import Report
from callmart.declarations.metrics import Metric
from callmart.declarations.model_files import FOLDER, Model

# The SQL that makes the tables and functions that access.yml names.
DATABASE = Path(declared.__file__).parents[1] / "database"

MARTS = ("store", "frozen")  # what dbt makes of marts and of statistics
TYPES = (*COUNTS_AND_MOMENTS, "bigint", "text")  # that the columns of a mart can have: Tableau knows no other

Kind = TypeVar("Kind", bound=BaseModel)
Wrong = list[UserError]  # to which each step adds what it finds


def require(settings: Settings) -> None:
    """Raise UserError if something is wrong. What was right is not looked at again before it changes."""
    now, right = json.dumps(fingerprint()), settings.home / "dbt" / "checked.json"
    if right.is_file() and right.read_text() == now:
        return
    if found := check():
        others = f" (and {len(found) - 1} more: `callmart check` says all)" if len(found) > 1 else ""
        raise UserError(f"{found[0]}{others}")
    secret_file(right, now)


def fingerprint() -> str:
    """Return a hash of the files that are looked at, and of the rules."""
    files = [matrix.FILE, captions.FILE, metrics.FILE, PROJECT / "dbt_project.yml"]
    files += [file for code in (__file__, declared.__file__) for file in Path(code).parent.glob("*.py")]
    for folder in (FOLDER, PROJECT / "macros", expectations.FOLDER):
        files += [file for file in folder.rglob("*") if file.is_file()]
    digest = sha256()
    for file in sorted(files):
        digest.update(f"{file}\n{sha256(file.read_bytes()).hexdigest() if file.exists() else ''}\n".encode())
    return digest.hexdigest()


def check() -> list[str]:
    """A sentence per mistake in what the project declares, by file and line."""
    wrong: Wrong = []
    roles = _read(matrix.FILE, Matrix, wrong)
    words = _read(captions.FILE, captions.File, wrong)
    ratios = _read(metrics.FILE, metrics.File, wrong)
    contents = _contents(wrong)
    try:
        models = list(model_files.models(contents))
    except UserError as mistake:
        return [str(mistake)]
    # None for a mart that is wrong itself: nothing is said about what others use of it.
    marts: dict[str, Mart | None] = {}
    for model in models:
        if model.materialized in MARTS:
            mart = _mart(model, roles, wrong)
            if model.materialized == "store":
                marts[model.name] = mart
    marts |= {file.stem: None for file in model_files.files() if file not in contents}
    right = [mart for mart in marts.values() if mart]
    unread = {name for name, mart in marts.items() if mart is None}
    reports = _reports(contents, wrong)
    wrong += _of_models(contents, models)
    wrong += _of_suites(marts, models)
    for mart, remedy in dbt_project.claimed(right):
        wrong.append(_at_model(next(model for model in models if model.name == mart.name), (), remedy))
    wrong += captions.mistakes(right)
    if roles:
        wrong += _of_access(roles, models, marts)
        for model in models:
            if mart := marts.get(model.name):
                wrong += _of_marts(model, mart, roles, marts)
    if words:
        wrong += _of_words(words, marts)
    if ratios:
        wrong += _of_views(models, right, ratios.metrics)
        wrong += metrics.mistakes(ratios.metrics, right, unread)
        unread |= _names(metrics.FILE, "metrics") - {metric.name for metric in ratios.metrics}
    if roles and words and ratios:
        wrong += exposures.mistakes(reports, right, ratios.metrics, words.values, roles, unread)
    return sorted(dict.fromkeys(map(str, wrong)), key=_by_line)


def _by_line(said: str) -> tuple[str, int]:
    place = re.match(r"(\S+) line (\d+): ", said)
    return (place[1], int(place[2])) if place else (said, 0)


# -- what can be read ------------------------------------------------------------------------------------------------


def _read(file: Path, kind: type[Kind], wrong: Wrong) -> Kind | None:
    found, mistakes = declared.examine(file, kind)
    wrong += mistakes
    return found


def _names(file: Path, key: str) -> set[str]:
    """The names of the entries of a list in a file, right or wrong."""
    return {str(entry.get("name")) for entry in model_files.entries(model_files.load(file), key)}


def _contents(wrong: Wrong) -> dict[Path, Any]:
    """What the files of models say, if they can be read."""
    found = {}
    for file in model_files.files():
        try:
            found[file] = model_files.load(file)
        except UserError as mistake:
            wrong.append(mistake)
            continue
        wrong += (_at(file, found[file], place, remedy) for place, remedy in dbt_keys.mistakes(found[file]))
    return found


def _at(file: Path, content: Any, place: Sequence[str | int], remedy: str) -> UserError:
    """The error for a place in a file."""
    return declared.at(
        declared.in_project(file), content, Mistake(tuple(place), remedy, is_unknown_key=False)
    )


def _reports(contents: Mapping[Path, Any], wrong: Wrong) -> list[Report]:
    """The reports that are right by themselves."""
    found, names = [], []
    for file, content in contents.items():
        if entries := model_files.entries(content, "exposures"):
            names += [str(entry.get("name")) for entry in entries]
            right, mistakes = declared.right_part(content, exposures.File)
            wrong += (declared.at(declared.in_project(file), content, one) for one in mistakes)
            found += exposures.found_in(file, right) if right else []
    wrong += exposures.misnamed(found, names)
    return found


def _mart(model: Model, roles: Matrix | None, wrong: Wrong) -> Mart | None:
    """A model as a mart. What is wrong in it is said; None if it is too much to say what others may use of it."""
    document = dbt_project.mart_document(model.document)
    found, mistakes = declared.right_part(document, Mart)
    for one in mistakes:
        key = one.place[0] if len(one.place) == 1 else ""
        wanted = dbt_project.wanted_at(str(key), roles) if roles and not one.is_unknown_key else None
        remedy = f"add to its YAML config.meta.{key}: {wanted}" if wanted else one.remedy
        if one.is_unknown_key:
            known = [name for name in keys(Mart, one.place[:-1]) if name not in dbt_project.OF_DBT]
            remedy = f"unknown key; {instead(one.place[-1], known)}"
        place = ["columns" if part == "declared" else part for part in one.place]
        wrong.append(_at_model(model, place, remedy))
    if found is None or len(found.declared) < len(document["declared"]):
        return None
    if roles:
        for column, remedy in found.mistakes(roles, is_frozen=model.materialized == "frozen"):
            place = ["columns", found.columns.index(column)] if column else []
            wrong.append(_at_model(model, place, remedy))
    return found


def _at_model(model: Model, place: Sequence[str | int], remedy: str) -> UserError:
    """The error for a place in a model's declaration."""
    line = max(line_of(model.document, place), model.document.lc.line + 1)
    where = [model.name, *declared.named(model.document, place)]
    said = remedy.replace("its YAML", "the file")
    return UserError(sentence(declared.in_project(model.file), line, where, said))


# -- what must fit together ----------------------------------------------------------------------------------------


def _of_access(
    roles: Matrix, models: Iterable[Model], marts: Mapping[str, Mart | None]
) -> Iterator[UserError]:
    """What access.yml names and nothing makes."""
    content = model_files.load(matrix.FILE)
    made = {*_made_by_database(), *(f"build.{model.name}" for model in models), "build.window"}
    schemas = {name.split(".")[0] for name in made}
    for duty, may in roles.duties.items():
        for right in ("select", "insert", "execute"):
            for number, entry in enumerate(getattr(may, right)):
                name = entry.split("(")[0]
                if name not in made and not (name.endswith(".*") and name[:-2] in schemas):
                    remedy = f"nothing makes {name}; {instead(name, made)}"
                    yield _at(matrix.FILE, content, ("duties", duty, right, number), remedy)
    for group, said in roles.groups.items():
        mart = marts.get(said.root)
        if said.root not in marts or (mart and mart.group != group):
            of_group = [name for name, one in marts.items() if one and one.group == group]
            remedy = f"{said.root} is no mart of the group {group}; {instead(said.root, of_group)}"
            yield _at(matrix.FILE, content, ("groups", group, "root"), remedy)
        elif mart and said.filtered not in (there := exposures.dimensions(mart)):
            remedy = f"{mart.name} has no {said.filtered} to filter by; {instead(said.filtered, there)}"
            yield _at(matrix.FILE, content, ("groups", group, "filtered"), remedy)


@cache
def _made_by_database() -> frozenset[str]:
    """The names with a schema in the SQL that makes the database."""
    files = [*DATABASE.glob("migrations/*"), *DATABASE.glob("objects/*.sql")]
    text = "\n".join(file.read_text("utf-8") for file in files if file.suffix in (".sql", ".py"))
    return frozenset(re.findall(r"\b(?:registry|raw|access|ops|privacy|usage)\.[a-z_]+", text))


def _of_marts(
    model: Model, mart: Mart, roles: Matrix, marts: Mapping[str, Mart | None]
) -> Iterator[UserError]:
    """What is wrong in a mart beside the root of its group, and the types that a data source can hold."""
    for number, column in enumerate(mart.declared):
        if column.data_type not in TYPES:
            place = ("columns", number, "data_type")
            yield _at_model(model, place, f"a mart can't have this type; {instead(column.data_type, TYPES)}")
    yield from _of_dbt(model)
    root = marts.get(roles.groups[mart.group].root) if mart.group in roles.groups else None
    shared = set(root.key) - {"customer_id"} if root else set()
    if shared and not shared & set(mart.columns):
        remedy = (
            f"it has no column of the key of {root and root.name}, to which it relates; {instead('', shared)}"
        )
        yield _at_model(model, (), remedy)


def _of_dbt(model: Model) -> Iterator[UserError]:
    """What dbt would take in a mart, and callmart does not."""
    config = model.document.get("config")
    for key, remedy in NOT_OF_MARTS.items():
        if isinstance(config, dict) and key in config:
            yield _at_model(model, ("config", key), remedy)
    columns = model_files.entries(model.document, "columns")
    for place, entry in [((), model.document), *((("columns", n), one) for n, one in enumerate(columns))]:
        misspelt = nearest("description", entry.keys() - {"description"})
        if not str(entry.get("description") or "").strip() and not misspelt:
            yield _at_model(
                model, place, "add a description: people read it in the dictionary and on Tableau"
            )
        for key in entry.keys() & {"tests", "data_tests"}:
            suite = f"expectations/{model.name}.yml"
            remedy = f"remove it: it would stop the days of all customers; write an expectation in {suite}"
            yield _at_model(model, (*place, key), remedy)


# Keys of a mart's config that dbt knows, and why a mart has none of them.
NOT_OF_MARTS = {
    "alias": "remove it: a mart's table has the mart's name",
    "database": "remove it: dbt_project.yml says where marts are",
    "enabled": "remove it: to take out a mart, remove its files, then run `callmart retire`",
    "schema": "remove it: dbt_project.yml says where marts are",
}


def _of_views(
    models: Iterable[Model], marts: Iterable[Mart], ratios: Iterable[Metric]
) -> Iterator[UserError]:
    """Marts of which the view, or that of their ratios, would take the place of another view."""
    with_ratios = {metric.mart for metric in ratios}
    marts, files = list(marts), {model.name: model for model in models}
    for mart in marts:
        taken = {*_views_of_database(), *(other.name for other in marts if other is not mart)}
        if mart.name in _views_of_database():
            yield _at_model(
                files[mart.name], ("name",), f"mart.{mart.name} is a view of callmart's; choose another name"
            )
        if mart.name in with_ratios and (view := metrics.view_of(mart)) in taken:
            remedy = f"the view of its ratios, mart.{view}, is another view already; name one in config.meta.ratios"
            place = ("config", "meta", "ratios") if mart.ratios else ()
            yield _at_model(files[mart.name], place, remedy)


@cache
def _views_of_database() -> frozenset[str]:
    """The views in `mart` that are there without any mart."""
    texts = [file.read_text("utf-8") for file in DATABASE.glob("objects/*.sql")]
    return frozenset(name for text in texts for name in re.findall(r"access\.show\(\s*'(\w+)'", text))


def _of_models(contents: Mapping[Path, Any], models: Sequence[Model]) -> Iterator[UserError]:
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
            yield _at_model(
                model, (), f"there is no {model.name}.sql; {instead(model.name, set(files) - set(yamls))}"
            )
        if yamls.count(model.name) > 1:
            yield _at_model(model, (), "the model is declared twice; keep one of the two")
        if model.materialized not in MARTS:
            yield from _of_model(model)
    unread = {file.stem for file in model_files.files() if file not in contents}
    for name, file in files.items():
        if name not in yamls and name not in unread:
            yield UserError(
                f"{declared.in_project(file)} line 1: no file declares the model {name}; add {file.stem}.yml beside it"
            )
        yield from _of_sql(file, by_name.get(name), project)
    for file, content in contents.items():
        yield from _of_descriptions(file)
        for number, test in enumerate(model_files.entries(content, "unit_tests")):
            if (tested := str(test.get("model"))) not in files:
                remedy = f"there is no model {tested}; {instead(tested, files)}"
                yield _at(file, content, ("unit_tests", number, "model"), remedy)


def _of_model(model: Model) -> Iterator[UserError]:
    """What is wrong in a model that is no mart: it has nothing of ours but whom its columns point to."""
    if "marts" in model.file.relative_to(FOLDER).parts and dbt_project.STATISTICS not in _tags(model):
        yield _at_model(
            model, ("config", "materialized"), "remove it: dbt_project.yml says what is made of a mart"
        )
    for key in _meta(model.document):
        yield _at_model(model, ("config", "meta", key), "unknown key: only a mart has one; remove it")
    for number, column in enumerate(model_files.entries(model.document, "columns")):
        for key in ("name", "description", "data_type"):
            if not isinstance(column.get(key, ""), str):
                yield _at_model(model, ("columns", number, key), "not a text; correct it there")
        meta = _meta(column)
        for key in meta.keys() - {"person"}:
            remedy = f"unknown key; {instead(key, ['person'])}"
            yield _at_model(model, ("columns", number, "config", "meta", key), remedy)
        if not dbt_project.says_whom(meta.get("person"), column.get("data_type")):
            remedy = f"write config: {{meta: {{person: {' | '.join(WHOM)}}}}}, or a list of them: whom it points to"
            yield _at_model(model, ("columns", number, "config", "meta", "person"), remedy)


def _tags(model: Model) -> Sequence[str]:
    match model.document:
        case {"config": {"tags": list(tags)}}:
            return tags
    return ()


def _meta(document: Mapping[str, Any]) -> dict[str, Any]:
    match document:
        case {"config": {"meta": dict(meta)}}:
            return meta
    return {}


def _of_sql(file: Path, model: Model | None, project: model_sql.Project) -> Iterator[UserError]:
    """What is wrong in the SQL of a model."""
    text = file.read_text("utf-8")
    found = [
        *model_sql.mistakes(
            text,
            project,
            in_staging="staging" in file.relative_to(FOLDER).parts,
            of_all_customers=model is not None and dbt_project.STATISTICS in _tags(model),
        )
    ]
    if model and model.materialized in MARTS:
        columns = model_files.entries(model.document, "columns")
        found += model_sql.differences(text, [str(column.get("name")) for column in columns])
    for place, remedy in found:
        yield _in_text(file, text, place, remedy)


@cache
def _macros() -> frozenset[str]:
    texts = [file.read_text("utf-8") for file in (PROJECT / "macros").rglob("*.sql")]
    return frozenset(name for text in texts for name in re.findall(r"{%-?\s*macro\s+(\w+)", text))


def _of_descriptions(file: Path) -> Iterator[UserError]:
    """Texts that descriptions take from elsewhere, and that are not there."""
    text = file.read_text("utf-8")
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
        for name in re.findall(r"{%\s*docs (\w+)", file.read_text("utf-8"))
    ]


def _in_text(file: Path, text: str, place: int, remedy: str) -> UserError:
    line = text.count("\n", 0, place) + 1
    return UserError(f"{declared.in_project(file)} line {line}: {remedy}")


def _of_suites(marts: Mapping[str, Mart | None], models: Iterable[Model]) -> Iterator[UserError]:
    """What is wrong in the suites: one that is missing, one of no mart, and what they ask of the marts."""
    tables: dict[str, dict[str, str]] = {name: {} for name in marts}
    for model in models:
        columns = model_files.entries(model.document, "columns")
        types = {str(column.get("name")): column.get("data_type") for column in columns}
        tables[model.name] = {
            name: data_type if data_type in TYPES else "integer" for name, data_type in types.items()
        }
    tables["window"] = {"customer_id": "integer", "call_date": "date", "reached": "boolean"}
    for model in models:
        if (mart := marts.get(model.name)) and (mistake := expectations.missing(mart)):
            yield _at_model(model, (), str(mistake))
    for file in sorted(expectations.FOLDER.glob("*.yml")):
        suite, wrong = declared.examine(file, expectations.Suite)
        yield from wrong
        if file.stem not in marts:
            yield UserError(
                f"{declared.in_project(file)} line 1: there is no mart {file.stem}; rename or remove the file: "
                f"{instead(file.stem, marts)}"
            )
        elif suite and (mart := marts[file.stem]):
            content = model_files.load(file)
            for place, remedy in expectations.mistakes(mart, suite, tables):
                yield _at(file, content, place, remedy)


def _of_words(words: captions.File, marts: Mapping[str, Mart | None]) -> Iterator[UserError]:
    """What captions.yml names and no mart has."""
    content = model_files.load(captions.FILE)
    for number, name in enumerate(words.order):
        if name not in marts:
            yield _at(
                captions.FILE, content, ("order", number), f"there is no mart {name}; {instead(name, marts)}"
            )
        elif name in words.order[:number]:
            yield _at(
                captions.FILE, content, ("order", number), f"{name} is there twice; keep one of the two"
            )
    texts = {
        column.name
        for mart in marts.values()
        if mart
        for column in mart.declared
        if column.data_type in ("text", "boolean")
    }
    if None not in marts.values():
        for name in words.values.keys() - texts:
            remedy = f"no mart has a column {name} of words; {instead(name, texts)}"
            yield _at(captions.FILE, content, ("values", name), remedy)
