"""The names of callmart's roles, and who is a member of which.

There are four kinds of roles. One per mart group: its members read the group. One per customer, a member of exactly the
groups that its contract opens today. One per duty of access.yml. And one per mart group that owns the views of the
group, and has no members. All databases of a cluster share the roles, so their names begin with that of the database.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.base.matrix import USAGE, matrix

SQL = sql_file.statements(__file__)

Membership = tuple[str, str]  # role, member


def groups() -> list[str]:
    """The mart groups: those that customers read, and the statistics."""
    return [*matrix().groups, USAGE]


def group_role(database: str, group: str) -> str:
    """The role of a mart group. Its members read the group."""
    return f"{database}_reads_{group}"


def showing_role(database: str, group: str) -> str:
    """The role that owns a group's views. Only this role reads the group's tables."""
    return f"{database}_shows_{group}"


def showing_roles(database: str) -> list[str]:
    """The roles that own views, one per group."""
    return [showing_role(database, group) for group in matrix().groups]


def customer_role(database: str, customer_id: int) -> str:
    """The role and login of a customer. Policies read the number at the end of its name."""
    return f"{database}_customer_{customer_id}"


def duty_role(database: str, duty: str) -> str:
    """The login of a duty of access.yml."""
    return f"{database}_{duty}"


def opens(option: str, orders: Iterable[str] = ()) -> tuple[str, ...]:
    """The groups that a contract opens: those of its option, and those that are ordered besides."""
    return matrix().opened(option, orders)  # type: ignore[arg-type]


@cache
def belongs(role: str, database: str) -> bool:
    """Whether a role is one of this database, not of another database whose name begins with the same text."""
    return _own(database).fullmatch(role) is not None


@cache
def _own(database: str) -> re.Pattern[str]:
    of_groups = f"reads_({'|'.join(groups())})", f"shows_({'|'.join(matrix().groups)})"
    own = "|".join((*of_groups, "customer_[0-9]+", *matrix().duties))
    return re.compile(f"{re.escape(database)}_({own})")


@cache
def customer_of(database: str, role: str) -> int | None:
    """The number of the customer whose role this is; None if it is not a customer's role of this database."""
    prefix, _, number = role.rpartition("_")
    is_customers = prefix == f"{database}_customer" and re.fullmatch("[0-9]+", number)
    return int(number) if is_customers else None


def grant_options(database: str, role: str) -> str:
    """The options with which a role is granted. Members inherit a group's rights but can't set role to it. Members of a
    customer's role can set role to it but don't inherit its rights.
    """
    return "inherit false, set true" if customer_of(database, role) else "inherit true, set false"


@dataclass(frozen=True)
class Way:
    """The options of a membership."""

    inherits: bool
    becomes: bool
    administers: bool


def existing(connection: psycopg.Connection, database: str) -> set[str]:
    """The roles of this database that exist."""
    names = [name for (name,) in connection.execute("select rolname from pg_roles")]
    return {name for name in names if belongs(name, database)}


def memberships(connection: psycopg.Connection, database: str) -> dict[Membership, list[Way]]:
    """The memberships in which role or member is of this database, without those of the owner."""
    rows = connection.execute(SQL["memberships"]).fetchall()
    found: dict[Membership, list[Way]] = {}
    for role, member, *way in rows:
        if belongs(role, database) or belongs(member, database):
            found.setdefault((role, member), []).append(Way(*way))
    return found


def granted(connection: psycopg.Connection) -> set[Membership]:
    """The memberships that `memberships.sync` has granted."""
    return {(role, member) for role, member in connection.execute("select role, member from access.granted")}


def closing(connection: psycopg.Connection) -> set[str]:
    """The customers' roles that are still to be closed."""
    return {role for (role,) in connection.execute("select role from access.closing")}


def statement(text: str, *names: str) -> sql.Composed:
    """The SQL text with quoted names instead of its braces."""
    return sql.SQL(text).format(*map(sql.Identifier, names))
