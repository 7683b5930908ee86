"""Rotates a customer's key: adds a layer to it, and keys anew what is stored, so that no series breaks.

| step | transactions |
| --- | --- |
| pages, mails and environments of the customer are removed, which can show keys | none |
| the layer is written to the key's file; nothing is keyed with it yet | none |
| everything outside of `raw` is keyed anew: marts, registry, register; now the new key is the customer's | one |
| the tables of `raw`, which nobody reads but a build | one per batch |

So readers see the former keys until they see the new ones. Until the last batch nothing lands, and nothing is computed
or backed up (database/rotation.py). After a crash the same command goes on, and so does the next run.

Tombstones stay as they are: they are of pseudonyms that are gone, and a backup from before must still be compared with
them. Landing looks them up before it adds the layer (land/erased.py). The server looks up by the new keys, for example
who objects: so beside the tombstone of an agent who is stored, a rotation writes what it is under the new key.
"""

from collections.abc import Mapping
from itertools import pairwise
from typing import Any, LiteralString, NamedTuple

import psycopg
from psycopg import sql

from callmart.access import sessions
from callmart.base import sql_file, telephone
from callmart.base.errors import UserError
from callmart.base.keys import (
    INSTALLATION,
    LAYER,
    add_layer,
    fingerprint_of,
    fits,
    is_pseudonym,
    key_file,
    keyed_number,
    known_key,
    layered,
    new_key,
    prefix_of,
)
from callmart.base.progress import OnStep, quietly
from callmart.base.settings import Settings
from callmart.database import audit_log, catalogue, fingerprints, ledger, restoring, rotation, vacuum
from callmart.opening import opening
from callmart.privacy import kept
from callmart.privacy.renewing import RENEWED, Renewing
from callmart.registry.applying import new_version
from callmart.retention import copies

SQL = sql_file.statements(__file__)

BATCH = 200_000  # rows
RAW = "raw"

# The tombstones that are looked up once per layer (land/erased.py, registry/erased.py). By any other, nobody would be
# known again unless it is renewed.
ASKED_PER_LAYER = ("agent", "device", "caller", "call", "contact", "recipient", "name")


class Table(NamedTuple):
    """A table with keys, or a month of one. `moment` is the column by which it is cut into batches, if there is one."""

    relation: str  # quoted
    schema: str
    numbers: list[str]  # its columns of bigint
    texts: list[str]
    moment: str | None


class Change(NamedTuple):
    """The layer that is added to a customer's key, and the tombstones that follow from it."""

    customer_id: int
    layer: bytes
    renewing: Renewing


class Batch(NamedTuple):
    """A customer's rows of a table: those from a moment on, before another; null: without that bound."""

    since: str | None
    until: str | None


def plan(connection: psycopg.Connection, settings: Settings, customer_id: int) -> dict[str, int]:
    """The number of the customer's rows in each table that has keys. Changes nothing.

    Raises UserError if this customer's key can't be rotated now.
    """
    _key(connection, settings, customer_id)
    counts = {}
    for table in _tables(connection):
        query = sql.SQL("select count(*) from {} where customer_id = %s").format(sql.SQL(table.relation))
        ((counts[table.relation],),) = connection.execute(query, [customer_id]).fetchall()
    connection.rollback()
    return {relation: rows for relation, rows in counts.items() if rows}


def rotate(connection: psycopg.Connection, settings: Settings, customer_id: int, on_step: OnStep) -> int:
    """Rotate a customer's key, or go on with a rotation that broke off. Commits. Returns the number of rows that were
    keyed anew.

    Raises UserError if it can't be rotated now; then nothing is keyed anew. If one of the customer's pages, mails or
    environments can't be removed, others of them may be gone.
    """
    with sessions.at_work(connection, settings, rotating=customer_id):
        if rotation.unfinished(connection) is None:
            _begin(connection, settings, customer_id)
        return _go_on(connection, settings, on_step)


