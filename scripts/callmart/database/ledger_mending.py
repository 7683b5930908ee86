"""Lets the privacy ledger, its copy and the database say the same again."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Literal, get_args

import psycopg

from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.database import audit_log, chain, ledger, ledger_files, ledger_rows
from callmart.database.chain import Chain
from callmart.database.ledger import Said
from callmart.database.ledger_files import REPLAY

# Why a ledger and its copy are both gone. A person says which; it is an incident.
Lost = Literal["never-copied", "volume-lost", "site-lost", "damaged", "deleted-by-mistake"]


@dataclass(frozen=True)
class Mended:
    """What a replay found. `differing` are the customers of whom one of the three lacked something."""

    entries: int
    differing: frozenset[int]


def mend(connection: psycopg.Connection, settings: Settings, lost: Lost | None = None) -> Mended:
    """Let ledger, copy and database say the same again, in the caller's transaction. Nothing that one of them knows is
    given up before it is over.

    Raises UserError if none of ledger and copy can be read and no reason is given, or if they contradict each other.
    """
    in_database = ledger_rows.read(connection)
    of_database = chain.whole(in_database)
    readable: list[Chain] = []
    for path in ledger_files.both(settings):
        with suppress(UserError):
            readable.append(ledger_files.read(path))
    if of_database is not None and len(readable) > 1:
        agreeing = [each for each in readable if _continue_each_other([each, of_database])]
        readable = agreeing or readable
    if lost:
        audit_log.note(connection, "ledger lost", {"reason": lost})
    elif not readable and of_database is not None:
        where = " and ".join(map(str, reversed(ledger_files.both(settings))))
        raise UserError(
            f"the privacy ledger can't be read ({where}): bring it back, or if it is gone for good, {say_why()}"
        )
    chains = [*readable, *([of_database] if of_database is not None else ())]
    if not chains:
        return Mended(0, frozenset())
    if not _continue_each_other(chains):
        raise UserError(
            "the privacy ledger, its copy and the database contradict each other: move away the file that is another "
            f"installation's, or that somebody changed, and {REPLAY} again"
        )
    said = [each.by_number for each in (*readable, in_database)]
    differing = ledger.differing(connection, settings, said)
    merged = _merged(chain.longest(chains), said, settings)
    ledger_rows.note_ledger(connection, settings, merged)
    for path in ledger_files.both(settings):
        ledger_files.write(settings, path, merged)
    known = in_database.by_number
    ledger_rows.note(connection, [entry for entry in merged.entries if known.get(entry.number) != entry])
    ledger_rows.note_secrets(connection, settings, merged.entries)
    return Mended(len(merged.entries), differing)


def say_why() -> str:
    """What a person has to say if the ledger is lost."""
    return f"say why with `--ledger-lost`, one of {', '.join(get_args(Lost))}; that is an incident"


def _continue_each_other(chains: Sequence[Chain]) -> bool:
    """Whether each chain is the longest one, or its beginning."""
    longest = chain.longest(chains)
    return all(each.common(longest) == len(each.entries) for each in chains)


def _merged(longest: Chain, said: Sequence[Said], settings: Settings) -> Chain:
    """The longest chain, with every body that one of the three has, but for those that have ended: they are over, and
    one of the three has them no more.
    """
    entries = []
    for entry in longest.entries:
        best = ledger.best(said, entry.number)
        given_up = any(entry.number in each and each[entry.number].body is None for each in said)
        if best.body is not None and given_up and ledger.is_over(best.body, settings):
            best = best.without_body()
        entries.append(replace(entry, salt=best.salt, body=best.body))
    return replace(longest, entries=tuple(entries))
