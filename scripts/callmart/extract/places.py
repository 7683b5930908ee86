"""Erases a person from the extracts on disk: those that changed are written anew, and drafts are removed."""

from pathlib import Path

from callmart.base import disk
from callmart.base.needles import Hits, Needles
from callmart.base.person import Blocked, Counts, Person, Proof, Work
from callmart.base.progress import quietly
from callmart.extract import extract
from callmart.extract.drafts import Unproven
from callmart.opening.places import follow_rights
from callmart.tableau_files import hyper


class Extracts:
    """The folder with a folder per customer."""

    name = "extracts"
    tables = ()
    paths = tuple(f"extracts/#/{own}" for own in ("*.hyper", "*.tdsx", ".arrow-*/*", ".publish-*/*"))
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Count the customer's files in which the person is."""
        found = Counts()
        for path in disk.files(extract.folder(work.settings)):
            if path.parent.name == str(person.customer_id) and in_file(work.needles, path):
                found["files"] += 1
        return found

    def treat(self, work: Work, person: Person) -> Counts:
        """Write those whose rows changed, and remove what no extract finished. Commits."""
        if person.kind not in ("agent", "caller"):
            return Counts()
        follow_rights(work)
        counts = _written(work, person)
        if self.find(work, person):
            # Of an agent without days only the name went, and no opened day says so.
            extract.read_again(work.connection, person.customer_id)
            work.connection.commit()
            counts += _written(work, person)
        return counts

    def prove(self, work: Work, person: Person) -> Proof:
        """Search all files, as bytes and opened."""
        return Proof.of_files(
            in_file(work.needles, path) for path in disk.files(extract.folder(work.settings))
        )


def _written(work: Work, person: Person) -> Counts:
    """Extract, and count the customer's files that were written."""
    counts = Counts()
    for made in extract.extract(work.connection, work.settings, quietly):
        if isinstance(made, Unproven) and made.customer_id == person.customer_id:
            raise Blocked("extract", str(made))
        if isinstance(made, extract.Extract) and made.customer_id == person.customer_id:
            counts["files"] += made.written
    return +counts


def in_file(needles: Needles, path: Path) -> Hits:
    """The needles in a file: in its bytes, and if it is an extract, in what Hyper reads from it."""
    found = needles.in_file(path)
    if path.suffix == ".hyper":
        found |= needles.in_chunks(value.encode() + b"\n" for value in hyper.values(path))
    return found
