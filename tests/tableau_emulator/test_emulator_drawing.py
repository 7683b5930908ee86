"""Pictures that another program draws: what it is told, and what comes of it."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import tableauserverclient as TSC
from tableauserverclient.server.endpoint.exceptions import InternalServerError

from emulated import WORKBOOK, World, refused, signed_in
from tableau_emulator import client, drawing
from tableau_emulator.errors import EmulatorError
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
