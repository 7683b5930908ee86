"""What tombstones of agents become when a key is rotated, so that the server still knows who objects, and whose events
were another's.

The ledger's tombstones stay as they are. Beside one the database gets what it would be if it were made today: of the
agent's new key. An agent of whom nothing is stored at a rotation has none. When something of that agent lands later,
landing recognises the agent by the former key, and tells the server (land/erased.py).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

import psycopg

from callmart.base import sql_file
from callmart.base.keys import fingerprint_of
from callmart.database import vacuum
from callmart.database.tombstones import BEGINNING, Kind, secret_of, tombstone

SQL = sql_file.statements(__file__)

RENEWED: tuple[Kind, ...] = ("agent", "objector", "mistaken", "corrected")


class Renewing(NamedTuple):
    """The tombstones of a customer's agents: as the ledger has them, by kind and as they are up to now."""

    customer_id: int
    secret: bytes
    fingerprint: str  # of the customer's key with its new layer
    # Several, if an agent was entered before a rotation and after it.
    entered: Mapping[tuple[Kind, str], Sequence[str]]

    @classmethod
    def of(cls, connection: psycopg.Connection, customer_id: int, key: bytes) -> Self:
        """Read them. `key` has the new layer."""
        parameters = {"customer": customer_id, "kinds": list(RENEWED)}
        found = connection.execute(SQL["tombstones"], parameters).fetchall()
        entered = {(kind, known): entered for kind, known, entered in found}
        return cls(customer_id, secret_of(key), fingerprint_of(key), entered)

    def renew(self, connection: psycopg.Connection, new: Mapping[str, str]) -> None:
        """Renew the tombstones of those whose keys are keyed anew: `new` has the new keys by the former ones. In the
        caller's transaction.
        """
        begin = {known[:BEGINNING] for _, known in self.entered}
        renewed = [
            {
                "customer": self.customer_id,
                "kind": kind,
                "entered": entered,
                "renewed": tombstone(self.secret, kind, key),
                "fingerprint": self.fingerprint,
            }
            for former, key in new.items()
            if former[:BEGINNING] in begin
            for kind in RENEWED
            for entered in self.entered.get((kind, tombstone(self.secret, kind, former)), ())
        ]
        with connection.cursor() as cursor:
            cursor.executemany(SQL["renew"], renewed)

    def forget_former(self, connection: psycopg.Connection) -> None:
        """Forget what earlier rotations have renewed: whoever has a former key could find agents by it. In the caller's
        transaction.
        """
        parameters = {"customer": self.customer_id, "fingerprint": self.fingerprint}
        if connection.execute(SQL["forget_former"], parameters).rowcount:
            vacuum.note(connection, "privacy.renewed_tombstone")
