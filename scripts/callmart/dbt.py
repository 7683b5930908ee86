"""dbt, called from Python: the models run, and what the marts declare read from its manifest."""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import chdir
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from psycopg.conninfo import conninfo_to_dict

from callmart import server
from callmart.errors import UserError
from callmart.settings import PROJECT, Settings


@dataclass(frozen=True)
class Mart:
    """A mart as its YAML declares it."""

    name: str
    group: str
    key: tuple[str, ...]
    day: str | None
    columns: tuple[str, ...]
    reach_days: int = 0  # how many days after a changed one change as well
    additive: tuple[str, ...] = ()  # the columns that can be summed
    types: Mapping[str, str] = field(default_factory=dict, compare=False)  # as its contract writes it
    descriptions: Mapping[str, str] = field(default_factory=dict, compare=False)


NUMBERS = ("smallint", "integer", "bigint", "numeric", "double precision")


def run(settings: Settings, on_model: Callable[[str, int, int], None]) -> None:
    """Compute the window: run all models. `on_model(name, finished, of)` is told of each that is done.

    Raises UserError that names the model which failed; never what the database said of it, which can hold rows.
    """
    from dbt.cli.main import dbtRunner

    manifest = _parse(settings)
    models = _manifest_models(settings)
    finished: list[str] = []

    def on_event(event: Any) -> None:
        if event.info.name == "NodeFinished":
            finished.append(event.data.node_info.node_name)
            on_model(finished[-1], len(finished), len(models))

    # The manifest has just been written, and writing it takes as long as many a model.
    result = _invoke(dbtRunner(manifest, callbacks=[on_event]), settings, "run", "--no-write-json")
    failed = [r.node for r in result.result or [] if r.status not in ("success", "skipped")]
    if failed:
        raise UserError(
            f"model {failed[0].name} ({failed[0].original_file_path}) failed: "
            f"run `dbt run --select {failed[0].name}` in {PROJECT} to see why"
        )
    if not result.success:
        raise UserError(f"dbt refuses the project: {_first_sentence(result.exception)}")


def marts(settings: Settings) -> list[Mart]:
    """The marts that the project declares, in the order of their names."""
    declared = []
    for node in _manifest_models(settings):
        if node["config"]["materialized"] != "store":
            continue
        meta = node["config"]["meta"]
        declared.append(
            Mart(
                name=node["name"],
                group=meta["group"],
                key=tuple(meta["key"]),
                day=None if meta["day"] in (None, "none") else meta["day"],
                columns=tuple(node["columns"]),
                reach_days=meta.get("reach_days", 0),
                additive=tuple(
                    name
                    for name, column in node["columns"].items()
                    if column["data_type"] in NUMBERS
                    and name not in meta["key"]
                    and column["meta"].get("additive", True)
                ),
                types={name: column["data_type"] for name, column in node["columns"].items()},
                descriptions={
                    name: column["description"].strip() for name, column in node["columns"].items()
                },
            )
        )
    return sorted(declared, key=lambda mart: mart.name)


def read_anew(settings: Settings) -> list[Mart]:
    """The marts as the project declares them at this moment."""
    _parse(settings)
    return marts(settings)


def _parse(settings: Settings) -> Any:
    """The project as dbt reads it, which its manifest.json says afterwards."""
    from dbt.cli.main import dbtRunner  # takes a second to import

    result = _invoke(dbtRunner(), settings, "parse")
    if not result.success:
        raise UserError(f"dbt refuses the project: {_first_sentence(result.exception)}")
    return result.result


def _manifest_models(settings: Settings) -> list[dict[str, Any]]:
    manifest = _target(settings) / "manifest.json"
    if not manifest.exists():
        _parse(settings)
    nodes = json.loads(manifest.read_text())["nodes"].values()
    return [node for node in nodes if node["resource_type"] == "model"]


def _invoke(runner: Any, settings: Settings, *arguments: str) -> Any:
    os.environ.update(_environment(settings))
    _target(settings).mkdir(exist_ok=True, mode=0o700)
    with chdir(PROJECT):
        return runner.invoke(
            [
                *arguments,
                "--log-level=none",  # what the database says of a row would stand in it
                "--log-level-file=none",
                f"--target-path={_target(settings)}",
                f"--profiles-dir={PROJECT}",
            ]
        )


def _target(settings: Settings) -> Path:
    return settings.home / "dbt"


def _environment(settings: Settings) -> dict[str, str]:
    """What profiles.yml asks for; the password as a secret, which dbt never prints."""
    own = conninfo_to_dict(server.uri(settings))
    environment = {
        "CALLMART_PG_HOST": own.get("host") or "localhost",
        "CALLMART_PG_PORT": own.get("port") or "5432",
        "CALLMART_PG_USER": own["user"],
        "CALLMART_PG_DATABASE": own["dbname"],
        "CALLMART_PG_SSLMODE": own.get("sslmode") or "prefer",
        "CALLMART_PG_SSLROOTCERT": own.get("sslrootcert") or "",
        "DBT_ENV_SECRET_CALLMART_PG_PASSWORD": own.get("password") or "",
    }
    if own.get("passfile"):
        environment["PGPASSFILE"] = own["passfile"]
    return {name: str(value) for name, value in environment.items()}


def _first_sentence(error: BaseException | None) -> str:
    return " ".join(str(error).split())[:500]
