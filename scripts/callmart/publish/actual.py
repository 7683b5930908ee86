"""What callmart has on Tableau, and what its books say of that."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, NamedTuple

from callmart.publish.grants import Access
from callmart.publish.marks import Mark
from callmart.publish.quality_warning import QualityWarning
from callmart.publish.subscriptions import Subscription

TOP_PROJECT = "callmart"
HIDDEN = "LIMITED"  # the site's userVisibilityMode
ContentKind = Literal["data source", "workbook"]


@dataclass(frozen=True)
class Books:
    """What the database knows about a site on Tableau: this installation's id, and the project's LUID per customer.

    The LUID is None if the project was published before installations had marks. A home that was restored may take over
    from the installation that its backup is of: `former`, which is found by the marks of these projects.
    """

    installation: str
    projects: Mapping[int, str | None] = field(default_factory=dict)
    takes_over: bool = False
    former: str | None = None
    warned: frozenset[int] = frozenset()  # the customers whose data sources have, or need, a warning
    known: frozenset[int] = frozenset()  # the customers of whom something is there, or may be
    due: frozenset[int] | None = None  # the only customers to plan for; None: all
    # The LUIDs of the accounts that were ours after the last publication, each with that of the group it was in.
    accounts: Mapping[str, str] = field(default_factory=dict)

    @property
    def published(self) -> dict[str, int]:
        """The customer of each project whose LUID is known."""
        return {luid: customer for customer, luid in self.projects.items() if luid is not None}

    def is_due(self, customer_id: int) -> bool:
        """Whether a customer is planned for. Of the others, only the group and the project are read."""
        return self.due is None or customer_id in self.due


class Foreign(NamedTuple):
    """Something in a project of ours that is not ours. It is reported, never changed."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"? {self.kind} '{self.name}' is not ours"


@dataclass(frozen=True)
class Content:
    """A data source or workbook of ours on Tableau, with the tags that have its hash.

    If it has no mark yet, it is adopted before anything else is done with it.
    """

    kind: ContentKind
    luid: str
    name: str
    content_url: str
    tags: frozenset[str]
    project_id: str  # as Tableau said when it was read or published
    is_marked: bool = True
    opened: int | None = None  # how often people have opened it, if Tableau says so
    warning: QualityWarning | None = None  # read for customers in our books only


@dataclass(frozen=True)
class Project:
    """A project of ours on Tableau, with its contents. `is_marked` is False if only our books say that it is ours."""

    luid: str
    name: str
    lock: str
    access: Access
    content: tuple[Content, ...] = ()
    foreign: tuple[Foreign, ...] = ()
    subscriptions: tuple[Subscription, ...] = ()
    is_marked: bool = True

    def of_kind(self, kind: ContentKind) -> dict[str, Content]:
        """Return our content of this kind, by name."""
        return {each.name: each for each in self.content if each.kind == kind}


@dataclass(frozen=True)
class User:
    """A user of the site. Ours are those in our group, and if that was removed those in our books. An account that was
    never used may be anybody's.

    Another installation may have added the same person. The last installation that needs an account removes it.
    """

    luid: str
    name: str
    role: str
    is_ours: bool
    is_unused: bool
    is_others: bool = False
    is_grouped: bool = True  # it is in our group; False if only our books say that it is ours
    has_address: bool = True  # a mail address, without which Tableau Server mails nothing to it


@dataclass(frozen=True)
class Group:
    """A group of ours, with the LUIDs of its members."""

    luid: str
    members: frozenset[str]
    is_marked: bool = True


@dataclass(frozen=True)
class Actual:
    """What Tableau has of ours. If a customer has several projects, a person must remove all but one."""

    installation: str
    top: Project | None
    projects: Mapping[int, tuple[Project, ...]]
    groups: Mapping[int, Group]
    users: Mapping[str, User]  # by `identity` of their names
    users_group: str | None  # LUID
    schedules: Mapping[str, str] | None  # LUIDs by name; None on Tableau Cloud, which has none
    hides_users: bool  # whether the site's users can't see each other
    # By customer: why something of it couldn't be read. Nothing of such a customer changes, unless it leaves.
    unread: Mapping[int, str] = field(default_factory=dict)
    # The same of those whose project was moved. It can be read, where it is now.
    moved: Mapping[int, str] = field(default_factory=dict)
    has_warnings: bool = True  # whether the site has data quality warnings
    # Our group of users from before marks, or that of the former installation: its members are ours.
    users_before: Group | None = None
    former: str | None = None  # the installation that this one takes over from
    others: Mapping[str, int] = field(default_factory=dict)  # number of projects by other installation
    # The names (by `identity`) of projects that aren't ours, with their installation; None: no installation's.
    taken: Mapping[str, str | None] = field(default_factory=dict)
    # By customer: the other installation whose mark its project has now.
    lost: Mapping[int, str] = field(default_factory=dict)
    known: frozenset[int] = frozenset()  # the customers in our books
    server: str = ""  # its URL
    site: str = ""  # its content URL

    @property
    def customers(self) -> set[int]:
        """All customers that have a project or a group on Tableau."""
        return {*self.projects, *self.groups}

    @cached_property
    def users_by_luid(self) -> Mapping[str, User]:
        """The users of the site by LUID."""
        return {user.luid: user for user in self.users.values()}

    def mark(self, customer_id: int) -> Mark:
        """Return the mark of a customer's items."""
        return Mark(self.installation, customer_id)


def identity(name: str) -> str:
    """Return a name for comparing: names that differ only in case are the same to Tableau."""
    return name.casefold()
