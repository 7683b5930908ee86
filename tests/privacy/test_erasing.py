"""A person is erased from all places, and looked for. One home, in which one person after the other is erased."""

import gzip
import io
import os
import re
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet
import pytest

from callmart.access import logins
from callmart.base import disk
from callmart.base.errors import UserError
from callmart.base.person import Blocked, Work
from callmart.base.settings import Folder
from callmart.cli import main
from callmart.database import clock, ledger, ledger_files, lock, server, vacuum
from callmart.database.tombstones import of_call, secret_of, tombstone
from callmart.declarations import dbt_project
from callmart.extract import extract
from callmart.land import places as landed
from callmart.opening import opening
from callmart.privacy import erasing, kept, persons, places, procedure, server_files
from callmart.privacy.procedure import Steps
from callmart.publish import sites, tableau
from callmart_home import Callmart
from centre import DAYS, NAMED, events, queue_of
from commands import use
from erasures import (
    ANOTHER,
    AS_RECIPIENT,
    CALLER,
    CHEF,
    CONTACT,
    HELP,
    LEAVER,
    PARTLY,
    STAYER,
    WITH_CONTACTS,
    agent_key,
    case,
    do,
    given_up,
    key_of,
    kill_after,
    left,
    of,
    plan_of,
    prove,
    stored,
)  # fmt: skip
from events import AMSTERDAM, Row, event, ndjson
from home_settings import settings_of
from nights import Crash
from requests_of_persons import APPROVERS_PASSWORD, choose_password
from searching import files_with

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("unchecked", "trusted")]

# -- an agent --------------------------------------------------------------------------------------------------------


def test_a_plan_counts_and_changes_nothing(home: Callmart, work: Work) -> None:
    before = state(home)
    plan = plan_of(work, of(work, "agent", LEAVER))
    assert plan.hash == plan_of(work, of(work, "agent", LEAVER)).hash
    assert state(home) == before
    key = agent_key(home, LEAVER)
    (stored,) = home.rows(
        """
        select
            count(*) filter (where call_key is null) as "events outside calls",
            count(*) filter (where call_key is not null) as "events in calls",
            count(distinct call_key) as calls
        from raw.event where customer_id = %s and (agent_key = %s or target_key = %s)
        """,
        NAMED, key, key,
    )  # fmt: skip
    assert all(stored.values())
    assert plan.counts["events"] == stored
    assert plan.counts["registry"] == {"registry.agent": 1, "registry.recipient": 1}
    assert plan.counts["tableau users"] == {"users": 1, "members": 1, "subscriptions": 1}
    assert plan.counts["extracts"] == {"files": 1}
    assert plan.counts["tableau content"] == {"data sources": 1}
    assert plan.counts["marts"]["mart.agent"] == 1
    assert {cell for cell in plan.cells.known if cell.change == "hidden"} == {
        ("hidden", queue_of(NAMED), day) for day in DAYS
    }


CRASHES: dict[str, tuple[Any, str]] = {
    "before the ledger": (ledger, "append"),
    "while events are changed": (vacuum, "note"),
    "after a build": (opening, "open_build"),
    "before an extract": (extract, "extract"),
    "before publishing": (sites, "apply"),
    "before the log is left": (server_files, "_renew_log"),
}


