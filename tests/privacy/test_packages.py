"""What a package has of a person, and that nobody else is in it."""

import csv
import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any, get_args

import psycopg
import pypdf
import pytest

from callmart.base import evidence
from callmart.base.errors import UserError
from callmart.base.keys import key_file, keyed, layered
from callmart.base.needles import Needles
from callmart.base.patterns import matching
from callmart.base.person import Blocked, Kind, Person, Work
from callmart.base.settings import PROJECT
from callmart.declarations import pointing, processing
from callmart.privacy import decided, disclosing, persons, places, subject
from callmart.privacy.package import own_rows, packing, page, shelf
from callmart.privacy.package.own_rows import Contents, Somebody
from callmart.privacy.package.sealing import with_passphrase
from callmart.privacy.procedure import Steps
from callmart_home import Callmart
from centre import ANONYMOUS, DAYS, NAMED, NUMBERS, agent_of
from crowd import FIRST, FORMULA, NAMING, OUTSIDE, SECOND, rows_of_a_crowd
from erasures import CALLER, CHEF, CONTACT, LEAVER, STAYER, case, key_of, of
from events import AMSTERDAM
from pointing_columns import columns

pytestmark = pytest.mark.server

KINDS: tuple[Kind, ...] = get_args(Kind)
PEOPLE: dict[Kind, str] = {"agent": LEAVER, "caller": CALLER, "contact": CONTACT, "recipient": CHEF}


@pytest.fixture(scope="module")
def crowd(home: Callmart) -> Callmart:
    home.land_together({NAMED: rows_of_a_crowd()})
    next(home.home.glob("landed-*")).unlink()
    return home


@pytest.fixture
def look(crowd: Callmart, work: Work) -> Callable[..., Contents]:
    """What there is of somebody."""

    def look(kind: Kind, *words: str) -> Contents:
        return own_rows.of(work.connection, work.settings, of(work, kind, *words), key_of(work))

    return look


def rows(contents: Contents, table: str) -> list[dict[str, Any]]:
    """The rows of a table as a program reads them."""
    (one,) = (each for each in json.loads(packing.as_json(contents))["tables"] if each["name"] == table)
    return list(one["rows"])


def unpacked(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


# -- everything is in it ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_every_column_of_a_person_is_in_the_package_or_left_out_with_its_reason(
    crowd: Callmart, look: Callable[..., Contents], kind: Kind
) -> None:
    told = {one.holding.table: one for one in look(kind, PEOPLE[kind]).tables}
    said = json.loads(packing.as_json(look(kind, PEOPLE[kind])))["tables"]
    with crowd.connect() as connection:
        pointing = [one for one in columns(connection) if one.person == kind]
    assert pointing
    missing = []
    for one in pointing:
        table = f"{one.schema}.{one.table}"
        if table in told:
            (shown,) = (each for each in said if each["name"] == table)
            named = shown["columns"] | shown["left_out"]
            if one.column not in named or not all(named[one.column].values()):
                missing.append(f"{table}.{one.column}")
        elif not any(why.nl and why.en for why in left_out(table)):
            missing.append(table)
    assert missing == []


@pytest.mark.parametrize(("kind", "normal"), [("agent", LEAVER), ("caller", CALLER), ("contact", CONTACT)])
def test_after_a_rotation_the_requests_about_a_person_are_there(
    crowd: Callmart, work: Work, kind: Kind, normal: str
) -> None:
    """The register's hash has each layer once."""
    layer = b"l" * 32
    whom = layered(layer, subject.subject(key_of(work), kind, normal))
    key = key_of(work) + layer
    with work.connection.transaction(force_rollback=True):
        work.connection.execute(
            "insert into privacy.request (customer_id, asked_right, kind, subject, received, state)"
            " values (%s, 'access', %s, %s, %s, 'received')",
            [NAMED, kind, whom, DAYS[0]],
        )
        until = persons.end_of(work.connection, NAMED, DAYS[-1])
        person = persons.person(work.connection, key, NAMED, kind, [normal], until)
        contents = own_rows.of(work.connection, work.settings, person, key)
    assert [row["subject"] for row in rows(contents, "privacy.request")] == [whom]


