"""Finds drift around callmart's schemas: what its roles have elsewhere, and what of others reaches in."""

from collections.abc import Iterator

import psycopg

from callmart.access import rights, roles
from callmart.access.difference import Drift
from callmart.base import sql_file

SQL = sql_file.statements(__file__)


def run(connection: psycopg.Connection) -> Iterator[Drift]:
    """What somebody else made runs in the sessions of the owner, who may do everything."""
    found = connection.execute(SQL["run"], {"schemas": list(rights.SCHEMAS)}).fetchall()
    for function, why in found:
        yield Drift(
            f"sessions of callmart's owner run {function}, because of {why}: have a superuser take that away"
        )


def held(connection: psycopg.Connection) -> Iterator[Drift]:
    """What our roles own, or may use, beside what they should, and everybody of PostgreSQL itself."""
    found = connection.execute(SQL["held"], {"schemas": list(rights.SCHEMAS)}).fetchall()
    for role, owned, thing in found:
        if roles.belongs(role, connection.info.dbname):
            yield Drift(f"{role} {'owns' if owned else 'may use'} {thing}")
    for (thing,) in connection.execute(SQL["everybodys"]):
        yield Drift(f"everybody may use {thing}")


def reaching(connection: psycopg.Connection) -> Iterator[Drift]:
    """Who reaches around all rights."""
    for member, role in connection.execute(SQL["reaching"]):
        if not roles.belongs(member, connection.info.dbname):
            yield Drift(f"{member} is a member of {role}, which reaches around all rights")


def beside(connection: psycopg.Connection, *, is_own: bool) -> list[str]:
    """What a superuser put beside callmart, and what takes it away. `is_own` says that the server is callmart's."""
    parameters = {"schemas": list(rights.SCHEMAS), "is_own": is_own}
    return sorted(text for (text,) in connection.execute(SQL["beside"], parameters))
