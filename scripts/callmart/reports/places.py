"""Erases a person from the drawn pages: those of the customer are removed. Drawing all reports draws them again."""

import html

from callmart.base import disk
from callmart.base.person import Counts, Person, Proof, Work
from callmart.reports import shelf


class Pages:
    """The folder of drawn reports."""

    name = "drawn reports"
    tables = ()
    paths = ("reports/*/*.html*", "reports/index.html*")  # each with its draft, which a kill can leave
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Count the customer's pages in which the person is."""
        found = Counts()
        for page in shelf.pages(work.settings):
            if page.customer_id == person.customer_id:
                found["pages"] += _is_in(work, page.path.read_text("utf-8"))
        return +found

    def treat(self, work: Work, person: Person) -> Counts:
        """Remove all pages of the customer, and what a kill has left of one. Commits."""
        found = list(disk.files(shelf.folder(work.settings) / str(person.customer_id)))
        for path in found:
            path.unlink()
        shelf.tidy(work.connection, work.settings)
        work.connection.commit()
        return +Counts(pages=len(found))

    def prove(self, work: Work, person: Person) -> Proof:
        """Search everything in the folder."""
        return Proof.of_files(
            work.needles.in_file(path) or _is_in(work, path.read_text("utf-8", "replace"))
            for path in disk.files(shelf.folder(work.settings))
        )


def _is_in(work: Work, text: str) -> bool:
    return bool(work.needles.in_bytes(html.unescape(text).encode()))
