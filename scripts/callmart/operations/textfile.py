"""Writes a textfile for Prometheus' node_exporter. Names and units follow Prometheus' conventions, and no label holds a
customer.
"""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from datetime import datetime
from pathlib import Path

from callmart.base.errors import UserError, is_disk_full, kind
from callmart.operations.health import KINDS, Books, Health

Samples = list[tuple[str, float]]  # labels, value


def write(file: Path, health: Health, now: datetime) -> None:
    """Write the file whole or not at all. Raises UserError."""
    draft = file.with_name(f".{file.name}.{os.getpid()}")  # node_exporter reads *.prom only
    try:
        draft.unlink(missing_ok=True)
        # Not through a link: its reader, who may own the folder, could lead to a file of ours, and have it opened.
        with draft.open("x", encoding="utf-8") as written:
            os.fchmod(written.fileno(), 0o644)  # its reader is another user, and it holds nothing secret
            written.write(text(health, now))
        draft.replace(file)
    except OSError as error:
        remedy = "make room there" if is_disk_full(error) else "make its folder, and let this user write"
        raise UserError(f"setting metrics_file: {file} can't be written ({kind(error)}); {remedy}") from None
    finally:
        with suppress(OSError):  # each run has a draft of its own, and would leave one more on a full disk
            draft.unlink()


def text(health: Health, now: datetime) -> str:
    """The metrics in Prometheus' text format."""
    lines: list[str] = []
    for name, meaning, samples in _metrics(health, now):
        if samples:
            lines += [f"# HELP callmart_{name} {meaning}", f"# TYPE callmart_{name} gauge"]
            lines += [f"callmart_{name}{labels} {value!r}" for labels, value in samples]
    return "\n".join(lines) + "\n"


def _metrics(health: Health, now: datetime) -> Iterator[tuple[str, str, Samples]]:
    count = Counter(trouble.kind for trouble in health.troubles)
    yield "health_timestamp_seconds", "When health was last looked at.", _one(now)
    yield "database_up", "Whether the database can be used.", [("", float(health.books is not None))]
    yield (
        "troubles",
        "What `callmart health` reports, by kind.",
        [(f'{{kind="{one}"}}', float(count[one])) for one in KINDS],
    )
    disks = {name: disk for name, disk in health.disks.items() if not isinstance(disk, str)}
    yield (
        "disk_free_bytes",
        "Free space of a volume.",
        [(f'{{volume="{name}"}}', float(disk.free)) for name, disk in disks.items()],
    )
    yield (
        "disk_size_bytes",
        "Size of a volume.",
        [(f'{{volume="{name}"}}', float(disk.total)) for name, disk in disks.items()],
    )
    yield (
        "certificate_end_timestamp_seconds",
        "When the certificate of a server ends.",
        [
            (f'{{server="{name}"}}', end.timestamp())
            for name, end in health.certificates.items()
            if isinstance(end, datetime)
        ],
    )
    if health.books is not None:
        yield from _of_books(health.books)


def _of_books(books: Books) -> Iterator[tuple[str, str, Samples]]:
    run, moments = books.run, books.moments
    yield "run_at_work", "Whether a run is at work.", [("", float(books.is_at_work))]
    yield "last_run_success_timestamp_seconds", "When the last good run ended.", _one(moments.good_run_at)
    if run is not None:
        yield "last_run_timestamp_seconds", "When the last run began that is not at work.", _one(run.began_at)
        yield "last_run_problems", "The problems of that run.", [("", float(run.problems))]
    if run is not None and run.ended_at is not None:
        seconds = (run.ended_at - run.began_at).total_seconds()
        yield "run_duration_seconds", "How long that run took.", [("", seconds)]
        yield (
            "run_stage_duration_seconds",
            "How long each stage of that run took.",
            [
                (f'{{stage="{one.stage}"}}', (one.ended_at - one.began_at).total_seconds())
                for one in run.stages
                if one.ended_at is not None
            ],
        )
    yield (
        "days_held_back",
        "Days that are held back.",
        [("", float(sum(days for _, days in books.held_back)))],
    )
    yield "customers_silent", "Customers without the usual data.", [("", float(len(books.silent)))]
    yield "customers_behind", "Customers of whom Tableau is behind.", [("", float(len(books.behind)))]
    yield "last_backup_timestamp_seconds", "When the last backup was made.", _one(moments.backed_up_at)


def _one(moment: datetime | None) -> Samples:
    """A sample without labels, or none."""
    return [("", moment.timestamp())] if moment else []
