"""Every protection of packages, objections and corrections, taken away or bent, is noticed.

A mutant changes one name or one statement in this process, or a view or function in a transaction that is rolled back.
Each breaks a part of what is promised; as it stands, all parts are kept. One home for all.
"""

import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pyrage
import pytest

from callmart.base.errors import UserError
from callmart.base.needles import Needles
from callmart.base.person import Person, Work
from callmart.base.progress import quietly
from callmart.database import schema
from callmart.database.tombstones import secret_of, tombstone
from callmart.land import places as landed
from callmart.privacy import correcting, disclosing, objecting, persons
from callmart.privacy.correcting import Correction
from callmart.privacy.decided import SHOWING
from callmart.privacy.package import own_rows, packing, sealing, shelf
from callmart.privacy.package.own_rows import Contents
from callmart.privacy.package.shelf import Packages
from callmart.privacy.procedure import Steps
from callmart.registry import objectors
from callmart.registry.file import load
from callmart.registry.states import desired_states
from callmart.reports import paper
from callmart_home import Callmart
from centre import ANONYMOUS, DAYS, NAMED
from crowd import FIRST, SECOND, rows_of_a_crowd
from erasures import (
    CALLER,
    CONTACT,
    LEAVER,
    PARTLY,
    STAYER,
    WITH_CONTACTS,
    agent_key,
    case,
    key_of,
    of,
)
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.server, pytest.mark.thorough]

NOTICED = (AssertionError, UserError, pyrage.DecryptError, pytest.fail.Exception)


@pytest.fixture(scope="module")
def crowd(home: Callmart) -> Callmart:
    home.land_together({NAMED: rows_of_a_crowd()})
    next(home.home.glob("landed-*")).unlink()
    return home


