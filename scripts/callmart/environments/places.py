"""Erases a person from environments: those that hold the customer are dropped. Whoever needs one makes it anew."""

from callmart.base import disk
from callmart.base.person import Counts, Person, Proof, Work
from callmart.environments import databases, known


class Environments:
    """The environments, each a database and a folder."""

    name = "environments"
    tables = ()
    paths = (f"{known.FOLDER}/**/*",)
    contents = ()

    def find(self, work: Work, person: Person) -> Counts:
        """Nothing of its own: what is here is in a table, and an environment that comes or goes changes no plan."""
        return Counts()

    def treat(self, work: Work, person: Person) -> Counts:
        """Drop them, and what is left of removed ones, as nobody knows whom those held. Commits."""
        dropped = databases.drop_of(work.connection, work.settings, person.customer_id)
        for environment in known.half_removed(work.settings, known.all_of(work.connection)):
            dropped += databases.drop(work.connection, work.settings, environment.name)
        work.connection.commit()
        return +Counts(databases=dropped)

    def prove(self, work: Work, person: Person) -> Proof:
        """Look for an environment of the customer, and in the files of all."""
        environments = known.all_of(work.connection)
        work.connection.rollback()
        searched = Counts(databases=len(environments))
        left = Counts(databases=sum(person.customer_id in one.customers for one in environments))
        for path in disk.files(work.settings.home / known.FOLDER):
            searched["files"] += 1
            left["files"] += bool(work.needles.in_file(path))
        return Proof(searched, +left)
