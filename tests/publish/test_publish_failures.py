"""A failure is one customer's: the others are published, and an error is never taken for absence."""

import errno
import re
import tempfile
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import requests
import tableauserverclient as TSC

import bad_days
from broken_requests import FORBIDDEN, answer, sending
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.publish import listing, validation
from callmart.publish.applying import apply
from callmart.publish.desired import DataSource, Publication, Workbook
from callmart.publish.planning import plan
from callmart.publish.plans import Step
from callmart.publish.tableau import connect
from callmart.tableau_files import tds
from publications import MONDAY, with_members
from published import (
    NO_BOOKS,
    Emptied,
    group_of,
    groups,
    matches,
    members,
    of,
    projects,
    publish,
    read,
    sources,
    subscriptions,
    succeeded,
    uploaded,
    users,
    workbooks,
)
from tableau_emulator.faults import Fault, clear, inject
from tableau_emulator.state import State


def test_one_customers_failure_leaves_the_others(
    server: TSC.Server, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    last = Publication(2000, "Derde", standard.data_sources)

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        body = request.body if isinstance(request.body, bytes) else b""
        return answer(403, FORBIDDEN) if b'name="Medewerkers"' in body else send()

    steps: list[Step] = []
    with sending(monkeypatch, instead):
        outcomes = apply(server, plan((standard, detailed, last), read(server)), steps.append)
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    error = outcomes[1].error
    assert error is not None
    assert "403004" in error
    assert "BV" not in error
    assert [step.kind for step in outcomes[1].done] == [
        "group", "project", "permissions", "user", "member", "data source",
    ]  # fmt: skip
    assert [step for step in steps if step.customer_id] == [s for outcome in outcomes for s in outcome.done]
    assert succeeded(publish(server, standard, detailed, last))
    assert matches(server, standard, detailed, last)


def test_an_answer_without_what_is_looked_for_is_one_customers(
    emptied: Emptied, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TSC ends in an IndexError then."""

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        body = request.body if isinstance(request.body, bytes) else b""
        return answer(200, b"<tsResponse></tsResponse>") if group_of(7).encode() in body else send()

    with sending(monkeypatch, instead):
        first, second = publish(emptied.server, standard, detailed)
    assert "IndexError in groups_endpoint.py" in str(first.error)
    assert second.error is None
    assert succeeded(publish(emptied.server, standard, detailed))
    assert matches(emptied.server, standard, detailed)


def test_a_rule_that_cannot_be_understood_is_one_customers(
    emptied: Emptied, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """TSC knows no such grantee. In a list of the whole site, an error of this kind is a sentence, too."""
    server = emptied.server
    assert succeeded(publish(server, detailed, standard))
    path = f"/projects/{projects(server)[standard.project].id}/permissions"
    rule = b'<granteeCapabilities><robot id="1"/><capabilities/></granteeCapabilities>'

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        found = send()
        changed = found.content.replace(b"<granteeCapabilities>", rule + b"<granteeCapabilities>", 1)
        return answer(200, changed) if path in str(request.url) else found

    with sending(monkeypatch, instead):
        first, second = publish(server, standard, replace(detailed, name="Voorbeeld"))
    assert "UnknownGranteeTypeError in permissions_item.py" in str(first.error)
    assert (first.done, second.error) == ((), None)


def test_lists_are_read_whole_and_items_are_made_of_those_who_are_due(
    emptied: Emptied, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = emptied.server
    assert succeeded(publish(server, detailed, standard))
    monkeypatch.setattr(listing, "PAGE_SIZE", 1)
    whole = read(server)
    assert plan((detailed, standard), whole).steps == ()
    found = read(server, replace(NO_BOOKS, due=frozenset({7})))
    assert found.projects[7] == whole.projects[7]
    assert (len(whole.projects[1042][0].content), len(found.projects[1042][0].content)) == (4, 0)
    for name in ("datasources", "workbooks", "views"):

        def instead(
            send: Callable[[], requests.Response], request: requests.PreparedRequest, name: str = name
        ) -> requests.Response:
            found = send()
            if f"/{name}?" not in str(request.url):
                return found
            more = re.sub(rb'totalAvailable="\d+', rb"\g<0>0", found.content)
            return answer(200, more)

        with sending(monkeypatch, instead), pytest.raises(UserError, match=f"incomplete list of {name}"):
            read(server)


@pytest.mark.thorough
@pytest.mark.parametrize(("kind", "going"), [("groups", 1), ("datasources", 0), ("datasources", 1)])
def test_a_list_that_changes_while_it_is_read_is_read_again(
    emptied: Emptied, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch,
    kind: str, going: int,
) -> None:  # fmt: skip
    """Something else moves to a page that was read already, so it would be missing."""
    server = emptied.server
    assert succeeded(publish(server, detailed, standard))
    monkeypatch.setattr(listing, "PAGE_SIZE", 1)
    endpoint, inside = getattr(server, kind), {each.id for each in projects(server).values()}

    def listed() -> list[str]:
        if kind == "groups":
            return [each.id for each in listing.everything(endpoint)]
        return [each.id for each in listing.items_in(endpoint, TSC.DatasourceItem, inside)]

    before, pages = listed(), count()

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        found = send()
        if f"/{kind}?" in str(request.url) and next(pages) == going:
            endpoint.delete(before[going])
        return found

    with sending(monkeypatch, instead):
        assert listed() == before[:going] + before[going + 1 :]


@pytest.mark.parametrize("going", [0, 1])
def test_members_of_a_group_who_leave_while_it_is_read_hide_nobody(
    emptied: Emptied, standard: Publication, monkeypatch: pytest.MonkeyPatch, going: int
) -> None:
    server = emptied.server
    assert succeeded(publish(server, with_members(standard, "a@b.nl", "b@b.nl", "c@b.nl")))
    (group,) = (each for each in TSC.Pager(server.groups) if each.name == group_of(7))
    luids = [user.id for user in TSC.Pager(server.users) if user.id != server.user_id]
    monkeypatch.setattr(listing, "PAGE_SIZE", 1)
    assert listing.members(server, group) == set(luids)
    pages = count()

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        found = send()
        if f"/groups/{group.id}/users?" in str(request.url) and next(pages) == going:
            server.groups.remove_user(group, luids[going])
        return found

    with sending(monkeypatch, instead):
        assert listing.members(server, group) == {*luids} - {luids[going]}


def test_members_of_whom_one_is_listed_twice_hide_nobody(
    emptied: Emptied, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One came in before them, and another left: as many as Tableau says."""
    server = emptied.server
    assert succeeded(publish(server, with_members(standard, "a@b.nl", "b@b.nl")))
    (group,) = (each for each in TSC.Pager(server.groups) if each.name == group_of(7))
    monkeypatch.setattr(listing, "PAGE_SIZE", 1)
    luids, pages = listing.members(server, group), list[bytes]()

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        found = send()
        if f"/groups/{group.id}/users?" not in str(request.url):
            return found
        pages.append(found.content)
        return (
            answer(200, re.sub(rb'pageNumber="1', b'pageNumber="2', pages[0])) if len(pages) == 2 else found
        )

    with sending(monkeypatch, instead):
        assert listing.members(server, group) == luids
    assert (len(luids), len(pages)) == (2, 4)


def test_a_group_that_is_not_read_whole_is_one_customers(
    emptied: Emptied, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = emptied.server
    assert succeeded(publish(server, detailed, standard))
    path = f"/groups/{groups(server)[group_of(1042)]}/users?"

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        found = send()
        if path not in str(request.url):
            return found
        return answer(200, re.sub(rb'totalAvailable="\d+', rb"\g<0>0", found.content))

    with sending(monkeypatch, instead):
        first, second = publish(server, replace(detailed, name="Voorbeeld"), standard)
    assert first.error is None
    assert (second.error, second.done) == (
        "customer 1042: Tableau returned an incomplete list of members; run again",
        (),
    )


@pytest.mark.parametrize(
    "path", ["/projects/{project}/default-permissions/workbooks$", "/groups/{group}/users$"]
)
def test_what_cannot_be_read_of_one_customer_leaves_the_others(
    emptied: Emptied, detailed: Publication, standard: Publication, later: Publication, path: str
) -> None:
    _, state, server = emptied
    mailed = replace(detailed, mails=(MONDAY,))
    assert succeeded(publish(server, mailed, standard))
    project = projects(server)[detailed.project].id
    group = groups(server)[group_of(detailed.customer_id)]
    lasting = Fault(
        "status", "GET", path.format(project=project, group=group), status=403, body="xml", count=None
    )
    inject(state, lasting)
    unchanged = of(detailed.customer_id, bad_days.held(state))
    first, second = publish(server, replace(mailed, name="Voorbeeld"), later)
    assert first.error is None
    assert "customer 1042: Tableau answered 403" in str(second.error)
    assert [(step.action, step.kind) for step in second.done] == [("change", "subscription")]
    now = of(detailed.customer_id, bad_days.held(state))
    assert [each for each in now if each[1] != "mail"] == [each for each in unchanged if each[1] != "mail"]
    left, stays = publish(server, later)  # who leaves need not be known
    assert (left.error, stays.error) == (None, None)
    clear(state)
    assert matches(server, later)


def test_a_user_who_cannot_be_removed_leaves_the_others(
    emptied: Emptied, detailed: Publication, standard: Publication, later: Publication
) -> None:
    _, state, server = emptied
    mailed = replace(detailed, mails=(MONDAY,))
    assert succeeded(publish(server, mailed, standard))
    luid = state.user("chef@example.org")["id"]
    inject(state, Fault("status", "DELETE", f"/users/{luid}$", status=403, body="xml", count=None))
    nobody = replace(detailed, name="Voorbeeld", members=(), workbooks=detailed.workbooks[:1])
    first, second = publish(server, nobody, later)
    assert (first.customer_id, first.error) == (7, None)
    assert "customer 1042: the user c…@example.org: Tableau answered 403" in str(second.error)
    assert second.done == ()  # or the user, who is still in the group, would see it
    assert detailed.project in projects(server)
    assert [each[6] for each in bad_days.held(state) if each[1] == "mail"] == [1], "it does not mail"
    above, stays, leaves = publish(server, later)
    assert above.customer_id is None
    assert "the user c…@example.org: Tableau answered 403" in str(above.error)
    assert (stays.error, leaves.error) == (None, None)
    clear(state)
    assert succeeded(publish(server, later))
    assert matches(server, later)
    assert users(server) == {}


def test_a_user_who_owns_content_stays_and_sees_nothing(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    _, state, server = emptied
    both = (replace(detailed, mails=(MONDAY,)), with_members(standard, "chef@example.org"))
    assert succeeded(publish(server, *both))
    source = next(iter(sources(server).values()))
    source.owner_id = state.user("chef@example.org")["id"]
    server.datasources.update(source)
    nobody = (with_members(detailed), with_members(standard))
    assert succeeded(publish(server, *nobody))
    assert users(server) == {"chef@example.org": "Unlicensed"}
    assert members(server, group_of(1042)) == members(server, group_of(7)) == set()
    assert subscriptions(server) == []
    assert succeeded(publish(server, *nobody))


@pytest.mark.thorough
def test_what_is_gone_already_is_deleted(
    emptied: Emptied, detailed: Publication, standard: Publication, later: Publication
) -> None:
    """Each request to delete is repeated, as the answer to it is lost."""
    _, state, server = emptied
    mailed = replace(detailed, mails=(MONDAY,))
    assert succeeded(publish(server, mailed, with_members(standard, "chef@example.org", "a@example.org")))
    less = replace(detailed, data_sources=later.data_sources, workbooks=(), members=())
    before = len(state.requests())
    inject(state, Fault("cut", "DELETE", every=2, count=None))
    exporting = replace(with_members(later, "chef@example.org"), exports=True)
    assert succeeded(publish(server, less, exporting))
    assert succeeded(publish(server, less))
    clear(state)
    assert matches(server, less)
    gone = {each.path for each in state.requests()[before:] if (each.method, each.status) == ("DELETE", 404)}
    # what is before LUIDs, numbers and labels
    assert {"/".join(re.findall("/([a-z]+)(?=/[^/]*[0-9])", path)) for path in gone} == {
        f"api/sites/{kind}"
        for kind in (
            "users", "groups", "groups/users", "projects", "projects/groups", "workbooks", "datasources",
            "datasources/tags", "datasources/revisions", "subscriptions",
        )
    }  # fmt: skip


OTHER_ERRORS = (
    *(Fault("status", status=404, sub_code=code) for code in ("000", "003", "042")),
    Fault("status", status=404, body="html"),
    Fault("status", status=403, sub_code="004"),
)


def test_any_other_error_at_deleting_does_not_say_that_it_is_gone(
    emptied: Emptied, standard: Publication
) -> None:
    _, state, server = emptied
    assert succeeded(publish(server, standard))
    for fault in OTHER_ERRORS:
        inject(state, replace(fault, method="DELETE", path="/projects/[^/]+$"))
        (outcome,) = publish(server)
        assert outcome.error is not None, fault
        assert not outcome.is_gone
        assert standard.project in projects(server)
    (outcome,) = publish(server)
    assert (outcome.error, outcome.is_gone) == (None, True)
    assert standard.project not in projects(server)


LOOKUPS = ("/projects", "/groups", "/datasources", "/workbooks", "/permissions")
NOT_ANSWERS = (
    (200, b""),
    (200, b"<tsResponse/>"),
    (500, b"oops"),
    (429, b""),
    (200, b"<html>"),
    (200, b"<html></html>"),
    (200, b"<tsResponse "),
)


@pytest.mark.parametrize(
    ("lookup", "response"),
    [(lookup, (403, FORBIDDEN)) for lookup in LOOKUPS] + [("/projects", each) for each in NOT_ANSWERS],
)
def test_an_error_at_a_lookup_is_not_absence(
    emulated: tuple[Settings, State],
    standard: Publication,
    monkeypatch: pytest.MonkeyPatch,
    lookup: str,
    response: tuple[int, bytes],
) -> None:
    settings, state = emulated
    with connect(settings) as server:
        publish(server, standard)  # nothing, after the first case

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        path = (request.url or "").partition("?")[0]
        return answer(*response) if request.method == "GET" and path.endswith(lookup) else send()

    before = uploaded(state)
    with sending(monkeypatch, instead), pytest.raises(UserError), connect(settings) as server:
        publish(server, standard)
    assert uploaded(state) == before
    with connect(settings) as server:
        assert matches(server, standard)


@pytest.mark.thorough
@pytest.mark.parametrize("kind", ["html", "truncated", "cut"])
@pytest.mark.parametrize("path", ["/workbooks$", "/datasources$"])
def test_an_answer_that_is_none(
    emptied: Emptied, detailed: Publication, standard: Publication, kind: Any, path: str
) -> None:
    """The others are done; what it was that was done is seen by the next run."""
    _, state, server = emptied
    changes = plan((standard, detailed), read(server))
    inject(state, Fault(kind, method="POST", path=path))
    assert [outcome.error is None for outcome in apply(server, changes)].count(False) == 1
    assert succeeded(publish(server, standard, detailed))
    assert matches(server, standard, detailed)


def test_a_workbook_that_tableau_finds_wrong_is_not_published(
    emptied: Emptied, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    build = Workbook.build
    monkeypatch.setattr(
        Workbook, "build", lambda self, *places: build(self, *places).replace(b"[queue]", b"[colour]")
    )
    first, second = publish(emptied.server, standard, detailed)
    assert first.error is None
    assert re.fullmatch(
        r"customer 1042: Tableau refuses the workbook 'Drukte', line \d+: The published data source has no field "
        r"\[colour\] and \d+ more; correct the report's declaration or template, then publish again",
        str(second.error),
    )
    assert not workbooks(emptied.server)
    monkeypatch.undo()
    assert succeeded(publish(emptied.server, standard, detailed))
    assert matches(emptied.server, standard, detailed)


@pytest.mark.thorough
@pytest.mark.parametrize(("status", "is_unknown"), [(404, True), (405, True), (403, False), (500, False)])
def test_a_server_that_cannot_check_workbooks(
    emptied: Emptied, detailed: Publication, status: int, is_unknown: bool
) -> None:
    _, state, server = emptied
    path = "/validateWorkbookAndUpload$"
    inject(state, Fault("status", "POST", path, status=status, body="html", count=None))
    (outcome,) = publish(server, detailed)
    if is_unknown:
        assert outcome.error is None
        assert matches(server, detailed)
    else:
        assert f"could not check the workbook 'Drukte' (status {status})" in str(outcome.error)
        assert not workbooks(server)


@pytest.mark.thorough
@pytest.mark.parametrize("status", [400, 403, 404, 409])
def test_a_recipient_whom_tableau_does_not_accept_stops_nobody_else(
    emptied: Emptied, detailed: Publication, standard: Publication, status: int
) -> None:
    _, state, server = emptied
    both = with_members(detailed, "chef@example.org", "ander@example.org")
    both = replace(both, mails=(MONDAY, replace(MONDAY, member="ander@example.org")))
    shares = with_members(standard, "chef@example.org")
    inject(state, Fault("status", "POST", "/users$", status=status, count=1))
    outcomes = publish(server, both, shares)
    assert succeeded(outcomes)
    assert matches(server, with_members(both, "ander@example.org"), with_members(shares))
    assert len(subscriptions(server)) == 1
    assert [one.mails_all for one in outcomes] == [False, False]
    assert {str(one.alert).partition(": ")[2][:66] for one in outcomes} == {
        "Tableau does not accept 1 of its recipients (c…@example.org), who "
    }
    (first, second) = publish(server, both, shares)
    assert (first.alert, first.mails_all, second.alert, second.mails_all) == (None, True, None, True)
    assert matches(server, both, shares)
    assert len(subscriptions(server)) == 2


def test_a_tableau_that_stops_answering_is_not_waited_for_per_customer_and_mail(
    emptied: Emptied, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = emptied.server
    names = ("chef@example.org", "ander@example.org", "derde@example.org")
    mailed = replace(
        with_members(detailed, *names), mails=tuple(replace(MONDAY, member=name) for name in names)
    )
    assert succeeded(publish(server, mailed, standard))
    last = replace(standard, customer_id=2000)
    changes = plan(
        (replace(standard, name="Voorbeeld"), replace(mailed, name="Voorbeeld"), last), read(server)
    )
    waited: list[str] = []

    def instead(
        send: Callable[[], requests.Response], request: requests.PreparedRequest
    ) -> requests.Response:
        if request.method == "GET" and not waited:
            return send()
        waited.append(f"{request.method} {(request.url or '').partition('?')[0]}")
        raise requests.ReadTimeout

    with sending(monkeypatch, instead):
        outcomes = apply(server, changes)
    assert [str(one.error).partition(": ")[2] for one in outcomes] == [
        "Tableau did not answer in time; run again"
    ] * 3
    assert len(waited) == 2, waited
    waited.clear()
    with sending(monkeypatch, instead):
        (outcome,) = apply(server, replace(changes, customers=changes.customers[1:2]))
    assert outcome.error is not None
    assert len(waited) == 4, "two of them to suspend the first mail"


def test_a_kill_leaves_no_workbook_among_the_temporary_files(
    emptied: Emptied, detailed: Publication, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[Path] = []
    inner = validation.publish

    def looked_at(*arguments: Any) -> TSC.WorkbookItem:
        left.extend(tmp_path.iterdir())
        return inner(*arguments)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(validation, "publish", looked_at)
    assert succeeded(publish(emptied.server, detailed))
    assert workbooks(emptied.server), "the control"
    assert left == []


def test_an_extract_that_is_gone(server: TSC.Server, standard: Publication, tmp_path: Path) -> None:
    gone = DataSource(standard.data_sources[0].source, tmp_path / "gone.hyper", "hash", 1)
    first, second = publish(server, Publication(1, "Eerste", (gone,)), standard)
    assert first.error is not None
    assert "extract" in first.error
    assert second.error is None


def test_a_disk_that_is_full(
    emptied: Emptied, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(tds, "package", full)
    (outcome,) = publish(emptied.server, standard)
    assert outcome.error == (
        "customer 7: a file in CALLMART_HOME/extracts or among the temporary files can't be read or written (No space "
        "left on device); make room, then run again"
    )
