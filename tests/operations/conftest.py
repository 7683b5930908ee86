"""The fixtures of tests of the nightly run."""

import shutil
from collections.abc import Callable

import pytest

from callmart.base.settings import Folder
from callmart_home import Callmart
from nights import night
from nights_of_three import REGISTRY, fill, parts, with_folders


@pytest.fixture(scope="module")
def undisturbed(make_callmart: Callable[..., Callmart]) -> Callmart:
    """One run over everything."""
    callmart = make_callmart(ready=True)
    callmart.apply(REGISTRY)
    folder = callmart.home / "inbox"
    callmart = with_folders(callmart, Folder(path=folder, settle_seconds=0))
    fill(folder, *parts(1))
    assert night(callmart).problems == []
    return callmart


@pytest.fixture
def twin(make_callmart: Callable[..., Callmart], undisturbed: Callmart) -> Callmart:
    """A callmart that has done nothing yet, with the keys of the undisturbed one: equal persons are equal rows."""
    callmart = make_callmart(ready=True)
    shutil.copytree(undisturbed.home / "keys", callmart.home / "keys", dirs_exist_ok=True)
    callmart.apply(REGISTRY)
    return with_folders(callmart, Folder(path=callmart.home / "inbox", settle_seconds=0))
