"""Finds all that is wrong in what the project declares, without a server and without dbt, each with file and line.

A run and a build begin with it, so it reads the files itself: dbt takes seconds. What only dbt or the database can say
(a macro, the types of a query's columns) they say when they build.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from callmart.base import declared, duck, matrix
from callmart.base.errors import UserError
from callmart.base.matrix import Matrix
from callmart.base.nearest import instead, nearest
from callmart.base.pointing import COUNTS_AND_MOMENTS
from callmart.base.secret_files import secret_file
from callmart.base.settings import PROJECT, Settings
from callmart.base.strict import keys
from callmart.declarations import (
    captions,
    checking_models,
    dbt_keys,
    dbt_project,
    expectations,
    exposures,
    fingerprint,
    metrics,
    model_files,
    processing,
)
from callmart.declarations.checking_models import at, at_model
from callmart.declarations.exposures import Report
from callmart.declarations.mart import Mart
from callmart.declarations.metrics import Metric
from callmart.declarations.model_files import FOLDER, Model

# The SQL that makes the tables and functions that access.yml names.
DATABASE = Path(declared.__file__).parents[1] / "database"

TYPES = (*COUNTS_AND_MOMENTS, "bigint", "text")  # that the columns of a mart can have: Tableau knows no other

Kind = TypeVar("Kind", bound=BaseModel)
Wrong = list[UserError]  # to which each step adds what it finds


def require(settings: Settings) -> None:
    """Raise UserError if something is wrong. What was right is not looked at again before it changes."""
    now, right = json.dumps(fingerprint_of_files()), settings.home / "dbt" / "checked.json"
    if right.is_file() and right.read_text() == now:
        return
    if found := check():
        others = f" (and {len(found) - 1} more: `callmart check` says all)" if len(found) > 1 else ""
        raise UserError(f"{found[0]}{others}")
    secret_file(right, now)


def fingerprint_of_files() -> str:
    """Return a hash of the files that are looked at, and of the rules."""
    return fingerprint.of(
        matrix.FILE,
        captions.FILE,
        metrics.FILE,
        processing.FILE,
        PROJECT / "dbt_project.yml",
        FOLDER,
        PROJECT / "macros",
        expectations.FOLDER,
        DATABASE / "migrations",
        DATABASE / "objects",
    )


def check() -> list[str]:
    """A sentence per mistake in what the project declares, by file and line."""
    wrong: Wrong = []
    roles = _read(matrix.FILE, Matrix, wrong)
    words = _read(captions.FILE, captions.File, wrong)
    ratios = _read(metrics.FILE, metrics.File, wrong)
    purposes = _read(processing.FILE, processing.Processing, wrong)
    contents = _contents(wrong)
    try:
        models = list(model_files.models(contents))
    except UserError as mistake:
        return [str(mistake)]
    wrong += _of_project()
    # None for a mart that is wrong itself, or that nobody declares: nothing is said about what others use of it.
    marts: dict[str, Mart | None] = {}
    for model in models:
        if model.materialized in checking_models.MARTS:
            mart = _mart(model, roles, wrong)
            if model.materialized == "store":
                marts[model.name] = mart
    marts |= {file.stem: None for file in model_files.files() if file not in contents}
    names = {model.name for model in models}
    marts |= {file.stem: None for file in (FOLDER / "marts").rglob("*.sql") if file.stem not in names}
    right = [mart for mart in marts.values() if mart]
    unread = {name for name, mart in marts.items() if mart is None}
    reports = _reports(contents, wrong)
    wrong += checking_models.mistakes(contents, models)
    wrong += _of_suites(marts, models)
    for mart, remedy in dbt_project.claimed(right):
        wrong.append(at_model(next(model for model in models if model.name == mart.name), (), remedy))
    of_captions = list(captions.mistakes(right))
    wrong += of_captions
    if roles:
        wrong += _of_access(roles, models, marts)
        for model in models:
            if mart := marts.get(model.name):
                wrong += _of_marts(model, mart, roles, marts)
    if words:
        wrong += _of_words(words, marts)
    has_all_words = len(right) == len(marts)  # a column's words can be in a mart that is wrong itself
    if words and purposes and has_all_words and not of_captions:
        wrong += _of_persons(models, marts, captions.Captions(right, words))
    if ratios:
        wrong += _of_views(models, right, ratios.metrics)
        wrong += metrics.mistakes(ratios.metrics, right, unread)
        wrong += [
            declared.wrong(metrics.FILE, metric.name, f"{metric.name} is a word of SQL; choose another name")
            for metric in ratios.metrics
            if metric.name in _reserved()
        ]
        unread |= _names(metrics.FILE, "metrics") - {metric.name for metric in ratios.metrics}
    if roles and words and ratios:
        wrong += exposures.mistakes(
            reports, right, ratios.metrics, words.values, roles, unread, has_all_words=has_all_words
        )
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
        wrong += (at(file, found[file], place, remedy) for place, remedy in dbt_keys.mistakes(found[file]))
    return found


def _of_project() -> Iterator[UserError]:
    """What dbt_project.yml says of all models, and none may say of itself."""
    file = PROJECT / "dbt_project.yml"
    content = model_files.load(file)
    return (at(file, content, place, remedy) for place, remedy in dbt_keys.of_project(content))


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
    """A model as a mart, after its mistakes are noted; None if it is too wrong for others to be compared with it."""
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
        wrong.append(at_model(model, place, remedy))
    if found is None or len(found.declared) < len(document["declared"]):
        return None
    types = {} if model.materialized == "frozen" else found.types
    untyped = {name: data_type for name, data_type in types.items() if data_type not in TYPES}
    for name, data_type in untyped.items():
        place = ["columns", found.columns.index(name), "data_type"]
        wrong.append(at_model(model, place, f"a mart can't have this type; {instead(data_type, TYPES)}"))
    if roles:
        for column, remedy in found.mistakes(roles, is_frozen=model.materialized == "frozen"):
            place = ["columns", found.columns.index(column)] if column else []
            if column not in untyped:
                wrong.append(at_model(model, place, remedy))
    return None if untyped else found


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
                    yield at(matrix.FILE, content, ("duties", duty, right, number), remedy)
    for group, said in roles.groups.items():
        mart = marts.get(said.root)
        if said.root not in marts or (mart and mart.group != group):
            of_group = [name for name, one in marts.items() if one and one.group == group]
            remedy = f"{said.root} is no mart of the group {group}; {instead(said.root, of_group)}"
            yield at(matrix.FILE, content, ("groups", group, "root"), remedy)
        elif mart and said.filtered not in (there := _filters(mart)):
            remedy = f"{mart.name} has no {said.filtered} to filter by; {instead(said.filtered, there)}"
            yield at(matrix.FILE, content, ("groups", group, "filtered"), remedy)


def _filters(root: Mart) -> list[str]:
    """The dimensions by which people can filter a group: by agent only where agents have names."""
    return [one for one in exposures.dimensions(root) if one != "agent" or one in root.columns]


@cache
def _made_by_database() -> frozenset[str]:
    """The names with a schema in the SQL that makes the database."""
    files = [*DATABASE.glob("migrations/*"), *DATABASE.glob("objects/*.sql")]
    text = "\n".join(file.read_text("utf-8") for file in files if file.suffix in (".sql", ".py"))
    return frozenset(re.findall(r"\b(?:registry|raw|access|ops|privacy|usage)\.[a-z_]+", text))


def _of_marts(
    model: Model, mart: Mart, roles: Matrix, marts: Mapping[str, Mart | None]
) -> Iterator[UserError]:
    """What is wrong in a mart compared with the root of its group."""
    yield from _of_dbt(model)
    for name in (mart.name, *mart.columns):
        if name in _reserved():
            place = ("columns", mart.columns.index(name)) if name in mart.columns else ()
            yield at_model(model, place, f"{name} is a word of SQL; choose another name")
    root = marts.get(roles.groups[mart.group].root) if mart.group in roles.groups else None
    shared = set(root.key) - {"customer_id"} if root else set()
    if shared and not shared & set(mart.columns):
        remedy = (
            f"it has no column of the key of {root and root.name}, to which it relates; {instead('', shared)}"
        )
        yield at_model(model, (), remedy)


@cache
def _reserved() -> frozenset[str]:
    """The words that a query can't use as names. DuckDB has the grammar of PostgreSQL."""
    words = duck.connect().execute(
        "select keyword_name from duckdb_keywords() where keyword_category = 'reserved'"
    )
    return frozenset(word for (word,) in words.fetchall())


