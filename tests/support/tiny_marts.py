"""A dbt project of a test's own, with marts that are next to nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from callmart_home import Callmart
from dbt_by_hand import run_dbt

Declaration = dict[str, Any]


@dataclass
class Project:
    """A copy of the dbt project, to which a test adds marts."""

    callmart: Callmart
    folder: Path

    def declare(self, name: str, change: Callable[[Declaration], object] = lambda declared: None) -> None:
        """Write a small mart with its YAML, after `change`; the SQL selects what the YAML names."""
        declared: Declaration = {
            "name": name,
            "config": {"meta": {"group": "queue", "key": ["customer_id", "call_date"], "day": "call_date"}},
            "columns": [
                {"name": "customer_id", "data_type": "integer"},
                {"name": "call_date", "data_type": "date"},
                {"name": "things", "data_type": "integer"},
            ],
        }
        change(declared)
        known = {"customer_id": "customer_id", "call_date": "call_date"}
        columns = ", ".join(
            f"{known.get(column['name'], 'null')}::{column['data_type']} as {column['name']}"
            for column in declared["columns"]
        )
        marts = self.folder / "models/marts/queue"
        (marts / f"{name}.sql").write_text(f"select {columns} from {{{{ ref('stg_day') }}}}\n")
        with (marts / f"{name}.yml").open("w") as file:
            YAML().dump({"version": 2, "models": [declared]}, file)

    def run(self, *options: str) -> str:
        """Run all marts of one's own; what dbt says."""
        return run_dbt(self.callmart, self.folder, "run", "--select", "stg_day", "tiny_*", *options).stdout


def column(declared: Declaration, name: str, data_type: str, **more: Any) -> Declaration:
    declared["columns"].append({"name": name, "data_type": data_type, **more})
    return declared


def meta(**values: Any) -> Callable[[Declaration], None]:
    return lambda declared: declared["config"]["meta"].update(values)


def person(name: str) -> dict[str, Any]:
    return {"config": {"meta": {"person": name}}}
