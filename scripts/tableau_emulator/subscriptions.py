"""Mail subscriptions: on a schedule as on Tableau Server, or with their own frequency as on Tableau Cloud.

On Tableau Cloud, the frequency is in a `schedule` beside the `subscription`. No mail is ever sent.
"""

import sqlite3

from starlette.responses import Response

from tableau_emulator import schedules, xml
from tableau_emulator.access import Access
from tableau_emulator.call import Call, Endpoint, luid_of, named
from tableau_emulator.errors import forbidden, malformed
from tableau_emulator.query import Fields, page
from tableau_emulator.state import new_luid, now

_PAGE_SIZES = (
    "A3", "A4", "A5", "B4", "B5", "EXECUTIVE", "FOLIO", "LEDGER", "LEGAL", "LETTER", "NOTE", "QUARTO", "TABLOID",
)  # fmt: skip
_ORIENTATIONS = ("PORTRAIT", "LANDSCAPE")


def query(call: Call) -> Response:
    rows = call.state.all(
        "select * from subscription where site_id = ? order by created_at, id", call.site_id
    )
    shown = [row for row in rows if _may_see(call, row)]
    return page(call, "subscriptions", shown, _fields, lambda row: _render(call, row))


def query_one(call: Call) -> Response:
    return xml.reply(_render(call, _own(call, "058")))


def create(call: Call) -> Response:
    """Subscribes a user to a view or workbook that the user may see."""
    asked = call.request("subscription")
    target = asked.find("content")
    kind = "" if target is None else target.get("type", "").lower()
    if target is None or kind not in ("view", "workbook"):
        raise malformed("A subscription needs content of type View or Workbook.", "068")
    content = call.find(kind, target.get("id", ""), "Read", "060")
    user = call.find("user", named(asked, "user"))
    if not asked.get("subject"):
        raise malformed("A subscription needs a subject.", "067")
    _allowed(call, user, kind, content)
    schedule_id, frequency = _when(call, asked)
    if schedule_id is None and frequency is None:
        raise malformed("A subscription needs a schedule, or a schedule with a frequency beside it.")
    if schedule_id is not None and not user["email"]:  # on Tableau Cloud the address is the name
        raise forbidden("The user to be subscribed has no mail address.", "064")
    luid = new_luid()
    call.state.insert(
        "subscription", id=luid, site_id=call.site_id, subject=asked.get("subject"),
        message=asked.get("message"), attach_image=_flag(asked, "attachImage", True),
        attach_pdf=_flag(asked, "attachPdf", False), page_orientation=_one_of(asked, "pageOrientation", _ORIENTATIONS),
        page_size_option=_one_of(asked, "pageSizeOption", _PAGE_SIZES), suspended=False,
        content_type=kind.capitalize(), content_id=content["id"],
        send_if_view_empty=_flag(target, "sendIfViewEmpty", True), user_id=user["id"], schedule_id=schedule_id,
        frequency=frequency and frequency.name, details=frequency and frequency.details, created_at=now(),
    )  # fmt: skip
    return call.created(_render(call, call.find("subscription", luid)))


def update(call: Call) -> Response:
    """Changes what the request names: texts, attachments, whether empty views are sent, schedule, suspension."""
    old, asked = _own(call, "065"), call.request("subscription")
    if asked.get("subject") == "":
        raise malformed("A subscription needs a subject.", "067")
    target = asked.find("content")
    schedule_id, frequency = _when(call, asked)
    if schedule_id is None and frequency is None:
        schedule_id = old["schedule_id"]
        frequency = schedules.Frequency(old["frequency"], old["details"]) if schedule_id is None else None
    call.state.update(
        "subscription", old["id"], subject=asked.get("subject", old["subject"]),
        message=asked.get("message", old["message"]), attach_image=_flag(asked, "attachImage", old["attach_image"]),
        attach_pdf=_flag(asked, "attachPdf", old["attach_pdf"]),
        page_orientation=_one_of(asked, "pageOrientation", _ORIENTATIONS) or old["page_orientation"],
        page_size_option=_one_of(asked, "pageSizeOption", _PAGE_SIZES) or old["page_size_option"],
        suspended=_flag(asked, "suspended", old["suspended"]),
        send_if_view_empty=_flag(target, "sendIfViewEmpty", old["send_if_view_empty"]),
        schedule_id=schedule_id, frequency=frequency and frequency.name, details=frequency and frequency.details,
    )  # fmt: skip
    return xml.reply(_render(call, call.find("subscription", old["id"])))


