"""Many files at once land as they do one by one, one bad file stops no other, and known files are not read."""

import gzip
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from callmart.access import logins, roles
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.cli import main
from callmart.database import embedded_server
from callmart.land import admission, found, judging, landing, readers
from callmart.land.found import Delivery
from callmart.land.gate import Defaults, Gate
from callmart.land.loader import Loader
from callmart.land.look import Look
from callmart.land.prepare import Prepared
from callmart.land.source import Source
from callmart_home import Callmart
from commands import command_of, exit_code, use
from events import DETAILED, Row, at, event, log, ndjson, registry
from landing import land_and_die, land_interrupted
from today import TODAY

pytestmark = pytest.mark.dated

TOGETHER, ALONE = (1, 2), (3, 4)  # twins: what the ones land together, the others land one by one
NONE, LEAVING, WAITING, UNKNOWN, NONE_EITHER, UNKNOWN_EITHER = 5, 6, 7, 99, 8, 98
# Other customers without a contract and unknown ones: a file of theirs alone would be known to the twins.
OTHERS = {TOGETHER: (NONE, UNKNOWN), ALONE: (NONE_EITHER, UNKNOWN_EITHER)}
SETS = 4  # of files at random
CUSTOMERS = [f"id: {number}, {DETAILED}" for number in (*TOGETHER, *ALONE, LEAVING, WAITING)]


@pytest.fixture(scope="module", autouse=True)
def _registry(callmart: Callmart) -> None:
    callmart.apply(registry(*CUSTOMERS, *(f"id: {none}, contracts: []" for none in (NONE, NONE_EITHER))))


# what lands together equals what lands one by one


def events_at_random(rng: Random, calls: str) -> Iterator[Row]:
    """Few events, so that they repeat, and contradict each other under the same id."""
    while True:
        call = f"{calls}-{rng.randrange(4)}"
        moment = at("10:00", rng.randrange(3)) + timedelta(minutes=rng.randrange(3))
        row = rng.choice(
            [
                event(
                    "queue_joined", moment, call_id=call, queue=rng.choice("ab"), other_number="0612345678"
                ),
                event("agent_connected", moment, call_id=call, agent=rng.choice(["x", "y"]), queue="a"),
                event(
                    "agent_status",
                    moment,
                    agent=rng.choice(["x", "y"]),
                    reason=rng.choice(["break", "Lunch"]),
                ),
                event("agent_logged_in", moment, agent="x"),
                event("agent_logged_out", moment, agent="x", duration_s=rng.choice([60, 600])),
            ]
        )
        yield row | ({"event_id": f"{calls}-{rng.randrange(6)}"} if rng.random() < 0.3 else {})