@pytest.fixture(autouse=True)
def unprinted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without paper, which takes most of the time and says what the page says."""
    monkeypatch.setattr(paper, "typeset", lambda *_, **__: b"")


# -- packages --------------------------------------------------------------------------------------------------------


def contents(work: Work, kind: Any, word: str, day: date | None = None) -> Contents:
    with work.connection.transaction(force_rollback=True):
        until = persons.end_of(work.connection, NAMED, day or DAYS[-1])
        who = persons.person(work.connection, key_of(work), NAMED, kind, [word], until)
        return own_rows.of(work.connection, work.settings, who, key_of(work))


def keys(work: Work, *columns: str, without: str = "") -> set[str]:
    """All keys of these columns in what was landed."""
    query = " union ".join(
        f"select {column}::text from raw.event where {column} is not null" for column in columns
    )
    found = {key for (key,) in work.connection.execute(query.encode())} - {without}
    work.connection.commit()
    return found


def packed(work: Work) -> None:
    """A package has all rows of the person, up to the day, and nobody else."""
    rows = "select count(*) from raw.event where customer_id = %s and %s in (agent_key, target_key)"
    people = [("agent", LEAVER), ("agent", STAYER), ("caller", FIRST), ("caller", SECOND)]
    for kind, word in people:
        found = contents(work, kind, word)
        (own,) = found.person.keys
        text = packing.as_json(found)
        assert own.encode() in text
        (events,) = (one for one in found.tables if one.holding.table == "raw.event")
        if kind == "agent":
            assert work.connection.execute(rows, [NAMED, own]).fetchone() == (len(events.rows),)
        work.connection.commit()
        forbidden = keys(work, "agent_key", "number_key", "target_key", without=own)
        shared = keys(work, "device_key") & set(re.findall("[0-9a-f]{32}", text.decode()))
        assert not {key for key in forbidden if key.encode() in text}
        assert not any(work.connection.execute(OF_TWO, [key]).fetchone() == (True,) for key in shared)
        work.connection.commit()
        others = {CONTACT, *(word for _, word in people)} - {word}
        assert not {other for other in others if other.encode() in text}
        if kind == "agent" or word == SECOND:  # whose only call is of two
            assert not {call for call in keys(work, "call_key") if call.encode() in text}
    first = contents(work, "agent", LEAVER, DAYS[0])
    (events,) = (one for one in first.tables if one.holding.table == "raw.event")
    assert max(row[events.columns.index("occurred_at")] for row in events.rows) < first.person.until


OF_TWO = "select count(distinct agent_key) > 1 from raw.event where device_key = %s"
LEAKS = ("f" * 32, "+31612345678", "-2091568153726921938", STAYER, CONTACT)


def refusing(work: Work) -> None:
    """A package with somebody else in it is refused."""
    found = contents(work, "caller", FIRST)
    (events,) = (one for one in found.tables if one.holding.table == "raw.event")
    queue = events.columns.index("queue")
    assert disclosing._strangers(found, packing.pack(found)) == set()
    for leak in LEAKS:
        row = (*events.rows[0][:queue], leak, *events.rows[0][queue + 1 :])
        leaking = replace(found, tables=[replace(events, rows=(row,))])
        assert disclosing._strangers(leaking, packing.pack(leaking)) == {leak}


def sealed(work: Work) -> None:
    """A package is encrypted, open to its owner alone, proved to be the one that was made, found, and removed."""
    about = case(work, of(work, "caller", CALLER), 7)
    passphrases = {sealing.with_passphrase().passphrase for _ in range(2)}
    assert len(passphrases) == 2 and {len(one) for one in passphrases} == {29}
    identity, key = pyrage.x25519.Identity.generate(), work.settings.home.with_name("key.pub")
    key.write_text(str(identity.to_public()))
    work.seal = sealing.to_key(key)
    disclosing.do(about, Steps())
    file = shelf.path(work.settings, NAMED, 7)
    assert file.stat().st_mode & 0o777 == 0o600
    assert pyrage.decrypt(file.read_bytes(), [identity]).startswith(b"PK")
    assert disclosing.prove(about, quietly) >= 0
    assert Packages().find(work, about.person) == {"packages": 1}
    assert not Packages().find(work, of(work, "agent", STAYER))
    other = case(work, of(work, "caller", FIRST), 7)
    with pytest.raises(UserError, match="make it again"):
        disclosing.prove(other, quietly)
    whole = file.read_bytes()
    file.write_bytes(whole + b"more")
    with pytest.raises(UserError, match="make it again"):
        disclosing.prove(about, quietly)
    assert shelf.tidy(work.connection, work.settings, TODAY + timedelta(days=13)) == 0
    assert shelf.tidy(work.connection, work.settings, TODAY + timedelta(days=14)) == 1
    work.connection.commit()


# -- objections ------------------------------------------------------------------------------------------------------


def says(work: Work, agent: str, right: str, entry: int) -> None:
    """The ledger's table says this of an agent, in the caller's transaction."""
    secret, key = secret_of(key_of(work)), agent_key(Callmart(work.settings), agent)
    work.connection.execute(
        "insert into privacy.secret (customer_id, secret) values (%s, %s) on conflict do nothing",
        [NAMED, secret],
    )
    work.connection.execute(
        "insert into privacy.ledger_entry (entry, commitment, digest, salt, customer_id, kind, until, at, asked_right)"
        " values (%s, '', '', '', %s, 'agent', now(), now(), %s)",
        [entry, NAMED, right],
    )
    work.connection.execute(
        "insert into privacy.tombstone (entry, customer_id, kind, tombstone, until)"
        " values (%s, %s, 'objector', %s, now())",
        [entry, NAMED, tombstone(secret, "objector", key)],
    )


def following(work: Work) -> None:
    """Who objects is left out until the lifting, by name as well, and nobody else is."""
    connection = work.connection
    mine, other = (agent_key(Callmart(work.settings), agent) for agent in (LEAVER, STAYER))
    made = tombstone(secret_of(key_of(work)), "objector", mine)

    def objects(customer: int, key: str) -> tuple[bool, bool]:
        asked = "select privacy.objects(%(c)s, %(k)s), privacy.is_objector(%(c)s, %(made)s, %(k)s)"
        return connection.execute(asked, {"c": customer, "k": key, "made": made}).fetchall()[0]

    person = replace(of_open(work, LEAVER, DAYS[0]), addresses=frozenset())
    says(work, LEAVER, "objection", 901)
    assert objects(NAMED, mine) == (True, True)
    alike = f"{mine[:6]}{other[6:]}"  # it begins like the tombstone
    assert objects(NAMED, other) == objects(NAMED, alike) == objects(ANONYMOUS, mine) == (False, False)
    assert objecting.named(replace_connection(work), person) == 1
    connection.execute("create table build.left_over as select 1 as computed")
    objecting.settle(connection, replace(person, keys=person.keys | {other}))
    assert connection.execute("select from build.left_over").fetchall() == [], "what waits to be opened"
    named = "select agent, name from registry.agent where customer_id = %s and name is not null"
    assert connection.execute(named, [NAMED]).fetchall() == []
    marked = connection.execute(
        "select distinct call_date from ops.dirty_day where cause = 'person'"
    ).fetchall()
    assert {day for (day,) in marked} >= set(DAYS)
    cells = landed.look_at_shown(connection, objecting.always(person))
    assert {cell.call_date for cell in cells.known} >= set(DAYS), "also the days after that of the request"
    path = work.settings.home.with_name("objectors.yml")
    path.write_text(WITH_CONTACTS)
    desired = desired_states(load(path), datetime.now().astimezone())
    objectors.leave_out(connection, work.settings, desired)
    assert desired[NAMED].agents == set()
    says(work, LEAVER, "lifting", 902)
    assert objects(NAMED, mine) == (False, False)
    says(work, LEAVER, "objection", 903)
    assert objects(NAMED, mine) == (True, True)


def replace_connection(work: Work) -> Any:
    """The work, whose places end no transaction of a test."""

    class Held:
        def __getattr__(self, name: str) -> Any:
            return quietly if name in ("commit", "rollback") else getattr(work.connection, name)

    return replace(work, connection=Held())  # type: ignore[arg-type]


def of_open(work: Work, agent: str, day: date) -> Person:
    until = persons.end_of(work.connection, NAMED, day)
    return persons.person(work.connection, key_of(work), NAMED, "agent", [agent], until)


def planning(work: Work) -> None:
    """A plan finds whatever shows the agent."""
    plan = objecting.plan(case(work, of(work, "agent", LEAVER)))
    found = {place for place, counts in plan.counts.items() if counts}
    assert found >= {"registry", "extracts", "tableau content"} and plan.counts["marts"]["mart.agent"]


# -- corrections -----------------------------------------------------------------------------------------------------

EVENTS = """
select event_key, ordinal, occurred_at, agent_key, target_kind, target_key from raw.event where customer_id = %s
"""


def correcting_events(work: Work) -> None:
    """Just the mistaken agent's events of the days become the other's; those of who was erased go on being erased."""
    connection = work.connection
    mistaken, other = of_open(work, STAYER, DAYS[1]), agent_key(Callmart(work.settings), PARTLY)
    (wrong,) = mistaken.keys
    since = persons.end_of(connection, NAMED, DAYS[0])
    correction = Correction(other, since)

    def events() -> dict[tuple[Any, ...], tuple[Any, ...]]:
        return {row[:3]: row[3:] for row in connection.execute(EVENTS, [NAMED])}

    connection.execute(
        "update raw.event set target_kind = 'agent', target_key = %s where customer_id = %s and agent_key = %s"
        " and event = 'agent_released'",
        [wrong, NAMED, agent_key(Callmart(work.settings), LEAVER)],
    )
    before = events()
    correction.correct(work, mistaken)
    for event, (agent, kind, target) in events().items():
        agent_before, _, target_before = before[event]
        within = since <= event[2] < mistaken.until
        assert agent == (other if within and agent_before == wrong else agent_before)
        assert target == (other if within and kind == "agent" and target_before == wrong else target_before)
    assert events() != before
    marked = connection.execute(
        "select distinct call_date from ops.dirty_day where cause = 'person'"
    ).fetchall()
    assert {day for (day,) in marked} >= {DAYS[0], DAYS[1], DAYS[2]}
    connection.execute(
        "insert into privacy.ledger_entry (entry, commitment, digest, salt, customer_id, kind, until, at, asked_right)"
        " values (911, '', '', '', %s, 'agent', now(), now(), 'rectification')",
        [NAMED],
    )
    secret = secret_of(key_of(work))
    connection.execute(
        "insert into privacy.secret (customer_id, secret) values (%s, %s) on conflict do nothing",
        [NAMED, secret],
    )
    connection.execute(
        "insert into privacy.correction values (911, %s, %s, %s, %s, %s)",
        [NAMED, tombstone(secret, "mistaken", wrong), other, since, mistaken.until],
    )
    for agent in (STAYER, PARTLY):
        with pytest.raises(UserError, match="another correction"):
            Correction("c" * 32, since)._refuse_wrong(
                replace_connection(work).connection, of_open(work, agent, DAYS[1])
            )
    connection.execute(
        "insert into privacy.tombstone (entry, customer_id, kind, tombstone, until) values (911, %s, 'agent', %s, %s)",
        [NAMED, tombstone(secret, "agent", other), mistaken.until],
    )
    correction.correct(work, of_open(work, LEAVER, DAYS[1]))
    came_back = "select from raw.event where agent_key = %s and occurred_at < %s and call_key is null"
    assert not connection.execute(came_back, [other, mistaken.until]).fetchall()


PARTS: dict[str, Callable[[Work], None]] = {
    each.__name__: each for each in (packed, refusing, sealed, following, planning, correcting_events)
}
ROLLED_BACK = ("following", "correcting_events")


# -- the mutants -----------------------------------------------------------------------------------------------------

Mutant = Callable[[pytest.MonkeyPatch, Work], object]


def with_name(name: str, value: Any) -> Mutant:
    return lambda patch, work: patch.setattr(f"callmart.{name}", value)


def bent(module: Any, statement: str, old: str, new: str) -> Mutant:
    """A statement of a module in which something stands instead of something."""

    def bend(patch: pytest.MonkeyPatch, work: Work) -> None:
        assert module.SQL[statement].count(old) == 1, statement
        patch.setitem(module.SQL, statement, module.SQL[statement].replace(old, new))

    return bend


def defined(what: str, old: str, new: str) -> Mutant:
    """A view or a function of the database in which something stands instead of something."""

    def define(patch: pytest.MonkeyPatch, work: Work) -> None:
        text = schema._filled(str(work.settings.time_zone)).as_string(work.connection)
        (statement,) = (one for one in text.split(";\n\n") if f"create or replace {what}" in one)
        assert statement.count(old) == 1, what
        work.connection.execute(statement.replace(old, new).encode())

    return define


def taking_everybody(inner: Any) -> Any:
    """Whoever's key it is, it is taken for the person's own."""

    def own(connection: psycopg.Connection, person: Person, key: bytes) -> Any:
        found = inner(connection, person, key)
        query = "select agent_key from raw.event union select number_key from raw.event"
        return replace(found, texts=found.texts | {one for (one,) in connection.execute(query) if one})

    return own


def without_end(inner: Any) -> Any:
    return lambda *given: ((replace(one, moment=None), types) for one, types in inner(*given))


def write_openly(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())


NEVER, NOBODY = re.compile("(?!)"), Needles(())
OBJECTION = "view privacy.objection as"
OWN = " o.tombstone = privacy.tombstone_of(o.secret, 'objector', agent)"
MUTANTS: dict[str, dict[str, Mutant]] = {
    "packed": {
        "others' keys are shown": with_name("privacy.package.own_rows._own", taking_everybody(own_rows._own)),
        "words are not hidden": with_name("privacy.package.own_rows._hiding", lambda own: lambda word: False),
        "the days after it, too": with_name("privacy.package.own_rows.holdings", without_end(own_rows.holdings)),
        "a call of two": bent(own_rows, "calls", "    not exists (", "    true or not exists ("),
        "a device of two": bent(own_rows, "devices", "having bool_and(", "having true or bool_and("),
        "not who was called": with_name(
            "privacy.package.own_rows._LEADS", {**own_rows._LEADS, "agent": {"agent_key": "keys"}}
        ),
    },
    "refusing": {
        "keys are not sought": with_name("privacy.disclosing._KEYS", NEVER),
        "numbers are not sought": with_name("privacy.disclosing._NUMBERS", NEVER),
        "nobody is sought": with_name("privacy.disclosing._needles", lambda found: NOBODY),
        "all are there by chance": with_name("privacy.disclosing._BY_CHANCE", re.compile(".*")),
        "no file is looked at": with_name("privacy.disclosing._TEXTS", (".pdf",)),
    },
    "sealed": {
        "open to everybody": with_name("privacy.package.shelf.secret_file", write_openly),
        "not encrypted": with_name("privacy.package.sealing.pyrage.encrypt", lambda content, to: content),
        "one passphrase for all": with_name("privacy.package.sealing.secrets.choice", lambda letters: "a"),
        "any package will do": with_name("privacy.package.shelf.holds", lambda about, content: True),
        "any content will do": with_name("privacy.package.shelf._digest", lambda key, content: ""),
        "nobody's": with_name("privacy.package.shelf.tombstones", lambda key, pseudonyms: set()),
        "kept a day more": with_name("privacy.package.shelf.KEPT_DAYS", 15),
        "kept a day less": with_name("privacy.package.shelf.KEPT_DAYS", 13),
    },
    "following": {
        "a lifting lifts nothing": defined(OBJECTION, "where latest.asked_right <> 'lifting'", "where true"),
        "the first word counts": defined(OBJECTION, "t.entry desc", "t.entry asc"),
        "of any customer": defined("function privacy.objects(", "o.customer_id = customer and ", ""),
        "everybody objects": defined("function privacy.objects(", OWN, " true"),
        "whoever says so objects": defined("function privacy.is_objector(", OWN, " true"),
        "the file brings the name back": with_name("registry.objectors.leave_out", quietly),
        "the name stays": with_name("privacy.objecting.drop_names", quietly),
        "no day is computed again": with_name("privacy.objecting.landed.mark_shown", quietly),
        "what was computed is opened": with_name("privacy.objecting.opening.forget_build", quietly),
        "until the day of the letter": with_name("privacy.objecting.always", lambda person: person),
        "the proof is blind to names": with_name("privacy.objecting.named", lambda work, person: 0),
    },
    "planning": {
        f"without {place}": with_name("privacy.objecting.SHOWING", tuple({*SHOWING} - {place}))
        for place in ("marts", "extracts", "tableau content")
    },
    "correcting_events": {
        "the days before, too": bent(correcting, "correct", "and e.occurred_at >= %(since)s", ""),
        "the days after, too": bent(correcting, "correct", "and e.occurred_at < %(until)s", ""),
        "not who acts": bent(correcting, "correct", "case when e.agent_key =", "case when false and e.agent_key ="),
        "not who is called": bent(correcting, "correct", "when e.target_kind = 'agent' and", "when false and"),
        "no day is computed again": bent(correcting, "mark_days", "o.customer_id = %", "false and o.customer_id = %"),
        "not the day before": bent(correcting, "mark_days", "::date - 1", "::date + 1"),
        "corrected twice": bent(correcting, "overlapping", "    and c.since < %(until)s", "    and false"),
        "who was erased comes back": bent(correcting, "erased_until", "and t.kind = 'agent'", "and false"),
    },
}  # fmt: skip


def kept_apart(work: Work, part: str) -> AbstractContextManager[object]:
    """What a part changes is rolled back, if it changes something."""
    return work.connection.transaction(force_rollback=True) if part in ROLLED_BACK else nullcontext()


@pytest.fixture(autouse=True)
def cleared(home: Callmart, work: Work) -> Iterator[None]:
    yield
    work.connection.rollback()
    shutil.rmtree(shelf.folder(home.settings), ignore_errors=True)


@pytest.mark.parametrize("part", PARTS)
def test_as_it_stands_each_part_is_kept(crowd: Callmart, work: Work, part: str) -> None:
    with kept_apart(work, part):
        PARTS[part](work)


@pytest.mark.parametrize("part", MUTANTS)
def test_no_mutant_survives(crowd: Callmart, work: Work, part: str) -> None:
    survivors = []
    for name, mutant in MUTANTS[part].items():
        with pytest.MonkeyPatch.context() as patch, kept_apart(work, part):
            mutant(patch, work)
            with suppress(*NOTICED):
                PARTS[part](work)
                survivors.append(name)
        work.connection.rollback()
    assert survivors == []
