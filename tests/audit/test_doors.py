"""The audit tries to get in without a password."""

import time
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from callmart.audit import attacking
from callmart.audit.check import Check
from callmart_home import Callmart


@contextmanager
def changed(callmart: Callmart, name: str, there: str, instead: str) -> Iterator[None]:
    """With another text in a file that says who gets in."""
    file = callmart.home / "postgres" / name
    made = file.read_text()
    try:
        file.write_text(made.replace(there, instead))
        assert file.read_text() != made
        read_again(callmart)
        yield
    finally:
        file.write_text(made)
        read_again(callmart)


def read_again(callmart: Callmart) -> None:
    with callmart.superuser() as superuser:
        superuser.execute("select pg_reload_conf()")
    time.sleep(0.5)


def look(callmart: Callmart) -> Check:
    with callmart.connect() as owner:
        return attacking.of_passwords(owner, callmart.settings)


def test_nobody_gets_in_without_a_password(played: Callmart) -> None:
    assert look(played).outcome == "holds"


def test_a_server_that_asks_for_none_is_a_breach(played: Callmart) -> None:
    """Of every login, also of one whose password the audit doesn't have."""
    with changed(played, "pg_hba.conf", "scram-sha-256", "trust"):
        found = look(played).found
    assert {
        "callmart_loader gets in with any password",
        "callmart_privacy_approver gets in with any password",
    } < {*found}


@pytest.mark.parametrize(
    ("name", "there", "instead"),
    [
        ("pg_hba.conf", "postgres  peer map=callmart", "postgres  trust"),
        ("pg_ident.conf", "callmart", "callmart nobody postgres\ncallmart"),
    ],
)
def test_another_way_to_the_administrator_is_a_breach(
    played: Callmart, name: str, there: str, instead: str
) -> None:
    with changed(played, name, there, instead):
        assert look(played).found == (f"{name} of the embedded server is not as callmart made it",)
