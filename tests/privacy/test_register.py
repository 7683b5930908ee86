"""The register of requests: who may do what, in which order, and what stays in the log."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import sleep

import psycopg
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from callmart.access import changing_logins, logins
from callmart.base import evidence
from callmart.base.errors import UserError
from callmart.privacy import register
from callmart.retention import expired_tombstones
from callmart_home import Callmart
from requests_of_persons import HASH, PLAN, Desk
from today import TODAY

pytestmark = pytest.mark.dated

ONE, OTHER, GONE, NOBODY = 1, 2, 3, 999
CONTACT, SECOND, UNAUTHORISED, ANOTHERS = (
    "p@EEN.example ",
    "q@een.example",
    "r@een.example",
    "s@other.example",
)
STATES = ("received", "identified", "planned", "approved", "executing", "proving", "answered", "closed")


# -- from letter to answer -------------------------------------------------------------------------------------------


def test_a_request_goes_its_way_and_each_step_is_in_the_log(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    found = register.request(undone.officer, number)
    assert (found.state, found.due, found.days_left) == ("received", TODAY + timedelta(days=28), 28)
    undone.bring(number, "closed")
    officer, approver, owner = "callmart_privacy_officer", "callmart_privacy_approver", "callmart_owner"
    steps = [(who, action.removeprefix("privacy ")) for who, action in undone.logged(number)]
    assert steps == [
        (officer, "received"), (officer, "identified"), (officer, "planned"), (approver, "approved"),
        (officer, "executing"), (owner, "control"), *[(owner, "treat")] * len(PLAN), (officer, "proving"),
        *[(owner, "prove")] * len(PLAN), (officer, "answered"), (officer, "closed"),
    ]  # fmt: skip
    found = register.request(undone.officer, number)
    assert (found.opened_by, found.planned_by, found.approved_by) == (officer, officer, approver)
    assert found.days_left is None, "answered in time"
    kept = [(one.step, one.place, one.counts) for one in register.evidence(undone.officer, number)]
    assert kept[: len(PLAN)] == [("find", place, counts) for place, counts in sorted(PLAN.items())]
    assert len(kept) == 3 * len(PLAN) + 1


def test_what_waits_for_a_rotation_is_not_entered_under_the_former_key(undone: Desk) -> None:
    contact = undone.contact(ONE, CONTACT)
    of_key = "select key_fingerprint from registry.customer where customer_id = 1"
    ((former,),) = undone.owner.execute(of_key).fetchall()
    waiting = "select from pg_locks where relation = 'privacy.request'::regclass and not granted"
    change = "update registry.customer set key_fingerprint = %s where customer_id = 1"
    with ThreadPoolExecutor(1) as beside, undone.callmart.connect() as rotating:
        rotating.execute("lock table privacy.request in share row exclusive mode")
        entered = beside.submit(
            register.open_request, undone.officer, ONE, "caller", "0" * 32, TODAY, contact, "erasure", former
        )
        while not (undone.owner.execute(waiting).rowcount or entered.done()):
            sleep(0.01)
        rotating.execute(change, ["of another key"])
        rotating.commit()
        with pytest.raises(UserError, match="the key of customer 1 was rotated meanwhile: enter it again"):
            entered.result()
    undone.owner.execute(change, [former])
    assert register.requests(undone.officer) == []


def test_only_an_authorised_contact_of_that_customer_can_ask(undone: Desk) -> None:
    for customer, address in [(ONE, UNAUTHORISED), (ONE, ANOTHERS), (OTHER, CONTACT), (ONE, "x@een.example")]:
        with pytest.raises(
            UserError, match=rf"refused, as who asks is not an authorised contact of customer {customer}"
        ):
            undone.open(customer, address)
    for customer, why in [
        (GONE, "who asks is not an authorised contact"),
        (NOBODY, "there is no customer 999"),
    ]:
        with pytest.raises(UserError, match=why):
            register.open_request(undone.officer, customer, None, None, TODAY, None, "erasure")
    refused = register.requests(undone.officer)
    assert [one.refused_why for one in refused] == ["authority"] * 5 + ["no such customer"]
    for one in refused:
        assert undone.logged(one.number) == [("callmart_privacy_officer", "privacy refused")]
    rows = undone.callmart.rows("select subject, kind, contact_key from privacy.request order by number")
    assert {(row["subject"], row["kind"]) for row in rows} == {(None, None)}, "nothing is kept of the person"
    assert [row["contact_key"] for row in rows[:4]] == [
        undone.contact(customer, address)
        for customer, address in [
            (ONE, UNAUTHORISED),
            (ONE, ANOTHERS),
            (OTHER, CONTACT),
            (ONE, "x@een.example"),
        ]
    ]
    assert undone.open(ONE, CONTACT), "the control"


@pytest.fixture
def wrongly_given(desk: Desk) -> Iterator[None]:
    """The officer may approve, and the approver may plan: a right that somebody gave by hand."""
    given = {"approve": "officer", "note_plan": "approver"}
    for function, duty in given.items():
        desk.owner.execute(f"grant execute on function privacy.{function} to callmart_privacy_{duty}")
    yield
    for function, duty in given.items():
        desk.owner.execute(f"revoke execute on function privacy.{function} from callmart_privacy_{duty}")


def test_the_officer_has_no_right_to_approve(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "planned")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        register.approve(undone.officer, number, HASH)


@pytest.mark.usefixtures("wrongly_given")
@pytest.mark.parametrize(
    ("planner", "approver"),
    [("officer", "officer"), ("owner", "officer"), ("approver", "officer"), ("approver", "approver")],
)
def test_nobody_approves_a_request_of_ones_own(undone: Desk, planner: str, approver: str) -> None:
    """Neither what one has opened nor what one has planned. The officer has opened it."""
    number = undone.open(ONE, CONTACT)
    undone.verify(number)
    yesterday = datetime.now(UTC) - timedelta(days=1)
    register.note_plan(getattr(undone, planner), number, HASH, yesterday)
    undone.find(number)
    with pytest.raises(UserError, match="nobody approves a request of one's own"):
        register.approve(getattr(undone, approver), number, HASH)
    assert undone.logged(number)[-1] == (f"callmart_privacy_{approver}", "privacy refused")
    undone.plan(number)
    undone.approve(number)


def test_the_owner_approves_nothing(undone: Desk) -> None:
    """Neither what others have opened, nor its own; of that, another login does."""
    others = undone.open(ONE, CONTACT)
    undone.bring(others, "planned")
    own = register.open_request(
        undone.owner, ONE, "agent", "1" * 32, TODAY, undone.contact(ONE, CONTACT), "erasure"
    )
    register.verify(undone.owner, own, "code", alone=True, instructed=False)
    register.note_plan(undone.owner, own, HASH, datetime.now(UTC) - timedelta(days=1))
    undone.find(own)
    for number in (others, own):
        with pytest.raises(UserError, match="nobody approves"):
            register.approve(undone.owner, number, HASH)
        undone.approve(number)
        assert register.request(undone.officer, number).approved_by == "callmart_privacy_approver"


def test_a_plan_that_changed_is_planned_and_approved_again(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT, kind="agent")
    undone.bring(number, "planned")
    with pytest.raises(UserError, match="has another plan than that"):
        undone.approve(number, "f" * 16)
    undone.approve(number)
    with pytest.raises(
        UserError,
        match=r"approved, and nothing was done; .*; if the agent has several ids, enter all of them",
    ):
        undone.do(number, "f" * 16)
    undone.plan(number, "f" * 16)
    assert register.request(undone.officer, number).approved_by is None
    with pytest.raises(UserError, match="is planned: `callmart privacy approve"):
        undone.do(number, "f" * 16)
    undone.approve(number, "f" * 16)
    undone.verify(number)
    with pytest.raises(UserError, match="is identified: `callmart privacy plan"):
        undone.approve(number, "f" * 16)
    undone.plan(number)
    undone.approve(number)
    undone.do(number)
    undone.do(number, None)
    undone.prove(number)


def test_nothing_is_answered_before_everything_is_proved(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "approved")
    undone.begin(number)
    register.note_step(undone.owner, number, "books", "treat", {})
    assert register.request(undone.officer, number).todo == f"`callmart privacy do {number}` goes on"
    with pytest.raises(UserError, match="build is not done yet; `callmart privacy do"):
        register.begin_proving(undone.officer, number)
    register.block(undone.officer, number, "tableau content", "tableau")
    shown = register.request(undone.officer, number)
    assert shown.todo == "blocked by tableau content (tableau): run again the command that said so"
    undone.do(number)
    shown = register.request(undone.officer, number)
    assert (shown.blocked_place, shown.todo) == (None, f"`callmart privacy prove {number}` is next")
    undone.prove(number, left=1)
    with pytest.raises(UserError, match="books is not proved"):
        undone.answer(number)
    undone.do(number)
    assert undone.state(number) == "executing"
    register.begin_proving(undone.officer, number)
    undone.prove_place(number, "books")
    with pytest.raises(UserError, match="build is not proved"):
        undone.answer(number)
    undone.prove(number)
    undone.do(number)
    register.begin_proving(undone.officer, number)
    with pytest.raises(UserError, match="books is not proved"):
        undone.answer(number)  # what was proved before it was treated again
    undone.prove(number)
    register.begin_doing(undone.officer, number, None)
    with pytest.raises(UserError, match="is executing"):
        undone.answer(number)
    register.begin_proving(undone.officer, number)
    register.block(undone.officer, number, "places", "unknown place")
    with pytest.raises(UserError, match=r"is blocked by places \(unknown place\)"):
        undone.answer(number)
    register.begin_proving(undone.officer, number)
    assert register.request(undone.officer, number).todo == f"`callmart privacy answer {number}` is next"
    undone.answer(number)


def test_an_answered_request_is_not_blocked_any_more_and_can_be_closed(undone: Desk) -> None:
    """By a command that comes out of turn. An earlier version blocked it for ever."""
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "answered")
    with pytest.raises(UserError, match="is answered: `callmart privacy close"):
        register.block(undone.officer, number, "tableau content", "tableau")
    undone.owner.execute("update privacy.request set blocked_place = 'events', blocked_code = 'lock'")
    undone.owner.commit()
    assert register.request(undone.officer, number).todo == f"`callmart privacy close {number}` is next"
    undone.close(number)
    assert register.request(undone.officer, number).blocked_place is None


def test_closing_waits_for_what_a_person_attests(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "executing")
    undone.prove(number, to_attest=1)
    undone.answer(number)
    assert register.request(undone.officer, number).days_left is None, "answering meets the deadline"
    with pytest.raises(UserError, match=f'`callmart privacy close {number} --attested "server files"`'):
        undone.close(number)
    with pytest.raises(UserError, match=rf"in its plan: `callmart privacy close {number}` names those"):
        register.attest(undone.officer, number, "moon")
    register.attest(undone.officer, number, "server files")
    undone.close(number)


def test_nothing_is_closed_that_is_not_proved(undone: Desk) -> None:
    """However it came to be answered."""
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "answered")
    undone.owner.execute(
        "insert into privacy.step (request, place, step, counts) values (%s, 'events', 'treat', '{}')",
        [number],
    )
    with pytest.raises(UserError, match="events is not proved, so it can't be closed"):
        undone.close(number)


def test_what_is_shared_needs_a_written_instruction(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    with pytest.raises(UserError, match="--alone or --shared"):
        undone.verify(number, alone=None)
    undone.verify(number, alone=False)
    with pytest.raises(UserError, match="nothing is done without a written instruction"):
        undone.plan(number)
    undone.verify(number, alone=False, instructed=True)
    undone.plan(number)
    undone.verify(number, alone=False)
    undone.answer(number)
    undone.close(number)
    assert register.evidence(undone.officer, number) == []
    alone = undone.open(ONE, CONTACT)
    undone.verify(alone)
    with pytest.raises(UserError, match="is identified: `callmart privacy plan"):
        undone.answer(alone)


def test_refused_and_forwarded_keep_nothing_of_the_person(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "approved")
    register.refuse(undone.officer, number, "identity")
    register.forward(undone.officer, OTHER, TODAY, "erasure")
    rows = undone.callmart.rows(
        "select state, subject, refused_why, contact_key is null as nobody from privacy.request"
    )
    assert [tuple(row.values()) for row in rows] == [
        ("refused", None, "identity", False),
        ("forwarded", None, None, True),
    ]
    with pytest.raises(UserError, match="has ended; enter another letter"):
        undone.do(number)
    with pytest.raises(UserError, match="there is no customer 999"):
        register.forward(undone.officer, NOBODY, TODAY, "erasure")
    begun = undone.open(ONE, CONTACT)
    undone.bring(begun, "approved")
    undone.begin(begun)
    with pytest.raises(UserError, match=f"request {begun} is executing"):
        register.refuse(undone.officer, begun, "identity")


def test_one_person_has_one_open_request(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    with pytest.raises(UserError, match=f"request {number} is about the same person, and still open"):
        undone.open(ONE, SECOND)
    assert undone.open(OTHER, ANOTHERS), "another customer's"
    undone.bring(number, "answered")
    assert undone.open(ONE, CONTACT)


# -- any order -------------------------------------------------------------------------------------------------------

STEPS: dict[str, tuple[set[str], str]] = {
    "verify": ({"received", "identified", "planned", "approved"}, "identified"),
    "plan": ({"identified", "planned", "approved"}, "planned"),
    "approve": ({"planned"}, "approved"),
    "do": ({"approved", "executing", "proving"}, "executing"),
    "prove": ({"executing", "proving"}, "proving"),
    "answer": ({"proving"}, "answered"),
    "close": ({"answered"}, "closed"),
    "refuse": ({"received", "identified", "planned", "approved"}, "refused"),
}


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.lists(st.sampled_from([*STEPS, *list(STEPS)[:5]]), min_size=4, max_size=14))
def test_whatever_the_order_only_what_may_follow_follows(undone: Desk, order: list[str]) -> None:
    person = f"{abs(hash(tuple(order))):032x}"[:32]
    number, state = undone.open(ONE, CONTACT, person=person), "received"
    for name in order:
        allowed, becomes = STEPS[name]
        logged = len(undone.logged(number))
        try:
            if name == "refuse":
                register.refuse(undone.officer, number, "identity")
            elif name == "do" and state in ("executing", "proving"):
                undone.do(number, None)
            else:
                getattr(undone, name)(number)
        except UserError:
            assert state not in allowed, (state, name)
            assert len(undone.logged(number)) == logged
        else:
            assert state in allowed, (state, name)
            state = becomes
        assert undone.state(number) == state
    if state not in ("answered", "closed", "refused"):  # leave no open request about this person
        with undone.callmart.connect() as owner:
            owner.execute("update privacy.request set answered_at = now() where number = %s", [number])


# -- what a login can't ----------------------------------------------------------------------------------------------

FORBIDDEN = [
    "select from privacy.request",
    "select subject from privacy.request",
    "select from privacy.step",
    "select from registry.contact",
    "select from registry.agent",
    "select from registry.customer",
    "update privacy.request set state = 'closed'",
    "insert into privacy.step (request, place, step, counts) values (1, 'raw', 'prove', '{}')",
    "delete from privacy.request",
    "truncate privacy.step",
    "select privacy.take(1, 'planned')",
    "select privacy.enter(null, 'closed')",
    "select privacy.lost_authority(null, 'x')",
    "set session authorization callmart_privacy_approver",
    "set role callmart_privacy_approver",
    "set role callmart_owner",
    "update ops.audit_log set actor = 'x'",
]


@pytest.mark.parametrize("statement", FORBIDDEN)
@pytest.mark.parametrize("duty", ["privacy_officer", "privacy_approver"])
def test_a_login_reads_and_writes_nothing_but_by_its_functions(desk: Desk, duty: str, statement: str) -> None:
    login = desk.officer if duty == "privacy_officer" else desk.approver
    if "privacy_approver" in statement and duty == "privacy_approver":
        statement = statement.replace("privacy_approver", "privacy_officer")
    with pytest.raises(psycopg.errors.InsufficientPrivilege), login.transaction():
        login.execute(statement.encode())


@pytest.mark.parametrize(
    "step", ["verify(%s, 'x', true, false, null)", "note_plan(%s, 'x', now())", "refuse(%s, 'x')"]
)
def test_a_mistaken_word_shows_nobody_s_key(undone: Desk, step: str) -> None:
    """The error of a constraint would show the whole row: with the contact's key one can ask in the contact's name."""
    number = undone.open(ONE, CONTACT)
    undone.verify(number)
    with pytest.raises(psycopg.Error) as refused, undone.officer.transaction():
        undone.officer.execute(f"select privacy.{step}".encode(), [number])
    assert (refused.value.sqlstate, refused.value.diag.message_detail) == ("CM001", None)


def test_an_approver_does_not_open_and_an_officer_does_not_approve(undone: Desk) -> None:
    contact = undone.contact(ONE, CONTACT)
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        register.open_request(undone.approver, ONE, "caller", "0" * 32, TODAY, contact, "erasure")
    number = undone.open(ONE, CONTACT)
    for step in (register.answer, register.close, register.begin_proving):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            step(undone.approver, number)
    assert [one.number for one in register.requests(undone.approver)] == [number]


def test_no_function_takes_a_name_and_each_notes_who_is_logged_in(undone: Desk) -> None:
    """Nor does a search path of one's own put other functions in the place of these."""
    named = undone.callmart.rows(
        "select proname from pg_proc where pronamespace = 'privacy'::regnamespace and prosecdef"
        " and pg_get_function_identity_arguments(oid) ~ '( name|actor|_by)'"
    )
    assert named == []
    loose = undone.callmart.rows(
        "select proname from pg_proc join pg_language as l on l.oid = prolang"
        " where pronamespace = 'privacy'::regnamespace and lanname = 'plpgsql'"
        " and proconfig is distinct from array['search_path=pg_catalog, pg_temp']"
    )
    assert loose == []


