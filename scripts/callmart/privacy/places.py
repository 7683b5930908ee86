"""All places where a person can be, in the order in which they are treated, and whether they are all there are.

Each table of the database, each path in CALLMART_HOME and each kind of content on Tableau belongs to exactly one place.
What belongs to none is nobody's to treat, so it keeps a request open.
"""

import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar

import psycopg

from callmart.base import disk, evidence
from callmart.base.errors import UserError
from callmart.base.patterns import matching, tops
from callmart.base.person import Blocked, Counts, Person, Place, Proof, Work
from callmart.base.settings import Settings
from callmart.database.searching import Books, tables
from callmart.declarations import pointing
from callmart.environments.places import Environments
from callmart.extract.places import Extracts
from callmart.land.places import Doorway, Events
from callmart.mailing.places import Outbox
from callmart.opening.places import Computed, Marts
from callmart.privacy import server_files
from callmart.privacy.package.shelf import Packages
from callmart.privacy.procedure import OnProof, blocked
from callmart.publish import holdings
from callmart.publish.places import Content, Emulated, Members
from callmart.registry.places import Customers, Persons
from callmart.reports.places import Pages

T = TypeVar("T")


class Searched:
    """Files in which there is never anything of a person. They are searched all the same."""

    tables = ()
    contents = ()

    def __init__(self, name: str, *paths: str) -> None:
        self.name = name
        self.paths = paths

    def find(self, work: Work, person: Person) -> Counts:
        """Count the files in which the person is."""
        return self.prove(work, person).left

    def treat(self, work: Work, person: Person) -> Counts:
        """Nothing: a person has to look at a file in which something was found, and remove it."""
        return Counts()

    def prove(self, work: Work, person: Person) -> Proof:
        """Search the files, and what is packed in them."""
        own = matching(self.paths)
        return Proof.of_files(
            work.needles.in_file(Path(entry.path))
            for entry in disk.entries(work.settings.home, within=tops(self.paths))
            if own.fullmatch(named(work.settings, entry)) and entry.is_file()
        )


class Temporary(Searched):
    """What was downloaded from Tableau to be looked at, and left by a process that was killed."""

    def treat(self, work: Work, person: Person) -> Counts:
        """Remove it, whoever is in it."""
        found = list(disk.files(work.settings.home / disk.TEMPORARY))
        for path in found:
            path.unlink(missing_ok=True)
        return Counts(files=len(found))


