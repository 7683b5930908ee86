"""Access and portability: from the letter to the package, which only who asked can open, and to its end."""

import io
import json
import os
import re
import shutil
import stat
import subprocess
import zipfile
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pyrage
import pytest

from callmart.access import logins
from callmart.base.errors import UserError
from callmart.base.needles import Needles
from callmart.base.person import Blocked, Counts, Kind, Work
from callmart.base.progress import quietly
from callmart.base.secret_files import secret_file
from callmart.base.settings import Settings
from callmart.database import clock
from callmart.operations import stages
from callmart.privacy import disclosing, register
from callmart.privacy.package import sealing, shelf
from callmart.privacy.package.shelf import Packages
from callmart.privacy.procedure import Steps
from callmart_home import Callmart
from centre import ANONYMOUS, DAYS, NAMED, STANDARD
from erasures import ANOTHER, CALLER, CONTACT, LEAVER, STAYER, case, given_up, of
from requests_of_persons import APPROVERS_PASSWORD, Command, Desk, choose_password, mistake
from today import TODAY

pytestmark = [pytest.mark.server, pytest.mark.dated]

REQUEST = 7


@pytest.fixture(scope="module")
def desk(home: Callmart) -> Iterator[Desk]:
    """The owner, the officer and the approver, where persons are."""
    choose_password(home)
    with (
        home.connect() as owner,
        logins.connect(home.settings, "privacy_officer") as officer,
        logins.connect(home.settings, "privacy_approver", APPROVERS_PASSWORD) as approver,
    ):
        owner.autocommit = officer.autocommit = approver.autocommit = True
        yield Desk(home, owner, officer, approver)


@pytest.fixture
def sealed(home: Callmart, work: Work, tmp_path: Path, unprinted: None) -> Iterator[pyrage.x25519.Identity]:
    """Packages are encrypted to a key, of which this is the private part; afterwards there are none."""
    identity, file = key_pair(tmp_path)
    work.seal = sealing.to_key(file)
    yield identity
    shutil.rmtree(shelf.folder(home.settings), ignore_errors=True)


def key_pair(folder: Path) -> tuple[pyrage.x25519.Identity, Path]:
    """A key of age, and the file with its public part, as age-keygen writes it."""
    identity = pyrage.x25519.Identity.generate()
    file = folder / "key.txt"
    file.write_text(f"# created: {TODAY}\n{identity.to_public()}\n")
    return identity, file


def there(settings: Settings) -> list[Path]:
    """All files of packages."""
    return list(shelf.folder(settings).glob("**/*.*"))


def make(work: Work, kind: Kind, word: str, request: int = REQUEST) -> Path:
    """Make a package, without a register; returns its file."""
    disclosing.do(case(work, of(work, kind, word), request), Steps())
    return shelf.path(work.settings, NAMED, request)


