"""Who works is what the kernel says, not the environment."""

import os
import pwd

import pytest

from callmart.base.account import account


def test_the_environment_does_not_say_who_works(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "somebody-else")
    assert account() == pwd.getpwuid(os.geteuid()).pw_name


def test_an_account_without_a_name_is_its_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 3_999_999_999)
    assert account() == "3999999999"