def test_what_the_register_has_stays_even_before_the_owner(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "answered")
    with undone.callmart.connect() as owner:
        for statement in (
            "delete from privacy.request", "truncate privacy.request cascade", "truncate privacy.step",
            "update privacy.step set counts = '{}'", "delete from privacy.step",
        ):  # fmt: skip
            with pytest.raises(psycopg.errors.RaiseException, match="for five years"), owner.transaction():
                owner.execute(statement.encode())


def test_whom_a_request_was_about_goes_with_the_tombstone(undone: Desk) -> None:
    def whom(number: int) -> list[object]:
        query = "select subject, plan_hash from privacy.request where number = %s"
        return [value for row in undone.callmart.rows(query, number) for value in row.values()]

    closed, open_ = undone.open(ONE, CONTACT), undone.open(OTHER, ANOTHERS)
    undone.bring(closed, "closed")
    undone.bring(open_, "planned")
    with undone.callmart.connect() as owner:
        expired_tombstones.end(owner, undone.callmart.settings)
        assert whom(closed) == whom(open_) == ["0" * 32, HASH]
        owner.execute("delete from privacy.ledger_entry")  # as when it ends
        expired_tombstones.end(owner, undone.callmart.settings)
        assert (whom(closed), whom(open_)) == ([None, None], ["0" * 32, HASH])
        noted = owner.execute("select from ops.to_vacuum where relation = 'privacy.request'")
        assert noted.rowcount == 1, "nothing is left in the table's file"


