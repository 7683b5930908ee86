"""What an earlier callmart published under a report's earlier name stays, with its LUID, readers and mails."""

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

import pytest
import tableauserverclient as TSC

from callmart.declarations import exposures
from callmart.declarations.exposures import Report
from callmart.publish.actual import Books
from callmart.publish.desired import DataSource, Publication, Workbook
from callmart.publish.planning import plan
from callmart.tableau_files import workbook
from callmart.tableau_files.workbook import PublishedSource
from earlier import before_renaming, unpack_emulator
from publications import MONDAY
from published import (
    HOME,
    Emptied,
    groups,
    projects,
    publish,
    read,
    sources,
    subscriptions,
    succeeded,
    workbooks,
)
from tableau_emulator import client
from tableau_emulator.state import State

CUSTOMER = 1042
MEMBERS = ("chef@example.org", "kijkt@example.org")
DUTCH = {name: name.capitalize() for name in ("bereikbaarheid", "drukte", "afhandeling", "medewerkers")}
ON = PublishedSource("http://localhost", "", "callmart")


class Found(NamedTuple):
    """What is there, by LUID."""

    projects: dict[str, str]
    groups: dict[str, str]
    sources: dict[str, str]
    workbooks: dict[str, str]
    views: dict[str, str]
    rules: dict[str, set[tuple[str, str, str]]]
    subscriptions: dict[str, tuple[str, str, str]]
    favorites: set[str]


def found(server: TSC.Server, state: State) -> Found:
    books = list(workbooks(server).values())
    for each in books:
        server.workbooks.populate_permissions(each)
    return Found(
        {each.id: name for name, each in projects(server).items()},
        {luid: name for name, luid in groups(server).items()},
        {each.id: each.name for each in sources(server).values()},
        {each.id: each.name for each in books},
        {each.id: each.name for each in TSC.Pager(server.views)},
        {
            each.id: {
                (rule.grantee.id, capability, mode)
                for rule in each.permissions
                for capability, mode in rule.capabilities.items()
            }
            for each in books
        },
        {each.id: (each.subject, each.user_id, each.target.id) for each in subscriptions(server)},
        {row["content_id"] for row in state.all("select content_id from favorite")},
    )


def publication(reports: list[Report], extracts: dict[str, DataSource]) -> Publication:
    """A customer with these reports, mailed to all members, as the registry would have it published."""
    of_group = {"queue": extracts["queues"], "agent": extracts["agents"]}
    return Publication(
        CUSTOMER,
        "Voorbeeld BV",
        tuple(of_group.values()),
        tuple(
            Workbook(
                report, "Voorbeeld BV", source, sha256(workbook.build(report, "", source, ON)).hexdigest()
            )
            for report in reports
            for source in [of_group[report.group].source]
        ),
        MEMBERS,
        tuple(
            replace(
                MONDAY,
                workbook=report.title.nl,
                member=member,
                subject=report.mail.subject.nl,
                message=report.mail.message.nl,
            )
            for report in reports
            for member in MEMBERS
        ),
    )


def like(name: str, state: State) -> None:
    """The first member makes the workbook of this name a favorite."""
    user, book = state.user(MEMBERS[0]), state.all("select id from workbook where name = ?", name)[0]
    state.insert(
        "favorite", user_id=user["id"], content_kind="workbook", content_id=book["id"], label=name, added_at="",
    )  # fmt: skip


def test_a_report_of_another_name_is_the_same_report(
    emptied: Emptied, extracts: dict[str, DataSource]
) -> None:
    now = [exposures.reports()[exposures.current_name(name)] for name in DUTCH]
    earlier = publication([before_renaming(report) for report in now], extracts)
    assert [each.report.name for each in earlier.workbooks] == list(DUTCH)
    assert succeeded(publish(emptied.server, earlier))
    like("Drukte", emptied.state)
    before = found(emptied.server, emptied.state)
    assert set(before.workbooks.values()) == set(DUTCH.values())
    assert (len(before.subscriptions), len(before.favorites)) == (len(DUTCH) * len(MEMBERS), 1)

    renamed = publication(now, extracts)
    assert not set(DUTCH) & {each.report.name for each in renamed.workbooks}
    assert plan([renamed], read(emptied.server)).steps == ()
    # also when there is something to upload
    later = replace(renamed, data_sources=(extracts["queues later"], extracts["agents"]))
    later = replace(later, workbooks=tuple(replace(each, content_hash="later") for each in later.workbooks))
    assert succeeded(publish(emptied.server, later))
    assert found(emptied.server, emptied.state) == before
    assert plan([later], read(emptied.server)).steps == ()


@pytest.fixture
def earlier(tmp_path: Path) -> Iterator[tuple[TSC.Server, State]]:
    """What 85f5234 published, served by the emulator of today."""
    unpack_emulator(tmp_path)
    with client.served(tmp_path) as emulator, State(tmp_path) as state:
        yield client.administrator(emulator), state


def users_of(there: Found) -> str:
    """The group of all recipients: adopting moves them into a new one."""
    return next(luid for luid, name in there.groups.items() if name.endswith("-users"))


def test_what_85f5234_published_stays_where_it_is(
    earlier: tuple[TSC.Server, State], extracts: dict[str, DataSource]
) -> None:
    """It had no mark of an installation, so it is adopted, while the reports have changed, too."""
    server, state = earlier
    wanted = publication([exposures.reports()[exposures.current_name(name)] for name in DUTCH], extracts)
    books = Books(HOME, {CUSTOMER: None})
    before = found(server, state)
    assert len(before.subscriptions) == len(DUTCH) * len(MEMBERS)
    assert before.favorites == {luid for luid, name in before.workbooks.items() if name == "Drukte"}
    assert succeeded(publish(server, wanted, books=books))
    after = found(server, state)
    assert before.groups.keys() - {users_of(before)} == after.groups.keys() - {users_of(after)}
    assert after._replace(groups={}) == before._replace(groups={})
    assert plan([wanted], read(server, books)).steps == ()
