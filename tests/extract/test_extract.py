"""Extracts: a file holds its customer's rows, all of them and no others, or it does not leave."""

import os
import shutil
import signal
from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pantab
import psycopg
import pyarrow as pa
import pyarrow.parquet
import pytest

from callmart.access import roles
from callmart.audit import channels
from callmart.audit.scene import scene_of
from callmart.base.progress import quietly
from callmart.declarations import dbt_project
from callmart.declarations.mart import Mart
from callmart.extract import drafts, extract, reading
from callmart.extract.drafts import Unproven
from callmart.extract.extract import Extract
from callmart.extract.reading import Part
from callmart.tableau_files import hyper, tds
from callmart_home import Callmart
from centre import ANONYMOUS, DAYS, DETAILED, FILES, NAMED, REGISTRY, STANDARD, WITH_DATA, events, touch
from today import YESTERDAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked")]

MARTS = {"queue": ["queue_interval", "queue_day"], "agent": ["agent", "agent_day"], "line": ["line_interval"]}
EARLIER = DAYS[0] - timedelta(days=1)


@pytest.fixture
def owner(played: Callmart) -> Iterator[psycopg.Connection]:
    """The owner, with the files of all customers written."""
    with played.connect() as connection:
        assert not any(isinstance(one, Unproven) for one in write(played, connection).values())
        yield connection


def write(callmart: Callmart, owner: psycopg.Connection) -> dict[tuple[int, str], Extract | Unproven]:
    """Extract; what came of each file. A failure stands under the customer and group that its file lacks."""
    found = extract.extract(owner, callmart.settings, quietly)
    done: dict[tuple[int, str], Extract | Unproven] = {
        (one.customer_id, one.group): one for one in found if isinstance(one, Extract)
    }
    failures = [one for one in found if isinstance(one, Unproven)]
    assert len(failures) <= 1
    return done | {key: failures[0] for key in FILES - done.keys() if failures}


def path(callmart: Callmart, customer_id: int, group: str) -> Path:
    return callmart.home / "extracts" / str(customer_id) / f"{group}.hyper"


def files(callmart: Callmart) -> set[tuple[int, str]]:
    """The files there are, by customer and group; drafts would be among them."""
    return {
        (int(file.parent.name), file.stem)
        for file in (callmart.home / "extracts").rglob("*")
        if file.is_file()
    }


def contents(callmart: Callmart) -> dict[tuple[int, str], tuple[int, bytes]]:
    """When each file was written, and its bytes."""
    return {
        key: (path(callmart, *key).stat().st_mtime_ns, path(callmart, *key).read_bytes())
        for key in files(callmart)
    }


def held(file: Path, mart: str) -> list[dict[str, Any]]:
    """The rows of a file, as hyperd reads them."""
    query = f'select * from "Extract"."{mart}"'
    table = pantab.frame_from_hyper_query(file, query, return_type="pyarrow")
    return sorted(table.to_pylist(), key=str)


def test_a_file_holds_all_rows_of_its_customer_and_no_others(
    played: Callmart, owner: psycopg.Connection
) -> None:
    assert files(played) == FILES
    for customer, group in FILES:
        for mart in MARTS[group]:
            own = played.rows(f"select * from store.{mart} where customer_id = %s", customer)
            assert own
            assert held(path(played, customer, group), mart) == sorted(own, key=str), (customer, mart)
        through = played.rows("select * from mart.data_through", customer_id=customer)
        assert (
            held(path(played, customer, group), "data_through")
            == through
            == [{"customer_id": customer, "through": DAYS[-1], "so_far": None}]
        )
    whose = {row["customer_id"] for row in played.rows("select customer_id from store.queue_interval")}
    assert whose == set(WITH_DATA)


def test_files_are_private(played: Callmart, owner: psycopg.Connection) -> None:
    folder = played.home / "extracts"
    for entry in (folder, *folder.rglob("*")):
        assert entry.stat().st_mode & 0o777 == (0o700 if entry.is_dir() else 0o600), entry


