"""The keys that the data was stored with: the database knows them by their fingerprints, and the home has them."""

from collections.abc import Collection, Iterable

import psycopg

from callmart.base import sql_file
from callmart.base.errors import UserError
from callmart.base.keys import INSTALLATION, RESTORE, Whose, fingerprint_of, fits, key_file, known_key
from callmart.base.settings import Settings
from callmart.database import catalogue

SQL = sql_file.statements(__file__)


def known(connection: psycopg.Connection) -> dict[Whose, str]:
    """The fingerprints of the customers' keys and the installation's. Before an upgrade that may have none."""
    found: dict[Whose, str] = dict(of_customers(connection).items())
    if catalogue.exists(connection, "ops.installation"):
        ((found[INSTALLATION],),) = connection.execute("select key_fingerprint from ops.installation")
    return found


def of_customers(connection: psycopg.Connection, customers: Iterable[int] | None = None) -> dict[int, str]:
    """The fingerprints of the keys of these customers, or of all. Who has no key is left out."""
    asked = None if customers is None else list(customers)
    return dict(connection.execute(SQL["of_customers"], {"customers": asked}).fetchall())


def with_leaving(
    connection: psycopg.Connection, settings: Settings, customers: Collection[int]
) -> dict[int, str]:
    """As of_customers, also of those who were taken out of the registry and whose data is still to be removed: they
    can come back before that.
    """
    found = of_customers(connection, customers)
    files = {id: key_file(settings.home, id) for id in customers if id not in found}
    return found | {id: fingerprint_of(file.read_bytes()) for id, file in files.items() if file.exists()}


def installation_key(connection: psycopg.Connection, settings: Settings) -> bytes:
    """The key of the names and contents of files. Raises UserError if it is missing, or another than they have."""
    ((fingerprint,),) = connection.execute("select key_fingerprint from ops.installation").fetchall()
    return known_key(settings.home, INSTALLATION, fingerprint)


def refuse_other_home(connection: psycopg.Connection, settings: Settings) -> None:
    """Raise UserError if the home has none of the keys: another home works with this database. Logins would get new
    passwords that it does not have, and customers of whom only its ledger tells would be closed.
    """
    keys = known(connection)
    if keys and not any(fits(settings.home, whose, fingerprint) for whose, fingerprint in keys.items()):
        raise UserError(
            f"{settings.home} has none of the keys of this database's data: name the home that works with this "
            f"database, or name another database; if its keys are lost, {RESTORE}"
        )
