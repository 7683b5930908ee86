"""A day that its checks hold back stays out, until it is mended or a person releases it, with a reason."""

import json
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any, get_args

import psycopg
import pytest

from callmart.base.progress import quietly
from callmart.database import migrating
from callmart.declarations import checking
from callmart.operations.stages import Ran
from callmart.tableau_files import hyper
from callmart.validate.release import Reason
from callmart_home import Callmart
from checking import only
from commands import Command, command_of, mistake
from events import DAY, Row, at, days, event, ndjson, registry
from nights import night

pytestmark = pytest.mark.usefixtures("trusted")

CUSTOMER, OTHER, UNKNOWN = 1, 2, 9
REGISTRY = registry(
    *(
        f"id: {customer}, contracts: [{{option: detailed, from: 2020-01-01}}]"
        for customer in (CUSTOMER, OTHER)
    )
)
CHECK = "a day without a fault"
REASONS = get_args(Reason)
AGAIN = "held back again, because its data changed or it fails more than was released"


def visit(call: str, day: int) -> list[Row]:
    """A caller who waits in the queue and leaves."""
    return [
        event(name, at(clock, day), call_id=call, queue="sales", **values)
        for name, clock, values in (
            ("queue_joined", "10:00", {}),
            ("queue_left", "10:01", {"reason": "abandoned"}),
        )
    ]


def fail(suite: Path, name: str, others: str | None = None) -> None:
    """From now on the first day of the customer fails a check of this name, beside these, or those that there are."""
    suite.write_text(
        (suite.read_text() if others is None else others)
        + f"""
  - type: unexpected_rows_expectation
    severity: critical
    meta: {{name: {name}}}
    kwargs:
      unexpected_rows_query: >
        select customer_id, call_date from {{batch}} where customer_id = {CUSTOMER} and call_date = '{DAY}'
"""
    )


def rebuilt(callmart: Callmart) -> Ran:
    """A night after the definition of a mart changed, as far as the customer's first day goes."""
    with callmart.connect() as connection:
        connection.execute(
            "insert into ops.dirty_day (customer_id, call_date, cause) values (%s, %s, 'rebuild')",
            [CUSTOMER, DAY],
        )
    return night(callmart)


def offered(callmart: Callmart, customer_id: int | None = None) -> int:
    """The visits of the customer's first day, as the owner or the customer sees them."""
    schema = "store" if customer_id is None else "mart"
    query = f"select sum(offered) as offered from {schema}.queue_interval where customer_id = %s and call_date = %s"
    return int(callmart.rows(query, CUSTOMER, DAY, customer_id=customer_id)[0]["offered"])


def delivered(callmart: Callmart) -> int:
    """The same, as the extract has it."""
    query = f"""select sum("offered") as offered from "Extract"."queue_interval" where "call_date" = date '{DAY}'"""
    file = callmart.home / "extracts" / str(CUSTOMER) / "queue.hyper"
    ((offered,),) = hyper.rows(file, query)
    return int(offered)


def logged(callmart: Callmart, action: str) -> list[dict[str, Any]]:
    query = "select details from ops.audit_log where action = %s and customer_id = %s order by entry"
    return [row["details"] for row in callmart.rows(query, action, CUSTOMER)]


@pytest.fixture(scope="module")
def command(callmart: Callmart) -> Command:
    return command_of(callmart.home)


def release(command: Command, **options: str) -> Any:
    given = {"customer": str(CUSTOMER), "day": str(DAY), "reason": "agreed-with-customer"} | options
    return command("release", *(word for name, value in given.items() for word in (f"--{name}", value)))


