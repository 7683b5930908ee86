"""Two customers on an emulator, with everything that a customer can have, and requests that name all of it."""

import io
import re
from datetime import time

import tableauserverclient as TSC

from emulated import World, custom_view
from tableau_emulator.app import RESOURCES

ALLOW = TSC.Permission.Mode.Allow
LOCKED = TSC.ProjectItem.ContentPermissions.LockedToProject


class Shop(World):
    """A locked project with a data source and a workbook, another like it, and a group for each."""

    def open(self) -> None:
        self.projects, self.sources, self.workbooks, self.groups = {}, {}, {}, {}
        self.everybody = next(each for each in TSC.Pager(self.server.groups) if each.name == "All Users")
        for name in ("ours", "theirs"):
            project = self.server.projects.create(TSC.ProjectItem(name, content_permissions=LOCKED))
            self.projects[name] = project
            for scope, capabilities in self.given(project, self.everybody).items():
                self.take(project, scope, self.everybody, capabilities)
            self.sources[name] = self.publish(project, f"calls of {name}")
            self.workbooks[name] = self.publish_workbook(project, self.sources[name], f"report of {name}")
            self.groups[name] = self.server.groups.create(TSC.GroupItem(f"group of {name}"))

    def given(self, project: TSC.ProjectItem, group: TSC.GroupItem) -> dict[str, dict[str, str]]:
        found = {}
        for scope in ("project", "datasource", "workbook"):
            if scope == "project":
                self.server.projects.populate_permissions(project)
                rules = project.permissions
            else:
                getattr(self.server.projects, f"populate_{scope}_default_permissions")(project)
                rules = getattr(project, f"default_{scope}_permissions")
            found[scope] = {
                k: v for rule in rules if rule.grantee.id == group.id for k, v in rule.capabilities.items()
            }
        return found

    def take(
        self, project: TSC.ProjectItem, scope: str, group: TSC.GroupItem, capabilities: dict[str, str]
    ) -> None:
        projects, rule = self.server.projects, TSC.PermissionsRule(group, capabilities)
        if scope == "project":
            projects.delete_permission(project, [rule])
        elif capabilities:
            getattr(projects, f"delete_{scope}_default_permissions")(project, rule)

    def grant(self, name: str, scope: str, grantee: TSC.GroupItem | TSC.UserItem, **rules: str) -> None:
        projects, rule = self.server.projects, [TSC.PermissionsRule(grantee, rules)]
        if scope == "project":
            projects.update_permissions(self.projects[name], rule)
        else:
            getattr(projects, f"update_{scope}_default_permissions")(self.projects[name], rule)

    def customer(self, name: str = "reader", role: str = "Viewer") -> TSC.Server:
        """A user in our group, which may read what is ours."""
        user = self.user(name, role)
        self.server.groups.add_user(self.groups["ours"], user.id)
        for scope in ("project", "datasource", "workbook"):
            self.grant("ours", scope, self.groups["ours"], Read=ALLOW)
        return self.as_user(name)


def paths_of(shop: Shop, name: str) -> dict[str, str]:
    """What a path can name of a customer: its content, its people, what hangs on them."""
    with shop.state() as state:

        def luid(query: str, *values: str) -> str:
            return str(state.all(query, *values)[0]["id"])

        source, workbook = shop.sources[name].id, shop.workbooks[name].id
        return {
            "site": shop.server.site_id, "project": shop.projects[name].id, "datasource": source, "workbook": workbook,
            "group": shop.groups[name].id, "user": luid("select id from user where name = ?", f"user of {name}"),
            "view": luid("select id from view where workbook_id = ? and not hidden", workbook),
            "connection": luid("select id from connection where content_id = ?", source),
            "subscription": luid("select id from subscription where content_id = ?", workbook),
            "task": luid("select id from task where content_id = ?", source),
            "job": luid("select id from job where content_id = ?", source),
            "upload": luid(
                "select upload.id from upload join user on user.id = user_id where name = ?", f"user of {name}"
            ),
            "custom_view": luid("select id from custom_view where workbook_id = ?", workbook),
            "quality_warning": luid("select id from quality_warning where content_id = ?", source),
            "schedule": luid("select id from schedule"), "kind": "workbooks", "kinds": "workbooks", "luid": workbook,
            "grantees": "groups", "grantee": shop.groups[name].id, "capability": "Read", "mode": "Allow",
            "revision": "1", "tag": f"tag of {name}",
        }  # fmt: skip


def filled(path: str, names: dict[str, str]) -> str:
    """The path of an endpoint with something in the place of each name."""
    return re.sub(r"{(\w+)(:path)?}", lambda found: names[found[1]], path)


