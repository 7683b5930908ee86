"""The books: what the database knows of each site on Tableau, and what it notes of what was done there."""

from collections.abc import Collection, Iterable, Mapping
from datetime import date

import psycopg

from callmart.base import sql_file
from callmart.base.settings import Settings
from callmart.database import audit_log, clock
from callmart.publish import installation
from callmart.publish.actual import Books
from callmart.publish.applying import Outcome
from callmart.publish.desired import Publication, digest_of

SQL = sql_file.statements(__file__)

# Every customer on a site is looked at within so many days, and each day about so many at least.
WEEK, ENOUGH = 7, 500


def sites(connection: psycopg.Connection, settings: Settings) -> list[str]:
    """Return the sites on which customers are or should be, the shared one ("") first, if any customer is there."""
    rows = connection.execute(SQL["sites"]).fetchall()
    return sorted({settings.tableau.own_site(site) for (site,) in rows}) or [""]


def books(connection: psycopg.Connection, settings: Settings, site: str = "") -> Books:
    """Return what the database knows about a site: this installation's id, and the LUIDs of customers' projects and of
    our accounts.
    """
    rows = connection.execute(SQL["books"], {"sites": _names(settings, site)}).fetchall()
    warned = connection.execute(SQL["warned"]).fetchall()
    return Books(
        installation.ensure_id(settings.home),
        {customer_id: luid for customer_id, luid, is_from_before in rows if luid or is_from_before},
        takes_over=installation.takes_over(settings.home),
        warned=frozenset(customer_id for (customer_id,) in warned),
        known=frozenset(customer_id for customer_id, *_ in rows),
        accounts=noted_accounts(connection, settings, site),
    )


def due(
    connection: psycopg.Connection, settings: Settings, wanted: Iterable[Publication], books: Books, site: str
) -> frozenset[int]:
    """Return the customers for whom something may have to be done on a site: who should have something else than when
    callmart last looked there, who have not been looked at since it was their turn, and who failed.
    """
    digests = _digests(settings, wanted)
    rows = settled(connection, site, clock.today(connection, settings)).items()
    return (books.known | digests.keys()) - {id for id, digest in rows if digest == digests.get(id)}


def settled(connection: psycopg.Connection, site: str, today: date) -> dict[int, str]:
    """Return the customers of whom callmart has seen, on their last turn or since, that they have on a site what they
    should, with the digest of that. Whoever's turn was missed is not settled until seen.
    """
    asked = {"site": site, "today": today, "week": WEEK, "enough": ENOUGH}
    return dict(connection.execute(SQL["settled"], asked).fetchall())


def note_wanted(
    connection: psycopg.Connection, settings: Settings, wanted: Collection[Publication], site: str
) -> None:
    """Note that customers have on a site what they should. Commits."""
    digests = _digests(settings, wanted)
    connection.execute(
        SQL["note_wanted"],
        {
            "customers": list(digests),
            "digests": list(digests.values()),
            "site": site,
            "today": clock.today(connection, settings),
        },
    )
    connection.commit()


def _digests(settings: Settings, wanted: Iterable[Publication]) -> dict[int, str]:
    """A digest per customer of what it should have. On another server or site, or of another installation, it is
    another.
    """
    tableau = settings.tableau
    where = (
        str(tableau.server).encode(), tableau.site.encode(), installation.ensure_id(settings.home).encode()
    )  # fmt: skip
    return {one.customer_id: digest_of(*where, one.digest.encode()) for one in wanted}


def _names(settings: Settings, site: str) -> list[str]:
    """What the books call a site. The shared one can have been a customer's own before the settings named it."""
    return [site or settings.tableau.site, site]


def begin(connection: psycopg.Connection, site: str, customers: Collection[int]) -> None:
    """Note which customers get something on a site, before they do: whatever breaks off, it is looked for there.
    Commits.
    """
    connection.execute(SQL["begin"], {"site": site, "customers": sorted(customers)})
    connection.commit()


def record(
    connection: psycopg.Connection, settings: Settings, outcomes: Collection[Outcome], site: str = ""
) -> None:
    """Record the outcome per customer on a site, for `status` and the audit log. Commits."""
    with connection.pipeline():  # nothing waits for the answer of each
        for outcome in outcomes:
            state = "published" if outcome.error is None else "failed"
            if outcome.customer_id is not None:
                connection.execute(
                    SQL["note"],
                    {
                        "customer": outcome.customer_id,
                        "site": site,
                        "state": state,
                        "project": outcome.project_id,
                        "warned": outcome.is_warned,
                        "mails_seen": outcome.mails_seen,
                    },
                )
            if outcome.opened is not None:
                connection.execute(
                    SQL["note_use"],
                    {
                        "customer": outcome.customer_id,
                        "reports": list(outcome.opened),
                        "times": list(outcome.opened.values()),
                    },
                )
            if outcome.done or outcome.error:
                audit_log.note(connection, state, {"steps": len(outcome.done)}, outcome.customer_id)
            if outcome.alert:
                audit_log.note(connection, "mail held", {"reason": outcome.alert}, outcome.customer_id)
    gone = [outcome.customer_id for outcome in outcomes if outcome.is_gone]
    connection.execute(SQL["forget"], {"customers": gone, "sites": _names(settings, site)})
    connection.commit()


def noted_accounts(connection: psycopg.Connection, settings: Settings, site: str) -> dict[str, str]:
    """Return the accounts that were ours on a site after its last publication, each with its group."""
    return dict(connection.execute(SQL["accounts"], {"sites": _names(settings, site)}).fetchall())


def note_accounts(
    connection: psycopg.Connection, settings: Settings, accounts: Mapping[str, str], site: str
) -> None:
    """Note the accounts on a site that are ours now, each with its group, and forget the others. Commits."""
    connection.execute(
        SQL["note_accounts"],
        {
            "users": list(accounts),
            "groups": list(accounts.values()),
            "site": site,
            "sites": _names(settings, site),
        },
    )
    connection.commit()


def record_unread(
    connection: psycopg.Connection, settings: Settings, outcomes: Collection[Outcome], site: str
) -> None:
    """Record that nothing is known of what a site has, for those customers of whom something is there. Commits."""
    for outcome in outcomes:
        connection.execute(
            SQL["note_unread"], {"customer": outcome.customer_id, "sites": _names(settings, site)}
        )
        audit_log.note(connection, "failed", customer_id=outcome.customer_id)
    connection.commit()


def forget_site(connection: psycopg.Connection, site: str) -> None:
    """Delete a site that is gone from the books. Commits."""
    connection.execute(SQL["forget_site"], {"site": site})
    connection.execute(SQL["forget_accounts"], {"site": site})
    audit_log.note(connection, "site forgotten", {"site": site})
    connection.commit()
