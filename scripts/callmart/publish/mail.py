"""Subscriptions: a schedule of Tableau Server or a frequency of Tableau Cloud, for the same declaration.

TSC can't say a frequency, and forgets the message when it changes a subscription: those requests are written here
and sent through its session.
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
PRIORITY = 50  # Tableau's own default


@dataclass(frozen=True)
class Subscription:
    """A subscription to a workbook of ours; `mail` is what it would be declared as, None where nothing would."""

    luid: str
    workbook: str  # LUID
    user: str  # LUID
    is_suspended: bool
    when: str
    subject: str
    message: str | None
    is_of_our_kind: bool  # the dashboard as PDF, and nothing where there is nothing to see

    def is_as(self, mail: Mail) -> bool:
        """Whether it mails as declared; a server that does not tell the message is believed."""
        return (
            self.is_of_our_kind
            and (self.when, self.subject) == (when(mail), mail.subject)
            and self.message in (None, mail.message)
        )


def when(mail: Mail) -> str:
    """Day and time, which also names the schedule of Tableau Server."""
    return f"{_SCHEDULE}{mail.day} {mail.time}"


def of(
    item: TSC.SubscriptionItem, workbooks: Mapping[str, str], schedules: Mapping[str, str]
) -> Subscription:
    """A subscription as Tableau lists it; `workbooks` are those of views, `schedules` the names, all by LUIDs."""
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
    """Makes the schedule of Tableau Server that is called so; its LUID."""
    found = re.fullmatch(rf"{_SCHEDULE}(\w+) (\d+):(\d+):\d+", name)
    assert found
    weekly = TSC.WeeklyInterval(time(int(found[2]), int(found[3])), found[1])
    kind, order = TSC.ScheduleItem.Type.Subscription, TSC.ScheduleItem.ExecutionOrder.Parallel
    return str(server.schedules.create(TSC.ScheduleItem(name, PRIORITY, kind, order, weekly)).id)


def subscribe(server: TSC.Server, mail: Mail, user: str, view: str, schedule: str | None) -> str:
    """Subscribes a user to a view, on a schedule of Tableau Server, or without one as on Tableau Cloud; the LUID."""
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
    """Lets a subscription rest, or mail again."""
    request = etree.Element("tsRequest")
    etree.SubElement(request, "subscription", suspended=str(suspended).lower())
    server.subscriptions.put_request(f"{server.subscriptions.baseurl}/{luid}", etree.tostring(request))
