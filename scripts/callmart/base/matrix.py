"""Reads the role matrix, access.yml: what each duty may do, the groups of marts, and which contract opens which."""

import re
from collections.abc import Iterable
from functools import cache
from typing import Annotated, Literal, get_args

from pydantic import Field, model_validator

from callmart.base import declared
from callmart.base.declared import Name, Texts
from callmart.base.nearest import instead
from callmart.base.pointing import NOBODY, Whom
from callmart.base.settings import PROJECT
from callmart.base.strict import Listed, Strict, twice

FILE = PROJECT / "access.yml"

GroupName = Annotated[str, Field(pattern="^[a-z]+$", max_length=20)]
USAGE = "usage"  # the group of the statistics over all customers, which no customer reads
PUBLISHER = "publisher"  # a duty
APPROVES = "privacy.approve"  # the function by which a request's plan is approved
# Where what lands is put.
DOORWAY = ("raw.incoming", "raw.incoming_reject", "raw.incoming_agent", "raw.incoming_marked")
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


class Group(Strict):
    """A group of marts, which a contract opens as a whole. `root` is the mart to which the others of its data source
    relate: fields keep the names of its columns, so it never changes. `filtered` is the dimension by which people
    filter its reports.
    """

    title: Texts
    root: Name
    filtered: Name


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
    groups: Listed[GroupName] = ()
    becomes: Literal["customers"] | None = None
    password: Literal["file", "typed"] = "file"
    limits: Limits = Limits()


class Matrix(Strict):
    """The contents of access.yml."""

    owner: Owner
    duties: dict[Annotated[str, Field(pattern=f"^{_NAME}$", max_length=20)], Duty]
    groups: dict[GroupName, Group]
    customer: dict[Option, Listed[GroupName]]
    ordered: dict[Order, Listed[GroupName]]
    limits: Limits

    @model_validator(mode="after")
    def _protections_stand(self) -> "Matrix":
        for name, duty in self.duties.items():
            if duty.becomes and name != PUBLISHER:
                raise ValueError(
                    f"{name} would read every customer's rows; only {PUBLISHER} becomes customers"
                )
            if APPROVES in duty.execute and duty.password == "file":
                raise ValueError(
                    f"whoever has the password file of {name} could approve alone; write `password: typed`"
                )
            if others := [relation for relation in duty.insert if relation not in DOORWAY]:
                raise ValueError(
                    f"{name} would write {others[0]}, past the functions that look at what comes; it may insert into "
                    f"{', '.join(DOORWAY[:-1])} and {DOORWAY[-1]} only"
                )
            if re.fullmatch("customer_[0-9]+|(reads|shows)_.*|owner", name):
                raise ValueError(
                    f"{name} would be the login of a customer or a group, or the owner's; give the duty another name"
                )
        return self

    @model_validator(mode="after")
    def _groups_are_known(self) -> "Matrix":
        opened = {group for groups in (*self.customer.values(), *self.ordered.values()) for group in groups}
        for titles in zip(*((group.title.nl, group.title.en) for group in self.groups.values()), strict=True):
            if title := twice(titles):
                raise ValueError(
                    f"two groups have the title {title}, the name of their data sources; rename one"
                )
        if USAGE in self.groups:
            raise ValueError(f"{USAGE} is the statistics over all customers; give the group another name")
        if unknown := sorted(opened - self.groups.keys()):
            raise ValueError(
                f"a contract opens {unknown[0]}, which is no group; {instead(unknown[0], self.groups)}"
            )
        if unopened := sorted(self.groups.keys() - opened):
            raise ValueError(f"no contract opens the group {unopened[0]}; add it to customer or to ordered")
        read = {group for duty in self.duties.values() for group in duty.groups}
        if unknown := sorted(read - {*self.groups, USAGE}):
            raise ValueError(
                f"a duty reads {unknown[0]}, which is no group; {instead(unknown[0], [*self.groups, USAGE])}"
            )
        return self

    def is_ordered(self, group: str) -> bool:
        """Whether a contract opens the group only if the registry orders it, too."""
        return any(group in groups for groups in self.ordered.values())

    def is_detailed(self, group: str) -> bool:
        """Whether only a detailed contract opens the group."""
        return group in self.customer["detailed"] and group not in self.customer["standard"]

    def persons(self, group: str) -> tuple[Whom, ...]:
        """The persons that a mart of the group may show: what only a detailed contract opens is about agents and
        callers, what is ordered is about callers, and what every contract opens is about nobody.
        """
        if self.is_detailed(group) and not self.is_ordered(group):
            return ("agent", "caller", *NOBODY)
        is_of_all = group in self.customer["standard"]
        return ("caller", *NOBODY) if self.is_ordered(group) and not is_of_all else NOBODY

    def limits_of(self, duty: str | None) -> Limits:
        """The limits of a duty's login, or for None those of customers' logins."""
        own = self.duties[duty].limits if duty else Limits()
        return self.limits.model_copy(update=own.model_dump(exclude_none=True))

    def opened(self, option: Option, orders: Iterable[Order]) -> tuple[str, ...]:
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