def _of_dbt(model: Model) -> Iterator[UserError]:
    """What dbt would take in a mart, and callmart does not."""
    config = model.document.get("config")
    if dbt_project.STATISTICS in checking_models.tags(model):
        remedy = f"remove {dbt_project.STATISTICS}: only a statistic over all customers has it"
        yield at_model(model, ("config", "tags"), remedy)
    for key, remedy in NOT_OF_MARTS.items():
        if isinstance(config, dict) and key in config:
            yield at_model(model, ("config", key), remedy)
    columns = model_files.entries(model.document, "columns")
    for place, entry in [((), model.document), *((("columns", n), one) for n, one in enumerate(columns))]:
        misspelt = nearest("description", entry.keys() - {"description"})
        if not str(entry.get("description") or "").strip() and not misspelt:
            yield at_model(model, place, "add a description: people read it in the dictionary and on Tableau")
        for key in entry.keys() & {"tests", "data_tests"}:
            suite = f"expectations/{model.name}.yml"
            remedy = f"remove it: it would stop the days of all customers; write an expectation in {suite}"
            yield at_model(model, (*place, key), remedy)


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
            yield at_model(
                files[mart.name], ("name",), f"mart.{mart.name} is a view of callmart's; choose another name"
            )
        if mart.name in with_ratios and (view := metrics.view_of(mart)) in taken:
            remedy = f"the view of its ratios, mart.{view}, is another view already; name one in config.meta.ratios"
            place = ("config", "meta", "ratios") if mart.ratios else ()
            yield at_model(files[mart.name], place, remedy)


