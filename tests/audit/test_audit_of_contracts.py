"""The audit's check of contracts: what is stored is what they order, and what outlives them by promise is no breach."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import sql

from audits import done
from callmart.audit import agents, options, stored, tables
from callmart.audit.check import Check
from callmart.audit.scene import scene_of
from callmart.base.keys import key_file
from callmart.base.secret_files import secret_file
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED, NONE, REGISTRY, STANDARD

pytestmark = pytest.mark.server

EXPIRY = "the expiry finds nothing that is due, in tables and files"
CONTRACTS = "nothing is kept of a customer without a contract, in tables and files"
# A request about somebody of a customer who left, one that was refused as there is no such customer, an alarm about
# one that has to be answered, an erasure.
OUTLIVING = f"""
insert into privacy.request (customer_id, asked_right, received, state, refused_why, ended_at)
values ({NONE}, 'erasure', current_date, 'refused', 'authority', now()),
    (9999, 'erasure', current_date, 'refused', 'no such customer', now());
insert into ops.alarm (channel, trouble, customer_id, request, days_left) values ('mail', 'privacy', {NONE}, 1, 7);
insert into privacy.ledger_entry (entry, commitment, digest, salt, customer_id, kind, until, at)
values (1, '', '', '', {NONE}, 'agent', now(), now());
insert into privacy.tombstone (entry, customer_id, kind, tombstone, until)
values (1, {NONE}, 'agent', repeat('0', 32), now());
"""
TO_COME = f"""
insert into registry.contract (customer_id, option, valid_from) values ({NONE}, 'detailed', current_date + 40);
insert into registry.agent (customer_id, agent_key, agent, name) values ({NONE}, 'a', '101', 'Noor');
"""


@pytest.fixture
def owner(played: Callmart) -> Iterator[psycopg.Connection]:
    """A connection of the owner whose transaction is rolled back."""
    with played.connect() as connection:
        yield connection
        connection.rollback()


def of_tables(callmart: Callmart, owner: psycopg.Connection) -> dict[str, Check]:
    scene = scene_of(owner, callmart.settings)
    # The plan of an expiry begins a transaction of its own.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(owner, "commit", lambda: None)
        return {check.name: check for check in tables.of_tables(owner, callmart.settings, scene)}


def of_agents(callmart: Callmart, owner: psycopg.Connection) -> Check:
    return options.of_agents(owner, scene_of(owner, callmart.settings))


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        (f"update registry.contract set option = 'detailed' where customer_id = {STANDARD}", "contracts"),
        (
            f"update registry.contract set valid_from = '2019-01-01' where customer_id = {STANDARD}",
            "contracts",
        ),
        (f"update registry.customer set export = not export where customer_id = {STANDARD}", "export"),
        (
            f"update registry.customer set sql_login = not sql_login, anonymous_agents = not anonymous_agents"
            f" where customer_id = {STANDARD}",
            "anonymous_agents, sql_login",
        ),
    ],
)
def test_what_somebody_ordered_by_hand_is_a_breach(
    owner: psycopg.Connection, changed: str, told: str
) -> None:
    """A run would open it, extract it and publish it, like any other order."""
    assert options.of_orders(owner).outcome == "holds"
    owner.execute(changed.encode())
    assert options.of_orders(owner).found == (
        f"customer {STANDARD} has other {told} than the registry that was applied last",
    )


def test_a_customer_that_somebody_added_by_hand_is_a_breach(owner: psycopg.Connection) -> None:
    for statement in (
        "create temp table another on commit drop as select * from registry.customer where customer_id = %s",
        "update another set customer_id = 9999, key_fingerprint = null where customer_id = %s",
        "insert into registry.customer select * from another where customer_id <> %s",
        "insert into registry.contract (customer_id, option, valid_from) select 9999, option, valid_from"
        " from registry.contract where customer_id = %s",
    ):
        owner.execute(statement.encode(), [STANDARD])
    assert options.of_orders(owner).found == ("customer 9999 is in no registry that was applied",)


def test_what_an_earlier_version_noted_is_noted_by_the_next_apply(played: Callmart) -> None:
    with played.superuser() as superuser:
        superuser.execute("alter table ops.audit_log disable trigger append_only")
        superuser.execute("update ops.audit_log set details = '{}' where action = 'registry applied'")
        superuser.execute("alter table ops.audit_log enable trigger append_only")
    for looked_at, outcome in ((0, "does not apply"), (3, "holds")):
        with played.connect() as owner:
            check = options.of_orders(owner)
        assert (check.looked_at, check.outcome) == (looked_at, outcome)
        versions = played.rows("select * from registry.version")
        played.apply(REGISTRY)
        assert played.rows("select * from registry.version") == versions, "no file is read again for it"
    entries = played.rows("select count(*) from ops.audit_log where action = 'registry applied'")
    played.apply(REGISTRY)
    assert played.rows("select count(*) from ops.audit_log where action = 'registry applied'") == entries


def test_what_outlives_a_customer_by_promise_is_no_breach(
    played: Callmart, owner: psycopg.Connection
) -> None:
    owner.execute(OUTLIVING.encode())
    assert of_tables(played, owner)[CONTRACTS].outcome == "holds"


def test_what_is_ordered_for_later_is_no_breach(played: Callmart, owner: psycopg.Connection) -> None:
    key = key_file(played.home, NONE)
    secret_file(key, b"k" * 32)
    owner.execute(TO_COME.encode())
    assert of_tables(played, owner)[CONTRACTS].outcome == of_agents(played, owner).outcome == "holds"
    owner.execute(
        "update registry.contract set valid_from = current_date - 9, valid_until = current_date - 2"
        f" where customer_id = {NONE}"
    )
    assert of_tables(played, owner)[CONTRACTS].found == (
        f"registry.agent: customer {NONE}",
        f"keys/customer_{NONE}.key",
    )
    key.unlink()


def test_what_is_left_of_a_customer_whose_contracts_are_gone_is_a_breach(
    played: Callmart, owner: psycopg.Connection
) -> None:
    owner.execute("delete from registry.contract where customer_id = %s", [NAMED])
    found = of_tables(played, owner)[CONTRACTS].found
    assert f"raw.event: customer {NAMED}" in found
    assert f"keys/customer_{NAMED}.key" in found
    assert not [one for one in found if str(STANDARD) in one]


def test_an_expired_month_that_waits_for_a_reader_is_due_with_its_rows_only(
    played: Callmart, owner: psycopg.Connection
) -> None:
    old = "access.retention_floor() - 40"
    owner.execute(f"select access.ensure_month('store.agent_day', {old})".encode())
    assert of_tables(played, owner)[EXPIRY].outcome == "holds"
    owner.execute(
        f"insert into store.agent_day (customer_id, call_date, agent_key) values ({NAMED}, {old}, 'x')".encode()
    )
    assert of_tables(played, owner)[EXPIRY].outcome == "BREACH"


WRONGS = {
    "a day of agents under standard": (
        "insert into store.agent_day (customer_id, call_date, agent_key)"
        f" select {STANDARD}, max(call_date), 'x' from store.queue_interval",
        f"agent_day: customer {STANDARD}, 1 day",
    ),
    "a day of agents before detailed": (
        "insert into store.agent_day (customer_id, call_date, agent_key)"
        f" values ({NAMED}, date '2019-12-31', 'x')",
        f"agent_day: customer {NAMED}, 1 day",
    ),
    "an agent under standard": (
        f"insert into store.agent (customer_id, agent_key, agent) values ({STANDARD}, 'x', 'agent-x')",
        f"agent: customer {STANDARD}",
    ),
    "an id under standard": (
        f"insert into registry.agent (customer_id, agent_key, agent) values ({STANDARD}, 'x', '101')",
        f"registry.agent: customer {STANDARD}, whose contract keeps no agent's id or name",
    ),
    "an id of an anonymous agent": (
        f"insert into registry.agent (customer_id, agent_key, agent) values ({ANONYMOUS}, 'x', '101')",
        f"registry.agent: customer {ANONYMOUS}, whose contract keeps no agent's id or name",
    ),
    "a name of an anonymous agent": (
        f"update store.agent set agent = 'agent-Noor' where customer_id = {ANONYMOUS}",
        f"agent: customer {ANONYMOUS}, whose agents are anonymous, has names",
    ),
}


@pytest.mark.parametrize("wrong", WRONGS)
def test_agents_that_no_contract_orders_are_a_breach(
    played: Callmart, owner: psycopg.Connection, wrong: str
) -> None:
    assert of_agents(played, owner).outcome == "holds"
    statement, said = WRONGS[wrong]
    if "2019" in statement:
        owner.execute("select access.ensure_month('store.agent_day', date '2019-12-31')")
    assert owner.execute(statement.encode()).rowcount >= 1
    assert of_agents(played, owner).found == (said,)


@pytest.mark.parametrize("key", ["number_key", "call_key::text", "device_key"])
def test_a_caller_s_key_in_what_standard_opens_is_a_breach_whatever_its_column_declares(
    played: Callmart, owner: psycopg.Connection, key: str
) -> None:
    scene = scene_of(owner, played.settings)
    assert agents.of_marts(owner, scene).outcome == "holds"
    owner.execute(
        f"update store.queue_day set queue = (select min({key}) from raw.event where customer_id = {STANDARD})"
        f" where (customer_id, call_date) = (select {STANDARD}, max(call_date) from store.queue_day)".encode()
    )
    assert agents.of_marts(owner, scene).found == (f"customer {STANDARD}, queue_day: 1 caller",)


def test_the_events_are_read_once_for_all_words_that_are_like_keys(owner: psycopg.Connection) -> None:
    """The customer's own numbers are such words, in the marts of lines."""
    words = f"(select {STANDARD} as customer_id, (3120000000 + n)::text as word from generate_series(1, 500) as n)"
    query = sql.SQL(agents.SQL["known"]).format(words=sql.SQL(words), customers=[STANDARD], planted=["x"])
    plan = owner.execute(sql.SQL("explain (analyze, timing off, buffers off) {}").format(query)).fetchall()
    scans = [line for (line,) in plan if " on event_" in line and "Index Scan" not in line]
    assert scans and all("loops=1)" in line for line in scans)