def opened(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def ask(command: Command, desk: Desk, right: str, kind: Kind, word: str) -> int:
    """Bring a request as far as its plan is approved."""
    entered = command("open", "--customer", NAMED, "--kind", kind, "--right", right, lines=(CONTACT, word))
    assert entered.code == 0, entered
    number = max(one.number for one in register.requests(desk.officer))
    assert command("verify", number, "--how", "code", "--alone").code == 0
    approve(command, number, word)
    return number


def approve(command: Command, number: int, word: str) -> None:
    planned = command("plan", number, lines=(word, ""))
    assert planned.code == 0, planned
    assert command("approve", number, lines=(APPROVERS_PASSWORD, "y")).code == 0


# -- from letter to answer -------------------------------------------------------------------------------------------


def test_a_caller_gets_a_package_that_only_who_asked_can_open(
    desk: Desk, command: Command, home: Callmart, tmp_path: Path
) -> None:
    identity, public_key = key_pair(tmp_path)
    number = ask(command, desk, "access", "caller", CALLER)
    done = command("do", number, "--public-key", public_key, lines=(CALLER,))
    assert done.code == 0, done
    file = shelf.path(home.settings, NAMED, number)
    assert f"package: {file}" in done.out and "passphrase" not in done.out
    assert [stat.S_IMODE(path.stat().st_mode) for path in (file, file.parent)] == [0o600, 0o700]
    files = opened(pyrage.decrypt(file.read_bytes(), [identity]))
    assert {"gegevens.html", "gegevens.pdf", "data.html", "data.pdf", "data.json"} <= set(files)
    told = {one["name"]: one["rows"] for one in json.loads(files["data.json"])["tables"]}
    assert [row["event"] for row in told["raw.event"]] == ["queue_joined", "queue_left"] * 3
    assert len(told["raw.call"]) == 3
    with pytest.raises(pyrage.DecryptError):
        pyrage.decrypt(file.read_bytes(), [pyrage.x25519.Identity.generate()])

    proved = command("prove", number, lines=(CALLER,))
    assert proved.code == 0 and "all is as it should be" in proved.out, proved
    letter = " ".join(command("answer", number).out.split())
    assert "om inzage" in letter and "versleuteld met de openbare sleutel" in letter
    assert "- de gespreks- en statusgegevens: 9" in letter
    assert file.exists()
    assert command("close", number).code == 0
    assert there(home.settings) == []


@pytest.mark.usefixtures("unprinted")
def test_without_a_key_it_gets_a_passphrase_that_is_told_once(
    desk: Desk, command: Command, home: Callmart
) -> None:
    number = ask(command, desk, "portability", "contact", CONTACT)
    done = command("do", number, lines=(CONTACT,))
    (passphrase,) = re.findall(r"^passphrase: (\S+)$", done.out, re.MULTILINE)
    assert re.fullmatch(r"([a-z2-9]{4}-){5}[a-z2-9]{4}", passphrase)
    file = shelf.path(home.settings, NAMED, number)
    files = opened(pyrage.passphrase.decrypt(file.read_bytes(), passphrase))
    assert b"Piet Jansen-Vries" in files["csv/registry.contact.csv"]
    assert passphrase not in "".join(path.read_text() for path in file.parent.glob("*.json"))
    assert command("prove", number, lines=(CONTACT,)).code == 0
    letter = " ".join(command("answer", number).out.split())
    assert "om overdracht" in letter and "versleuteld met een wachtzin" in letter and passphrase not in letter
    assert command("close", number).code == 0


@pytest.mark.usefixtures("unprinted")
def test_what_came_since_is_in_no_package_that_is_proved(
    desk: Desk, command: Command, home: Callmart, tmp_path: Path
) -> None:
    """It is planned, approved and made again."""
    _, public_key = key_pair(tmp_path)
    do = ("--public-key", public_key)
    number = ask(command, desk, "access", "caller", ANOTHER)
    land(home, "08:00")
    said = mistake(command("do", number, *do, lines=(ANOTHER,)))
    assert "the data has changed since the plan was approved" in said
    assert there(home.settings) == []
    approve(command, number, ANOTHER)
    assert command("do", number, *do, lines=(ANOTHER,)).code == 0
    land(home, "08:30")
    proved = command("prove", number, lines=(ANOTHER,))
    assert proved.code == 1 and "has changed since it was made" in proved.err
    assert register.request(desk.officer, number).blocked_code == "package"
    assert "is blocked by packages" in mistake(command("answer", number))
    approve(command, number, ANOTHER)
    assert command("do", number, *do, lines=(ANOTHER,)).code == 0
    assert command("prove", number, lines=(ANOTHER,)).code == 0
    shelf.forget(home.settings, number)
    assert "is gone, as it goes after 14 days and when another contact takes" in mistake(
        command("answer", number)
    )
    assert command("do", number, *do, lines=(ANOTHER,)).code == 0
    assert command("prove", number, lines=(ANOTHER,)).code == 0
    assert command("answer", number).code == 0
    assert command("close", number).code == 0


def land(home: Callmart, clock: str) -> None:
    """Another call of ANOTHER."""
    home.land_together({NAMED: given_up(ANOTHER, DAYS[1], clock)})
    next(home.home.glob("landed-*")).unlink()


def test_what_is_shared_is_in_no_package(desk: Desk, command: Command, home: Callmart) -> None:
    for right in ("access", "portability"):
        opened = ("open", "--customer", NAMED, "--kind", "caller", "--right", right)
        assert command(*opened, lines=(CONTACT, CALLER)).code == 0
        number = max(one.number for one in register.requests(desk.officer))
        assert command("verify", number, "--how", "code", "--shared", "--written-instruction").code == 0
        assert "so nobody gets it" in mistake(command("plan", number, lines=(CALLER,)))
        assert mistake(command("do", number, lines=(CALLER,)))
        assert there(home.settings) == []
        assert "aan niemand zien" in " ".join(command("answer", number).out.split())
        assert command("close", number).code == 0


@pytest.mark.thorough
def test_who_takes_a_request_over_gets_a_package_of_the_own(
    desk: Desk, command: Command, home: Callmart, tmp_path: Path
) -> None:
    """The first one is for a contact who may not ask any more, and has its passphrase."""
    number = ask(command, desk, "access", "caller", CALLER)
    done = command("do", number, lines=(CALLER,))
    (former,) = re.findall(r"^passphrase: (\S+)$", done.out, re.MULTILINE)
    assert command("prove", number, lines=(CALLER,)).code == 0
    desk.owner.execute("update registry.contact set authorised = email <> %s", [CONTACT])
    assert "not an authorised contact" in mistake(command("answer", number))
    taken = ("verify", number, "--how", "code", "--alone", "--take-over")
    assert "not an authorised contact" in mistake(command(*taken, lines=("planner@een.example",)))
    assert there(home.settings), "who may not ask changes nothing"
    assert command(*taken, lines=("q@een.example",)).code == 0
    assert there(home.settings) == []
    assert "when another contact takes the request over: make it again" in mistake(command("answer", number))
    identity, public_key = key_pair(tmp_path)
    assert command("do", number, "--public-key", public_key, lines=(CALLER,)).code == 0
    assert command("prove", number, lines=(CALLER,)).code == 0
    assert command("answer", number).code == 0
    file = shelf.path(home.settings, NAMED, number).read_bytes()
    assert opened(pyrage.decrypt(file, [identity]))
    with pytest.raises(pyrage.DecryptError):
        pyrage.passphrase.decrypt(file, former)
    desk.owner.execute("update registry.contact set authorised = true")
    assert command("close", number).code == 0


@pytest.mark.usefixtures("sealed")
def test_a_refused_request_leaves_no_package(
    desk: Desk, command: Command, home: Callmart, work: Work
) -> None:
    opened = ("open", "--customer", NAMED, "--kind", "caller", "--right", "access")
    assert command(*opened, lines=(CONTACT, CALLER)).code == 0
    number = max(one.number for one in register.requests(desk.officer))
    make(work, "caller", CALLER, number)
    assert command("refuse", number, "--because", "identity").code == 0
    assert there(home.settings) == []


def test_an_erasure_makes_no_package(desk: Desk, command: Command, tmp_path: Path) -> None:
    number = ask(command, desk, "erasure", "caller", CALLER)
    said = mistake(command("do", number, "--public-key", key_pair(tmp_path)[1], lines=(CALLER,)))
    assert said == f"request {number} is for erasure, which makes no package: leave out --public-key"


WRONG_KEYS = {
    "nothing": ("", "has 0 lines with a key"),
    "two keys": ("age1a\nage1b\n", "has 2 lines with a key"),
    "a private key of age": ("AGE-SECRET-KEY-1QQ", "has a private key, which nobody else may have"),
    "a private key of SSH": ("-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n", "has a private key"),
    "a word": ("hello", "has no public key: it begins with age1, ssh-ed25519 or ssh-rsa"),
    "a key that is cut off": ("age1ztn3we79knjyt3844rmu70pxruy035rf", "is damaged or cut off, or of a kind"),
    "OpenPGP": ("-----BEGIN PGP PUBLIC KEY BLOCK-----", "has no public key"),
}


@pytest.mark.parametrize(("text", "why"), WRONG_KEYS.values(), ids=WRONG_KEYS)
def test_a_wrong_key_is_one_sentence(tmp_path: Path, text: str, why: str) -> None:
    file = tmp_path / "key.txt"
    file.write_text(text)
    with pytest.raises(UserError) as refusal:
        sealing.to_key(file)
    assert why in str(refusal.value)
    assert not text or text.splitlines()[0] not in str(refusal.value), "it quotes no key"


def test_a_key_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="can't be read: name the file with the public key"):
        sealing.to_key(tmp_path / "nowhere")
    (tmp_path / "binary").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match="can't be read"):
        sealing.to_key(tmp_path / "binary")


