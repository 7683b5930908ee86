"""What an earlier version left, with call ids, plain hashes and numbers as names, becomes what landing makes now.

The earlier version's database is that of numbered.py. Its keys are known, so the same files can be landed again.
"""

from collections.abc import Callable
from typing import Any

import psycopg
import pytest

import numbered
from callmart.base.errors import UserError
from callmart.base.keys import key_file
from callmart.database import embedded_server, migrating, schema, vacuum
from callmart.declarations import dbt_project
from callmart.upgrade import upgrading
from callmart_home import Callmart
from dumps import restore
from numbered import NAMED, OTHER, OWN, PLAIN

pytestmark = pytest.mark.thorough

# As an id of a call, the name of a file, a line, and queues that the registry doesn't know.
CLEAR = ("0612345670-20", "calls of +31612345671", numbered.LINE, OTHER, numbered.SPELLED)


class Killed(BaseException):
    """The end of a process."""


@pytest.fixture(scope="module")
def fresh(make_callmart: Callable[[], Callmart]) -> Callmart:
    """The same files, landed and built by this version."""
    callmart = make_callmart()
    numbered.put_keys(callmart)
    callmart.apply(numbered.REGISTRY)
    assert numbered.land(callmart) == [78, 102]
    callmart.build_unchecked()
    return callmart


@pytest.fixture(scope="module")
def earlier(make_callmart: Callable[[], Callmart]) -> Callmart:
    """As the earlier version left it. The tests upgrade it, one step each."""
    callmart = make_callmart()
    numbered.put_keys(callmart)
    restore(callmart, numbered.DUMP)
    assert in_tables(callmart) == set(CLEAR)
    return callmart


def in_tables(callmart: Callmart) -> set[str]:
    """What is in clear in the files of the database's tables, also where it was deleted."""
    embedded_server.stop(callmart.home)  # so that everything is there
    base = callmart.home / "postgres"
    contents = [path.read_bytes() for path in base.rglob("base/*/*") if path.is_file()]
    embedded_server.start(callmart.home)
    assert contents
    return {word for word in CLEAR if any(word.encode() in content for content in contents)}


def kept(callmart: Callmart, customer: int) -> dict[str, list[Any]]:
    """What is stored of a customer: events, calls, names, and all marts."""
    tables = ["raw.event", "raw.call", "registry.queue", "registry.agent"]
    tables += [f"store.{mart.name}" for mart in dbt_project.marts(callmart.settings) if mart.day]
    tables = [table for table in tables if callmart.rows("select where to_regclass(%s) is not null", table)]
    return {
        table: sorted(
            (row["row"] for row in callmart.rows(
                f"select to_jsonb(t) as row from {table} as t where customer_id = %s", customer
            )),
            key=repr,
        )
        for table in tables
    }  # fmt: skip


def as_far_as(found: dict[str, list[Any]], wanted: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Without the marts and columns that the next build adds."""
    return {
        table: sorted(({name: row[name] for name in rows[0]} for row in wanted[table]), key=repr)
        for table, rows in found.items()
        if rows
    }


def test_a_missing_key_is_named_before_anything_changes(earlier: Callmart) -> None:
    file = key_file(earlier.home, PLAIN)
    away = file.rename(file.with_suffix(".away"))
    with earlier.connect() as owner:
        pending = migrating.pending(owner)
        with pytest.raises(UserError) as missing:
            upgrading.upgrade(owner, earlier.settings, dbt_project.marts(earlier.settings))
        owner.rollback()
        assert migrating.pending(owner) == pending
    assert str(missing.value) == (
        f"the key of customer {PLAIN} is missing ({file}): run `callmart restore FOLDER --keys` with the folder of a "
        "backup"
    )
    away.rename(file)


def test_whenever_it_is_killed_it_goes_on(earlier: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    advance, note = migrating._advance, migrating.SQL["note"]

    def once(*arguments: Any) -> None:
        advance(*arguments)
        raise Killed

    kills = 0
    while True:
        with earlier.connect() as owner:
            if not migrating.pending(owner):
                break
            with monkeypatch.context() as patch, pytest.raises((Killed, psycopg.OperationalError)):
                if kills % 3:  # after a batch
                    patch.setattr(migrating, "_advance", once)
                else:  # before the end of its transaction
                    patch.setitem(
                        migrating.SQL, "note", "select pg_terminate_backend(pg_backend_pid()), %(number)s"
                    )
                migrating.apply(owner, earlier.settings)
        kills += 1
    assert kills > 20
    assert migrating.SQL["note"] == note
    with earlier.connect() as owner:
        upgrading.upgrade(owner, earlier.settings, dbt_project.marts(earlier.settings))
        schema.require(owner, earlier.settings.time_zone)


def test_it_has_what_a_fresh_landing_and_build_have(earlier: Callmart, fresh: Callmart) -> None:
    found, wanted = kept(earlier, NAMED), kept(fresh, NAMED)
    assert all(wanted[table] for table in ("raw.event", "store.agent_contact", "store.line_interval"))
    assert {table: rows for table, rows in found.items() if rows} == as_far_as(found, wanted)
    queues = {row["queue"] for row in wanted["store.queue_day"]}
    assert {OWN, "sales"} < queues and len(queues) == 3, "the third is called by its key"
    stored = {row["queue"] for row in wanted["raw.event"]}
    assert OWN not in stored, "raw has the key of every number"

    # Two spellings of a number were two queues, and now are one: their days are computed again.
    assert kept(earlier, PLAIN)["raw.event"] == kept(fresh, PLAIN)["raw.event"]
    dirty = earlier.rows("select customer_id, cause, count(*) from ops.dirty_day group by 1, 2")
    assert dirty == [{"customer_id": PLAIN, "cause": "keyed", "count": len(numbered.DAYS)}]
    earlier.build_unchecked()
    assert kept(earlier, PLAIN) == kept(fresh, PLAIN)
    assert not earlier.rows("select from ops.extract where basis <> '{}'")


def test_the_same_files_bring_nothing(earlier: Callmart) -> None:
    files = "select name_key, content_key from raw.file order by file_id"
    before = earlier.rows(files)
    assert numbered.land(earlier) == [0, 0]
    assert earlier.rows(files) == before, "they are known by their contents"
    with earlier.connect() as owner:
        owner.execute("insert into registry.version default values")
    assert numbered.land(earlier) == [0, 0]
    assert earlier.rows(files) == before * 2, "and their events by their keys"


def test_nothing_in_clear_is_left_in_the_tables(earlier: Callmart) -> None:
    with earlier.connect() as owner:
        assert vacuum.vacuum(owner) == 1
    assert in_tables(earlier) == set()