def file_at_random(rng: Random, calls: str, customers: tuple[int, int]) -> bytes:
    """A file with rows of two customers, and perhaps of one without a contract or an unknown one."""
    rows = events_at_random(rng, calls)
    whose = (*customers, *customers, *customers, *OTHERS[customers])
    told = [next(rows) | {"customer_id": rng.choice(whose)} for _ in range(rng.choice([1, 3, 25]))]
    text = ndjson(*told)
    match rng.choice(
        ["as it is", "as it is", "as it is", "csv", "broken", "cut", "packed", "empty", "damaged", "log"]
    ):
        case "csv":
            columns = sorted({name for row in told for name in row})
            lines = [columns, *([str(row.get(name, "")) for name in columns] for row in told)]
            text = "".join(",".join(line) + "\n" for line in lines)
        case "broken":  # one row of 26 may be wrong, one of four may not
            text += "{}\n"
        case "cut":
            text += text[: len(text) // 2].rstrip("\n")
        case "packed":
            return gzip.compress(text.encode(), mtime=0)
        case "empty":
            text = ""
        case "damaged":
            return gzip.compress(text.encode(), mtime=0)[:-9]
        case "log":
            text = log(
                (at("11:00"), f"{calls}.1|q|NONE|ENTERQUEUE||0612345678|1"), (at("11:01"), "x|q|NONE|HELLO|")
            )
    return text.encode()


def state(callmart: Callmart, customers: tuple[int, int]) -> dict[str, Any]:
    """All that was stored of two customers, but for what follows from their keys, or from the order of landing."""
    of = "customer_id = any(%s)"
    tables = {
        "events": "select to_jsonb(e) - array['event_key', 'call_key', 'agent_key', 'number_key', 'device_key',"
        f" 'target_key', 'file_id', 'customer_id'] from raw.event as e where {of}",
        "ordinals": f"select ordinal, count(*) from raw.event where {of} group by 1",
        "calls": f"select first_at, last_at, spans_days from raw.call where {of}",
        "agents": f"select agent, last_day from registry.agent where {of}",
        "days": f"select call_date from ops.dirty_day where {of}",
        "files": f"select first_day, last_day, events from raw.file_customer where {of}",
    }
    return {
        name: sorted(str(list(row.values())) for row in callmart.rows(query, list(customers)))
        for name, query in tables.items()
    }


def test_what_lands_together_equals_what_lands_one_by_one(
    callmart: Callmart, tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if some are too large for it, and are prepared while those before them are stored."""
    rng = Random(seed)
    blocks = found.BLOCK, 8_000, 2_000
    for number in range(SETS):
        monkeypatch.setattr(found, "BLOCK", rng.choice(blocks))
        made = rng.randrange(2**32)
        paths: dict[tuple[int, int], list[Path]] = {}
        for customers in TOGETHER, ALONE:
            again = Random(made)
            (folder := tmp_path / f"{number}-{customers[0]}").mkdir()
            for name in range(again.randrange(2, 9)):
                (path := folder / str(name)).write_bytes(file_at_random(again, f"c{number}", customers))
                paths.setdefault(customers, []).append(path)
            if again.random() < 0.5:  # the same content twice
                (path := folder / "again").write_bytes(paths[customers][0].read_bytes())
                paths[customers].append(path)
        asked = [again.choice([None, None, 0]) for _ in paths[ALONE]]
        whose = {
            customers: [None if one is None else customers[one] for one in asked]
            for customers in (TOGETHER, ALONE)
        }
        told = callmart.land_all(*zip(paths[TOGETHER], whose[TOGETHER], strict=True))
        one_by_one = [
            callmart.land_all((path, one))[0] for path, one in zip(paths[ALONE], whose[ALONE], strict=True)
        ]
        folders = str(paths[TOGETHER][0].parent), str(paths[ALONE][0].parent)
        assert [str(one).replace(*folders) for one in told] == [str(one) for one in one_by_one]
        assert state(callmart, TOGETHER) == state(callmart, ALONE)
    assert state(callmart, TOGETHER)["events"], "a comparison of nothing"


# one bad file stops no other


def good(folder: Path, count: int, customer: int, name: str) -> list[Path]:
    """So many files of a call each."""
    paths = []
    for number in range(count):
        row = event("queue_joined", at("12:00"), customer_id=customer, call_id=f"{name}-{number}", queue="q")
        (path := folder / f"{name}-{number:02}").write_text(ndjson(row))
        paths.append(path)
    return paths


def test_files_share_a_transaction_up_to_a_few_blocks(
    callmart: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that many are prepared while as many are stored."""
    paths = good(tmp_path, 8, WAITING, "shared")
    monkeypatch.setattr(found, "BLOCK", paths[0].stat().st_size)  # each is a block
    paths[4].write_text(paths[4].read_text() * 2)
    commit, transactions = Loader.commit, list[Loader]()

    def committing(loader: Loader) -> None:
        transactions.append(loader)
        commit(loader)

    monkeypatch.setattr(Loader, "commit", committing)
    outcomes = callmart.land_all(*((path, None) for path in paths))
    assert [one.rows for one in outcomes if isinstance(one, landing.Landed)] == [1, 1, 1, 1, 2, 1, 1, 1]
    assert len(transactions) == len(["three", "one", "a large one", "three"])


@pytest.mark.parametrize(
    "lacking",
    [
        duckdb.OutOfMemoryException("no memory is left"),
        pa.ArrowException("Unknown error: Failed to launch worker thread"),
    ],
)
def test_too_little_memory_stops_those_alone_that_share_a_transaction(
    callmart: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lacking: Exception
) -> None:
    paths = good(tmp_path, 3, WAITING, type(lacking).__name__)
    monkeypatch.setattr(found, "BLOCK", paths[0].stat().st_size - 1)  # each is too large to share one
    set_up = judging.set_up

    def failing(connection: Any, given: dict[str, pa.Table], latest: datetime) -> None:
        if given["files_arrow"]["file_number"].to_pylist() == [1]:
            raise lacking
        set_up(connection, given, latest)

    monkeypatch.setattr(judging, "set_up", failing)
    first, second, third = callmart.land_all(*((path, None) for path in paths))
    assert [one.landed for one in (first, third) if isinstance(one, landing.Landed)] == [1, 1]
    assert second == f"{paths[1]} did not land: there is too little memory; free some, and land it again"


def test_what_fails_only_ahead_of_its_turn_is_prepared_again(
    callmart: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also if that is a later block, which is prepared while those before the file are stored."""
    paths = good(tmp_path, 2, WAITING, "ahead")
    monkeypatch.setattr(found, "BLOCK", paths[0].stat().st_size)
    monkeypatch.setattr(readers, "ENOUGH_ROWS", 1)
    for path in paths:  # each is of two blocks
        path.write_text(path.read_text() + path.read_text().replace('"call_id":"', '"call_id":"second '))
    events, judged, failed = Prepared._events, list[Any](), list[Any]()

    def failing(prepared: Prepared, *block: Any) -> pa.Table:
        judged.extend(prepared._sources)
        if judged.count(1) == 2 and not failed:
            failed.extend(prepared._sources)
            raise duckdb.OutOfMemoryException("no memory is left")
        return events(prepared, *block)

    monkeypatch.setattr(Prepared, "_events", failing)
    outcomes = callmart.land_all(*((path, None) for path in paths))
    assert failed == [1]
    assert [isinstance(one, landing.Landed) and one.rows for one in outcomes] == [2, 2]


def test_nothing_is_judged_of_files_whose_customers_are_unknown(
    callmart: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judged: list[Any] = []
    monkeypatch.setattr(judging, "set_up", lambda *given: judged.append(given))
    outcomes = callmart.land_all(*((path, UNKNOWN) for path in good(tmp_path, 2, UNKNOWN, "unknown")))
    assert [str(one).split(";")[0] for one in outcomes] == [f"customer {UNKNOWN} is not in the registry"] * 2
    assert not judged


def test_only_the_file_that_the_server_refuses_is_left(
    callmart: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its transaction fails; the files that shared it land all the same."""
    real = admission.current_gate

    def current_gate(*arguments: Any) -> tuple[int, Gate]:
        version, gate = real(*arguments)
        return version, replace(gate, latest=datetime(3000, 1, 1, tzinfo=UTC))

    monkeypatch.setattr(landing, "current_gate", current_gate)
    paths = good(tmp_path, 20, WAITING, "refused")
    bad = event(
        "queue_joined", datetime(2951, 1, 10, tzinfo=UTC), customer_id=WAITING, call_id="r", queue="q"
    )
    paths[7].write_text(ndjson(bad))
    outcomes = callmart.land_all(*((path, None) for path in paths))
    assert outcomes.pop(7) == (
        f"{paths[7]} did not land: the server refused it (an event is more than a day ahead of the database's clock);"
        " land it again"
    )
    assert [one.landed for one in outcomes if isinstance(one, landing.Landed)] == [1] * 19


def test_a_file_that_vanishes_or_breaks_off_leaves_the_others(
    callmart: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = good(tmp_path, 5, WAITING, "vanished")
    paths[1].write_bytes(gzip.compress(paths[1].read_bytes())[:-9])
    real = found.refuse_changed

    def refuse_changed(read: found.Found) -> None:
        if read.delivery.path == paths[3]:
            paths[3].unlink()
        real(read)

    monkeypatch.setattr(found, "refuse_changed", refuse_changed)
    outcomes = callmart.land_all(*((path, None) for path in paths))
    assert [isinstance(one, landing.Landed) and one.landed for one in outcomes] == [1, False, 1, False, 1]
    assert outcomes[1] == f"{paths[1]} is damaged or breaks off; deliver the whole file again"
    assert str(outcomes[3]).startswith(f"{paths[3]} vanished meanwhile")


def test_each_copy_of_a_file_that_can_not_land_is_told(callmart: Callmart, tmp_path: Path) -> None:
    """However many there are. The one that can lands all the same."""
    (fine,) = good(tmp_path, 1, WAITING, "copied")
    broken = gzip.compress(fine.read_bytes())[:-9]
    paths = [fine]
    for number in range(landing.MOST_FILES):
        (path := tmp_path / f"empty-{number}").write_bytes(b"")
        paths.append(path)
    for number in range(3):
        (path := tmp_path / f"broken-{number}").write_bytes(broken)
        paths.append(path)
    (path := tmp_path / "second").write_bytes(fine.read_bytes())
    outcomes = callmart.land_all(*((one, None) for one in [*paths, path]))
    assert [one for one in outcomes if isinstance(one, landing.Landed)] == [outcomes[0], outcomes[-1]]
    assert isinstance(outcomes[-1], landing.Landed) and outcomes[-1].unchanged
    for one, outcome in zip(paths[1:], outcomes[1:-1], strict=True):
        assert str(outcome).startswith(f"{one} ")


def test_what_landed_is_told_though_the_next_can_not_land(
    callmart: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    paths = good(tmp_path, 2, WAITING, "told")
    # Each is too large to share a transaction.
    monkeypatch.setattr(found, "BLOCK", paths[0].stat().st_size - 1)
    prepared = landing._prepare

    def failing(loader: Loader, sources: Sequence[Source]) -> Any:
        if sources[0].path == paths[1]:
            raise UserError("the key of a customer is missing")
        return prepared(loader, sources)

    monkeypatch.setattr(landing, "_prepare", failing)
    defaults, told = Defaults(None, "vcloud", False, None), []
    with pytest.raises(UserError, match="the key of a customer is missing"):
        for delivery, _ in landing.land_all(
            callmart.settings, [Delivery(path, "auto", defaults) for path in paths]
        ):
            told.append(delivery.path)
    assert told == [paths[0]]


def test_the_command_tells_what_landed_before_nothing_could(
    callmart: Callmart,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    paths, land_all = good(tmp_path, 2, WAITING, "command"), landing.land_all

    def breaking_off(settings: Settings, deliveries: Sequence[Delivery]) -> Iterator[landing.Outcome]:
        yield from land_all(settings, deliveries[:1])
        raise UserError("no file can land; wait")

    use(callmart.settings, monkeypatch)
    monkeypatch.setattr(landing, "land_all", breaking_off)
    monkeypatch.setattr(sys, "argv", ["callmart", "land", *map(str, paths)])
    with pytest.raises(SystemExit) as end:
        main.main()
    said = capsys.readouterr()
    assert end.value.code == 2
    assert f"{paths[0].name}: 1 row: " in said.out
    assert "no file can land; wait" in said.err


def test_the_command_tells_that_a_known_file_lacks_its_last_line(callmart: Callmart, tmp_path: Path) -> None:
    whole, cut = good(tmp_path, 2, WAITING, "last line")
    cut.write_text(cut.read_text() + '{"event": "call_')
    land = command_of(callmart.home)
    assert land("land", whole, cut).returncode == 0
    assert land("land", whole, cut).stdout.splitlines() == [
        f"{whole.name}: landed before, nothing to do",
        f"{cut.name}: landed before, without its last line, which has no line end: land it again when it has",
    ]


def test_a_session_that_keeps_the_server_from_landing_is_told_once(
    callmart: Callmart, tmp_path: Path
) -> None:
    """Not once per file, after an hour each."""
    paths = good(tmp_path, 3, WAITING, "occupied")
    role = roles.duty_role(embedded_server.DATABASE, "loader")

    def allow(time: str) -> None:
        with callmart.superuser() as superuser:
            superuser.execute(f"alter role {role} set statement_timeout = '{time}'")
            superuser.execute(
                "select pg_terminate_backend(pid, 5000) from pg_stat_activity where usename = %s", [role]
            )

    allow("1s")
    with logins.connect(callmart.settings, "loader") as other:
        other.execute("select raw.receive(-1)")
        with pytest.raises(UserError, match="no file can land: another session"):
            callmart.land_all(*((path, None) for path in paths))
    allow("1h")
    assert [isinstance(one, landing.Landed) for one in callmart.land_all((paths[0], None))] == [True]


def test_a_landing_that_is_killed_amid_many_files_loses_and_doubles_none(
    callmart: Callmart, tmp_path: Path
) -> None:
    paths = good(tmp_path, 40, WAITING, "killed")
    assert exit_code(land_and_die, callmart.home, paths) == -signal.SIGKILL
    events = "select count(*) as n from raw.event where file_id > %s"
    (before,) = callmart.rows("select coalesce(max(file_id), 0) as file from raw.file")
    outcomes = callmart.land_all(*((path, None) for path in paths))
    known = sum(isinstance(one, landing.Landed) and one.unchanged for one in outcomes)
    assert 0 < known < 40, "some were landed, and a transaction was lost"
    assert [row["n"] for row in callmart.rows(events, before["file"])] == [40 - known]


def test_a_session_that_is_lost_between_two_files_stops_neither(
    callmart: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is prepared ahead of an unknown customer's file, so the lost session is asked in its turn."""
    first, unknown, last = good(tmp_path, 3, WAITING, "lost")
    monkeypatch.setattr(found, "BLOCK", first.stat().st_size - 1)  # each is too large to share a transaction
    commit = Loader.commit

    def committing(loader: Loader) -> None:
        commit(loader)
        with callmart.superuser() as superuser:
            superuser.execute("select pg_terminate_backend(%s, 5000)", [loader.connection.info.backend_pid])

    monkeypatch.setattr(Loader, "commit", committing)
    outcomes = callmart.land_all((first, None), (unknown, UNKNOWN), (last, None))
    assert [isinstance(one, landing.Landed) and one.landed for one in outcomes] == [1, False, 1]
    assert str(outcomes[1]).startswith(f"customer {UNKNOWN} is not in the registry")


@pytest.mark.parametrize("times", [1, 2])
def test_a_landing_whose_session_is_ended_is_tried_once_more(
    callmart: Callmart, tmp_path: Path, times: int
) -> None:
    """As an opening or a change of the registry does, if the landing is in its way."""
    (path,) = good(tmp_path, 1, WAITING, f"ended-{times}")
    waiting = "select pid from pg_locks where not granted and relation = 'raw.file'::regclass"
    with ThreadPoolExecutor(1) as beside:
        with callmart.connect() as holder, callmart.superuser() as superuser:
            holder.execute("lock table raw.file in share mode")
            landed = beside.submit(callmart.land_all, (path, None))
            for _ in range(times):
                while not (pids := superuser.execute(waiting).fetchall()):
                    assert not landed.done(), "it ended before it stored an event"
                superuser.execute("select pg_terminate_backend(%s, 5000)", pids[0])
        (outcome,) = landed.result()
    if times == 1:
        assert isinstance(outcome, landing.Landed) and outcome.landed == 1
    else:
        assert outcome == (
            f"{path} did not land: its session was ended twice, by another command or the server; land it again"
        )


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_a_landing_ends_when_it_is_interrupted(
    callmart: Callmart, tmp_path: Path, by: signal.Signals, together: bool
) -> None:
    """The driver would take it for the failure of one file. Nor does it wait for the files behind."""
    paths = good(tmp_path, 4, WAITING, f"interrupted-{by}-{together}")
    block = found.BLOCK if together else paths[0].stat().st_size - 1
    assert exit_code(land_interrupted, callmart.home, paths, by, block) == by
    outcomes = callmart.land_all(*((path, None) for path in paths))
    assert [one.landed for one in outcomes if isinstance(one, landing.Landed)] == [1] * 4


def test_a_customer_that_is_removed_while_its_files_wait(
    callmart: Callmart, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry changes after the gate was read: the gate is read again, and the others' files land at once."""
    real, before = (
        admission.current_gate,
        [registry(*(one for one in CUSTOMERS if f"id: {LEAVING}," not in one))],
    )

    def current_gate(*arguments: Any) -> tuple[int, Gate]:
        read = real(*arguments)
        if before:
            arguments[0].commit()
            callmart.apply(before.pop())
        return read

    monkeypatch.setattr(landing, "current_gate", current_gate)
    leaving, staying = good(tmp_path, 2, LEAVING, "leaving"), good(tmp_path, 2, WAITING, "staying")
    outcomes = callmart.land_all(*((path, LEAVING) for path in leaving), *((path, None) for path in staying))
    gone = (
        f"customer {LEAVING} is not in the registry; add it and apply the registry first, "
        "or if it has left, remove its folder from callmart.toml and delete its files"
    )
    assert outcomes[:2] == [gone, gone]
    assert [one.landed for one in outcomes[2:] if isinstance(one, landing.Landed)] == [1, 1]
    assert callmart.land_all((leaving[0], LEAVING)) == [gone]
    monkeypatch.undo()
    callmart.apply(registry(*CUSTOMERS))
    (back,) = callmart.land_all((leaving[0], LEAVING))
    assert isinstance(back, landing.Landed) and back.landed == 1


# known files are not read


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read."""
    names: list[str] = []
    real = found.find

    def find(one: Delivery) -> found.Found:
        names.append(one.path.name)
        return real(one)

    monkeypatch.setattr(found, "find", find)
    monkeypatch.setattr("callmart.land.loader.YOUNG_S", -60)
    return names


def test_a_known_file_is_read_again_only_if_it_is_another(
    callmart: Callmart, tmp_path: Path, reads: list[str]
) -> None:
    (path,) = good(tmp_path, 1, WAITING, "known")
    other = path.read_text().replace("known-0", "known-1")

    def again(customer: int | None = None) -> tuple[int, bool]:
        """How often the file is read, and whether it landed before."""
        reads.clear()
        (outcome,) = callmart.land_all((path, customer))
        assert isinstance(outcome, landing.Landed)
        return len(reads), outcome.unchanged

    assert again() == (1, False)
    assert again() == (0, True)
    assert again(WAITING) == (1, False), "with other options it is another file"
    path.touch()
    assert [again() for _ in range(2)] == [(1, True), (0, True)]
    entry = path.stat()
    path.write_text(other)  # in its place, with the same size and time
    os.utime(path, ns=(entry.st_atime_ns, entry.st_mtime_ns))
    assert Look.of(path.stat()).modified_ns == entry.st_mtime_ns
    assert [again() for _ in range(2)] == [(1, False), (0, True)]
    (new := tmp_path / "new").write_text(other.replace("known-1", "known-2"))  # another file takes its place
    os.utime(new, ns=(entry.st_atime_ns, entry.st_mtime_ns))
    new.replace(path)
    assert [again() for _ in range(2)] == [(1, False), (0, True)]


def test_a_file_that_has_just_changed_is_not_known_by_its_look(
    callmart: Callmart, tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could change once more without looking another."""
    young = timedelta(days=3650)  # files keep the real clock under that of make test-days
    monkeypatch.setattr("callmart.land.loader.YOUNG_S", young.total_seconds())
    (path,) = good(tmp_path, 1, WAITING, "young")
    outcomes = [callmart.land_all((path, None))[0] for _ in range(2)]
    assert [isinstance(one, landing.Landed) and one.unchanged for one in outcomes] == [False, True]
    assert reads == [path.name] * 2


ANOTHER_CONTRACT = f"contracts: [{{option: detailed, from: {TODAY - timedelta(days=400)}}}]"


def test_a_new_registry_reads_again_only_what_it_changes(
    callmart: Callmart, tmp_path: Path, reads: list[str]
) -> None:
    """Which customers' rows a file has decides, also of those that were turned away or are unknown."""
    rows = {
        "own": [WAITING],
        "other": [LEAVING],
        "both": [WAITING, LEAVING],
        "turned away": [WAITING, NONE],
        "unknown": [WAITING, UNKNOWN],
    }
    files = []
    for name, whose in rows.items():
        told = [event("queue_joined", at("13:00"), customer_id=one, call_id=name, queue="q") for one in whose]
        (path := tmp_path / name).write_text(ndjson(*told))
        files.append((path, None))
    none = f"id: {NONE}, contracts: []"
    callmart.land_all(*files)

    def read_after(*customers: str) -> set[str]:
        callmart.apply(registry(*customers))
        reads.clear()
        assert all(isinstance(one, landing.Landed) for one in callmart.land_all(*files))
        return set(reads)

    callmart.apply(registry(*CUSTOMERS, none))
    callmart.land_all(*files)
    assert read_after(*CUSTOMERS, f"{none}, locale: en") == set(), "what opens nothing"
    changed = [
        one if f"id: {LEAVING}," not in one else f"id: {LEAVING}, {ANOTHER_CONTRACT}" for one in CUSTOMERS
    ]
    assert read_after(*changed, none) == {"other", "both"}
    assert read_after(*changed, f"id: {NONE}, {DETAILED}") == {"turned away"}
    assert read_after(*changed, f"id: {NONE}, {DETAILED}", f"id: {UNKNOWN}, {DETAILED}") == {"unknown"}
    landed = callmart.rows(
        "select distinct customer_id from raw.event where customer_id = any(%s)", [NONE, UNKNOWN]
    )
    assert {row["customer_id"] for row in landed} == {NONE, UNKNOWN}
