"""The folder of packages, CALLMART_HOME/packages: a folder per customer, in it a package per request, encrypted.

Beside each is a note that says whose it is, in tombstones of the person's keys. So an erasure finds a package that
nobody here can read any more. A package goes after two weeks, when its request ends, and with its customer.
"""

import hmac
import re
from collections.abc import Container, Iterable, Iterator
from datetime import date, timedelta
from hashlib import sha256
from pathlib import Path

import psycopg
from pydantic import ValidationError

from callmart.base import disk
from callmart.base.errors import UserError
from callmart.base.keys import fingerprint_of
from callmart.base.person import Blocked, Counts, Person, Proof, Work
from callmart.base.secret_files import secret_file
from callmart.base.settings import Settings
from callmart.base.strict import Listed, Strict
from callmart.database import fingerprints
from callmart.database.tombstones import Kind, pseudonyms, secret_of, tombstone
from callmart.privacy.procedure import Case
from callmart.privacy.subject import customer_key

KEPT_DAYS = 14


class Note(Strict):
    """What is known of a package without opening it."""

    request: int
    customer_id: int
    written: str  # the day
    key: str  # the fingerprint of the customer's key, with which the rest was made
    whose: Listed[str]  # tombstones of the person's keys
    content: str  # a keyed digest of what was encrypted
    sealed: str  # the digest of the file


def folder(settings: Settings) -> Path:
    """The folder of all packages."""
    return settings.home / disk.PACKAGES


def path(settings: Settings, customer_id: int, request: int) -> Path:
    """The package of a request."""
    return folder(settings) / str(customer_id) / f"request-{request}.zip.age"


def tombstones(key: bytes, of: Iterable[tuple[Kind, str]]) -> set[str]:
    """What the notes have of somebody, of whom these are the pseudonyms."""
    secret = secret_of(key)
    return {tombstone(secret, kind, pseudonym) for kind, pseudonym in of}


def write(case: Case, today: date, whose: set[str], content: bytes, sealed: bytes) -> None:
    """Write a package and its note. The note comes first: a package without one would be nobody's."""
    file = _file_of(case)
    file.unlink(missing_ok=True)
    note = Note(
        request=case.request, customer_id=case.person.customer_id, written=str(today), key=fingerprint_of(case.key),
        whose=tuple(sorted(whose)), content=_digest(case.key, content), sealed=sha256(sealed).hexdigest(),
    )  # fmt: skip
    secret_file(_note_of(file), note.model_dump_json())
    secret_file(file, sealed)
    disk.sync(file.parent)


def holds(case: Case, content: bytes) -> bool:
    """Whether the package of a request is there, as it was written, and has just this content."""
    file = _file_of(case)
    note = _read(_note_of(file))
    return (
        note is not None
        and file.is_file()
        and note.sealed == sha256(file.read_bytes()).hexdigest()
        and hmac.compare_digest(note.content, _digest(case.key, content))
    )


def require(settings: Settings, customer_id: int, request: int) -> None:
    """Raise UserError if the package of a request is not there any more."""
    if not path(settings, customer_id, request).is_file():
        raise UserError(
            f"the package of request {request} is gone, as it goes after {KEPT_DAYS} days and when another contact "
            f"takes the request over: make it again with `callmart privacy do {request}`, then prove it"
        )


def forget(settings: Settings, request: int) -> None:
    """Remove the package of a request, if there is one."""
    for left in folder(settings).glob(f"*/request-{request}.*"):
        left.unlink()
    _tidy_folders(settings)


def tidy(connection: psycopg.Connection, settings: Settings, today: date) -> int:
    """Remove the packages that are too old, and those of customers who have left. Returns how many.

    Raises UserError at the end if a note is none: it, and the package beside it, stay.
    """
    known = fingerprints.of_customers(connection)
    oldest = str(today - timedelta(days=KEPT_DAYS))
    removed = 0
    mistakes = []
    for file in list(disk.files(folder(settings))):
        try:
            note = _read(_note_of(file))
        except UserError as mistake:
            mistakes.append(mistake)
            continue
        if _is_over(note, known, oldest):
            file.unlink()
            removed += file.suffix == ".age"
    _tidy_folders(settings)
    if mistakes:
        raise mistakes[0]
    return removed


def overdue(connection: psycopg.Connection, settings: Settings, today: date) -> list[Path]:
    """The files that `tidy` would remove, and those that nobody can tell anything of."""
    known = fingerprints.of_customers(connection)
    oldest = str(today - timedelta(days=KEPT_DAYS))
    found = []
    for file in disk.files(folder(settings)):
        try:
            if _is_over(_read(_note_of(file)), known, oldest):
                found.append(file)
        except UserError:
            found.append(file)
    return found


def _is_over(note: Note | None, known: Container[int], oldest: str) -> bool:
    """Whether a package goes. What has no note was left by a kill."""
    return note is None or note.written <= oldest or note.customer_id not in known


def _tidy_folders(settings: Settings) -> None:
    for left in folder(settings).glob("*"):
        if left.is_dir() and not any(left.iterdir()):
            left.rmdir()


def _file_of(case: Case) -> Path:
    return path(case.work.settings, case.person.customer_id, case.request)


def _note_of(file: Path) -> Path:
    return file.with_name(f"{file.name.partition('.')[0]}.json")


def _read(note: Path) -> Note | None:
    """A note; None if there is none, as beside what somebody has unpacked there."""
    if not re.fullmatch(r"request-[0-9]+\.json", note.name):
        return None
    try:
        return Note.model_validate_json(note.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError:
        raise UserError(f"{note} is no note of a package: remove it, and the package beside it") from None


def _digest(key: bytes, content: bytes) -> str:
    return hmac.digest(key, b"package:" + sha256(content).digest(), "sha256").hex()


class Packages:
    """The packages that were made for requests of the person."""

    name = "packages"
    tables = ()
    paths = (
        f"{disk.PACKAGES}/*/request-#.zip.age*",
        f"{disk.PACKAGES}/*/request-#.json*",
    )  # each with its draft
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Count them."""
        return +Counts(packages=len(list(_of(work, person))))

    def treat(self, work: Work, person: Person) -> Counts:
        """Remove them, with their notes."""
        found = list(_of(work, person))
        for note in found:
            forget(work.settings, note.request)
        return +Counts(packages=len(found))

    def prove(self, work: Work, person: Person) -> Proof:
        """See that none is left, and search all notes."""
        files = disk.files(folder(work.settings))
        return Proof.of_files(map(work.needles.in_file, files), self.find(work, person))


def _of(work: Work, person: Person) -> Iterator[Note]:
    notes = list((folder(work.settings) / str(person.customer_id)).glob("request-*.json"))
    if not notes:
        return
    key = customer_key(work.connection, work.settings, person.customer_id)
    work.connection.rollback()
    if key is None:
        raise Blocked("failed", f"customer {person.customer_id} has packages and no key: run `callmart run`")
    own = tombstones(key, pseudonyms(person))
    for file in notes:
        note = _read(file)
        # Of what was made with a former key nobody knows whose it is.
        if note and (own & set(note.whose) or note.key != fingerprint_of(key)):
            yield note
