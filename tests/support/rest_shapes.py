"""What Tableau's schema of the REST API (ts-api 3.28) says of the elements that the emulator answers with.

Noted from the schema, element by element: the children in their order, the attributes, those that must be there,
and the values of those that are limited. The schema itself is not here. Where no server keeps to it, neither does
this: it has no `pagination` before `views`, `backgroundJobs` and some lists of catalogue content, no `users` as the
answer to adding several to a group, and wants a build number as `restApiVersion`.
"""

import re
from typing import Any, NamedTuple

from lxml import etree

NAMESPACE = "{http://tableau.com/api}"
_LUID = re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_NUMBER = re.compile(r"\d+")
_FLAG = re.compile("true|false")
_ROLES = re.compile(
    "Creator|Explorer|ExplorerCanPublish|Guest|ServerAdministrator|SiteAdministrator(Creator|Explorer)"
    "|SupportUser|Unlicensed|Viewer"
)


class Shape(NamedTuple):
    """Children in their order, attributes. Behind one, !: must be there; *: any number of it; +: at least one."""

    children: str = ""
    attributes: str = ""


_TEXT = Shape()
_PERSON = "authSetting email externalAuthUserId fullName id lastLogin locale name siteRole language"
_CONTENT = "contentUrl createdAt description encryptExtracts hasExtracts id name size updatedAt webpageUrl"
SHAPES = {
    "pagination": Shape("", "pageNumber! pageSize! totalAvailable!"),
    "error": Shape("detail! summary!", "code!"),
    "detail": _TEXT,
    "summary": _TEXT,
    "serverInfo": Shape("platform! prepConductorVersion! productVersion! restApiVersion! serverSettings!"),
    "platform": _TEXT,
    "prepConductorVersion": _TEXT,
    "productVersion": Shape("", "build"),
    "restApiVersion": _TEXT,
    "serverSettings": Shape(
        "oAuthEnabled! offlineInteractionSupportedPhase! sheetImageMaxAgeCeiling! sheetImageMaxAgeFloor!"
    ),
    "oAuthEnabled": _TEXT,
    "offlineInteractionSupportedPhase": _TEXT,
    "sheetImageMaxAgeCeiling": _TEXT,
    "sheetImageMaxAgeFloor": _TEXT,
    "credentials": Shape("site! user", "estimatedTimeToExpiration token"),
    "sites": Shape("site*"),
    "site": Shape(
        "usage",
        "adminMode allowSubscriptionAttachments askDataMode authoringEnabled cacheWarmupEnabled catalogingEnabled "
        "commentingEnabled commentingMentionsEnabled contentUrl customSubscriptionEmail "
        "customSubscriptionEmailEnabled customSubscriptionFooter customSubscriptionFooterEnabled "
        "dataAccelerationMode dataAlertsEnabled disableSubscriptions editingFlowsEnabled extractEncryptionMode "
        "flowsEnabled guestAccessEnabled id name requestAccessEnabled revisionHistoryEnabled revisionLimit "
        "runNowEnabled schedulingFlowsEnabled sheetImageEnabled state storageQuota subscribeOthersEnabled "
        "tierCreatorCapacity tierExplorerCapacity tierViewerCapacity timeZone useDefaultTimeZone userQuota "
        "userVisibilityMode webExtractionEnabled",
    ),
    "site/usage": Shape("", "numCreators numExplorers numUsers! numViewers storage!"),
    "siteAuthConfigurations": Shape("siteAuthConfiguration*"),
    "siteAuthConfiguration": Shape(
        "", "authSetting enabled idpConfigurationId idpConfigurationName knownProviderAlias"
    ),
    "session": Shape("site! user!"),
    "users": Shape("user*"),
    "user": Shape("domain", _PERSON),
    "domain": Shape("", "name!"),
    "groups": Shape("group*"),
    "group": Shape("domain import", "id minimumSiteRole name userCount"),
    "import": Shape("", "domainName! grantLicenseMode! siteRole! source!"),
    "projects": Shape("project*"),
    "project": Shape(
        "contentsCounts owner",
        "contentPermissions controllingPermissionsProjectId createdAt description favoritesTotal id name "
        "parentProjectId topLevelProject updatedAt writeable",
    ),
    "contentsCounts": Shape("", "datasourceCount projectCount viewCount workbookCount"),
    "owner": Shape("domain", _PERSON),
    "permissions": Shape("datasource|project|view|workbook granteeCapabilities* parent"),
    "granteeCapabilities": Shape("group|user! capabilities!"),
    "capabilities": Shape("capability+"),
    "capability": Shape("", "mode! name!"),
    "parent": Shape("", "id! type!"),
    "datasources": Shape("datasource*"),
    "datasource": Shape(
        "owner project tags",
        f"{_CONTENT} certificationNote connectedWorkbooksCount favoritesTotal hasAlert isCertified isPublished type "
        "useRemoteQueryAgent",
    ),
    "workbooks": Shape("workbook*"),
    "workbook": Shape("owner project tags views", f"{_CONTENT} defaultViewId sheetCount showTabs"),
    "views": Shape("view*"),
    "view": Shape(
        "owner project tags usage workbook",
        "contentUrl createdAt favoritesTotal hidden id name sheetType updatedAt viewUrlName",
    ),
    "customViews": Shape("customView*"),
    "dataQualityWarningList": Shape("dataQualityWarning*"),
    "dataQualityWarning": Shape(
        "site! owner!",
        "contentId! contentType! createdAt! id! isActive! isSevere! message type! updatedAt! userDisplayName",
    ),
    "customView": Shape("view workbook owner", "createdAt id name shared updatedAt"),
    "usage": Shape("", "totalViewCount!"),
    "tags": Shape("tag*"),
    "tag": Shape("", "label!"),
    "tagBatch": Shape("contents! tags!"),
    "contents": Shape("content+"),
    "tagBatch/contents/content": Shape("", "contentType id"),
    "revisions": Shape("revision*"),
    "revision": Shape("publisher", "current deleted publishedAt revisionNumber sizeInBytes"),
    "publisher": Shape("domain", _PERSON),
    "favorites": Shape("favorite*"),
    "favorite": Shape(
        "datasource|project|view|workbook!", "addedAt label! parentProjectName position targetOwnerName"
    ),
    "connections": Shape("connection*"),
    "connection": Shape(
        "datasource", "embedPassword id queryTaggingEnabled serverAddress serverPort type userName"
    ),
    "fileUpload": Shape("", "fileSize uploadSessionId!"),
    "backgroundJobs": Shape("backgroundJob*"),
    "backgroundJob": Shape("", "createdAt endedAt id jobType priority startedAt status title"),
    "job": Shape("extractRefreshJob", "completedAt createdAt finishCode id mode progress startedAt type"),
    "extractRefreshJob": Shape("datasource|workbook! notes!"),
    "notes": _TEXT,
    "tasks": Shape("task*"),
    "task": Shape("extractRefresh!", "consecutiveFailedCount id priority runNow state type"),
    "extractRefresh": Shape(
        "datasource|view|workbook! schedule", "consecutiveFailedCount id incremental priority type"
    ),
    "extracts": Shape("extract*"),
    "extract": Shape("datasource|workbook!", "id priority type"),
    "scheduleLuids": Shape("scheduleLuid*"),
    "scheduleLuid": _TEXT,
    "schedules": Shape("schedule*"),
    "schedule": Shape(
        "frequencyDetails",
        "createdAt executionOrder frequency id name nextRunAt priority state type updatedAt",
    ),
    "frequencyDetails": Shape("intervals!", "end start!"),
    "intervals": Shape("interval*"),
    "interval": Shape("", "hours minutes monthDay weekDay"),
    "subscriptions": Shape("subscription*"),
    "subscription": Shape(
        "content! schedule! user!",
        "attachImage attachPdf id message pageOrientation pageSizeOption subject suspended",
    ),
    "content": Shape("", "customViewId id! name sendIfViewEmpty type!"),
    **{
        name: Shape()
        for name in (
            "flows",
            "metrics",
            "databases",
            "tables",
            "virtualConnections",
            "flowRuns",
            "dataAlerts",
            "groupSets",
            "linkedTasks",
            "webhooks",
        )
    },
}
_PAGED = {  # what stands behind a `pagination`
    "customViews", "datasources", "extracts", "flowRuns", "flows", "groupSets", "groups", "linkedTasks", "metrics",
    "projects", "revisions", "schedules", "sites", "subscriptions", "users", "workbooks",
}  # fmt: skip
_PAGED_ALL_THE_SAME = {"backgroundJobs", "dataAlerts", "databases", "tables", "views", "virtualConnections"}
_VALUES: dict[tuple[str, str], str | re.Pattern[str]] = {
    ("user", "siteRole"): _ROLES,
    ("user", "authSetting"): "OpenID|SAML|ServerDefault",
    ("group", "minimumSiteRole"): _ROLES,
    ("site", "adminMode"): "ContentAndUsers|ContentOnly",
    ("site", "askDataMode"): "DisabledAlways|DisabledByDefault",
    ("project", "contentPermissions"): "LockedToProject(WithoutNested)?|ManagedByOwner",
    ("capability", "mode"): "Allow|Deny",
    ("capability", "name"): (
        "AddComment|ChangeHierarchy|ChangePermissions|Connect|Delete|Execute|Export(Data|Image|Xml)|ExtractRefresh"
        "|Filter|Overwrite|ProjectLeader|PulseMetricDefine|Read|RunExplainData|SaveAs|ShareView|ViewComments"
        "|ViewUnderlyingData|VizqlDataApiAccess|WebAuthoring(ForFlows)?|Write"
    ),
    ("parent", "type"): "Project",
    ("extract", "type"): "FullRefresh|IncrementalRefresh",
    ("siteAuthConfiguration", "authSetting"): "OpenID|SAML|ServerDefault",
    ("fileUpload", "uploadSessionId"): "[0-9]+:[0-9a-fA-F]+-[0-9]+:[0-9]+",
    ("productVersion", "build"): r"\d{5}.\d\d.\d{4}.\d{4}",
    ("job", "mode"): "Asynchronous",
    ("job", "type"): "CreateSiteUsersCsv|PublishDatasource|PublishWorkbook|RefreshExtract",
    ("backgroundJob", "status"): "Cancelled|Failed|InProgress|Pending|Success",
    ("schedule", "executionOrder"): "Parallel|Serial",
    ("schedule", "frequency"): "Daily|Hourly|Monthly|Weekly",
    ("schedule", "type"): "ActiveDirectorySync|DataAcceleration|Extract|Flow|Subscription",
    ("interval", "weekDay"): "(Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day",
    ("interval", "hours"): "1|2|4|6|8|12",
    ("content", "type"): "View|Workbook",
    ("error", "code"): r"[1-9]\d+",
}
_BY_NAME: dict[str, re.Pattern[str]] = {
    **dict.fromkeys(("id", "parentProjectId", "controllingPermissionsProjectId", "defaultViewId"), _LUID),
    **dict.fromkeys(
        ("createdAt", "updatedAt", "lastLogin", "startedAt", "completedAt", "endedAt", "publishedAt", "addedAt"),
        _TIME,
    ),
    **dict.fromkeys(
        ("size", "userCount", "sheetCount", "totalViewCount", "totalAvailable", "pageSize", "serverPort", "progress",
         "revisionNumber", "sizeInBytes", "favoritesTotal", "connectedWorkbooksCount", "consecutiveFailedCount",
         "datasourceCount", "projectCount", "viewCount", "workbookCount", "numUsers", "storage"),
        _NUMBER,
    ),
    **dict.fromkeys(
        ("attachImage", "attachPdf", "suspended", "sendIfViewEmpty", "hasExtracts", "isCertified", "embedPassword",
         "queryTaggingEnabled", "topLevelProject", "writeable", "useRemoteQueryAgent", "current", "deleted", "hasAlert",
         "isActive", "isPublished", "isSevere", "incremental", "enabled", "allowSubscriptionAttachments",
         "commentingEnabled",
         "disableSubscriptions", "flowsEnabled", "guestAccessEnabled", "oAuthEnabled", "revisionHistoryEnabled",
         "shared", "subscribeOthersEnabled"),
        _FLAG,
    ),
}  # fmt: skip
# The schema's int and long. Its other integers have no limit, and are text in JSON.
_LIMITED = {
    "offlineInteractionSupportedPhase", "sheetImageMaxAgeCeiling", "sheetImageMaxAgeFloor", "sizeInBytes",
}  # fmt: skip


