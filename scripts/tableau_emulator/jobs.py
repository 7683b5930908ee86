"""Jobs: work for which an answer does not wait. A fault can make a job slow, endless or failing."""

import sqlite3

from starlette.responses import Response

from tableau_emulator import faults, xml
from tableau_emulator.call import Call, Endpoint, Handler
from tableau_emulator.errors import absent, conflict, forbidden
from tableau_emulator.query import Fields, page
from tableau_emulator.state import State, new_luid, now

FINISH_CODES = {"Success": 0, "Failed": 1, "Cancelled": 2}


def start(call: Call, kind: str, content_kind: str, content_id: str | None, title: str) -> sqlite3.Row:
    """A new job. It has ended at the first query, unless a fault changes that."""
    fault = faults.take(call, "job") or faults.Fault("job", outcome="Success", polls=0)
    luid = new_luid()
    call.state.insert(
        "job", id=luid, site_id=call.site_id, type=kind, user_id=call.user_id, content_kind=content_kind,
        content_id=content_id, title=title, polls=fault.polls, outcome=fault.outcome, notes=fault.message,
        created_at=now(),
    )  # fmt: skip
    return call.find("job", luid)


def fails(job: sqlite3.Row) -> bool:
    """Whether the job will fail. Then it must not change anything."""
    return bool(job["outcome"] != "Success")


def finish(state: State, luid: str, outcome: str = "Success", notes: str = "") -> None:
    """Ends a running job."""
    with state.transaction():
        state.update("job", luid, ended_at=now(), outcome=outcome, notes=notes)


def start_refresh(call: Call, kind: str, row: sqlite3.Row) -> sqlite3.Row:
    """A new job that refreshes the extract of content. Only one can run at a time."""
    running = call.state.one(
        "select 1 from job where content_id = ? and type = 'RefreshExtract' and ended_at is null "
        "and (polls is null or polls > 0)",
        row["id"],
    )
    if running is not None:
        raise conflict(f"A refresh of {kind} '{row['id']}' is already running.", "093")
    return start(call, "RefreshExtract", kind, row["id"], row["name"])


def reply(call: Call, job: sqlite3.Row, status: int = 202) -> Response:
    """The answer to the request that started a job."""
    return xml.reply(_render(job), status=status)


def refresh(kind: str) -> Handler:
    """Starts a refresh of the extract of content."""

    def handler(call: Call) -> Response:
        return reply(call, start_refresh(call, kind, call.resource(kind, "ExtractRefresh")))

    return handler


def query(call: Call) -> Response:
    rows = call.state.all("select * from job where site_id = ? order by created_at desc, id", call.site_id)
    shown = [row for row in rows if call.access.administrator or row["user_id"] == call.user_id]
    return page(call, "backgroundJobs", shown, _fields, _render_background)


def query_one(call: Call) -> Response:
    job = _visible(call)
    if job["ended_at"] is None and job["polls"] is not None:
        if job["polls"] > 0:
            call.state.update("job", job["id"], polls=job["polls"] - 1)
        else:
            call.state.update("job", job["id"], ended_at=now())
    return xml.reply(_render(call.find("job", job["id"])))


def cancel(call: Call) -> Response:
    job = _visible(call)
    if not call.access.administrator:
        raise forbidden("Only an administrator may cancel a job.", "032")
    if job["ended_at"] is not None:
        raise forbidden(f"Job '{job['id']}' has ended.", "091")
    call.state.update("job", job["id"], ended_at=now(), outcome="Cancelled")
    return Response(status_code=200)


def _visible(call: Call) -> sqlite3.Row:
    job = call.resource("job")
    if not call.access.administrator and job["user_id"] != call.user_id:
        raise absent("job", job["id"])
    return job


def _status(job: sqlite3.Row) -> str:
    return str(job["outcome"]) if job["ended_at"] else "InProgress"


def _fields(job: sqlite3.Row) -> Fields:
    return {
        "jobType": job["type"],
        "status": _status(job),
        "createdAt": job["created_at"],
        "startedAt": job["created_at"],
        "completedAt": job["ended_at"] or "",
        "title": job["title"],
        "subtitle": "",
        "args": "",
        "notes": job["notes"],
        "priority": 50,
        "progress": 100 if job["ended_at"] else 0,
    }


def _render_background(job: sqlite3.Row) -> xml.Element:
    return xml.element(
        "backgroundJob", id=job["id"], status=_status(job), createdAt=job["created_at"],
        startedAt=job["created_at"], endedAt=job["ended_at"], priority=50, jobType=job["type"],
        title=job["title"],
    )  # fmt: skip


def _render(job: sqlite3.Row) -> xml.Element:
    detail = []
    if job["type"] == "RefreshExtract":
        about = xml.element(job["content_kind"], id=job["content_id"], name=job["title"])
        detail = [xml.element("extractRefreshJob", about, xml.element("notes", job["notes"]))]
    return xml.element(
        "job", *detail, id=job["id"], mode="Asynchronous", type=job["type"],
        progress=100 if job["ended_at"] else 0, createdAt=job["created_at"], startedAt=job["created_at"],
        completedAt=job["ended_at"], finishCode=FINISH_CODES[job["outcome"]] if job["ended_at"] else None,
    )  # fmt: skip


ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/jobs", query),
    Endpoint("GET", "/sites/{site}/jobs/{job}", query_one),
    Endpoint("PUT", "/sites/{site}/jobs/{job}", cancel),
)
