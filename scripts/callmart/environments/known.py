"""Which environments there are, what each holds and how it is reached.

An environment is a database on the same server, <database>_try_<name>, and a folder of the home. It says itself what it
holds, in the comment of its database, so no book can be wrong about it: not after a restore, and not after a crash.
"""

import re
from collections.abc import Iterable
from datetime import date
from pathlib import Path
from typing import Literal

import psycopg
from psycopg.conninfo import make_conninfo
from pydantic import SecretStr, ValidationError

from callmart.base.counting import several
from callmart.base.errors import UserError
from callmart.base.settings import Privacy, Settings
from callmart.base.strict import Strict
from callmart.database import server

FOLDER = "environments"  # in the home
NAME = "[a-z][a-z0-9_]*"


class Environment(Strict):
    """What an environment says of itself. It is `copying` until it has all rows, `building` until its marts are open,
    then `ready`. One that a kill left before it said anything has no customers, and ended long ago.
    """

    name: str
    state: Literal["copying", "building", "ready"] = "copying"
    customers: tuple[int, ...] = ()
    first_day: date = date.min
    last_day: date = date.min
    ends_on: date = date.min  # the first day on which it is to be gone
    standing: int = 0  # the last build that was open in what stands when the rows were copied
    held_back: int = 0  # days that its checks hold back

    @property
    def days(self) -> int:
        """How many days were asked for."""
        return (self.last_day - self.first_day).days + 1

    def __str__(self) -> str:
        if not self.customers:
            return f"{self.name}: nothing yet, the next run drops it"
        held_back = f", {several(self.held_back, 'day')} held back by the checks" if self.held_back else ""
        return (
            f"{self.name}: customer {', '.join(map(str, self.customers))}, {self.first_day} to {self.last_day}, "
            f"{self.state}{held_back}, until {self.ends_on}"
        )


def database_of(connection: psycopg.Connection, name: str) -> str:
    """The name of an environment's database. Raises UserError if no database can be called so."""
    beginning = _beginning(connection)
    longest = server.LONGEST_DATABASE_NAME - len(beginning)
    if len(name) > longest or not re.fullmatch(NAME, name):
        raise UserError(
            f"{name} can't be the name of an environment: begin it with a lower-case letter, and use at most {longest} "
            "lower-case letters, digits and _, such as pr_812"
        )
    return f"{beginning}{name}"


def all_of(connection: psycopg.Connection) -> list[Environment]:
    """The environments of this database, by name."""
    beginning = _beginning(connection)
    rows = connection.execute(
        "select datname, shobj_description(oid, 'pg_database'), datallowconn from pg_database"
        " where starts_with(datname, %s) and pg_get_userbyid(datdba) = current_user order by datname",
        [beginning],
    ).fetchall()
    return [
        found
        for database, said, is_open in rows
        if (found := _read(database.removeprefix(beginning), said, is_open)) is not None
    ]


def half_removed(settings: Settings, environments: Iterable[Environment]) -> list[Environment]:
    """What is left of environments whose removal broke off: their folders, which go last, without a database. These
    hold passwords and a copy of the ledger, and roles can be left, too.
    """
    there = {one.name for one in environments}
    return [
        Environment(name=place.name)
        for place in sorted(settings.home.glob(f"{FOLDER}/*/"))
        if re.fullmatch(NAME, place.name) and place.name not in there
    ]


def find(connection: psycopg.Connection, name: str) -> Environment:
    """An environment by its name. Raises UserError if there is none."""
    for environment in all_of(connection):
        if environment.name == name:
            return environment
    raise absent(name)


def absent(name: str) -> UserError:
    """The mistake of naming an environment that is not there."""
    return UserError(f"there is no environment {name}: `callmart status` lists those that there are")


def folder(settings: Settings, name: str) -> Path:
    """What callmart writes for an environment: passwords, dbt's files and pages of checks."""
    return settings.home / FOLDER / name


def settings_of(connection: psycopg.Connection, settings: Settings, name: str) -> Settings:
    """The settings under which an environment is a callmart of its own. No customer has a login there, so nobody could
    shut anybody out. Its ledger has no second copy: nothing is erased there.
    """
    dsn = make_conninfo(server.uri(settings), dbname=database_of(connection, name))
    return settings.model_copy(
        update={
            "home": folder(settings, name),
            "dsn": SecretStr(dsn),
            "accept_shutting_out": True,
            "privacy": Privacy(),
        }
    )


def _beginning(connection: psycopg.Connection) -> str:
    return f"{connection.info.dbname}_try_"


def _read(name: str, said: str | None, is_open: bool) -> Environment | None:
    """What a database says of itself; None if it is no environment."""
    if said is None:
        return None if is_open else Environment(name=name)
    try:
        return Environment.model_validate_json(said)
    except ValidationError:
        return None
