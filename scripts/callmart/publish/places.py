"""Erases a person from Tableau: content is published anew, and a contact's or recipient's account is removed.

Whatever is found is read back from Tableau, what others have put anywhere on the site included.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from zipfile import ZipFile, is_zipfile

import tableauserverclient as TSC

from callmart.base import disk
from callmart.base.errors import UserError
from callmart.base.needles import Hits, Needles
from callmart.base.person import Blocked, Counts, Person, Proof, Work
from callmart.base.progress import quietly
from callmart.base.settings import Settings
from callmart.extract.places import in_file
from callmart.opening.places import follow_rights
from callmart.publish import bookkeeping, emulator, holdings, reading, sites
from callmart.publish.actual import Actual, identity
from callmart.publish.listing import everything
from callmart.publish.plans import Kind
from callmart.publish.tableau import FAILURES, reason

REMEDY = "when it answers again, run this again"


class Content:
    """What is on each site, with earlier revisions and custom views. callmart's own is published anew; what others made
    of it is searched, and stays until they have removed it. Pictures are made from the content, and go with it.
    """

    name = "tableau content"
    tables = ()
    paths = ()
    contents = (*holdings.LISTS, *holdings.WITHOUT_PERSONS)

    def find(self, work: Work, person: Person) -> Counts:
        """Count what the person is in."""
        return _look(work, person).left

    def treat(self, work: Work, person: Person) -> Counts:
        """Publish what changed, and delete earlier revisions, and custom views in which the person is. Commits."""
        if person.kind not in ("agent", "caller") or not _is_used(work.settings):
            return Counts()
        counts = _publish(work, person)
        with _calls(), disk.temporary(work.settings.home) as folder:
            for server, actual in _sites(work, person):
                own, spared = _content(actual, person.customer_id)
                for found in holdings.held(server, spared):
                    if found.kind == "custom views":
                        if found.item.workbook.id in own and _is_in(work, found, folder):
                            found.endpoint.delete(found.item.id)
                            counts["custom views"] += 1
                    elif found.item.id in own:
                        holdings.forget_revisions(found)
        return counts

    def prove(self, work: Work, person: Person) -> Proof:
        """Download everything again, and search it."""
        return _look(work, person)


class Members:
    """The accounts of contacts and recipients, with what belongs to an account. An agent can be one of them. Each
    publication notes in registry.account which are left.
    """

    name = "tableau users"
    tables = ("registry.account",)
    paths = ()
    contents = holdings.ACCOUNTS

    def find(self, work: Work, person: Person) -> Counts:
        """Count the accounts that callmart has put on a site, and what they have."""
        found = Counts()
        if person.kind == "caller" or not _is_used(work.settings):
            return found
        with _calls():
            for _, actual in _sites(work, person):
                found += _belongings(actual, person)
        return found

    def treat(self, work: Work, person: Person) -> Counts:
        """Remove them: the registry no longer names the person. Commits."""
        return _publish(work, person) if self.find(work, person) else Counts()

    def prove(self, work: Work, person: Person) -> Proof:
        """Look again. An account that is not callmart's stays, and somebody has to attest it."""
        if not _is_used(work.settings):
            return Proof(Counts(), Counts())
        searched, left, of_others = Counts(), Counts(), False
        with _calls():
            for server, actual in _sites(work, person):
                searched["users"] += len(actual.users)
                if person.kind != "caller":
                    left += _belongings(actual, person)
                ours = {user.luid for user in actual.users.values() if user.is_ours}
                users = everything(server.users)
                named = {user.id for user in users if _says(work.needles, _of_account(user))}
                of_others = of_others or bool(named - ours)
                for name in ("groups", "group_sets", "subscriptions"):
                    left[name] += any(_says(work.needles, page) for page in holdings.texts(server, name))
        return Proof(searched, +left, ("account of others on tableau",) if of_others else ())


class Emulated:
    """The state of the emulator, which keeps what it deletes until its database is written anew."""

    name = "emulator"
    tables = ()
    paths = (
        *(f"emulator/{own}" for own in ("state.sqlite", "state.sqlite-*", "files/*", "uploads/*")),
        *(f"emulator/{own}" for own in ("server.json", "server.log", "running.lock", "start.lock")),
    )
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Nothing of its own: what is here is counted as Tableau's."""
        return Counts()

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
        paths = disk.files(emulator.folder(work.settings.home))
        return Proof.of_files(_in_published(work, path) for path in paths)


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


def _sites(work: Work, person: Person) -> Iterator[tuple[TSC.Server, Actual]]:
    """Sign in to each site, and read what callmart has there. The server is signed in until the next one is asked for.

    All sites count, whosever they are: somebody may have put a copy anywhere. Of another customer it does not matter
    what can't be read: which projects are its own is known all the same.
    """
    names = bookkeeping.sites(work.connection, work.settings)
    for site in names:
        books = bookkeeping.books(work.connection, work.settings, site)
        work.connection.commit()
        server = work.tableau(site)
        yield server, _whole(reading.read(server, books), person)


