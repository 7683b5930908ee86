"""A key that the database may know is on the disk, under its name."""

import os
from pathlib import Path

import pytest

from callmart.base.keys import INSTALLATION, add_layer, key_file, new_key, write_keys


@pytest.fixture
def synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[set[str]]:
    """The files that were there whenever the keys' folder was synced."""
    found: list[set[str]] = []
    folder = key_file(tmp_path, INSTALLATION).parent

    def fsync(number: int) -> None:
        if os.path.samestat(os.fstat(number), folder.stat()):
            found.append({path.name for path in folder.iterdir()})

    monkeypatch.setattr(os, "fsync", fsync)
    return found


def test_a_new_key_is_on_the_disk_under_its_name(tmp_path: Path, synced: list[set[str]]) -> None:
    key = new_key(tmp_path, 7)
    assert synced == [{"customer_7.key"}]
    add_layer(tmp_path, 7, key)
    assert synced == [{"customer_7.key"}] * 2


def test_so_is_the_folder_of_the_first_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[set[str]] = []

    def fsync(number: int) -> None:
        if os.path.samestat(os.fstat(number), tmp_path.stat()):
            found.append({path.name for path in tmp_path.iterdir()})

    monkeypatch.setattr(os, "fsync", fsync)
    new_key(tmp_path, INSTALLATION)
    assert found == [{"keys"}]


def test_many_keys_are_synced_once(tmp_path: Path, synced: list[set[str]]) -> None:
    write_keys(tmp_path, {7: b"7" * 32, INSTALLATION: b"i" * 32})
    assert synced == [{"customer_7.key", "installation.key"}]
    write_keys(tmp_path, {})
    assert len(synced) == 1
