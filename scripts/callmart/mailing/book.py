"""The book of mails, registry.mailed: what became of each report for a recipient, so that none goes out twice."""

from dataclasses import dataclass

import psycopg

from callmart.base import sql_file
from callmart.reports.weeks import Week

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Book:
    """Notes what becomes of a mail, which is of one recipient and week. Commits."""

    connection: psycopg.Connection
    customer_id: int
    week: Week
    known_by: str  # the recipient's pseudonym
    reports: list[str]

    def note(self, state: str) -> None:
        """Note what became of it."""
        self._execute("note", state=state)

    def going(self) -> None:
        """Note that it is on its way."""
        self.note("going")

    def forget(self) -> None:
        """Forget that it was written. If its week is the last one that is over, the next run writes it anew."""
        self._execute("forget")

    def _execute(self, statement: str, **more: str) -> None:
        named = {"customer": self.customer_id, "week": self.week.monday, "recipient": self.known_by}
        self.connection.execute(SQL[statement], named | {"reports": self.reports} | more)
        self.connection.commit()
