"""Lands files: stores their events in `raw` exactly once, a file whole or not at all.

`prepare` drops what the gate doesn't let in, and replaces persons by keys. The loader streams the result to the server
as binary COPY. A function of the owner merges it and marks the affected days as dirty, in the same transaction.

Many small files share a transaction. If it fails, its halves are landed, and so on: what is wrong with one file stops
none of the others. The next ones are prepared while the server stores some, but not while these are sent: that keeps
two cores busy already.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import cache, partial
from itertools import chain, islice
from pathlib import Path
from typing import NamedTuple

import duckdb
import pyarrow as pa
from adbc_driver_manager import Error as AdbcError

from callmart.base.ahead import ahead
from callmart.base.batches import batched
from callmart.base.errors import DISK_FULL, UserError, kind
from callmart.base.settings import Settings
from callmart.land import found, lines, readers
from callmart.land.admission import KnownKeys, current_gate
from callmart.land.found import Delivery, Found
from callmart.land.gate import Defaults, Gate
from callmart.land.loader import REFUSED, Kept, Loader, NoneLands, primary
from callmart.land.look import Look, refuse_name, unreadable
from callmart.land.prepare import Prepared, prepare
from callmart.land.source import Limits, Source, Tally

MOST_FILES = 1000  # that are looked at and read together
MOST_BYTES = 32 << 20  # of files that are read before the first lands; a larger file counts as a block
MOST_BLOCKS = 3  # of small files that share a transaction; as many are prepared before a file's turn
FILES_TOGETHER = 500  # small files that share a transaction at most, so that others can be prepared meanwhile
TRIES = 3  # while the registry changes
ENDED = "57P01"  # the SQLSTATE of a session that somebody has ended
OTHER_ZONE = "CM001"  # the SQLSTATE of raw.refuse_other_zone
# The SQLSTATEs, or how they begin, when a file fails whatever it holds: the disk is full, there is no room for one more
# session, or the server can't read or write its own files. Memory can be short for one file alone.
OF_ALL_FILES = (DISK_FULL, "53300", "58")
NO_THREAD = "Failed to launch worker thread"  # Arrow has no class for it


@dataclass(frozen=True)
class Landed:
    """The result for one file. `rows`, `rejected`, `turned_away` and `waiting` count rows of the file, the others
    events.
    """

    file: str
    rows: int = 0
    landed: int = 0
    repeated: int = 0
    rejected: int = 0
    turned_away: int = 0
    waiting: int = 0  # of customers whose key can't be read: they land when it is back
    wrong_keys: tuple[str, ...] = ()  # what is wrong with these keys
    erased: int = 0  # of persons or calls that were erased: left out, known already, or landed without them
    unchanged: bool = False  # landed before, and what the registry says of its customers is the same
    incomplete_last_line: bool = False  # of an unchanged file only known if somebody named it
    first_rejects: tuple[tuple[int, str], ...] = ()
    unknown_verbs: tuple[tuple[str, int], ...] = ()


# A file, and what became of it. An exception says why it did not land; only the message of a UserError is safe to show.
Outcome = tuple[Delivery, Landed | Exception]


def land(settings: Settings, path: Path, format: str, defaults: Defaults) -> Landed:
    """Land one file, as far as its lines are complete.

    Raises UserError if the file as a whole can't land; then nothing of it has landed.
    """
    ((_, outcome),) = land_all(settings, [Delivery(path, format, defaults)])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def land_all(settings: Settings, deliveries: Iterable[Delivery]) -> Iterator[Outcome]:
    """Land files, and yield what became of each as soon as that is known.

    Raises UserError if nothing can land, because the loader can't log in, another session keeps the server from
    it, its disk is full, or the installation's key is missing.
    """
    known_keys: KnownKeys = {}
    with Loader(settings, known_keys) as loader, Loader(settings, known_keys) as next_loader:
        for some in batched(deliveries, MOST_FILES):
            waiting: list[Delivery] = []
            for delivery, outcome in _look(loader, some):
                if outcome is None:
                    waiting.append(delivery)
                else:
                    yield delivery, outcome
            for files in _read(waiting):
                with ExitStack() as opened:
                    for _, file in files:
                        if isinstance(file, Found):
                            opened.callback(file.file.close)
                    yield from _land_read(loader, next_loader, files)


def _look(
    loader: Loader, deliveries: Sequence[Delivery]
) -> Iterator[tuple[Delivery, Landed | UserError | None]]:
    """Look at files without reading them. What became of a file is None if it has to be read."""
    most = loader.settings.max_file_gib
    looks: list[tuple[Delivery, Look]] = []
    for delivery in deliveries:
        try:
            refuse_name(delivery.path)
            looks.append((delivery, Look.of(delivery.path.lstat())))
        except (OSError, UserError):
            yield delivery, None  # reading it says what is wrong
    recognised = loader.recognised(looks)
    for position, (delivery, look) in enumerate(looks):
        if position in recognised:
            yield delivery, _unchanged(delivery)
        elif look.size > most * (1 << 30):  # a terabyte without contents takes no place, and hours to read
            yield (
                delivery,
                UserError(
                    f"{delivery.path} holds more than {most:,} GiB: deliver it in parts, or raise max_file_gib in "
                    "callmart.toml"
                ),
            )
        else:
            yield delivery, None


def _read(deliveries: Sequence[Delivery]) -> Iterator[list[tuple[Delivery, Found | Exception]]]:
    """Read files, so many at a time as fit into memory. An exception says why one can't be read."""
    files: list[tuple[Delivery, Found | Exception]] = []
    size = 0
    for delivery in deliveries:
        try:
            file: Found | Exception = found.find(delivery)
        except Exception as error:
            file = _as_problem(delivery.path, error)
        files.append((delivery, file))
        if isinstance(file, Found):
            size += found.BLOCK if file.data is None else len(file.data)
        if size >= MOST_BYTES:
            yield files
            files, size = [], 0
    if files:
        yield files


