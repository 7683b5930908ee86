"""All places where a person can be, in the order in which they are treated, and whether they are all there are.

Each table of the database, each path in CALLMART_HOME and each kind of content on Tableau belongs to exactly one place.
What belongs to none is nobody's to treat, so it keeps a request open.
"""

from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import get_args

import psycopg

from callmart.base import disk, evidence
from callmart.base.person import Blocked, Counts, Person, Place, Proof, Work
from callmart.base.settings import Settings
from callmart.database.searching import Books, tables
from callmart.declarations import pointing
from callmart.extract.places import Extracts
from callmart.land.places import Doorway, Events
from callmart.opening.places import Computed, Marts
from callmart.privacy import embedded
from callmart.publish.actual import ContentKind
from callmart.publish.places import Content, Emulated, Members
from callmart.publish.planning import Kind
from callmart.registry.places import Persons


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
        searched, left = Counts(), Counts()
        for path in entries(work.settings.home):
            if any(fnmatchcase(path.name, pattern) for pattern in self.paths):
                for file in disk.files(path) if path.is_dir() else [path]:
                    searched["files"] += 1
                    left["files"] += bool(work.needles.in_file(file))
        return Proof(searched, +left)


class Elsewhere:
    """What callmart can't change: files of the telephone system and in landing folders, mails and downloads, backups.
    Landing folders are searched.
    """

    name = "elsewhere"
    tables = ()
    paths = ()
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Count the files in landing folders in which the person is, in clear."""
        found = Counts()
        for folder in _landing_folders(work.settings):
            for file in disk.files(folder):
                found["raw files"] += bool(work.needles.in_file(file))
        return +found

    def treat(self, work: Work, person: Person) -> Counts:
        """Nothing: a person does it."""
        return Counts()

    def prove(self, work: Work, person: Person) -> Proof:
        """What a person attests."""
        raw = ("raw files",) if self.find(work, person) else ()
        return Proof(Counts(), Counts(), (*raw, "telephone system"))


PLACES: tuple[Place, ...] = (
    Doorway(),
    Computed(),
    Events(),
    Persons(),
    Marts(),
    Extracts(),
    Content(),
    Members(),
    Emulated(),
    Books(
        "registry of customers",
        *(f"registry.{name}" for name in ("version", "customer", "contract", "queue", "line", "status_word")),
    ),
    Books("landed files", "raw.file", "raw.file_customer", "raw.reject"),
    Books("usage", "usage.*", "raw.function_use"),
    Books("books", "ops.*", "access.*"),
    Books("register", "privacy.*"),
    Searched("checks and logs", "quality", "audit", "dbt", "*.log"),
    Searched("keys and secrets", "keys", "secrets", "installation", "privacy"),
    Searched("demo", "demo"),
    Searched("registry file", "registry.yml"),
    Elsewhere(),
    embedded.Files(),
)


KINDS: tuple[str, ...] = (*get_args(Kind), *get_args(ContentKind))  # of content on Tableau


def entries(home: Path) -> list[Path]:
    """What is in the home, sorted."""
    return sorted(home.iterdir())


def uncovered(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """The tables, paths and kinds of content that belong to no place, or to several; and the places that the register
    does not know, or nobody treats.
    """
    return [
        *(f"place {name}" for name in sorted({place.name for place in PLACES} ^ set(evidence.PLACES))),
        *_astray("table", [str(table) for table in tables(connection)], [place.tables for place in PLACES]),
        *_astray("path", [path.name for path in entries(settings.home)], [place.paths for place in PLACES]),
        *_astray("content", KINDS, [place.contents for place in PLACES]),
    ]


def require_covered(connection: psycopg.Connection, settings: Settings) -> None:
    """Raise Blocked if something belongs to no place, or a column does not say whom it points to."""
    found = uncovered(connection, settings)
    undeclared = pointing.undeclared(connection)
    connection.rollback()
    if found:
        more = f" and {len(found) - 1} more" if len(found) > 1 else ""
        raise Blocked(
            "unknown place",
            f"nobody knows who is in {found[0]}{more}: move it out of callmart's home or database, or add it to a "
            "place in privacy/places.py",
        )
    if undeclared:
        raise Blocked("undeclared", undeclared[0])


def _astray(kind: str, names: Sequence[str], patterns: list[tuple[str, ...]]) -> Iterator[str]:
    for name in names:
        owners = sum(any(fnmatchcase(name, pattern) for pattern in own) for own in patterns)
        if owners != 1:
            yield f"{kind} {name}"


def _landing_folders(settings: Settings) -> list[Path]:
    folders = {folder.path for folder in settings.folders}
    folders |= {folder.move_to for folder in settings.folders if folder.move_to}
    return sorted(folder for folder in folders if folder.is_dir())
