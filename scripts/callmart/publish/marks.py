"""Marks: by what callmart finds again what it put on Tableau, and tells it from another installation's.

| | where the mark stands |
| --- | --- |
| project | its description |
| data source, workbook | its description and its tag, which also says what was published |
| group | its name |

Tableau keeps all three when content is published again. Only administrators can change them: nobody else may write in
a project of ours. A mark without an installation is of the time when there was one installation on a site.
"""

import re
from typing import Any, NamedTuple

from callmart.publish.installation import ID

_DESCRIPTION = re.compile(rf"callmart (?:({ID}) )?customer ([1-9][0-9]*)")
_TAG = re.compile(rf"callmart-(?:({ID})-)?(.+)")
_CUSTOMER_GROUP = re.compile(rf"callmart-(?:({ID})-)?customer-([1-9][0-9]*)")
_USERS_GROUP = re.compile(rf"callmart-(?:({ID})-)?users")


class Mark(NamedTuple):
    """Whose something is; the installation is None where it was put there before installations were told apart."""

    installation: str | None
    customer_id: int


class Tag(NamedTuple):
    """The hash of what was published, and by which installation."""

    installation: str | None
    content_hash: str

    def __str__(self) -> str:
        return f"callmart-{_infix(self.installation)}{self.content_hash}"


def description(mark: Mark) -> str:
    """The description of what bears a mark."""
    return f"callmart {mark.installation} customer {mark.customer_id}"


def described(item: Any) -> Mark | None:
    """The mark in the description of a project or of content."""
    return _mark(_DESCRIPTION.fullmatch(item.description or ""))


def tags(item: Any) -> list[Tag]:
    """The tags of content that are callmart's."""
    return [Tag(found[1], found[2]) for tag in item.tags if (found := _TAG.fullmatch(tag))]


def customer_group(mark: Mark) -> str:
    """The name of a customer's group."""
    return f"callmart-{_infix(mark.installation)}customer-{mark.customer_id}"


def grouped(name: str) -> Mark | None:
    """The mark in the name of a customer's group."""
    return _mark(_CUSTOMER_GROUP.fullmatch(name))


def users_group(installation: str | None) -> str:
    """The name of the group of those whom an installation put on the site."""
    return f"callmart-{_infix(installation)}users"


def is_users_group(name: str) -> bool:
    """Whether a group is of those whom an installation put on the site."""
    return _USERS_GROUP.fullmatch(name) is not None


def bears(item: Any, mark: Mark) -> bool:
    """Whether content has the mark, in its description or its tag, and no other installation's."""
    said, tagged = described(item), {tag.installation for tag in tags(item)}
    others = (tagged | {said.installation if said else None}) - {mark.installation, None}
    return (said == mark or mark.installation in tagged) and not others


def _mark(found: re.Match[str] | None) -> Mark | None:
    return Mark(found[1], int(found[2])) if found else None


def _infix(installation: str | None) -> str:
    return f"{installation}-" if installation else ""
