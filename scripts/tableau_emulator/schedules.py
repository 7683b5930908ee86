"""Schedules of Tableau Server, and the frequencies that Tableau Cloud has instead."""

import json
import re
import sqlite3
from typing import NamedTuple

from starlette.responses import Response

from tableau_emulator import xml
from tableau_emulator.call import Call, Endpoint
from tableau_emulator.errors import conflict, malformed
from tableau_emulator.query import Fields, page
from tableau_emulator.state import new_luid, now

_TYPES = ("Extract", "Subscription", "Flow", "DataAcceleration", "ActiveDirectorySync")
_TIME = re.compile(r"([01]\d|2[0-3]):[0-5]\d:[0-5]\d")
_STATES = ("Active", "Suspended")
_DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_INTERVALS = {
    "weekDay": set(_DAYS),
    "hours": {"1", "2", "4", "6", "8", "12", "24"},
    "minutes": {"15", "30", "60"},
    "monthDay": {
        *(str(day) for day in range(1, 32)),
        "LastDay",
        "First",
        "Second",
        "Third",
        "Fourth",
        "Fifth",
        "Last",
    },
}
_NEEDED = {"Weekly": "weekDay", "Monthly": "monthDay"}


class Frequency(NamedTuple):
    """How often, and the details as JSON."""

    name: str
    details: str


def read_frequency(asked: xml.Element) -> Frequency:
    """The frequency in a schedule. Raises ApiError 400 if it is not valid."""
    frequency, details = asked.get("frequency", ""), asked.find("frequencyDetails")
    if frequency not in ("Hourly", "Daily", "Weekly", "Monthly") or details is None:
        raise malformed("A schedule needs a frequency and frequencyDetails.")
    start, end = details.get("start", ""), details.get("end")
    if not _TIME.fullmatch(start) or (end is not None and not _TIME.fullmatch(end)):
        raise malformed("The start or end of a schedule is not a time such as 07:00:00.")
    intervals = [list(each.attrib.items()) for each in details.iterfind("intervals/interval")]
    for key, value in (pair for each in intervals for pair in each):
        if value not in _INTERVALS.get(key, ()):
            raise malformed(f"'{value}' is not a valid {key} of a schedule.")
    needed = _NEEDED.get(frequency)
    if needed is not None and not any(key == needed for each in intervals for key, _ in each):
        raise malformed(f"A schedule that is {frequency} needs an interval with {needed}.")
    return Frequency(frequency, json.dumps({"start": start, "end": end, "intervals": intervals}))


def _render_details(details: str) -> xml.Element:
    """The details of a frequency as the API shows them."""
    kept = json.loads(details)
    intervals = [xml.element("interval", **dict(each)) for each in kept["intervals"]]
    return xml.element(
        "frequencyDetails", xml.element("intervals", *intervals), start=kept["start"], end=kept["end"]
    )


def query(call: Call) -> Response:
    return page(
        call, "schedules", call.state.all("select * from schedule order by name"), _fields, _render_short
    )


def query_one(call: Call) -> Response:
    return xml.reply(_render(call.resource("schedule")))


def create(call: Call) -> Response:
    call.administer_server()
    asked = call.request("schedule")
    name, kind = asked.get("name", ""), asked.get("type", "")
    if not name or kind not in _TYPES:
        raise malformed("A schedule needs a name and a type.")
    frequency, luid, at = read_frequency(asked), new_luid(), now()
    _free(call, name)
    call.state.insert(
        "schedule", id=luid, name=name, type=kind, priority=_priority(asked, 50),
        execution_order=_order(asked, "Parallel"), state="Active", frequency=frequency.name,
        details=frequency.details, created_at=at, updated_at=at,
    )  # fmt: skip
    return call.created(_render(call.find("schedule", luid)))