def test_an_agent_is_erased_everywhere_whatever_breaks_off(
    home: Callmart, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, words = state(home), words_of(home, LEAVER)
    words |= {
        raw
        for trace in sorted(landed.look(work.connection, of(work, "agent", LEAVER)).traces)[:3]
        for raw in stored(trace)
    }
    everywhere = files_with(home.home, words)
    found_in = {file.partition("/")[0] for file in everywhere}
    assert found_in == {"postgres", "extracts", "emulator"} - ({"postgres"} if home.settings.dsn else set())
    person = of(work, "agent", LEAVER)
    plan = plan_of(work, person)

    for broken in CRASHES.values():
        if home.settings.dsn and broken[0] is server_files:
            continue  # nobody may touch that server's log
        with monkeypatch.context() as patch:
            patch.setattr(*broken, crash)
            with pytest.raises(Crash):
                do(work, person, request=1)
        work.connection.rollback()
        assert kept.recall(case(work, person, 1)) is not None
    treated = do(work, person, request=1)
    assert set(treated) == {place.name for place in places.PLACES}
    assert len(ledger_files.read(ledger_files.in_home(home.settings)).entries) == 1

    proofs = prove(work, person, request=1)
    assert left(proofs) == {}
    assert not (home.home / "privacy" / "request-1").exists()
    assert files_with(home.home, words) == set()
    differences(before, state(home), plan, agent_key(home, LEAVER))


def test_of_the_agent_only_queues_are_left(home: Callmart) -> None:
    key = agent_key(home, LEAVER)
    assert home.rows("select 1 from raw.event where agent_key = %s or target_key = %s", key, key) == []
    substitutes = home.rows(
        "select call_key, agent_key, count(distinct device_key) as devices from raw.event"
        " where customer_id = %s and agent_key like '~%%' group by 1, 2",
        NAMED,
    )
    assert substitutes
    assert len({row["agent_key"] for row in substitutes}) == len(substitutes)  # no two calls are linked
    assert {row["devices"] for row in substitutes} == {0}
    for mart in agent_marts(home):
        assert (
            home.rows(f"select 1 from store.{mart} where agent_key = %s or agent_key like '~%%'", key) == []
        )


def test_nobody_gets_the_agent_by_subtraction(home: Callmart) -> None:
    """What the queue shows less what the agents' marts show of the others."""
    rows = home.rows(
        """
        select q.talk_s, q.ring_s, q.rings, q.hold_s, q.wrapup_s
        from store.queue_interval as q
        where q.customer_id = %s and (q.queue, q.call_date) in (
            select distinct e.queue, (e.occurred_at at time zone 'Europe/Amsterdam')::date
            from raw.event as e
            where e.customer_id = %s and e.agent_key like '~%%'
        )
        """,
        NAMED, NAMED,
    )  # fmt: skip
    assert rows
    assert {value for row in rows for value in row.values()} == {None}
    assert home.rows(
        "select 1 from store.queue_day where customer_id = %s and talk_max_s is not null", NAMED
    ) == []  # fmt: skip


def test_landed_named_or_computed_again_nobody_comes_back(home: Callmart, work: Work, tmp_path: Path) -> None:
    before = state(home)
    words = words_of(home, LEAVER)
    rows = events(NAMED, DAYS)
    for part in (rows, rows.slice(0, rows.num_rows // 2)):  # the same rows in other files
        file = tmp_path / f"{part.num_rows}.parquet"
        pyarrow.parquet.write_table(part, file)
        home.land(file)
    assert state(home) == before
    with pytest.raises(UserError, match="still names somebody who was erased"):
        home.apply(WITH_CONTACTS)
    without = WITH_CONTACTS.replace(f"{{id: {LEAVER}, name: Noor Zandvliet, email: noor@example.org}}", "")
    with pytest.raises(UserError, match="section `recipients`"):
        home.apply(without)
    home.apply(without.replace(AS_RECIPIENT, ""))
    (home.home / "registry.yml").unlink()
    with home.connect() as connection:
        connection.execute(
            "insert into ops.dirty_day (customer_id, call_date, cause)"
            " select distinct customer_id, call_date, 'test' from ops.opened_day where isfinite(call_date)"
            " on conflict do nothing"
        )
    home.build_unchecked()
    assert state(home) == before
    assert files_with(home.home, words) == set()


def test_an_agent_who_is_still_there_keeps_what_came_later(home: Callmart, work: Work) -> None:
    """Erased up to a day that is over; what came after it is new."""
    person = of(work, "agent", PARTLY, day=DAYS[0])
    before = of_agent(home, PARTLY)
    assert set(before) == set(DAYS)
    plan, queues = plan_of(work, person), state(home)
    do(work, person, request=2)
    assert left(prove(work, person, request=2)) == {}
    assert of_agent(home, PARTLY) == {day: rows for day, rows in before.items() if day > DAYS[0]}
    differences(queues, state(home), plan, agent_key(home, PARTLY))
    assert home.rows("select agent from store.agent where agent_key = %s", agent_key(home, PARTLY))


@pytest.mark.thorough
def test_what_is_measured_back_before_the_end_is_told_no_more(home: Callmart, work: Work) -> None:
    """A source that tells how long something took, at its end. Landing it again, or late, changes nothing."""
    end, own = datetime.combine(DAYS[1], time(), AMSTERDAM), {"agent": "night-1"}
    in_call = own | {"queue": queue_of(NAMED)}
    rows = [
        event("agent_logged_in", end - timedelta(hours=6), **own),
        event("agent_logged_out", end + timedelta(hours=2), duration_s=8 * 3600, **own),
        event("agent_released", end + timedelta(minutes=10), call_id="n-1", duration_s=1800, **in_call),
        event("agent_released", end + timedelta(hours=30), call_id="n-2", duration_s=32 * 3600, **in_call),
        event("agent_released", end + timedelta(hours=1), call_id="n-3", duration_s=1800, **in_call),
    ]
    late = [
        event("agent_left_queue", end + timedelta(hours=30), duration_s=31 * 3600, **in_call),
        event("agent_released", end + timedelta(hours=29), call_id="n-4", duration_s=30 * 3600, **in_call),
    ]

    def land(rows: list[Row]) -> None:
        home.land_together({NAMED: rows})
        next(home.home.glob("landed-*")).unlink()
        home.build_unchecked()

    land(rows)
    assert set(of_agent(home, "night-1")) == {DAYS[0], DAYS[1]}
    person = of(work, "agent", "night-1", day=DAYS[0])
    do(work, person, request=12)
    assert left(prove(work, person, request=12)) == {}
    after = of_agent(home, "night-1")
    assert set(after) == {DAYS[1]}
    seconds = "select seconds from store.agent_session where agent_key = %s"
    assert home.rows(seconds, agent_key(home, "night-1")) == [{"seconds": 2 * 3600}]
    land(rows)
    assert of_agent(home, "night-1") == after
    land(late)
    assert DAYS[0] not in of_agent(home, "night-1")
    assert left(prove(work, person, request=12)) == {}


def test_a_raw_file_or_folder_that_can_not_be_read_is_named_and_blocks_nobody(
    work: Work, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = tmp_path / "events.csv.gz.part"
    sent.write_bytes(gzip.compress(b"agent,queue")[:-8])
    gone, moved, closed = (tmp_path / name for name in ("not mounted", "nor this", "of somebody else"))
    closed.mkdir()
    files = disk.files

    def files_but_closed(folder: Path) -> Iterator[Path]:
        if folder == closed:
            raise UserError("it is closed")
        return files(folder)

    monkeypatch.setattr(disk, "files", files_but_closed)
    waiting = Folder(path=gone, after="move", move_to=moved)
    monkeypatch.setattr(work.settings, "folders", [Folder(path=tmp_path), waiting, Folder(path=closed)])
    elsewhere, person = places.Elsewhere(), of(work, "agent", STAYER)
    assert elsewhere.find(work, person) == {}
    named = (
        f"{sent}, which can't be read or unpacked",
        *(f"{folder}, which is not there or can't be looked through" for folder in (moved, gone, closed)),
    )
    assert elsewhere.prove(work, person).to_attest == (*named, "telephone system")


# -- others ----------------------------------------------------------------------------------------------------------


def test_a_caller_is_counted_as_one_without_a_number(home: Callmart, work: Work) -> None:
    before = state(home)
    person = of(work, "caller", CALLER)
    plan = plan_of(work, person)
    assert plan.counts["events"] == {"calls": 3, "events in calls": 6}
    assert set(plan.cells.known) == {("callers", HELP, DAYS[0]), ("callers", HELP, DAYS[2])}
    old_calls = landed.look(work.connection, person).calls
    do(work, person, request=3)
    assert left(prove(work, person, request=3)) == {}
    after = state(home)
    assert counted_callers(before) == {DAYS[0]: (2, 1, 1, 0), DAYS[2]: (2, 0, 2, 0)}
    assert counted_callers(after) == {DAYS[0]: (1, 0, 0, 2), DAYS[2]: (1, 0, 1, 1)}
    for mart in before.keys() - {"events"}:
        assert [without_callers(row) for row in after[mart]] == [without_callers(row) for row in before[mart]]
    spelled = {spelling.encode() for spelling in persons.spellings(CALLER)}
    assert files_with(home.home, spelled | {raw for call in old_calls for raw in stored(call)}) == set()


@pytest.mark.thorough
def test_what_lands_after_a_kill_is_erased_with_the_rest(
    home: Callmart, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A call that lands when the erasure has begun is asked for again. It gets a tombstone like those before."""

    def of_caller() -> set[str]:
        """The tombstones that the caller's calls have, or would have."""
        calls = landed.look(work.connection, person).calls | old_calls
        return {tombstone(secret_of(key_of(home)), "call", of_call(call)) for call in calls}

    person, old_calls = of(work, "caller", ANOTHER), frozenset[int]()
    home.kill(die_before_the_ledger, 10)
    before = kept.recall(case(work, person, 10))
    assert before is not None and len(before.calls) == 2
    land_call(home, ANOTHER, "17:00")
    assert len(of_caller()) == 3

    monkeypatch.setattr(lock, "TIMEOUT", "500ms")
    with logins.connect(home.settings, "loader") as loader:  # a file that asked before there was a tombstone
        loader.execute("select raw.receive(0)")
        with pytest.raises(Blocked, match="a file is landing"):
            do(work, person, request=10)
    work.connection.rollback()
    monkeypatch.undo()
    old_calls |= landed.look(work.connection, person).calls
    expected = of_caller()
    do(work, person, request=10)
    assert left(prove(work, person, request=10)) == {}
    marks = {
        row["tombstone"] for row in home.rows("select tombstone from privacy.tombstone where kind = 'call'")
    }
    assert expected <= marks and len(expected) == 3
    entries = home.rows("select count(*) as n from privacy.tombstone where kind = 'call' group by entry")
    assert {row["n"] for row in entries} == {16}, "nobody can count the calls"
    land_call(home, ANOTHER, "17:00")
    land_call(home, ANOTHER, "18:00")
    assert home.rows("select 1 from raw.event where number_key = any(%s)", list(person.keys)) == []


def test_what_lands_while_it_begins_is_erased_with_the_rest(home: Callmart, work: Work) -> None:
    number, calls = "+31687654321", set[int]()
    land_call(home, number, "19:11")
    person = of(work, "caller", number)

    def land_another(_: str | None) -> None:
        land_call(home, number, "19:42")
        calls.update(landed.look(work.connection, person).calls)

    with pytest.raises(Crash):  # at the first place: by then all of the calls have tombstones
        erasing.do(case(work, person, 11), Steps(begin=land_another, on_place=crash))
    work.connection.rollback()
    content = kept.recall(case(work, person, 11))
    assert content is not None and content.calls == calls and len(calls) == 2
    marks = {row["tombstone"] for row in home.rows("select tombstone from privacy.tombstone")}
    assert {tombstone(secret_of(key_of(home)), "call", of_call(call)) for call in calls} <= marks


def land_call(home: Callmart, number: str, clock: str) -> None:
    home.land_text(ndjson(*(row | {"customer_id": NAMED} for row in given_up(number, DAYS[0], clock))))
    next(home.home.glob("landed-*")).unlink()


def die_before_the_ledger(home: Path, request: int) -> None:
    """In a process of its own: everything is kept for the proof, and nothing is in the ledger."""

    def append(*_: Any) -> None:
        os.kill(os.getpid(), signal.SIGKILL)

    ledger.append = append  # type: ignore[assignment]
    settings = settings_of(home)
    with server.connect(settings) as connection, procedure.working(connection, settings) as work:
        do(work, of(work, "caller", ANOTHER), request)


CALLERS = ("callers", "repeat_callers_day", "repeat_callers_week", "contacts_unnumbered")


def counted_callers(marts: dict[str, list[dict[str, Any]]]) -> dict[date, tuple[int, ...]]:
    return {
        row["call_date"]: tuple(row[name] for name in CALLERS)
        for row in marts["queue_day"]
        if row["queue"] == HELP
    }


def without_callers(row: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in CALLERS}


def test_a_contact_goes(home: Callmart, work: Work) -> None:
    person = of(work, "contact", CONTACT)
    with home.connect() as owner:  # who asks is in the register by the key of the address
        owner.execute(
            "insert into privacy.request"
            " (customer_id, asked_right, contact_key, received, state, refused_why, ended_at)"
            " values (%s, 'erasure', %s, current_date, 'refused', 'identity', now())",
            [person.customer_id, *person.keys],
        )
    before = state(home)
    assert home.settings.dsn or files_with(home.home, {CONTACT.encode()})
    assert plan_of(work, person).counts["registry"] == {"registry.contact": 1}
    do(work, person, request=5)
    assert left(prove(work, person, request=5)) == {}
    assert files_with(home.home, {word.encode() for word in person.words}) == set()
    assert state(home) == before


@pytest.mark.thorough
def test_by_the_commands_a_recipient_goes_with_the_account_also_after_kill_9(
    home: Callmart, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def command(*arguments: object, lines: tuple[str, ...] = ()) -> tuple[int, str]:
        use(home.settings.model_copy(update={"backup_kept_days": 0}), monkeypatch)
        monkeypatch.setattr(sys, "argv", ["callmart", "privacy", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.StringIO("".join(f"{line}\n" for line in lines)))
        with pytest.raises(SystemExit) as end:
            main.main()
        said = capsys.readouterr()
        assert CHEF not in said.out + said.err
        return int(end.value.code or 0), said.out + said.err

    choose_password(home)
    assert files_with(home.home, {CHEF.encode()})
    _, said = command("open", "--customer", NAMED, "--kind", "recipient", lines=("q@een.example", CHEF))
    number = said.split()[1]
    assert command("verify", number, "--how", "code", "--alone")[0] == 0
    code, said = command("plan", number, lines=(CHEF,))
    assert code == 0 and "subscriptions" in said and "no figure of a queue changes" in said, said
    assert command("do", number, lines=(CHEF,))[0] == 2  # nobody has approved it
    assert files_with(home.home, {CHEF.encode()})
    assert command("approve", number, lines=(APPROVERS_PASSWORD, "y"))[0] == 0
    kill_after(home.home, "treat", "registry", "recipient", CHEF, int(number), is_registered=True)
    assert command("prove", number, lines=(CHEF,))[0] == 2  # not everything is done
    assert command("do", number, lines=("planner@een.example",))[0] == 2  # somebody else
    code, said = command("do", number, lines=(CHEF,))
    assert code == 0, said
    assert command("answer", number)[0] == 2  # nothing is proved
    code, said = command("prove", number, lines=(CHEF,))
    assert code == 0 and "nothing is left" in said, said
    assert files_with(home.home, {CHEF.encode()}) == set()
    code, letter = command("answer", number)
    assert code == 0
    ((entry, digest),) = re.findall(r"nummer (\d+), met kenmerk\s+([0-9a-f]{64})", letter)
    assert (int(entry), digest) == ledger.last(home.settings)
    assert command("ledger", "--entry", entry, "--digest", f"{digest[:32].upper()} {digest[32:]}")[0] == 0
    for wrong in ((entry, digest[::-1]), (int(entry) - 1, digest), (int(entry) + 1, digest)):
        code, said = command("ledger", "--entry", wrong[0], "--digest", wrong[1])
        assert code == 1 and "is not that of the letter" in said
    assert command("close", number)[0] == 2  # the rest is a person's to attest
    attested = ["registry", "elsewhere"] + (["server files"] if home.settings.dsn else [])
    assert command("close", number, *(word for place in attested for word in ("--attested", place)))[0] == 0


def test_somebody_who_is_not_there_is_looked_for_all_the_same(home: Callmart, work: Work) -> None:
    person = of(work, "caller", "+31201234567")
    plan = plan_of(work, person)
    assert {place: found for place, found in plan.counts.items() if found} == {}
    assert plan.cells == ((), ())
    do(work, person, request=6)
    proofs = prove(work, person, request=6)
    assert left(proofs) == {}
    assert home.settings.dsn or proofs["server files"].searched["files"] > 1000


# -- what is in the way ----------------------------------------------------------------------------------------------


def test_a_plan_is_of_one_person_and_moment(work: Work) -> None:
    """Whoever was approved, nobody else with the same counts can be erased instead."""
    one, another = of(work, "agent", "nobody/1"), of(work, "agent", "nobody/2")
    earlier = replace(one, until=one.until - timedelta(days=1))
    plans = [plan_of(work, who) for who in (one, another, earlier)]
    assert plans[0].counts == plans[1].counts == plans[2].counts
    assert len({plan.hash for plan in plans}) == 3


def test_a_plan_that_changed_is_not_done(home: Callmart, work: Work) -> None:
    person = of(work, "agent", STAYER)

    def begin(hash: str | None) -> None:
        raise UserError("another plan was approved")

    before = state(home)
    with pytest.raises(UserError, match="another plan"):
        erasing.do(case(work, person, 7), Steps(begin))
    assert state(home) == before
    assert not (home.home / "privacy" / "request-7").exists()


def test_a_search_that_is_blind_erases_nothing(
    home: Callmart, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.require_own_server()
    before, entries = state(home), ledger.last(home.settings)
    monkeypatch.setattr(disk, "files", lambda folder: iter(()))
    with pytest.raises(Blocked, match="the search misses") as blocked:
        do(work, of(work, "agent", STAYER), request=7)
    assert blocked.value.place == "control"
    assert (state(home), ledger.last(home.settings)) == (before, entries)


def test_tableau_that_does_not_answer_blocks_the_request(
    home: Callmart, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    def connect(*_: Any) -> Any:
        raise UserError("no Tableau server answers")

    monkeypatch.setattr(tableau, "connect", connect)
    with pytest.raises(Blocked, match="no Tableau server answers") as blocked:
        plan_of(work, of(work, "agent", STAYER))
    assert (blocked.value.place, blocked.value.code) == ("tableau content", "tableau")


def test_who_is_asked_for_with_other_ids_than_in_the_plan(home: Callmart, work: Work) -> None:
    one, both = of(work, "agent", "nobody/1"), of(work, "agent", "nobody/1", "nobody/2")
    erasing._secure(case(work, one, 8), kept.Remembered(one.words))
    with pytest.raises(UserError, match="somebody else, or about more ids"):
        do(work, both, request=8)
    kept.forget(home.home, 8)


@pytest.mark.thorough
def test_what_was_kept_by_an_attempt_that_erased_nothing_does_not_count(
    home: Callmart, work: Work, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Since then an event expired, and it was planned again up to an earlier day."""
    whole, first = of(work, "agent", STAYER), of(work, "agent", STAYER, day=DAYS[0])
    with monkeypatch.context() as patch, pytest.raises(Crash):
        patch.setattr(ledger, "append", crash)
        do(work, whole, request=10)
    work.connection.rollback()
    own = "(select min(event_key) from raw.event where agent_key = %s and call_key is null)"
    assert home.rows(f"delete from raw.event where event_key = {own} returning 1", agent_key(home, STAYER))
    do(work, first, request=10)
    assert left(prove(work, first, request=10)) == {}


def test_nothing_is_erased_while_a_run_is_at_work(home: Callmart, work: Work) -> None:
    with clock.guarded(work.connection, home.settings), pytest.raises(UserError, match="at work"):
        do(work, of(work, "agent", STAYER), request=9)


# -- what the tests share --------------------------------------------------------------------------------------------


def crash(*_: Any, **__: Any) -> None:
    raise Crash


def words_of(home: Callmart, agent: str) -> set[bytes]:
    words = (agent, "Noor Zandvliet", "noor@example.org", "Noor@Example.org", agent_key(home, agent))
    return {word.encode() for word in words}


def agent_marts(home: Callmart) -> list[str]:
    return [mart.name for mart in dbt_project.marts(home.settings) if "agent_key" in mart.columns]


def state(home: Callmart) -> dict[str, list[dict[str, Any]]]:
    """All rows of all marts, and the events, but for the keys that an erasure draws at random."""
    marts = {
        mart.name: home.rows(f"select * from store.{mart.name} order by {', '.join(mart.key)}")
        for mart in dbt_project.marts(home.settings)
        if mart.group != "usage"
    }
    events = home.rows(
        "select customer_id, count(*), sum(event_key), sum(call_key) from raw.event group by 1 order by 1"
    )
    return marts | {"events": events}


def differences(before: Any, after: Any, plan: procedure.Plan, key: str) -> None:
    """Nothing differs but the agent's own rows, and the cells in the plan, as the plan says."""
    for mart in ("queue_interval", "queue_day"):
        one_by_one = zip(
            *([row for row in each[mart] if row["queue"] != HELP] for each in (before, after)), strict=True
        )
        for one, other in one_by_one:
            changes = {
                cell.change
                for cell in plan.cells.known
                if one["customer_id"] == NAMED
                and (cell.queue, cell.call_date) == (one["queue"], one["call_date"])
            }
            allowed = {"staffed_s"} if "staffing" in changes else set()
            if "hidden" in changes:
                hidden = {
                    name
                    for name in one
                    if name.startswith(("ring", "hold", "talk", "wrapup", "contacts_held", "transferred"))
                }
                assert {other[name] for name in hidden} == {None}
                allowed |= hidden
            assert {name for name in one if one[name] != other[name]} <= allowed
    for mart in before.keys() - {"queue_interval", "queue_day", "events"}:
        of_others = [[row for row in each[mart] if row.get("agent_key") != key] for each in (before, after)]
        assert of_others[0] == of_others[1]


def of_agent(home: Callmart, agent: str) -> dict[date, list[dict[str, Any]]]:
    rows = home.rows(
        "select * from store.agent_interval where agent_key = %s order by interval_start",
        agent_key(home, agent),
    )
    return {
        day: [row for row in rows if row["call_date"] == day] for day in {row["call_date"] for row in rows}
    }
