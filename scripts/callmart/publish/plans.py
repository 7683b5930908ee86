"""The steps to what Tableau should have, per customer and for the whole site."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

import tableauserverclient as TSC

from callmart.base.counting import several
from callmart.publish.actual import Content, Foreign, Group, User
from callmart.publish.desired import DataSource, Mail, Workbook

# Without nested projects: otherwise the customers' projects would have its permissions and none of their own.
TOP_LOCK = TSC.ProjectItem.ContentPermissions.LockedToProjectWithoutNested
LOCK = TSC.ProjectItem.ContentPermissions.LockedToProject
ROLE = "Viewer"  # the smallest role with which a user can see content

Action = Literal["add", "change", "remove", "adopt"]
Kind = Literal[
    "group",
    "user",
    "member",
    "project",
    "permissions",
    "data source",
    "workbook",
    "schedule",
    "subscription",
    "warning",
    "site",
]
_SIGNS: Mapping[Action, str] = {"add": "+", "change": "~", "remove": "-", "adopt": "* adopt"}


@dataclass(frozen=True)
class Step:
    """One change. `luid` and `tags` are those of the existing item, `content` is the new content."""

    customer_id: int | None
    action: Action
    kind: Kind
    name: str
    luid: str | None = None
    tags: frozenset[str] = frozenset()
    content: DataSource | Workbook | Mail | None = None

    @property
    def shown(self) -> str:
        """The name for logs and plans. An address is shortened, so that it doesn't identify the person."""
        if self.kind not in ("user", "member", "subscription"):
            return self.name
        return shortened(self.name)

    def __str__(self) -> str:
        rows = self.content.rows if isinstance(self.content, DataSource) else None
        return f"{_SIGNS[self.action]} {self.kind} '{self.shown}'" + (f" ({rows:,} rows)" if rows else "")


class Belongings(NamedTuple):
    """What a user has of ours, by LUID: the customers' groups, and subscriptions to their workbooks."""

    groups: tuple[str, ...]
    subscriptions: tuple[str, ...]


@dataclass(frozen=True)
class CustomerPlan:
    """The changes for one customer, in a safe order. With a `problem`, the only steps are those that stop its mail.

    A customer that doesn't stay loses everything on the site. One that moves to another site waits for that: it is
    cleared from this one when it is there, and until then only its mail stops here.
    """

    customer_id: int
    project: str
    steps: tuple[Step, ...]
    stays: bool = True
    waits: bool = False
    project_id: str = ""  # empty if it doesn't exist yet; the same for the group
    group_id: str = ""
    unchanged: tuple[Content, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    members: frozenset[str] = frozenset()  # LUIDs of the users now in its group
    mailing: tuple[str, ...] = ()  # LUIDs of the subscriptions that mail at present
    mail_stopped_because: str | None = None
    unmailed: int = 0  # mails whose hour has come since the last publication, and that were not active then
    mails_seen: datetime | None = None  # when it was seen which mails had gone out
    problem: str | None = None
    exports: bool = False
    warnings: Mapping[str, str] = field(default_factory=dict)  # of data sources
    is_severe: bool = False  # they are of days that are held back
    has_warnings: bool = True  # whether it is known which warnings there are
    # How often people have opened each report, if that was read; None for one of which Tableau doesn't tell it.
    opened: Mapping[str, int | None] | None = None

    @property
    def mail_alert(self) -> str | None:
        """What a person should know of the mail."""
        if self.unmailed:
            return (
                f"{self.unmailed} of last week's mails were not sent, because they were suspended or not there yet at "
                "their hour: mail the pages of `callmart report` to their recipients"
            )
        return mail_alert(self.mail_stopped_because)

    @property
    def alerts(self) -> tuple[str, ...]:
        """What needs a person."""
        return tuple(alert for alert in (self.problem, self.mail_alert) if alert)


@dataclass(frozen=True)
class Plan:
    """All changes on the site: the steps above the customers, and those per customer."""

    installation: str
    top: tuple[Step, ...]
    top_id: str | None
    foreign: tuple[Foreign, ...]
    customers: tuple[CustomerPlan, ...]
    users: Mapping[str, User]  # by identity
    users_group: str | None
    users_before: Group | None
    schedules: Mapping[str, str] | None  # LUIDs by name; None on Tableau Cloud
    others: Mapping[str, int]  # number of projects by other installation
    # Of users who are removed from the site, by LUID: what they would keep if that can't be done.
    belongings: Mapping[str, Belongings] = field(default_factory=dict)

    @property
    def steps(self) -> tuple[Step, ...]:
        """All changes."""
        return self.top + tuple(step for customer in self.customers for step in customer.steps)

    @property
    def leaving(self) -> tuple[int, ...]:
        """The customers from whom everything is removed."""
        return tuple(
            plan.customer_id for plan in self.customers if plan.steps and not (plan.stays or plan.waits)
        )

    @property
    def adopting(self) -> tuple[int, ...]:
        """The customers with something that has no mark yet and is marked as ours."""
        found = {step.customer_id for step in self.steps if step.action == "adopt"} - {None}
        return tuple(plan.customer_id for plan in self.customers if plan.customer_id in found)

    @property
    def unchanged(self) -> int:
        """The number of data sources and workbooks that stay unchanged."""
        return sum(len(customer.unchanged) for customer in self.customers)

    def lines(self, *, troubles: bool = True) -> Iterator[str]:
        """Yield the plan as text for a person. Signs: + added, ~ changed, - removed, * adopted (marked as ours),
        ? not ours, ! a problem, = unchanged.
        """
        yield from (str(step) for step in self.top)
        yield from (str(each) for each in self.foreign)
        for customer in self.customers:
            alerts = [f"! {alert}" for alert in customer.alerts] if troubles else []
            if lines := (*customer.steps, *customer.foreign, *alerts):
                yield f"customer {customer.customer_id}"
                yield from (f"  {line}" for line in lines)
        for installation, projects in sorted(self.others.items()):
            yield f"? {several(projects, 'project')} of installation {installation}"
        yield f"= {self.unchanged} data sources and workbooks unchanged"

    def as_json(self) -> dict[str, Any]:
        """Return the plan for a program."""
        return {
            "steps": [
                {
                    "customer_id": step.customer_id,
                    "action": step.action,
                    "kind": step.kind,
                    "name": step.shown,
                }
                for step in self.steps
            ],
            "foreign": [
                {"customer_id": customer_id, "kind": each.kind, "name": each.name}
                for customer_id, found in (
                    (None, self.foreign),
                    *((customer.customer_id, customer.foreign) for customer in self.customers),
                )
                for each in found
            ],
            "problems": {
                customer.customer_id: customer.problem for customer in self.customers if customer.problem
            },
            "held": {
                customer.customer_id: customer.mail_stopped_because
                for customer in self.customers
                if customer.mail_stopped_because
            },
            "unmailed": {
                customer.customer_id: customer.unmailed for customer in self.customers if customer.unmailed
            },
            "leaving": list(self.leaving),
            "adopting": list(self.adopting),
            "other_installations": dict(self.others),
            "unchanged": self.unchanged,
        }


def shortened(text: str) -> str:
    """Return the text with the local part of each mail address cut to its first letter."""
    return re.sub(r"([^\s@])[^\s@]*@", r"\1…@", text)


def mail_alert(reason: str | None) -> str | None:
    """Return a sentence for a person if there is a reason why a customer's mail is stopped."""
    return f"the weekly mail is suspended: {reason}" if reason else None
