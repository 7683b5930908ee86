"""dbt's statements, learnt by heart: a build of a small window takes dbt twice as long as PostgreSQL.

What dbt tells the database follows from the project and from the tables that it finds. A build of both that some worker
has seen already tells the database the same again, model by model. dbt itself runs the first time, after any error, and
in each process of its own.
"""

import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest.mock import patch

import psycopg

from callmart.base.progress import OnItem
from callmart.base.settings import Settings
from callmart.database import server
from callmart.declarations import dbt_project

# All that the project's macros ask the database, and the relations that dbt itself lists.
FOUND = """
    select
        jsonb_agg(
            array[relation::text, kind, partition_key, mart_group, columns::text] order by relation::text
        )::text
    from (
        select
            c.oid::regclass as relation,
            c.relkind::text as kind,
            pg_get_partkeydef(c.oid) as partition_key,
            m.mart_group,
            (
                select jsonb_agg(
                    array[a.attname, format_type(a.atttypid, a.atttypmod), col_description(c.oid, a.attnum),
                        array_position(i.indkey::smallint[], a.attnum)::text]
                    order by a.attnum
                )
                from pg_attribute as a
                left join pg_index as i on i.indrelid = c.oid and i.indisprimary and a.attnum = any(i.indkey)
                where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            ) as columns
        from pg_class as c
        left join access.mart as m on m.relation = c.oid
        where
            c.relnamespace in (select oid from pg_namespace where nspname in ('build', 'store', 'usage', 'mart'))
            and c.relkind in ('r', 'p', 'v', 'm')
            and not c.relispartition
    ) as found
"""

RUN = dbt_project.run


@contextmanager
def dbt_by_heart(shared: Path) -> Iterator[None]:
    """Within it, builds tell the database what dbt told it the last time; workers share what they have learnt."""

    def run(
        settings: Settings,
        on_model: OnItem,
        *,
        only_statistics: bool = False,
        **on_cluster: Any,
    ) -> list[dbt_project.Compiled]:
        if on_cluster:
            return RUN(settings, on_model, only_statistics=only_statistics, **on_cluster)
        known = shared / f"dbt-{_situation(settings, only_statistics)}"
        if known.exists() and _repeated(settings, known, on_model):
            return [dbt_project.Compiled(**one) for one in json.loads((known / "models.json").read_text())]
        with _learning(settings, known) as models:
            models.extend(RUN(settings, on_model, only_statistics=only_statistics))
        return models

    with patch.object(dbt_project, "run", run):
        yield


def _situation(settings: Settings, only_statistics: bool) -> str:
    """What decides what dbt says."""
    with server.connect(settings) as owner:
        (found,) = owner.execute(FOUND).fetchone() or (None,)
    project = dbt_project.PROJECT  # type: ignore[attr-defined] # tests set it
    told = [str(project), dbt_project.fingerprint_of_files(), only_statistics, found]
    return sha256(json.dumps(told).encode()).hexdigest()


@contextmanager
def _learning(settings: Settings, known: Path) -> Iterator[list[dbt_project.Compiled]]:
    """Write down what dbt says, per model in the order of their first words, and what it compiled: the models that are
    put into what it yields.
    """
    from dbt.adapters.postgres.connections import PostgresConnectionManager

    said: dict[str, list[str]] = {}
    models: list[dbt_project.Compiled] = []
    say = PostgresConnectionManager.add_query

    def add_query(self: Any, sql: str, *more: Any, bindings: Any = None, **named: Any) -> Any:
        assert bindings is None, "learn also what a statement is told beside its text"
        said.setdefault(self.get_thread_connection().name, []).append(sql)
        return say(self, sql, *more, bindings=bindings, **named)

    with patch.object(PostgresConnectionManager, "add_query", add_query):
        yield models
    new = known.with_name(f"{known.name}-{id(said)}")
    shutil.copytree(settings.home / "dbt" / "compiled", new / "compiled")
    (new / "said.json").write_text(json.dumps(said))
    (new / "models.json").write_text(json.dumps([asdict(one) for one in models]))
    if not known.exists():
        new.rename(known)


def _repeated(settings: Settings, known: Path, on_model: OnItem) -> bool:
    """Whether all of it was said again without an error."""
    said = json.loads((known / "said.json").read_text())
    models = [name for name in said if name.startswith("model.")]
    with server.connect(settings) as owner:
        owner.autocommit = True
        for name, statements in said.items():
            try:
                owner.execute(";\n".join(filter(_changes_something, statements)).encode())
            except psycopg.Error:
                return False
            if name in models:
                on_model(name.rpartition(".")[2], models.index(name) + 1, len(models))
    shutil.copytree(known / "compiled", settings.home / "dbt" / "compiled", dirs_exist_ok=True)
    return True


def _changes_something(statement: str) -> bool:
    """Not what dbt only asks, to decide what to say."""
    words = statement.rpartition("*/")[2].split(maxsplit=1)
    return bool(words) and (words[0].lower() != "select" or "access." in statement)