def test_files_are_of_format_2_and_of_the_contracts_types(
    played: Callmart, owner: psycopg.Connection
) -> None:
    for customer, group in FILES:
        file = path(played, customer, group)
        assert int.from_bytes(file.read_bytes()[10:12], "little") == 2
        source = tds.source(group, dbt_project.marts(played.settings), "nl")
        tds.check_types(source, tds.held_types(file), file.name)


def test_what_is_unchanged_is_not_written_again(played: Callmart, owner: psycopg.Connection) -> None:
    def in_books() -> list[tuple[Any, ...]]:
        return owner.execute(
            "select customer_id, mart_group, written_at from ops.extract order by 1, 2"
        ).fetchall()

    before, written = contents(played), in_books()
    assert {one.written for one in write(played, owner).values()} == {False}  # type: ignore[union-attr]
    touch(owner)  # then the rows are read again, and are the same
    assert {one.written for one in write(played, owner).values()} == {False}  # type: ignore[union-attr]
    assert contents(played) == before
    assert in_books() == written, "or `callmart health` would wait for a publication"


def test_equal_rows_have_an_equal_hash_though_the_bytes_differ(
    played: Callmart, owner: psycopg.Connection
) -> None:
    before, first = contents(played), write(played, owner)
    for key in FILES:
        path(played, *key).unlink()
    again = write(played, owner)
    for key in FILES:
        one, other = first[key], again[key]
        assert isinstance(one, Extract)
        assert isinstance(other, Extract)
        assert other.written
        assert other.content_hash == one.content_hash
    assert any(contents(played)[key][1] != before[key][1] for key in FILES)
    assert len({one.content_hash for one in first.values() if isinstance(one, Extract)}) == len(FILES)


def test_a_day_more_is_written_for_the_customer_that_has_it(
    played: Callmart, owner: psycopg.Connection, tmp_path: Path
) -> None:
    before = write(played, owner)
    pyarrow.parquet.write_table(events(NAMED, [EARLIER], seed=2), tmp_path / "more.parquet")
    played.land(tmp_path / "more.parquet")
    played.build_unchecked()
    after = write(played, owner)
    assert {key for key, one in after.items() if isinstance(one, Extract) and one.written} == {
        (NAMED, "queue"),
        (NAMED, "line"),
        (NAMED, "agent"),
    }
    days = {row["call_date"] for row in held(path(played, NAMED, "queue"), "queue_interval")}
    assert days == {EARLIER, *DAYS}
    changed = {key for key in FILES if before[key].content_hash != after[key].content_hash}  # type: ignore[union-attr]
    assert changed == {(NAMED, "queue"), (NAMED, "line"), (NAMED, "agent")}


def role_of(cursor: Any) -> str:
    """The role as which a cursor reads."""
    return str(cursor.execute("select current_user").fetchone()[0])


@pytest.mark.parametrize(
    ("changed", "outcome"),
    [
        ("update {table} set agent_key = agent_key", "own rows only"),
        ("alter table {table} add column said text default 'what another customer has'", "DIFFERS"),
        ("alter table {table} drop column talk_s", "DIFFERS"),
    ],
)
def test_a_file_with_other_columns_does_not_hold_what_was_proved(
    played: Callmart, owner: psycopg.Connection, changed: str, outcome: str
) -> None:
    """The columns that should be there can have the same rows."""
    another = Path(shutil.copy(path(played, NAMED, "agent"), played.home / "another.hyper"))
    with hyper.written(another) as written:
        written.execute_command(changed.format(table=f'"{hyper.SCHEMA}"."agent_day"'))
    board = channels.board(owner, scene_of(owner, played.settings))
    cells = channels.held_cells(played.settings, board, "file", {"agent": another}, NAMED)
    assert {cell.mart: cell.outcome for cell in cells}["agent_day"] == outcome
    another.unlink()


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """The parts of STANDARD's queue_interval that are read. All rows have no name."""
    rows_of, names = reading._rows_of, set[str]()

    def noting(cursor: Any, mart: Mart, part: Part) -> pa.RecordBatchReader:
        if (role_of(cursor), mart.name) == (roles.customer_role("callmart", STANDARD), "queue_interval"):
            names.add(part.name)
        return rows_of(cursor, mart, part)

    monkeypatch.setattr(reading, "_rows_of", noting)
    return names


