"""Applying a registry changes the database, its roles, keys and passwords in one step, and nothing else."""

import errno
import stat
from collections.abc import Callable, Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from psycopg import sql

from callmart.access import drift, logins, memberships, roles
from callmart.base import matrix
from callmart.base.errors import UserError
from callmart.base.keys import fingerprint_of
from callmart.database import clock, schema
from callmart.registry import applying
from callmart.registry.file import load
from callmart.registry.states import TABLES, current_states, desired_states
from callmart_home import Callmart
from commands import command_of
from drifting import drifted
from events import event, ndjson
from today import TODAY, YESTERDAY

pytestmark = pytest.mark.dated

DETAILED, STANDARD, NOTHING, LATER, OVER = 11, 12, 13, 14, 15
SOON = TODAY + timedelta(days=3)
FULL = f"""\
customers:
  - id: {DETAILED}
    name: Detailed
    sql_login: true
    contracts: [{{option: detailed, from: 2025-01-01}}]
    queues: [{{name: sales, label: Verkoop}}, {{name: help, service_level_s: 30}}]
    statuses: {{Lunch: break}}
    agents: [{{id: Agent/1, name: Ada Eerste, email: ada@example.org}}]
    contacts: [{{name: P. Voorbeeld, email: p@example.org, authorised: true}}]
    recipients: [{{email: chef@example.org, reports: [traffic, handling]}}]
  - {{id: {STANDARD}, name: Standard, sql_login: true, contracts: [{{option: standard, from: 2025-01-01}}]}}
  - {{id: {NOTHING}, name: Nothing}}
  - {{id: {LATER}, name: Later, contracts: [{{option: standard, from: {SOON}}}]}}
  - {{id: {OVER}, name: Over, contracts: [{{option: standard, from: 2025-01-01, until: {YESTERDAY}}}]}}
"""
WITH_NEW = FULL.replace(
    f"id: {NOTHING}, name: Nothing",
    "id: 77, name: New, sql_login: true, contracts: [{option: standard, from: 2025-01-01}]",
)


def log(agent: str = "Agent/1") -> str:
    """A day of two calls in two queues, answered after 25 seconds by one agent."""
    noon = int(datetime.combine(YESTERDAY, time(12), ZoneInfo("Europe/Amsterdam")).timestamp())
    return "".join(
        f"{noon + at}|{noon + at}.{call}|{queue}|NONE|ENTERQUEUE||0612345678|1\n"
        f"{noon + at + 25}|{noon + at}.{call}|{queue}|{agent}|CONNECT|25|{noon + at}.9|3\n"
        f"{noon + at + 85}|{noon + at}.{call}|{queue}|{agent}|COMPLETECALLER|25|60|1\n"
        for call, (queue, at) in enumerate([("sales", 0), ("help", 200)], 1)
    )


@pytest.fixture(scope="module")
def applied(callmart: Callmart, homes: Path) -> Callmart:
    """The registry above, with a day of calls of both customers that have a contract."""
    callmart.apply(FULL)
    for customer_id in (DETAILED, STANDARD):
        callmart.land_text(log(), customer_id)
    callmart.build_unchecked()
    callmart.save(homes / "applied")
    return callmart


@pytest.fixture(autouse=True)
def restored(applied: Callmart, homes: Path) -> Iterator[None]:
    """After each test all is as it was."""
    known = agents(applied)
    yield
    applied.apply(FULL)
    if agents(applied) != known:  # the ids that anonymity deleted come back with the log
        applied.land_text(log(), DETAILED)
    if dirty(applied):
        applied.restore(homes / "applied")


def versions(callmart: Callmart) -> int:
    return len(callmart.rows("select from registry.version"))


def functions_and_views(callmart: Callmart) -> list[tuple[str, str, str]]:
    """Each with the version of its row in the catalogue."""
    with callmart.connect() as owner:
        return owner.execute(schema.SQL["versions"]).fetchall()


def agents(callmart: Callmart) -> list[dict[str, Any]]:
    return callmart.rows("select * from registry.agent order by customer_id, agent_key")


def dirty(callmart: Callmart) -> set[tuple[int, date]]:
    return {(r["customer_id"], r["call_date"]) for r in callmart.rows("select * from ops.dirty_day")}


def members(callmart: Callmart, customer_id: int) -> dict[str, str]:
    """The groups that a customer's role is in, and how."""
    rows = callmart.rows(
        "select r.rolname, inherit_option || '/' || set_option as how from pg_auth_members"
        " join pg_roles as r on r.oid = roleid where member = to_regrole(%s)",
        roles.customer_role("callmart", customer_id),
    )
    return {row["rolname"]: row["how"] for row in rows}


