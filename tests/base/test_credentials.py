"""Settings that systemd gives a service as files (LoadCredential=). Needs no server."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from callmart.base import settings as module
from callmart.base.errors import UserError
from callmart.base.settings import Settings

Give = Callable[[str, str], Path]


@pytest.fixture
def give(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Give:
    """Gives this process a credential, as systemd does; it has no other setting."""
    (folder := tmp_path / "credentials").mkdir()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(folder))
    monkeypatch.setattr(module, "CONFIG_FILE", tmp_path / "callmart.toml")
    for name in os.environ.copy():
        if name.startswith("CALLMART_"):
            monkeypatch.delenv(name)

    def give(name: str, content: str) -> Path:
        (file := folder / name).write_text(content)
        return file

    return give


def read() -> Settings:
    return module.settings.__wrapped__()


def test_any_setting_can_come_as_a_credential(give: Give) -> None:
    give("callmart_dsn", "postgresql://owner:secret@db/callmart\n")
    give("CALLMART_TABLEAU__TOKEN", "a token ")
    give("callmart_folders", '[{"path": "/data", "done": true}]\n')
    give("somebody_elses", "another")
    found = read()
    assert found.dsn is not None
    assert found.tableau.token is not None
    assert found.dsn.get_secret_value() == "postgresql://owner:secret@db/callmart"
    assert found.tableau.token.get_secret_value() == "a token "
    assert [folder.done for folder in found.folders] == [True]


def test_the_environment_wins_over_a_credential_and_that_over_the_file(
    give: Give, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "callmart.toml").write_text('time_zone = "UTC"\nmax_file_rows = 1\nmax_file_gib = 1\n')
    monkeypatch.setitem(Settings.model_config, "toml_file", tmp_path / "callmart.toml")
    give("callmart_max_file_rows", "2")
    give("callmart_max_file_gib", "2")
    monkeypatch.setenv("CALLMART_MAX_FILE_GIB", "3")
    found = read()
    assert (found.time_zone, found.max_file_rows, found.max_file_gib) == ("UTC", 2, 3)


def test_a_slip_in_the_name_of_a_credential_is_refused(give: Give) -> None:
    give("callmart_dns", "s3cret")
    with pytest.raises(
        UserError, match="callmart_dns is not a setting; unset it, or write CALLMART_DSN"
    ) as refused:
        read()
    assert "s3cret" not in str(refused.value)


def test_credentials_that_can_not_be_read_are_not_absent(give: Give, monkeypatch: pytest.MonkeyPatch) -> None:
    give("callmart_dsn", "x").write_bytes(b"\xff")
    remedy = "can't be read; correct LoadCredential= of the service"
    with pytest.raises(UserError, match=remedy):
        read()
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", "/nowhere")
    with pytest.raises(UserError, match=remedy):
        read()


def test_files_are_not_moved_into_the_home_or_where_they_land(give: Give, tmp_path: Path) -> None:
    home, inbox = tmp_path / "home", tmp_path / "inbox"
    for move_to in home, home / "archive", inbox, inbox / "archive":
        give("callmart_home", str(home))
        give("callmart_folders", f'[{{"path": "{inbox}", "after": "move", "move_to": "{move_to}"}}]')
        with pytest.raises(
            UserError, match="name a folder outside home and outside the folders that are landed"
        ):
            read()
    give("callmart_folders", f'[{{"path": "{inbox}", "after": "move", "move_to": "{tmp_path}/archive"}}]')
    assert read().folders[0].move_to == tmp_path / "archive"


def test_a_folder_that_is_named_twice_is_refused(give: Give, tmp_path: Path) -> None:
    """Its files would land for both customers."""
    (inbox := tmp_path / "inbox").mkdir()
    (link := tmp_path / "link").symlink_to(inbox)
    for other in inbox, link:
        give(
            "callmart_folders",
            f'[{{"path": "{inbox}", "customer": 1}}, {{"path": "{other}", "customer": 2}}]',
        )
        with pytest.raises(UserError, match=f"^setting folders: {inbox} is named 2 times.*; name it once"):
            read()
    give(
        "callmart_folders", f'[{{"path": "{inbox}", "customer": 1}}, {{"path": "{inbox}/2", "customer": 2}}]'
    )
    assert len(read().folders) == 2
