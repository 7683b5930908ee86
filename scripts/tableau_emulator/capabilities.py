"""The capabilities per kind of content, the rules of a new project, and the limits of site roles."""

_VIEWER = {"AddComment", "ExportData", "ExportImage", "Filter", "Read", "ViewComments"}
_WORKBOOK = {
    *_VIEWER, "ChangeHierarchy", "ChangePermissions", "CreateRefreshMetrics", "Delete", "ExportXml",
    "ExtractRefresh", "RunExplainData", "ShareView", "ViewUnderlyingData", "WebAuthoring", "Write",
}  # fmt: skip
_PLAIN = {"ChangeHierarchy", "ChangePermissions", "Delete", "Read", "Write"}

CAPABILITIES = {
    "project": {"ProjectLeader", "Read", "Write"},
    "datasource": {
        *_PLAIN, "Connect", "ExportXml", "ExtractRefresh", "PulseMetricDefine", "SaveAs", "VizqlDataApiAccess",
    },
    "workbook": _WORKBOOK,
    "view": _WORKBOOK - {"ChangeHierarchy", "CreateRefreshMetrics", "ExtractRefresh"},
    "flow": {*_PLAIN, "Execute", "ExportXml", "WebAuthoringForFlows"},
    "lens": _PLAIN,
    "metric": _PLAIN,
    "datarole": _PLAIN,
    "database": _PLAIN,
    "table": _PLAIN,
    "virtualconnection": {*_PLAIN, "Connect"},
}  # fmt: skip

# The kinds of content for which a project has default rules, by their name in the path.
DEFAULT_KINDS = {
    "workbooks": "workbook",
    "datasources": "datasource",
    "flows": "flow",
    "lenses": "lens",
    "metrics": "metric",
    "dataroles": "datarole",
    "databases": "database",
    "tables": "table",
    "virtualconnections": "virtualconnection",
}

# What All Users may do in a new project, until somebody removes these rules.
NEW_PROJECT = {
    "own": ("Read", "Write"),
    "datasource": ("Connect", "Read"),
    "workbook": (
        "AddComment", "ExportData", "ExportImage", "Filter", "Read", "RunExplainData", "ShareView",
        "ViewComments", "ViewUnderlyingData",
    ),
    "flow": ("Read",),
    "lens": ("Read",),
    "metric": ("Read",),
    "datarole": ("Read",),
    "database": ("Read",),
    "table": ("Read",),
    "virtualconnection": ("Connect", "Read"),
}  # fmt: skip

ADMINISTRATORS = ("ServerAdministrator", "SiteAdministratorCreator", "SiteAdministratorExplorer")
SITE_ROLES = (
    *ADMINISTRATORS, "Creator", "Explorer", "ExplorerCanPublish", "Guest", "SupportUser", "Unlicensed", "Viewer",
)  # fmt: skip
PUBLISHERS = ("Creator", "ExplorerCanPublish")
_EXPLORER_NEVER = {"PulseMetricDefine", "SaveAs", "Write"}
_VIEWER_MOST = {
    "project": {"Read"},
    "datasource": {"Connect", "Read", "VizqlDataApiAccess"},
    "workbook": _VIEWER,
    "view": _VIEWER,
}


def within_role(role: str, kind: str, capability: str) -> bool:
    """Whether a user with site role `role` can have a capability at all, regardless of rules."""
    if role in PUBLISHERS:
        return True
    if role == "Explorer":
        return capability not in _EXPLORER_NEVER
    return role in ("Viewer", "Guest") and capability in _VIEWER_MOST.get(kind, {"Read"})
