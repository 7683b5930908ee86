"""Removes what no contract keeps any more from the database, the keys and the disk.

The books say what is stored (which customers and days the files contain, which days were opened). Comparing them with
registry.kept_contract is cheap, so a night with nothing to remove costs nothing. Each customer is one transaction. Its
files are deleted before the commit: after a crash the books still name the customer, so the next run finishes. Its key
goes after the commit: in the books of a customer that left the registry nothing else says that there was one.
"""

import re
import shutil
from collections import Counter
from dataclasses import dataclass
from typing import Any

import psycopg
from psycopg import sql
from psycopg.rows import dict_row

from callmart.access import sessions
from callmart.base import disk, sql_file
from callmart.base.errors import UserError, kind
from callmart.base.keys import fits, key_file, write_keys
from callmart.base.matrix import matrix
from callmart.base.progress import OnCustomer
from callmart.base.settings import Settings
from callmart.database import audit_log, clock, fingerprints, row_security, vacuum
from callmart.declarations import dbt_project, mart_tables
from callmart.declarations.mart import Mart, reach
from callmart.environments import databases
from callmart.extract import extract
from callmart.mailing import places as outbox
from callmart.opening import opening
from callmart.registry.applying import forget_customer, new_version
from callmart.reports import shelf
from callmart.retention import copies, destroyed

SQL = sql_file.statements(__file__)


@dataclass(frozen=True)
class Removed:
    """What was removed of a customer, counted by kind. A key counts also if a new one replaced it. `whole` is true if
    none of the customer's data is left.
    """

    customer_id: int
    whole: bool
    counts: dict[str, int]


class Unremoved(UserError):
    """A customer's data could not be removed. The database is as it was; files may already be gone. The next run tries
    again.
    """

    def __init__(self, customer_id: int, error: Exception) -> None:
        where = f"{error.filename}, " if isinstance(error, OSError) and error.filename else ""
        super().__init__(
            f"what no contract keeps of customer {customer_id} was not removed ({where}{kind(error)}): "
            "the next run tries again"
        )
        self.customer_id = customer_id


Parameters = dict[str, Any]  # a customer, and what the statement `span` says, for a statement

# Queries and conditions that several statements have in them.
_ORDERED = sql.SQL(f"({SQL['ordered']})")
_NAMED_UNDULY = sql.SQL("({})").format(sql.SQL(SQL["named_unduly"]).format(ordered=_ORDERED))
_ALL = sql.SQL("true")
_OUTSIDE = sql.SQL("({day} < %(first)s or {day} >= %(until)s)")  # the row's day is outside the span


def remove(
    connection: psycopg.Connection, settings: Settings, on_customer: OnCustomer
) -> list[Removed | Unremoved]:
    """Remove what no contract keeps today, and mark as dirty the days whose numbers change by that. Environments that
    hold such a customer are dropped.

    Commits per customer. Returns one result per customer from whom something was removed, or could not be: one failure
    doesn't stop the rest. Raises UserError if the clock jumps meanwhile, or if rows of the registry could be hidden.
    """
    if hidden := row_security.hiding(connection, ["registry"]):
        raise UserError(
            f"nothing was removed: row security could hide rows of {hidden}, and who is hidden would seem to be gone;"
            " run `callmart access apply`, and the next run removes what no contract keeps"
        )
    removed: list[Removed | Unremoved] = []
    # A landing can be held open, and so can a query of what waits to be opened.
    with sessions.making_way(connection):
        _follow_calendar(connection)
        marts = mart_tables.of_customers(connection)
        gone, with_surplus = _gone(connection, settings), _with_surplus(connection, marts)
        connection.commit()
        for number, customer_id in enumerate([*gone, *with_surplus]):
            clock.require(connection, settings)  # what a contract keeps depends on the day
            try:
                databases.drop_of(connection, settings, customer_id)
                new_version(connection)
                counts, key = (
                    _remove_customer(connection, settings, customer_id, marts)
                    if customer_id in gone
                    else _remove_days(connection, settings, customer_id, marts)
                )
                counts = +counts  # drops the zeros
                if counts:
                    audit_log.note(connection, "removed", counts, customer_id)
                _commit(connection, settings, customer_id, key, whole=customer_id in gone)
                if counts:
                    removed.append(Removed(customer_id, customer_id in gone, dict(counts)))
            except Exception as error:
                connection.rollback()
                removed.append(Unremoved(customer_id, error))
            on_customer(customer_id, number + 1, len(gone) + len(with_surplus))
    vacuum.vacuum(connection)
    try:
        shelf.tidy(connection, settings)
    finally:  # a page that can't be removed keeps no mail
        outbox.tidy(connection, settings)
    return removed


