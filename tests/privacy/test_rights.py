"""Every right, for every kind of person: who has which, its steps, and its letters."""

from datetime import date, timedelta
from typing import get_args

import pytest

from callmart.base import evidence, rights_of_persons
from callmart.base.errors import UserError
from callmart.base.person import Kind
from callmart.base.rights_of_persons import Right
from callmart.privacy import decided, letters, register
from callmart.publish import places, plans
from requests_of_persons import PLAN, Desk
from today import TODAY

pytestmark = pytest.mark.dated

ONE, OTHER = 1, 2
CONTACT, ANOTHERS = "p@een.example", "s@other.example"
RIGHTS: tuple[Right, ...] = get_args(Right)
KINDS: tuple[Kind, ...] = get_args(Kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("right", RIGHTS)
def test_each_right_of_each_kind_of_person_is_taken_up_or_names_another(
    undone: Desk, right: Right, kind: Kind
) -> None:
    if rights_of_persons.has(right, kind):
        number = undone.open(ONE, CONTACT, right=right, kind=kind)
        found = register.request(undone.officer, number)
        assert (found.asked_right, found.kind, found.days_left) == (right, kind, 28)
        return
    with pytest.raises(UserError, match=f"a {kind} has no right of {right} here"):
        undone.open(ONE, CONTACT, right=right, kind=kind)
    instead = rights_of_persons.DECIDED[right]._asdict()[kind]
    with pytest.raises(UserError) as refusal:
        rights_of_persons.require(right, kind)
    assert (f"`--right {instead}`" in str(refusal.value)) == (instead is not None)
    assert instead is None or rights_of_persons.has(instead, kind), "what is named can be entered"


def test_each_place_is_decided_for_those_who_are_left_out() -> None:
    """As it was decided. What stays is what no report is made of."""
    assert set(decided.LEFT_OUT) == set(evidence.PLACES)
    changed: dict[str, set[str]] = {}
    for place, one in decided.LEFT_OUT.items():
        changed.setdefault(one.decision, set()).add(place)
    del changed["stays"]
    assert changed == {
        "left out": {"marts"},
        "name dropped": {"registry", "server files"},
        "discarded": {"build"},
        "written anew": {
            "environments", "extracts", "drawn reports", "outbox", "tableau content", "emulator", "temporary files",
        },
    }  # fmt: skip
    assert set(decided.SHOWING) == changed["left out"] | changed["written anew"]


def test_who_has_which_right() -> None:
    """As it was decided: nobody takes a line away unseen."""
    assert set(rights_of_persons.pairs()) == {
        *((right, kind) for right in ("erasure", "access", "portability") for kind in KINDS),
        *(("rectification", kind) for kind in KINDS if kind != "caller"),
        *((right, "agent") for right in ("objection", "restriction", "withdrawal", "lifting")),
    }
    instead = {
        right: {cells._asdict()[kind] for kind in KINDS} - {right}
        for right, cells in rights_of_persons.DECIDED.items()
    }
    assert instead.pop("lifting") == {None}, "there is nothing to take back"
    assert set().union(*instead.values()) == {"erasure"}


@pytest.mark.parametrize(("customer", "address", "locale"), [(ONE, CONTACT, "nl"), (OTHER, ANOTHERS, "en")])
@pytest.mark.parametrize("right", RIGHTS)
def test_each_right_goes_its_way_to_a_letter(
    undone: Desk, right: Right, customer: int, address: str, locale: str
) -> None:
    number = undone.open(customer, address, right=right, kind="agent")
    undone.verify(number, by_consent=True if right == "withdrawal" else None)
    undone.bring(number, "answered")
    found, evidence = register.request(undone.officer, number), register.evidence(undone.officer, number)
    settings = undone.callmart.settings.model_copy(update={"backup_kept_days": 30})
    letter = letters.answer(undone.owner, settings, found, evidence)
    titles = {
        "erasure": ("verwijdering", "erasure"), "access": ("inzage", "access"),
        "portability": ("overdracht", "portability"), "rectification": ("verbetering", "rectification"),
        "objection": ("bezwaar", "objection"), "restriction": ("beperking", "restriction"),
        "withdrawal": ("intrekking", "withdrawal"), "lifting": ("opheffing", "lifting"),
    }  # fmt: skip
    assert titles[right][locale == "en"] in letter.splitlines()[0]
    assert ("een medewerker" if locale == "nl" else "an agent") in letter
    assert f"{TODAY.year}" in letter and "\n\n\n" not in letter
    assert max(map(len, letter.splitlines())) <= 124


@pytest.mark.parametrize(
    ("customer", "address", "hidden"),
    [(ONE, CONTACT, "tonen wij ze niet"), (OTHER, ANOTHERS, "no longer show")],
)
@pytest.mark.parametrize("kind", ["agent", "caller"])
def test_only_of_an_agent_figures_are_hidden(
    undone: Desk, kind: str, customer: int, address: str, hidden: str
) -> None:
    number = undone.open(customer, address, kind=kind)
    undone.verify(number)
    undone.plan(number, plan=PLAN | {"marts": {"cells callers": 1}})
    undone.bring(number, "answered")
    found, evidence = register.request(undone.officer, number), register.evidence(undone.officer, number)
    settings = undone.callmart.settings.model_copy(update={"backup_kept_days": 30})
    letter = letters.answer(undone.owner, settings, found, evidence)
    assert (" 1 cijfer van " in letter or " 1 figure of " in letter) and (hidden in letter) == (
        kind == "agent"
    )


@pytest.mark.parametrize(
    ("customer", "address", "without"),
    [
        (ONE, CONTACT, {"agent": "zonder de medewerker", "caller": "zonder het nummer"}),
        (OTHER, ANOTHERS, {"agent": "without the agent", "caller": "without the number"}),
    ],
)
@pytest.mark.parametrize("kind", ["agent", "caller"])
def test_the_letter_says_that_a_late_call_counts_without_the_person(
    undone: Desk, kind: str, customer: int, address: str, without: dict[str, str]
) -> None:
    """As it lands (tests/land has that). It said that such a call is kept out."""
    number = undone.open(customer, address, kind=kind)
    undone.bring(number, "answered")
    found, evidence = register.request(undone.officer, number), register.evidence(undone.officer, number)
    settings = undone.callmart.settings.model_copy(update={"backup_kept_days": 30})
    letter = " ".join(letters.answer(undone.owner, settings, found, evidence).split())
    assert f" {without[kind]};" in letter
    assert "houden wij tegen" not in letter and "keep out" not in letter


@pytest.mark.parametrize(
    ("customer", "address", "said"),
    [(ONE, CONTACT, "nergens weggelaten"), (OTHER, ANOTHERS, "left out of nothing")],
)
def test_a_lifting_for_somebody_who_was_never_left_out_is_answered_as_that(
    undone: Desk, customer: int, address: str, said: str
) -> None:
    settings = undone.callmart.settings.model_copy(update={"backup_kept_days": 30})
    for counts in {}, {"agents": 1}:
        number = undone.open(customer, address, right="lifting", kind="agent")
        undone.verify(number)
        undone.plan(number, plan={place: {} for place in PLAN} | {"marts": counts})
        undone.bring(number, "answered")
        found, evidence = register.request(undone.officer, number), register.evidence(undone.officer, number)
        assert (said in letters.answer(undone.owner, settings, found, evidence)) == (not counts)


@pytest.mark.parametrize(("customer", "address", "at"), [(ONE, CONTACT, 0), (OTHER, ANOTHERS, 1)])
@pytest.mark.parametrize("kind", ["agent", "caller", "recipient"])
def test_a_letter_about_an_address_speaks_of_no_number_and_no_telephone_system(
    undone: Desk, kind: str, customer: int, address: str, at: int
) -> None:
    number = undone.open(customer, address, kind=kind)
    undone.verify(number, alone=False, instructed=True)
    undone.bring(number, "answered")
    found, evidence = register.request(undone.officer, number), register.evidence(undone.officer, number)
    settings = undone.callmart.settings.model_copy(update={"backup_kept_days": 30})
    letter = letters.answer(undone.owner, settings, found, evidence)
    shared = {"agent": ("De code", "The id"), "caller": ("Het nummer", "The number")}
    assert shared.get(kind, ("Het adres", "The address"))[at] in letter
    assert (("ook in uw telefooncentrale", "your telephone system too")[at] in letter) == (kind in shared)


@pytest.mark.parametrize("right", ["erasure", "objection"])
def test_a_letter_says_when_the_last_place_was_treated(undone: Desk, right: Right) -> None:
    """A request that is blocked goes on for days. The backups of these days have what was not treated yet."""
    number = undone.open(OTHER, ANOTHERS, right=right, kind="agent")
    undone.bring(number, "answered")
    undone.owner.execute(
        "update privacy.request set begun_at = begun_at - interval '9 days' where number = %s", [number]
    )
    found, evidence = register.request(undone.officer, number), register.evidence(undone.officer, number)
    settings = undone.callmart.settings.model_copy(update={"backup_kept_days": 30})
    letter = letters.answer(undone.owner, settings, found, evidence)

    def said(day: date) -> bool:
        return f"{day.day} {day:%B %Y}" in letter

    begun = TODAY - timedelta(days=9)
    assert said(TODAY) and not said(begun)
    gone = [said(day + timedelta(days=30)) for day in (TODAY, begun)]
    assert gone == [right == "erasure", False]


@pytest.mark.parametrize("right", RIGHTS)
@pytest.mark.parametrize("instructed", [False, True])
def test_what_is_shared_is_shown_to_nobody_and_changed_only_on_an_instruction(
    undone: Desk, right: Right, instructed: bool
) -> None:
    number = undone.open(ONE, CONTACT, right=right, kind="agent")
    undone.verify(number, alone=False, instructed=instructed, by_consent=right == "withdrawal")
    if instructed and right not in ("access", "portability"):
        undone.plan(number)
        with pytest.raises(UserError, match="is planned"):
            undone.answer(number)
        return
    with pytest.raises(UserError, match="about what several persons share"):
        undone.plan(number)
    undone.answer(number)
    found = register.request(undone.officer, number)
    settings = undone.callmart.settings.model_copy(update={"backup_kept_days": 30})
    letter = " ".join(letters.answer(undone.owner, settings, found, []).split())
    assert "bij meer dan één persoon hoort" in letter and "uitgevoerd" not in letter


@pytest.mark.parametrize("right", RIGHTS)
def test_the_contact_can_withdraw_what_is_not_done_yet(undone: Desk, right: Right) -> None:
    """Or it was entered by mistake. A package can be made and not sent."""
    for why in "withdrawn by the contact", "entered by mistake":
        number = undone.open(ONE, CONTACT, right=right, kind="agent")
        undone.verify(number, by_consent=True if right == "withdrawal" else None)
        gives_package = right in ("access", "portability")
        undone.bring(number, "proving" if gives_package else "approved")
        register.refuse(undone.officer, number, why)
        ended = register.request(undone.officer, number)
        assert (ended.state, ended.refused_why, ended.days_left) == ("refused", why, None)


def test_a_withdrawal_says_whether_consent_was_the_reason(undone: Desk) -> None:
    number = undone.open(ONE, CONTACT, right="withdrawal", kind="agent")
    with pytest.raises(UserError, match="--by-consent or --not-by-consent"):
        undone.verify(number)
    for said in (True, False):
        undone.verify(number, by_consent=said)
        assert register.request(undone.officer, number).is_by_consent is said
    other = undone.open(ONE, CONTACT, right="objection", kind="agent")
    undone.verify(other, by_consent=True)
    assert register.request(undone.officer, other).is_by_consent is None, "said of a withdrawal only"


@pytest.mark.parametrize("right", RIGHTS)
def test_what_must_stay_done_is_in_the_ledger_and_what_erases_is_controlled_before(
    undone: Desk, right: Right
) -> None:
    number = undone.open(ONE, CONTACT, right=right, kind="agent")
    undone.verify(number, by_consent=True if right == "withdrawal" else None)
    undone.bring(number, "approved")
    register.begin_doing(undone.officer, number, "0123456789abcdef")

    def missing() -> str | None:
        try:
            register.note_step(undone.owner, number, "events", "treat", PLAN["events"])
        except UserError as mistake:
            return "ledger" if "ledger" in str(mistake) else "control"
        return None

    needed = {missing()}
    undone.enter(number)
    needed.add(missing())
    register.note_step(undone.owner, number, "server files", "control", {})
    assert missing() is None
    wanted = {"ledger"} if right not in ("access", "portability", "rectification") else set()
    wanted |= {"control"} if right in ("erasure", "withdrawal") else set()
    assert needed - {None} == wanted


def test_one_person_can_ask_for_several_rights_at_once(undone: Desk) -> None:
    undone.open(ONE, CONTACT, right="access")
    assert undone.open(ONE, CONTACT, right="erasure")
    with pytest.raises(UserError, match="is about the same person, and still open"):
        undone.open(ONE, CONTACT, right="access")


@pytest.mark.parametrize("kind", get_args(plans.Kind))
def test_whatever_changes_on_tableau_can_be_noted_as_evidence(undone: Desk, kind: plans.Kind) -> None:
    """Permissions, warnings and settings of a site could not: `do` broke off after it had published them."""
    number = undone.open(ONE, CONTACT)
    undone.bring(number, "approved")
    undone.begin(number)
    register.note_step(undone.owner, number, "tableau content", "treat", {places.counted(kind): 1})
    noted = [one.counts for one in register.evidence(undone.officer, number) if one.step == "treat"]
    assert noted == [{places.counted(kind): 1}]
