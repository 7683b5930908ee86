"""Faults at random, by a seed; and all that an emulated Tableau holds of ours, in names, read from its own database."""

from hashlib import sha256
from pathlib import Path
from random import Random
from typing import Any
from zipfile import ZipFile, is_zipfile

from tableau_emulator import revisions
from tableau_emulator.faults import Fault
from tableau_emulator.state import State

Held = list[tuple[Any, ...]]

_PATHS = (
    "/signin$", "/serverinfo$", "/sites/[^/]+$", "/projects", "/groups", "/users", "/datasources", "/workbooks",
    "/views", "/permissions", "/default-permissions/", "/tags", "/connections", "/fileUploads", "/jobs",
    "/subscriptions", "/schedules", "/",
)  # fmt: skip
_METHODS = ("GET", "POST", "PUT", "DELETE", ".*", "POST|PUT|DELETE")


def faults(random: Random) -> list[Fault]:
    """One to six faults, of all kinds."""
    return [_fault(random) for _ in range(random.randint(1, 6))]


def _fault(random: Random) -> Fault:
    where: dict[str, Any] = {
        "method": random.choice(_METHODS),
        "path": random.choice(_PATHS),
        "skip": int(random.expovariate(0.15)),
        "count": random.choice((1, 1, 2, 4, 8, 30)),
    }
    match random.choice(
        ("status", "status", "html", "slow", "truncated", "cut", "session", "lag", "job", "credentials")
    ):
        case "status":
            return Fault(
                "status", **where, status=random.choice((403, 404, 409, 429, 429, 500, 502, 503, 504)),
                body=random.choice(("xml", "html", "none")), retry_after=random.choice((None, 0, 1)),
            )  # fmt: skip
        case "slow":
            return Fault("slow", **where, seconds=0.01)
        case "lag":
            return Fault("lag", path=where["path"], requests=random.randint(1, 8))
        case "job":
            return Fault(
                "job", **where, outcome=random.choice(("Success", "Failed", "Cancelled")),
                polls=random.choice((0, 2, None)),
            )  # fmt: skip
        case kind:
            return Fault(kind, **where)


_CONTENT = """
    select p.id, p.name, p.description as owner, p.id as project_id from project as p
    union all select d.id, d.name, d.description, d.project_id from datasource as d
    union all select w.id, w.name, w.description, w.project_id from workbook as w
"""
_QUERIES = (
    "select '', 'site', settings from site",
    "select '', 'user', name, site_role from user",
    "select '', 'schedule', name, frequency, details from schedule",
    "select replace(name, '-', ' '), 'group', name from user_group",
    """
    select replace(g.name, '-', ' '), 'member', g.name, u.name
    from membership join user_group as g on g.id = group_id join user as u on u.id = user_id
    """,
    """
    select p.description, 'project', p.name, p.content_permissions, parent.name
    from project as p left join project as parent on parent.id = p.parent_id
    """,
    f"""
    select c.owner, 'rule', c.name, r.scope, coalesce(g.name, u.name), r.capability, r.mode
    from rule as r join ({_CONTENT}) as c on c.id = r.content_id
    left join user_group as g on g.id = r.grantee_id left join user as u on u.id = r.grantee_id
    """,
    f"""
    select c.owner, 'connection', p.name, c.name, k.type, k.user_name, k.embed, of.name, d.name
    from connection as k join ({_CONTENT}) as c on c.id = k.content_id join project as p on p.id = c.project_id
    left join datasource as d on d.id = k.datasource_id left join project as of on of.id = d.project_id
    """,
    f"""
    select c.owner, 'mail', w.name, v.name, s.subject, s.message, s.suspended, u.name, t.name
    from subscription as s join view as v on v.id = s.content_id join workbook as w on w.id = v.workbook_id
    join ({_CONTENT}) as c on c.id = w.id join user as u on u.id = s.user_id
    left join schedule as t on t.id = s.schedule_id
    """,
    "select w.description, 'view', w.name, v.name, v.hidden from view as v join workbook as w on w.id = v.workbook_id",
)


def held(state: State) -> Held:
    """What stands there, each thing as often as it is there; first the mark of the customer that it is of."""
    found = [tuple(row) for query in _QUERIES for row in state.all(query)]
    for table in ("datasource", "workbook"):
        for row in state.all(f"select * from {table}"):
            # the tag of a workbook says where its data source stands, which is left to chance
            tags = [
                tag["label"] for tag in state.all("select label from tag where content_id = ?", row["id"])
            ]
            found.append(
                (row["description"], table, row["name"], tags if table == "datasource" else len(tags),
                 _digest(revisions.current(state, row["id"])))
            )  # fmt: skip
    return sorted(found, key=str)


def _digest(file: Path) -> str:
    """Of the extract in a data source; a workbook names where its data source stands."""
    if not is_zipfile(file):
        return ""
    with ZipFile(file) as packed:
        return "".join(
            sha256(packed.read(name)).hexdigest() for name in packed.namelist() if name.endswith(".hyper")
        )
