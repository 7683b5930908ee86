"""What tests of mails share: how callmart mails, and what it says of that."""

from collections import Counter
from typing import Any, NamedTuple

import psycopg
import pytest

from callmart.base.progress import quietly
from callmart.base.settings import Mail, Settings
from callmart.mailing import mailing
from callmart.reports import drawing, paper, weeks
from callmart.reports.page import Page
from callmart_home import Callmart
from mail_server import Letters
from today import TODAY

WEEK = weeks.last_complete(TODAY)
CHEF, PLANNER, OTHER = "chef@een.example", "planner@een.example", "chef@twee.example"
FROM = "reports@provider.example"
HAS_COME = mailing._has_come


def by(callmart: Callmart, **how: Any) -> Settings:
    return callmart.settings.model_copy(update={"mail": Mail.model_validate({"sender": "callmart"} | how)})


def by_server(callmart: Callmart, port: int, **more: Any) -> Settings:
    server = {"host": "localhost", "port": port, "encryption": "none"} | more
    return by(callmart, **{"from": FROM, "smtp": server})


class Sent(NamedTuple):
    """How many mails went out, and what was noted of which customers."""

    mails: int
    problems: list[tuple[int | None, str]]


def send(owner: psycopg.Connection, settings: Settings) -> Sent:
    problems: list[tuple[int | None, str]] = []

    def note(*problem: Any) -> None:
        problems.append(problem)

    mails = mailing.send(owner, settings, quietly, note, note)
    return Sent(mails, problems)


def got(letters: Letters) -> Counter[str]:
    return Counter(address for envelope in letters.got for address in envelope.rcpt_tos)


def leave_out_drawings(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(paper, "as_pdf", lambda _: b"%PDF")
    oldest_day = str(WEEK.before.monday)
    patch.setattr(drawing, "draw", lambda *given: Page(
        given[2].name, given[2].name, "", 0, "", "nl", str(WEEK), "", "", "", [], [], [], [],
        {"threshold": "", "short": ""}, oldest_day,
    ))  # fmt: skip
