"""SQL that Citus refuses is found, wherever it is, with file, line and what to write instead."""

from pathlib import Path

import pytest

from callmart.declarations import portable

PLANTED = {
    "no column": ("x.sql", "select 1\nwhere exists (\n    select\n    from raw.event\n)", 3, "write `select 1 from`"),
    "a sequence": (
        "x.sql",
        "insert into t values (1)\non conflict (mark)\ndo update set cause = 'x', mark = nextval('ops.mark')",
        3,
        "write `= excluded.` and the column",
    ),
    "a table's number": (
        "x.sql",
        "delete from raw.event as e\nreturning\n    e.customer_id, e.tableoid::regclass",
        2,
        "return its name (access.partition_of)",
    ),
    "statistics again and again": (
        "x.sql",
        "alter table registry.agent\nalter name set statistics 100,\nalter email set statistics 0",
        1,
        "do it only where it is not yet so (access.unsample)",
    ),
    "a function in SQL": (
        "x.sql",
        "create or replace function raw.f(customer integer) returns bigint\nstable\n"
        "return (select count(*) from raw.event where customer_id = customer);",
        1,
        "raw.f: a function in SQL with parameters can't read what is on several machines; write it in PL/pgSQL",
    ),
    "another function in SQL": (
        "x.sql",
        "create function ops.g() returns bigint return (select 1);\n\n"
        "create function ops.f(customer integer) returns void\nlanguage sql\nas $$ delete from ops.dirty_day $$;",
        3,
        "ops.f: a function in SQL",
    ),
    "in Python": ("x.py", '"""Reads."""\n\nQUERY = """\nselect 2\nwhere exists (select from x)"""', 5, "select 1 from"),
    "in Python, filled in": ("x.py", 'table = "t"\nquery = f"select from {table}"\n', 2, "write `select 1 from`"),
}  # fmt: skip

RIGHT = {
    "a comment": ("x.sql", "-- never select from (no columns)\nselect 1 from raw.event"),
    "an update": ("x.sql", "insert into t values (1) on conflict (a) do update set mark = excluded.mark"),
    "a function without parameters": ("x.sql", "create function f() returns int return (select 1 from raw.event)"),
    "a function in PL/pgSQL": (
        "x.sql",
        "create function f(a int) returns int language plpgsql as $$ begin return (select 1 from raw.event); end $$",
    ),
    "a function over what is small": (
        "x.sql",
        "create function f(a int) returns bigint return (select count(*) from registry.customer);\n"
        "create function g() returns bigint return (select count(*) from raw.event)",
    ),
    "a migration that never changes": ("0001_tables.sql", "select from raw.event"),
    "a column of this name": ("x.py", 'ATTACK = "select tableoid from mart.queue_interval"'),
}  # fmt: skip


def check(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str) -> list[str]:
    file = folder / "scripts" / "callmart" / "land" / name
    file.parent.mkdir(parents=True)
    file.write_text(text)
    monkeypatch.setattr(portable, "PROJECT", folder)
    return list(portable.check())


@pytest.mark.parametrize("what", PLANTED)
def test_what_citus_refuses_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    name, text, line, remedy = PLANTED[what]
    (said,) = check(tmp_path, monkeypatch, name, text)
    assert f"/scripts/callmart/land/{name} line {line}: " in said
    assert remedy in said


@pytest.mark.parametrize("what", RIGHT)
def test_what_is_right_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    assert check(tmp_path, monkeypatch, *RIGHT[what]) == []


def test_our_own_sql_is_portable() -> None:
    assert list(portable.check()) == []