def test_the_log_that_others_read_has_no_counts_of_a_person(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "executing")
    register.block(undone.officer, number, "events", "lock")
    undone.bring(number, "closed")
    said = undone.owner.execute(
        "select distinct key from ops.audit_log, jsonb_object_keys(details) as key where action like 'privacy %'"
    )
    allowed = {"request", "how", "alone", "entered anew", "place", "code", "attempt", "why"}
    assert {key for (key,) in said.fetchall()} <= allowed


def test_evidence_is_counts_under_words_that_are_listed(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "approved")
    undone.begin(number)
    wrong: tuple[dict[str, object], ...] = (
        {"+31612345678": 1}, {"Ada Eerste": 1}, {"jan jansen": 1}, {"mart.jan_jansen": 1}, {"calls": "Ada"},
        {"calls": 612345678}, {"calls": -1}, {"calls": 1.5}, {"calls": None},
    )  # fmt: skip
    for counts in wrong:
        with pytest.raises(UserError, match="evidence is counts under words that are listed"):
            register.note_step(undone.owner, number, "events", "treat", counts)  # type: ignore[arg-type]
    register.note_step(undone.owner, number, "events", "treat", dict.fromkeys(evidence.WORDS, 99_999_999))
    for place, code in [("events", "call ada"), ("jan jansen", "tableau"), ("jan jansen", "jan jansen")]:
        with pytest.raises(UserError, match="no place or no reason"):
            register.block(undone.officer, number, place, code)