def has_login(callmart: Callmart, customer_id: int) -> bool:
    role = roles.customer_role("callmart", customer_id)
    known = callmart.rows("select to_regrole(%s) as role", role)[0]["role"] is not None
    assert known == logins.passfile(callmart.home, role).exists()
    return known


def test_a_second_time_changes_nothing(applied: Callmart) -> None:
    before, made = versions(applied), functions_and_views(applied)
    applied.apply(FULL)
    assert functions_and_views(applied) == made, "none is made anew"
    with applied.connect() as connection:
        wanted = desired_states(load(applied.home / "registry.yml"), clock.now(connection))
        assert current_states(connection) == wanted
    assert versions(applied) == before
    assert dirty(applied) == set()


BY_HAND = {
    "a function": "create or replace function access.current_customer() returns integer stable return 1001",
    "a view": "create or replace view registry.current_option as"
    " select customer_id, 'detailed'::text as option, '{}'::text[] as orders from registry.customer",
    "whom a column points to": "comment on column registry.contact.name is null",
    "row security": "alter table registry.queue no force row level security",
}


@pytest.mark.parametrize("what", BY_HAND)
def test_what_was_changed_by_hand_is_made_anew(applied: Callmart, what: str) -> None:
    with applied.connect() as owner:
        owner.execute(BY_HAND[what])
    assert drifted(applied)
    applied.apply(FULL, looks=True)
    assert drifted(applied) == []


def test_a_change_of_names_alone_is_a_new_version_and_seen_at_once(applied: Callmart) -> None:
    before = versions(applied)
    applied.apply(FULL.replace("Ada Eerste", "Ada Tweede"))
    assert versions(applied) == before + 1
    assert applied.rows("select agent from mart.agent", customer_id=DETAILED) == [{"agent": "Ada Tweede"}]
    assert dirty(applied) == set()


def test_roles_follow_the_contract(applied: Callmart) -> None:
    opened = "true/false"  # inherited, never to be switched to
    queue, line, agent = (roles.group_role("callmart", group) for group in ("queue", "line", "agent"))
    assert members(applied, DETAILED) == {queue: opened, line: opened, agent: opened}
    assert members(applied, STANDARD) == {queue: opened, line: opened}
    publisher = applied.rows(
        "select r.rolname, inherit_option, set_option from pg_auth_members join pg_roles as r on r.oid = roleid"
        " where member = 'callmart_publisher'::regrole order by 1"
    )
    assert publisher == [
        {"rolname": roles.customer_role("callmart", customer), "inherit_option": False, "set_option": True}
        for customer in (DETAILED, STANDARD)
    ]
    powers = applied.rows(
        "select distinct rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls from pg_roles"
        " where rolname ~ '^callmart_(customer|publisher|reads)'"
    )
    assert [set(row.values()) for row in powers] == [{False}]


def test_a_login_for_who_has_a_contract_today(applied: Callmart) -> None:
    assert [has_login(applied, c) for c in (DETAILED, STANDARD, NOTHING, LATER, OVER)] == [
        True, True, False, False, False,
    ]  # fmt: skip


def test_standard_and_detailed_change_places(applied: Callmart) -> None:
    agent = roles.group_role("callmart", "agent")
    applied.apply(
        FULL.replace("{option: standard, from: 2025-01-01}]", "{option: detailed, from: 2025-01-01}]")
    )
    assert agent in members(applied, STANDARD)
    applied.apply(FULL.replace("option: detailed", "option: standard"))
    assert agent not in members(applied, DETAILED)
    assert agent not in members(applied, STANDARD)
    assert applied.rows("select from registry.agent") == []
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        applied.rows("select * from mart.agent", customer_id=DETAILED)


@pytest.mark.parametrize("without", ["gone", "none"])
def test_a_customer_that_leaves_loses_its_login_also_while_it_is_in(applied: Callmart, without: str) -> None:
    text = FULL.split("  - id: 11", maxsplit=1)[0] + FULL[FULL.index("  - {id: 12") :]
    if without == "none":
        text = FULL.replace("[{option: detailed, from: 2025-01-01}]", "[]").replace(
            "    agents: [{id: Agent/1, name: Ada Eerste, email: ada@example.org}]\n", ""
        )
    with applied.connect(DETAILED) as customer:
        customer.autocommit = True
        applied.apply(text)
        with pytest.raises(psycopg.Error):
            customer.execute("select * from mart.queue_interval")
    assert not has_login(applied, DETAILED)
    assert has_login(applied, STANDARD)
    assert applied.rows("select from registry.agent where customer_id = %s", DETAILED) == []