def check(content: bytes) -> None:
    """Raises an AssertionError where an answer is not of the shape that the schema gives it."""
    root = etree.fromstring(content)
    assert root.tag == NAMESPACE + "tsResponse"
    names = [_name(child) for child in root]
    if names[0] == "pagination":
        assert len(names) == 2, names
        assert names[1] in _PAGED | _PAGED_ALL_THE_SAME, names
    else:
        assert len(names) == 1, names
        # several users that were added to a group
        assert names[0] not in _PAGED | _PAGED_ALL_THE_SAME - {"views"} or names[0] == "users", names
    for child in root:
        _check(child, "")


def check_json(said: dict[str, Any], path: str = "") -> None:
    """Raises an AssertionError where an answer in JSON has not the lists and types that the schema makes of it."""
    repeated = re.findall(r"(\w+)[*+]", _shape(path).children) if path else []
    for key, value in said.items():
        assert isinstance(value, list) is (key in repeated), (path, key, value)
        for each in value if isinstance(value, list) else [value]:
            if isinstance(each, dict):
                check_json(each, f"{path}/{key}")
            else:
                typed = bool if _BY_NAME.get(key) is _FLAG else int if key in _LIMITED else str
                assert type(each) is typed, (path, key, value)


def _check(node: etree._Element, path: str) -> None:
    name = _name(node)
    path = f"{path}/{name}"
    shape = _shape(path)
    children = [_name(child) for child in node]
    pattern = "".join(_pattern(each) for each in shape.children.split())
    assert re.fullmatch(pattern, "".join(f"<{child}>" for child in children)), (name, children)
    known = {each.rstrip("!") for each in shape.attributes.split()}
    needed = {each[:-1] for each in shape.attributes.split() if each.endswith("!")}
    assert needed <= set(node.attrib) <= known, (name, dict(node.attrib))
    for key, value in node.attrib.items():
        limit = _VALUES.get((name, key), _BY_NAME.get(key))
        assert limit is None or re.fullmatch(limit, value), (name, key, value)
    for child in node:
        _check(child, path)


def _shape(path: str) -> Shape:
    """The shape of the longest end of a path that has one: some names stand for more than one."""
    parts = path.split("/")[1:]
    tails = ("/".join(parts[start:]) for start in range(len(parts)))
    return next(SHAPES[each] for each in tails if each in SHAPES)


def _pattern(child: str) -> str:
    names = "|".join(f"<{name}>" for name in child.rstrip("!*+").split("|"))
    return f"({names})" + (child[-1] if child[-1] in "*+" else "" if child.endswith("!") else "?")


def _name(node: etree._Element) -> str:
    assert node.tag.startswith(NAMESPACE), node.tag
    return str(node.tag.removeprefix(NAMESPACE))