@cache
def _views_of_database() -> frozenset[str]:
    """The views in `mart` that are there without any mart."""
    texts = [file.read_text("utf-8") for file in DATABASE.glob("objects/*.sql")]
    return frozenset(name for text in texts for name in re.findall(r"access\.show\(\s*'(\w+)'", text))


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
            yield at_model(model, (), str(mistake))
    for file in sorted(expectations.FOLDER.glob("*.yaml")):
        yield UserError(
            f"{declared.in_project(file)} line 1: nobody reads this file; rename it to {file.stem}.yml"
        )
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
                yield at(file, content, place, remedy)


def _of_persons(
    models: Iterable[Model], marts: Mapping[str, Mart | None], words: captions.Captions
) -> Iterator[UserError]:
    """Marts of persons about which nobody says what such a person is told."""
    for model in models:
        if mart := marts.get(model.name):
            table = mart.table
            try:
                processing.holdings({table: processing.said_by(mart)}, {table: mart.columns}, [mart], words)
            except UserError as mistake:
                yield at_model(model, (), str(mistake))


def _of_words(words: captions.File, marts: Mapping[str, Mart | None]) -> Iterator[UserError]:
    """What captions.yml names and no mart has."""
    content = model_files.load(captions.FILE)
    for number, name in enumerate(words.order):
        if name not in marts:
            yield at(
                captions.FILE,
                content,
                ("order", number),
                f"there is no mart {name}; {instead(name, marts)}, or remove it",
            )
        elif name in words.order[:number]:
            yield at(captions.FILE, content, ("order", number), f"{name} is there twice; keep one of the two")
    types = {column.name: column.data_type for mart in marts.values() if mart for column in mart.declared}
    texts = {name for name, data_type in types.items() if data_type in ("text", "boolean")}
    for name, of_column in words.values.items():
        for word in of_column if types.get(name) == "boolean" else ():
            if word not in captions.YES_OR_NO:
                remedy = f"{name} says yes or no; {instead(word, captions.YES_OR_NO)}, in quotation marks"
                yield at(captions.FILE, content, ("values", name, word), remedy)
        for word in captions.alike(of_column):
            remedy = (
                "another word of this column has the same caption, so nobody can tell them apart; change one"
            )
            yield at(captions.FILE, content, ("values", name, word), remedy)
    if None not in marts.values():
        for name in words.values.keys() - texts:
            remedy = f"no mart has a column {name} of words; {instead(name, texts)}, or remove it"
            yield at(captions.FILE, content, ("values", name), remedy)
