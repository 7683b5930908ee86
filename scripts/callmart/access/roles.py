"""Roles: what they are called, which of them are this database's, and who is in which.

A mart group is a role; a customer is one, a member of what its contract opens today and of nothing else; a duty of
access.yml is one. A fourth kind owns the views that a group reads, and has no members. Roles are shared by all
databases of a cluster, so their names begin with the database's.
"""

import re
from dataclasses import dataclass

import psycopg
from psycopg import sql

from callmart.base import sql_file
from callmart.declarations.matrix import matrix

SQL = sql_file.statements(__file__)

GROUPS = ("queue", "line", "agent", "usage")
SHOWN = ("queue", "line", "agent")  # the groups of customers, who read views and no tables

Membership = tuple[str, str]  # role, member


def group_role(database: str, group: str) -> str:
    """The role that a mart group is."""
    return f"{database}_reads_{group}"


def showing_role(database: str, group: str) -> str:
    """The role that owns the views of a group and alone reads its tables."""
    return f"{database}_shows_{group}"


def showing_roles(database: str) -> list[str]:
    """The roles that own views, of all groups."""
    return [showing_role(database, group) for group in SHOWN]


def customer_role(database: str, customer_id: int) -> str:
    """The role and login that a customer is; the number at its end is what the policies read."""
    return f"{database}_customer_{customer_id}"


def duty_role(database: str, duty: str) -> str:
    """The login of a duty of access.yml."""
    return f"{database}_{duty}"


def opens(option: str) -> tuple[str, ...]:
    """The groups that an option opens."""
    return matrix().customer[option]  # type: ignore[index]


def belongs(role: str, database: str) -> bool:
    """Whether a role is of this database, and not of another whose name begins like it."""
    groups = f"reads_({'|'.join(GROUPS)})", f"shows_({'|'.join(SHOWN)})"
    own = "|".join((*groups, "customer_[0-9]+", *matrix().duties))
    return re.fullmatch(f"{re.escape(database)}_({own})", role) is not None


def customer_of(database: str, role: str) -> int | None:
    """Whose role it is; None where it is no customer's of this database."""
    found = re.fullmatch(f"{re.escape(database)}_customer_([0-9]+)", role)
    return int(found[1]) if found else None


def how(database: str, role: str) -> str:
    """A group is inherited and nobody becomes it; a customer is become and nobody inherits it."""
    return "inherit false, set true" if customer_of(database, role) else "inherit true, set false"


@dataclass(frozen=True)
class Way:
    """How a member is in a role."""

    inherits: bool
    becomes: bool
    administers: bool


def existing(connection: psycopg.Connection, database: str) -> set[str]:
    """The roles of this database that there are."""
    names = [name for (name,) in connection.execute("select rolname from pg_roles")]
    return {name for name in names if belongs(name, database)}


def memberships(connection: psycopg.Connection, database: str) -> dict[Membership, list[Way]]:
    """Of roles of this database, as role or as member; not the owner's own, which administers them."""
    rows = connection.execute(SQL["memberships"]).fetchall()
    found: dict[Membership, list[Way]] = {}
    for role, member, *way in rows:
        if belongs(role, database) or belongs(member, database):
            found.setdefault((role, member), []).append(Way(*way))
    return found


def granted(connection: psycopg.Connection) -> set[Membership]:
    """The memberships that `access.sync` has given."""
    return {(role, member) for role, member in connection.execute("select role, member from access.granted")}


def closing(connection: psycopg.Connection) -> set[str]:
    """The customers' roles that are still to be closed."""
    return {role for (role,) in connection.execute("select role from access.closing")}


def statement(text: str, *names: str) -> sql.Composed:
    """SQL with names in the places of its braces."""
    return sql.SQL(text).format(*map(sql.Identifier, names))