def left_out(table: str) -> Iterator[Any]:
    """The reasons why a table is in no package; of a view, that of its schema."""
    for pattern, why in processing.processing().left_out.items():
        if matching((pattern,)).fullmatch(table):
            yield why


def test_each_place_is_decided_and_its_tables_are_as_decided(work: Work) -> None:
    assert set(decided.PACKED) == set(evidence.PLACES)
    tables = {one.table for one, _ in own_rows.holdings(work.connection, work.settings) if one.columns}
    with work.connection.transaction():
        pointing = {
            f"{one.schema}.{one.table}" for one in columns(work.connection) if one.person in get_args(Kind)
        }

    def are_of(tables: set[str], *decisions: str) -> set[str]:
        """The places with one of these tables, but for those that were decided so."""
        found = {
            one.name for one in places.PLACES if any(map(matching(one.tables).fullmatch, sorted(tables)))
        }
        return found - {place for place, one in decided.PACKED.items() if one.decision in decisions}

    assert are_of(tables) == {place for place, one in decided.PACKED.items() if one.decision == "in it"}
    assert are_of(pointing, "in it", "a copy") == set(), (
        "where nobody is who could ask, no column points to one"
    )


def test_the_pages_are_made_of_what_the_catalogue_says(crowd: Callmart) -> None:
    """They are written without a database, from persons.sql."""
    said = processing.said_in(PROJECT / pointing.FILE)
    with crowd.connect() as connection:
        told = {(f"{one.schema}.{one.table}", one.column, one.person) for one in columns(connection)}
    read = {
        (table.replace('"', ""), column, person)
        for table, of_columns in said.items()
        for column, persons in of_columns.items()
        for person in persons
    }
    schemas = {table.partition(".")[0] for table, _, _ in read}
    own = {one for one in told if one[0].partition(".")[0] in schemas - {"build"}}
    assert own <= read and len(read) > 100


def test_the_register_has_a_word_for_each_table(crowd: Callmart, work: Work) -> None:
    """Or a plan could not say how many rows there are."""
    tables = {own_rows.counted_as(one.table) for one, _ in own_rows.holdings(work.connection, work.settings)}
    of_staff = {"ops.audit_log", "ops.held_back", "privacy.step"}
    assert {table for table in tables if not table.startswith("mart.")} - of_staff <= set(evidence.WORDS)


@pytest.mark.parametrize(
    ("statement", "remedy"),
    [
        (
            "alter table raw.event add seat text; comment on column raw.event.seat is 'person: agent'",
            "processing.yml: tables.raw.event: seat is missing",
        ),
        (
            "create table raw.letter (customer_id integer, agent_key text);"
            "comment on column raw.letter.agent_key is 'person: agent'",
            "processing.yml: tables: raw.letter has columns of persons",
        ),
    ],
)
def test_what_nobody_has_explained_is_refused(work: Work, statement: str, remedy: str) -> None:
    with work.connection.transaction(force_rollback=True):
        work.connection.execute(statement.encode())
        with pytest.raises(UserError) as refusal:
            own_rows.of(work.connection, work.settings, of_open(work, "agent", LEAVER), key_of(work))
    assert remedy in str(refusal.value)


def of_open(work: Work, kind: Kind, word: str) -> Person:
    """As `of`, within a transaction."""
    until = datetime.combine(DAYS[-1] + timedelta(days=1), time(), AMSTERDAM)
    return persons.person(work.connection, key_of(work), NAMED, kind, [word], until)


