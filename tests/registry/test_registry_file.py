"""A mistake in the registry is named with its line, and nothing personal is said of it."""

from pathlib import Path

import pytest

from callmart.base.errors import UserError
from callmart.registry.file import load
from registries import ONE, write

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
    "a line twice": (ONE + "    lines: [{name: q},\n      {name: q}]\n", 5, "this line is given twice"),
    "a line without channels": (ONE + "    lines: [{name: q, channels: 0}]\n", 4, "channels"),
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