@pytest.mark.parametrize("step", ["find", "treat", "prove"])
def test_no_place_is_invented(undone: Desk, step: str) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, {"find": "planned", "treat": "executing", "prove": "proving"}[step])
    with pytest.raises(UserError, match="that is none of the places"):
        register.note_step(undone.owner, number, "jan jansen", step, {"left": 0})


def test_a_plan_without_a_place_is_not_approved(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    undone.verify(number)
    undone.plan(number)
    register.note_plan(undone.officer, number, HASH, datetime.now(UTC) - timedelta(days=1))
    with pytest.raises(UserError, match="doorway is not in the plan"):
        undone.approve(number)  # what an earlier plan has found doesn't count
    for place in evidence.PLACES[:-1]:
        register.note_step(undone.owner, number, place, "find", {})
    with pytest.raises(UserError, match="server files is not in the plan"):
        undone.approve(number)
    register.note_step(undone.owner, number, "server files", "find", {})
    undone.approve(number)


def test_nothing_is_treated_without_a_control_and_the_ledger(undone: Desk) -> None:
    without_control, without_entry = undone.open(ONE, CONTACT), undone.open(OTHER, ANOTHERS)
    for number in (without_control, without_entry):
        undone.bring(number, "approved")
        register.begin_doing(undone.officer, number, HASH)
    undone.enter(without_control)
    register.note_step(undone.owner, without_entry, "server files", "control", {})
    undone.enter(without_entry, later=1)
    undone.enter(without_entry, days=1)
    for number, needed in [
        (without_control, "a control has looked for it"),
        (without_entry, "the ledger has it"),
    ]:
        with pytest.raises(UserError, match=f"before {needed}"):
            register.note_step(undone.owner, number, "events", "treat", {})
        undone.do(number)


def test_what_was_begun_and_not_erased_can_be_planned_again(undone: Desk) -> None:
    """A crash came between the two, and a file landed. Only what the ledger has goes on without being compared."""
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "approved")
    register.begin_doing(undone.officer, number, HASH)
    for hash in ("e" * 16, None):
        with pytest.raises(UserError, match="the data has changed"):
            register.begin_doing(undone.officer, number, hash)
    undone.plan(number, "e" * 16)
    undone.approve(number, "e" * 16)
    undone.begin(number, "e" * 16)
    register.begin_doing(undone.officer, number, None)
    with pytest.raises(UserError, match="is executing: `callmart privacy do"):
        undone.plan(number)