def _whole(actual: Actual, person: Person) -> Actual:
    if unread := actual.unread.get(person.customer_id):
        raise Blocked("tableau", f"Tableau: customer {person.customer_id}: {unread}")
    return actual


def _publish(work: Work, person: Person) -> Counts:
    """Publish what differs, of this customer only. Counts the changes, by kind. That somebody else's account could not
    be removed is for the next publication.
    """
    follow_rights(work)
    with _calls():
        found = sites.read(work.connection, work.settings, work.tableau)
        for why in found.unread.values():
            raise Blocked("tableau", f"Tableau: {why}")
        accounts = {
            user.luid
            for actual in found.actual.values()
            for user in _accounts(_whole(actual, person), person)
        }
        plans = sites.plan(found, adopts=False).of(person.customer_id)
        outcomes = sites.apply(work.connection, work.settings, work.tableau, plans, quietly)
    for outcome in outcomes:
        concerns = outcome.customer_id in (None, person.customer_id) and outcome.user in (None, *accounts)
        if outcome.error and concerns:
            raise Blocked("tableau", outcome.error)
    return Counts(counted(step.kind) for outcome in outcomes for step in outcome.done)


def counted(kind: Kind) -> str:
    """Under which word changes of a kind are counted (base/evidence.py)."""
    return kind if kind == "permissions" else f"{kind}s"


def _accounts(actual: Actual, person: Person) -> list[Any]:
    addresses = {identity(word) for word in person.words}
    return [user for name, user in actual.users.items() if user.is_ours and name in addresses]


def _belongings(actual: Actual, person: Person) -> Counts:
    """The person's accounts on a site, and what they have of the customer. An account that is known to be in another
    customer's group stays for that one, with what it has there.
    """
    found, luids = Counts(), {user.luid for user in _accounts(actual, person)}
    members = {customer: group.members for customer, group in actual.groups.items()}
    own = members.pop(person.customer_id, frozenset())
    found["users"] = len(luids.difference(*members.values()))
    found["members"] = len(luids & own)
    for project in actual.projects.get(person.customer_id, ()):
        found["subscriptions"] += sum(one.user in luids for one in project.subscriptions)
    return +found


def _content(actual: Actual, customer_id: int) -> tuple[set[str], set[str]]:
    """What callmart has published for the customer, and the projects of other customers, in which the person can't be.
    In the customer's project there can be content of others.
    """
    projects = actual.projects.get(customer_id, ())
    others = {project.luid for of_one in actual.projects.values() for project in of_one}
    own = {content.luid for project in projects for content in project.content}
    return own, others - {project.luid for project in projects}


def _look(work: Work, person: Person) -> Proof:
    """Download all content that is not another customer's, and search it, and the lists of everything."""
    searched, left, refused = Counts(), Counts(), False
    if not _is_used(work.settings):
        return Proof(searched, left)
    with _calls(), disk.temporary(work.settings.home) as folder:
        for server, actual in _sites(work, person):
            own, spared = _content(actual, person.customer_id)
            for found in holdings.held(server, spared):
                of_others = "" if found.item.id in own else " of others"
                searched[found.kind] += 1
                is_in = _is_in(work, found, folder)
                left[f"{found.kind}{of_others}"] += bool(is_in)
                refused = refused or is_in is None
            for name in holdings.LISTS:
                pages = holdings.texts(server, name)
                left[f"list of {name}"] += any(_says(work.needles, page) for page in pages)
    unread = ("content that callmart may not read",) if refused else ()
    unlisted = () if work.settings.tableau.is_emulated else ("collections, which Tableau does not list",)
    return Proof(searched, +left, (*unread, *unlisted))


def _is_in(work: Work, found: holdings.Held, folder: Path) -> bool | None:
    """Whether a needle is in something on the site, or in an earlier revision of it. None if it may not be read."""
    try:
        return any([_in_published(work, path) for path in holdings.files(found, folder)])
    except PermissionError:
        return None


def _says(needles: Needles, texts: Iterable[str]) -> bool:
    return bool(needles.in_bytes("\n".join(texts).encode()))


def _of_account(user: TSC.UserItem) -> list[str]:
    return [user.name or "", user.fullname or "", user.email or ""]


def _in_published(work: Work, path: Path) -> Hits:
    """The needles in a file of Tableau. The extracts in it are opened."""
    found = in_file(work.needles, path)
    if is_zipfile(path):
        with ZipFile(path) as packed, disk.temporary(work.settings.home) as folder:
            for member in packed.namelist():
                if member.endswith(".hyper"):
                    found |= in_file(work.needles, Path(packed.extract(member, folder)))
    return found
