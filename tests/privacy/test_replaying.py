"""A replay that breaks off, or can't erase everybody again, leaves the customers closed of whom somebody is back."""

from collections.abc import Callable
from datetime import datetime, time
from functools import partial
from pathlib import Path
from unittest.mock import Mock

import pytest

from callmart.access import memberships
from callmart.audit import persons
from callmart.base.keys import key_file
from callmart.base.person import Blocked, Person, Work
from callmart.database import ledger
from callmart.database.ledger import Act
from callmart.database.tombstones import Kind, of_address, secret_of, tombstone
from callmart.mailing import places as outbox
from callmart.privacy import objecting, register, replaying
from callmart.reports import shelf, weeks
from callmart.reports.places import Pages
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED, agent_of
from erasing import key_of, person, tombstones
from erasures import CONTACT
from events import AMSTERDAM
from requests_of_persons import Commands, choose_password
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted")]

MIDNIGHT = datetime.combine(TODAY, time(), AMSTERDAM)
ADDRESS = "noor@example.org"


def bring_back(home: Callmart, *whom: Person) -> None:
    """Only the ledger knows that they were erased, as after the database went back to an earlier moment."""
    with home.connect() as connection:
        for request, who in enumerate(whom, 1):
            made: dict[Kind, list[str]] = (
                tombstones(home, connection, who)
                if who.kind == "agent"
                else {who.kind: [tombstone(secret_of(key_of(home, who.customer_id)), who.kind, *who.keys)]}
            )
            ledger.append(connection, home.settings, who.customer_id, who.kind, who.until, made, request)
        connection.rollback()


def agents(home: Callmart) -> list[Person]:
    return [person(home, NAMED, "agent", agent_of(NAMED, number), MIDNIGHT) for number in (1, 2)]


def contact(home: Callmart, customer: int) -> Person:
    key = of_address(key_of(home, customer), ADDRESS)
    return Person(customer, "contact", frozenset({ADDRESS}), frozenset({key}), MIDNIGHT)


def closed(home: Callmart) -> set[int]:
    """Who reads nothing after what every run does first."""
    with home.connect() as connection:
        said = memberships.sync(connection, home.settings)
        found = ledger.closed(connection)
        assert said == [f"customer {customer}: {ledger.DIFFERS}" for customer in sorted(found)]
        return found


def replay(work: Work, erase: Callable[[Work, Person], None] = replaying.erase) -> replaying.Replayed:
    return replaying.replay(work.connection, work.settings, partial(erase, work))


def back(home: Callmart) -> tuple[str, tuple[str, ...]]:
    """What the audit says of who is back."""
    with home.connect() as connection:
        check = persons.of_returned(connection, home.settings)
        return check.outcome, check.found


def shown(home: Callmart) -> int:
    """How many rows show the agents in the marts."""
    keys = [key for who in agents(home) for key in who.keys]
    ((rows,),) = (
        row.values()
        for row in home.rows("select count(*) from store.agent_day where agent_key = any(%s)", keys)
    )
    return int(rows)


def test_a_replay_that_is_killed_opens_nobody(home: Callmart, work: Work) -> None:
    """The next one goes on. Until then the ledger and the database say the same, and still it is closed."""
    assert back(home)[0] == "does not apply"
    bring_back(home, *agents(home))
    page = shelf.folder(home.settings) / str(NAMED) / "queue.html"
    page.parent.mkdir(parents=True, exist_ok=True)
    page.touch()
    erased: list[Person] = []

    def killed(work: Work, who: Person) -> None:
        if erased:
            raise KeyboardInterrupt
        replaying.erase(work, who)
        erased.append(who)

    with pytest.raises(KeyboardInterrupt):
        replay(work, killed)
    work.connection.rollback()
    assert closed(home) == {NAMED}
    assert back(home) == ("BREACH", (f"customer {NAMED}: 1 person",))
    assert home.rows("select cause from privacy.closed") == [{"cause": "replaying"}]
    assert not page.exists()
    home.build_unchecked()
    assert closed(home) == {NAMED} and shown(home), "no run opens it, or computes its days"


@pytest.mark.parametrize(
    ("hindrance", "said"),
    [
        (Blocked("landing", "a file is landing"), "a file is landing"),
        (
            PermissionError(13, "Permission denied", "reports/1001"),
            "reports/1001 can't be changed (Permission denied): "
            "give it to the user who runs callmart, and run the same command again",
        ),
    ],
)
def test_while_one_can_not_be_erased_the_customer_stays_closed(
    home: Callmart, work: Work, hindrance: Exception, said: str
) -> None:
    def hindered(work: Work, who: Person) -> None:
        raise hindrance

    done = replay(work, hindered)
    assert (done.persons, done.changed) == (0, ()), "nobody is said to be erased who is still there"
    assert done.problems == [f"customer {NAMED}: {said}"]
    assert closed(home) == {NAMED}


