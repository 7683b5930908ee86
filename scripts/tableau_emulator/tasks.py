"""Tasks that refresh extracts: on a schedule as on Tableau Server, or with a frequency as on Tableau Cloud.

They run only on request, never at the scheduled time.
"""

import sqlite3

from starlette.responses import Response

from tableau_emulator import jobs, schedules, xml
from tableau_emulator.call import Call, Endpoint, Handler, named
from tableau_emulator.errors import forbidden, malformed
from tableau_emulator.query import page
from tableau_emulator.state import new_luid, now

_KINDS = ("datasource", "workbook")
_TYPES = ("FullRefresh", "IncrementalRefresh")


def query(call: Call) -> Response:
    rows = call.state.all("select * from task where site_id = ? order by created_at, id", call.site_id)
    shown = [row for row in rows if _may_refresh(call, row["content_kind"], row["content_id"])]
    return xml.reply(xml.element("tasks", *(_render(call, row) for row in shown)))


def query_one(call: Call) -> Response:
    return xml.reply(_render(call, _own(call)))


def create(call: Call) -> Response:
    """Creates a task as on Tableau Cloud, with a `schedule` beside the `extractRefresh`."""
    asked = call.request("extractRefresh")
    kind, luid = _content(call, asked)
    luid = _add(call, kind, luid, asked, None, _frequency(asked))
    return call.created(_refresh(call, call.find("task", luid)), luid)


def update(call: Call) -> Response:
    """Changes the frequency or type, as on Tableau Cloud."""
    task, asked = _own(call), call.request("extractRefresh")
    frequency = _frequency(asked)
    call.state.update(
        "task",
        task["id"],
        type=_type(asked),
        schedule_id=None,
        frequency=frequency.name,
        details=frequency.details,
    )
    return xml.reply(_refresh(call, call.find("task", task["id"])))


def delete(call: Call) -> Response:
    call.state.write("delete from task where id = ?", _own(call)["id"])
    return Response(status_code=204)


def run(call: Call) -> Response:
    task = _own(call)
    content = call.find(task["content_kind"], task["content_id"])
    return jobs.reply(call, jobs.start_refresh(call, task["content_kind"], content), status=200)


def add_to_schedule(kind: str) -> Handler:
    """Adds content to a schedule, as on Tableau Server. Content that is already on it is not added again."""

    def handler(call: Call) -> Response:
        schedule = _schedule(call)
        asked = call.request("task").find("extractRefresh")
        if asked is None or asked.find(kind) is None:
            raise malformed(f"The request names no {kind} to refresh.")
        _, luid = _content(call, asked)
        old = call.state.one(
            "select id from task where content_id = ? and schedule_id = ?", luid, schedule["id"]
        )
        task = old["id"] if old else _add(call, kind, luid, asked, schedule["id"], None)
        return xml.reply(_render(call, call.find("task", task)))

    return handler


def query_of_schedule(call: Call) -> Response:
    rows = call.state.all(
        "select * from task where schedule_id = ? and site_id = ? order by created_at, id",
        _schedule(call)["id"], call.site_id,
    )  # fmt: skip
    shown = [row for row in rows if _may_refresh(call, row["content_kind"], row["content_id"])]
    return page(
        call, "extracts", shown, lambda row: {"priority": row["priority"]},
        lambda row: xml.element(
            "extract", xml.element(row["content_kind"], id=row["content_id"]), id=row["id"],
            priority=row["priority"], type=row["type"],
        ),
    )  # fmt: skip


def _add(
    call: Call,
    kind: str,
    luid: str,
    asked: xml.Element,
    schedule: str | None,
    frequency: schedules.Frequency | None,
) -> str:
    task = new_luid()
    call.state.insert(
        "task", id=task, site_id=call.site_id, content_kind=kind, content_id=luid, type=_type(asked), priority=50,
        schedule_id=schedule, frequency=frequency and frequency.name, details=frequency and frequency.details,
        created_at=now(),
    )  # fmt: skip
    return task


def _content(call: Call, asked: xml.Element) -> tuple[str, str]:
    """The kind and LUID of the content to refresh. Raises ApiError if the user may not refresh it."""
    kind = next((kind for kind in _KINDS if asked.find(kind) is not None), None)
    if kind is None:
        raise malformed(f"The request names no {' or '.join(_KINDS)} to refresh.")
    luid = str(call.find(kind, named(asked, kind))["id"])
    if not _may_refresh(call, kind, luid):
        raise forbidden("Only the owner or the leader of the project may refresh it.", "032")
    return kind, luid


def _own(call: Call) -> sqlite3.Row:
    task = call.resource("task")
    if not _may_refresh(call, task["content_kind"], task["content_id"]):
        raise forbidden("Only the owner or the leader of the project may refresh it.", "032")
    return task


def _may_refresh(call: Call, kind: str, luid: str) -> bool:
    row = call.find(kind, luid)
    return bool(row["owner_id"] == call.user_id or call.access.leads(row["project_id"]))


def _schedule(call: Call) -> sqlite3.Row:
    schedule = call.resource("schedule")
    if schedule["type"] != "Extract":
        raise malformed("The schedule is not for extracts.", "047")
    return schedule


def _frequency(asked: xml.Element) -> schedules.Frequency:
    beside = asked.getparent().find("schedule")
    if beside is None:
        raise malformed("The request has no schedule beside the extractRefresh.")
    return schedules.read_frequency(beside)


def _type(asked: xml.Element) -> str:
    wanted: str = asked.get("type", "FullRefresh")
    if wanted not in _TYPES:
        raise malformed(f"'{wanted}' is not one of {', '.join(_TYPES)}.")
    return wanted


def _refresh(call: Call, task: sqlite3.Row) -> xml.Element:
    return xml.element(
        "extractRefresh", xml.element(task["content_kind"], id=task["content_id"]), schedules.reference(call, task),
        id=task["id"], priority=task["priority"], consecutiveFailedCount=0, type="RefreshExtractTask",
        incremental=task["type"] == "IncrementalRefresh",
    )  # fmt: skip


def _render(call: Call, task: sqlite3.Row) -> xml.Element:
    return xml.element("task", _refresh(call, task))


_ALL = "/sites/{site}/tasks/extractRefreshes"
_OF_SCHEDULE = "/sites/{site}/schedules/{schedule}"
ENDPOINTS = (
    Endpoint("GET", _ALL, query),
    Endpoint("POST", _ALL, create),
    Endpoint("GET", _ALL + "/{task}", query_one),
    Endpoint("POST", _ALL + "/{task}", update),
    Endpoint("DELETE", _ALL + "/{task}", delete),
    Endpoint("POST", _ALL + "/{task}/runNow", run),
    *(Endpoint("PUT", f"{_OF_SCHEDULE}/{kind}s", add_to_schedule(kind)) for kind in _KINDS),
    Endpoint("GET", _OF_SCHEDULE + "/extracts", query_of_schedule),
)