def test_what_was_done_since_the_backup_is_gone_on_with(undone: Desk) -> None:
    """The register was restored, and the ledger has what the approved request did since."""
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "approved")
    with pytest.raises(UserError, match="the data has changed"):
        register.begin_doing(undone.officer, number, None)
    undone.enter(number)
    with pytest.raises(UserError, match="the data has changed"):
        register.begin_doing(undone.officer, number, "e" * 16)
    undone.do(number, None)
    undone.bring(number, "closed")


@pytest.mark.parametrize("duty", ["officer", "approver"])
def test_what_the_machine_did_no_person_can_say(undone: Desk, duty: str) -> None:
    """With these logins nothing is found, treated or proved, so nothing is approved, answered or closed."""
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "approved")
    for step in ("find", "control", "treat", "prove"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            register.note_step(getattr(undone, duty), number, "events", step, {"left": 0})


def test_nothing_personal_is_in_the_register_or_the_log(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "closed")
    with pytest.raises(UserError) as refusal:
        undone.open(ONE, UNAUTHORISED)
    tables = ("privacy.request", "privacy.step", "ops.audit_log")
    text = "\n".join(str(row) for table in tables for row in undone.callmart.rows(f"select * from {table}"))
    assert str(number) in text
    for word in ("een.example", "Eerste", "P. Een"):
        assert word.lower() not in (text + str(refusal.value)).lower()


def test_the_approver_s_password_is_in_no_file(registered: Callmart) -> None:
    assert not any("approver" in file.name for file in (registered.home / "secrets").iterdir())
    with pytest.raises(UserError, match="that is not the password of the privacy_approver"):
        logins.connect(registered.settings, "privacy_approver", "guessed, guessed")
    with pytest.raises(UserError, match="the login of the privacy_approver is refused"):
        logins.connect(registered.settings, "privacy_approver")
    with registered.connect() as owner, pytest.raises(UserError, match="at least 12 characters"):
        changing_logins.choose_password(owner, "callmart_privacy_approver", "short")