def start_over(connection: psycopg.Connection, settings: Settings, customer_id: int) -> Removed:
    """Remove everything that was stored with a key that is lost, and make another key, so that the files that are still
    there land again. Commits.

    Raises UserError if the key is there, or if the customer has none.
    """
    fingerprint = fingerprints.of_customers(connection, [customer_id]).get(customer_id)
    if fingerprint is None:
        raise UserError(f"customer {customer_id} has no key: `callmart status` lists the customers")
    if fits(settings.home, customer_id, fingerprint):
        raise UserError(f"nothing was removed: the key of customer {customer_id} is there, and fits its data")
    with sessions.making_way(connection):
        databases.drop_of(connection, settings, customer_id)
        # Makes a new version, too. Without it files of several customers would stay.
        connection.execute("select registry.read_again(%s)", [customer_id])
        counts, key = _remove_customer(
            connection, settings, customer_id, mart_tables.of_customers(connection)
        )
        audit_log.note(connection, "removed", +counts, customer_id)
        audit_log.note(connection, "key lost", customer_id=customer_id)
        _commit(connection, settings, customer_id, key, whole=True)
    vacuum.vacuum(connection)
    return Removed(customer_id, True, dict(+counts))


def _follow_calendar(connection: psycopg.Connection) -> None:
    """Mark what a new day alone changes: days to build, and files with rows turned away before that can land now."""
    connection.execute("select ops.follow_contracts()")
    # Only then: a new version waits for the files that are landing.
    if connection.execute(SQL["begun_contract"]).fetchone():
        new_version(connection)
    connection.commit()


def _gone(connection: psycopg.Connection, settings: Settings) -> list[int]:
    """The customers that the statement `gone` finds, and those of whom only the key is left."""
    gone = sql.SQL(SQL["gone"]).format(ordered=_ORDERED, named_unduly=_NAMED_UNDULY)
    found = {customer_id for (customer_id,) in connection.execute(gone)}
    files = (settings.home / "keys").glob("customer_*.key")
    # The audit tells of files with other names, such as a copy.
    keys = [int(key[1]) for file in files if (key := re.fullmatch(r"customer_([0-9]+)\.key", file.name))]
    # A key of a customer that this database has never known is left alone: it may belong to another database.
    found |= {
        customer_id
        for (customer_id,) in connection.execute(
            sql.SQL(
                "select distinct customer_id from ops.audit_log where customer_id = any(%s)"
                " and action = 'registry applied' and customer_id not in (select customer_id from {} as ordered)"
            ).format(_ORDERED),
            [keys],
        )
    }
    return sorted(found)


def _with_surplus(connection: psycopg.Connection, marts: list[Mart]) -> list[int]:
    rows = connection.execute(
        sql.SQL(SQL["with_surplus"]).format(named_unduly=_NAMED_UNDULY),
        {"of_agents": [mart.name for mart in marts if matrix().is_detailed(mart.group)]},
    )
    return sorted(customer_id for (customer_id,) in rows)