def test_of_a_file_only_the_months_that_changed_are_read(
    played: Callmart, owner: psycopg.Connection, read: set[str]
) -> None:
    whose, long_ago = f"where customer_id = {STANDARD}", DAYS[0] - timedelta(days=70)

    def again(change: str) -> bool:
        """Change rows, open the last day by a later build, and extract. Returns whether the file is written."""
        read.clear()
        owner.execute(change.encode())
        owner.execute(
            f"update ops.opened_day set build_id = build_id + 1 {whose} and call_date = '{DAYS[-1]}'".encode()
        )
        owner.commit()
        done = write(played, owner)[STANDARD, "queue"]
        own = in_order(played.rows(f"select * from store.queue_interval {whose}"))
        assert in_order(held(path(played, STANDARD, "queue"), "queue_interval")) == own
        return done.written  # type: ignore[union-attr]

    def in_order(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return sorted(rows, key=lambda row: (row["interval_local"], row["queue"]))

    def move(day: date, to: date) -> None:
        for table in ("store.queue_interval", "store.queue_day", "store.line_interval", "ops.opened_day"):
            if table.startswith("store"):
                owner.execute("select access.ensure_month(%s, %s)", [table, to])
            owner.execute(f"update {table} set call_date = '{to}' {whose} and call_date = '{day}'".encode())
        touch(owner, STANDARD)

    move(DAYS[0], long_ago)
    assert again("")
    assert read == {""}
    longer = f"update store.queue_interval set talk_s = talk_s + 1 {whose} and call_date = "
    assert again(f"{longer} '{DAYS[-1]}'")
    month = str(DAYS[-1].replace(day=1))
    assert read == {month}
    assert not again("insert into registry.version default values")
    assert read == {month}, "a version of the registry changes no other"
    with pytest.MonkeyPatch.context() as patch:
        marts = dbt_project.marts(played.settings)
        turned = [mart.model_copy(update={"declared": mart.declared[::-1]}) for mart in marts]
        patch.setattr(dbt_project, "marts", lambda _: turned)
        assert again(f"{longer} '{DAYS[-1]}'")
        assert read == {month}, "other places of columns change nothing"
    with path(played, STANDARD, "queue").open("ab") as file:
        file.write(b"of somebody else")
    assert again("")
    assert read == {""}, "a file that is not as it was written is not gone on with"
    gone = f"{whose} and call_date = '{long_ago}'"
    owner.execute(f"create temporary table gone as select * from store.queue_interval {gone}".encode())
    assert again(
        f"delete from store.queue_interval {gone};"
        f" update ops.opened_day set row_count = 0 {gone} and mart = 'queue_interval'"
    )
    assert read == {month, ""}, "what has gone from another month is missed, so all is read"

    owner.execute("insert into store.queue_interval select * from gone")
    owner.execute(
        "update ops.opened_day set row_count = (select count(*) from gone)"
        f" {gone} and mart = 'queue_interval'".encode()
    )
    move(long_ago, DAYS[0])
    assert again("")


def test_a_later_day_alone_is_written_only_where_there_are_rows(
    played: Callmart, owner: psycopg.Connection
) -> None:
    """Otherwise the lines of a customer who has none would be published each night."""
    whose = f"where customer_id = {STANDARD}"
    owner.execute(f"create temporary table lines as select * from store.line_interval {whose}")
    owner.execute(f"create temporary table opened as select * from ops.opened_day {whose}")
    owner.execute(f"delete from store.line_interval {whose}")
    owner.execute(f"update ops.opened_day set row_count = 0 {whose} and mart = 'line_interval'")
    touch(owner)
    write(played, owner)
    owner.execute(
        "insert into ops.opened_day (customer_id, call_date, mart, row_count, build_id, so_far)"
        " select customer_id, call_date + 1, mart, 0, build_id, (call_date + 1 + time '14:05:59') at time zone"
        f" 'Europe/Amsterdam' from opened where call_date = '{DAYS[-1]}' and mart = 'queue_interval'"
    )
    touch(owner)
    done = write(played, owner)
    assert done[STANDARD, "queue"].written  # type: ignore[union-attr]
    (through,) = held(path(played, STANDARD, "queue"), "data_through")
    assert through["so_far"] == datetime.combine(DAYS[-1] + timedelta(days=1), time(14, 5)), "it is not over"
    assert not done[STANDARD, "line"].written  # type: ignore[union-attr]
    owner.execute(f"delete from ops.opened_day {whose}")
    owner.execute("insert into ops.opened_day select * from opened")
    owner.execute("insert into store.line_interval select * from lines")
    touch(owner)
    assert {key[0] for key, one in write(played, owner).items() if one.written} == {STANDARD}  # type: ignore[union-attr]


def _others_among_own(own: pa.Table, others: pa.Table) -> pa.Table:
    return pa.concat_tables([own, others.slice(0, 1)])


def _others_for_own(own: pa.Table, others: pa.Table) -> pa.Table:
    return others


def _one_for_one(own: pa.Table, others: pa.Table) -> pa.Table:
    return pa.concat_tables([own.slice(1), others.slice(0, 1)])


def _one_too_few(own: pa.Table, others: pa.Table) -> pa.Table:
    return own.slice(1)


def _one_twice(own: pa.Table, others: pa.Table) -> pa.Table:
    return pa.concat_tables([own, own.slice(0, 1)])


def _none(own: pa.Table, others: pa.Table) -> pa.Table:
    return own.slice(0, 0)


def _one_more(own: pa.Table, others: pa.Table) -> pa.Table:
    place = own.schema.get_field_index("offered")
    more = [count + (row == 0) for row, count in enumerate(own["offered"].to_pylist())]
    return own.set_column(place, "offered", pa.array(more, own.schema.field(place).type))


def spoil_what_is_read(monkeypatch: pytest.MonkeyPatch, spoil: Any, marts: list[str]) -> None:
    """Change what one customer's files are made from, with rows of another at hand."""
    rows_of = reading._rows_of

    def spoilt(cursor: Any, mart: Mart, part: Part) -> pa.RecordBatchReader:
        own, role = rows_of(cursor, mart, part).read_all(), role_of(cursor)
        if role == roles.customer_role("callmart", NAMED) and mart.name in marts:
            cursor.execute(f'set role "{roles.customer_role("callmart", STANDARD)}"')
            own = spoil(own, rows_of(cursor, mart, part).read_all())
            cursor.execute(f'set role "{role}"')
        return own.to_reader()

    monkeypatch.setattr(reading, "_rows_of", spoilt)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_others_among_own, "had rows of another customer"),
        (_others_for_own, "had rows of another customer"),
        (_one_for_one, "had rows of another customer"),
        (_one_too_few, "were opened"),
        (_one_twice, "were opened"),
        (_none, "were opened"),
        (_one_more, "does not have the same sums"),
    ],
)
def test_what_is_not_proven_does_not_leave(
    played: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, spoil: Any, message: str
) -> None:
    before = contents(played)
    spoil_what_is_read(monkeypatch, spoil, MARTS["queue"])
    touch(owner, NAMED)
    path(played, ANONYMOUS, "queue").unlink()
    done = write(played, owner)
    failed = done.pop((NAMED, "queue"))
    assert isinstance(failed, Unproven)
    assert f"customer {NAMED}" in str(failed)
    assert message in str(failed)
    assert all(isinstance(one, Extract) for one in done.values())
    assert done[ANONYMOUS, "queue"].written, "the others are done"  # type: ignore[union-attr]
    assert files(played) == FILES, "no draft stays"
    assert contents(played)[NAMED, "queue"] == before[NAMED, "queue"], "the file before it stays"
    monkeypatch.undo()
    assert not write(played, owner)[NAMED, "queue"].written  # type: ignore[union-attr]