@pytest.fixture
def suite(spare_suites: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The suite of the only mart that is checked, to be changed."""
    only(monkeypatch, "queue_interval")
    # All that is declared is read again when a suite changes; it is right here.
    monkeypatch.setattr(checking, "require", quietly)
    return spare_suites / "queue_interval.yml"


def test_a_day_is_held_back_until_it_is_released(callmart: Callmart, command: Command, suite: Path) -> None:
    callmart.apply(REGISTRY)
    for customer in CUSTOMER, OTHER:
        callmart.land_text(ndjson(*visit("c-0", 0), *visit("c-1", 1)), customer)
    assert night(callmart).problems == []

    # It keeps its last good version, and is a problem of every run. One tries again, the others know what comes of it.
    fail(suite, CHECK)
    callmart.land_text(ndjson(*visit("c-2", 0)), CUSTOMER)
    callmart.land_text(ndjson(*visit("c-3", 0)), OTHER)
    for built, opened in (2, 1), (1, 0), (0, 0):
        ran = night(callmart)
        assert (ran.built_days, ran.opened_days, ran.held_back_days) == (built, opened, 1)
        assert ran.problems == ["1 day is held back by its checks: see `callmart status`"]
        assert (offered(callmart), offered(callmart, CUSTOMER), delivered(callmart)) == (1, 1, 1)
    shown = command("status").stdout.splitlines()
    assert f"customer {CUSTOMER}: {DAY}: held back: queue_interval: {CHECK}" in shown

    # Released, it is opened by the next run, and only then.
    done = release(command)
    assert (done.returncode, done.stdout) == (
        0,
        f"release: the next `callmart run` opens {DAY} of customer {CUSTOMER}\n",
    )
    held = {
        "day": str(DAY),
        "checks": [f"queue_interval: {CHECK}"],
        "released": True,
        "released_before": False,
    }
    assert [one["held_back"] for one in json.loads(command("status", "--json").stdout)["customers"]] == [
        [held],
        [],
    ]
    (told,) = logged(callmart, "released")
    assert told.keys() == {"build", "days", "by", "reason"}
    assert (told["days"], told["reason"]) == (1, "agreed-with-customer")
    assert told["by"]
    assert offered(callmart) == 1
    ran = night(callmart)
    assert (ran.opened_days, ran.held_back_days, ran.problems) == (1, 0, [])
    assert (offered(callmart), offered(callmart, CUSTOMER), delivered(callmart)) == (2, 2, 2)
    assert ran.published_changes > 0
    assert logged(callmart, "opened")[-1] | {"build": 0} == {"build": 0, "days": 1, "released": 1}
    assert not callmart.rows("select 1 from ops.held_back union all select 1 from ops.dirty_day")


@pytest.mark.thorough
def test_a_release_is_of_what_was_there_and_of_no_more(
    callmart: Callmart, command: Command, suite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    callmart.apply(REGISTRY)
    callmart.land_text(ndjson(*visit("c-6", 0)), CUSTOMER)
    fail(suite, CHECK)
    assert night(callmart).held_back_days == 1
    assert release(command).returncode == 0
    assert night(callmart).opened_days == 1
    shown = offered(callmart)

    # A rebuild opens it again, unless it fails more than was released. Then mending that is enough.
    as_released = suite.read_text()
    more_rows = as_released.replace(
        "{batch} where customer_id", "{batch}, generate_series(1, 2) where customer_id"
    )
    suite.write_text(more_rows)
    assert rebuilt(callmart).held_back_days == 1
    assert f"{DAY}: {AGAIN}: queue_interval: {CHECK}" in command("status").stdout
    suite.write_text(as_released)
    assert night(callmart).opened_days == 1

    # What comes later is held back again.
    callmart.land_text(ndjson(*visit("c-4", 0)), CUSTOMER)
    assert night(callmart).held_back_days == 1
    assert offered(callmart) == shown

    # A release is of the data that was there then, of as many rows, and of no other check.
    for change in (
        lambda: callmart.land_text(ndjson(*visit("c-5", 0)), CUSTOMER),
        lambda: suite.write_text(more_rows),
        partial(fail, suite, "another fault", as_released),
    ):
        assert release(command).returncode == 0
        change()
        assert night(callmart).held_back_days == 1
        assert offered(callmart) == shown
    assert callmart.rows("select cause, released_at, released_by, release_reason from ops.held_back") == [
        {
            "cause": f"queue_interval: {CHECK}; queue_interval: another fault",
            "released_at": None,
            "released_by": None,
            "release_reason": None,
        }
    ]
    assert f"{AGAIN}: queue_interval: {CHECK} and 1 more checks" in command("status").stdout

    # Mended, it opens by itself.
    monkeypatch.undo()
    assert night(callmart).held_back_days == 0
    assert (offered(callmart), delivered(callmart)) == (shown + 2, shown + 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"day": str(days(2)[1])}, f"{days(2)[1]} of customer {CUSTOMER} is not held back; `callmart status` shows"),
        ({"customer": str(UNKNOWN)}, f"there is no customer {UNKNOWN}: `callmart status` lists"),
        ({"reason": ""}, f"'--reason': '' is not one of {', '.join(map(repr, REASONS))}"),
        ({"reason": "Noor telde dubbel"}, f"'Noor telde dubbel' is not one of {', '.join(map(repr, REASONS))}"),
        ({"reason": "not-listed"}, f"'not-listed' is not one of {', '.join(map(repr, REASONS))}"),
    ],
    ids=["a day that is open", "an unknown customer", "no reason", "a text", "what former texts became"],
)  # fmt: skip
def test_a_release_of_nothing_is_a_mistake(
    callmart: Callmart, command: Command, options: dict[str, str], said: str
) -> None:
    callmart.apply(REGISTRY)
    before = callmart.rows("select count(*) from ops.audit_log where action = 'released'")
    assert said in mistake(release(command, **options))
    assert callmart.rows("select count(*) from ops.audit_log where action = 'released'") == before


HELD = (
    "insert into ops.held_back (customer_id, call_date, build_id, cause, release_reason)"
    " values (1, '{day}', 1, '', %s)"
)
LOGGED = (
    "insert into ops.audit_log (action, details) values ('released', jsonb_build_object('reason', %s::text))"
)


@pytest.fixture
def owner(callmart: Callmart) -> Iterator[psycopg.Connection]:
    """A connection of the owner whose transaction is rolled back."""
    with callmart.connect() as connection:
        yield connection
        connection.rollback()


@pytest.mark.parametrize("statement", [HELD, LOGGED], ids=["the day", "the log"])
def test_the_database_takes_the_listed_reasons_and_no_text(owner: psycopg.Connection, statement: str) -> None:
    for day, reason in zip(days(len(REASONS)), REASONS, strict=True):
        owner.execute(statement.format(day=day).encode(), [reason])
    for text in "Noor telde dubbel", "", *([None] if statement == LOGGED else []):
        with pytest.raises(psycopg.errors.CheckViolation), owner.transaction():
            owner.execute(statement.format(day=DAY - timedelta(days=1)).encode(), [text])


def test_an_upgrade_replaces_the_texts_of_before_and_says_so(owner: psycopg.Connection) -> None:
    (migration,) = migrating.FOLDER.glob("*_reasons_of_releases.sql")
    owner.execute("alter table ops.held_back drop constraint held_back_release_reason_check")
    owner.execute("alter table ops.audit_log drop constraint audit_log_release_reason_check")
    for statement in HELD, LOGGED:
        owner.execute(statement.format(day=DAY).encode(), ["Noor telde dubbel"])
    owner.execute("insert into ops.audit_log (action, details) values ('opened', '{\"days\": 1}')")
    before = owner.execute("select count(*) from ops.audit_log where action = 'released'").fetchall()

    owner.execute(migration.read_bytes())
    assert owner.execute("select release_reason from ops.held_back").fetchall() == [("not-listed",)]
    log = owner.execute("select action, details from ops.audit_log order by entry desc limit 3").fetchall()
    assert log == [
        ("reasons replaced", {"days": 1, "entries": before[0][0]}),
        ("opened", {"days": 1}),
        ("released", {"reason": "not-listed"}),
    ]
    assert (
        owner.execute(
            "select 1 from ops.audit_log where action = 'released' and details ->> 'reason' <> 'not-listed'"
        ).fetchall()
        == []
    )
    written_anew = owner.execute("select relation from ops.to_vacuum where is_whole").fetchall()
    assert {"ops.audit_log", "ops.held_back"} <= {relation for (relation,) in written_anew}
    with pytest.raises(psycopg.errors.RaiseException, match="append-only"), owner.transaction():
        owner.execute("update ops.audit_log set action = 'x'")
