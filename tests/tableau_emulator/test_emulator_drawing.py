"""Pictures that another program draws: what it is told, and what comes of it."""

import asyncio
import json
import re
import shlex
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from threading import Thread

import pytest
import requests
import tableauserverclient as TSC
from tableauserverclient.server.endpoint.exceptions import InternalServerError

from emulated import WORKBOOK, World, refused, signed_in
from tableau_emulator import client, drawing
from tableau_emulator.errors import ApiError, EmulatorError
from tableau_emulator.process import recorded, start, stop

ALLOW = TSC.Permission.Mode.Allow
ECHO = "sh -c 'cat; echo; echo $0'"  # draws what it was asked, and the format


@pytest.fixture
def here(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[World]:
    """An emulator that draws by a command, by default one that shows what it was asked."""
    draw = drawing.by_command(getattr(request, "param", ECHO))
    with client.served(tmp_path / "emulator", draw) as emulator:
        yield World(emulator, tmp_path / "emulator", signed_in(emulator))


@pytest.fixture
def view(here: World) -> TSC.ViewItem:
    """A view of a workbook on a published data source."""
    project = here.server.projects.create(TSC.ProjectItem("a project"))
    workbook = here.publish_workbook(project, here.publish(project))
    return here.server.views.get_by_id(workbook.views[0].id)


def test_the_command_is_told_who_asks_for_what(here: World, view: TSC.ViewItem) -> None:
    user, group = here.user("ada"), here.server.groups.create(TSC.GroupItem("readers"))
    here.server.groups.add_user(group, user.id)
    options = (
        TSC.ImageRequestOptions()
        .vf("Region", "East,Rock\\, Paper,C:\\\\x")
        .vf("Empty", "")
        .parameter("weeks", "2")
    )
    view_as_ada = here.as_user("ada").views
    view_as_ada.populate_image(view, options)
    asked, form = view.image.decode().splitlines()
    told = json.loads(asked)
    assert form == "png"
    assert told["user"] == {"name": "ada", "administers": False, "groups": ["All Users", "readers"]}
    assert (told["project"]["name"], told["workbook"]["name"]) == ("a project", "report")
    assert Path(told["workbook"]["file"]).read_text() == WORKBOOK.format(source="calls")
    assert told["view"] == {"id": view.id, "name": "Overview"}
    assert told["filters"] == {"Region": ["East", "Rock, Paper", "C:\\x"]}
    assert told["parameters"] == {"weeks": "2"}
    workbook = here.server.workbooks.get_by_id(view.workbook_id)
    here.server.workbooks.populate_pdf(workbook)
    assert json.loads(workbook.pdf.splitlines()[0])["view"] is None
    here.server.workbooks.populate_powerpoint(workbook)
    assert workbook.powerpoint.splitlines()[-1] == b"pptx"
    for what, form in (("pdf", "pdf"), ("csv", "csv"), ("excel", "xlsx")):
        getattr(here.server.views, f"populate_{what}")(view)
        content = getattr(view, what)
        content = content if isinstance(content, bytes) else b"".join(content)
        assert content.splitlines()[-1].decode() == form
        assert json.loads(content.splitlines()[0])["user"]["administers"] is True


@pytest.mark.parametrize("here", ["true"], indirect=True)
def test_what_the_command_does_not_draw_is_a_placeholder(here: World, view: TSC.ViewItem) -> None:
    here.server.views.populate_image(view)
    assert view.image.startswith(b"\x89PNG")


FAILING = "sh -c 'echo half of it; echo a secret >&2; exit 3'"
SLOW = "sh -c 'echo half of it; sleep 60'"


@pytest.mark.parametrize("here", [FAILING, SLOW], indirect=True)
def test_what_goes_wrong_is_not_told_to_the_user(
    here: World, view: TSC.ViewItem, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(drawing, "_PATIENCE_S", 0.3)
    with pytest.raises(InternalServerError) as failed:
        here.server.views.populate_image(view)
        _ = view.image
    assert "The view could not be drawn." in str(failed.value)
    assert "secret" not in str(failed.value)
    assert "half of it" not in str(failed.value)
    assert here.server.views.get_by_id(view.id).name == "Overview", "the emulator goes on"


def test_whoever_may_not_use_the_data_source_gets_no_picture(here: World, view: TSC.ViewItem) -> None:
    here.user("ada")
    (source,) = here.server.datasources.get()[0]
    here.server.datasources.populate_permissions(source)
    for rule in source.permissions:
        here.server.datasources.delete_permission(source, rule)
    ada = here.as_user("ada")
    with refused("403004"):
        ada.views.populate_image(view)
        _ = view.image
    rule = TSC.PermissionsRule(TSC.UserItem.as_reference(ada.user_id), {"Connect": ALLOW})
    here.server.datasources.update_permissions(source, [rule])
    ada.views.populate_image(view)
    assert view.image


def test_nobody_keeps_others_waiting(tmp_path: Path) -> None:
    """Each of the commands leaves a file, and goes on when it is told to."""
    words = (
        f"cd {shlex.quote(str(tmp_path))}; cat > asked.$$; until test -e go; do sleep 0.02; done; echo drawn"
    )
    draw = drawing.by_command(shlex.join(["sh", "-c", words]))

    def running() -> list[str]:
        asked = [file.read_text() for file in tmp_path.glob("asked.*")]
        return sorted(json.loads(text)["user"]["name"] for text in asked if text)

    async def ask(user: str) -> bytes:
        return await draw("png", {"user": {"name": user}})

    async def act() -> list[bytes]:
        greedy = [asyncio.create_task(ask("ada")) for _ in range(10)]
        await asyncio.sleep(0)
        with pytest.raises(ApiError) as refused:
            await ask("ada")
        assert refused.value.code == "429000"
        modest = asyncio.create_task(ask("bob"))
        while len(running()) < 2:
            await asyncio.sleep(0.02)
        assert running() == ["ada", "bob"]
        (tmp_path / "go").touch()
        drawn = await asyncio.gather(*greedy, modest)
        return [*drawn, await ask("ada")]

    assert asyncio.run(asyncio.wait_for(act(), 60)) == [b"drawn\n"] * 12


@pytest.mark.thorough
def test_a_command_ends_with_the_emulator(tmp_path: Path) -> None:
    folder, file = tmp_path / "emulator", tmp_path / "process"
    words = f"echo $$ > {shlex.quote(str(file))}; exec sleep 600"
    emulator = start(folder, draw=shlex.join(["sh", "-c", words]))
    try:
        world = World(emulator, folder, signed_in(emulator))
        project = world.server.projects.create(TSC.ProjectItem("a project"))
        workbook = world.publish_workbook(project, world.publish(project))
        url = f"{world.server.views.baseurl}/{workbook.views[0].id}/image"

        def look() -> None:
            with suppress(requests.RequestException):
                requests.get(url, headers={"x-tableau-auth": str(world.server.auth_token)}, timeout=60)

        looking = Thread(target=look)
        looking.start()
        while not (file.exists() and file.read_text()):
            assert looking.is_alive()
            time.sleep(0.02)
        drawing_process = Path("/proc") / file.read_text().strip()
        assert drawing_process.exists()
    finally:
        stop(folder)
    looking.join()
    assert not drawing_process.exists()


def test_the_command_stays_from_one_start_to_the_next(tmp_path: Path) -> None:
    folder = tmp_path / "state"

    def record() -> tuple[str, int]:
        found = recorded(folder)
        assert found is not None
        return found.draw, found.pid

    try:
        start(folder, draw=ECHO)
        first = record()
        assert first[0] == ECHO
        start(folder)
        start(folder, draw=ECHO)
        assert record() == first, "it runs as it should"
        stop(folder)
        start(folder)
        assert record()[0] == ECHO
        start(folder, draw="")
        assert record()[0] == ""
    finally:
        stop(folder)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program --all", "there is no program 'no-such-program'"),
        ("'", "--draw: No closing quotation"),
        (" ", "there is no program ''"),
    ],
)
def test_a_command_that_cannot_be_is_a_mistake(command: str, said: str) -> None:
    with pytest.raises(EmulatorError, match=re.escape(said)):
        drawing.by_command(command)
