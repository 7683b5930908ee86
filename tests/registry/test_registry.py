"""The registry: mistakes by their line, the plan as what applying changes and deletes, and what follows from it."""

import stat
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from itertools import zip_longest
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from hypothesis import given
from hypothesis import strategies as st

from callmart.access import drift, logins, memberships, roles
from callmart.base.errors import UserError
from callmart.base.keys import fingerprint_of
from callmart.database import clock
from callmart.registry import applying
from callmart.registry.file import load
from callmart.registry.planning import Change, plan
from callmart.registry.states import NOBODY, State, current_states, desired_states
from callmart_home import Callmart
from today import TODAY, YESTERDAY

pytestmark = pytest.mark.dated

MONDAY = date(2026, 6, 15)
NOON = datetime.combine(MONDAY, time(12), UTC)
ONE = "customers:\n  - id: 1\n    name: One\n"


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "registry.yml"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


# -- mistakes ----------------------------------------------------------------------------------------------------

TWO = ONE + "  - id: 2\n    name: Two\n"
MISTAKES = {
    "unknown key of the file": ("customer: []\n", 1, "customer: unknown key; remove or correct it ("),
    "unknown key of the defaults": (
        "defaults: {timezone: UTC}\n" + ONE,
        1,
        "defaults.timezone: unknown key; remove or correct it (",
    ),
    "unknown key of a customer": (
        ONE + "    contract: []\n",
        4,
        "customers.0.contract: unknown key; remove or correct it (",
    ),
    "unknown key of a contract": (
        ONE + "    contracts:\n      - {option: standard, since: 2025-01-01}\n",
        5,
        "contracts.0",
    ),
    "unknown key of a queue": (
        ONE + "    queues:\n      - {name: sales}\n      - {name: help, sla: 20}\n",
        6,
        "sla",
    ),
    "unknown key of an agent": (ONE + "    agents: [{id: a, name: A, mail: a@b}]\n", 4, "mail"),
    "unknown key of a contact": (ONE + "    contacts: [{name: A, email: a@b, admin: true}]\n", 4, "admin"),
    "unknown key of a recipient": (ONE + "    recipients: [{email: a@b, reports: [], cc: x}]\n", 4, "cc"),
    "no customers": ("defaults: {locale: nl}\n", 1, "customers: Field required"),
    "no name": ("customers:\n  - id: 1\n", 2, "name: Field required"),
    "text for a number": (
        "customers:\n  - id: one\n    name: One\n",
        2,
        "customers.0.id: Input should be a valid",
    ),
    "a boolean for a number": ("customers:\n  - id: true\n    name: One\n", 2, "customers.0.id"),
    "a number that is too small": ("customers:\n  - id: 0\n    name: One\n", 2, "greater than 0"),
    "a number for a name": (
        "customers:\n  - id: 1\n    name: 112\n",
        3,
        "customers.0.name: Input should be a valid",
    ),
    "a list for a map": (ONE + "    statuses: [lunch]\n", 4, "customers.0.statuses"),
    "a map for a list": (ONE + "    queues: {name: sales}\n", 4, "customers.0.queues"),
    "text for a boolean": (ONE + "    anonymous_agents: maybe\n", 4, "anonymous_agents"),
    "seconds below zero": (ONE + "    queues: [{name: q, service_level_s: -1}]\n", 4, "service_level_s"),
    "seconds beyond a day": (
        ONE + "    queues: [{name: q, service_level_s: 9999999999}]\n",
        4,
        "service_level_s",
    ),
    "unknown locale": (ONE + "    locale: fr\n", 4, "'nl' or 'en'"),
    "unknown zone": (ONE + "    time_zone: Mars/Olympus\n", 4, "use an IANA name such as Europe/Amsterdam"),
    "unknown zone by default": ("defaults:\n  time_zone: CET+1\n" + ONE, 2, "use an IANA name"),
    "unknown option": (ONE + "    contracts:\n      - {option: gold, from: 2025-01-01}\n", 5, "option"),
    "unknown status": (ONE + "    statuses:\n      lunch: eating\n", 5, "customers.0.statuses.lunch"),
    "no such day": (
        ONE + "    contracts:\n      - {option: standard, from: 2025-02-30}\n",
        5,
        "from: not a date; write it as 2026-03-01",
    ),
    "a number for a day": (ONE + "    contracts: [{option: standard, from: 2025}]\n", 4, "from: not a date;"),
    "a day before all days": (
        ONE + "    contracts: [{option: standard, from: 0001-01-01}]\n",
        4,
        "not a date;",
    ),
    "until before from": (
        ONE + "    contracts:\n      - {option: standard, from: 2025-06-01, until: 2025-06-01}\n",
        5,
        "until is exclusive and must be after from",
    ),
    "overlap": (
        ONE
        + "    contracts:\n      - {option: standard, from: 2025-01-01, until: 2025-07-01}\n"
        + "      - {option: detailed, from: 2025-06-30}\n",
        6,
        "overlaps the one before; end that one with `until`",
    ),
    "overlap, the later one first": (
        ONE
        + "    contracts:\n      - {option: detailed, from: 2025-06-30}\n"
        + "      - {option: standard, from: 2025-01-01, until: 2025-07-01}\n",
        5,
        "overlaps",
    ),
    "overlap with an open one": (
        ONE
        + "    contracts:\n      - {option: detailed, from: 2025-01-01}\n"
        + "      - {option: none, from: 2026-01-01}\n",
        6,
        "overlaps",
    ),
    "a customer twice": (TWO.replace("id: 2", "id: 1"), 4, "this customer id is given twice"),
    "a queue twice": (
        ONE + "    queues:\n      - {name: q}\n      - {name: q}\n",
        6,
        "this queue is given twice",
    ),
    "an agent twice": (
        ONE + "    agents:\n      - {id: a, name: A}\n      - {id: a, name: B}\n",
        6,
        "this agent id is given twice",
    ),
    "a contact twice": (
        ONE + "    contacts:\n      - {name: A, email: a@b}\n      - {name: B, email: a@b}\n",
        6,
        "this contact's address is given twice",
    ),
    "a recipient twice": (
        ONE + "    recipients:\n      - {email: a@b, reports: []}\n      - {email: a@b, reports: []}\n",
        6,
        "this recipient's address is given twice",
    ),
    "a status word twice": (ONE + "    statuses: {lunch: break, Lunch: away}\n", 4, "given twice"),
    "a key twice": (ONE + "    name: Uno\n", 4, "a key is given twice"),
    "named agents that are anonymous": (
        ONE + "    anonymous_agents: true\n    agents:\n      - {id: a, name: A}\n",
        5,
        "remove `agents` or `anonymous_agents`",
    ),
    "no YAML": ("customers:\n  - id: 1\n   name: One\n", 3, "correct the YAML there"),
    "two documents": (ONE + "---\n" + ONE, 4, "correct the YAML there"),
}