@pytest.mark.parametrize("live", [True, False])
def test_a_role_logs_in_only_where_that_was_ordered(applied: Callmart, *, live: bool) -> None:
    role, uri = roles.customer_role("callmart", STANDARD), None
    ordered = (
        FULL.replace("name: Standard, sql_login: true", "name: Standard, connection: live") if live else FULL
    )
    applied.apply(ordered)
    with applied.connect() as owner:
        uri = logins.customer_uri(owner, applied.settings, STANDARD)
    psycopg.connect(uri).close()

    applied.apply(FULL.replace("name: Standard, sql_login: true", "name: Standard"))
    assert not logins.passfile(applied.home, role).exists()
    assert applied.rows("select rolcanlogin from pg_roles where rolname = %s", role) == [
        {"rolcanlogin": False}
    ]
    with pytest.raises(psycopg.OperationalError):
        psycopg.connect(uri)
    with applied.connect() as owner, pytest.raises(UserError, match=r"ordered no login.*sql_login: true"):
        logins.customer_uri(owner, applied.settings, STANDARD)
    # The publisher still becomes it.
    assert members(applied, STANDARD) == {
        f"callmart_reads_{group}": "true/false" for group in ("queue", "line")
    }
    assert applied.rows("select from mart.queue_interval", customer_id=STANDARD)


def test_a_login_that_was_opened_by_hand_is_found_and_closed(applied: Callmart) -> None:
    applied.apply(FULL.replace("name: Standard, sql_login: true", "name: Standard"))
    role = roles.customer_role("callmart", STANDARD)
    with applied.connect() as owner:
        owner.execute(f"alter role {role} login password 'mine'")
        found = drift.find(owner, None)
        assert [one.text for one in found] == [
            f"role {role} may log in, but its customer has not ordered a login"
        ]
        memberships.apply(owner, applied.settings, None)
        assert drift.find(owner, None) == []


def test_a_login_that_was_barred_by_hand_stays_barred(applied: Callmart) -> None:
    """Its password may be stolen."""
    role = roles.customer_role("callmart", STANDARD)
    with applied.connect() as owner:
        owner.execute(f"alter role {role} nologin")
        done = applying.apply(owner, applied.settings, load(applied.home / "registry.yml"))
        said = f"login {role} may not log in: if that is not meant, run `callmart access apply`"
        assert (done.mended, done.problems) == ([], [said])
        assert [one.text for one in drift.find(owner, None)] == [f"login {role} may not log in"]
        memberships.apply(owner, applied.settings, None)
        assert drift.find(owner, None) == []


def test_what_was_changed_by_hand_is_told_and_noted_as_it_is_corrected(applied: Callmart) -> None:
    """Somebody may have used it. What the files of the schema make anew is told like what is granted or revoked."""
    file = applied.home / "registry.yml"
    file.write_text(FULL)
    with applied.connect() as owner:
        owner.execute("alter table ops.audit_log disable trigger append_only")
        owner.execute("create or replace function access.current_customer() returns integer stable return 7")
        owner.execute("grant select on registry.contact to callmart_operator")
        owner.commit()
        found = [one.text for one in drift.find(owner, None)]
        owner.commit()
        *told, counted, _ = command_of(applied.home)("registry", "apply", file).stdout.splitlines()
        assert (sorted(told), counted) == (
            sorted(found),
            f"access: {len(found)} differences corrected; find out who made them",
        )
        assert drift.find(owner, None) == []
    noted = "select details ->> 'mended' as mended from ops.audit_log where action = 'access applied'"
    assert applied.rows(f"{noted} order by at desc limit 1") == [{"mended": str(len(found))}]


def test_a_function_that_was_dropped_is_told_and_made_again(applied: Callmart) -> None:
    """A duty may call it, so nothing can be compared without it."""
    with applied.connect() as owner:
        owner.execute("drop function privacy.requests()")
        owner.commit()
        done = applying.apply(owner, applied.settings, load(applied.home / "registry.yml"))
        assert memberships.MISSING in done.mended
        assert drift.find(owner, None) == []