NOBODYS = "nothing of callmart's writes that: find out who did, and remove it"
OF_NUMBER = (
    "if the registry has just lost that queue or line, run `callmart run`; else find out who wrote it, "
    "and remove it"
)
STORED = {
    "a number in the events": (
        "update raw.event set queue = '06 1234 5678' where customer_id = %s and queue is not null",
        "raw.event.queue: {} rows have something that looks like a telephone number",
    ),
    "a number in a mart": (
        "update store.queue_day set queue = '+31612345678' where customer_id = %s",
        "store.queue_day.queue: {} rows have something that looks like a telephone number",
    ),
    "a name in the place of a key": (
        "update raw.event set agent_key = 'Noor Zandvliet' where customer_id = %s and agent_key is not null",
        "raw.event.agent_key: {} rows have something that is no key",
    ),
    "a name among the directions": (
        "update raw.event set direction = 'Noor Zandvliet' where customer_id = %s and event = 'call_started'",
        "customer {customer}: {} events have a word that is of no list",
    ),
    "a number that was withheld": (
        "update raw.event set number_key = repeat('0a', 16), number_withheld = true"
        " where customer_id = %s and event = 'queue_joined'",
        "customer {customer}: {} events have the number of a caller who withheld it",
    ),
    "another service": (
        "update raw.event set platform = 'fax' where customer_id = %s and event = 'queue_joined'",
        "customer {customer}: {} events are of an unknown service",
    ),
    "an agent on a line": (
        "update raw.event set agent_key = repeat('0a', 16)"
        " where customer_id = %s and platform in ('sip_trunk', 'isdn2', 'isdn30')",
        "customer {customer}: {} events are of a line, and have a queue, an agent or a device",
    ),
}


