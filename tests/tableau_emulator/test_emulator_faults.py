"""Faults that are asked for: what a client meets, and what was done all the same."""

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
import tableauserverclient as TSC
from requests.adapters import HTTPAdapter
from tableauserverclient.server.endpoint.exceptions import (
    FailedSignInError,
    InternalServerError,
    JobFailedException,
    NonXMLResponseError,
)
from urllib3.util import Retry

from emulated import World, refused
from tableau_emulator import client, faults
from tableau_emulator.app import IDENTITY_PATH


def names(server: TSC.Server) -> list[str]:
    return [each.name for each in TSC.Pager(server.projects)]


def test_a_session_that_is_dropped(here: World) -> None:
    here.inject("session", skip=1)
    names(here.server)
    with pytest.raises(FailedSignInError, check=lambda error: error.code == "401002"):
        names(here.server)
    with pytest.raises(FailedSignInError):
        names(here.server)  # it is gone, not only once
    assert names(client.administrator(here.emulator)) == ["Default"]


def test_too_many_requests(here: World) -> None:
    for body, error in (("xml", TSC.ServerResponseError), ("none", NonXMLResponseError)):
        here.inject("status", status=429, body=body, retry_after=1)
        with pytest.raises(error):
            names(here.server)
        names(here.server)


def test_a_client_that_tries_again_gets_through(here: World) -> None:
    retry = Retry(total=3, backoff_factor=0.01, status_forcelist=(429, 503), allowed_methods=("GET",))
    here.server.session.mount("http://", HTTPAdapter(max_retries=retry))
    here.inject("status", status=429, body="none", retry_after=0)
    here.inject("status", status=503, body="html", count=2)
    assert names(here.server) == ["Default"]


@pytest.mark.parametrize("status", [500, 502, 503, 504])
def test_a_server_in_trouble(here: World, status: int) -> None:
    here.inject("status", status=status, method="POST", path="/projects$")
    names(here.server)
    with pytest.raises(InternalServerError, check=lambda error: error.code == status):
        here.server.projects.create(TSC.ProjectItem("not made"))
    assert names(here.server) == ["Default"]
    here.server.projects.create(TSC.ProjectItem("made"))


def test_a_page_in_the_place_of_xml(here: World) -> None:
    here.inject("html", path="/projects$")
    assert names(here.server) == []  # TSC takes whatever is well-formed for an empty list
    assert names(here.server) == ["Default"]


def test_slow(here: World) -> None:
    here.inject("slow", seconds=0.4)
    here.server.http_options["timeout"] = 0.2
    with pytest.raises(requests.Timeout):
        names(here.server)
    time.sleep(0.3)
    assert names(here.server) == ["Default"]


@pytest.mark.parametrize("kind", ["truncated", "cut"])
def test_an_answer_that_breaks_off_after_the_work_was_done(here: World, kind: Any) -> None:
    here.server.session.hooks["response"].clear()
    here.inject(kind, method="POST")
    with pytest.raises((requests.RequestException, SyntaxError)):
        here.server.projects.create(TSC.ProjectItem("made"))
    assert names(here.server) == ["Default", "made"]


def test_an_answer_without_content_that_breaks_off(here: World, project: TSC.ProjectItem) -> None:
    here.inject("cut", method="DELETE")
    with pytest.raises(requests.ConnectionError):
        here.server.projects.delete(project.id)
    assert names(here.server) == ["Default"]


def test_a_connection_that_is_reset_before_anything_is_done(here: World) -> None:
    here.inject("reset", method="POST")
    with pytest.raises(requests.ConnectionError, match="Connection reset"):
        here.server.projects.create(TSC.ProjectItem("not made"))
    assert names(here.server) == ["Default"]
    with here.state() as state:
        assert [each.status for each in state.requests() if each.path.endswith("/projects")] == [0, 200]


