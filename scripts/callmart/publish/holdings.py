"""All that a Tableau site holds, whoever has put it there, by the endpoints of tableauserverclient, and how it is read.

Every endpoint is decided here. One that a later version of the library brings keeps requests of persons open until it
is.
"""

from collections.abc import Collection, Iterator
from itertools import count
from pathlib import Path
from typing import Any, NamedTuple

import tableauserverclient as TSC
from lxml import etree
from tableauserverclient.server.endpoint.endpoint import Endpoint

from callmart.publish.listing import PAGE_SIZE, everything
from callmart.publish.tableau import NONE_HERE, PARSER

# Downloaded and searched, with earlier revisions. Their lists are searched, too.
FILES = {
    "datasources": "data sources",
    "workbooks": "workbooks",
    "flows": "flows",
    "custom_views": "custom views",
}
# Names, descriptions and notes: the answers are searched.
LISTS = (
    *FILES,
    "projects",
    "views",
    "data_alerts",
    "databases",
    "tables",
    "virtual_connections",
    "metrics",
    "schedules",
    "webhooks",
    "jobs",
)
# Who has an account, and what belongs to it: labels of favorites are names of content.
ACCOUNTS = ("users", "groups", "group_sets", "subscriptions", "favorites")
WITHOUT_PERSONS = {
    "auth": "signs in and out",
    "data_acceleration_report": "counts per workbook",
    "extensions": "settings of the site",
    "fileuploads": "an upload that nobody has finished; Tableau removes it after a day, and lists it nowhere",
    "flow_runs": "when flows ran",
    "flow_tasks": "when flows run",
    "linked_tasks": "when flows run",
    "metadata": "an index of the other kinds",
    "oidc": "settings of the site",
    "server_info": "the version",
    "sites": "settings of the site",
    "tags": "adds and removes tags; the lists of content have them",
    "tasks": "when extracts are refreshed",
}

_ACCOUNT = {"owner", "user", "publisher", "recipient", "recipients", "contact"}  # elements of lists
_REFUSED = "403"
_NO_HISTORY = "403053"  # the site keeps no revisions


class Held(NamedTuple):
    """Something that can be downloaded."""

    endpoint: Any
    item: Any
    kind: str


def endpoints() -> list[str]:
    """The endpoints that the library has."""
    return [
        name for name, value in vars(TSC.Server("http://localhost")).items() if isinstance(value, Endpoint)
    ]


def held(server: TSC.Server, spared: Collection[str]) -> Iterator[Held]:
    """All that can be downloaded, but for the content of the spared projects (LUIDs)."""
    for name, kind in FILES.items():
        endpoint = getattr(server, name)
        is_known = next(texts(server, name), None) is not None
        for item in everything(endpoint) if is_known else ():
            if getattr(item, "project_id", None) not in spared:  # a custom view is in none
                yield Held(endpoint, item, kind)


def files(found: Held, folder: Path) -> Iterator[Path]:
    """Download something with its earlier revisions, one after the other; each is deleted when the next is asked for.
    Raises PermissionError if it may not be read.
    """
    endpoint, item, kind = found
    for revision in (None, *earlier(found)):
        path = str(folder / item.id)
        try:
            if kind == "custom views":
                endpoint.download(item, path)
            elif revision is None:
                path = endpoint.download(item.id, filepath=path)
            else:
                path = endpoint.download_revision(item.id, revision, filepath=path)
        except TSC.ServerResponseError as error:
            if error.code.startswith(_REFUSED):
                raise PermissionError from None
            raise
        yield Path(path)
        Path(path).unlink()


def earlier(found: Held) -> list[str]:
    """The numbers of the revisions before the current one. The library reads none of flows and custom views."""
    endpoint, item, kind = found
    if kind not in ("data sources", "workbooks"):
        return []
    endpoint.populate_revisions(item)
    try:
        return [revision.revision_number for revision in item.revisions if not revision.current]
    except TSC.ServerResponseError as error:
        if error.code != _NO_HISTORY:
            raise
        return []


def forget_revisions(found: Held) -> None:
    """Delete earlier revisions. Tableau keeps them for download, and they contain days that have expired since."""
    for number in earlier(found):
        found.endpoint.delete_revision(found.item.id, number)


def texts(server: TSC.Server, name: str) -> Iterator[list[str]]:
    """All that the list of an endpoint says, page by page, but who owns what. Nothing if the server doesn't have
    the kind.
    """
    endpoint = getattr(server, name)
    for number in count(1):
        try:
            answer = endpoint.get_request(endpoint.baseurl, TSC.RequestOptions(number, PAGE_SIZE)).content
        except TSC.ServerResponseError as error:
            if number == 1 and error.code in NONE_HERE:
                return
            raise
        root = etree.fromstring(answer, PARSER)
        yield [
            text
            for node in root.iter(etree.Element)
            if etree.QName(node).localname not in _ACCOUNT
            for text in (*node.attrib.values(), node.text or "")
        ]
        pages = root.find("{*}pagination")
        if pages is None or number * PAGE_SIZE >= int(pages.get("totalAvailable", 0)):
            return
