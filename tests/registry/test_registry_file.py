"""A mistake in the registry is named with its line, and nothing personal is said of it."""

from pathlib import Path

import pytest

from callmart.base.errors import UserError
from callmart.registry.file import load
from registries import ONE, write

TWO = ONE + "  - id: 2\n    name: Two\n"


def hours(days: str, remedy: str) -> tuple[str, int, str]:
    """Opening hours of a customer from 2026-01-01 on."""
    return f"{ONE}    opening_hours:\n      - {{from: 2026-01-01, {days}}}\n", 5, remedy


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
    "zone without its summer time": (
        ONE + "    time_zone: CET\n",
        4,
        "use an IANA name such as Europe/Amsterdam",
    ),
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
    "a queue twice, named by a number": (
        ONE + "    queues:\n      - {name: 020 123 4567}\n      - {name: '0201234567'}\n",
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
    "a report twice": (
        ONE + "    recipients:\n      - {email: a@b, reports: [traffic,\n          drukte]}\n",
        6,
        "a report, by its present name or an earlier one, is given twice",
    ),
    "a status word twice": (ONE + "    statuses: {lunch: break, Lunch: away}\n", 4, "given twice"),
    "a key twice": (ONE + "    name: Uno\n", 4, "a key is given twice"),
    "named agents that are anonymous": (
        ONE + "    anonymous_agents: true\n    agents:\n      - {id: a, name: A}\n",
        5,
        "remove `agents` or `anonymous_agents`",
    ),
    "a target of 120 %": (
        ONE + "    queues:\n      - {name: q, service_level_target: 120 %}\n",
        5,
        "queues.0.service_level_target: not a share of contacts; write it as 80 % or 0.8, and at most 100 %",
    ),
    "a target without its sign": (
        "defaults: {service_level_target: 80}\n" + ONE,
        1,
        "write it as 80 % or 0.8",
    ),
    "a target of nothing": (ONE + "    service_level_target: 0.0\n", 4, "write it as 80 % or 0.8"),
    "a list of contacts without days": (ONE + "    contact_list: true\n", 4, "a list of contacts needs both"),
    "days without a list": (ONE + "    contact_list_days: 30\n", 4, "a list of contacts needs both"),
    "a list for more than two years": (
        ONE + "    contact_list: true\n    contact_list_days: 731\n",
        5,
        "contact_list_days: Input should be less than or equal to 730",
    ),
    "an unknown form of mail": (
        ONE + "    recipients: [{email: a@b, reports: [], mail_format: xls}]\n",
        4,
        "mail_format: Input should be 'pdf', 'csv' or 'both'",
    ),
    "no site": (
        ONE + "    tableau_site: Voorbeeld BV\n",
        4,
        "tableau_site: not a Tableau site; write its name as in",
    ),
    "the default site": (ONE + "    tableau_site: ''\n", 4, "not a Tableau site;"),
    "text for export": (ONE + "    export: everything\n", 4, "customers.0.export"),
    "no such calendar": (ONE + "    holidays: XX\n", 4, "there is no such calendar; name a country, as NL"),
    "no such part of a country": (ONE + "    holidays: [NL,\n      DE-QQ]\n", 5, "there is no such calendar"),
    "no such holiday": (ONE + "    holidays: [2026-02-30]\n", 4, "neither a calendar nor a date"),
    "no such file of dates": (
        ONE + "    holidays: [closed.txt]\n",
        4,
        "can't be read; put it beside the registry",
    ),
    "a wrong file of dates": (
        ONE + "    holidays: [wrong.txt]\n",
        4,
        "line 3 of the file of dates is not a date",
    ),
    "opening hours that overlap": hours(
        'mon: "08:00-12:00, 11:59-17:00"', "mon has opening hours that overlap"
    ),
    "a day with opening hours twice": hours(
        'mon-fri: "08:00-12:00", wed: closed', "wed has opening hours twice"
    ),
    "opening hours over midnight": hours(
        'fri: "22:00-02:00"', "write what goes on after midnight on the next day"
    ),
    "opening hours after the day": hours('fri: "22:00-24:30"', "after 24:00"),
    "opening hours that are none": hours(
        "fri: all day", 'write them as "08:00-12:00, 13:00-17:30", or closed'
    ),
    "opening hours of no day": hours("", "have no day; add one, such as mon-fri: 08:00-18:00"),
    "opening hours of an unknown day": hours('friday: "08:00-12:00"', "write mon, mon-fri or 2026-12-24"),
    "days without a last one": hours('mon-: "08:00-12:00"', "write mon, mon-fri or 2026-12-24"),
    "days in the wrong order": hours('fri-mon: "08:00-12:00"', "write mon, mon-fri or 2026-12-24"),
    "a date outside of its opening hours": hours(
        '2025-12-31: "08:00-12:00"', "2025-12-31 is outside of the days"
    ),
    "opening hours without a first day": (
        ONE + '    opening_hours:\n      - {mon: "08:00-12:00"}\n',
        5,
        "opening hours need a first day; write {from: 2026-01-01, mon-fri: 08:00-18:00}",
    ),
    "no opening hours": (
        ONE + "    opening_hours: []\n",
        4,
        "opening_hours: List should have at least 1 item",
    ),
    "opening hours that overlap in time": (
        ONE
        + '    queues:\n      - name: q\n        opening_hours:\n          - {from: 2026-01-01, mon: "08:00-12:00"}\n'
        + '          - {from: 2026-02-01, mon: "09:00-12:00"}\n',
        8,
        "customer 1's period of opening hours of a queue from 2026-02-01 overlaps the one before; end that one",
    ),
    "opening hours that end before they begin": (
        'defaults:\n  opening_hours:\n    - {from: 2026-01-01, until: 2026-01-01, mon: "08:00-12:00"}\n'
        + ONE,
        3,
        "until is exclusive and must be after from",
    ),
    "no YAML": ("customers:\n  - id: 1\n   name: One\n", 3, "correct the YAML there"),
    "two documents": (ONE + "---\n" + ONE, 4, "correct the YAML there"),
}


