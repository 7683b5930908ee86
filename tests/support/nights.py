"""A nightly run, and what it leaves behind."""

from typing import Any

import tableauserverclient as TSC

from callmart.base.progress import quietly
from callmart.declarations import dbt_project
from callmart.extract import extract
from callmart.operations import run, stages
from callmart.publish import tableau
from callmart.retention import remove
from callmart_home import Callmart
from tableau_emulator.state import State


class Crash(BaseException):
    """The end of the process, as far as a test can have it: no stage goes on after it."""


def night(callmart: Callmart) -> stages.Ran:
    with callmart.connect() as connection:
        return run.run(connection, callmart.settings, quietly)


def removing(callmart: Callmart) -> list[remove.Removed | remove.Unremoved]:
    """The part of a night that removes what no contract keeps."""
    with callmart.connect() as connection:
        return remove.remove(connection, callmart.settings, quietly)


def requests(callmart: Callmart) -> list[tuple[str, str]]:
    """What changed something on the emulator so far; signing in and out does not."""
    with State(callmart.home / "emulator") as state:
        made = [(each.method, each.path) for each in state.requests()]
    return [(method, path) for method, path in made if method != "GET" and "/auth/" not in path]


def outcome(callmart: Callmart) -> dict[str, Any]:
    """All that a run is for: the rows of the marts, the extracts, and what stands on Tableau."""
    with tableau.connect(callmart.settings) as server:
        on_tableau = {
            (source.project_name, source.name): {tag.rpartition("-")[2] for tag in source.tags}
            for source in TSC.Pager(server.datasources)
        }
    return {
        **{
            mart.name: sorted(map(repr, callmart.rows(f'select * from store."{mart.name}"')))
            for mart in dbt_project.marts(callmart.settings)
        },
        "opened": callmart.rows(
            "select customer_id, call_date::text, mart, row_count from ops.opened_day order by 1, 2, 3"
        ),
        "dirty": callmart.rows("select customer_id, call_date from ops.dirty_day"),
        "extracts": callmart.rows(
            "select customer_id, mart_group, content_hash, row_count from ops.extract order by 1, 2"
        ),
        "files": sorted(
            str(file.relative_to(extract.folder(callmart.settings)))
            for file in extract.folder(callmart.settings).rglob("*")
        ),
        "publications": callmart.rows("select customer_id, state from ops.publication order by 1"),
        "Tableau": on_tableau,
    }


def contents(callmart: Callmart, customer: int) -> Any:
    """The marts and extracts of a customer."""
    marts = {
        mart.name: sorted(
            map(repr, callmart.rows(f'select * from store."{mart.name}" where customer_id = %s', customer))
        )
        for mart in dbt_project.marts(callmart.settings)
    }
    return marts, callmart.rows(
        "select mart_group, content_hash from ops.extract where customer_id = %s order by 1", customer
    )