@pytest.mark.parametrize("wrong", STORED)
def test_what_landing_would_have_refused_is_a_breach(owner: psycopg.Connection, wrong: str) -> None:
    statement, said = STORED[wrong]
    rows = owner.execute(statement.encode(), [STANDARD]).rowcount
    found = (*stored.of_words(owner).found, *stored.of_events(owner).found)
    remedy = OF_NUMBER if "telephone" in said else NOBODYS
    assert rows and found == (f"{said.format(rows, customer=STANDARD)}; {remedy}",)


def test_what_is_noted_of_a_file_is_no_breach(owner: psycopg.Connection) -> None:
    note = "insert into raw.file_look select 'key', '{}', '65024 1796164853451457316', min(file_id) from raw.file"
    owner.execute(note)
    assert stored.of_words(owner).outcome == "holds"


def test_keys_words_and_the_own_numbers_of_a_customer_are_no_breach(owner: psycopg.Connection) -> None:
    owner.execute(
        f"insert into registry.line (customer_id, line) values ({STANDARD}, '+31201234567')".encode()
    )
    owner.execute(
        f"update store.line_interval set line = '+31201234567' where customer_id = {STANDARD}".encode()
    )
    assert stored.of_words(owner).outcome == stored.of_events(owner).outcome == "holds"


def test_a_number_of_too_few_is_a_breach_whatever_it_was_made_of(owner: psycopg.Connection) -> None:
    owner.execute("insert into usage.function_month (month, function, uses) values ('2026-01-01', 'hold', 9)")
    owner.execute("alter table usage.function_month add column customer_id integer")
    (check,) = tables.of_usage(owner)
    assert check.found == ("hold in 2026-01", "the column customer_id is of no statistic: drop it")


def test_a_table_of_somebody_elses_does_not_end_the_audit(
    played: Callmart, owner: psycopg.Connection
) -> None:
    with done(played, "create table raw.mine (customer_id integer, word text)", "drop table raw.mine"):
        assert stored.of_words(owner).outcome == "holds"
        assert of_tables(played, owner)[CONTRACTS].outcome == "holds"
        owner.rollback()  # it has locks
