"""Whatever breaks off or is late, the next publication makes good."""

from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random

import pytest
import tableauserverclient as TSC

import bad_days
from bad_days import Held
from broken_requests import Killed, is_killed, kill
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.publish import customer_work, grants
from callmart.publish.applying import apply
from callmart.publish.desired import DataSource, Publication
from callmart.publish.planning import plan
from callmart.publish.plans import Step
from callmart.publish.tableau import connect
from publications import MONDAY, live, report
from published import (
    Emptied,
    held,
    held_file,
    matches,
    of,
    projects,
    publish,
    read,
    sources,
    succeeded,
    uploads,
    users,
)
from tableau_emulator.faults import Fault, clear, inject
from tableau_emulator.state import State

pytestmark = pytest.mark.thorough


@pytest.fixture
def states(
    standard: Publication, detailed: Publication, later: Publication
) -> tuple[tuple[Publication, ...], ...]:
    """Two customers, and then a departure, and a downgrade, a change of name and of data at once."""
    mailed = replace(detailed, mails=(MONDAY,))
    return (standard, mailed), (Publication(detailed.customer_id, "Voorbeeld", later.data_sources),)


def test_killed_at_any_point_the_next_run_finishes(
    server: TSC.Server,
    states: tuple[tuple[Publication, ...], ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(grants, "_close_unused", lambda *_: True)  # many calls, and the same ones again
    number, killed = 0, True
    while killed:
        number += 7  # each point takes its time
        killed = False
        for desired in states:
            killed |= is_killed(monkeypatch, number, partial(publish, server, *desired))
            assert succeeded(publish(server, *desired))
            assert matches(server, *desired)
            assert plan(desired, read(server)).steps == ()
        assert succeeded(publish(server))
        assert set(projects(server)) == {"Default", "callmart"}
        server.projects.delete(projects(server)["callmart"].id)
    assert number > 40  # there were that many points to be killed at


def test_killed_between_upload_and_tag_uploads_again(
    server: TSC.Server,
    settings: Settings,
    standard: Publication,
    later: Publication,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Even when what is wanted next is what the old tag spoke of."""
    publish(server, standard)
    with monkeypatch.context() as patch:
        patch.setattr(type(server.datasources), "delete_revision", lambda *_: kill())
        with pytest.raises(Killed):
            publish(server, later)
    assert succeeded(publish(server, standard))
    assert uploads(settings) == 3
    (source,) = sources(server).values()
    content = server.datasources.download(source.id, str(settings.home / "content"))
    assert held(content) == held_file(standard.data_sources[0])


@pytest.mark.parametrize(
    ("fault", "megabytes", "sessions"),
    [
        (Fault("status", status=429, body="none", retry_after=1), 10, 1),
        (Fault("status", status=503, count=2), 10, 1),
        (Fault("session"), 10, 1),
        (Fault("truncated"), 10, 2),  # it was added, and then once more: the size says so
        (Fault("cut"), 10, 2),
        (Fault("cut"), 2, 2),  # too small to tell
    ],
    ids=["429", "503", "401", "truncated", "cut", "small"],
)
def test_an_upload_that_breaks_off_goes_on(
    emptied: Emptied, fault: Fault, megabytes: int, sessions: int, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setenv("TSC_CHUNK_SIZE_MB", str(megabytes // 2))
    monkeypatch.setattr("time.sleep", lambda _: None)
    content = Random(0).randbytes(megabytes << 20)
    (tmp_path / "file").write_bytes(content)
    state = emptied.state
    before = len(state.requests())
    inject(state, replace(fault, method="PUT", path="/fileUploads/", skip=1))
    upload = emptied.server.fileuploads.upload(tmp_path / "file")
    row = state.one("select file from upload where id = ?", upload)
    assert row is not None
    assert (state.uploads / row["file"]).read_bytes() == content
    assert sum(each.path.endswith("/fileUploads") for each in state.requests()[before:]) == sessions


def test_an_upload_that_never_succeeds_ends(
    server: TSC.Server, settings: Settings, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TSC_FILESIZE_LIMIT_MB", "0")
    monkeypatch.setattr("time.sleep", lambda _: None)
    with State(settings.home / "emulator") as state:
        inject(state, Fault("status", status=503, method="PUT", path="/fileUploads/", count=None))
        (outcome,) = publish(server, standard)
        assert "status 503" in str(outcome.error)
        clear(state)
    assert succeeded(publish(server, standard))
    assert matches(server, standard)
    (source,) = sources(server).values()
    assert held(server.datasources.download(source.id, str(settings.home / "content"))) == held_file(
        standard.data_sources[0]
    )


@pytest.fixture
def everything_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TSC_FILESIZE_LIMIT_MB", "0")
    monkeypatch.setattr("time.sleep", lambda _: None)


@pytest.mark.usefixtures("everything_is_large")
def test_what_is_large_is_published_by_a_job_that_is_waited_for(
    emptied: Emptied, standard: Publication, detailed: Publication, later: Publication
) -> None:
    """Also where Tableau's lists are behind, and where the process dies meanwhile."""
    _, state, server = emptied
    changes = plan((standard, detailed), read(server))
    inject(state, Fault("job", polls=3, outcome="Success"))
    inject(state, Fault("lag", path="/datasources$", requests=2))
    assert succeeded(apply(server, changes))
    clear(state)
    assert matches(server, standard, detailed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(server.jobs), "wait_for_job", lambda *_, **__: kill())
        with pytest.raises(Killed):
            publish(server, later, detailed)
    assert not matches(server, later, detailed)
    assert succeeded(publish(server, later, detailed))
    assert matches(server, later, detailed)
    assert len(list(TSC.Pager(server.jobs))) == 5


@pytest.mark.usefixtures("everything_is_large")
def test_a_job_that_does_not_succeed_is_one_customers(
    emptied: Emptied, standard: Publication, detailed: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(customer_work, "_JOB_S", 0)
    _, state, server = emptied
    desired = (standard, replace(standard, customer_id=8), detailed)
    changes = plan(desired, read(server))
    inject(state, Fault("job", outcome="Failed"))
    inject(state, Fault("job", polls=None))
    first, second, third = apply(server, changes)
    assert "job" in str(first.error)
    assert "failed" in str(first.error)
    assert "in time" in str(second.error)
    assert third.error is None
    assert succeeded(publish(server, *desired))
    assert matches(server, *desired)


def test_a_session_that_ends_is_begun_anew(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    """Also in the middle of an upload, and for all who work at once."""
    _, state, server = emptied
    inject(state, Fault("session", method="POST", path="/datasources$", count=1))
    inject(state, Fault("session", method="GET", path="/permissions$", skip=3, count=1))
    assert succeeded(apply(server, plan((standard, detailed), read(server)), workers=3))
    assert matches(server, standard, detailed)


def test_a_session_that_ends_again_and_again_ends_the_work_but_loses_no_outcome(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    _, state, server = emptied
    changes = plan((standard, detailed), read(server))
    inject(state, Fault("session", method="POST", path="/datasources$", count=None))
    inject(state, Fault("session", method="GET", path="/users/", count=None))
    first, second = apply(server, changes)
    clear(state)
    assert [step.kind for step in first.done] == ["group", "project", "permissions"]
    assert second.done == ()
    assert first.error is not None
    assert "session" in first.error
    assert second.error == first.error.replace("customer 7:", "customer 1042:")


def test_several_at_once_do_what_one_does(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    server = emptied.server
    several = [replace(detailed, customer_id=number) for number in range(1, 7)]
    told: list[Step] = []
    changes = plan((*several, standard), read(server))
    outcomes = apply(server, changes, told.append, workers=4)
    assert succeeded(outcomes)
    assert [outcome.customer_id for outcome in outcomes] == [1, 2, 3, 4, 5, 6, 7]
    assert len(told) == len(changes.steps)
    assert matches(server, *several, standard)
    assert succeeded(apply(server, plan((), read(server)), workers=4))
    assert set(projects(server)) == {"Default", "callmart"}
    assert users(server) == {}


@pytest.fixture(scope="module")
def wanted(extracts: dict[str, DataSource]) -> list[tuple[Publication, ...]]:
    """Three customers, and then a change of name, of recipient and of data, a downgrade, a departure, an arrival."""
    queues, agents = extracts["queues"], extracts["agents"]
    both = ("beide@example.org", "chef@example.org")
    first = Publication(
        7, "Ander BV", (queues,), (report("traffic", queues),), both[:1], (replace(MONDAY, member=both[0]),)
    )
    detailed = Publication(
        1042, "Voorbeeld, Zn & Co: [BV]", (queues, agents),
        (report("traffic", queues), report("agents", agents)), both, (MONDAY,),
    )  # fmt: skip
    less = replace(
        detailed, name="Voorbeeld", data_sources=(extracts["queues later"],), workbooks=detailed.workbooks[:1],
        members=both[1:], no_mail_because="not complete",
    )  # fmt: skip
    return [
        (first, Publication(8, "ander bv", (live("one"),)), detailed),
        (Publication(9, "Ander BV", (agents,)), less),
    ]


@pytest.fixture(scope="module")
def good_days(emulated: tuple[Settings, State], wanted: list[tuple[Publication, ...]]) -> list[Held]:
    """What stands there when nothing goes wrong."""
    settings, state = emulated
    with connect(settings) as server:
        return [bad_days.held(state) for desired in wanted if succeeded(publish(server, *desired))]


@pytest.mark.parametrize("seed", [3, 8, 10])
def test_a_bad_day_ends_as_a_good_one(
    emptied: Emptied, wanted: list[tuple[Publication, ...]], good_days: list[Held], seed: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Who is done is as wanted, whoever else is not; the next run makes all of it so, nothing of it twice."""
    random = Random(seed)
    settings, state, server = emptied
    monkeypatch.setattr("time.sleep", lambda _: None)
    monkeypatch.setattr(customer_work, "_JOB_S", 0)
    monkeypatch.setattr(customer_work, "_INDEX_S", 0)
    monkeypatch.setenv("TSC_FILESIZE_LIMIT_MB", random.choice(("0", "64")))
    for desired, good in zip(wanted, good_days, strict=True):
        faults = bad_days.faults(random)
        outcomes = []
        with suppress(UserError), connect(settings) as bad:
            changes = plan(desired, read(bad))
            for fault in faults:
                inject(state, fault)
            outcomes = apply(bad, changes, workers=3)
        clear(state)
        for outcome in outcomes:
            if outcome.error is None:
                assert of(outcome.customer_id, bad_days.held(state)) == of(outcome.customer_id, good)
        assert succeeded(publish(server, *desired))
        assert bad_days.held(state) == good
        assert plan(desired, read(server)).steps == ()