def _a_day_more(own: pa.Table, others: pa.Table) -> pa.Table:
    (day,) = own["through"].to_pylist()
    return own.set_column(1, "through", pa.array([day + timedelta(days=1)]))


def _so_far(own: pa.Table, others: pa.Table) -> pa.Table:
    return own.set_column(2, "so_far", pa.array([datetime(2026, 11, 25, 14, 5)]))


@pytest.mark.parametrize("spoil", [_others_for_own, _others_among_own, _none, _a_day_more, _so_far])
def test_what_says_otherwise_how_far_the_data_goes_does_not_leave(
    played: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch, spoil: Any
) -> None:
    before = contents(played)
    spoil_what_is_read(monkeypatch, spoil, ["data_through"])
    touch(owner, NAMED)
    found = extract.extract(owner, played.settings, quietly)
    failed = [one for one in found if isinstance(one, Unproven)]
    assert [one.customer_id for one in failed] == [NAMED] * 3
    assert all("does not say how far the data goes" in str(one) for one in failed)
    assert contents(played) == before, "the files before them stay"


@pytest.mark.parametrize("spoil", [f"set customer_id = {ANONYMOUS}", "set customer_id = null"])
def test_the_audit_looks_whose_last_day_a_file_has(
    played: Callmart, owner: psycopg.Connection, tmp_path: Path, spoil: str
) -> None:
    marts = tuple(dbt_project.marts(played.settings))
    board = channels.Board({}, marts, {}, {}, "2000-01-01", frozenset(), {})
    file = Path(shutil.copy(path(played, NAMED, "queue"), tmp_path))
    assert channels._held(board, file, NAMED, "queue").keys() == set(MARTS["queue"])
    with hyper.written(file) as held:
        held.execute_command(f'update "Extract"."data_through" {spoil}')
    assert channels._held(board, file, NAMED, "queue") == {}


