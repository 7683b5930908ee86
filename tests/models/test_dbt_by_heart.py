"""What tests learn of dbt by heart is what it says each time."""

import json
import re
from pathlib import Path

from callmart.base.progress import quietly
from callmart.declarations import dbt_project
from callmart_home import Callmart
from dbt_by_heart import dbt_by_heart


def undated(statement: str) -> str:
    """Without the moment at which dbt made the name of a table that it drops again."""
    return re.sub(r"__dbt_tmp\d+", "__dbt_tmp", statement)


def test_dbt_says_the_same_again(played: Callmart, tmp_path: Path) -> None:
    """Two learn it of dbt, one after the other, in the same situation."""
    dbt_project.run(played.settings, quietly)  # afterwards there are the tables that it makes
    learnt = []
    for name in ("first", "second"):
        folder = tmp_path / name
        folder.mkdir()
        with dbt_by_heart(folder):
            dbt_project.run(played.settings, quietly)
        (known,) = folder.iterdir()
        said = json.loads((known / "said.json").read_text())
        learnt.append((known.name, {model: list(map(undated, said[model])) for model in sorted(said)}))
    assert learnt[0] == learnt[1]
    assert len([name for name in learnt[0][1] if name.startswith("model.")]) > 50
