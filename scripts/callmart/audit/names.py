"""The audit's search for names. Whatever access.yml gives to a duty, it finds no name and no address anywhere, but for
the one that checks what was computed.
"""

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

import psycopg
from psycopg import sql

from callmart.access import roles
from callmart.audit.channels import log_in
from callmart.audit.check import Check
from callmart.audit.scene import Scene
from callmart.base import sql_file
from callmart.base.matrix import matrix
from callmart.base.settings import Settings

SQL = sql_file.statements(__file__)

READS_NAMES = "quality"  # what is built has the names of agents, for those who may see them

_WORD = re.compile(r"[^\W_]+")
_Column = tuple[str, str, str]  # schema, relation, column
Names = Mapping[str, list[tuple[str, str]]]  # by first word: the names, each with a description of its owner


def of_names(connection: psycopg.Connection, settings: Settings, scene: Scene) -> Check:
    """Check that nothing that a duty may read contains a name or address of the registry."""
    names = of_registry(connection)
    looked_at, found = 0, list[str]()
    for duty in (name for name in matrix().duties if name != READS_NAMES):
        columns, seen = _search(settings, scene, duty, names)
        looked_at += columns
        found += seen
    control = _found(connection, "owner", [c for c in _columns(connection) if c[0] == "registry"], names)
    return Check.of(
        "reading",
        f"no name or mail address of the registry in what any duty but {READS_NAMES} may read",
        looked_at if control else 0,
        found,
    )


def named_in(text: str, names: Names) -> Iterator[str]:
    """The owners of the names of persons in a text."""
    yield from (whose for whose in _in_text(text, names) if not whose.startswith("the name of customer"))


def of_registry(connection: psycopg.Connection) -> Names:
    """All names and addresses of the registry, as they are and as they are written in JSON."""
    rows = connection.execute(SQL["names"])
    names = defaultdict(list)
    for name, whose in rows:
        if first := _WORD.search(name or ""):
            for written in {name, json.dumps(name, ensure_ascii=False)[1:-1]}:
                names[first[0]].append((written, whose))
    return names


def _search(settings: Settings, scene: Scene, duty: str, names: Names) -> tuple[int, list[str]]:
    """Search all text that a duty may read, as its login. Returns the number of columns, and what was found."""
    try:
        session = log_in(settings, roles.duty_role(scene.database, duty))
    except psycopg.OperationalError:
        return 0, []  # the check of logins reports it
    with session:
        columns = _columns(session)
        return len(columns), _found(session, duty, columns, names)


def _columns(session: psycopg.Connection) -> list[_Column]:
    """The columns with text that the session may read."""
    return session.execute(SQL["columns"]).fetchall()


def _found(session: psycopg.Connection, reader: str, columns: list[_Column], names: Names) -> list[str]:
    """The names that are in these columns."""
    return [
        f"{reader}: {'.'.join(column)} contains {whose}"
        for column in columns
        for whose in _in_column(session, column, names)
    ]


def _in_column(session: psycopg.Connection, column: _Column, names: Names) -> Iterator[str]:
    """The owners of the names in a column, each once."""
    # The comments that PostgreSQL brings along are full of words that somebody can be called by.
    ours = " where objoid >= 16384" if column[0] == "pg_catalog" else ""
    query = sql.SQL("select distinct {}::text from {}" + ours).format(
        sql.Identifier(column[2]), sql.Identifier(*column[:2])
    )
    found = set()
    for (value,) in session.execute(query):
        for whose in _in_text(value or "", names):
            if whose not in found:
                found.add(whose)
                yield whose


def _in_text(text: str, names: Names) -> Iterator[str]:
    """The owners of the names that are in a text as whole words. One that is like a count has to be the whole text
    or a string in JSON.
    """
    for word in _WORD.finditer(text):
        for name, whose in names.get(word[0], ()):
            start = word.start() - name.index(word[0])
            end = start + len(name)
            is_string = text == name or text[max(start - 1, 0) : end + 1] == f'"{name}"'
            if not is_string and _is_like_a_count(name):
                continue
            if start >= 0 and text[start:end] == name and not text[end : end + 1].isalnum():
                yield whose


def _is_like_a_count(name: str) -> bool:
    """Whether a name, such as an extension, can be any count in JSON. One of seven digits can be a telephone's."""
    return not any(map(str.isalpha, name)) and sum(map(str.isdigit, name)) < 7