def test_anonymity_deletes_names_and_ids_and_renames_at_once(applied: Callmart) -> None:
    anonymous = FULL.replace(
        "    agents: [{id: Agent/1, name: Ada Eerste, email: ada@example.org}]\n",
        "    anonymous_agents: true\n",
    )
    applied.apply(anonymous)
    assert applied.rows("select from registry.agent where customer_id = %s", DETAILED) == []
    seen = applied.rows("select agent, agent_key from mart.agent", customer_id=DETAILED)
    assert [row["agent"] for row in seen] == [f"agent-{row['agent_key'][:10]}" for row in seen] != []


def test_without_a_detailed_contract_no_agent_is_kept(applied: Callmart) -> None:
    named = "agents: [{id: x, name: Eva}]"
    applied.apply(
        FULL.replace("name: Standard,", f"name: Standard, {named},").replace(
            "name: Nothing", f"name: Nothing, {named}"
        )
    )
    assert applied.rows("select distinct customer_id from registry.agent") == [{"customer_id": DETAILED}]


CHANGES: dict[str, tuple[str, str, set[int]]] = {
    "the zone of one": ("name: Standard,", "name: Standard, time_zone: Asia/Tokyo,", {STANDARD}),
    "a threshold of a queue": ("service_level_s: 30", "service_level_s: 31", {DETAILED}),
    "the thresholds of all": (
        "customers:",
        "defaults: {short_abandon_s: 9}\ncustomers:",
        {DETAILED, STANDARD},
    ),
    "another option": (
        "{option: standard, from: 2025-01-01}]",
        "{option: detailed, from: 2025-01-01}]",
        {STANDARD},
    ),
    "another option from today on": (
        "{option: standard, from: 2025-01-01}]",
        f"{{option: standard, from: 2025-01-01, until: {TODAY}}}, {{option: detailed, from: {TODAY}}}]",
        set(),
    ),
    "a name": ("name: Standard", "name: Anders", set()),
    "a language": ("name: Standard,", "name: Standard, locale: en,", set()),
    "a recipient": ("reports: [traffic, handling]", "reports: [traffic]", set()),
}


@pytest.mark.parametrize(("old", "new", "customers"), CHANGES.values(), ids=CHANGES.keys())
def test_what_changes_numbers_marks_days_of_the_customer(
    applied: Callmart, old: str, new: str, customers: set[int]
) -> None:
    assert dirty(applied) == set()
    assert old in FULL
    applied.apply(FULL.replace(old, new))
    assert dirty(applied) == {(customer, YESTERDAY) for customer in customers}


def test_a_day_that_was_never_built_is_marked_when_a_contract_keeps_it_again(applied: Callmart) -> None:
    """No mart has it, so only its file tells that it is there."""
    day = YESTERDAY - timedelta(days=1)
    noon = datetime.combine(day, time(12), ZoneInfo("Europe/Amsterdam"))
    applied.land_text(ndjson(event("queue_joined", noon, call_id="1", queue="sales")), STANDARD)
    contract = "{option: standard, from: 2025-01-01}]"
    applied.apply(FULL.replace(contract, contract.replace("}]", f", until: {day}}}]")))
    with applied.connect() as owner:
        owner.execute("select ops.fill_window('{}')")
    assert dirty(applied) == set()
    applied.apply(FULL)
    assert (STANDARD, day) in dirty(applied)


def test_a_report_of_another_name_is_stored_under_its_present_one(applied: Callmart) -> None:
    stored = "select reports from registry.recipient"
    now = applied.rows(stored)
    assert now == [{"reports": ["traffic", "handling"]}]
    applied.apply(FULL.replace("[traffic, handling]", "[handling]"))
    applied.apply(FULL.replace("[traffic, handling]", "[drukte, afhandeling]"))
    assert applied.rows(stored) == now


def test_another_zone_moves_calls_to_another_day(applied: Callmart) -> None:
    """12:00 in Amsterdam is the next day on Kiritimati, 13 or 12 hours later."""
    applied.apply(FULL.replace("name: Standard,", "name: Standard, time_zone: Pacific/Kiritimati,"))
    assert dirty(applied) == {(STANDARD, YESTERDAY), (STANDARD, YESTERDAY + timedelta(days=1))}
    applied.build_unchecked()
    days = applied.rows(
        "select distinct call_date from store.queue_interval where customer_id = %s", STANDARD
    )
    assert days == [{"call_date": YESTERDAY + timedelta(days=1)}]


# -- keys and files ------------------------------------------------------------------------------------------------


def key_file(callmart: Callmart, customer_id: int) -> Path:
    return callmart.home / "keys" / f"customer_{customer_id}.key"


