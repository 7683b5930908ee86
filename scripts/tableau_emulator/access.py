"""Works out a user's capabilities as Tableau does.

An administrator may do everything. Nobody else may do more than the site role allows. Within that limit, the owner of
content and the leader of its project may do everything with it. For others the user's own rules decide, or if there are
none, the rules of the user's groups. Deny wins over allow. What no rule allows is not allowed.
"""

import sqlite3
from collections.abc import Mapping
from functools import cached_property
from typing import NamedTuple

from tableau_emulator.capabilities import ADMINISTRATORS, within_role
from tableau_emulator.state import State


class Place(NamedTuple):
    """Where rules are kept: the LUID of a project or content, and 'own', or a kind of content for defaults."""

    content_id: str
    scope: str


class _Rows(dict[str, sqlite3.Row]):
    """Rows of a table by LUID, read when they are asked for."""

    def __init__(self, state: State, table: str) -> None:
        super().__init__()
        self._state, self._table = state, table

    def __missing__(self, luid: str) -> sqlite3.Row:
        self[luid] = self._state.all(f"select * from {self._table} where id = ?", luid)[0]
        return self[luid]


class Access:
    """What one user may do on the user's site. It is read once per call."""

    def __init__(self, state: State, user: sqlite3.Row) -> None:
        self._state = state
        self.user = user
        self.site_id = str(user["site_id"])
        self.administrator = user["site_role"] in ADMINISTRATORS
        self.server_administrator = user["site_role"] == "ServerAdministrator"

    @cached_property
    def groups(self) -> frozenset[str]:
        """The LUIDs of the groups that the user is in."""
        rows = self._state.all("select group_id from membership where user_id = ?", self.user["id"])
        return frozenset(row["group_id"] for row in rows)

    @cached_property
    def projects(self) -> Mapping[str, sqlite3.Row]:
        """The projects of the site by LUID."""
        return _Rows(self._state, "project")

    @cached_property
    def workbooks(self) -> Mapping[str, sqlite3.Row]:
        """The workbooks of the site by LUID."""
        return _Rows(self._state, "workbook")

    @cached_property
    def _rules(self) -> dict[tuple[Place, str], set[tuple[str, str]]]:
        """The rules that apply to the user: by place and capability, pairs of the kind of grantee and the mode."""
        rows = self._state.all(
            "select * from rule where (grantee_kind = 'user' and grantee_id = ?) or (grantee_kind = 'group' "
            "and grantee_id in (select group_id from membership where user_id = ?))",
            self.user["id"], self.user["id"],
        )  # fmt: skip
        found: dict[tuple[Place, str], set[tuple[str, str]]] = {}
        for row in rows:
            key = Place(row["content_id"], row["scope"]), row["capability"]
            found.setdefault(key, set()).add((row["grantee_kind"], row["mode"]))
        return found

    def may(self, kind: str, row: sqlite3.Row, capability: str) -> bool:
        """Whether the user has a capability on a project or on content."""
        if self.administrator:
            return True
        if not within_role(self.user["site_role"], kind, capability):
            return False
        content = self.workbooks[row["workbook_id"]] if kind == "view" else row
        project_id = row["id"] if kind == "project" else content["project_id"]
        if content["owner_id"] == self.user["id"] or self.leads(project_id):
            return True
        return self._allowed(place(self.projects, self.workbooks, kind, row), capability)

    def leads(self, project_id: str | None) -> bool:
        """Whether the user is administrator, or owner or leader of the project or of one above it."""
        while not self.administrator and project_id is not None:
            project = self.projects[project_id]
            if self.user["site_role"] in ("Unlicensed", "Viewer", "Guest"):
                return False
            if project["owner_id"] == self.user["id"]:
                return True
            if self._allowed(place(self.projects, {}, "project", project), "ProjectLeader"):
                return True
            project_id = project["parent_id"]
        return self.administrator

    def _allowed(self, where: Place, capability: str) -> bool:
        rules = self._rules.get((where, capability), set())
        for kind in ("user", "group"):
            if (kind, "Deny") in rules:
                return False
            if (kind, "Allow") in rules:
                return True
        return False

    def sees_all_users(self) -> bool:
        """Whether other users and groups are shown to the user."""
        return self.administrator or self._state.setting(self.site_id, "userVisibilityMode") != "LIMITED"


def place(
    projects: Mapping[str, sqlite3.Row], workbooks: Mapping[str, sqlite3.Row], kind: str, row: sqlite3.Row
) -> Place:
    """Where the rules for a project or content are kept, given the projects and workbooks of the site."""
    if kind == "project":
        return Place(controlling(projects, row) or row["id"], "own")
    if kind == "view":
        workbook = workbooks[row["workbook_id"]]
        follows = locked_by(projects, workbook["project_id"])
        if follows is not None:
            return Place(follows, "workbook")
        return Place(workbook["id"] if workbook["show_tabs"] else row["id"], "own")
    follows = locked_by(projects, row["project_id"])
    return Place(row["id"], "own") if follows is None else Place(follows, kind)


def controlling(projects: Mapping[str, sqlite3.Row], project: sqlite3.Row) -> str | None:
    """The LUID of the outermost project above `project` that is locked including nested projects, if any."""
    found = None
    parent_id = project["parent_id"]
    while parent_id is not None:
        parent = projects[parent_id]
        if parent["content_permissions"] == "LockedToProject":
            found = str(parent["id"])
        parent_id = parent["parent_id"]
    return found


def locked_by(projects: Mapping[str, sqlite3.Row], project_id: str) -> str | None:
    """The LUID of the project whose defaults apply to content of `project_id`; None if content has its own rules."""
    project = projects[project_id]
    locked = project["content_permissions"] != "ManagedByOwner"
    return controlling(projects, project) or (project_id if locked else None)