def _land_read(
    loader: Loader, next_loader: Loader, files: Sequence[tuple[Delivery, Found | Exception]]
) -> Iterator[Outcome]:
    """Land those files whose content has not landed. Of several with the same content only one is stored."""
    known = loader.has_landed([file for _, file in files if isinstance(file, Found)])
    sources: dict[tuple[str, str], Source] = {}
    copies: list[Source] = []
    for number, (delivery, file) in enumerate(files):
        if isinstance(file, Exception):
            yield delivery, file
        elif file.content in known:
            yield delivery, _unchanged(delivery)
        else:
            try:
                source = readers.open_source(file, number, limits(loader.settings))
            except Exception as error:
                yield delivery, _as_problem(delivery.path, error)
            else:
                if sources.setdefault(file.content, source) is not source:
                    copies.append(source)
    groups = grouped([*sources.values()])
    begun: _Preparation | None = None
    with ThreadPoolExecutor(1) as beside:
        for group, following in zip(groups, [*groups[1:], []], strict=False):
            begin = cache(partial(beside.submit, _begin, next_loader, following))  # at most once
            for source, outcome in _land_together(loader, group, begin, begun):
                yield _noted(known, source, outcome)
            begun = begin().result()
    for source in copies:
        if source.found.content in known:
            yield source.found.delivery, _unchanged(source.found.delivery)
        else:
            ((_, outcome),) = _land_together(loader, [source])
            yield _noted(known, source, outcome)


def _noted(known: set[tuple[str, str]], source: Source, outcome: Landed | Exception) -> Outcome:
    """What became of a file. Its content is known now if all of it landed."""
    if isinstance(outcome, Landed) and not outcome.waiting:
        known.add(source.found.content)
    return source.found.delivery, outcome


def grouped(sources: Sequence[Source]) -> list[list[Source]]:
    """The files that share a transaction. Their order stays, as it decides which of contradicting events is stored."""
    groups: list[list[Source]] = []
    filled = math.inf
    for source in sources:
        blocks = max(source.blocks, MOST_BLOCKS / FILES_TOGETHER) if source.is_small else math.inf
        filled += blocks
        if filled > MOST_BLOCKS:
            groups.append([])
            filled = blocks
        groups[-1].append(source)
    return groups