def rotate_installation(connection: psycopg.Connection, settings: Settings) -> int:
    """Rotate the key of the installation: the names and contents of landed files get other keys. Commits, all at once.
    Returns the number of files.

    Raises UserError if it can't be rotated now; then nothing has changed.
    """
    with sessions.at_work(connection, settings):
        key = add_layer(settings.home, INSTALLATION, fingerprints.installation_key(connection, settings))
        new_version(connection)
        keys = [text for (text,) in connection.execute(SQL["keys_of_files"])]
        _note_new(connection, {text: layered(key[-LAYER:], text) for text in keys})
        files = connection.execute(SQL["key_files_anew"]).rowcount
        _install(connection, key, "rotated", files)
        return files


def replace_installation_key(connection: psycopg.Connection, settings: Settings) -> int:
    """Make another key of the installation after it was lost: no file that has landed is known again. Commits. Returns
    the number of files. The caller lets no other command work meanwhile.

    Raises UserError if the key is there, or in another home than that of the database; then nothing has changed.
    """
    if fingerprints.of_customers(connection):
        fingerprints.refuse_other_home(connection, settings)
    if fits(settings.home, INSTALLATION, fingerprints.known(connection)[INSTALLATION]):
        raise UserError("nothing was done: the key of this installation is there, and fits its data")
    new_version(connection)
    files = connection.execute(SQL["forget_files"]).rowcount
    # A kill before the commit leaves a key that does not fit either.
    _install(connection, new_key(settings.home, INSTALLATION), "lost", files)
    return files


def _install(connection: psycopg.Connection, key: bytes, why: str, files: int) -> None:
    """Let the database know the installation's new key, and note how many files that is about. Commits."""
    connection.execute(SQL["forget_looks"])
    connection.execute(SQL["new_installation"], {"fingerprint": fingerprint_of(key)})
    audit_log.note(connection, f"key of the installation {why}", {"files": files})
    vacuum.note(connection, "raw.file", whole=True)
    connection.commit()
    vacuum.vacuum(connection)


def add_next_layers(connection: psycopg.Connection, settings: Settings) -> list[int]:
    """Key a restored database anew with the next layer of each key that has more layers than the data. Commits. Returns
    the customers whose keys these are.
    """
    behind = [
        customer_id
        for customer_id, fingerprint in fingerprints.of_customers(connection).items()
        if known_key(settings.home, customer_id, fingerprint)
        != key_file(settings.home, customer_id).read_bytes()
    ]
    connection.commit()
    for customer_id in behind:
        rotate(connection, settings, customer_id, quietly)
    return behind


def finish(connection: psycopg.Connection, settings: Settings, on_step: OnStep) -> None:
    """Go on with a rotation that broke off, if there is one. Commits."""
    unfinished = rotation.unfinished(connection)
    connection.commit()
    if unfinished is not None:
        rotate(connection, settings, unfinished, on_step)


def _key(connection: psycopg.Connection, settings: Settings, customer_id: int) -> bytes:
    """The customer's key. Raises UserError if it is missing, or if something has to be done before a rotation."""
    fingerprint = fingerprints.of_customers(connection, [customer_id]).get(customer_id)
    if fingerprint is None:
        raise UserError(
            f"nothing was rotated: customer {customer_id} has no key; `callmart status` lists the customers"
        )
    key = known_key(settings.home, customer_id, fingerprint)
    _refuse_begun(connection, settings, customer_id)
    parameters = {"customer": customer_id, "kinds": [*ASKED_PER_LAYER, *RENEWED]}
    if other := connection.execute(SQL["other_tombstone"], parameters).fetchone():
        raise UserError(
            f"nothing was rotated: customer {customer_id} has a tombstone of the kind {other[0]}, which would know "
            "nobody under another key; install a version of callmart that can"
        )
    ledger.compare(connection, settings).refuse(customer_id)
    if unknown := connection.execute(SQL["unknown"]).fetchone():
        raise UserError(
            f"nothing was rotated: the keys of {unknown[0]} can't be keyed anew; make it a bigint or text, in a table "
            "with a customer_id"
        )
    return key


def _refuse_begun(connection: psycopg.Connection, settings: Settings, customer_id: int) -> None:
    """Raise UserError if a request has begun: what is kept for its proof is found by the key (privacy/kept.py). In a
    database that is being restored nothing is kept.
    """
    is_restored = restoring.unfinished(connection) is not None
    requests = connection.execute(SQL["approved_requests"], {"customer": customer_id}).fetchall()
    for number, has_begun, step in requests:
        if (has_begun and not is_restored) or kept.is_kept(settings.home, number):
            raise UserError(
                f"nothing was rotated: request {number} of customer {customer_id} has begun; finish it with "
                f"`callmart privacy {step} {number}`, then rotate"
            )


