"""The environment that tests compare, and changes of it that are taken back."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

ENVIRONMENT = "pr_812"


@contextmanager
def changed(session: psycopg.Connection, *statements: str, undone: tuple[str, ...] = ()) -> Iterator[None]:
    """Statements that are kept until the end. Tables whose rows they change are put aside and back."""
    tables = {
        part.split()[0]
        for statement in statements
        for word in ("update ", "delete from ", "insert into ")
        if (part := statement.partition(word)[2])
    }
    for number, table in enumerate(sorted(tables)):
        session.execute(f"create temporary table kept_{number} as select * from {table}".encode())
    for statement in statements:
        assert session.execute(statement.encode()).rowcount, statement
    try:
        yield
    finally:
        for statement in undone:
            session.execute(statement.encode())
        for number, table in enumerate(sorted(tables)):
            session.execute(f"delete from {table}".encode())
            session.execute(f"insert into {table} select * from kept_{number}".encode())
            session.execute(f"drop table kept_{number}".encode())
