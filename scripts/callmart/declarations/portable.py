"""Finds SQL that PostgreSQL takes and Citus refuses, so that raw and build could be on several machines one day.

`make check` looks at all SQL of the project by `.venv/bin/python -m callmart.declarations.portable`. It does not look
for what only a cluster can say: docs/decisions.md lists that.
"""

import ast
import re
import sys
from collections.abc import Iterator

from callmart.base import declared
from callmart.base.settings import PROJECT

Mistake = tuple[int, str]  # the place in the text, and a sentence with the remedy

WRITTEN_ELSEWISE = {
    r"\bselect\s+from\b": "a query needs a column; write `select 1 from`",
    r"\bdo\s+update\s+set\b[^;]*?=\s*nextval\(": "an update can't call a sequence; write `= excluded.` and the column",
    r"\breturning\b[^;]*?\btableoid\b": (
        "the number of a table is another one on each machine; return its name (access.partition_of)"
    ),
    r"\balter\s+table\s+[\w.]+\s+alter\b[^;]*?\bset\s+statistics\b": (
        "this is done again and again; do it only where it is not yet so (access.unsample)"
    ),
}

# What would be on several machines: what is large, and only the builder reads.
LARGE = (
    r"\b(?:raw\.(?:event|call|file_customer)|build\.\w+|registry\.agent|ops\.dirty_day|privacy\.tombstone)\b"
)
FUNCTION = re.compile(
    r"\bcreate\s+(?:or\s+replace\s+)?function\s+(?P<name>[\w.]+)\s*\((?P<parameters>[^)]*)\)(?P<body>.*?)"
    r"(?=\bcreate\s+(?:or\s+replace\s+)?(?:function|view|trigger)\b|\Z)",
    re.DOTALL | re.IGNORECASE,
)

FOLDERS = (("models", ".sql"), ("macros", ".sql"), ("scripts/callmart", ".sql"), ("scripts/callmart", ".py"))
COMMENT = re.compile(r"--[^\n]*|{#.*?#}", re.DOTALL)
LAST_FROZEN = 26  # a migration never changes; those after this one are looked at


def mistakes(sql: str) -> Iterator[Mistake]:
    """What is to be written otherwise in some SQL without comments."""
    for pattern, remedy in WRITTEN_ELSEWISE.items():
        for found in re.finditer(pattern, sql, re.IGNORECASE):
            yield found.start(), remedy
    for function in FUNCTION.finditer(sql):
        is_plain = "plpgsql" not in function["body"]
        if is_plain and function["parameters"].strip() and re.search(LARGE, function["body"]):
            remedy = "a function in SQL with parameters can't read what is on several machines; write it in PL/pgSQL"
            yield function.start(), f"{function['name']}: {remedy}"


def check() -> Iterator[str]:
    """A sentence per mistake in the project's SQL, by file and line."""
    for folder, ending in FOLDERS:
        for file in sorted((PROJECT / folder).rglob(f"*{ending}")):
            if (number := re.match(r"(\d{4})_", file.name)) and int(number[1]) <= LAST_FROZEN:
                continue
            text = file.read_text("utf-8")
            for line, written in [(1, text)] if ending == ".sql" else _texts(ast.parse(text)):
                sql = COMMENT.sub(lambda found: "\n" * found[0].count("\n"), written)
                for place, remedy in mistakes(sql):
                    yield f"{declared.in_project(file)} line {line + sql.count(chr(10), 0, place)}: {remedy}"


def _texts(program: ast.AST) -> Iterator[tuple[int, str]]:
    """The texts in a program, each with its first line. What is filled in is left out."""
    parts = {
        id(part) for node in ast.walk(program) if isinstance(node, ast.JoinedStr) for part in node.values
    }
    for node in ast.walk(program):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.lineno, node.value
        elif isinstance(node, ast.JoinedStr):
            words = (part.value if isinstance(part, ast.Constant) else "{}" for part in node.values)
            yield node.lineno, "".join(map(str, words))


if __name__ == "__main__":
    sys.exit("\n".join(check()) or 0)
