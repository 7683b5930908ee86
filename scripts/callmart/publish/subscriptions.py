"""Subscriptions, by which Tableau mails reports. Tableau Server needs a schedule, Tableau Cloud a frequency.

TSC can't express a frequency, and loses the message when it changes a subscription. So this module writes those
requests itself and sends them through TSC's session.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import time
from typing import Any

import tableauserverclient as TSC
from lxml import etree

from callmart.publish.desired import Mail

_SCHEDULE = "callmart "
PRIORITY = 50  # Tableau's default


@dataclass(frozen=True)
class Subscription:
    """A subscription to a workbook of ours, as Tableau has it."""

    luid: str
    workbook: str  # LUID
    user: str  # LUID
    is_suspended: bool
    when: str
    subject: str
    message: str | None
    is_of_our_kind: bool  # it mails the dashboard as PDF, and nothing if the view is empty

    def is_as(self, mail: Mail) -> bool:
        """Return whether it mails as declared. A message that the server doesn't report counts as right."""
        return (
            self.is_of_our_kind
            and (self.when, self.subject) == (when(mail), mail.subject)
            and self.message in (None, mail.message)
        )


def when(mail: Mail) -> str:
    """Return day and time of a mail as text. It is also the name of the schedule on Tableau Server."""
    return f"{_SCHEDULE}{mail.day} {mail.time}"


def from_tableau(
    item: TSC.SubscriptionItem, workbooks: Mapping[str, str], schedules: Mapping[str, str]
) -> Subscription:
    """Return a subscription from Tableau's list.

    `workbooks` maps LUIDs of views to LUIDs of workbooks; `schedules` maps LUIDs of schedules to their names.
    """
    return Subscription(
        luid=item.id,
        workbook=workbooks.get(item.target.id, item.target.id),
        user=item.user_id,
        is_suspended=item.suspended,
        when=_frequency(item.schedule) if item.schedule_id is None else schedules.get(item.schedule_id, ""),
        subject=item.subject,
        message=item.message,
        is_of_our_kind=item.attach_pdf and not item.send_if_view_empty and item.target.id in workbooks,
    )


def _frequency(schedule: Any) -> str:
    interval = schedule[0].interval_item if schedule else None
    if not isinstance(interval, TSC.WeeklyInterval):
        return ""
    return f"{_SCHEDULE}{' '.join(interval.interval)} {interval.start_time}"


def add_schedule(server: TSC.Server, name: str) -> str:
    """Create a schedule on Tableau Server with the name from `when`; return its LUID."""
    found = re.fullmatch(rf"{_SCHEDULE}(\w+) (\d+):(\d+):\d+", name)
    assert found
    weekly = TSC.WeeklyInterval(time(int(found[2]), int(found[3])), found[1])
    kind, order = TSC.ScheduleItem.Type.Subscription, TSC.ScheduleItem.ExecutionOrder.Parallel
    return str(server.schedules.create(TSC.ScheduleItem(name, PRIORITY, kind, order, weekly)).id)


def subscribe(server: TSC.Server, mail: Mail, user: str, view: str, schedule: str | None) -> str:
    """Subscribe a user to a view; return the subscription's LUID.

    `schedule` is the LUID of a schedule on Tableau Server, or None on Tableau Cloud.
    """
    request = etree.Element("tsRequest")
    subscription = etree.SubElement(
        request,
        "subscription",
        subject=mail.subject,
        message=mail.message,
        attachImage="true",
        attachPdf="true",
        pageOrientation="PORTRAIT",
        pageSizeOption="A4",
    )
    etree.SubElement(subscription, "content", id=view, type="View", sendIfViewEmpty="false")
    if schedule is not None:
        etree.SubElement(subscription, "schedule", id=schedule)
    etree.SubElement(subscription, "user", id=user)
    if schedule is None:
        frequency = etree.SubElement(request, "schedule", frequency="Weekly")
        details = etree.SubElement(frequency, "frequencyDetails", start=mail.time)
        etree.SubElement(etree.SubElement(details, "intervals"), "interval", weekDay=mail.day)
    answer = server.subscriptions.post_request(server.subscriptions.baseurl, etree.tostring(request))
    return str(TSC.SubscriptionItem.from_response(answer.content, server.namespace)[0].id)


def suspend(server: TSC.Server, luid: str, *, suspended: bool) -> None:
    """Suspend a subscription, or resume it."""
    request = etree.Element("tsRequest")
    etree.SubElement(request, "subscription", suspended=str(suspended).lower())
    server.subscriptions.put_request(f"{server.subscriptions.baseurl}/{luid}", etree.tostring(request))