class _Preparation(NamedTuple):
    """Files whose events are being prepared by a version of the registry, and what became of the others."""

    version: int
    sources: list[Source]
    gate: Gate
    prepared: Prepared
    batches: Iterator[pa.RecordBatch]
    outcomes: dict[int, Landed | Exception]


def _begin(loader: Loader, sources: Sequence[Source]) -> _Preparation | None:
    """Prepare the beginning of a group, if there is one. Not if that fails: what is wrong is said in its turn."""
    if not sources:
        return None
    try:
        preparation = _prepare(loader, sources)
        if not preparation.sources:  # what is wrong with their customers is said in their turn
            return None
        first = list(islice(preparation.batches, MOST_BLOCKS - 1))  # and the next one is made meanwhile
    except Exception:
        with suppress(Exception):
            loader.reset()
        return None
    return preparation._replace(batches=chain(first, preparation.batches))


def _prepare(loader: Loader, sources: Sequence[Source]) -> _Preparation:
    """Prepare files by the registry as it is now. Raises UserError if nothing can land."""
    version, gate = loader.read(
        lambda connection: current_gate(connection, loader.settings, loader.known_keys)
    )
    outcomes = _of_strangers(sources, gate) | _of_keyless(sources, gate)
    counted = [replace(source, tally=Tally()) for source in sources if source.number not in outcomes]
    prepared = prepare(counted, gate)
    return _Preparation(version, counted, gate, prepared, ahead(prepared.batches()), outcomes)


def _land_together(
    loader: Loader,
    sources: Sequence[Source],
    on_sent: Callable[[], object] = lambda: None,
    begun: _Preparation | None = None,
) -> Iterator[tuple[Source, Landed | Exception]]:
    """Land files in one transaction, or if that fails, in two. If the session was lost, as another command may end one
    that is in its way, they are tried once more before that. Calls `on_sent` whenever all their events were handed to
    the driver. Yields what became of the files.
    """
    was_ended = False
    preparations = chain([begun] if begun else [], (_prepare(loader, sources) for _ in range(TRIES)))
    for preparation in preparations:
        registered, outcomes = preparation.sources, preparation.outcomes
        try:
            sent = preparation._replace(batches=_telling(preparation.batches, on_sent))
            stored = _stored(loader, sent) if registered else {}
        except NoneLands:
            raise
        except Exception as error:
            with suppress(Exception):
                loader.reset()
            if preparation is begun and not isinstance(error, UserError):
                continue  # a session was lost meanwhile, somebody was erased, or memory was short for two groups
            if _is_lost(error) and not was_ended:
                was_ended = True
                continue
            if len(registered) > 1:
                yield from (
                    (source, outcomes[source.number]) for source in sources if source.number in outcomes
                )
                half = len(registered) // 2
                for some in (registered[:half], registered[half:]):
                    yield from _land_together(loader, some, on_sent)
                return
            _refuse_all(error)
            stored = {registered[0].number: _as_problem(registered[0].path, error)}
        if stored is not None:
            known = outcomes | stored
            yield from ((source, known[source.number]) for source in sources)
            return
    for source in sources:
        yield source, UserError(f"the registry changed while {source.path} was being read; land it again")


def _telling(batches: Iterator[pa.RecordBatch], on_end: Callable[[], object]) -> Iterator[pa.RecordBatch]:
    yield from batches
    on_end()


def _of_strangers(sources: Sequence[Source], gate: Gate) -> dict[int, Landed | Exception]:
    """What becomes of the files of customers that the registry doesn't know, or no longer."""
    customers = {None, *gate.customers["customer_id"].to_pylist()}
    return {
        source.number: UserError(
            f"customer {source.defaults.customer_id} is not in the registry; add it and apply the registry first, "
            "or if it has left, remove its folder from callmart.toml and delete its files"
        )
        for source in sources
        if source.defaults.customer_id not in customers
    }