def furnish(shop: Shop) -> None:
    """Everything that a customer can have, for both customers; users do not see each other."""
    shop.server.sites.put_request(
        f"{shop.server.sites.baseurl}/{shop.server.site_id}",
        '<tsRequest><site userVisibilityMode="LIMITED"/></tsRequest>',
    )
    nightly = shop.server.schedules.create(
        TSC.ScheduleItem("nightly", 50, "Extract", "Parallel", TSC.DailyInterval(time(3)))
    )
    for name in ("ours", "theirs"):
        user = shop.user(f"user of {name}", "ExplorerCanPublish")
        shop.server.groups.add_user(shop.groups[name], user.id)
        for scope in ("project", "datasource", "workbook"):
            shop.grant(name, scope, shop.groups[name], Read=ALLOW)
        server = shop.as_user(f"user of {name}")
        server.fileuploads.initiate()
        body = SUBSCRIPTION.format(workbook=shop.workbooks[name].id, user=user.id, name=name)
        server.subscriptions.post_request(server.subscriptions.baseurl, body)
        server.favorites.add_favorite_workbook(user, shop.workbooks[name])
        server.custom_views.publish(
            custom_view(shop.workbooks[name], user, f"view of {name}"), io.BytesIO(b"{}")
        )
        shop.server.schedules.add_to_schedule(nightly.id, datasource=shop.sources[name])
        shop.server.datasources.refresh(shop.sources[name])
        shop.server.datasources.add_tags(shop.sources[name], f"tag of {name}")
        shop.server.datasources.add_dqw(shop.sources[name], TSC.DQWItem("STALE", f"warning of {name}"))


SUBSCRIPTION = (
    '<tsRequest><subscription subject="Mail of {name}"><content id="{workbook}" type="Workbook"/><user id="{user}"/>'
    '</subscription><schedule frequency="Daily"><frequencyDetails start="07:00:00"/></schedule></tsRequest>'
)


# what any request can name, all in one: each call takes what it knows
GRAB = """<tsRequest>
<project name="grabbed" parentProjectId="{project}"><owner id="{me}"/></project>
<datasource name="grabbed"><project id="{project}"/><owner id="{me}"/></datasource>
<workbook name="grabbed" showTabs="true"><project id="{project}"/><owner id="{me}"/></workbook>
<user id="{me}" name="grabbed" siteRole="SiteAdministratorCreator" password="known"/><users><user id="{me}"/></users>
<group name="grabbed" minimumSiteRole="SiteAdministratorCreator"/>
<permissions><granteeCapabilities><user id="{me}"/><capabilities><capability name="Read" mode="Allow"/></capabilities>
</granteeCapabilities></permissions>
<subscription subject="grabbed" suspended="true"><content id="{workbook}" type="Workbook"/><schedule id="{schedule}"/>
<user id="{user}"/></subscription>
<connection serverAddress="grabbed" userName="grabbed" password="known" embedPassword="true"/>
<connectionLUIDs><connectionLUID>{connection}</connectionLUID></connectionLUIDs>
<tags><tag label="grabbed"/></tags><dataQualityWarning type="WARNING" message="grabbed" isActive="false"/>
<tagBatch><tags><tag label="grabbed"/></tags><contents><content contentType="Workbook" id="{workbook}"/></contents>
</tagBatch>
<favorite label="grabbed"><workbook id="{workbook}"/></favorite>
<extractRefresh type="FullRefresh"><workbook id="{workbook}"/><schedule id="{schedule}"/></extractRefresh>
<task><extractRefresh><workbook id="{workbook}"/></extractRefresh></task>
<site name="grabbed" contentUrl="grabbed" userVisibilityMode="FULL"/>
<schedule name="grabbed" type="Subscription" frequency="Daily" state="Suspended"><frequencyDetails start="07:00:00"/>
</schedule></tsRequest>"""


def changes(names: dict[str, str]) -> list[tuple[str, str]]:
    """Method and path of every POST and PUT that there is, but for those of sessions."""
    return [
        (endpoint.method, filled(endpoint.path, names))
        for module in RESOURCES
        for endpoint in module.ENDPOINTS
        if endpoint.method in ("POST", "PUT") and not endpoint.path.startswith("/auth")
    ]


def bodies(kind: str, asked: str) -> list[tuple[str, str]]:
    """A request of this content type: as it is, and with files; each with the content type of the whole."""
    part = '--x\r\nContent-Disposition: name="{}"; filename="a.twb"\r\nContent-Type: {}\r\n\r\n{}\r\n'
    parts = (
        ("request_payload", kind, asked),
        ("tableau_workbook", "application/octet-stream", "<workbook/>"),
        ("tableau_file", "application/octet-stream", "grabbed"),
    )
    several = "".join(part.format(*each) for each in parts) + "--x--\r\n"
    return [(kind, asked), ("multipart/mixed; boundary=x", several)]
