"""A person whom the registry names in several places: an agent who is a contact, a contact who is an agent."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta
from pathlib import Path

import pytest

from callmart.base.errors import UserError
from callmart.base.keys import keyed, known_key
from callmart.base.needles import Needles
from callmart.base.person import Counts, Kind, Person, Proof, Work
from callmart.base.progress import quietly
from callmart.base.settings import Folder
from callmart.land.places import Stored
from callmart.privacy import erasing, kept, objecting, persons, places, replaying
from callmart.privacy.kept import Remembered
from callmart.privacy.procedure import Case
from callmart.registry.places import Persons
from callmart_home import Callmart, MakeOnce
from today import TODAY

pytestmark = pytest.mark.dated

ONE = 1
UNTIL = datetime.combine(TODAY, time(), UTC) - timedelta(days=1)

AGENTS = [
    "{id: Agent/1, name: Ada Eerste, email: ada@een.example}",
    "{id: Agent/2, name: Bo Tweede, email: GRO\u1e9e@een.example}",
    "{id: Agent/3, name: Bo Tweede}",
    "{id: Agent/4, name: Do Vierde, email: do@een.example}",
]
CONTACTS = [
    "{name: A. Eerste, email: ADA@een.example, authorised: true}",
    "{name: Cor Derde, email: gro\u00df@een.example}",
    "{name: Do Vierde, email: elsewhere@een.example}",
]
QUEUES = ["{name: direct, label: do VIERDE}", "{name: other, label: Direct to Do Vierde}"]
RECIPIENTS = ["{email: Ada@Een.example, reports: []}", "{email: gross@een.example, reports: []}"]


def registry(*left_out: str) -> str:
    def listed(entries: Sequence[str]) -> str:
        return f"[{', '.join(entry for entry in entries if entry not in left_out)}]"

    return f"""
customers:
  - id: {ONE}
    name: Een
    contracts: [{{option: detailed, from: 2020-01-01}}]
    agents: {listed(AGENTS)}
    contacts: {listed(CONTACTS)}
    queues: {listed(QUEUES)}
    recipients: {listed(RECIPIENTS)}
