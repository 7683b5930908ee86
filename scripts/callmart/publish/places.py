"""Erases a person from Tableau: content is published anew, and a contact's or recipient's account is removed.

Whatever is found is read back from Tableau, content that somebody else has put into a customer's project included.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile, is_zipfile

import tableauserverclient as TSC

from callmart import publish
from callmart.base import disk
from callmart.base.errors import UserError
from callmart.base.needles import Hits, Needles
from callmart.base.person import Blocked, Counts, Person, Proof, Work, quietly
from callmart.base.settings import Settings
from callmart.extract.places import in_file
from callmart.publish import emulator, publishing
from callmart.publish.actual import Actual, everything, identity
from callmart.publish.applying import forget_revisions
from callmart.publish.tableau import FAILURES, reason

REMEDY = "when it answers again, run this again"


class Content:
    """What is published: data sources and workbooks, with their earlier revisions and the pictures made of them."""

    name = "tableau content"
    tables = ()
    paths = ()
    contents = ("project", "data source", "workbook", "view", "revision", "permissions", "schedule", "site")

    def find(self, work: Work, person: Person) -> Counts:
        """Count the data sources and workbooks of the customer in which the person is."""
        return _look(work, person).left

    def treat(self, work: Work, person: Person) -> Counts:
        """Publish what changed, and delete earlier revisions. Commits."""
        if person.kind not in ("agent", "caller") or not _is_used(work.settings):
            return Counts()
        counts = _publish(work, person)
        with _calls():
            server = work.tableau()
            for endpoint, item in _items(server, _read(work, server), person.customer_id):
                forget_revisions(endpoint, item)
        return counts

    def prove(self, work: Work, person: Person) -> Proof:
        """Download everything again, and search it."""
        return _look(work, person)


class Members:
    """The accounts of contacts and recipients, with what belongs to an account. An agent can be one of them."""

    name = "tableau users"
    tables = ()
    paths = ()
    contents = ("user", "member", "group", "subscription", "favorite", "custom view")

    def find(self, work: Work, person: Person) -> Counts:
        """Count the accounts that callmart has put on the site, and what they have."""
        if person.kind == "caller" or not _is_used(work.settings):
            return Counts()
        with _calls():
            server = work.tableau()
            actual = _read(work, server)
            luids = {user.luid for user in _accounts(actual, person)}
            found = Counts(users=len(luids))
            for group in actual.groups.values():
                found["members"] += len(luids & group.members)
            for projects in actual.projects.values():
                for project in projects:
                    found["subscriptions"] += sum(one.user in luids for one in project.subscriptions)
            return +found

    def treat(self, work: Work, person: Person) -> Counts:
        """Remove them: the registry no longer names the person. Commits."""
        return _publish(work, person) if self.find(work, person) else Counts()

    def prove(self, work: Work, person: Person) -> Proof:
        """Look again. An account that is not callmart's stays, and somebody has to attest it."""
        if person.kind == "caller" or not _is_used(work.settings):
            return Proof(Counts(), Counts())
        with _calls():
            actual = _read(work, work.tableau())
        addresses = {identity(word) for word in person.words}
        elsewhere = any(not user.is_ours and name in addresses for name, user in actual.users.items())
        return Proof(
            Counts(users=len(actual.users)),
            self.find(work, person),
            ("account of others on tableau",) if elsewhere else (),
        )


