"""A preview shows a report, and draws it again when a declaration changes."""

import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
import uvicorn

from callmart.base.errors import UserError
from callmart.cli import main, preview
from callmart.declarations import exposures
from callmart_home import Callmart
from centre import NAMED, STANDARD
from commands import command_of, mistake, process_of, use
from drawn import WEEK

SECRET = "a-secret"


@pytest.fixture
def home(two_weeks: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callmart:
    """A home to preview in. One file is watched; the drawing process is forked, since importing takes its time."""
    assert main  # its commands get the settings
    use(two_weeks.settings, monkeypatch)
    draw = process_of(two_weeks.home)
    monkeypatch.setattr(preview, "WATCHED", (tmp_path / "watched.yml",))
    monkeypatch.setattr(preview, "EVERY_S", 0.02)
    monkeypatch.setattr(subprocess, "run", lambda words, **_: draw(*words[1:]))
    (tmp_path / "watched.yml").write_text("first")
    return two_weeks


@pytest.fixture
def words(home: Callmart) -> list[str]:
    return ["traffic", "--customer", str(STANDARD), "--week", str(WEEK)]


@pytest.fixture
def address(words: list[str]) -> Iterator[str]:
    """Where the preview is served, in a thread."""
    with preview._listen(0) as listener:
        server = uvicorn.Server(uvicorn.Config(preview.served(words, SECRET), log_level="error"))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.005)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(10)


def test_it_is_drawn_again_when_a_declaration_changes(
    home: Callmart, words: list[str], address: str, tmp_path: Path
) -> None:
    def page() -> str:
        return requests.get(f"{address}/{SECRET}/", timeout=60).text

    def after(number: int) -> str:
        return requests.get(f"{address}/{SECRET}/after/{number}", timeout=60).text

    shown = page()
    assert "Drukte" in shown
    assert "after/0" in shown
    words[0] = "traffik"  # as if the report were renamed
    (tmp_path / "watched.yml").write_text("second")
    assert after(0) == "1"
    broken = page()
    assert "there is no report traffik: name traffic, if that is what you mean" in broken
    assert "after/1" in broken
    words[0] = "accessibility"
    (tmp_path / "watched.yml").unlink()  # a file that goes is a change, too
    assert after(1) == "2"
    assert "Bereikbaarheid" in page()

    it_shows_nothing_that_was_closed_meanwhile(home, page)
    nobody_sees_it_without_its_address(address)


def it_shows_nothing_that_was_closed_meanwhile(home: Callmart, page: Callable[[], str]) -> None:
    """No file has changed: what is shown is what is there when somebody asks."""
    with home.connect() as owner:
        owner.execute("insert into privacy.closed (customer_id, cause) values (%s, 'differs')", [STANDARD])
        owner.commit()
        shown = page()
        assert "Bereikbaarheid" not in shown
        assert "the privacy ledger and the database differ" in shown
        owner.execute("delete from privacy.closed")


def nobody_sees_it_without_its_address(address: str) -> None:
    for place in ("", "/", "/another/", f"/{SECRET}/../"):
        assert requests.get(address + place, timeout=9).status_code == 404
    evil = requests.get(f"{address}/{SECRET}/", headers={"host": "evil.example"}, timeout=9)
    assert evil.status_code == 400


def test_what_the_preview_watches_exists() -> None:
    assert exposures.FILE in {path for path, _ in preview._stamps()}
    assert all(place.exists() for place in preview.WATCHED)


def test_the_customer_is_the_first_that_has_data(home: Callmart) -> None:
    assert preview._first_with_data(exposures.named("agents")) == NAMED
    with home.connect() as owner:
        owner.execute(
            "create temporary table kept as select * from ops.opened_day where customer_id = %s", [NAMED]
        )
        owner.execute("delete from ops.opened_day where customer_id = %s", [NAMED])
        owner.commit()
        assert preview._first_with_data(exposures.named("traffic")) != NAMED
        owner.execute("insert into ops.opened_day select * from kept")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("trafic",), "there is no report trafic: name traffic"),
        (("traffic", "--customer", str(NAMED), "--week", "2020-W01"), "has no data of 2020-W01"),
    ],
)
def test_a_mistake_is_one_sentence(two_weeks: Callmart, arguments: tuple[str, ...], sentence: str) -> None:
    assert sentence in mistake(command_of(two_weeks.home)("preview", *arguments))


def test_a_port_that_is_taken() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(UserError, match=f"port {port} is not free: name another, or leave --port out"):
            preview._listen(port)
