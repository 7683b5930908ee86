"""What is in the way of an erasure blocks it, in one sentence; when it is gone, the same command goes on.

The person has two ids, one of them too short to be sought in bytes, and others have words like those.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any

import psycopg
import pytest
import requests

from callmart.access import logins, sessions
from callmart.base.keys import key_file, keyed
from callmart.base.person import Blocked, Work
from callmart.database import ledger, lock
from callmart.land.places import Stored
from callmart.opening import opening
from callmart.privacy import erasing, server_files
from callmart.privacy.kept import Remembered
from callmart.publish import sites
from callmart.registry.places import Persons
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED, agent_of
from erasures import do, left, of, plan_of, prove

pytestmark = [pytest.mark.server, pytest.mark.thorough, pytest.mark.usefixtures("unchecked")]

SHORT, NAME = "101", "Bo Tweede"
ID, LONGER = agent_of(NAMED, 4), f"{agent_of(NAMED, 4)}0"
PART = "Agent/77"  # of an id that is there
IN_REGISTRY = [
    (NAMED, SHORT, NAME),
    (NAMED, ID, NAME),
    (NAMED, LONGER, NAME),  # another agent of the same name, whose id begins like this one's
    (ANONYMOUS, SHORT, None),  # another customer's, with the same id
    (NAMED, f"{PART}0", NAME),
]


def named(home: Callmart) -> list[tuple[Any, ...]]:
    rows = home.rows(
        "select customer_id, agent, name from registry.agent where agent = any(%s) order by customer_id, agent",
        [SHORT, ID, LONGER, f"{PART}0"],
    )
    return [tuple(row.values()) for row in rows]


@pytest.fixture(scope="module")
def known(home: Callmart) -> Callmart:
    """The home with these agents in its registry."""
    with home.connect() as connection:
        for customer, agent, name in IN_REGISTRY:
            key = keyed(key_file(home.home, customer).read_bytes(), "agent", agent)
            connection.execute(
                "insert into registry.agent (customer_id, agent_key, agent, name) values (%s, %s, %s, %s)"
                " on conflict (customer_id, agent_key) do update set name = excluded.name",
                [customer, key, agent, name],
            )
    return home


Hindrance = Callable[[Callmart, pytest.MonkeyPatch], AbstractContextManager[object]]


@contextmanager
def a_landing(home: Callmart, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setattr(lock, "TIMEOUT", "50ms")
    with logins.connect(home.settings, "loader") as loader:
        loader.execute("lock table raw.incoming in row exclusive mode")
        yield


@contextmanager
def a_table_in_use(home: Callmart, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """By a session of our own, which nobody ends."""
    patch.setattr(server_files, "_BRIEFLY", ("50ms",))
    patch.setattr(server_files, "_PATIENTLY", "50ms")
    with home.connect() as session:
        session.execute("select from store.agent limit 1")
        yield


@contextmanager
def an_old_snapshot(home: Callmart, patch: pytest.MonkeyPatch) -> Iterator[None]:
    """Of a session that is no login of ours, which nobody ends. It locks nothing."""
    patch.setattr(sessions, "_READ_S", 0.1)
    with home.connect() as session:
        session.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        session.execute("select 1")
        yield


@contextmanager
def drift(home: Callmart, patch: pytest.MonkeyPatch) -> Iterator[None]:
    with home.connect() as owner:
        owner.execute(f"grant select on store.agent_day to callmart_customer_{NAMED}")
    yield
    with home.connect() as owner:
        owner.execute(f"revoke select on store.agent_day from callmart_customer_{NAMED}")


@contextmanager
def days_held_back(home: Callmart, patch: pytest.MonkeyPatch) -> Iterator[None]:
    patch.setattr(opening, "open_build", lambda *_: None)
    yield


@contextmanager
def tableau_that_went_down(home: Callmart, patch: pytest.MonkeyPatch) -> Iterator[None]:
    def apply(*_: Any, **__: Any) -> Any:
        raise requests.ConnectionError

    patch.setattr(sites, "apply", apply)
    yield


HINDRANCES: dict[tuple[str, str], Hindrance] = {
    ("doorway", "landing"): a_landing,
    ("marts", "drift"): drift,
    ("marts", "held back"): days_held_back,
    ("tableau content", "tableau"): tableau_that_went_down,
    ("extracts", "drift"): drift,  # no day waits to be opened by now
    ("server files", "lock"): a_table_in_use,
}


def test_each_hindrance_blocks_it_and_then_it_goes_on(
    known: Callmart, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    person = of(work, "agent", SHORT, ID)
    assert named(known) == sorted(IN_REGISTRY, key=lambda row: row[:2])
    before = ledger.last(known.settings)[0]
    for where, hindrance in HINDRANCES.items():
        with monkeypatch.context() as patch, hindrance(known, patch), pytest.raises(Blocked) as blocked:
            do(work, person, 1)
        work.connection.rollback()
        assert (blocked.value.place, blocked.value.code) == where
        assert str(blocked.value).count(". ") == 0 and not [
            word for word in person.words if word in str(blocked.value)
        ]
    with monkeypatch.context() as patch, an_old_snapshot(known, patch), pytest.raises(Blocked) as blocked:
        do(work, person, 1)
    work.connection.rollback()
    assert re.fullmatch(
        r"session (\d+) of the login callmart_owner still sees what was deleted, since 20..-..-.. ..:.., so it stays "
        r"in the files: let an administrator end it \(`select pg_terminate_backend\(\1\)`\), then run this again",
        str(blocked.value),
    )
    with known.connect(NAMED) as login:  # which goes on seeing what was there, and locks nothing
        login.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        login.execute("select 1")
        do(work, person, 1)
        with pytest.raises(psycopg.OperationalError):
            login.execute("select 1")
    assert ledger.last(known.settings)[0] == before + 1
    assert left(prove(work, person, 1)) == {}
    assert named(known) == [row for row in sorted(IN_REGISTRY, key=lambda row: row[:2]) if row[1:] != (ID, NAME)
                            and row[:2] != (NAMED, SHORT)]  # fmt: skip
    assert plan_of(work, person).counts["registry"] == {}


def test_words_like_those_of_others_are_sought_as_whole_values(known: Callmart, work: Work) -> None:
    """The name that another has is not sought; of the ids, whole values of the customer's own rows.
    Who is 102 is also 102.0.
    """
    person = of(work, "agent", "102", PART)
    person = replace(person, words=person.words | {NAME})
    searching = erasing._searching(work, person, Remembered.of(person, Stored()), Stored())
    assert set(searching.needles.whole) == {"102", "102.0", PART}
    assert NAME not in searching.needles.texts
    assert Persons().prove(searching, person).left == {}
    key = keyed(key_file(known.home, NAMED).read_bytes(), "agent", "somebody")
    with work.connection.transaction(force_rollback=True):
        work.connection.execute(
            "insert into registry.agent (customer_id, agent_key, agent) values (%s, %s, %s)",
            [NAMED, key, PART],
        )
        assert Persons().prove(searching, person).left == {"registry.agent": 1}
