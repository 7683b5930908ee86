"""The keys that a file of models can have. About a misspelt one dbt says nothing, or takes it for the user's own. And
what dbt_project.yml must not say of all of them.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from callmart.base.nearest import instead
from callmart.declarations.model_files import entries

Place = tuple[str | int, ...]

_DESCRIBED = ("name", "description", "docs", "config")
KEYS: Mapping[str, Collection[str]] = {
    "file": (
        "version", "models", "exposures", "sources", "macros", "unit_tests", "data_tests", "groups", "seeds",
        "snapshots", "analyses", "functions", "semantic_models", "metrics", "saved_queries",
    ),
    "model": (
        *_DESCRIBED, "columns", "constraints", "data_tests", "tests", "tags", "access", "group", "versions",
        "latest_version", "deprecation_date", "primary_key", "time_spine",
    ),
    "config of a model": (
        "meta", "tags", "materialized", "enabled", "contract", "group", "access", "docs", "alias", "schema", "database",
        "persist_docs", "quoting", "full_refresh", "on_schema_change", "incremental_strategy", "unique_key", "indexes",
        "unlogged", "event_time", "batch_size", "begin", "lookback", "concurrent_batches", "freshness",
        "on_configuration_change", "packages", "static_analysis",
    ),
    "column": (
        *_DESCRIBED, "data_type", "constraints", "data_tests", "tests", "tags", "quote", "granularity", "policy_tags",
    ),
    "config of a column": ("meta", "tags"),
    "unit test": ("name", "model", "description", "given", "expect", "overrides", "config", "versions"),
}  # fmt: skip

# What would take a mart's protection away.
_OPENS = "it could open what the policies close"
UNSAFE = {
    "grants": "its group decides who reads it",
    "pre-hook": _OPENS,
    "pre_hook": _OPENS,
    "post-hook": _OPENS,
    "post_hook": _OPENS,
    "sql_header": "it would run before the query",
}

# What dbt_project.yml has to say: what dbt does before and after everything, and where it finds it; and why.
NEEDED: Mapping[str, tuple[object, str]] = {
    "on-run-start": ("{{ begin_build() }}", _OPENS),
    "on-run-end": ("{{ end_build(results) }}", _OPENS),
    "model-paths": (["models"], "nothing looks at models elsewhere"),
    "macro-paths": (["macros"], "nothing looks at macros elsewhere"),
}
SCHEMAS = ("build", "store", "usage")  # where dbt makes something, and every look at drift compares rights


def of_project(content: Any) -> Iterator[tuple[Place, str]]:
    """What dbt_project.yml says of all models, and no model may say of itself: place and remedy."""
    for key, (needed, why) in NEEDED.items():
        if content.get(key) != needed:
            written = json.dumps(needed)
            yield (key,) if key in content else (), f"write {key}: {written}, and nothing else: {why}"
    yield from _inherited(content, ())


def _inherited(content: Any, place: Place) -> Iterator[tuple[Place, str]]:
    if not isinstance(content, dict):
        return
    for key, value in content.items():
        at, name = (*place, str(key)), str(key).removeprefix("+")
        if name in UNSAFE:
            yield at, f"remove it: {UNSAFE[name]}"
        elif name == "contract" and value != {"enforced": True}:
            yield at, f"write {key}: {{enforced: true}}: a mart's types are always enforced"
        elif name == "schema" and value not in SCHEMAS:
            yield at, f"write {', '.join(SCHEMAS[:-1])} or {SCHEMAS[-1]}: elsewhere nobody compares rights"
        else:
            yield from _inherited(value, at)


def mistakes(content: Any) -> Iterator[tuple[Place, str]]:
    """What is wrong in the keys of a file: place and remedy."""
    if not isinstance(content, dict):
        yield (), "the file declares nothing; begin it with `models:` or `exposures:`, or remove it"
        return
    yield from _unknown("file", content, ())
    if content.get("version", 2) != 2:
        yield ("version",), "dbt knows no other version; write `version: 2`"
    for key in ("models", "exposures", "sources", "macros", "unit_tests"):
        yield from _not_maps(content, key, ())
    for number, model in enumerate(entries(content, "models")):
        yield from _of_model(model, ("models", number))
    for number, test in enumerate(entries(content, "unit_tests")):
        yield from _unknown("unit test", test, ("unit_tests", number))


def _of_model(model: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, str]]:
    if not isinstance(model.get("name"), str):
        yield place, "the model has no name; add one"
    yield from _unknown("model", model, place)
    yield from _of_config("config of a model", model, place)
    yield from _not_maps(model, "columns", place)
    names: list[object] = []
    for number, column in enumerate(entries(model, "columns")):
        at = (*place, "columns", number)
        yield from _unknown("column", column, at)
        yield from _of_config("config of a column", column, at)
        if (name := column.get("name")) in names:
            yield at, f"the column {name} is there twice; keep one of the two"
        names.append(name)


def _of_config(what: str, declared: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, str]]:
    config = declared.get("config")
    if isinstance(config, dict):
        for key, why in UNSAFE.items():
            if key in config:
                yield (*place, "config", key), f"remove it: {why}"
        yield from _unknown(what, {key: None for key in config if key not in UNSAFE}, (*place, "config"))
        if config.get("contract", {"enforced": True}) != {"enforced": True}:
            yield (*place, "config", "contract"), "remove it: a mart's types are always enforced"
    elif config is not None:
        yield (*place, "config"), "not a map; write config: {meta: {…}}"


def _not_maps(declared: Mapping[str, Any], key: str, place: Place) -> Iterator[tuple[Place, str]]:
    """What is not a list of maps, and would be passed over."""
    found = declared.get(key, [])
    if not isinstance(found, list):
        yield (*place, key), "not a list; begin each entry with a dash"
        return
    for number, entry in enumerate(found):
        if not isinstance(entry, dict):
            yield (*place, key, number), "not a map; write `- name: …`"


def _unknown(what: str, declared: Mapping[str, Any], place: Place) -> Iterator[tuple[Place, str]]:
    for key in declared:
        if key == "meta" and what in ("model", "column"):
            yield (*place, key), "unknown key; write it within config: {meta: {…}}, where dbt reads it"
        elif key not in KEYS[what]:
            yield (*place, str(key)), f"unknown key; {instead(key, KEYS[what])}"
