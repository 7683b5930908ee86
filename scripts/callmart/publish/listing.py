"""Lists of what is on Tableau: whole, or an error. What is missing from a list would count as absent."""

from collections.abc import Callable, Container
from functools import partial
from itertools import count
from typing import Any, NamedTuple

import tableauserverclient as TSC
from lxml import etree

from callmart.base.errors import UserError
from callmart.publish.tableau import PARSER

PAGE_SIZE = 1000
_READINGS = 3  # of a list that changes while it is read
_NO_SUCH_PAGE = "400006"  # any more


def incomplete(what: str) -> UserError:
    """The error that a list is not whole."""
    return UserError(f"Tableau returned an incomplete list of {what}; run again")


def everything(endpoint: Any, **how: Any) -> list[Any]:
    """Return all items of an endpoint; `how` is for its method `get`.

    Raises UserError if the list is not as long as the server says: a missing item must not count as absent.
    """
    return _paged(_name(endpoint), partial(endpoint.get, **how))


def members(server: TSC.Server, group: TSC.GroupItem) -> frozenset[str]:
    """Return the LUIDs of a group's members. Raises UserError as `everything` does."""
    return frozenset(
        user.id for user in _paged("members", partial(server.groups._get_users_for_group, group))
    )


def items_in(endpoint: Any, kind: Any, projects: Container[str], query: str = "") -> list[Any]:
    """The data sources, workbooks or views in these projects. To make an item takes TSC five times as long as to read
    it, so of the others none is made.

    Raises UserError as `everything` does.
    """

    def read() -> _Listed:
        listed = _Listed([], [], [])
        for number in count(1):
            options = TSC.RequestOptions(number, PAGE_SIZE)
            page = etree.fromstring(endpoint.get_request(endpoint.baseurl + query, options).content, PARSER)
            nodes = page.findall("*/*")
            for node in nodes:
                listed.seen.append(node.get("id"))
                if all(project.get("id") in projects for project in node.iterfind("{*}project")):
                    listed.items.append(kind.from_xml(node, endpoint.parent_srv.namespace))
            pages = page.find("{*}pagination")
            listed.announced.append(-1 if pages is None else int(pages.get("totalAvailable")))
            if len(listed.seen) >= listed.announced[-1] or not nodes:
                break
        return listed

    return _whole(_name(endpoint), read)


def _name(endpoint: Any) -> str:
    return type(endpoint).__name__.lower()


def _paged(what: str, get: Callable[[TSC.RequestOptions], Any]) -> list[Any]:
    """The items of a list of which `get` returns a page. A Pager is used because it raises errors that a query of TSC
    would swallow.
    """

    def read() -> _Listed:
        announced: list[int] = []

        def noting(options: TSC.RequestOptions) -> Any:
            items, pagination = get(options)
            announced.append(pagination.total_available)
            return items, pagination

        items = list(TSC.Pager(noting, TSC.RequestOptions(pagesize=PAGE_SIZE)))
        return _Listed(items, [item.id for item in items], announced)

    return _whole(what, read)


class _Listed(NamedTuple):
    """The items of a list that were made, the LUIDs of all that it had, and how many each of its pages said that it
    has.
    """

    items: list[Any]
    seen: list[str]
    announced: list[int]


def _whole(what: str, read: Callable[[], _Listed]) -> list[Any]:
    """The items of a list. One that changes from page to page is read again: what moved to a page before is missing,
    and what moved to a later one is there twice.
    """
    for _ in range(_READINGS):
        try:
            listed = read()
        except TSC.ServerResponseError as error:
            if error.code != _NO_SUCH_PAGE:
                raise
            continue
        if set(listed.announced) == {len(set(listed.seen))} == {len(listed.seen)}:
            return listed.items
    raise incomplete(what)