def test_a_file_at_which_hyperd_ends_fails_alone(
    played: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system kills it for lack of memory, while it writes the first file."""
    for group in MARTS:
        path(played, NAMED, group).unlink()

    def killing(folder: Path, mart: Mart, part: Part) -> Path:
        monkeypatch.undo()
        os.kill(int(str(hyper._endpoint()).rpartition(".")[2]), signal.SIGKILL)
        return reading.stream(folder, mart, part)

    monkeypatch.setattr(drafts, "stream", killing)
    monkeypatch.setattr(extract, "WORKERS", 1)
    found = extract.extract(owner, played.settings, quietly)
    (failed,) = (one for one in found if isinstance(one, Unproven))
    assert str(failed).startswith(f"Hyper could not write the extract of customer {NAMED} (")
    (missing,) = FILES - files(played)
    assert [key for key, one in write(played, owner).items() if one.written] == [missing]  # type: ignore[union-attr]


def test_a_role_that_cannot_read_fails_alone(played: Callmart, owner: psycopg.Connection) -> None:
    group, role = roles.group_role("callmart", "agent"), roles.customer_role("callmart", NAMED)
    before = contents(played)
    touch(owner, NAMED)
    owner.execute(f"revoke {group} from {role}")
    owner.commit()
    done = write(played, owner)
    failed = done.pop((NAMED, "agent"))
    assert isinstance(failed, Unproven)
    assert f"customer {NAMED}" in str(failed)
    assert done.keys() == FILES - {(NAMED, "agent")}
    assert contents(played) == before
    played.apply(REGISTRY)
    assert isinstance(write(played, owner)[NAMED, "agent"], Extract)


def test_a_day_that_has_grown_too_old_leaves_the_file(played: Callmart, owner: psycopg.Connection) -> None:
    with played.connect() as floor:
        now = "return ((now() at time zone 'Europe/Amsterdam') - interval '2 years')::date"
        replace = "create or replace function access.retention_floor() returns date stable "
        floor.execute(f"{replace} return date '{DAYS[1]}'")
        floor.commit()
        done = write(played, owner)
        days = {
            customer: {row["call_date"] for row in held(path(played, customer, "queue"), "queue_interval")}
            for customer in WITH_DATA
        }
        floor.execute(replace + now)
    assert {one.written for (_, group), one in done.items() if group == "queue"} == {True}  # type: ignore[union-attr]
    assert days == {customer: set(DAYS[1:]) for customer in WITH_DATA}
    assert write(played, owner)[STANDARD, "queue"].written  # type: ignore[union-attr]


def test_a_file_that_was_written_while_the_clock_was_ahead_is_written_again(
    played: Callmart, owner: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It jumps after the orders were read, and is right again before the next extraction."""
    whole = held(path(played, STANDARD, "queue"), "queue_interval")
    orders = extract._orders
    with played.connect() as jumping:
        extract.read_again(jumping, STANDARD)
        jumping.commit()

        def jump(*given: Any) -> Any:
            read = orders(*given)
            now = f"return date '{DAYS[1]}'"
            jumping.execute(f"create or replace function access.retention_floor() returns date stable {now}")
            jumping.commit()
            return read

        with monkeypatch.context() as patch:
            patch.setattr(extract, "_orders", jump)
            write(played, owner)
        now = "return ((now() at time zone 'Europe/Amsterdam') - interval '2 years')::date"
        jumping.execute(f"create or replace function access.retention_floor() returns date stable {now}")
    assert held(path(played, STANDARD, "queue"), "queue_interval") != whole, "it lacks a day"
    write(played, owner)
    assert held(path(played, STANDARD, "queue"), "queue_interval") == whole


def test_a_customer_that_is_live_has_no_file(played: Callmart, owner: psycopg.Connection) -> None:
    left = path(played, STANDARD, "queue").parent / ".publish-x" / "queue.tdsx"
    left.parent.mkdir()
    left.write_text("of a publication that was killed")
    owner.execute("update registry.customer set connection = 'live' where customer_id = %s", [STANDARD])
    extract.extract(owner, played.settings, quietly)
    assert files(played) == FILES - {(STANDARD, "queue"), (STANDARD, "line")}
    assert not left.parent.exists()
    owner.execute("update registry.customer set connection = 'extract' where customer_id = %s", [STANDARD])
    owner.commit()


def test_what_no_contract_orders_any_more_is_removed(played: Callmart, owner: psycopg.Connection) -> None:
    less = REGISTRY.replace(
        "[{option: detailed, from: 2020-01-01}]",
        f"[{{option: detailed, from: 2020-01-01, until: {YESTERDAY}}}, {{option: standard, from: {YESTERDAY}}}]",
    ).replace(
        "[{option: standard, from: 2020-01-01}]",
        f"[{{option: standard, from: 2020-01-01, until: {YESTERDAY}}}]",
    )
    played.apply(less)
    owner.rollback()
    extract.extract(owner, played.settings, quietly)
    assert files(played) == {(customer, group) for customer in DETAILED for group in ("queue", "line")}
    assert set(owner.execute("select customer_id, mart_group from ops.extract").fetchall()) == files(played)
    played.apply(REGISTRY)