"""


@pytest.fixture(scope="module")
def home(callmart: Callmart, make_once: MakeOnce) -> Callmart:
    make_once(callmart, "named elsewhere", lambda: callmart.apply(registry()))
    return callmart


@pytest.fixture
def work(home: Callmart) -> Iterator[Work]:
    """Afterwards nobody was erased."""
    with home.connect() as connection:
        yield Work(connection, home.settings, lambda: None)
        connection.rollback()
        connection.execute("truncate privacy.tombstone, privacy.ledger_entry, privacy.ledger cascade")
        connection.execute("delete from registry.customer")
        connection.execute("delete from raw.event")
        connection.commit()
    (home.home / "privacy" / "ledger").unlink(missing_ok=True)
    home.apply(registry())


def erased(work: Work, kind: Kind, *words: str) -> Person:
    """Erase somebody from the registry, with the tombstones."""
    key = key_of(work)
    person = persons.person(work.connection, key, ONE, kind, words, UNTIL)
    work.connection.commit()
    counts = Persons().find(work, person)
    erasing._secure(Case(work, person, key, 1), Remembered.of(person, Stored()))
    assert Persons().treat(work, person) == counts and counts
    assert not Persons().find(work, person)
    return person


def left_of(work: Work, person: Person, name: str) -> Counts:
    """Where a proof finds the person in a place."""
    return proof_of(work, person, name).left


def proof_of(work: Work, person: Person, name: str) -> Proof:
    """What a proof says of a place."""
    searching = erasing._searching(work, person, Remembered.of(person, Stored()), Stored())
    return next(place for place in places.PLACES if place.name == name).prove(searching, person)


def key_of(work: Work) -> bytes:
    ((fingerprint,),) = work.connection.execute("select key_fingerprint from registry.customer").fetchall()
    return known_key(work.settings.home, ONE, fingerprint)


def left(home: Callmart) -> list[tuple[str, str | None]]:
    """The names and addresses of the registry, agents first."""
    rows = home.rows(
        "select 1 as n, name, email from registry.agent union all select 2, name, email from registry.contact"
        " union all select 3, null, email from registry.recipient order by 1, 3, 2"
    )
    return [(row["name"], row["email"]) for row in rows]


def refused(home: Callmart, *left_out: str) -> str | None:
    """The section in which the registry file still names somebody."""
    try:
        home.apply(registry(*left_out))
    except UserError as error:
        assert not any(word in str(error) for word in ("een.example", "Eerste", "Vierde", "Tweede"))
        return str(error).partition("`")[2].partition("`")[0]
    return None


def test_an_agent_goes_as_contact_and_recipient_too(home: Callmart, work: Work) -> None:
    person = erased(work, "agent", "Agent/1")
    assert {"ada@een.example", "ADA@een.example", "Ada@Een.example"} <= person.words
    assert not [email for _, email in left(home) if email and email.casefold() == "ada@een.example"]
    assert refused(home) == "agents"
    assert refused(home, AGENTS[0]) == "contacts"
    assert refused(home, AGENTS[0], CONTACTS[0]) == "recipients"
    assert refused(home, AGENTS[0], CONTACTS[0], RECIPIENTS[0]) is None


def test_who_withdraws_goes_as_contact_and_recipient_too_after_a_crash(home: Callmart, work: Work) -> None:
    """The withdrawal has dropped the agent's address, by which the rest is known, before it was killed."""
    key = key_of(work)

    def ada() -> Case:
        found = persons.person(work.connection, key, ONE, "agent", ["Agent/1"], UNTIL)
        work.connection.commit()
        return Case(work, found, key, 1)

    first = ada()
    erasing._secure(first, Remembered.of(first.person, Stored()))
    objecting.note(first, "objection")
    assert not ada().person.addresses
    before = kept.recall(ada())
    assert before is not None
    counts = Persons().treat(work, before.completed(ada().person))
    assert counts == {"registry.contact": 1, "registry.recipient": 1}
    kept.forget(home.home, 1)


@pytest.mark.parametrize(
    ("kind", "word"), [("contact", "GROSS@een.example"), ("recipient", "gro\u00df@EEN.example")]
)
def test_a_contact_s_address_goes_from_an_agent_who_stays(
    home: Callmart, work: Work, kind: Kind, word: str
) -> None:
    erased(work, kind, word.casefold())
    assert left(home).count(("Bo Tweede", None)) == 2, "the agent stays"
    assert refused(home) == "agents"
    assert refused(home, AGENTS[1], RECIPIENTS[1]) == "contacts"
    assert refused(home, AGENTS[1], CONTACTS[1], RECIPIENTS[1]) is None


def test_an_erased_agent_s_name_is_refused_among_the_contacts(home: Callmart, work: Work) -> None:
    person = erased(work, "agent", "Agent/4")
    assert left_of(work, person, "registry") == {"registry.contact": 1}
    assert refused(home, AGENTS[3]) == "contacts"
    assert refused(home, AGENTS[3], CONTACTS[2]) == "queues"
    assert refused(home, AGENTS[3], CONTACTS[2], QUEUES[0]) is None


def test_a_name_that_an_older_database_brings_back_is_forgotten(home: Callmart, work: Work) -> None:
    """As after a restore: there, contacts and labels still have the name."""
    erased(work, "agent", "Agent/4")
    assert [name for name, _ in left(home)].count("Do Vierde") == 1
    replaying.replay(work.connection, home.settings, quietly)
    assert not [name for name, _ in left(home) if name == "Do Vierde"]
    assert ("elsewhere@een.example", "elsewhere@een.example") in left(home)
    labels = home.rows("select queue, label from registry.queue order by queue")
    assert [row["label"] for row in labels] == [None, "Direct to Do Vierde"], (
        "only a whole name is known again"
    )
    (entry,) = home.rows("select details from ops.audit_log where action = 'ledger replayed'")
    assert entry["details"]["names"] == 2