def _begin(connection: psycopg.Connection, settings: Settings, customer_id: int) -> None:
    """Add the layer, and key anew everything outside of `raw`. Commits."""
    former = _key(connection, settings, customer_id)
    copies.remove_copies(connection, settings, customer_id)  # before it begins: one may not be removable
    key = add_layer(settings.home, customer_id, former)
    change = Change(customer_id, key[-LAYER:], Renewing.of(connection, customer_id, key))
    new_version(connection)
    connection.execute(SQL["lock_register"])
    opening.forget_build(connection)
    _relabel(connection, change)
    rows = 0
    for table in _tables(connection):
        if table.schema != RAW:
            for batch in _batches(connection, table, customer_id):
                rows += _key_anew(connection, table, change, batch)
    parameters = {"customer": customer_id, "fingerprint": fingerprint_of(key), "rows": rows}
    for statement in ("note_former", "plan_again", "of_requests", "new_fingerprint", "write_anew", "begin"):
        connection.execute(SQL[statement], parameters)
    if catalogue.exists(connection, "store.agent"):
        connection.execute(SQL["name_agents"], parameters)
    connection.commit()


def _go_on(connection: psycopg.Connection, settings: Settings, on_step: OnStep) -> int:
    """Key anew what is left of `raw`, and remove what was drawn with former keys meanwhile. Commits each batch."""
    ((customer_id, fingerprint, reached, left_from),) = connection.execute(SQL["at_work"]).fetchall()
    key = known_key(settings.home, customer_id, fingerprint)
    change = Change(customer_id, key[-LAYER:], Renewing.of(connection, customer_id, key))
    tables = [table for table in _tables(connection) if table.schema == RAW]
    for number, table in enumerate(tables):
        on_step("rotate", table.relation, number, len(tables))
        if table.relation < reached or (table.relation == reached and left_from is None):
            continue
        since = left_from if table.relation == reached else None
        for batch in _batches(connection, table, customer_id, since):
            rows = _key_anew(connection, table, change, batch)
            connection.execute(
                SQL["note_batch"], {"rows": rows, "reached": table.relation, "left_from": batch.until}
            )
            connection.commit()
    copies.remove_copies(connection, settings, customer_id)  # nameless agents are called by their keys there
    change.renewing.forget_former(connection)
    ((rows,),) = connection.execute(SQL["end"]).fetchall()
    audit_log.note(connection, "key rotated", {"rows": rows}, customer_id)
    connection.commit()
    on_step("rotate", "done", len(tables), len(tables))
    vacuum.vacuum(connection)
    return int(rows)


def _tables(connection: psycopg.Connection) -> list[Table]:
    """The tables with keys of customers, by name, and each month for itself."""
    return [Table(*row) for row in connection.execute(SQL["tables"]).fetchall()]


def _batches(
    connection: psycopg.Connection, table: Table, customer_id: int, since: str | None = None
) -> list[Batch]:
    """A customer's rows of a table, from a moment on, cut by their moments. No rotation changes these."""
    if table.moment is None:
        return [Batch(None, None)]
    query = sql.SQL(SQL["starts"]).format(
        table=sql.SQL(table.relation), moment=sql.Identifier(table.moment), rows=_rows_of(table)
    )
    parameters = {"customer": customer_id, "since": since, "until": None, "batch": BATCH}
    starts = [start for (start,) in connection.execute(query, parameters)]
    return [Batch(*bounds) for bounds in pairwise([*starts, None])]


def _rows_of(table: Table) -> sql.Composable:
    """The condition for the rows of a batch."""
    if table.moment is None:
        return sql.SQL("customer_id = %(customer)s")
    return sql.SQL(
        "customer_id = %(customer)s"
        " and (%(since)s::text is null or {moment} >= %(since)s::text::timestamptz)"
        " and (%(until)s::text is null or {moment} < %(until)s::text::timestamptz)"
    ).format(moment=sql.Identifier(table.moment))