def test_who_comes_back_as_anonymous_may_have_had_names(applied: Callmart, tmp_path: Path) -> None:
    """Also before the next run has removed what was drawn with them."""
    file = tmp_path / "registry.yml"
    named = "agents: [{id: Agent/1, name: Ada Eerste, email: ada@example.org}]"
    file.write_text(FULL.replace(named, "anonymous_agents: true"))

    def become() -> list[int]:
        with applied.connect() as connection:
            return applying.compare(connection, applied.settings, load(file)).become_anonymous()

    assert become() == [DETAILED]
    applied.apply("customers: []\n")
    assert become() == [DETAILED]
    applied.apply(file.read_text())
    assert become() == []


def test_a_key_for_who_has_a_contract_and_only_its_fingerprint_in_the_database(applied: Callmart) -> None:
    known = {
        row["customer_id"]: row["key_fingerprint"]
        for row in applied.rows("select customer_id, key_fingerprint from registry.customer")
    }
    assert known == {
        NOTHING: None,
        OVER: None,
        **{c: fingerprint_of(key_file(applied, c).read_bytes()) for c in (DETAILED, STANDARD, LATER)},
    }
    assert not key_file(applied, NOTHING).exists()
    assert not key_file(applied, OVER).exists()


def test_secrets_are_readable_by_their_owner_alone(applied: Callmart) -> None:
    files = [*(applied.home / "keys").iterdir(), *(applied.home / "secrets").glob("*.pgpass")]
    assert len(files) == 4 + 2 + 7, "keys; customers and duties that have a login"
    assert {stat.S_IMODE(file.stat().st_mode) for file in files} == {0o600}
    folders = (applied.home / "keys", applied.home / "secrets")
    assert {stat.S_IMODE(folder.stat().st_mode) for folder in folders} == {0o700}


@pytest.mark.parametrize("damage", [Path.unlink, lambda file: file.write_bytes(b"another key")])
def test_a_key_that_is_lost_or_another_stops_with_a_sentence(
    applied: Callmart, damage: Callable[[Path], Any]
) -> None:
    file = key_file(applied, DETAILED)
    key, before = file.read_bytes(), versions(applied)
    damage(file)
    try:
        with pytest.raises(
            UserError, match=f"customer {DETAILED}.*callmart restore FOLDER --keys"
        ) as mistake:
            applied.apply(FULL.replace("Standard", "Anders"))
        assert str(file) in str(mistake.value)
    finally:
        file.write_bytes(key)
    assert versions(applied) == before


def test_a_lost_password_is_made_anew(applied: Callmart) -> None:
    logins.passfile(applied.home, roles.customer_role("callmart", STANDARD)).unlink()
    applied.apply(FULL)
    assert applied.rows("select current_user as who", customer_id=STANDARD) == [
        {"who": roles.customer_role("callmart", STANDARD)}
    ]


def test_names_in_the_registry_stay_out_of_the_audit_log(applied: Callmart) -> None:
    entries = applied.rows("select * from ops.audit_log where action = 'registry applied'")
    assert {entry["customer_id"] for entry in entries} >= {DETAILED, STANDARD}
    assert "Ada" not in str(entries)
    assert "example.org" not in str(entries)


def test_only_the_database_s_own_roles_are_touched(applied: Callmart) -> None:
    """Another database can be called callmart_customer or callmart_test: its roles begin like ours."""
    others = ("callmart_customer_owner", "callmart_customer_customer_7", "callmart_test_customer_7")
    with applied.connect() as connection:
        for role in (*others, "callmart_test_reads_queue", "callmart_customer_99"):
            connection.execute(f'create role "{role}"')
        connection.execute("grant callmart_test_reads_queue to callmart_test_customer_7")
        connection.execute("grant callmart_reads_agent to callmart_customer_owner")
    applied.apply(FULL)
    try:
        there = {row["rolname"] for row in applied.rows("select rolname from pg_roles")}
        assert there >= set(others)
        assert "callmart_customer_99" not in there
        assert applied.rows(
            "select roleid::regrole::text as role from pg_auth_members where member::regrole::text = any(%s)",
            [*others],
        ) == [{"role": "callmart_test_reads_queue"}]
    finally:
        with applied.connect() as connection:
            for role in (*others, "callmart_test_reads_queue"):
                connection.execute(f'drop role "{role}"')


