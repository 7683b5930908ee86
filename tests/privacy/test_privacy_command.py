"""`callmart privacy` as an officer and an approver use it: what they enter, what the screen says, and the letter."""

import io
import json
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer

from callmart.access import logins
from callmart.base.errors import UserError
from callmart.base.keys import fingerprint_of, key_file, new_key
from callmart.base.secret_files import secret_file
from callmart.cli import main, persons_asked, terminal
from callmart.database import lock, restoring
from callmart.privacy import kept, letters, places, register, subject
from requests_of_persons import APPROVERS_PASSWORD, HASH, PLAN, Command, Desk, Said, mistake
from rotations import rotate
from today import TODAY

pytestmark = pytest.mark.dated

ONE, OTHER, GONE = 1, 2, 3
CONTACT, ANOTHERS = "p@een.example", "s@other.example"


def test_a_request_from_letter_to_answer(
    desk: Desk, command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    yesterday = TODAY - timedelta(days=1)
    said = command(
        "open",
        "--customer",
        ONE,
        "--kind",
        "caller",
        "--received",
        yesterday,
        lines=(CONTACT, "06-12 34 56 78"),
    )
    (found,) = register.requests(desk.officer)
    number = found.number
    assert said == Said(
        0,
        f"request {number} of customer 1: answer it by {yesterday + timedelta(days=28)} at the latest (27 days); "
        f"check who asks, then `callmart privacy verify {number}`\n",
        "",
    )
    said = command("verify", number, "--how", "called-back", "--alone")
    assert said.out == f"request {number}: the contact is known; `callmart privacy plan {number}` is next\n"
    desk.plan(number)
    assert mistake(command("approve", number, lines=("not this one",))).startswith("that is not the password")
    said = command("approve", number, lines=(APPROVERS_PASSWORD, "n"))
    assert said.code == 2 and "was not approved" in said.err
    said = command("approve", number, lines=(APPROVERS_PASSWORD,))
    assert said.code == 2 and "standard input has ended before the answer" in said.err
    assert "opened by callmart_privacy_officer, planned by callmart_privacy_officer" in said.out.replace(
        "\n", " "
    )
    assert [line.split() for line in said.out.splitlines() if "in calls" in line] == [
        ["events", "events", "in", "calls", "12"]
    ]
    assert f"plan {HASH}" in said.err
    assert "has another plan" in mistake(
        command("approve", number, "--plan", "f" * 16, lines=(APPROVERS_PASSWORD,))
    )
    said = command("approve", number, lines=(APPROVERS_PASSWORD, "y"))
    assert said.out.endswith(f"request {number}: approved; `callmart privacy do {number}` is next\n")
    desk.do(number)
    desk.prove(number, to_attest=1)
    assert mistake(command("answer", number, backup_kept_days=None)).startswith("setting backup_kept_days: ")
    assert desk.state(number) == "proving"
    letter = tmp_path / "letter.txt"
    monkeypatch.chdir(tmp_path)
    said = command(
        "answer", number, "--out", letter.name
    )  # the whole path: the command can have another folder
    assert said.out.startswith(f"request {number}: answered; send {letter}")
    assert letter.stat().st_mode & 0o777 == 0o600
    assert command("answer", number).out == letter.read_text(), "again, it only writes the letter"
    what_is_kept = desk.callmart.home / "privacy" / f"request-{number}"
    what_is_kept.parent.mkdir(exist_ok=True)
    what_is_kept.touch()
    assert '--attested "server files"' in mistake(command("close", number))
    assert what_is_kept.exists()
    assert command("close", number, "--attested", "server files").code == 0
    assert not what_is_kept.exists(), "it was answered as shared, so nothing was proved"
    assert "has ended" in mistake(command("refuse", number, "--because", "identity"))

    text = " ".join(letter.read_text().split())
    assert f"uw verzoek nummer {number} tot verwijdering (Een)" in text
    assert "de gegevens van een beller te verwijderen" in text
    assert "door u terug te bellen op het nummer uit het contract" in text
    assert "- de gespreks- en statusgegevens: 14 gevonden, 0 over" in text
    waits = text.partition("moet iemand nog bevestigen dat het ook hier gedaan is:")[2]
    assert waits.startswith(" - de schijfruimte en het log van de databaseserver Wat blijft")
    gone = TODAY + timedelta(days=30)
    assert f"is weg op {gone.day}-{gone.month}-{gone.year}" in text
    for word in ("12 34", "612345678", CONTACT, "P. Een"):
        assert word not in text


def test_what_was_done_is_shown_with_when_and_by_which_login(desk: Desk, command: Command) -> None:
    number = desk.open(ONE, CONTACT)
    desk.bring(number, "executing")
    desk.prove(number, to_attest=1)
    desk.answer(number)
    assert command("close", number, "--attested", "server files").code == 0
    told = json.loads(command("status", number, "--json").out)
    steps = {(one["step"], one["actor"].removeprefix("callmart_")) for one in told["log"]}
    assert {("identified", "privacy_officer"), ("approved", "privacy_approver"), ("prove", "owner")} < steps
    assert told["log"][-2]["details"] == {"place": "server files"}, "who attested that"
    assert {one["step"] for one in told["evidence"]} == {"find", "control", "treat", "prove", "attest"}
    shown = command("status", number).out
    assert all(
        word in shown for word in ("callmart_privacy_approver", "how: code", "events in calls", "left")
    )
    assert "there is no request 999" in mistake(command("status", 999))


def test_the_letter_in_english_says_that_something_is_shared_or_was_not_there(
    desk: Desk, command: Command
) -> None:
    number = desk.open(OTHER, ANOTHERS)
    assert command("verify", number, "--how", "code", "--shared").code == 0
    letter = " ".join(command("answer", number).out.split())
    assert "You told us that the number belongs to more than one person." in letter
    assert "we have erased nothing" in letter
    assert command("close", number).code == 0

    number = desk.open(OTHER, ANOTHERS)
    assert command("verify", number, "--how", "code", "--shared", "--written-instruction").code == 0
    desk.plan(number, plan={place: {} for place in PLAN})
    desk.bring(number, "proving")
    letter = " ".join(command("answer", number, backup_kept_days=0).out.split())
    assert "We found nothing of this person anywhere." in letter
    assert "On your written instruction, what is of the others was erased too." in letter
    assert "backup" not in letter


SPELLINGS = ["0612345678", "+31 6 12345678", "+31(0)6-12345678", "0031612345678", " 06 12.34.56.78 "]


def test_every_spelling_of_a_number_is_one_person(desk: Desk, command: Command) -> None:
    first, *others = SPELLINGS
    assert command("open", "--customer", ONE, "--kind", "caller", lines=(CONTACT, first)).code == 0
    (found,) = register.requests(desk.officer)
    for spelt in others:
        said = mistake(command("open", "--customer", ONE, "--kind", "caller", lines=(CONTACT, spelt)))
        assert said == f"request {found.number} is about the same person, and still open: go on with that"
    key = key_file(desk.callmart.home, ONE).read_bytes()
    assert register.is_about(desk.officer, found.number, subject.subject(key, "caller", "+31612345678"))
    assert not register.is_about(desk.officer, found.number, subject.subject(key, "agent", "+31612345678"))
    assert not register.is_about(
        desk.officer, found.number, subject.subject(bytes(32), "caller", "+31612345678")
    )


WRONG = {
    "a number that is none": ("caller", "call me", "that is not a telephone number"),
    "a number that is withheld": ("caller", "anonymous", "that is not a telephone number"),
    "nothing": ("caller", "", "that is not a telephone number"),
    "an address that is none": ("contact", "P. Een", "that is not a mail address"),
    "an address with a blank": ("recipient", "p @een.example", "that is not a mail address"),
    "a name of one": ("agent", "ada eerste", "that is the name of 1 agent and no id"),
    "a name of two": ("agent", "Bo Tweede", "that is the name of 2 agents and no id"),
    "no id": ("agent", " ", "that is empty"),
}


@pytest.mark.parametrize(("kind", "word", "why"), WRONG.values(), ids=WRONG)
def test_a_word_that_can_be_nobody_is_one_sentence(
    desk: Desk, command: Command, kind: str, word: str, why: str
) -> None:
    said = mistake(command("open", "--customer", ONE, "--kind", kind, lines=(CONTACT, word)))
    assert said.startswith(why)
    assert not word.strip() or word not in said
    assert register.requests(desk.officer) == []


def test_each_kind_of_person_can_be_entered(desk: Desk, command: Command) -> None:
    words = {"agent": "Not there", "caller": "0612345678", "contact": CONTACT, "recipient": "x@y.example"}
    for kind, word in words.items():
        assert command("open", "--customer", ONE, "--kind", kind, lines=(CONTACT, word)).code == 0
    assert [one.kind for one in register.requests(desk.officer)] == list(words)


def test_who_may_not_ask_is_refused_before_the_person_is_named(desk: Desk, command: Command) -> None:
    for customer in (ONE, GONE, 999):
        said = mistake(command("open", "--customer", customer, "--kind", "caller", lines=(ANOTHERS,)))
        assert "refused, as" in said and "other.example" not in said
    assert [one.state for one in register.requests(desk.officer)] == ["refused"] * 3
    lies = mistake(
        command(
            "open",
            "--customer",
            ONE,
            "--kind",
            "caller",
            "--received",
            "2999-01-01",
        )
    )
    assert "2999-01-01 lies ahead" in lies, "nothing is asked before"
    assert "is not a date" in mistake(
        command("open", "--customer", ONE, "--kind", "caller", "--received", "today")
    )
    assert "standard input has ended" in mistake(command("open", "--customer", ONE, "--kind", "caller"))


def test_a_letter_of_a_person_is_sent_on(desk: Desk, command: Command) -> None:
    said = command("forward", "--customer", ONE)
    (found,) = register.requests(desk.officer)
    assert said.out == (f"request {found.number}: send the letter on to customer 1 today, and keep no copy\n")
    assert found.state == "forwarded"


def test_another_contact_takes_over(desk: Desk, command: Command) -> None:
    number = desk.open(ONE, CONTACT)
    desk.owner.execute("update registry.contact set authorised = false where lower(email) = %s", [CONTACT])
    try:
        assert "is not an authorised contact of customer 1 any more" in mistake(
            command("verify", number, "--how", "code", "--alone")
        )
        said = command(
            "verify", number, "--how", "in-person", "--alone", "--take-over", lines=("q@een.example",)
        )
        assert said.code == 0, said
    finally:
        desk.owner.execute("update registry.contact set authorised = true where lower(email) = %s", [CONTACT])
    assert register.request(desk.officer, number).identified_how == "in_person"


def test_of_a_customer_that_came_back_the_person_is_asked_for_again(desk: Desk, command: Command) -> None:
    number = desk.open(ONE, CONTACT)
    desk.bring(number, "executing")
    left = desk.callmart.home / "privacy" / f"request-{number}"
    left.write_text("sealed with the former key")
    former = (
        "update registry.customer set key_fingerprint = %s where customer_id = 1 returning key_fingerprint"
    )
    new_key(desk.callmart.home, ONE)
    desk.owner.execute(former, [fingerprint_of(key_file(desk.callmart.home, ONE).read_bytes())])
    desk.owner.execute("update registry.contact set contact_key = null where customer_id = 1")
    assert "the customer left and came back" in mistake(command("do", number, lines=("0612345678",)))
    take_over = ("verify", number, "--how", "code", "--alone", "--take-over")
    assert command(*take_over, lines=(CONTACT, "06-1234 5678")).code == 0
    assert not left.exists()
    key = key_file(desk.callmart.home, ONE).read_bytes()
    assert register.is_about(desk.officer, number, subject.subject(key, "caller", "+31612345678"))
    assert desk.state(number) == "identified"
    desk.owner.execute(former, [None])
    key_file(desk.callmart.home, ONE).unlink()
    for step in (("plan", number), take_over):
        assert "the customer has left" in mistake(command(*step, lines=(CONTACT, "06-1234 5678")))
    assert command("refuse", number, "--because", "no-such-customer").code == 0
    new_key(desk.callmart.home, ONE)
    desk.owner.execute(former, [fingerprint_of(key_file(desk.callmart.home, ONE).read_bytes())])


def test_a_contact_of_an_earlier_version_gets_a_key_when_the_first_request_comes(
    desk: Desk, command: Command
) -> None:
    desk.owner.execute("update registry.contact set contact_key = null")
    assert command("open", "--customer", ONE, "--kind", "agent", lines=(CONTACT, "Agent/1")).code == 0


def test_a_missing_key_stops_before_anything_is_entered(desk: Desk, command: Command) -> None:
    key = key_file(desk.callmart.home, ONE)
    kept = key.read_bytes()
    key.unlink()
    try:
        said = mistake(command("open", "--customer", ONE, "--kind", "caller", lines=(CONTACT, "0612345678")))
    finally:
        key.write_bytes(kept)
    assert said.startswith("the key of customer 1 is missing")
    assert register.requests(desk.officer) == []


def test_a_missing_key_blocks_a_request_and_says_to_tell_the_contact(desk: Desk, command: Command) -> None:
    command("open", "--customer", ONE, "--kind", "caller", lines=(CONTACT, "0612345678"))
    (found,) = register.requests(desk.officer)
    command("verify", found.number, "--how", "code", "--alone")
    key = key_file(desk.callmart.home, ONE)
    away = key.rename(key.with_suffix(".away"))
    try:
        said = command("plan", found.number, lines=("0612345678",))
    finally:
        away.rename(key)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith(
        f"request {found.number} is blocked by keys and secrets: the key of customer 1 is missing"
    )
    assert "tell the contact why it takes longer (docs/privacy.md has the letter)" in said.err
    (found,) = register.requests(desk.officer)
    assert (found.blocked_place, found.blocked_code, found.state) == ("keys and secrets", "key", "identified")


def test_after_a_rotation_requests_are_about_the_same_persons(desk: Desk, command: Command) -> None:
    command("open", "--customer", ONE, "--kind", "caller", lines=(CONTACT, "0612345678"))
    (found,) = register.requests(desk.officer)
    command("verify", found.number, "--how", "code", "--alone")
    rotate(desk.callmart, ONE)
    key = key_file(desk.callmart.home, ONE).read_bytes()
    for number, same in (("+31612345678", True), ("+31612345679", False)):
        about = subject.subject(key, "caller", number)
        assert register.is_about(desk.officer, found.number, about) is same
    (after,) = register.requests(desk.officer)
    assert (after.customer_is, after.state) == ("here", "identified")
    again = ("open", "--customer", ONE, "--kind", "caller")
    assert "is about the same person, and still open" in mistake(
        command(*again, lines=(CONTACT, "06 12345678"))
    )
    assert command(*again, lines=(CONTACT, "0612345679")).code == 0, "the contact is known as before"


def test_what_is_entered_while_the_key_is_rotated_is_refused(
    desk: Desk, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would be about nobody, and its contact would be unknown."""
    asked = terminal.secret

    def meanwhile(*given: Any, **options: Any) -> str:
        rotate(desk.callmart, ONE)
        return asked(*given, **options)

    said = "nothing was entered, as the key of customer 1 was rotated meanwhile: enter it again"
    ask = ("open", "--customer", ONE, "--kind", "caller")
    with monkeypatch.context() as patched:
        patched.setattr(persons_asked, "secret", meanwhile)
        assert mistake(command(*ask, lines=(CONTACT, "0612345678"))) == said
        assert register.requests(desk.officer) == []
    number = desk.open(ONE, CONTACT)
    with monkeypatch.context() as patched:
        patched.setattr(persons_asked, "secret", meanwhile)
        over = ("verify", number, "--how", "code", "--alone", "--take-over")
        assert mistake(command(*over, lines=("q@een.example",))) == said
    assert desk.state(number) == "received"


def test_while_a_request_is_carried_out_its_key_stays(desk: Desk, command: Command) -> None:
    number = desk.open(ONE, CONTACT)
    desk.bring(number, "executing")
    for step in ("do", "prove", "answer"):
        if step == "prove":
            register.begin_proving(desk.officer, number)
        elif step == "answer":
            desk.prove(number)
        with pytest.raises(
            UserError, match=f"request {number} .* has begun; finish it with `callmart privacy {step}"
        ):
            rotate(desk.callmart, ONE)
    desk.owner.execute("delete from privacy.ledger_entry where request = %s", [number])
    with restoring.locked(desk.owner):
        restoring.begin(desk.owner, "backup")
        try:
            rotate(desk.callmart, ONE)
        finally:
            restoring.end(desk.owner)
    restoring.clear(desk.owner)


def test_while_it_is_done_again_nobody_else_proves_it(desk: Desk, command: Command) -> None:
    """The register would refuse what is done from then on."""
    assert command("open", "--customer", ONE, "--kind", "caller", lines=(CONTACT, "0612345678")).code == 0
    (number,) = (one.number for one in register.requests(desk.officer))
    desk.bring(number, "executing")
    with lock.exclusive(desk.owner):
        assert "another callmart run is at work" in mistake(command("prove", number, lines=("0612345678",)))
    assert desk.state(number) == "executing"


def test_what_the_registry_corrects_for_a_request_keeps_its_key(desk: Desk, command: Command) -> None:
    """Between `registry apply --request` and `do`."""
    number = desk.open(ONE, CONTACT)
    desk.bring(number, "approved")
    secret_file(desk.callmart.home / "privacy" / f"request-{number}", b"kept")
    with pytest.raises(
        UserError, match=f"request {number} .* has begun; finish it with `callmart privacy do"
    ):
        rotate(desk.callmart, ONE)
    kept.forget(desk.callmart.home, number)
    rotate(desk.callmart, ONE)


def test_at_a_terminal_it_is_hidden_and_asked_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr(sys, "stdin", type("Terminal", (), {"isatty": staticmethod(lambda: True)})())

    def prompt(what: str, default: object, **how: Any) -> str:
        asked.append({"what": what} | how)
        return "typed"

    monkeypatch.setattr(typer, "prompt", prompt)
    assert terminal.secret("number", twice=True) == "typed"
    assert (asked[0]["what"], asked[0]["hide_input"], asked[0]["confirmation_prompt"]) == (
        "number",
        True,
        True,
    )


def test_the_approver_chooses_a_password(
    desk: Desk,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    command("status")  # so that the command has these settings
    for typed, code in (("Kort1!", 2), (APPROVERS_PASSWORD, 0)):
        monkeypatch.setattr(sys, "argv", ["callmart", "access", "rotate", "--duty", "privacy_approver"])
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{typed}\n"))
        with pytest.raises(SystemExit) as end:
            main.main()
        assert int(end.value.code or 0) == code
        said = "".join(capsys.readouterr())
        assert typed not in said
    assert said == "access: the privacy_approver has a new password, and no file has it\n"
    chosen = desk.owner.execute(
        "select details ->> 'login' from ops.audit_log where action = 'password chosen' order by entry desc limit 1"
    )
    assert chosen.fetchone() == ("callmart_privacy_approver",)


def test_a_password_that_is_chosen_anew_ends_the_approvers_sessions(
    desk: Desk, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("status")  # so that the command has these settings
    with logins.connect(desk.callmart.settings, "privacy_approver", APPROVERS_PASSWORD) as approver:
        monkeypatch.setattr(sys, "argv", ["callmart", "access", "rotate", "--duty", "privacy_approver"])
        monkeypatch.setattr(sys, "stdin", io.StringIO(f"{APPROVERS_PASSWORD}\n"))
        with pytest.raises(SystemExit):
            main.main()
        with pytest.raises(psycopg.OperationalError):
            approver.execute("select 1")


def test_every_place_has_words_in_both_languages() -> None:
    assert letters.PLACES.keys() == {place.name for place in places.PLACES}
    for words in letters.PLACES.values():
        assert words.nl != words.en