# -- the folder ------------------------------------------------------------------------------------------------------


@pytest.mark.usefixtures("sealed")
def test_an_erasure_finds_and_removes_what_was_made_for_the_person(work: Work) -> None:
    """Nobody here can read a package; whose it is, its note knows."""
    made = {"agent": LEAVER, "caller": CALLER, "contact": CONTACT}
    for number, (kind, word) in enumerate(made.items(), 1):
        make(work, kind, word, number)  # type: ignore[arg-type]
    place = Packages()
    assert place.find(work, of(work, "agent", STAYER)) == {}
    assert place.find(work, of(work, "caller", ANOTHER)) == {}
    # The agent is a recipient as well, and whoever is erased as that is in the agent's package.
    assert place.find(work, of(work, "recipient", "noor@EXAMPLE.org")) == {"packages": 1}
    for number, (kind, word) in enumerate(made.items(), 1):
        person = of(work, kind, word)  # type: ignore[arg-type]
        work.needles = Needles(person.words | person.keys)
        assert place.find(work, person) == place.prove(work, person).left == {"packages": 1}
        assert place.treat(work, person) == {"packages": 1}
        proof = place.prove(work, person)
        assert (proof.left, proof.searched) == ({}, Counts({"files": 6 - 2 * number}) if number < 3 else {})
        assert not shelf.path(work.settings, NAMED, number).exists()
    assert there(work.settings) == []