def test_nobody_hides_in_a_label(home: Callmart, work: Work) -> None:
    """Labels are ours, so a request stays open until somebody has changed them."""
    person = persons.person(work.connection, key_of(work), ONE, "agent", ["Agent/4"], UNTIL)
    assert left_of(work, person, "registry of customers") == {"registry.queue": 1}


def test_a_name_that_two_agents_have_is_the_other_s(home: Callmart, work: Work) -> None:
    asked = persons.person(work.connection, key_of(work), ONE, "agent", ["Agent/2"], UNTIL)
    assert persons.others(work.connection, asked, ["Agent/2"]) == [("Agent/3", "name")]
    work.connection.commit()
    person = erased(work, "agent", "Agent/2")
    assert "Bo Tweede" not in person.words
    assert refused(home, AGENTS[1], CONTACTS[1], RECIPIENTS[1]) is None


def test_an_id_in_another_spelling_is_perhaps_the_same_person(home: Callmart, work: Work) -> None:
    work.connection.execute("update registry.agent set agent = 'Jos\u00e9 N' where agent = 'Agent/4'")
    asked = persons.person(work.connection, key_of(work), ONE, "agent", ["jose\u0301 n"], UNTIL)
    assert persons.others(work.connection, asked, ["jose\u0301 n"]) == [("Jos\u00e9 N", "interface")]


def working_on(work: Work) -> Person:
    """An agent who is erased up to a day that is over, and still there."""
    work.connection.execute("update registry.agent set last_day = %s where agent = 'Agent/1'", [TODAY])
    person = persons.person(work.connection, key_of(work), ONE, "agent", ["Agent/1"], UNTIL)
    work.connection.commit()
    return person


def test_who_is_still_there_keeps_the_address(home: Callmart, work: Work) -> None:
    before = left(home)
    person = working_on(work)
    assert (person.addresses, person.named) == (frozenset(), frozenset())
    assert not Persons().treat(work, person)
    assert left(home) == before


def test_who_works_on_after_an_erasure_may_be_named(home: Callmart, work: Work) -> None:
    before = left(home)
    person = working_on(work)
    erasing._secure(Case(work, person, key_of(work), 1), Remembered.of(person, Stored()))
    assert refused(home) is None
    assert left(home) == before


def test_an_erased_id_may_be_somebody_elses_with_another_name(home: Callmart, work: Work) -> None:
    """Such as the number of a telephone. With the former name the file is refused as before."""
    erased(work, "agent", "Agent/4")
    agent_key = keyed(key_of(work), "agent", "Agent/4")
    work.connection.execute(
        "insert into registry.agent (customer_id, agent_key, agent, last_day) values (%s, %s, 'Agent/4', %s)",
        [ONE, agent_key, UNTIL.date() - timedelta(days=2)],
    )
    work.connection.commit()
    others = registry(AGENTS[3], CONTACTS[2], QUEUES[0])

    def named(name: str) -> None:
        home.apply(others.replace("agents: [", f"agents: [{{id: Agent/4, name: {name}}}, "))

    with pytest.raises(UserError, match="section `agents`"):
        named("Fe Vijfde")
    work.connection.execute("update registry.agent set last_day = %s where agent = 'Agent/4'", [TODAY])
    work.connection.commit()
    again = f"{UNTIL + timedelta(days=734):%Y-%m-%d}"  # no tombstone ends earlier
    with pytest.raises(UserError, match=f"section `agents`.* who has come back can be named from {again} on"):
        named("do vierde")
    named("Fe Vijfde")
    assert ("Fe Vijfde", None) in left(home)


@pytest.mark.parametrize(
    ("queue", "line"), [("do VIERDE", "hoofdnummer"), ("verkoop", "Direct to Do Vierde"), ("agent/4", "iets")]
)
def test_a_queue_or_line_that_the_source_calls_like_the_person_is_attested(
    home: Callmart, work: Work, queue: str, line: str
) -> None:
    """The name there is not ours to change, so it is sought nowhere."""
    person = persons.person(work.connection, key_of(work), ONE, "agent", ["Agent/4"], UNTIL)
    assert proof_of(work, person, "registry of customers").to_attest == ()
    work.connection.execute(
        "insert into registry.queue (customer_id, queue, label, service_level_s, short_abandon_s)"
        " values (%s, %s, 'Desk', 20, 5)",
        [ONE, queue],
    )
    work.connection.execute("insert into registry.line (customer_id, line) values (%s, %s)", [ONE, line])
    assert proof_of(work, person, "registry of customers").to_attest == ("queue or line of that name",)


