"""Marks: callmart recognises by them what it has put on Tableau, and which installation did it.

| | where the mark is |
| --- | --- |
| project | in its description |
| data source, workbook | in its description, and in its tag, which also has the hash of its contents |
| group | in its name |

Tableau keeps all three when content is published again. Only administrators can change them, as nobody else may write
in a project of ours. A mark without an installation dates from when a site had only one installation.
"""

import re
from typing import Any, NamedTuple

from callmart.publish.installation import ID

_DESCRIPTION = re.compile(rf"callmart (?:({ID}) )?customer ([1-9][0-9]*)")
_TAG = re.compile(rf"callmart-(?:({ID})-)?(.+)")
_CUSTOMER_GROUP = re.compile(rf"callmart-(?:({ID})-)?customer-([1-9][0-9]*)")
_USERS_GROUP = re.compile(rf"callmart-(?:({ID})-)?users")


class Mark(NamedTuple):
    """The owner of an item. The installation is None if the mark dates from before marks named it."""

    installation: str | None
    customer_id: int


class Tag(NamedTuple):
    """The hash of published contents, and the installation that published them."""

    installation: str | None
    content_hash: str

    def __str__(self) -> str:
        return f"callmart-{_infix(self.installation)}{self.content_hash}"


def publishing(installation: str) -> str:
    """Return the tag of content that is being published: nobody knows its hash, and it is ours all the same."""
    return str(Tag(installation, "publishing"))


def description(mark: Mark) -> str:
    """Return the description that carries a mark."""
    return f"callmart {mark.installation} customer {mark.customer_id}"


def described(item: Any) -> Mark | None:
    """Return the mark in the description of a project or of content."""
    return _mark(_DESCRIPTION.fullmatch(item.description or ""))


def tags(item: Any) -> list[Tag]:
    """Return the tags of an item that are callmart's."""
    return [Tag(found[1], found[2]) for tag in item.tags if (found := _TAG.fullmatch(tag))]


def customer_group(mark: Mark) -> str:
    """Return the name of a customer's group."""
    return f"callmart-{_infix(mark.installation)}customer-{mark.customer_id}"


def grouped(name: str) -> Mark | None:
    """Return the mark in a group's name, if it is a customer's group."""
    return _mark(_CUSTOMER_GROUP.fullmatch(name))


def users_group(installation: str | None) -> str:
    """Return the name of the group with the users whom an installation has added to the site."""
    return f"callmart-{_infix(installation)}users"


def is_users_group(name: str) -> bool:
    """Return whether a group has the users whom some installation has added to the site."""
    return _USERS_GROUP.fullmatch(name) is not None


def bears(item: Any, mark: Mark, beside: Mark) -> bool:
    """Return whether content has the mark, in its description or a tag, and no other installation's mark but `beside`:
    while content is adopted, it can have both.
    """
    in_description, in_tags = described(item), {tag.installation for tag in tags(item)}
    found = in_tags | {in_description.installation if in_description else None}
    others = found - {mark.installation, beside.installation, None}
    return (in_description == mark or mark.installation in in_tags) and not others


def _mark(found: re.Match[str] | None) -> Mark | None:
    return Mark(found[1], int(found[2])) if found else None


def _infix(installation: str | None) -> str:
    return f"{installation}-" if installation else ""
