"""Reads the role matrix, access.yml: what each duty may do."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Literal, get_args

from pydantic import Field

from callmart.base import declared
from callmart.base.settings import PROJECT
from callmart.base.strict import Listed, Strict

FILE = PROJECT / "access.yml"

Group = Literal["queue", "line", "agent", "contact", "usage"]
Option = Literal["standard", "detailed"]
Order = Literal["contact_list"]  # what the registry can order besides an option
OPTIONS: tuple[Option, ...] = get_args(Option)  # each includes those before it

_NAME = "[a-z_][a-z_0-9]*"
Relation = Annotated[str, Field(pattern=rf"^{_NAME}\.(\*|{_NAME}(\({_NAME}(, {_NAME})*\))?)$")]
Function = Annotated[str, Field(pattern=rf"^{_NAME}\.{_NAME}$")]
Duration = Annotated[str, Field(pattern=r"^[0-9]+(ms|s|min|h)$")]


class Owner(Strict):
    """The login that owns everything. It needs no grants."""

    does: str


class Limits(Strict):
    """The limits of a login. None means the matrix's limit for all logins."""

    connections: Annotated[int, Field(gt=0)] | None = None
    read_only: bool | None = None
    statement_timeout: Duration | None = None
    idle_in_transaction_session_timeout: Duration | None = None
    idle_session_timeout: Duration | None = None

    def settings(self) -> dict[str, str]:
        """The limits as PostgreSQL settings of a role."""
        values = self.model_dump(exclude={"connections", "read_only"}, exclude_none=True)
        return {"default_transaction_read_only": "on" if self.read_only else "off", **values}


class Duty(Strict):
    """What one login may do."""

    does: str
    select: Listed[Relation] = ()
    insert: Listed[Relation] = ()
    execute: Listed[Function] = ()
    groups: Listed[Group] = ()
    becomes: Literal["customers"] | None = None
    password: Literal["file", "typed"] = "file"
    limits: Limits = Limits()


class Matrix(Strict):
    """The contents of access.yml."""

    owner: Owner
    duties: dict[Annotated[str, Field(pattern=f"^{_NAME}$", max_length=20)], Duty]
    customer: dict[Option, Listed[Group]]
    ordered: dict[Order, Listed[Group]]
    limits: Limits

    def limits_of(self, duty: str | None) -> Limits:
        """The limits of a duty's login, or for None those of customers' logins."""
        own = self.duties[duty].limits if duty else Limits()
        return self.limits.model_copy(update=own.model_dump(exclude_none=True))

    def opened(self, option: Option, orders: Iterable[Order]) -> tuple[Group, ...]:
        """The groups that a contract with this option and these orders opens."""
        return (*self.customer[option], *(group for order in orders for group in self.ordered[order]))


@cache
def matrix() -> Matrix:
    """The matrix of this installation. Raises UserError if access.yml is wrong."""
    return declared.read(FILE, Matrix)


def split(relation: str) -> tuple[str, str, tuple[str, ...]]:
    """Split a relation of the matrix into schema, name (or `*`) and columns."""
    found = re.fullmatch(r"(\w+)\.(\*|\w+)(?:\((.*)\))?", relation)
    assert found is not None
    columns = found[3].split(", ") if found[3] else []
    return found[1], found[2], tuple(columns)