def test_a_table_in_which_nobody_knows_whose_the_rows_are_is_refused(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(own_rows._LEADS, "agent", {"name": "keys"})
    with pytest.raises(UserError, match="nobody knows which of its rows are a person's: give it a column"):
        own_rows.of(work.connection, work.settings, of_open(work, "agent", LEAVER), key_of(work))


def test_a_mart_without_dutch_words_is_refused(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    known = processing.processing()
    without = known.model_copy(update={"columns": {"customer_id": "Het klantnummer."}})
    monkeypatch.setattr(processing, "processing", lambda: without)
    with pytest.raises(UserError, match="does not say in Dutch what it means by agent_key"):
        own_rows.of(work.connection, work.settings, of_open(work, "agent", LEAVER), key_of(work))


def test_an_agent_gets_what_the_registry_the_events_and_the_marts_have(look: Callable[..., Contents]) -> None:
    contents = look("agent", LEAVER)
    assert rows(contents, "registry.agent")[0]["name"] == "Noor Zandvliet"
    assert [row["email"] for row in rows(contents, "registry.recipient")] == ["Noor@Example.org"]
    assert {row["agent"] for row in rows(contents, "store.agent")} == {"Noor Zandvliet"}
    filled = {one.holding.table for one in contents.tables if one.rows}
    assert filled >= {
        "raw.event",
        "store.agent_contact",
        "store.agent_session",
        "store.agent_status_interval",
    }


def test_a_caller_gets_the_calls_with_an_agent_who_has_no_name(look: Callable[..., Contents]) -> None:
    """Of whoever rang a queue and was answered."""
    for number in range(100):
        contents = look("caller", f"+{NUMBERS}{number:02}")
        told = rows(contents, "raw.event")
        if {"queue_joined", "agent_connected"} <= {row["event"] for row in told}:
            break
    assert {row["agent_key"] for row in told} == {None, "an agent"}
    assert {row["agent_key"] for row in rows(contents, "store.agent_contact")} == {"an agent"}


def test_it_ends_with_the_day(look: Callable[..., Contents], work: Work) -> None:
    person = of(work, "agent", LEAVER, day=DAYS[0])
    contents = own_rows.of(work.connection, work.settings, person, key_of(work))
    assert contents.last_day == DAYS[0]
    assert {row["call_date"] for row in rows(contents, "store.agent_day")} == {str(DAYS[0])}
    assert max(row["occurred_at"] for row in rows(contents, "raw.event")) < str(DAYS[1])
    assert look("agent", LEAVER).last_day == DAYS[-1]


def test_two_ids_are_one_agent(look: Callable[..., Contents]) -> None:
    alone, both = (rows(look("agent", *ids), "store.agent_day") for ids in ((LEAVER,), (LEAVER, STAYER)))
    assert len(both) == len(alone) + len(rows(look("agent", STAYER), "store.agent_day"))


def test_who_is_not_there_gets_a_package_that_says_so(look: Callable[..., Contents]) -> None:
    contents = look("caller", "+31999999999")
    assert not any(one.rows for one in contents.tables)
    files = unpacked(packing.pack(contents))
    assert not any(name.startswith("csv/") for name in files)
    assert b"Nothing of you is in" in files["data.html"] and b"Hier is niets van u" in files["gegevens.html"]


# -- how it reads ----------------------------------------------------------------------------------------------------


def test_page_paper_json_and_csv_say_the_same(look: Callable[..., Contents]) -> None:
    packed = packing.pack(look("agent", LEAVER))
    assert packed == packing.pack(look("agent", LEAVER)), "the same rows give the same bytes"
    files = unpacked(packed)
    for name, words in (("gegevens", ("Waarvoor", "een beller")), ("data", ("What for", "a caller"))):
        page = files[f"{name}.html"].decode()
        printed = " ".join(
            each.extract_text() for each in pypdf.PdfReader(io.BytesIO(files[f"{name}.pdf"])).pages
        )
        for word in (*words, "Noor Zandvliet", "occurred_at", "wrap_up"):
            assert word in page and word in printed, (name, word)
        assert "\nOveral gelijk" in printed or "\nThe same everywhere" in printed, "on a line of its own"
        assert "http" not in page.replace("http-equiv", ""), "it loads nothing"
    for one in json.loads(files["data.json"])["tables"]:
        if one["rows"]:
            text = files[f"csv/{one['name']}.csv"].decode("utf-8-sig")
            read = list(csv.DictReader(io.StringIO(text)))
            assert [list(row) for row in read] == [list(row) for row in one["rows"]]
            assert [row["customer_id"] for row in read] == [str(row["customer_id"]) for row in one["rows"]]
            for what in ("caption", "purpose", "source", "kept"):
                assert one[what]["nl"] and one[what]["en"]


def test_a_long_table_is_cut_on_the_page_and_whole_in_the_file(look: Callable[..., Contents]) -> None:
    contents = look("agent", LEAVER)
    (events,) = (one for one in contents.tables if one.holding.table == "raw.event")
    (section,) = (one for one in page.page(contents, "en")["sections"] if "raw.event" in one["title"])
    assert len(section["rows"]) == page.LONGEST < len(events.rows)
    assert section["remark"] == f"The first 200 of {len(events.rows)} rows; the CSV file has all."
    assert len(rows(contents, "raw.event")) == len(events.rows)


def test_moments_are_on_the_customers_clock(look: Callable[..., Contents]) -> None:
    first = rows(look("caller", FIRST), "raw.event")[0]
    assert first["occurred_at"] == f"{DAYS[0]}T11:00:00+01:00"


# -- nobody else -----------------------------------------------------------------------------------------------------


def test_of_a_call_of_two_each_sees_only_what_is_the_own(look: Callable[..., Contents], work: Work) -> None:
    first, second = look("caller", FIRST), look("caller", SECOND)
    assert [row["event"] for row in rows(second, "raw.event")] == ["queue_joined"]
    assert len([row for row in rows(first, "raw.event") if row["queue"] == "samen"]) == 3
    assert {row["call_key"] for row in rows(second, "raw.event")} == {"a caller"}


def test_whoever_was_called_in_sees_only_the_transfer(look: Callable[..., Contents]) -> None:
    (transfer,) = rows(look("caller", OUTSIDE), "raw.event")
    assert (transfer["event"], transfer["agent_key"], transfer["call_key"]) == (
        "transferred",
        "an agent",
        "a caller",
    )
    assert transfer["target_key"] == keyed_number(look, OUTSIDE)


def keyed_number(look: Callable[..., Contents], number: str) -> str:
    return min(look("caller", number).person.keys)


def test_an_agent_sees_no_number_and_no_other_agent(look: Callable[..., Contents]) -> None:
    transfers = [row for row in rows(look("agent", LEAVER), "raw.event") if row["event"] == "transferred"]
    assert {row["target_key"] for row in transfers} >= {"an agent or a caller"}
    assert {row["call_key"] for row in transfers} == {"a caller"}
    own = min(look("agent", STAYER).person.keys)
    (received,) = (
        row
        for row in rows(look("agent", STAYER), "raw.event")
        if row["occurred_at"] == f"{DAYS[0]}T11:23:00+01:00"
    )
    assert (received["agent_key"], received["target_key"]) == ("an agent", own)


def test_a_device_of_two_shows_no_key(look: Callable[..., Contents]) -> None:
    logins = {
        row["device_key"]
        for row in rows(look("agent", STAYER), "raw.event")
        if row["event"] == "agent_logged_in"
    }
    assert "an agent" in logins and len(logins) == 2, "the shared one, and the own"


def test_what_a_device_of_ones_own_did_is_the_agents_also_without_the_agents_id(
    look: Callable[..., Contents], work: Work
) -> None:
    """And not what a device of two did."""
    before = rows(look("agent", STAYER), "raw.event")
    logins = [row for row in before if row["event"] == "agent_logged_in"]
    (shared,) = (row["occurred_at"] for row in logins if row["device_key"] == "an agent")
    own = next(row["occurred_at"] for row in logins if row["device_key"] != "an agent")
    work.connection.execute(
        "update raw.event set agent_key = null"
        " where customer_id = %s and agent_key = any(%s) and event = 'agent_logged_in' and occurred_at = any(%s)",
        [NAMED, list(look("agent", STAYER).person.keys), [shared, own]],
    )
    after = rows(look("agent", STAYER), "raw.event")
    work.connection.rollback()
    assert len(after) == len(before) - 1
    (nameless,) = (row for row in after if row["agent_key"] is None)
    assert nameless["occurred_at"] == own


def test_a_word_that_could_name_somebody_else_is_left_out(look: Callable[..., Contents]) -> None:
    told = rows(look("caller", FIRST), "raw.event")
    shown = [row["queue"] for row in told if row["event"] == "queue_joined"]
    assert shown == ["samen", *["(left out)"] * len(NAMING), FORMULA, "samen"]
    assert f"'{FORMULA}" in unpacked(packing.pack(look("caller", FIRST)))["csv/raw.event.csv"].decode(), (
        "no formula"
    )


def test_an_address_of_two_agents_leads_to_no_contact_and_no_recipient(
    look: Callable[..., Contents], work: Work
) -> None:
    assert rows(look("agent", LEAVER), "registry.recipient")
    shared = "update registry.agent set email = %s where customer_id = %s and agent = %s"
    work.connection.execute(shared, ["NOOR@example.org", NAMED, STAYER])
    try:
        contents = own_rows.of(work.connection, work.settings, of_open(work, "agent", LEAVER), key_of(work))
    finally:
        work.connection.rollback()
    assert [one.holding.table for one in contents.tables if one.holding.table == "registry.recipient"] == []
    assert rows(contents, "registry.agent")[0]["email"] == "noor@example.org"


def test_the_own_name_is_no_other(look: Callable[..., Contents]) -> None:
    hides = own_rows._hiding(look("agent", LEAVER).own)
    assert not hides(LEAVER) and not hides("Noor Zandvliet")
    assert hides(STAYER) and hides(f"van {CONTACT}") and hides("Jansen-vries") and hides("a" * 32)
    assert not hides("verkoop") and not hides("2026")


def everybody() -> Iterator[tuple[int, Kind, str]]:
    """Whom the played centre has: by customer, kind and word."""
    for customer in (NAMED, ANONYMOUS):
        for number in range(100):
            yield customer, "caller", f"+{NUMBERS}{number:02}"
    for customer in (NAMED, ANONYMOUS):
        for number in range(1, 5):
            yield customer, "agent", agent_of(customer, number)
    for address in (CONTACT, "q@een.example"):
        yield NAMED, "contact", address
    for address in (CHEF, "planner@een.example"):
        yield NAMED, "recipient", address


def keys_of_all(connection: psycopg.Connection) -> dict[str, set[str]]:
    """All keys of persons that raw has, each with the keys of persons of its rows."""
    found: dict[str, set[str]] = {}
    for keys in connection.execute(
        "select call_key::text, agent_key, number_key, target_key, device_key from raw.event"
    ):
        for key in filter(None, keys):
            found.setdefault(key, set()).update(filter(None, keys))
    return found


@pytest.mark.thorough
def test_two_hundred_packages_have_nobody_else(
    crowd: Callmart, work: Work, unprinted: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each is searched, unpacked, for the words and keys of all others of all customers at once."""
    people = list(everybody())
    explained = list(own_rows.holdings(work.connection, work.settings))
    monkeypatch.setattr(own_rows, "holdings", lambda *_: explained)  # as every time
    keys = {customer: key_file(crowd.home, customer).read_bytes() for customer, _, _ in people}
    pseudonym = {"agent": "agent", "caller": "number"}
    own_keys = {
        (customer, kind, word): keyed(keys[customer], pseudonym[kind], word)
        for customer, kind, word in people
        if kind in pseudonym
    }
    beside = keys_of_all(work.connection)
    names = {"Noor Zandvliet", "noor@example.org", "Piet Jansen-Vries", "Q. Een"}
    words = {word for _, _, word in people} | names
    needles = Needles(words | set(beside) | set(own_keys.values()))
    until = datetime.combine(DAYS[-1] + timedelta(days=1), time(), AMSTERDAM)
    made, found_own, strangers = 0, 0, {}
    for customer, kind, word in people:
        person = persons.person(work.connection, keys[customer], customer, kind, [word], until)
        contents = own_rows.of(work.connection, work.settings, person, keys[customer])
        file = tmp_path / "package.zip"
        file.write_bytes(packing.pack(contents))
        hits = {needles.texts[place] for place in needles.in_file(file).texts}
        own = {word, *(names if word in (LEAVER, CONTACT, "q@een.example") else ())}
        if mine := own_keys.get((customer, kind, word)):
            # The own key, and of a caller the calls: no key of a call, a device or an agent that another has as well.
            own |= {
                mine,
                *(one for one in beside.get(mine, ()) if only_of(one, mine, beside, set(own_keys.values()))),
            }
            found_own += mine in hits
        if hits - own:
            strangers[customer, kind, word] = len(hits - own)
        made += 1
    assert made >= 200 and found_own > 150, "the search is not blind"
    assert strangers == {}


def only_of(key: str, mine: str, beside: dict[str, set[str]], persons: set[str]) -> bool:
    """Whether a key of a call or a device has nobody else of the same kind in its rows."""
    return key not in persons and (key.lstrip("-").isdecimal() or beside[key] & persons <= {mine})


LEAKS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    "a word of the customer": lambda patch: patch.setattr(own_rows, "_hiding", lambda _: lambda _: False),
    "a key of another": lambda patch: patch.setattr(own_rows, "Somebody", lambda _: "f" * 32),
    "a number": lambda patch: patch.setattr(own_rows, "Somebody", lambda _: "+31612345678"),
    "a call of another": lambda patch: patch.setattr(own_rows, "Somebody", lambda _: "-2091568153726921938"),
    "an agent's id": lambda patch: patch.setattr(own_rows, "Somebody", lambda _: STAYER),
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_package_with_somebody_else_is_never_written(
    work: Work, crowd: Callmart, unprinted: None, monkeypatch: pytest.MonkeyPatch, leak: str
) -> None:
    work.seal = with_passphrase()
    LEAKS[leak](monkeypatch)
    with pytest.raises(Blocked, match=r"would show \d+ words or keys of others, so none was made") as blocked:
        disclosing.do(case(work, of(work, "caller", FIRST)), Steps())
    assert (blocked.value.place, blocked.value.code) == ("packages", "others")
    assert not list(shelf.folder(work.settings).glob("*/*"))


def test_words_of_others_that_are_our_own_are_no_strangers(
    look: Callable[..., Contents], unprinted: None
) -> None:
    """An agent can be called like a word of the page, by a part of an id, or by a number that is in a moment."""
    contents = look("agent", LEAVER)
    begin = datetime.fromisoformat(rows(contents, "raw.event")[0]["occurred_at"])
    named = replace(contents.own, others=frozenset({"callmart", "recipient", LEAVER[:-1], f"{begin:%f}"}))
    contents = replace(contents, own=named)
    assert disclosing._strangers(contents, packing.pack(contents)) == set()
    (events,) = (one for one in contents.tables if one.holding.table == "registry.agent")
    leaking = replace(events, rows=tuple((*row[:3], "telefoniste", *row[4:]) for row in events.rows))
    named = replace(named, others=frozenset({"telefoniste"}))
    contents = replace(contents, own=named, tables=[leaking])
    assert disclosing._strangers(contents, packing.pack(contents)) == {"telefoniste"}


def test_a_number_in_the_own_id_is_no_stranger(look: Callable[..., Contents], unprinted: None) -> None:
    contents = look("agent", LEAVER)
    (events,) = (one for one in contents.tables if one.holding.table == "registry.agent")
    own = "Local/0612345678@from-queue"
    numbered = replace(events, rows=tuple((*row[:3], own, *row[4:]) for row in events.rows))
    contents = replace(contents, tables=[numbered])
    assert disclosing._strangers(contents, packing.pack(contents)) == {"0612345678"}
    contents = replace(contents, own=replace(contents.own, texts=contents.own.texts | {own}))
    assert disclosing._strangers(contents, packing.pack(contents)) == set()


def test_somebody_is_told_in_both_languages() -> None:
    several = Somebody(("agent", "caller"))
    assert page.somebody(several, "nl") == "een medewerker of een beller"
    assert page.somebody(several, "en") == "an agent or a caller"
