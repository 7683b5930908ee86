"""By which definition a mart is computed: its query with those of all models that it reads, as dbt compiled them.

Comments, white space, the window and the database's name do not count (database/objects/ops.sql). What a query reads of
the database besides models does not count either: the registry marks days itself when it changes.
"""

from collections.abc import Iterable, Mapping

import psycopg
from psycopg.types.json import Jsonb

from callmart.base import sql_file
from callmart.base.settings import Settings
from callmart.declarations import dbt_project
from callmart.declarations.dbt_project import Compiled
from callmart.declarations.mart import Mart

SQL = sql_file.statements(__file__)

Definitions = Mapping[str, int]  # per mart, the number of its definition in ops.definition


def present(connection: psycopg.Connection, settings: Settings, marts: Iterable[Mart]) -> Definitions:
    """Return the definition of each mart as the project is now, in the caller's transaction.

    The last build knows them, unless a file of the project changed since: then dbt compiles the marts once, within
    seconds. Raises UserError if it can't.
    """
    project = dbt_project.fingerprint_of_files()
    if known := _known(connection, project, also_compiled=True):
        return known
    found = _note(connection, dbt_project.compiled_marts(settings), marts)
    connection.execute(SQL["keep"], {"project": project, "definitions": Jsonb(found)})
    return found


def of_build(
    connection: psycopg.Connection, project: str, models: Iterable[Compiled], marts: Iterable[Mart]
) -> Definitions:
    """Return by which definition a build computed each mart, in the caller's transaction. `models` are all that the
    marts read, and they themselves; `project` is what the project was when it began. If an earlier build of the same
    project has noted them, `models` is not looked at.
    """
    is_same = dbt_project.fingerprint_of_files() == project
    known = _known(connection, project, also_compiled=False) if is_same else None
    return known or _note(connection, models, marts)


def _known(connection: psycopg.Connection, project: str, *, also_compiled: bool) -> Definitions | None:
    given = {"project": project, "also_compiled": also_compiled}
    row = connection.execute(SQL["known"], given).fetchone()
    return row[0] if row else None


def _note(connection: psycopg.Connection, models: Iterable[Compiled], marts: Iterable[Mart]) -> Definitions:
    """Note the definitions of marts."""
    by_name = {mart.name: mart for mart in marts}
    # macros/window/compiled_models.sql says the same where dbt works by itself.
    said = [
        {"model": one.model, "reads": one.reads, "query": one.sql}
        | (
            {"mart": mart.name, "columns": mart.columns, "reach_days": mart.reach_days}
            if (mart := by_name.get(one.name))
            else {}
        )
        for one in models
    ]
    ((definitions,),) = connection.execute("select ops.note_definitions(%s)", [Jsonb(said)]).fetchall()
    return definitions or {}