def update(call: Call) -> Response:
    call.administer_server()
    schedule, asked = call.resource("schedule"), call.request("schedule")
    name, state = asked.get("name", schedule["name"]), asked.get("state", schedule["state"])
    if name != schedule["name"]:
        _free(call, name)
    if state not in _STATES:
        raise malformed(f"'{state}' is not a state of a schedule.", "008")
    frequency = Frequency(schedule["frequency"], schedule["details"])
    if asked.find("frequencyDetails") is not None:
        frequency = read_frequency(asked)
    call.state.update(
        "schedule", schedule["id"], name=name, state=state, priority=_priority(asked, schedule["priority"]),
        execution_order=_order(asked, schedule["execution_order"]), frequency=frequency.name,
        details=frequency.details, updated_at=now(),
    )  # fmt: skip
    return xml.reply(_render(call.find("schedule", schedule["id"])))


def update_many(call: Call) -> Response:
    """Sets the state of several schedules, or of all."""
    call.administer_server()
    state = call.query.get("state", "").capitalize()
    if state not in _STATES:
        raise malformed(f"'{state}' is not a state of a schedule.", "008")
    if call.flag("updateAll"):
        luids = [row["id"] for row in call.state.all("select id from schedule order by name")]
    else:
        luids = [node.text or "" for node in call.request("scheduleLuids").iterfind("scheduleLuid")]
    for luid in luids:
        call.state.update("schedule", call.find("schedule", luid)["id"], state=state, updated_at=now())
    return xml.reply(xml.element("scheduleLuids", *(xml.element("scheduleLuid", luid) for luid in luids)))


def delete(call: Call) -> Response:
    """Deletes a schedule with its subscriptions and tasks."""
    call.administer_server()
    call.state.write("delete from schedule where id = ?", call.resource("schedule")["id"])
    return Response(status_code=204)


def _free(call: Call, name: str) -> None:
    if call.state.one("select 1 from schedule where name = ?", name) is not None:
        raise conflict(f"A schedule '{name}' already exists.", "021")


def _priority(asked: xml.Element, default: int) -> int:
    text = asked.get("priority", str(default))
    if not re.fullmatch(r"[1-9][0-9]?|100", text):
        raise malformed("The priority of a schedule is a number from 1 to 100.")
    return int(text)


def _order(asked: xml.Element, default: str) -> str:
    order: str = asked.get("executionOrder", default)
    if order not in ("Parallel", "Serial"):
        raise malformed(f"'{order}' is not a value of executionOrder.")
    return order


def _fields(schedule: sqlite3.Row) -> Fields:
    return {
        "name": schedule["name"],
        "luid": schedule["id"],
        "type": schedule["type"],
        "state": schedule["state"],
    }


def reference(call: Call, row: sqlite3.Row) -> xml.Element:
    """The schedule of a subscription or task, or its frequency."""
    if row["schedule_id"] is None:
        return xml.element("schedule", _render_details(row["details"]), frequency=row["frequency"])
    schedule = call.find("schedule", row["schedule_id"])
    return xml.element("schedule", id=schedule["id"], name=schedule["name"])


def _attributes(schedule: sqlite3.Row) -> dict[str, str | int]:
    return {
        "id": schedule["id"],
        "name": schedule["name"],
        "state": schedule["state"],
        "priority": schedule["priority"],
        "createdAt": schedule["created_at"],
        "updatedAt": schedule["updated_at"],
        "type": schedule["type"],
        "frequency": schedule["frequency"],
    }


def _render_short(schedule: sqlite3.Row) -> xml.Element:
    return xml.element("schedule", **_attributes(schedule))


def _render(schedule: sqlite3.Row) -> xml.Element:
    details = _render_details(schedule["details"])
    return xml.element(
        "schedule", details, **_attributes(schedule), executionOrder=schedule["execution_order"]
    )


ENDPOINTS = (
    Endpoint("GET", "/schedules", query),
    Endpoint("POST", "/schedules", create),
    Endpoint("PUT", "/schedules", update_many),
    Endpoint("GET", "/schedules/{schedule}", query_one),
    Endpoint("PUT", "/schedules/{schedule}", update),
    Endpoint("DELETE", "/schedules/{schedule}", delete),
)
