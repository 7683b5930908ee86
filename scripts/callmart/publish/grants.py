"""Who may do what on Tableau: declared for a customer's group, read, and made so.

TSC's update adds rules and never takes one away, so what is too much is deleted one by one. A capability that
nobody is granted is denied; the denials written out hold also for a user who is in another group as well.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import tableauserverclient as TSC
from tableauserverclient.models.reference_item import ResourceReference

ALLOWED: Mapping[str, tuple[str, ...]] = {
    "project": ("Read",),
    "datasource": ("Read", "Connect"),
    "workbook": ("Read", "Filter", "ExportImage"),  # ExportImage: as a picture or as the PDF of the mail
}
_DENIED: Mapping[str, tuple[str, ...]] = {
    "project": (),
    "datasource": ("ExportXml", "Write", "Delete", "ChangePermissions"),
    "workbook": (
        "ViewUnderlyingData",
        "ExportData",
        "ExportXml",
        "WebAuthoring",
        "Write",
        "Delete",
        "ChangePermissions",
        "ChangeHierarchy",
        "AddComment",
        "ShareView",
    ),
}


class Grant(NamedTuple):
    """One capability of one grantee, a group or a user, allowed or denied."""

    kind: str
    grantee: str  # LUID
    capability: str
    mode: str


# by scope: the project itself, and its defaults for each kind of content
Access = Mapping[str, frozenset[Grant]]

NOBODY: Access = {scope: frozenset() for scope in ALLOWED}
_UNKNOWN = ("400", "404")  # what a server says to a kind that it does not know
# kinds that are never published, though a new project opens them to all users
_UNUSED = ("flow", "lens", "datarole", "metric", "database", "table", "virtualconnection")


def customer_access(group_id: str) -> Access:
    """What a customer's group, and nobody else, has in the customer's project."""
    return {
        scope: frozenset(
            Grant("group", group_id, capability, mode)
            for mode, declared in (("Allow", ALLOWED), ("Deny", _DENIED))
            for capability in declared[scope]
        )
        for scope in ALLOWED
    }


def project_access(server: TSC.Server, project_id: str) -> Access:
    """What is granted in a project now."""
    return {scope: project_grants(server, project_id, scope) for scope in ALLOWED}


def content_grants(
    endpoint: Any, item: TSC.DatasourceItem | TSC.WorkbookItem | TSC.ViewItem
) -> frozenset[Grant]:
    """What is granted on content now; in a locked project these are the project's defaults."""
    endpoint.populate_permissions(item)
    return _grants(item.permissions)


def close_unused(server: TSC.Server, project_id: str) -> bool:
    """Takes everybody's defaults for the kinds that are never published; whether none are left.

    A server may not know them all.
    """
    is_closed = True
    for scope in _UNUSED:
        try:
            present = project_grants(server, project_id, scope)
        except TSC.ServerResponseError as error:
            if not error.code.startswith(_UNKNOWN):
                raise
            continue
        if present:
            _change(server, project_id, scope, present, frozenset())
            is_closed = is_closed and not project_grants(server, project_id, scope)
    return is_closed


def align(server: TSC.Server, project_id: str, wanted: Access) -> None:
    """Makes the grants in a project those of `wanted`, and no others; what is too much goes first."""
    for scope, grants in wanted.items():
        _change(server, project_id, scope, project_grants(server, project_id, scope), grants)


def _change(
    server: TSC.Server, project_id: str, scope: str, present: frozenset[Grant], wanted: frozenset[Grant]
) -> None:
    item = TSC.ProjectItem(id=project_id)
    update, delete = _methods(server, scope)
    for grant in sorted(present - wanted):
        delete(item, _rule(grant))
    if missing := sorted(wanted - present):
        update(item, [_rule(grant) for grant in missing])


def project_grants(server: TSC.Server, project_id: str, scope: str) -> frozenset[Grant]:
    """What is granted on a project itself (scope `project`), or by default on the content of a kind in it."""
    item = TSC.ProjectItem(id=project_id)
    if scope == "project":
        server.projects.populate_permissions(item)
        return _grants(item.permissions)
    getattr(server.projects, f"populate_{scope}_default_permissions")(item)
    return _grants(getattr(item, f"default_{scope}_permissions"))


def _methods(server: TSC.Server, scope: str) -> tuple[Any, Any]:
    """TSC's methods that add rules in `scope` of a project, and that delete one."""
    projects = server.projects
    if scope == "project":
        return projects.update_permissions, projects.delete_permission
    return (
        getattr(projects, f"update_{scope}_default_permissions"),
        getattr(projects, f"delete_{scope}_default_permissions"),
    )


def _grants(rules: list[TSC.PermissionsRule]) -> frozenset[Grant]:
    return frozenset(
        Grant(rule.grantee.tag_name, rule.grantee.id, capability, mode)
        for rule in rules
        for capability, mode in rule.capabilities.items()
    )


def _rule(grant: Grant) -> TSC.PermissionsRule:
    return TSC.PermissionsRule(ResourceReference(grant.grantee, grant.kind), {grant.capability: grant.mode})