@pytest.mark.parametrize(("text", "line", "remedy"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, line: int, remedy: str) -> None:
    file = write(tmp_path, text)
    with pytest.raises(UserError) as mistake:
        load(file)
    assert str(mistake.value).startswith(f"{file} line {line}: ")
    assert remedy in str(mistake.value)
    assert "\n" not in str(mistake.value)


UNREADABLE = {
    "empty": (b"", "begin it with `customers:`"),
    "a list": (b"- id: 1\n", "begin it with `customers:`"),
    "binary": (b"\x00\x01\x02", "is not YAML"),
    "Latin-1": (ONE.replace("One", "Caf\xe9").encode("latin-1"), "save it as UTF-8"),
    "UTF-16": (ONE.encode("utf-16"), "save it as UTF-8"),
    "no number": (b"customers: " + b"1" * 5000, "is not YAML"),
}


@pytest.mark.parametrize(("content", "remedy"), UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_file_that_is_no_registry(tmp_path: Path, content: bytes, remedy: str) -> None:
    file = write(tmp_path, content)
    with pytest.raises(UserError, match=f"^{file} ") as mistake:
        load(file)
    assert remedy in str(mistake.value)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.yml"):
        with pytest.raises(UserError, match=f"^{path} can't be read .*; name an existing registry file$"):
            load(path)


SECRETIVE = {
    "a key twice": "agents: [{id: a, name: Ada Secret, name: Ada Secret}]",
    "no address": "contacts: [{name: Ada Secret, email: Secret}]",
    "a name as a key": "contacts: [{Ada Secret: secret@example.org}]",
    "a name for a list": "contacts: Ada Secret",
    "a name for a map": "agents: [Ada Secret]",
    "a long name": f"contacts: [{{name: {'Secret' * 50}, email: a@b}}]",
    "an address twice": "recipients: [{email: secret@b, reports: []}, {email: secret@b, reports: []}]",
    "an agent twice": "agents: [{id: Secret, name: Ada}, {id: Secret, name: Eva}]",
    "an alias": "contacts: [{name: *Secret, email: a@b}]",
    "a control character": 'agents: [{id: a, name: "Ada Secret\\0"}]',
}


@pytest.mark.parametrize("text", SECRETIVE.values(), ids=SECRETIVE.keys())
def test_an_error_tells_no_name_and_no_address(tmp_path: Path, text: str) -> None:
    with pytest.raises(UserError, match=" line 4: ") as mistake:
        load(write(tmp_path, f"{ONE}    {text}\n"))
    assert "secret" not in str(mistake.value).lower()


# -- the plan ----------------------------------------------------------------------------------------------------


def desired(folder: Path, text: str) -> dict[int, State]:
    return desired_states(load(write(folder, text)), NOON)


def contract(*spans: tuple[str, str, str | None]) -> str:
    rows = [f"{{option: {o}, from: {f}{f', until: {u}' if u else ''}}}" for o, f, u in spans]
    return f"{ONE}    contracts: [{', '.join(rows)}]\n"


OPEN = contract(("detailed", "2025-01-01", None))
CLOSINGS = {
    "gone from the file": (OPEN, "customers: []\n", "is gone from the file"),
    "no contract any more": (OPEN, ONE, "becomes none on 2025-01-01: everything is deleted"),
    "a gap in the past": (
        OPEN,
        contract(("detailed", "2025-01-01", "2026-02-01"), ("detailed", "2026-03-01", None)),
        "detailed becomes none on 2026-02-01: everything of the days before 2026-03-01 is deleted",
    ),
    "a gap to come": (
        OPEN,
        contract(("detailed", "2025-01-01", "2026-07-01"), ("detailed", "2026-08-01", None)),
        "detailed becomes none on 2026-07-01: everything is deleted",
    ),
    "a later beginning": (
        OPEN,
        contract(("detailed", "2025-02-01", None)),
        "none on 2025-01-01: everything of the days before 2025-02-01 is deleted",
    ),
    "an end to come": (OPEN, contract(("detailed", "2025-01-01", "2027-01-01")), "none on 2027-01-01"),
    "none, written out": (
        OPEN,
        contract(("detailed", "2025-01-01", "2027-01-01"), ("none", "2027-01-01", None)),
        "none on 2027-01-01",
    ),
    "leaving detailed": (
        OPEN,
        contract(("detailed", "2025-01-01", "2026-07-01"), ("standard", "2026-07-01", None)),
        "detailed becomes standard on 2026-07-01: what only detailed opens is deleted",
    ),
    "leaving detailed for a while, in the past": (
        OPEN,
        contract(
            ("detailed", "2025-01-01", "2026-01-01"),
            ("standard", "2026-01-01", "2026-03-01"),
            ("detailed", "2026-03-01", None),
        ),
        "standard on 2026-01-01: what only detailed opens of the days before 2026-03-01 is deleted",
    ),
    "a new customer, with an end to come": (
        "customers: []\n",
        contract(("standard", "2025-01-01", "2026-07-01")),
        "none on 2026-07-01",
    ),
    "agents become anonymous": (OPEN, OPEN + "    anonymous_agents: true\n", "their names are deleted"),
}


@pytest.mark.parametrize(("before", "after", "text"), CLOSINGS.values(), ids=CLOSINGS.keys())
def test_what_deletes_is_marked(tmp_path: Path, before: str, after: str, text: str) -> None:
    changes = plan(desired(tmp_path, before), desired(tmp_path, after), MONDAY)
    deletions = [change for change in changes if change.deletes]
    assert [change.customer_id for change in deletions] == [1]
    assert text in deletions[0].text


OPENINGS = {
    "a new customer": ("customers: []\n", OPEN),
    "a new customer without a contract": ("customers: []\n", ONE),
    "a new customer whose contract is over": (
        "customers: []\n",
        contract(("standard", "2025-01-01", "2026-01-01")),
    ),
    "a first contract": (ONE, OPEN),
    "an earlier beginning": (
        contract(("standard", "2025-02-01", None)),
        contract(("standard", "2025-01-01", None)),
    ),
    "standard becomes detailed": (
        contract(("standard", "2025-01-01", None)),
        contract(("standard", "2025-01-01", "2026-07-01"), ("detailed", "2026-07-01", None)),
    ),
    "a contract in two pieces": (
        OPEN,
        contract(("detailed", "2025-01-01", "2026-01-01"), ("detailed", "2026-01-01", None)),
    ),
    "agents get names": (OPEN, OPEN + "    anonymous_agents: false\n    agents: [{id: a, name: A}]\n"),
    "another zone": (OPEN, OPEN + "    time_zone: UTC\n"),
    "agents are no longer anonymous": (OPEN + "    anonymous_agents: true\n", OPEN),
}


@pytest.mark.parametrize(("before", "after"), OPENINGS.values(), ids=OPENINGS.keys())
def test_what_only_adds_deletes_nothing(tmp_path: Path, before: str, after: str) -> None:
    changes = plan(desired(tmp_path, before), desired(tmp_path, after), MONDAY)
    assert changes
    assert not any(change.deletes for change in changes)


def test_each_change_is_listed(tmp_path: Path) -> None:
    before = OPEN + (
        "    queues: [{name: q}, {name: r}]\n    agents: [{id: a, name: A}]\n    contacts: [{name: A, email: a@b}]\n"
    )
    after = OPEN.replace("One", "Uno") + (
        "    time_zone: UTC\n    locale: en\n    connection: live\n    queues: [{name: q, label: Q}]\n"
        "    statuses: {lunch: break}\n    agents: [{id: a, name: B}, {id: c, name: C}]\n"
        "    recipients: [{email: a@b, reports: [drukte]}]\n"
    )
    changes = plan(desired(tmp_path, before), desired(tmp_path, after), MONDAY)
    assert changes == [
        Change(1, text)
        for text in (
            "name changes",
            "time_zone changes",
            "locale changes",
            "connection changes",
            "queue: 1 added, 2 removed",
            "status_word: 1 added, 0 removed",
            "contact: 0 added, 1 removed",
            "recipient: 1 added, 0 removed",
            "agent: 2 added, 1 removed",
        )
    ]


def test_the_defaults_of_the_file_change_who_says_nothing_else(tmp_path: Path) -> None:
    text = (
        OPEN
        + "    queues: [{name: q}]\n"
        + "  - {id: 2, name: Two, time_zone: UTC, contracts: [{option: standard, from: 2025-01-01}],"
        + " queues: [{name: q, service_level_s: 9}]}\n"
    )
    zone = plan(
        desired(tmp_path, text), desired(tmp_path, "defaults: {time_zone: Europe/London}\n" + text), MONDAY
    )
    level = plan(
        desired(tmp_path, text), desired(tmp_path, "defaults: {service_level_s: 30}\n" + text), MONDAY
    )
    assert zone == [Change(1, "time_zone changes")]
    assert level == [
        Change(1, "service_level_s changes"),
        Change(1, "queue: 1 added, 1 removed"),
        Change(2, "service_level_s changes"),
    ]


ORIGIN = MONDAY - timedelta(days=6)
RANK = {"none": 0, "standard": 1, "detailed": 2}


@st.composite
def timelines(draw: st.DrawFn) -> list[tuple[str, date, date | None]]:
    """Contracts around today, without overlap, in any order."""
    edges = sorted(draw(st.sets(st.integers(0, 12), max_size=6)))
    spans: list[tuple[str, date, date | None]] = []
    for edge, end in zip_longest(edges, edges[1:]):
        option = draw(st.sampled_from(["none", "standard", "detailed"]))
        until = None if end is None else ORIGIN + timedelta(days=end)
        if end is None and draw(st.booleans()):
            until = ORIGIN + timedelta(days=edge + 1)
        spans.append((option, ORIGIN + timedelta(days=edge), until))
    return draw(st.permutations(spans))


def state(spans: list[tuple[str, date, date | None]]) -> State:
    contracts = {span for span in spans if span[0] != "none"}
    return State(
        ("One", "UTC", "nl", False, "extract", False, 20, 5), NOBODY.tables | {"contract": contracts}
    )


def ranks(spans: list[tuple[str, date, date | None]]) -> list[int]:
    """What is ordered, day by day; the first day lies before all contracts, the last after all ends."""
    days = [ORIGIN + timedelta(days=day) for day in range(-1, 16)]
    return [
        max((RANK[o] for o, start, end in spans if start <= day and (end is None or day < end)), default=0)
        for day in days
    ]


@given(before=st.none() | timelines(), after=timelines())
def test_a_deletion_is_marked_exactly_where_a_day_loses(
    before: list[tuple[str, date, date | None]] | None, after: list[tuple[str, date, date | None]]
) -> None:
    old, new = ranks(before or []), ranks(after)
    today = (MONDAY - ORIGIN).days + 1
    loses = any(wanted < had for had, wanted in zip(old, new, strict=True))
    falls = any(
        new[day] < new[day - 1] and old[day] >= old[day - 1] and (before is not None or day > today)
        for day in range(1, len(new))
    )
    changes = plan({} if before is None else {1: state(before)}, {1: state(after)}, MONDAY)
    assert any(change.deletes for change in changes) == (loses or falls)


@given(before=timelines())
def test_the_same_timeline_changes_nothing(before: list[tuple[str, date, date | None]]) -> None:
    assert plan({1: state(before)}, {1: state(before)}, MONDAY) == []


# -- applying ----------------------------------------------------------------------------------------------------

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
    recipients: [{{email: chef@example.org, reports: [drukte, afhandeling]}}]
  - {{id: {STANDARD}, name: Standard, sql_login: true, contracts: [{{option: standard, from: 2025-01-01}}]}}
  - {{id: {NOTHING}, name: Nothing}}
  - {{id: {LATER}, name: Later, contracts: [{{option: standard, from: {SOON}}}]}}
  - {{id: {OVER}, name: Over, contracts: [{{option: standard, from: 2025-01-01, until: {YESTERDAY}}}]}}
"""


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
def restored(request: pytest.FixtureRequest, homes: Path) -> Any:
    """After each test all is as it was."""
    yield
    if "applied" in request.fixturenames:
        applied: Callmart = request.getfixturevalue("applied")
        applied.apply(FULL)
        applied.land_text(log(), DETAILED)  # the ids that anonymity deleted come back with the log
        if dirty(applied):
            applied.restore(homes / "applied")


def versions(callmart: Callmart) -> int:
    return len(callmart.rows("select from registry.version"))


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
    before = versions(applied)
    applied.apply(FULL)
    with applied.connect() as connection:
        wanted = desired_states(load(applied.home / "registry.yml"), clock.now(connection))
        assert current_states(connection) == wanted
    assert versions(applied) == before
    assert dirty(applied) == set()


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
    "a recipient": ("reports: [drukte, afhandeling]", "reports: [drukte]", set()),
}


@pytest.mark.parametrize(("old", "new", "customers"), CHANGES.values(), ids=CHANGES.keys())
def test_what_changes_numbers_marks_days_of_the_customer(
    applied: Callmart, old: str, new: str, customers: set[int]
) -> None:
    assert dirty(applied) == set()
    assert old in FULL
    applied.apply(FULL.replace(old, new))
    assert dirty(applied) == {(customer, YESTERDAY) for customer in customers}


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
    assert len(files) == 3 + 2 + 7, "keys; customers and duties that have a login"
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
        with pytest.raises(UserError, match=f"customer {DETAILED}.*restore .*from your backup") as mistake:
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
    """The registry, its roles and their memberships are one transaction."""
    file = applied.home / "registry.yml"
    file.write_text(
        FULL.replace(
            f"id: {NOTHING}, name: Nothing",
            "id: 77, name: New, contracts: [{option: standard, from: 2025-01-01}]",
        )
    )
    follow = memberships.follow_contracts

    def broken_off(*arguments: Any) -> None:
        follow(*arguments)
        raise KeyboardInterrupt

    monkeypatch.setattr(memberships, "follow_contracts", broken_off)
    with applied.connect() as connection, pytest.raises(KeyboardInterrupt):
        applying.apply(connection, applied.settings, load(file))
    assert applied.rows("select from registry.customer where customer_id = 77") == []
    assert applied.rows("select to_regrole('callmart_customer_77') as role") == [{"role": None}]