@pytest.mark.parametrize(("text", "line", "remedy"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_told_with_its_line(tmp_path: Path, text: str, line: int, remedy: str) -> None:
    file = write(tmp_path, text)
    (tmp_path / "wrong.txt").write_text("2026-10-10 # anniversary\n\n10-10-2026\n")
    with pytest.raises(UserError) as mistake:
        load(file)
    assert str(mistake.value).startswith(f"{file} line {line}: ")
    assert remedy in str(mistake.value)
    assert "\n" not in str(mistake.value)


@pytest.mark.parametrize("sign", ["\\0", "\\x7f", "\\x9b", "\\u2028", "\\u202e", "\\u2066"])
@pytest.mark.parametrize(
    "text",
    [
        'queues: [{{name: q, label: "a{sign}b"}}]',
        'agents: [{{id: "a{sign}b", name: Ada}}]',
        'contacts: [{{name: Ada, email: "a{sign}@b"}}]',
        'statuses: {{"a{sign}b": break}}',
    ],
)
def test_no_text_has_a_control_character(tmp_path: Path, sign: str, text: str) -> None:
    file = write(tmp_path, f"{ONE}    {text.format(sign=sign)}\n")
    with pytest.raises(UserError, match=rf"^{file} line 4: customers\.0\.[^:]+: has a control character, .*"):
        load(file)


def test_text_has_the_signs_of_any_language(tmp_path: Path) -> None:
    """A zero-width non-joiner is part of Persian words, and a mark of direction of Hebrew and Arabic ones."""
    text = 'queues: [{name: q, label: "می\\u200cخواهم \\u200eצוות Zoë\\xa0日本"}]'
    assert len(load(write(tmp_path, f"{ONE}    {text}\n")).customers[0].queues) == 1


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
