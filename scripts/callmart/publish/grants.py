"""Permissions on Tableau: what a customer's group should have, what is granted now, and how to align the two.

TSC's update adds rules and never removes any, so extra rules are deleted one by one. A capability that nobody grants is
denied anyway; the explicit denials also apply to a user who gets the capability from another group.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import tableauserverclient as TSC
from tableauserverclient.models.reference_item import ResourceReference

from callmart.base.errors import UserError
from callmart.publish.tableau import NONE_HERE

ALLOWED: Mapping[str, tuple[str, ...]] = {
    "project": ("Read",),
    "datasource": ("Read", "Connect"),
    "workbook": ("Read", "Filter", "ExportImage"),  # ExportImage allows pictures and the PDF of the mail
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
EXPORTING = ("workbook", "ExportData")  # allowed where the customer has ordered it


class Grant(NamedTuple):
    """One capability of one grantee, a group or a user, allowed or denied."""

    kind: str
    grantee: str  # LUID
    capability: str
    mode: str


# By scope: the project itself, and its defaults per kind of content.
Access = Mapping[str, frozenset[Grant]]

NOBODY: Access = {scope: frozenset() for scope in ALLOWED}
# Kinds of content that callmart never publishes. A new project opens them to all users.
_UNUSED = ("flow", "lens", "datarole", "metric", "database", "table", "virtualconnection")


def customer_access(group_id: str, *, exports: bool) -> Access:
    """Return the permissions in a customer's project: those of the customer's group, and no others. With `exports` its
    members may export data.
    """
    return {
        scope: frozenset(
            Grant(
                "group",
                group_id,
                capability,
                "Allow" if exports and (scope, capability) == EXPORTING else mode,
            )
            for mode, declared in (("Allow", ALLOWED), ("Deny", _DENIED))
            for capability in declared[scope]
        )
        for scope in ALLOWED
    }


def project_access(server: TSC.Server, project_id: str) -> Access:
    """Return what is granted in a project now."""
    return {scope: project_grants(server, project_id, scope) for scope in ALLOWED}


def content_grants(
    endpoint: Any, item: TSC.DatasourceItem | TSC.WorkbookItem | TSC.ViewItem
) -> frozenset[Grant]:
    """Return what is granted on content now. In a locked project these are the project's defaults."""
    endpoint.populate_permissions(item)
    return _grants(item.permissions)


def close(server: TSC.Server, project_id: str, access: Access) -> None:
    """Grant exactly `access` in a project. Raises UserError if the project then has other permissions."""
    is_closed = _close_unused(server, project_id)
    _align(server, project_id, access)
    if not is_closed or project_access(server, project_id) != access:
        raise UserError(
            f"the permissions of project {project_id} are not those that were set; find out who changes them"
        )


def _close_unused(server: TSC.Server, project_id: str) -> bool:
    """Remove all default permissions for the kinds that are never published, and say whether none are left.

    Kinds that the server doesn't have are skipped.
    """
    is_closed = True
    for scope in _UNUSED:
        try:
            present = project_grants(server, project_id, scope)
        except TSC.ServerResponseError as error:
            if error.code not in NONE_HERE:
                raise
            continue
        if present:
            _change(server, project_id, scope, present, frozenset())
            is_closed = is_closed and not project_grants(server, project_id, scope)
    return is_closed


def _align(server: TSC.Server, project_id: str, wanted: Access) -> None:
    """Make the grants in a project exactly those of `wanted`. Extra grants are removed first."""
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
    """Return what is granted on a project itself (scope `project`), or by default on a kind of content in it."""
    item = TSC.ProjectItem(id=project_id)
    if scope == "project":
        server.projects.populate_permissions(item)
        return _grants(item.permissions)
    getattr(server.projects, f"populate_{scope}_default_permissions")(item)
    return _grants(getattr(item, f"default_{scope}_permissions"))


def _methods(server: TSC.Server, scope: str) -> tuple[Any, Any]:
    """TSC's method that adds rules in a project's `scope`, and its method that deletes one."""
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