class Emulated:
    """The state of the emulator, which keeps what it deletes until its database is written anew."""

    name = "emulator"
    tables = ()
    paths = ("emulator",)
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Count the files in which the person is."""
        return self.prove(work, person).left

    def treat(self, work: Work, person: Person) -> Counts:
        """Write the emulator's database anew, so that nothing is left of what was deleted."""
        state = emulator.folder(work.settings.home) / "state.sqlite"
        if state.exists():
            try:
                with closing(sqlite3.connect(state, timeout=30, isolation_level=None)) as database:
                    database.execute("vacuum")
                    database.execute("pragma wal_checkpoint(truncate)")
            except sqlite3.OperationalError:
                raise Blocked("emulator", f"the emulator's database is in use; {REMEDY}") from None
        return Counts(databases=int(state.exists()))

    def prove(self, work: Work, person: Person) -> Proof:
        """Search all files of the emulator."""
        searched, left = Counts(), Counts()
        for path in disk.files(emulator.folder(work.settings.home)):
            searched["files"] += 1
            left["files"] += bool(_in_published(work.needles, path))
        return Proof(searched, +left)


@contextmanager
def _calls() -> Iterator[None]:
    """Within it, a failure of Tableau blocks the request."""
    try:
        yield
    except Blocked:
        raise
    except (UserError, *FAILURES) as error:
        raise Blocked("tableau", f"Tableau: {reason(error)}") from None


def _is_used(settings: Settings) -> bool:
    """Whether there is a Tableau to look at. The emulator has a folder once something was published there."""
    if settings.tableau.is_emulated:
        return emulator.folder(settings.home).exists()
    return True


def _read(work: Work, server: TSC.Server) -> Actual:
    books = publishing.books(work.connection, work.settings)
    work.connection.commit()
    actual = publish.read(server, books)
    if unread := next(iter(actual.unread.values()), None):
        raise Blocked("tableau", f"Tableau: {unread}")
    return actual


def _publish(work: Work, person: Person) -> Counts:
    """Publish what differs, of this customer only. Counts the changes, by kind."""
    with _calls():
        server = work.tableau()
        desired = publishing.desired(work.connection, work.settings)
        work.connection.commit()
        plan = publish.plan(desired, _read(work, server), adopts=False)
        plan = replace(
            plan, customers=tuple(each for each in plan.customers if each.customer_id == person.customer_id)
        )
        outcomes = publishing.apply(work.connection, work.settings, server, plan, quietly)
    if failed := next((outcome.error for outcome in outcomes if outcome.error), None):
        raise Blocked("tableau", failed)
    return Counts(f"{step.kind}s" for outcome in outcomes for step in outcome.done)


def _accounts(actual: Actual, person: Person) -> list[Any]:
    addresses = {identity(word) for word in person.words}
    return [user for name, user in actual.users.items() if user.is_ours and name in addresses]


def _items(server: TSC.Server, actual: Actual, customer_id: int) -> Iterator[tuple[Any, Any]]:
    """The data sources and workbooks in the customer's projects, whoever has put them there."""
    projects = {project.luid for project in actual.projects.get(customer_id, ())}
    for endpoint in (server.datasources, server.workbooks):
        for item in everything(endpoint):
            if item.project_id in projects:
                yield endpoint, item


def _look(work: Work, person: Person) -> Proof:
    """Download everything in the customer's projects, and search it. Revisions but the last one count as left."""
    searched, left = Counts(), Counts()
    if not _is_used(work.settings):
        return Proof(searched, left)
    with _calls(), TemporaryDirectory() as folder:
        server = work.tableau()
        for endpoint, item in _items(server, _read(work, server), person.customer_id):
            kind = "data sources" if endpoint is server.datasources else "workbooks"
            path = Path(endpoint.download(item.id, filepath=str(Path(folder) / item.id)))
            searched[kind] += 1
            left[kind] += bool(_in_published(work.needles, path))
            path.unlink()
    to_attest = () if work.settings.tableau.is_emulated else ("custom views",)
    return Proof(searched, +left, to_attest)


def _in_published(needles: Needles, path: Path) -> Hits:
    """The needles in a file of Tableau. The extracts in it are opened."""
    found = in_file(needles, path)
    if is_zipfile(path):
        with ZipFile(path) as packed, TemporaryDirectory() as folder:
            for member in packed.namelist():
                if member.endswith(".hyper"):
                    found |= in_file(needles, Path(packed.extract(member, folder)))
    return found