class Elsewhere:
    """What callmart can't change: files of the telephone system and in landing folders, mails and downloads, backups.
    Landing folders are searched.
    """

    name = "elsewhere"
    tables = ()
    paths = ()
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Count the files in landing folders in which the person is, in clear. One that nobody can read comes and goes
        with whoever sends it, so it changes no plan.
        """
        found, _ = _raw_files(work, person.customer_id)
        return +Counts({evidence.RAW_FILES: len(found)})

    def treat(self, work: Work, person: Person) -> Counts:
        """Nothing: a person does it."""
        return Counts()

    def prove(self, work: Work, person: Person) -> Proof:
        """What a person attests."""
        found, unread = _raw_files(work, person.customer_id)
        named = (f"{file}, in which the person is" for file in found)
        return Proof(Counts(), Counts(), (*named, *unread, "telephone system"))


PLACES: tuple[Place, ...] = (
    Doorway(),
    Computed(),
    Events(),
    Persons(),
    Marts(),
    Environments(),
    Extracts(),
    Pages(),
    Outbox(),
    Packages(),
    Content(),
    Members(),
    Emulated(),
    Customers(
        "registry of customers",
        *(
            f"registry.{name}"
            for name in (
                "version*",
                "customer",
                "former_fingerprint",
                "gate",
                "contract",
                "queue",
                "line",
                "status_word",
                "opening_hours",
                "holiday",
            )
        ),
    ),
    Books("landed files", "raw.file*", "raw.reject"),
    Books("usage", "usage.*", "raw.function_use"),
    Books("books", "ops.*", "access.*"),
    Books("register", "privacy.*"),
    Searched(  # each file with its draft, which a kill can leave
        "checks and logs",
        "quality/*.html*",
        "audit/*.html*",
        "audit/*.json*",
        "dbt/*.json",
        "dbt/*.msgpack",
        "dbt/*.html",
        "dbt/lock",
        "dbt/logs/*",
        "dbt/compiled/**/*.sql",
        "dbt/run/**/*.sql",
        "told_of_no_database",
        "*.log",
    ),
    Searched(
        "keys and secrets",
        "keys/*.key*",
        "secrets/*",
        "installation",
        "installation.*",
        "privacy/ledger*",
        "privacy/request-*",
    ),
    Searched("demo", "demo/*/*"),
    Temporary("temporary files", f"{disk.TEMPORARY}/**/*"),
    Searched("registry file", "registry.yml"),
    Elsewhere(),
    server_files.Files(),
)


def named(settings: Settings, entry: os.DirEntry[str]) -> str:
    """What is in the home as patterns and messages have it."""
    return entry.path.removeprefix(f"{settings.home}/")


def uncovered(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """The tables, paths and kinds of content that belong to no place, or to several; and the places that the register
    does not know, or nobody treats.
    """
    found = {named(settings, entry): entry.is_symlink() for entry in disk.entries(settings.home)}
    return [
        *(f"place {name}" for name in sorted({place.name for place in PLACES} ^ set(evidence.PLACES))),
        *_astray("table", map(str, tables(connection)), [place.tables for place in PLACES]),
        *_astray(
            "path",
            (name for name, is_link in found.items() if not is_link),
            [place.paths for place in PLACES],
        ),
        # What a link leads to is on another disk or in another place: nobody would write it anew.
        *(f"link {name}" for name, is_link in found.items() if is_link),
        *_astray("content", holdings.endpoints(), [place.contents for place in PLACES]),
    ]


def each(step: Callable[[Place], T], on_place: Callable[[str, T], None]) -> list[T]:
    """Take a step in every place, in order, and tell each. Whatever is in the way blocks the request."""
    taken = []
    for place in PLACES:
        with blocked(place.name):
            done = step(place)
        taken.append(done)
        on_place(place.name, done)
    return taken


def prove_counted(left: Mapping[str, Counts], on_place: OnProof) -> int:
    """Prove what can be counted: `left` is what is still to be done, by place. No word is sought, so it returns 0."""

    def proof(place: Place) -> Proof:
        counts = left.get(place.name)
        return Proof(Counts(), Counts()) if counts is None else Proof(Counts(tables=1), +counts)

    each(proof, on_place)
    return 0


@blocked("places")
def require_covered(work: Work) -> None:
    """Raise Blocked if something belongs to no place, or a column does not say whom it points to."""
    found = uncovered(work.connection, work.settings)
    undeclared = pointing.undeclared(work.connection)
    work.connection.rollback()
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise Blocked(
            "unknown place",
            f"nobody knows who is in {found[0]}{more}: move it out of callmart's home or database, or add it to a "
            "place in privacy/places.py",
        )
    if undeclared:
        raise Blocked("undeclared", undeclared[0])


def _astray(kind: str, names: Iterable[str], patterns: list[tuple[str, ...]]) -> Iterator[str]:
    owners: dict[str, list[re.Pattern[str]]] = {}  # by how a name begins: nearly all paths are the server's
    for name in names:
        top = name.partition("/")[0]
        if top not in owners:
            owners[top] = [matching(own) for own in patterns if tops(own).fullmatch(top)]
        if sum(owner.fullmatch(name) is not None for owner in owners[top]) != 1:
            yield f"{kind} {name}"


def _raw_files(work: Work, customer_id: int) -> tuple[list[Path], list[str]]:
    """The files in landing folders in which a person of the customer is, and a word for each that can't be read or
    unpacked, as it may still be on its way, and for each folder that can't be looked through.
    """
    found, unread = list[Path](), list[str]()
    for folder in _landing_folders(work.settings, customer_id):
        try:
            # The settings have followed our own links: what is left is another's, and can lead anywhere.
            if folder.resolve(strict=True) != folder:
                unread.append(f"{folder}, which is a link or behind one")
                continue
            files = list(disk.files(folder))
        except (OSError, UserError):
            unread.append(f"{folder}, which is not there or can't be looked through")
            continue
        for file in files:
            try:
                if work.needles.in_file(file):
                    found.append(file)
            except UserError:
                unread.append(f"{file}, which can't be read or unpacked")
    return found, unread


def _landing_folders(settings: Settings, customer_id: int) -> list[Path]:
    """The folders that can have files of the customer: not those of another one alone."""
    own = [folder for folder in settings.folders if folder.customer in (None, customer_id)]
    return sorted({folder.path for folder in own} | {folder.move_to for folder in own if folder.move_to})
