"""Finds drift around callmart's schemas: what its roles have elsewhere, and what of others reaches in."""

from collections.abc import Iterator

import psycopg

from callmart.access import rights, roles
from callmart.access.difference import Drift
from callmart.base import sql_file
from callmart.base.errors import UserError

SQL = sql_file.statements(__file__)


def run(connection: psycopg.Connection) -> Iterator[Drift]:
    """What somebody else made runs in the sessions of the owner, who may do everything."""
    found = connection.execute(SQL["run"], {"schemas": list(rights.SCHEMAS)}).fetchall()
    for what, why in found:
        yield Drift(f"sessions of callmart's owner {what}, because of {why}: have a superuser take that away")


def refuse_strangers(connection: psycopg.Connection) -> None:
    """Raise UserError if what somebody else made runs in this session. Whatever the owner writes could call it."""
    if found := next(run(connection), None):
        raise UserError(f"nothing was done: {found.text}")


def held(connection: psycopg.Connection) -> Iterator[Drift]:
    """What our roles own or may use beside what they should, and what is closed and everybody may use."""
    found = connection.execute(SQL["held"], {"schemas": list(rights.SCHEMAS)}).fetchall()
    for role, owned, thing in found:
        if roles.belongs(role, connection.info.dbname):
            yield Drift(f"{role} {'owns' if owned else 'may use'} {thing}")
    for role, is_owner, thing, is_for_files in connection.execute(SQL["closed"]):
        if role is None:
            yield Drift(
                f"everybody may use {thing}, which PostgreSQL or an extension keeps closed:"
                " have a superuser revoke that"
            )
        elif is_owner and is_for_files:
            yield Drift(
                f"{role} may use {thing}, which reaches around all rights: have a superuser revoke that"
            )
    for thing, remedy in connection.execute(SQL["showing"], {"schemas": list(rights.SCHEMAS)}):
        yield Drift(f"everybody reads what PostgreSQL keeps closed by {thing}: have a superuser run {remedy}")


def reaching(connection: psycopg.Connection) -> Iterator[Drift]:
    """Who reaches around all rights."""
    for member, role in connection.execute(SQL["reaching"]):
        if not roles.belongs(member, connection.info.dbname):
            yield Drift(f"{member} is a member of {role}, which reaches around all rights")


def beside(connection: psycopg.Connection, *, is_own: bool) -> list[str]:
    """What a superuser put beside callmart, and what takes it away. `is_own` says that the server is callmart's."""
    parameters = {"schemas": list(rights.SCHEMAS), "is_own": is_own}
    found = [text for (text,) in connection.execute(SQL["beside"], parameters)]
    found += _of_strangers(connection) if is_own else ()
    return sorted(found)


def _of_strangers(connection: psycopg.Connection) -> Iterator[str]:
    """What a role may use that is neither ours nor the owner: of those, drift tells."""
    for role, is_owner, thing, _ in connection.execute(SQL["closed"]):
        if role is not None and not is_owner and not roles.belongs(role, connection.info.dbname):
            yield (
                f"{role} may use {thing}, which PostgreSQL or an extension keeps closed:"
                " revoke that, or drop the role"
            )