def test_apply_is_all_or_nothing(applied: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    """The registry, its roles and their memberships are one transaction. A password that is left over opens nothing,
    and stops nothing.
    """
    file = applied.home / "registry.yml"
    file.write_text(WITH_NEW)
    follow = memberships.follow_contracts

    def broken_off(*arguments: Any) -> None:
        follow(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(memberships, "follow_contracts", broken_off)
    with applied.connect() as connection, pytest.raises(KeyboardInterrupt):
        applying.apply(connection, applied.settings, load(file))
    assert applied.rows("select from registry.customer where customer_id = 77") == []
    assert applied.rows("select to_regrole('callmart_customer_77') as role") == [{"role": None}]

    monkeypatch.setattr(memberships, "follow_contracts", follow)
    left = logins.passfile(applied.home, "callmart_customer_77").read_text()
    applied.apply(WITH_NEW)
    assert applied.rows("select current_user as who", customer_id=77) == [{"who": "callmart_customer_77"}]
    assert logins.passfile(applied.home, "callmart_customer_77").read_text() != left


def _has_no_room(connection: psycopg.Connection, *_: Any) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


def _is_refused(connection: psycopg.Connection, *_: Any) -> None:
    connection.execute("create role callmart_customer_77 superuser")


@pytest.mark.parametrize("failing", [_has_no_room, _is_refused])
def test_a_login_that_can_not_be_made_delays_no_closing(
    applied: Callmart, monkeypatch: pytest.MonkeyPatch, failing: Callable[..., None]
) -> None:
    """It is opened by itself, after contracts have opened and closed."""
    monkeypatch.setattr(logins, "make_open", failing)
    contract = ", contracts: [{option: standard, from: 2025-01-01}]"
    applied.apply(WITH_NEW.replace(f"name: Standard, sql_login: true{contract}", "name: Standard"))
    assert members(applied, STANDARD) == {}
    assert applied.rows("select current_user as who", customer_id=77) == [{"who": "callmart_customer_77"}]


def test_a_new_login_takes_few_statements(applied: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    """The cost of each grows with the roles that there are."""
    said = []

    class Recording(psycopg.Cursor[Any]):
        def execute(self, query: Any, *arguments: Any, **options: Any) -> Any:
            said.append(query.as_string(self) if isinstance(query, sql.Composed) else str(query))
            return super().execute(query, *arguments, **options)

    file = applied.home / "registry.yml"
    file.write_text(WITH_NEW)
    with applied.connect() as owner:
        monkeypatch.setattr(owner, "cursor_factory", Recording)
        assert applying.apply(owner, applied.settings, load(file)).problems == []
    about = [one for one in said if one.split('"')[1:2] == ["callmart_customer_77"]]
    settings = matrix.matrix().limits_of(None).settings()
    assert [one.split()[0] for one in about] == ["create", *("alter" for _ in settings), "grant"]


def test_many_customers_at_once_are_as_one_after_the_other(applied: Callmart) -> None:
    one, two = FULL.replace("name: Detailed", "name: Other"), FULL.replace(f"from: {SOON}", f"from: {TODAY}")
    both = two.replace("name: Detailed", "name: Other").replace("Ada Eerste", "Ada Tweede")

    def rows() -> dict[str, list[dict[str, Any]]]:
        tables = [f"registry.{table}" for table in (*TABLES, "agent")]
        return {
            table: applied.rows(f"select to_jsonb(t) as t from {table} as t order by 1")
            for table in (*tables, "access.granted")
        }

    applied.apply(one)
    applied.apply(both)
    in_turn = rows()
    applied.apply(FULL)
    assert rows() != in_turn
    applied.apply(both)
    assert rows() == in_turn


def test_only_who_may_log_in_has_limits(applied: Callmart) -> None:
    def limits(customer: int) -> dict[str, Any]:
        (found,) = applied.rows(
            "select rolcanlogin, rolconnlimit, rolconfig from pg_roles where rolname = %s",
            f"callmart_customer_{customer}",
        )
        return found

    applied.apply(FULL.replace("name: Standard, sql_login: true", "name: Standard"))
    assert not limits(STANDARD)["rolcanlogin"]
    with applied.connect() as owner:
        owner.execute(f"alter role callmart_customer_{STANDARD} reset all")
        owner.execute(f"alter role callmart_customer_{STANDARD} connection limit -1")
    applied.apply(FULL.replace("name: Nothing", "name: N, contracts: [{option: standard, from: 2025-01-01}]"))
    assert limits(STANDARD) == limits(DETAILED)
    assert limits(DETAILED)["rolconnlimit"] == 10
    assert limits(NOTHING) == {"rolcanlogin": False, "rolconnlimit": -1, "rolconfig": None}