@pytest.mark.parametrize("table", ["raw.event", "registry.queue", "registry.line"])
def test_the_number_of_a_caller_that_a_queue_or_line_has_as_well_is_attested(
    home: Callmart, work: Work, table: str
) -> None:
    """It is sought nowhere, because it stays there. Another caller's is."""
    number, key = "+31201234567", key_of(work)
    named = [ONE, keyed(key, "number", number)]
    match table:
        case "raw.event":
            work.connection.execute("select access.ensure_month('raw.event', %s)", [UNTIL.date()])
            work.connection.execute(
                "insert into raw.event (customer_id, queue, occurred_at, event_key, platform, event, file_id)"
                " values (%s, %s, %s, 1, 'vcloud', 'queue_joined', 1)",
                [*named, UNTIL],
            )
        case "registry.queue":
            work.connection.execute(
                "insert into registry.queue"
                " (customer_id, queue_key, queue, label, service_level_s, short_abandon_s)"
                " values (%s, %s, '020 - 123 45 67', 'Desk', 20, 5)",
                named,
            )
        case _:
            work.connection.execute(
                "insert into registry.line (customer_id, line_key, line) values (%s, %s, '020 - 123 45 67')",
                named,
            )
    for asked, attested in (number, ("queue or line of that name",)), ("+31207654321", ()):
        person = persons.person(work.connection, key, ONE, "caller", [asked], UNTIL)
        for place in "events", "registry of customers":
            assert proof_of(work, person, place).left == {}, place
        assert proof_of(work, person, "registry of customers").to_attest == attested


def test_when_reports_were_last_opened_goes_with_who_gets_them(home: Callmart, work: Work) -> None:
    """What is noted anew after the erasure stays, so that the proof finds nothing."""
    day, since = UNTIL.date(), "select report, since from registry.report_use order by report"
    for report, noted in ("traffic", day - timedelta(days=40)), ("agents", day + timedelta(days=1)):
        work.connection.execute(
            "insert into registry.report_use values (%s, %s, 3, %s)", [ONE, report, noted]
        )
    work.connection.commit()
    person = persons.person(work.connection, key_of(work), ONE, "agent", ["Agent/3"], UNTIL)
    assert left_of(work, person, "registry")["registry.report_use"] == 0, "an agent who gets no reports"
    asked = persons.person(work.connection, key_of(work), ONE, "recipient", ["gross@een.example"], UNTIL)
    assert left_of(work, asked, "registry")["registry.report_use"] == 1
    person = erased(work, "recipient", "gross@een.example")
    assert work.connection.execute(since).fetchall() == [("agents", day + timedelta(days=1))]
    assert left_of(work, person, "registry") == {}


def test_raw_files_of_another_customer_alone_are_not_searched(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever asks about a caller must not learn that the caller talks to others."""
    monkeypatch.setattr(work, "needles", Needles(["+31612345678"]))
    folders = []
    for name, customer in (("all", None), ("other", ONE + 1), ("own", ONE)):
        folders.append(Folder(path=tmp_path / name, customer=customer))
        folders[-1].path.mkdir()
        (folders[-1].path / "raw.csv").write_text("call_started,+31612345678")
    monkeypatch.setattr(work.settings, "folders", folders)
    elsewhere, person = places.Elsewhere(), Person(ONE, "caller", frozenset(), frozenset(), UNTIL)
    assert elsewhere.find(work, person) == {"raw files": 2}
    named = [f"{tmp_path / name / 'raw.csv'}, in which the person is" for name in ("all", "own")]
    assert elsewhere.prove(work, person).to_attest == (*named, "telephone system")