def test_when_nobody_is_back_any_more_it_opens(home: Callmart, work: Work) -> None:
    done = replay(work)
    assert (done.customers, done.persons, done.problems) == ((NAMED,), 1, [])
    assert shown(home) == 0, "the days left the marts before the customer opened"
    assert closed(home) == set()
    assert replaying.follow(work, done.changed) == []
    assert home.rows("select from store.queue_day where customer_id = %s", NAMED)
    assert (shown(home), back(home)) == (0, ("holds", ()))
    with home.connect() as owner:
        number = register.forward(owner, NAMED, TODAY, "erasure")
    assert number == 3, "the ledger knows 1 and 2, and the register neither"


@pytest.mark.parametrize("right", ["rectification", "objection"])
def test_pages_and_mails_go_before_the_customer_opens(home: Callmart, work: Work, right: Act) -> None:
    """Killed after that, nobody would know any more that they show what they must not."""
    mistaken, own = (person(home, NAMED, "agent", agent_of(NAMED, number), MIDNIGHT) for number in (3, 4))
    secret = secret_of(key_of(home, NAMED))
    of_agents: dict[Kind, Person] = (
        {"objector": own} if right == "objection" else {"mistaken": mistaken, "corrected": own}
    )
    made = {kind: [tombstone(secret, kind, key) for key in who.keys] for kind, who in of_agents.items()}
    until, since = (objecting.ALWAYS, None) if right == "objection" else (MIDNIGHT, MIDNIGHT)
    ledger.append(work.connection, home.settings, NAMED, "agent", until, made, 10, right, since)
    work.connection.rollback()
    week = weeks.of(TODAY)
    page = shelf.folder(home.settings) / str(NAMED) / f"agents-{week}.html"
    mail = outbox.folder(home.settings) / str(NAMED) / f"{week}.agents.key.eml"
    for file in (page, mail):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    done = replay(work)
    assert (done.customers, done.problems) == ((NAMED,), [])
    assert right in {treated for _, treated in done.changed}
    assert (page.exists(), mail.exists(), closed(home)) == (False, False, set())


def test_a_correction_that_is_killed_closes_the_customer_until_it_is_done(
    home: Callmart, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ledger and database agree all the time: only then something of the agent has landed whose the events are."""
    work.connection.execute("delete from privacy.correction")
    work.connection.commit()
    assert closed(home) == set() and replaying.uncorrected(work.connection) != []
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Pages, "treat", Mock(side_effect=KeyboardInterrupt))
        replay(work)
    work.connection.rollback()
    assert (replaying.uncorrected(work.connection), closed(home)) == ([], {NAMED})
    done = replay(work)
    assert {treated for _, treated in done.changed} >= {"rectification"}
    assert closed(home) == set()
    assert replaying.follow(work, done.changed) == []


@pytest.mark.thorough
@pytest.mark.server
def test_what_was_approved_at_the_backup_and_done_since_is_done_again(
    home: Callmart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    choose_password(home)
    command = Commands(home, monkeypatch, capsys)
    agent = agent_of(NAMED, 3)
    number = command.approved(NAMED, CONTACT, "erasure", "agent", agent, "", plan=())
    command.done(number, agent, "")
    with home.connect() as owner:
        owner.execute("alter table privacy.step disable trigger kept")
        owner.execute("delete from privacy.step where request = %s and step <> 'find'", [number])
        owner.execute("alter table privacy.step enable trigger kept")
        owner.execute(
            "update privacy.request set state = 'approved', begun_at = null, answered_at = null where number = %s",
            [number],
        )
    assert "verwijdering" in command.done(number, agent, "")


def test_the_others_are_erased_though_a_key_is_missing(home: Callmart, work: Work) -> None:
    whom = [contact(home, customer) for customer in (NAMED, ANONYMOUS)]
    for who in whom:
        work.connection.execute(
            "insert into registry.contact (customer_id, name, email, authorised) values (%s, 'Noor', %s, true)",
            [who.customer_id, ADDRESS],
        )
    work.connection.commit()
    bring_back(home, *whom)
    key, away = key_file(home.home, NAMED), Path(f"{home.home}.key")
    key.rename(away)
    done = replay(work)
    assert done.persons == 1 and [problem.partition(" (")[0] for problem in done.problems] == [
        f"the key of customer {NAMED} is missing"
    ]
    left = "select customer_id from registry.contact where email = %s"
    assert home.rows(left, ADDRESS) == [{"customer_id": NAMED}]
    with home.connect() as connection:
        assert ledger.compare(connection, home.settings).differing == {NAMED}
    key.mkdir()  # a file that another user owns can be read by root
    assert replay(work).problems[0].startswith(f"the key of customer {NAMED} can't be read")
    key.rmdir()
    away.rename(key)
    assert replay(work).persons == 1
    assert (home.rows(left, ADDRESS), closed(home)) == ([], set())