def delete(call: Call) -> Response:
    call.state.write("delete from subscription where id = ?", _own(call, "059")["id"])
    return Response(status_code=204)


def _allowed(call: Call, user: sqlite3.Row, kind: str, content: sqlite3.Row) -> None:
    """Refuses to subscribe users who may not see the content, and other users unless the caller owns or leads it."""
    state, site = call.state, call.site_id
    if state.setting(site, "disableSubscriptions") == "true":
        raise forbidden("Subscriptions are switched off on this site.", "060")
    if user["id"] != call.user_id:
        book = call.access.workbooks[content["workbook_id"]] if kind == "view" else content
        owns = book["owner_id"] == call.user_id or call.access.leads(book["project_id"])
        if not owns or state.setting(site, "subscribeOthersEnabled") == "false":
            raise forbidden("The user may not subscribe others to this content.", "060")
    if user["site_role"] == "Unlicensed" or not Access(state, user).may(kind, content, "Read"):
        raise forbidden("The user to be subscribed may not see the content.", "063")


def _when(call: Call, asked: xml.Element) -> tuple[str | None, schedules.Frequency | None]:
    """The LUID of the schedule, or the frequency, or neither."""
    own, beside = luid_of(asked, "schedule"), asked.getparent().find("schedule")
    if beside is not None:
        return None, schedules.read_frequency(beside)
    if own is None:
        return None, None
    schedule = call.find("schedule", own)
    if schedule["type"] != "Subscription":
        raise malformed("The schedule is not for subscriptions.", "069")
    return str(schedule["id"]), None


def _own(call: Call, sub_code: str) -> sqlite3.Row:
    """The subscription that the path names. Raises ApiError 403 for other users, except administrators."""
    row = call.resource("subscription")
    if not _may_see(call, row):
        raise forbidden("The subscription belongs to another user.", sub_code)
    return row


def _may_see(call: Call, row: sqlite3.Row) -> bool:
    return call.access.administrator or row["user_id"] == call.user_id


def _flag(asked: xml.Element | None, name: str, default: bool) -> bool:
    given = asked.get(name) if asked is not None else None
    return bool(default) if given is None else given.lower() == "true"


def _one_of(asked: xml.Element, name: str, values: tuple[str, ...]) -> str | None:
    given: str | None = asked.get(name)
    if given is not None and given.upper() not in values:
        raise malformed(f"'{given}' is not a value of {name}.")
    return given


def _fields(row: sqlite3.Row) -> Fields:
    return {"subject": row["subject"], "luid": row["id"], "createdAt": row["created_at"]}


def _render(call: Call, row: sqlite3.Row) -> xml.Element:
    kind = row["content_type"].lower()
    return xml.element(
        "subscription",
        xml.element(
            "content", id=row["content_id"], type=row["content_type"],
            sendIfViewEmpty=bool(row["send_if_view_empty"]), name=call.find(kind, row["content_id"])["name"],
        ),
        schedules.reference(call, row),
        xml.element("user", id=row["user_id"], name=call.find("user", row["user_id"])["name"]),
        id=row["id"], subject=row["subject"], message=row["message"], attachImage=bool(row["attach_image"]),
        attachPdf=bool(row["attach_pdf"]), pageOrientation=row["page_orientation"],
        pageSizeOption=row["page_size_option"], suspended=bool(row["suspended"]),
    )  # fmt: skip


_ONE = "/sites/{site}/subscriptions/{subscription}"
ENDPOINTS = (
    Endpoint("GET", "/sites/{site}/subscriptions", query),
    Endpoint("POST", "/sites/{site}/subscriptions", create),
    Endpoint("GET", _ONE, query_one),
    Endpoint("PUT", _ONE, update),
    Endpoint("DELETE", _ONE, delete),
)