@pytest.mark.usefixtures("sealed")
def test_without_the_key_of_the_customer_nobody_knows_whose_they_are(
    work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(work, "caller", CALLER)
    person = of(work, "caller", CALLER)
    monkeypatch.setattr(shelf, "customer_key", lambda *_: None)
    with pytest.raises(Blocked, match="has packages and no key"):
        Packages().find(work, person)


@pytest.mark.usefixtures("sealed")
def test_of_a_package_from_before_the_key_changed_nobody_knows_whose_it_is(work: Work) -> None:
    """So an erasure removes it, whoever it is about."""
    file = make(work, "caller", CALLER)
    note = file.with_name(f"request-{REQUEST}.json")
    other = of(work, "caller", ANOTHER)
    assert Packages().find(work, other) == {}
    note.write_text(re.sub(r'"key":"[0-9a-f]+"', '"key":"0123456789abcdef"', note.read_text()))
    assert Packages().treat(work, other) == {"packages": 1}
    assert not file.exists()


@pytest.mark.usefixtures("sealed")
def test_neither_package_nor_note_says_whose_it_is(work: Work) -> None:
    file = make(work, "agent", LEAVER)
    person = of(work, "agent", LEAVER)
    needles = Needles(person.words | person.keys)
    assert len(needles)
    assert not any(needles.in_file(path) for path in file.parent.iterdir())


@pytest.mark.usefixtures("sealed")
def test_a_package_goes_after_two_weeks_with_its_customer_and_without_a_note(
    home: Callmart, work: Work
) -> None:
    connection, settings = work.connection, home.settings
    file = make(work, "caller", CALLER)
    kept = TODAY + timedelta(days=shelf.KEPT_DAYS - 1)
    assert shelf.tidy(connection, settings, kept) == 0 and file.exists()
    assert shelf.tidy(connection, settings, kept + timedelta(days=1)) == 1
    assert there(settings) == []

    make(work, "caller", CALLER, 1)
    shutil.move(shelf.path(settings, NAMED, 1).parent, shelf.folder(settings) / "4711")
    (note,) = shelf.folder(settings).glob("*/*.json")
    note.write_text(note.read_text().replace(str(NAMED), "4711"))
    assert shelf.tidy(connection, settings, TODAY) == 1, "a customer who has left"

    make(work, "caller", CALLER, 2)
    for left in ("request-3.zip.age", "request-2.zip.age.new", "request-4.json.new"):
        (file.parent / left).write_bytes(b"left by a kill")
    shelf.path(settings, NAMED, 2).with_name("request-2.json").unlink()
    assert shelf.tidy(connection, settings, TODAY) == 2
    assert there(settings) == []


@pytest.mark.usefixtures("sealed")
def test_what_is_no_note_keeps_no_other_package(home: Callmart, work: Work) -> None:
    connection, settings = work.connection, home.settings
    file = make(work, "caller", CALLER)
    (file.parent / "data.json").write_text("{}")  # somebody has unpacked a package there
    assert Packages().find(work, of(work, "caller", CALLER)) == {"packages": 1}
    wrong = file.with_name("request-1.json")
    wrong.write_text("{}")
    with pytest.raises(UserError, match=r"request-1\.json is no note of a package"):
        shelf.tidy(connection, settings, TODAY + timedelta(days=shelf.KEPT_DAYS))
    assert there(settings) == [wrong]
    wrong.unlink()
    assert shelf.tidy(connection, settings, TODAY) == 0


@pytest.mark.usefixtures("sealed")
def test_the_nightly_run_removes_it(home: Callmart, work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    file = make(work, "caller", CALLER)
    work.connection.commit()
    monkeypatch.setattr(clock, "require", lambda *_: TODAY + timedelta(days=14))
    ran = stages.Ran()
    stages.remove_packages(work.connection, home.settings, ran, quietly)
    assert (ran.expired, file.exists()) == (1, False)


@pytest.mark.usefixtures("sealed")
def test_a_note_that_is_none_is_named(work: Work) -> None:
    file = make(work, "caller", CALLER)
    note = file.with_name(f"request-{REQUEST}.json")
    note.write_text("{}")
    with pytest.raises(UserError, match=r"request-7.json is no note of a package: remove it"):
        Packages().find(work, of(work, "caller", CALLER))


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize("written", [0, 1])
def test_killed_while_it_is_written_the_same_command_finishes(
    work: Work, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """No package is ever without the note that lets an erasure find it."""
    inner, files = secret_file, list[Path]()

    class Killed(BaseException):
        pass

    def killed(path: Path, content: Any) -> None:
        if len(files) == written:
            raise Killed
        files.append(path)
        inner(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(shelf, "secret_file", killed)
        with pytest.raises(Killed):
            make(work, "caller", CALLER)
    person = of(work, "caller", CALLER)
    assert not shelf.path(work.settings, NAMED, REQUEST).exists()
    with pytest.raises(Blocked, match="make it again"):
        disclosing.prove(case(work, person, REQUEST), quietly)
    make(work, "caller", CALLER)
    proofs: dict[str, Any] = {}
    disclosing.prove(case(work, person, REQUEST), proofs.__setitem__)
    assert not any(proof.left for proof in proofs.values()) and proofs["packages"].searched


@pytest.mark.usefixtures("sealed")
@pytest.mark.parametrize("change", ["another file", "another person's"])
def test_only_the_package_that_was_made_is_proved(work: Work, change: str) -> None:
    file = make(work, "caller", CALLER)
    if change == "another file":
        file.write_bytes(file.read_bytes() + b"more")
    else:
        make(work, "caller", ANOTHER)
    with pytest.raises(Blocked, match="make it again"):
        disclosing.prove(case(work, of(work, "caller", CALLER), REQUEST), quietly)


# -- what a customer is told -----------------------------------------------------------------------------------------


def test_a_customer_is_told_what_is_kept_of_it_and_every_request(desk: Desk, command: Command) -> None:
    number = desk.open(NAMED, CONTACT)
    said = command("report", "--customer", NAMED, "--json")
    document = json.loads(said.out)
    kept = {one["table"]: one for one in document["kept"]}
    assert kept["registry.agent"]["persons"] == {"agents": 4, "addresses": 1}
    assert kept["raw.event"]["persons"]["agents"] == 4 and kept["raw.event"]["persons"]["numbers"] > 50
    assert (kept["raw.event"]["first"], kept["raw.event"]["last"]) == (str(DAYS[0]), str(DAYS[-1]))
    assert kept["store.queue_day"]["persons"] == {}
    assert [one["number"] for one in document["requests"]] == [number]
    shown = command("report", "--customer", NAMED)
    assert "nobody" in shown.out and "two years" in shown.out and "raw.event" in shown.out
    for word in (CONTACT, "Zandvliet", LEAVER):
        assert word not in said.out + shown.out
    assert "no requests" in command("report", "--customer", ANONYMOUS).out
    assert "there is no customer 9999" in mistake(command("report", "--customer", "9999"))


def test_of_a_standard_customer_nobody_is_kept_by_name(command: Command) -> None:
    kept = json.loads(command("report", "--customer", STANDARD, "--json").out)["kept"]
    assert not any(one["table"].startswith("store.agent") for one in kept)
    assert {one["table"]: one["persons"] for one in kept}["registry.customer"] == {}


# -- its standard tool -----------------------------------------------------------------------------------------------


@pytest.mark.external
def test_the_program_age_opens_it(work: Work, sealed: pyrage.x25519.Identity, tmp_path: Path) -> None:
    file = make(work, "caller", CALLER)
    (tmp_path / "identity").write_text(str(sealed))
    opening = [
        "age",
        "--decrypt",
        "--identity",
        str(tmp_path / "identity"),
        "--output",
        "package.zip",
        str(file),
    ]
    subprocess.run(opening, cwd=tmp_path, check=True, env={"PATH": os.environ["PATH"]})
    assert "data.json" in opened((tmp_path / "package.zip").read_bytes())
