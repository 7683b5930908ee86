"""Publishes data sources and workbooks, from a file in the request or an upload session, at once or as a job.

Overwritten content keeps its LUID, tags and permissions. Its previous file becomes a revision.
"""

import re
import shutil
import sqlite3
from collections.abc import Callable

from starlette.responses import Response

from tableau_emulator import connections, jobs, revisions, uploads, validation, xml
from tableau_emulator.access import locked_by
from tableau_emulator.call import Call
from tableau_emulator.errors import absent, forbidden, malformed
from tableau_emulator.state import append, new_luid, now

Settle = Callable[[Call, sqlite3.Row, xml.Element | None, xml.Element], None]


def publish(
    call: Call,
    kind: str,
    types: tuple[str, ...],
    settle: Settle,
    render: Callable[[sqlite3.Row], xml.Element],
) -> Response:
    """Creates, overwrites or appends to content of a kind.

    `settle` is called with the row, the document in the file and the request. Appending only makes a data source's file
    larger, as extracts are never opened.
    """
    given = uploads.parts(call)
    asked = uploads.payload(call, kind)
    project, name = _project(call, asked), asked.get("name", "")
    if not name:
        raise malformed(f"A {kind} needs a name.")
    overwrites, adds = call.flag("overwrite"), kind == "datasource" and call.flag("append")
    if overwrites and adds:
        raise malformed("overwrite and append can't both be true.", "055")
    old = call.state.one(f"select * from {kind} where project_id = ? and name = ?", project["id"], name)
    if old is None and adds:
        raise absent(kind, name)
    if old is not None and not (overwrites or adds):
        raise forbidden(f"A {kind} named '{name}' exists and overwrite is not set.", "007")
    if old is not None:
        call.find(kind, old["id"], "Write")
    luid = old["id"] if old else new_luid()

    def store() -> None:
        file, file_type = uploads.receive(call, given, kind, types)
        root = connections.document(call.state.files / file, file_type)
        validation.refuse(root)
        if adds:
            _join(call, luid, file)
        size = (call.state.files / file).stat().st_size
        _write(call, kind, luid, old, project, asked, file_type, size)
        revisions.add(call, luid, file, size)
        if not adds:
            settle(call, call.find(kind, luid), root, asked)

    if call.flag("asJob"):
        job = jobs.start(call, f"Publish{kind.capitalize()}", kind, luid, name)
        if not jobs.fails(job):
            store()
        return jobs.reply(call, job)
    store()
    return call.created(render(call.find(kind, luid)))


def _project(call: Call, asked: xml.Element) -> sqlite3.Row:
    """The project that a publish request names, or Default. Raises ApiError if the user may not publish in it."""
    wanted = asked.find("project")
    if wanted is not None:
        return call.find("project", wanted.get("id", ""), "Write", "007")
    default = call.state.one(
        "select id from project where name = 'Default' and parent_id is null and site_id = ?", call.site_id
    )
    if default is None:
        raise absent("project", "Default")
    return call.find("project", default["id"], "Write", "007")


def _join(call: Call, luid: str, file: str) -> None:
    """Puts the previously published file before a new file."""
    path = call.state.files / file
    added = path.read_bytes()
    shutil.copyfile(revisions.current(call.state, luid), path)
    append(path, added)


def _write(
    call: Call,
    kind: str,
    luid: str,
    old: sqlite3.Row | None,
    project: sqlite3.Row,
    asked: xml.Element,
    file_type: str,
    size: int,
) -> None:
    name, at = asked.get("name"), now()
    if old is not None:
        call.state.update(
            kind, luid, description=asked.get("description", old["description"]), type=file_type, size=size,
            updated_at=at,
        )  # fmt: skip
        return
    call.state.insert(
        kind, id=luid, site_id=call.site_id, name=name, description=asked.get("description", ""),
        content_url=_free_url(call, kind, name), type=file_type, project_id=project["id"],
        owner_id=call.user_id, size=size, created_at=at, updated_at=at,
    )  # fmt: skip
    # New content gets its project's default rules for its kind.
    source = locked_by(call.access.projects, project["id"]) or project["id"]
    call.state.write(
        "insert into rule select ?, 'own', grantee_kind, grantee_id, capability, mode from rule "
        "where content_id = ? and scope = ?",
        luid, source, kind,
    )  # fmt: skip


def _free_url(call: Call, kind: str, name: str) -> str:
    """A content URL that no other content of the kind has on the site."""
    bare = re.sub(r"\W", "", name) or kind
    number, url = 0, bare
    while call.state.one(f"select 1 from {kind} where site_id = ? and content_url = ?", call.site_id, url):
        number += 1
        url = f"{bare}_{number}"
    return url