def _key_anew(connection: psycopg.Connection, table: Table, change: Change, batch: Batch) -> int:
    """Key a batch anew, and note that its former rows are to leave the files. Returns the number of its rows. The new
    keys are computed here, so that no statement has the layer.
    """
    names = {"table": sql.SQL(table.relation), "rows": _rows_of(table)}
    parameters = {"customer": change.customer_id, "since": batch.since, "until": batch.until}

    def found(columns: list[str]) -> list[Any]:
        values = sql.SQL(", ").join(map(sql.Identifier, columns))
        query = sql.SQL(SQL["values"]).format(columns=values, **names)
        return [value for (value,) in connection.execute(query, parameters)] if columns else []

    prefix = prefix_of(change.layer, "number")
    numbers = {number: keyed_number(prefix, number) for number in found(table.numbers)}
    texts = {text: layered(change.layer, text) for text in found(table.texts) if is_pseudonym(text)}
    if not numbers and not texts:
        return 0
    change.renewing.renew(connection, texts)
    known = {
        "former_numbers": list(numbers),
        "new_numbers": list(numbers.values()),
        "former_texts": list(texts),
        "new_texts": list(texts.values()),
    }
    rows = connection.execute(_keying(table), parameters | known).rowcount
    vacuum.note(connection, table.relation, whole=True)
    return rows


def _keying(table: Table) -> sql.Composed:
    """The statement that keys a batch of a table anew: each column looks up its new key by the former one."""
    columns = [("numbers", "bigint", column) for column in table.numbers]
    columns += [("texts", "text", column) for column in table.texts]

    def each(text: LiteralString, between: LiteralString) -> sql.Composable:
        return sql.SQL(between).join(
            sql.SQL(text).format(
                former=sql.Placeholder(f"former_{kind}"),
                new=sql.Placeholder(f"new_{kind}"),
                of_type=sql.SQL(of_type),
                of=sql.Identifier(f"of_{column}"),
                column=sql.Identifier(column),
            )
            for kind, of_type, column in columns
        )

    news = "unnest({former}::{of_type}[], {new}::{of_type}[]) as {of} (former, new)"
    relation = sql.SQL(table.relation)
    return sql.SQL(SQL["key_anew"]).format(
        columns=each("{column}", ", "),
        keyed=each("keyed.{column}", ", "),
        news=each("coalesce({of}.new, e.{column}) as {column}", ", "),
        joined=sql.SQL("{} as e {}").format(
            relation, each(f"left join {news} on e.{{column}} = {{of}}.former", " ")
        ),
        table=relation,
        rows=_rows_of(table),
    )


def _note_new(connection: psycopg.Connection, texts: Mapping[str, str]) -> None:
    """Have the server know new texts by the former ones, until the transaction ends."""
    for statement in ("make_new", "empty_new"):
        connection.execute(SQL[statement])
    with connection.cursor() as cursor:
        with cursor.copy("copy new_text (former, new) from stdin") as copy:
            for pair in texts.items():
                copy.write_row(pair)
        cursor.execute("analyze new_text")


def _relabel(connection: psycopg.Connection, change: Change) -> None:
    """Write the new labels of queues and lines of which only a key is kept: marts show it, and `raw` has it."""
    columns = connection.execute(SQL["labelled"]).fetchall()
    parameters = {"customer": change.customer_id}

    def filled(statement: str, relation: str, column: str) -> sql.Composed:
        return sql.SQL(SQL[statement]).format(table=sql.SQL(relation), label=sql.Identifier(column))

    shown = {
        label
        for each in columns
        for (label,) in connection.execute(filled("labels", *each), parameters).fetchall()
    }
    if not shown:
        return
    keys = [name for (name,) in connection.execute(SQL["names"], parameters) if is_pseudonym(name)]
    new = {telephone.label(key): telephone.label(layered(change.layer, key)) for key in keys}
    _note_new(connection, {label: new[label] for label in shown & new.keys()})
    for relation, column in columns:
        if connection.execute(filled("relabel", relation, column), parameters).rowcount:
            vacuum.note(connection, relation, whole=True)