def _remove_customer(
    connection: psycopg.Connection, settings: Settings, customer_id: int, marts: list[Mart]
) -> tuple[Counter[str], bytes | None]:
    """Remove everything of a customer but the file of its key; return the counts by kind, and the new key if it needs
    one.
    """
    counts: Counter[str] = Counter()
    parameters: Parameters = {"customer": customer_id}
    for mart in marts:
        counts["rows"] += _delete(connection, mart.table, _ALL, parameters)
    counts["events"] = _delete(connection, "raw.event", _ALL, parameters)
    counts["calls"] = _delete(connection, "raw.call", _ALL, parameters)
    counts["uses"] = _delete(connection, "raw.function_use", _ALL, parameters)
    counts["files"] = _delete_files(
        connection,
        "delete from raw.file_customer where customer_id = %(customer)s returning file_id",
        parameters,
    )
    ((counts["corrections"],),) = connection.execute(
        "select count(distinct entry) from privacy.correction where customer_id = %(customer)s", parameters
    ).fetchall()
    counts["agents"] = connection.execute(
        "select 1 from registry.agent where customer_id = %(customer)s", parameters
    ).rowcount
    for table in ("dirty_day", "held_back", "opened_day", "quality_failure"):
        _delete(connection, f"ops.{table}", _ALL, parameters)
    # The book counts them: after a crash the files can be gone.
    counts["extracts"] = _delete(connection, "ops.extract", _ALL, parameters)
    for table in ("report_use", "mailed"):
        _delete(connection, f"registry.{table}", _ALL, parameters)
    opening.forget_build(connection)

    # After a crash the file can be gone, and the registry still knows it.
    had_key = key_file(settings.home, customer_id).exists() or customer_id in fingerprints.of_customers(
        connection, [customer_id]
    )
    key = forget_customer(connection, customer_id)
    # A new key replaces it, for what is ordered for later.
    counts["keys"] = int(had_key or key is not None)
    packages = settings.home / disk.PACKAGES
    for folder in (extract.folder(settings), shelf.folder(settings), outbox.folder(settings), packages):
        if not disk.is_gone(folder / str(customer_id)):
            shutil.rmtree(folder / str(customer_id))
    if had_key:
        destroyed.note(connection, settings, customer_id)
    _note_to_vacuum(connection, marts)
    return counts, key


def _commit(
    connection: psycopg.Connection, settings: Settings, customer_id: int, key: bytes | None, *, whole: bool
) -> None:
    """Commit a customer's removal with the key that replaces the former one, if there is one. Without one, if the
    customer is removed `whole`, the key's file is then deleted.

    A kill in between leaves a file that does not fit, or one that nobody needs: the next run does it all once more.
    """
    if key is not None:
        write_keys(settings.home, {customer_id: key})
    connection.commit()
    if whole and key is None:
        key_file(settings.home, customer_id).unlink(missing_ok=True)


def _note_to_vacuum(connection: psycopg.Connection, marts: list[Mart]) -> None:
    """Events and what is computed of them have keys only. What is in clear leaves the files, too."""
    vacuum.note(connection, *(mart.table for mart in marts), "raw.event", "raw.call", "raw.function_use")
    vacuum.note(
        connection,
        *("registry.agent", "registry.contact", "registry.recipient", "registry.queue", "registry.line"),
        "registry.customer",
        *(mart.table for mart in marts if not mart.day),
        whole=True,
    )


def _remove_days(
    connection: psycopg.Connection, settings: Settings, customer_id: int, marts: list[Mart]
) -> tuple[Counter[str], bytes | None]:
    """Remove the days that a contract does not keep, and on kept days the agents' data. Return the counts by kind, and
    the new key if the customer starts over.
    """
    parameters: Parameters = {"customer": customer_id}
    with connection.cursor(row_factory=dict_row) as cursor:
        parameters |= cursor.execute(SQL["span"], parameters).fetchall()[0]
    if parameters["first"] is None:  # the customer's midnight has passed in the meantime
        return Counter(), None
    counts, key = _remove_events(connection, settings, customer_id, parameters)
    if counts["events"]:
        days = reach(dbt_project.marts(settings))
        connection.execute(SQL["mark_reached"], parameters | {"reach": days})
    for mart in marts:
        if mart.day:
            outside = _OUTSIDE.format(day=sql.Identifier(mart.day))
            counts["rows"] += _delete(connection, mart.table, outside, parameters)
    counts["uses"] = _delete(
        connection,
        "raw.function_use",
        sql.SQL("(month < %(first)s or month + interval '1 month' > %(until)s)"),
        parameters,
    )
    outside = sql.SQL("isfinite(call_date) and ") + _OUTSIDE.format(day=sql.Identifier("call_date"))
    for table in ("held_back", "opened_day", "quality_failure"):
        _delete(connection, f"ops.{table}", outside, parameters)
    counts += _remove_agents(connection, marts, parameters)
    if counts:
        counts["pages"] = copies.remove_before(connection, settings, customer_id, parameters["first"])
        # They are written anew. Until then the expiry has to know their oldest day.
        extract.read_again(connection, customer_id)
        opening.forget_build(connection)
        _note_to_vacuum(connection, marts)
    return counts, key