def test_a_download_that_breaks_off(here: World, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    here.inject("cut", path="/content$")
    with pytest.raises(requests.RequestException):
        here.server.datasources.download(source.id, str(here.folder.parent / "got"))


def test_lists_lag_behind_by_requests(here: World) -> None:
    here.inject("lag", path="/projects$", requests=2)
    names(here.server)
    made = here.server.projects.create(TSC.ProjectItem("made"))
    assert names(here.server) == ["Default"]
    assert names(here.server) == ["Default"]
    assert names(here.server) == ["Default", "made"]
    with refused("409006"):
        here.server.projects.create(TSC.ProjectItem("made"))
    here.server.projects.delete(made.id)
    assert names(here.server) == ["Default", "made"]
    with here.state() as state:
        faults.clear(state)
    assert names(here.server) == ["Default"]


def test_lists_lag_behind_by_seconds(here: World) -> None:
    here.inject("lag", seconds=0.5)
    here.server.projects.create(TSC.ProjectItem("made"))
    here.server.groups.create(TSC.GroupItem("a group"))
    assert names(here.server) == ["Default"]
    time.sleep(0.6)
    assert names(here.server) == ["Default", "made"]
    assert len(list(TSC.Pager(here.server.groups))) == 2


def test_a_job_that_fails_changes_nothing(here: World, project: TSC.ProjectItem) -> None:
    here.inject("job", message="no memory", polls=1)
    job = here.publish(project, as_job=True)
    assert here.server.jobs.get_by_id(job.id).completed_at is None
    with pytest.raises(JobFailedException):
        here.server.jobs.wait_for_job(job, timeout=10)
    assert not list(TSC.Pager(here.server.datasources))
    here.publish(project)


def test_a_job_without_an_end(here: World, project: TSC.ProjectItem) -> None:
    here.inject("job", polls=None)
    job = here.publish(project, as_job=True)
    with pytest.raises(TimeoutError):
        here.server.jobs.wait_for_job(job, timeout=1)


def test_credentials_that_get_lost(here: World, project: TSC.ProjectItem) -> None:
    credentials = TSC.ConnectionCredentials("reader", "secret", embed=True)
    here.inject("credentials")
    for mode, embedded in (("CreateNew", False), ("Overwrite", True)):
        source = here.publish(project, connection_credentials=credentials, mode=mode)
        here.server.datasources.populate_connections(source)
        assert [each.embed_password for each in source.connections] == [embedded]


def test_a_chunk_that_fails_can_be_sent_again(
    here: World, project: TSC.ProjectItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = bytes(range(256)) * 12_000
    here.inject("status", method="PUT", path="/fileUploads/", skip=1, status=503)
    uploads = here.server.fileuploads
    session = uploads.initiate()
    for start in range(0, len(content), 1 << 20):
        chunk, kind = TSC.server.request_factory.RequestFactory.Fileupload.chunk_req(
            content[start : start + (1 << 20)]
        )
        try:
            uploads.append(session, chunk, kind)
        except InternalServerError:
            assert start == 1 << 20
            uploads.append(session, chunk, kind)
    monkeypatch.setattr(uploads, "upload", lambda file: session)
    monkeypatch.setenv("TSC_FILESIZE_LIMIT_MB", "0")
    file = here.folder.parent / "rows.hyper"
    file.write_bytes(content)
    source = here.server.datasources.publish(TSC.DatasourceItem(project.id, "calls"), file, "CreateNew")
    got = here.server.datasources.download(source.id, str(here.folder.parent / "got"))
    assert Path(got).read_bytes() == content


def test_faults_are_met_in_turn(here: World) -> None:
    for settings in ({"status": 500, "count": 2}, {"status": 502}):
        here.inject("status", **settings)
    with here.state() as state:
        assert [(fault.status, fault.count) for fault in faults.pending(state)] == [(500, 2), (502, 1)]
    seen = [requests.get(f"{here.emulator.url}/api/2.4/serverinfo", timeout=5).status_code for _ in range(4)]
    assert seen == [500, 500, 502, 200]
    with pytest.raises(ValueError, match="no kind of fault"):
        here.inject("earthquake")  # type: ignore[arg-type]


def statuses(here: World, number: int) -> list[int]:
    """What so many requests are answered with."""
    url = f"{here.emulator.url}/api/2.4/serverinfo"
    return [requests.get(url, timeout=5).status_code for _ in range(number)]


def test_a_fault_now_and_then(here: World) -> None:
    here.inject("status", status=429, skip=1, every=3, count=2, retry_after="Wed, 21 Oct 2026 07:28:00 GMT")
    assert statuses(here, 9) == [200, 200, 200, 429, 200, 200, 429, 200, 200]
    with pytest.raises(ValueError, match="every"):
        here.inject("status", every=0)


def test_a_fault_later_and_for_a_while(here: World, monkeypatch: pytest.MonkeyPatch) -> None:
    here.inject("status", status=503, count=None, after=10, lasting=20)
    real, passed = time.time, 0.0
    monkeypatch.setattr("tableau_emulator.faults.time.time", lambda: real() + passed)
    seen = []
    for moment in (0.0, 15.0, 40.0):
        passed = moment
        seen += statuses(here, 1)
    assert seen == [200, 503, 200]
    with here.state() as state:
        assert faults.pending(state) == []


# the desk


def test_the_desk(here: World) -> None:
    desk = client.Desk(here.emulator)
    desk.inject("status", status=502)
    assert [fault.status for fault in desk.pending()] == [502]
    with pytest.raises(InternalServerError):
        names(here.server)
    with pytest.raises(ValueError, match="no kind of fault"):
        desk.inject("earthquake")  # type: ignore[arg-type]
    desk.inject("html", count=None)
    desk.clear()
    assert names(here.server) == ["Default"]

    here.user("someone")
    with pytest.raises(ValueError, match="nobody"):
        desk.set_password("nobody", "secret")
    desk.set_password("someone", "secret")
    TSC.Server(here.emulator.url).auth.sign_in(TSC.TableauAuth("someone", "secret"))
    desk.admit("theirs", "another secret", "someone")
    server = TSC.Server(here.emulator.url, use_server_version=True)
    server.auth.sign_in(TSC.PersonalAccessTokenAuth("theirs", "another secret"))
    desk.connect_app("a", "b", "c")
    assert [each.status for each in desk.requests() if each.path.endswith("/projects")] == [502, 200]
    assert not any(each.path.startswith(IDENTITY_PATH) for each in desk.requests())

    desk.inject("job", polls=None)
    source = here.publish(here.server.projects.create(TSC.ProjectItem("a project")))
    job = here.server.datasources.refresh(source)
    desk.finish_job(job.id, "Failed", "no memory")
    assert here.server.jobs.get_by_id(job.id).finish_code == TSC.JobItem.FinishCode.Failed


def test_the_desk_is_for_administrators_tokens(here: World) -> None:
    here.user("someone")
    client.Desk(here.emulator).admit("theirs", "secret", "someone")
    for secret in ("", "secret", "x"):
        with pytest.raises(ValueError, match="administrator's token"):
            client.Desk(replace(here.emulator, token=secret)).pending()