def _of_keyless(sources: Sequence[Source], gate: Gate) -> dict[int, Landed | Exception]:
    """What becomes of the files of customers whose key can't be read. One sentence is said of all that one has."""
    return {
        source.number: UserError(gate.keyless[customer])
        for source in sources
        if (customer := source.defaults.customer_id) is not None and customer in gate.keyless
    }


def _stored(loader: Loader, preparation: _Preparation) -> dict[int, Landed | Exception] | None:
    """Store the files' events in one transaction; None if the registry has changed. Raises what fails for all files."""
    kept = loader.store(preparation.prepared, preparation.batches, preparation.version)
    if kept is None:
        return None
    for source in preparation.sources:
        if not source.is_small:
            found.refuse_changed(source.found)
    loader.commit()
    return {
        source.number: source.tally.refusal or _landed(source, kept[source.number], preparation.gate)
        for source in preparation.sources
    }


def _landed(source: Source, kept: Kept, gate: Gate) -> Landed:
    tally = source.tally
    rejects = pa.concat_tables(tally.rejects).sort_by("line_number") if tally.rejects else None
    return Landed(
        source.path.name,
        rows=tally.rows,
        landed=kept.landed,
        repeated=kept.repeated,
        rejected=tally.rejected,
        turned_away=tally.turned_away,
        waiting=tally.waiting,
        wrong_keys=tuple(gate.keyless[customer] for customer in sorted(tally.waiting_by)),
        erased=kept.of_erased,
        incomplete_last_line=tally.incomplete_last_line,
        first_rejects=tuple(
            (row["line_number"], row["reason"])
            for row in (rejects.slice(0, 5).to_pylist() if rejects else [])
        ),
        unknown_verbs=tuple(sorted(tally.unknown_verbs.items())),
    )


def _unchanged(delivery: Delivery) -> Landed:
    # A run has named the missing line when the rest landed, and does not open files that are known.
    is_incomplete = delivery.listed is None and lines.lacks_last_line_end(delivery.path)
    return Landed(delivery.path.name, unchanged=True, incomplete_last_line=is_incomplete)


def limits(settings: Settings) -> Limits:
    """Return what a file may hold. The limit of rejects is the allowed share of the allowed number of rows."""
    return Limits(
        rows=settings.max_file_rows,
        gib=settings.max_file_gib,
        rejects=int(settings.max_reject_share * settings.max_file_rows),
        reject_share=settings.max_reject_share,
    )


def _is_lost(error: Exception) -> bool:
    """Whether the session was ended. The driver has no SQLSTATE for it unless the server was at work."""
    return isinstance(error, AdbcError) and error.sqlstate in (None, "", ENDED)


def _refuse_all(error: Exception) -> None:
    """Raise NoneLands if this error of one file would be that of all the others."""
    if isinstance(error, AdbcError) and (error.sqlstate or "").startswith(OF_ALL_FILES):
        raise NoneLands(
            f"no file can land: the server failed ({kind(error)}); mend that, and land again"
        ) from None


def _as_problem(path: Path, error: Exception) -> Exception:
    """What to say about a file that did not land."""
    if isinstance(error, AdbcError):
        if error.sqlstate == OTHER_ZONE:
            return UserError(
                f"{path} did not land: {primary(error)}; if the former zone is right, name it for the folder "
                "(`time_zone`) or the file (`--timezone`); if not, docs/runbook.md says how to land anew"
            )
        if error.sqlstate == REFUSED:
            return UserError(f"{path} did not land: the server refused it ({primary(error)}); land it again")
        if _is_lost(error):
            return UserError(
                f"{path} did not land: its session was ended twice, by another command or the server; land it again"
            )
        return UserError(f"{path} did not land: the server failed (SQLSTATE {error.sqlstate}); land it again")
    if isinstance(error, MemoryError | duckdb.OutOfMemoryException) or NO_THREAD in str(error):
        error = UserError(f"{path} did not land: there is too little memory; free some, and land it again")
    elif isinstance(error, OSError | pa.ArrowException | duckdb.Error):
        error = unreadable(path, error)
    return error
