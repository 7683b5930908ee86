"""Groups."""

import sqlite3

from starlette.responses import Response

from callmart.emulator import xml
from callmart.emulator.call import Call, Endpoint
from callmart.emulator.errors import ApiError
from callmart.emulator.query import page
from callmart.emulator.state import ALL_USERS, new_luid


def query(call: Call) -> Response:
    return page(call, "groups", call.state.all("select * from user_group order by name"), _fields, _render)


def create(call: Call) -> Response:
    name = call.request("group").get("name", "")
    if not name:
        raise ApiError(400, "000", "A group needs a name.")
    if call.state.one("select 1 from user_group where name = ?", name) is not None:
        raise ApiError(409, "009", f"A group with the name '{name}' already exists.")
    luid = new_luid()
    call.state.write("insert into user_group values (?, ?)", luid, name)
    row = call.state.all("select * from user_group where id = ?", luid)[0]
    return xml.reply(_render(row), status=201)


def delete(call: Call) -> Response:
    group = call.resource("group")
    if group["name"] == ALL_USERS:
        raise ApiError(403, "004", f"The group '{ALL_USERS}' can't be deleted.")
    call.state.write("delete from rule where grantee_kind = 'group' and grantee_id = ?", group["id"])
    call.state.write("delete from user_group where id = ?", group["id"])
    return Response(status_code=204)


def _fields(group: sqlite3.Row) -> dict[str, str]:
    return {"name": group["name"], "luid": group["id"], "domainName": "local", "isLocal": "true"}


def _render(group: sqlite3.Row) -> xml.Element:
    return xml.element("group", xml.element("domain", name="local"), id=group["id"], name=group["name"])


ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/groups", query),
    Endpoint("POST", "/sites/{site}/groups", create),
    Endpoint("DELETE", "/sites/{site}/groups/{group}", delete),
)
