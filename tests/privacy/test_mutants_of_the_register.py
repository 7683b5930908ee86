"""Every protection of the register, taken away or bent, is noticed: authority, four eyes, order, evidence, log; and of
its letters and its clock.

A mutant is a function of the database with another text, or something else under a name in this process. Each breaks a
part of what is promised; as it stands, all parts are kept.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmart.base import evidence
from callmart.base.errors import UserError
from callmart.base.rights_of_persons import Right
from callmart.base.templates import template
from callmart.database import schema
from callmart.privacy import letters, register
from callmart.privacy.register import Evidence, Request
from requests_of_persons import HASH, Desk
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.server]

ONE, OTHER = 1, 2
CONTACT, SECOND, UNAUTHORISED, ANOTHERS = "p@een.example", "q@een.example", "r@een.example", "s@other.example"
PERSON, ANOTHER_PERSON = "1" * 32, "2" * 32
YESTERDAY = datetime.now(UTC) - timedelta(days=1)
NOTICED = (AssertionError, UserError, psycopg.errors.UniqueViolation, pytest.fail.Exception)


# -- what the register promises, in parts ----------------------------------------------------------------------------


def refuses(why: str, step: Callable[..., object], *given: object, **named: object) -> None:
    with pytest.raises(UserError, match=why):
        step(*given, **named)


def lose_authority(desk: Desk) -> None:
    """Of who asked; another contact still has it."""
    desk.owner.execute("update registry.contact set authorised = false where email ~* '^p'")


def regain_authority(desk: Desk) -> None:
    desk.owner.execute("update registry.contact set authorised = email !~* '^r'")


def find(desk: Desk, number: int) -> None:
    desk.owner.execute(
        "select privacy.note_step(%s, place, 'find', '{}') from unnest(%s::text[]) as place",
        [number, list(evidence.PLACES)],
    )


def treat(desk: Desk, number: int, step: str = "treat", **counts: int) -> None:
    desk.owner.execute(
        "select privacy.note_step(%s, place, %s, %s) from unnest(%s::text[]) as place",
        [number, step, psycopg.types.json.Jsonb(counts), list(evidence.PLACES)],
    )


def approved(desk: Desk, right: Right = "erasure", person: str = PERSON) -> int:
    """A request whose plan another login has approved."""
    number = desk.open(ONE, CONTACT, person=person, kind="agent", right=right)
    desk.verify(number, by_consent=True if right == "withdrawal" else None)
    register.note_plan(desk.officer, number, HASH, YESTERDAY)
    find(desk, number)
    desk.approve(number)
    return number


def begun(desk: Desk, right: Right = "erasure", person: str = PERSON) -> int:
    """One that is about to be done: the control has looked, and the ledger has it."""
    number = approved(desk, right, person)
    desk.begin(number)
    return number


def proved(desk: Desk, **counts: int) -> int:
    number = begun(desk)
    treat(desk, number)
    register.begin_proving(desk.officer, number)
    treat(desk, number, "prove", left=0, **counts)
    return number


def entering(desk: Desk) -> None:
    """Who may ask, for whom, and what is kept of it."""
    for customer, address in [(ONE, UNAUTHORISED), (ONE, ANOTHERS), (OTHER, CONTACT)]:
        refuses("is not an authorised contact", desk.open, customer, address)
        number = max(one.number for one in register.requests(desk.officer))
        assert desk.logged(number) == [("callmart_privacy_officer", "privacy refused")]
    refuses(
        "there is no customer 999",
        register.open_request,
        desk.officer,
        999,
        None,
        None,
        TODAY,
        None,
        "erasure",
    )
    refuses("has no right of lifting", desk.open, ONE, CONTACT, kind="caller", right="lifting")
    contact, theirs = desk.contact(ONE, CONTACT), desk.contact(OTHER, ANOTHERS)
    refuses(
        "is not an authorised",
        register.open_request,
        desk.officer,
        ONE,
        "agent",
        PERSON,
        TODAY,
        theirs,
        "erasure",
    )
    refuses("say whom", register.open_request, desk.officer, ONE, None, None, TODAY, contact, "erasure")
    refuses("lies ahead", desk.open, ONE, CONTACT, received=TODAY + timedelta(days=1))
    refuses("there is no customer 999", register.forward, desk.officer, 999, TODAY, "erasure")
    refuses("lies ahead", register.forward, desk.officer, ONE, TODAY + timedelta(days=1), "erasure")
    number = desk.open(ONE, CONTACT, person=PERSON)
    assert desk.logged(number) == [("callmart_privacy_officer", "privacy received")]
    refuses("is about the same person", desk.open, ONE, SECOND, person=PERSON)
    found = register.request(desk.officer, number)
    assert (found.state, found.due, found.days_left) == ("received", TODAY + timedelta(days=28), 28)
    register.refuse(desk.officer, number, "identity")
    assert desk.owner.execute(
        "select subject from privacy.request where number = %s", [number]
    ).fetchone() == (None,)


def identifying(desk: Desk) -> None:
    """What is asked of the contact, and what begins anew."""
    number = desk.open(ONE, CONTACT, person=PERSON, kind="agent")
    refuses("--alone or --shared", desk.verify, number, alone=None)
    consent = desk.open(ONE, CONTACT, person=ANOTHER_PERSON, kind="agent", right="withdrawal")
    refuses("--by-consent", desk.verify, consent)
    refuses("is received", desk.approve, number)
    lose_authority(desk)
    refuses("not an authorised contact of customer 1 any more", desk.verify, number)
    regain_authority(desk)
    stranger = desk.contact(ONE, UNAUTHORISED)
    refuses(
        "who takes over is not an authorised contact",
        register.verify,
        desk.officer,
        number,
        "code",
        alone=True,
        instructed=False,
        taking_over=stranger,
    )
    register.verify(
        desk.officer, number, "code", alone=False, instructed=False, taking_over=desk.contact(ONE, SECOND),
        person=ANOTHER_PERSON,
    )  # fmt: skip
    assert register.is_about(desk.officer, number, PERSON), "nobody puts another person into a request"
    refuses("what several persons share", register.note_plan, desk.officer, number, HASH, YESTERDAY)
    shown = desk.open(ONE, CONTACT, person=PERSON, right="access")
    desk.verify(shown, alone=False, instructed=True)
    refuses("so nobody gets it", register.note_plan, desk.officer, shown, HASH, YESTERDAY)
    alone = desk.open(ONE, CONTACT, person=PERSON, right="portability")
    desk.verify(alone)
    refuses("is identified", desk.answer, alone)


def approving(desk: Desk) -> None:
    """Four eyes, on the plan that was shown."""
    number = desk.open(ONE, CONTACT, person=PERSON)
    desk.verify(number)
    refuses(
        "a day that is over", register.note_plan, desk.officer, number, HASH, YESTERDAY + timedelta(days=2)
    )
    register.note_plan(desk.officer, number, HASH, YESTERDAY)
    refuses("is not in the plan", desk.approve, number)
    find(desk, number)
    refuses("another plan than that", desk.approve, number, "f" * 16)
    refuses("nobody approves", register.approve, desk.owner, number, HASH)
    lose_authority(desk)
    refuses("any more", desk.approve, number)
    regain_authority(desk)
    given = {"approve": "officer", "note_plan": "approver"}
    for function, duty in given.items():
        desk.owner.execute(f"grant execute on function privacy.{function} to callmart_privacy_{duty}")
    try:
        refuses("nobody approves", register.approve, desk.officer, number, HASH)
        register.note_plan(desk.owner, number, HASH, YESTERDAY)
        find(desk, number)
        refuses("nobody approves", register.approve, desk.officer, number, HASH)
        register.note_plan(desk.approver, number, HASH, YESTERDAY)
        find(desk, number)
        refuses("nobody approves", desk.approve, number)
    finally:
        for function, duty in given.items():
            desk.owner.execute(f"revoke execute on function privacy.{function} from callmart_privacy_{duty}")
    assert desk.logged(number)[-1] == ("callmart_privacy_approver", "privacy refused")
    register.note_plan(desk.officer, number, HASH, YESTERDAY)
    refuses("is not in the plan", desk.approve, number)


def doing(desk: Desk) -> None:
    """Nothing but the approved plan, after the control and the ledger, by a contact who may still ask."""
    number = approved(desk)
    refuses("has changed", register.begin_doing, desk.officer, number, "f" * 16)
    lose_authority(desk)
    refuses("any more", register.begin_doing, desk.officer, number, HASH)
    regain_authority(desk)
    register.begin_doing(desk.officer, number, HASH)
    refuses("has changed", register.begin_doing, desk.officer, number, None)
    refuses("the ledger has it", register.note_step, desk.owner, number, "events", "treat", {})
    desk.enter(number)
    refuses("a control has looked", register.note_step, desk.owner, number, "events", "treat", {})
    register.note_step(desk.owner, number, "server files", "control", {})
    for counts in ({"Ada Eerste": 1}, {"calls": 612345678}, {"calls": -1}):
        refuses("words that are listed", register.note_step, desk.owner, number, "events", "treat", counts)
    refuses("none of the places", register.note_step, desk.owner, number, "moon", "treat", {})
    refuses("is no step", register.note_step, desk.owner, number, "events", "guess", {})
    register.note_step(desk.owner, number, "events", "treat", {})
    refuses("is executing", register.note_plan, desk.officer, number, HASH, YESTERDAY)
    refuses("is executing", desk.verify, number)
    refuses("is executing", register.refuse, desk.officer, number, "identity")
    refuses("has not left", register.refuse, desk.officer, number, "no such customer")
    refuses("is not done yet", register.begin_proving, desk.officer, number)
    register.block(desk.officer, number, "events", "lock")
    refuses("no place or no reason", register.block, desk.officer, number, "events", "call ada")
    assert register.request(desk.officer, number).days_left == 28, "the clock never stops"


def keeping(desk: Desk) -> None:
    """What must stay done is in the ledger, and what erases was controlled, for each right."""
    for place, (right, needed) in enumerate(
        {
            "objection": "ledger", "restriction": "ledger", "lifting": "ledger", "withdrawal": "ledger",
            "rectification": None, "access": None,
        }.items()
    ):  # fmt: skip
        number = approved(desk, right, f"{place:032}")  # type: ignore[arg-type]
        register.begin_doing(desk.officer, number, HASH)
        if needed:
            refuses("the ledger has it", register.note_step, desk.owner, number, "events", "treat", {})
            desk.enter(number)
        if right == "withdrawal":
            refuses("a control has", register.note_step, desk.owner, number, "events", "treat", {})
            continue
        register.note_step(desk.owner, number, "events", "treat", {})


def answering(desk: Desk) -> None:
    """Only what is proved since it was treated, and not blocked, is answered and closed."""
    number = begun(desk)
    treat(desk, number)
    register.begin_proving(desk.officer, number)
    refuses("is not proved", desk.answer, number)
    treat(desk, number, "prove", left=1)
    refuses("is not proved", desk.answer, number)
    treat(desk, number, "prove", left=0)
    register.begin_doing(desk.officer, number, None)
    treat(desk, number)
    register.begin_proving(desk.officer, number)
    refuses("is not proved", desk.answer, number)
    treat(desk, number, "prove", left=0, to_attest=1)
    register.block(desk.officer, number, "places", "unknown place")
    refuses("is blocked by places", desk.answer, number)
    register.begin_proving(desk.officer, number)
    lose_authority(desk)
    refuses("any more", desk.answer, number)
    regain_authority(desk)
    desk.answer(number)
    refuses("waits for what a person does", desk.close, number)
    refuses("no place of this name", register.attest, desk.officer, number, "moon")
    for place in evidence.PLACES:
        register.attest(desk.officer, number, place)
    refuses("is answered", register.block, desk.officer, number, "events", "lock")
    desk.owner.execute(
        "insert into privacy.step (request, place, step, counts) values (%s, 'events', 'treat', '{}')",
        [number],
    )
    refuses("is not proved, so it can't be closed", desk.close, number)
    assert [action for _, action in desk.logged(number)].count("privacy answered") == 1


def remembering(desk: Desk) -> None:
    """Nothing of it changes or goes for five years."""
    number = proved(desk)
    desk.answer(number)
    desk.close(number)
    for change in (
        "delete from privacy.request where number = %s",
        "delete from privacy.step where request = %s",
        "update privacy.step set counts = '{}' where request = %s",
    ):
        with pytest.raises(psycopg.errors.RaiseException):
            desk.owner.execute(change, [number])
    for table in ("privacy.step", "privacy.request cascade"):
        with pytest.raises(psycopg.errors.RaiseException):
            desk.owner.execute(f"truncate {table}".encode())


# What each letter says of what was done, in Dutch and in English, and of what stays or is the customer's to do.
SAID = {
    "erasure": ("12 gevonden, 0 over", "12 found, 0 left", "mails met rapporten", "mails with reports"),
    "access": ("een pakket gemaakt", "we made a package", "na 14 dagen weg", "after 14 days"),
    "portability": ("een pakket gemaakt", "we made a package", "na 14 dagen weg", "after 14 days"),
    "rectification": (
        "de naam of het adres verbeterd",
        "we corrected the name or address",
        "mails met rapporten",
        "mails with reports",
    ),
    "objection": ("in niets meer", "in nothing that", "tellen nog mee", "still count in"),
    "restriction": ("in niets meer", "in nothing that", "Wat wij nog aan", "What we still have"),
    "withdrawal": ("verwijderd, en overal", "we erased everything", "tellen nog mee", "still count in"),
    "lifting": ("weer te zien als", "is shown as before", "De naam hadden", "We deleted the name"),
}
LETTERS = [(right, locale) for right in SAID for locale in ("nl", "en")]
FOUND = [
    Evidence("events", "find", {"events in calls": 12, "cells hidden": 3}),
    Evidence("events", "prove", {"left": 0}),
    Evidence("elsewhere", "find", {"raw files": 77}),
    Evidence("elsewhere", "prove", {"left": 0, "to_attest": 1}),
    Evidence("packages", "treat", {"with a passphrase": 1}),
]
BEGUN = datetime(2026, 3, 5, 12).astimezone()


def request(right: str, customer: int, *, alone: bool = True) -> Request:
    """A request that was carried out, or that nothing was done for, as it is about several persons."""
    nothing: dict[str, Any] = dict.fromkeys(Request.__dataclass_fields__)
    done = {"begun_at": BEGUN, "until": datetime(2026, 3, 5).astimezone()} if alone else {}
    return Request(
        **nothing | {
            "number": 41, "customer_id": customer, "asked_right": right, "kind": "agent", "is_alone": alone,
            "received": date(2026, 3, 1), "identified_at": datetime(2026, 3, 2, 12).astimezone(),
            "identified_how": "called_back", "is_by_consent": right == "withdrawal", "opened_at": BEGUN,
        } | done
    )  # fmt: skip


def writing(desk: Desk) -> None:
    """Each letter says what was asked, when, who was checked how, what was done, and what is left to the customer."""
    settings = desk.callmart.settings.model_copy(update={"backup_kept_days": 30})
    for right, locale in LETTERS:
        desk.owner.execute("update registry.customer set locale = %s where customer_id = %s", [locale, ONE])
        one = ("nl", "en").index(locale)
        said, of_other = SAID[right][one::2], SAID[right][1 - one :: 2]
        letter, held = (
            " ".join(letters.answer(desk.owner, settings, request(right, ONE, alone=alone), FOUND).split())
            for alone in (True, False)
        )
        assert "41" in letter and (("1-3-2026", "1 March 2026")[one] in letter)
        assert ("terug te bellen", "calling you back")[one] in letter
        assert all(phrase in letter for phrase in said), (right, locale)
        assert not any(phrase in letter for phrase in of_other), (right, locale)
        assert ("uw telefooncentrale", "your telephone system")[one] in letter, (
            "what a person still has to confirm"
        )
        assert "77" not in letter, "raw files stay, and can be of others"
        assert ("meer dan één persoon", "more than one person")[one] in held
        assert not any(phrase in held for phrase in said), (right, locale)
        if right in ("erasure", "withdrawal"):
            assert ("4-4-2026", "4 April 2026")[one] in letter, "when the last backup is gone"


def warning(desk: Desk) -> None:
    """Warnings come 14, 7, 3, 1 and 0 days before, and stay."""
    expected = {
        28: None,
        15: None,
        14: 14,
        8: 14,
        7: 7,
        4: 7,
        3: 3,
        2: 3,
        1: 1,
        0: 0,
        -1: -1,
        -400: -1,
        None: None,
    }
    for days, said in expected.items():
        assert replace(request("access", ONE), days_left=days).warning == said
    due = "select pg_get_expr(adbin, adrelid) from pg_attrdef where adrelid = 'privacy.request'::regclass"
    assert ("(received + 28)",) in desk.owner.execute(due).fetchall()


PARTS: dict[str, Callable[[Desk], None]] = {
    each.__name__: each
    for each in (
        entering, identifying, approving, doing, keeping, answering, remembering, writing, warning,
    )
}  # fmt: skip


# -- the mutants -----------------------------------------------------------------------------------------------------


# By the part that notices it: in which function of the database what stands instead of what.
BENT = {
    "entering": {
        "anybody may ask": ("open_request", "when not privacy.is_authorised(customer, contact)", "when false"),
        "the registry's word is not asked": ("is_authorised", " and c.authorised", ""),
        "a contact of any customer": ("is_authorised", "c.customer_id = customer and ", ""),
        "any customer": ("open_request", "when not exists (select", "when false and not exists (select"),
        "any right of anybody": ("open_request", ")) is not true then", ")) is null then"),
        "about nobody": ("open_request", "if kind is null or subject is null then", "if false then"),
        "the same person twice": ("open_request", "privacy.refuse_second(", "concat("),
        "a letter of tomorrow": ("require_received", "received > privacy.today()", "false"),
        "forwarded to no customer": ("forward", "if not exists", "if false and not exists"),
        "a refusal is not logged": ("refusal", "perform privacy.log(", "perform concat("),
        "a step is not logged": ("enter", "perform privacy.log(", "perform concat("),
        "refused and remembered": ("refuse", "subject = null, ", ""),
        "days are counted anew": ("requests", "r.due - privacy.today()", "r.due - r.received + 1"),
    },
    "identifying": {
        "identity without authority": (
            "verify", "if refused is not null then", "if false then"
        ),
        "alone is not asked": ("verify", "if alone is null and not has_begun then", "if false then"),
        "consent is not asked": ("verify", "by_consent is null and not has_begun", "false"),
        "another person is put in": ("verify", "case when is_back then person", "case when person > '' then person"),
        "what is shared is planned": ("note_plan", " or privacy.is_held(request) then", " then"),
        "shared, and shown on an instruction": ("is_held", "not privacy.makes_package(request)", "true"),
        "whatever state": ("take", "if request.state <> all (states) then", "if false then"),
        "answered before anything": ("answer", "and not privacy.is_held(request) then", "and false then"),
    },
    "approving": {
        "a day to come": ("note_plan", "(until < clock_timestamp()) is not true", "until is null"),
        "a plan without a place": ("approve", "if unplanned is not null then", "if false then"),
        "a plan that nobody saw": ("approve", "hash is distinct from request.plan_hash", "false"),
        "evidence of an earlier plan": (
            "evidence", "s.at >= r.planned_at\n        where r.number", "true\n        where r.number",
        ),
        "one pair of eyes": ("approve", "if session_user in (", "if null in ("),
        "the owner approves": ("approve", ", current_user)", ")"),
        "who opened approves": ("approve", "(request.opened_by, ", "("),
        "who planned approves": ("approve", ", request.planned_by", ""),
        "approved without authority": ("approve", "privacy.lost_authority(request, 'approve')", "null"),
        "authority is for ever": (
            "may_ask", "privacy.is_authorised(request.customer_id, request.contact_key)", "true",
        ),
    },
    "doing": {
        "done without authority": ("begin_doing", "privacy.lost_authority(request, 'do')", "null"),
        "another plan is done": ("begin_doing", "hash is distinct from request.plan_hash", "false"),
        "begun is as good as done": ("goes_on", "privacy.is_in_ledger(request)", "true"),
        "no ledger": ("note_step", "privacy.needs_ledger(request) and", "false and"),
        "any entry of the ledger": ("is_in_ledger", "exists (", "true or exists ("),
        "no control": ("note_step", "privacy.erases(request) and not exists", "false and not exists"),
        "words in the evidence": ("require_counts", "word <> all (", "false and word <> all ("),
        "a number as a count": ("require_counts", "{1,8}", "{1,12}"),
        "evidence is not looked at": ("note_step", "privacy.require_counts(", "to_jsonb("),
        "a place that is none": ("note_step", "if (place = any (", "if (place > '' or place = any ("),
        "planned again after the ledger": ("note_plan", "if privacy.goes_on(request) or", "if"),
        "verified anew by who asked": ("verify", "(has_begun and taking_over is null) or", ""),
        "refused in the middle": ("refuse", "request.state in ('executing', 'proving') and", "false and"),
        "gone, and still there": ("refuse", "why = 'no such customer' and not is_gone", "false"),
        "proved before it is done": ("begin_proving", "if missing is not null then", "if false then"),
        "blocked for any reason": ("block", "and code = any", "or code = any"),
        "a block stops the clock": (
            "requests", "r.answered_at is null then r.due", "num_nulls(r.answered_at, r.blocked_place) = 2 then r.due",
        ),
    },
    "keeping": {
        "objections are not kept": ("needs_ledger", "'objection', ", ""),
        "restrictions are not kept": ("needs_ledger", "'restriction', ", ""),
        "withdrawals are not kept": ("needs_ledger", "'withdrawal', ", ""),
        "liftings are not kept": ("needs_ledger", ", 'lifting'", ""),
        "a withdrawal erases unseen": ("erases", "request.is_by_consent is true", "false"),
    },
    "answering": {
        "answered unproved": ("answer", "if unproved is not null then", "if false then"),
        "something is left": ("unproved", " and (proof.counts ->> 'left')::integer = 0", ""),
        "proved before it was treated": ("unproved", "proof.entry > treated.entry", "proof.entry is not null"),
        "answered while blocked": ("answer", "if request.blocked_place is not null then", "if false then"),
        "answered without authority": ("answer", "privacy.lost_authority(request, 'answer')", "null"),
        "whoever asked is excused": ("may_ask", "is_done and exists", "is_done or exists"),
        "nobody attests": ("close", "> 0 and attested.entry is null", "> 0 and false"),
        "a place that is none is attested": ("attest", "if not exists", "if false and not exists"),
        "blocked once answered": ("block", "'executing', 'proving'", "'executing', 'proving', 'answered'"),
        "closed unproved": ("close", "missing text := privacy.unproved(asked);", "missing text;"),
    },
    "remembering": {
        "kept for no time": ("refuse_change", "interval '5 years'", "interval '-1 years'"),
    },
}  # fmt: skip


Mutant = Callable[[pytest.MonkeyPatch], object]


def changed(name: str, value: Any) -> Mutant:
    return lambda patch: patch.setattr(f"callmart.{name}", value)


_Line: Any = letters._Line


def without_block(right: str, block: str) -> Mutant:
    """The letters of a right, in which a block says nothing."""

    @cache
    def cut(package: str, name: str) -> Any:
        found = template(package, name)
        source = Path(str(found.filename)).read_text()
        what = rf"({{% block {block}.*?%}}).*?({{% endblock %}})"
        without, count = re.subn(what, r"\1\2", source, flags=re.DOTALL)
        assert count == 1
        return found.environment.from_string(without)

    return changed(
        "privacy.letters.template",
        lambda package, name: (cut if name.startswith(right) else template)(package, name),
    )


CHANGED: dict[str, dict[str, Mutant]] = {
    "writing": {
        **{
            f"{right} without {block}": without_block(right, block)
            for right in SAID if right not in ("portability", "restriction") for block in ("done", "afterwards")
        },
        "backups are gone at once": changed("privacy.letters.timedelta", lambda **days: timedelta(0)),
        "nothing waits": changed("privacy.letters._Line", lambda *line: _Line(*line[:5], False)),
        "nothing was found": changed("privacy.letters._Line", lambda place, _, *line: _Line(place, 0, *line)),
        "one language": changed(
            "privacy.letters.template", lambda package, name: template(package, name.replace("_en", "_nl"))
        ),
    },
    "warning": {
        "not two weeks before": changed("privacy.register.WARNINGS", (7, 3, 1, 0)),
        "not on the last day": changed("privacy.register.WARNINGS", (14, 7, 3, 1)),
        "not when it is late": changed("privacy.register.Request.warning", None),
    },
}  # fmt: skip


@pytest.fixture(scope="module")
def functions(desk: Desk) -> dict[str, str]:
    """The definition of each function of the register, by name."""
    text = schema._filled(str(desk.callmart.settings.time_zone)).as_string(desk.owner)
    found = {}
    for statement in text.split(";\n\n"):
        _, begins, rest = statement.partition("create or replace function privacy.")
        if begins:
            found[rest.partition("(")[0]] = begins + rest
    return found


@pytest.fixture
def emptied(desk: Desk) -> Iterator[Desk]:
    yield desk
    empty(desk)


def empty(desk: Desk) -> None:
    regain_authority(desk)
    desk.forget_all()


@pytest.mark.parametrize("part", PARTS)
def test_as_it_stands_the_register_keeps_its_promises(emptied: Desk, part: str) -> None:
    PARTS[part](emptied)


def test_no_mutant_of_the_register_survives(emptied: Desk, functions: dict[str, str]) -> None:
    survivors = []
    for part, mutants in BENT.items():
        for name, (function, old, new) in mutants.items():
            sound = functions[function]
            assert sound.count(old) == 1, name
            emptied.owner.execute(sound.replace(old, new).encode())
            with suppress(*NOTICED):
                PARTS[part](emptied)
                survivors.append(name)
            emptied.owner.execute(sound.encode())
            empty(emptied)
    assert survivors == []
    assert sum(map(len, BENT.values())) >= 60


@pytest.mark.parametrize("part", CHANGED)
def test_no_mutant_of_letters_and_clock_survives(emptied: Desk, part: str) -> None:
    survivors = []
    for name, mutant in CHANGED[part].items():
        with pytest.MonkeyPatch.context() as patch:
            mutant(patch)
            with suppress(*NOTICED):
                PARTS[part](emptied)
                survivors.append(name)
    assert survivors == []