def _remove_events(
    connection: psycopg.Connection, settings: Settings, customer_id: int, parameters: Parameters
) -> tuple[Counter[str], bytes | None]:
    """Remove the events outside the span, and their records. A call that is partly in the span keeps that part. Returns
    the counts, and the new key if nothing is left.
    """
    counts: Counter[str] = Counter()
    counts["events"] = connection.execute(SQL["delete_events"], parameters).rowcount
    counts["calls"] = connection.execute(SQL["delete_calls"], parameters).rowcount
    connection.execute(SQL["shorten_calls"], parameters)
    counts["files"] = _delete_files(connection, SQL["leave_files"], parameters)
    connection.execute(SQL["shorten_files"], parameters)
    rest = connection.execute(
        "select 1 from raw.file_customer where customer_id = %(customer)s limit 1", parameters
    ).fetchone()
    if not counts["events"] or rest:
        return counts, None
    # No data is left, so it starts over like a new customer.
    counts["keys"] = 1  # replaced by a new one
    destroyed.note(connection, settings, customer_id)
    return counts, forget_customer(connection, customer_id)


def _remove_agents(connection: psycopg.Connection, marts: list[Mart], parameters: Parameters) -> Counter[str]:
    """Remove agents' data from days without detailed. Those days are built again, as they must show less now."""
    counts: Counter[str] = Counter()
    of_agents = [mart for mart in marts if matrix().is_detailed(mart.group)]
    with_days = [mart for mart in of_agents if mart.day]
    for mart in with_days:
        counts["agent_rows"] += _delete(connection, mart.table, _without_detailed(str(mart.day)), parameters)
    connection.execute(
        sql.SQL(SQL["empty_days"]).format(without_detailed=_without_detailed("call_date")),
        parameters | {"marts": [mart.name for mart in with_days]},
    )
    if counts["agent_rows"]:
        counts["uses"] = _delete(connection, "raw.function_use", _without_detailed("month"), parameters)
    for mart in of_agents:
        if not mart.day:
            counts["agent_rows"] += _remove_unreferenced(connection, mart, marts, parameters)
    counts["agents"] = connection.execute(
        sql.SQL(SQL["delete_agents"]).format(named_unduly=_NAMED_UNDULY),
        parameters,
    ).rowcount
    return counts


def _remove_unreferenced(
    connection: psycopg.Connection,
    mart: Mart,
    marts: list[Mart],
    parameters: Parameters,
) -> int:
    """In a mart without days, delete the rows whose key occurs in no mart with days."""
    condition = mart_tables.unreferenced(mart, marts, _ALL)
    if condition is None:
        return 0
    rows = connection.execute(
        sql.SQL("delete from {} as t where t.customer_id = %(customer)s and {}").format(
            sql.Identifier(*mart.table.split(".")), condition
        ),
        parameters,
    ).rowcount
    connection.execute(
        sql.SQL(
            """
            update ops.opened_day
            set row_count = (select count(*) from {} where customer_id = %(customer)s)
            where customer_id = %(customer)s and mart = %(mart)s
            """
        ).format(sql.Identifier(*mart.table.split("."))),
        parameters | {"mart": mart.name},
    )
    return rows


def _without_detailed(day: str) -> sql.Composable:
    """The condition that the contract keeps no agents' data of a row's day."""
    return sql.SQL("not exists ({})").format(sql.SQL(SQL["detailed"]).format(day=sql.Identifier(day)))


def _delete(
    connection: psycopg.Connection, table: str, condition: sql.Composable, parameters: Parameters
) -> int:
    return connection.execute(
        sql.SQL("delete from {} where customer_id = %(customer)s and {}").format(sql.SQL(table), condition),
        parameters,
    ).rowcount


def _delete_files(connection: psycopg.Connection, leave: str, parameters: Parameters) -> int:
    """Remove the customer from its files. Files without a customer are then deleted, with their rejected rows."""
    files = [file_id for (file_id,) in connection.execute(leave, parameters)]
    connection.execute(
        """
        delete from raw.file
        where file_id = any(%s) and file_id not in (select file_id from raw.file_customer where file_id = any(%s))
        """,
        [files, files],
    )
    return len(files)
