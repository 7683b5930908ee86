"""A customer's key is rotated: every key in the database becomes another, and nothing else changes."""

import re
from collections import Counter
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest

from callmart.base.errors import UserError
from callmart.base.keys import INSTALLATION, LAYER, key_file, keyed, layered
from callmart.base.progress import quietly
from callmart.build import window
from callmart.database import ledger, rotation
from callmart.database.lock import exclusive
from callmart.extract import extract
from callmart.operations import run, stages
from callmart.privacy import rotating
from callmart.reports import shelf, weeks
from callmart.tableau_files import hyper
from callmart_home import Callmart, MakeOnce, leave_dirty
from centre import ANONYMOUS, DAYS, NAMED, STANDARD, agent_of
from commands import command_of
from erasing import erase, person
from erasures import given_up
from events import AMSTERDAM, event, ndjson
from rotations import keyed_anew, kill_after, layer_of, rotate, standing

pytestmark = [pytest.mark.thorough, pytest.mark.server, pytest.mark.usefixtures("unchecked", "trusted")]

NUMBER, CALLER = "020-5551234", "+31612345678"
LIKE_A_KEY = "0123456789abcdef" * 2  # an id that has the form of a key
# The tables and columns in which there are keys of the customer.
KEYED = {
    *(f"raw.event.{kind}_key" for kind in ("agent", "device", "number", "target", "event", "call")),
    "raw.event.queue", "raw.call.call_key", "registry.agent.agent_key", "registry.contact.contact_key",
    *(f"store.{mart}.agent_key" for mart in ("agent", "agent_day", "agent_interval", "agent_session", "agent_contact")),
    "store.agent_contact.call_key", "store.queue_interval.queue", "store.queue_day.queue",
}  # fmt: skip


@pytest.fixture(scope="module")
def centre(home: Callmart, make_once: MakeOnce) -> Callmart:
    """With open marts, extracts, contacts, and a queue that is named by a number."""

    def make() -> None:
        rows = [row | {"queue": NUMBER} for day in DAYS for row in given_up(CALLER, day, "11:00")]
        at_noon = datetime.combine(DAYS[0], time(12), AMSTERDAM)
        rows += [event("agent_logged_in", at_noon, agent=LIKE_A_KEY)]
        home.land_together({NAMED: rows})
        home.build_unchecked()
        with home.connect() as owner:  # computed, and not opened
            leave_dirty(owner, [(NAMED, DAYS[-1])])
            window.build(owner, home.settings, quietly)

    make_once(home, "with a number", make)
    return home


def of_marts(stood: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    return {table: rows for table, rows in stood.items() if table.startswith("store.")}


def test_killed_three_times_it_comes_to_the_same_end(centre: Callmart, tmp_path: Path) -> None:
    before, key = standing(centre), key_file(centre.home, NAMED).read_bytes()
    kill_after(centre, NAMED, "")
    kill_after(centre, NAMED, "store", 4)
    assert standing(centre) == before, "until all marts are keyed anew, none is"
    layer = layer_of(centre, NAMED)
    assert key_file(centre.home, NAMED).read_bytes() == key + layer
    expected, counts = keyed_anew(before, NAMED, layer)
    assert counts.keys() >= KEYED, "the control finds no key in them"
    kill_after(centre, NAMED, "raw", 3)
    assert of_marts(standing(centre)) == of_marts(expected)
    assert standing(centre) != expected
    kill_after(centre, NAMED, "raw", 5)
    callmart = command_of(centre.home)
    for waiting in (
        ["land", "/etc/hostname"], ["build"], ["registry", "apply", str(tmp_path / "registry.yml"), "--yes"],
        ["backup", str(tmp_path / "backup")], ["privacy", "plan", "1"], ["expire"],
        ["keys", "rotate", "--customer", str(ANONYMOUS)],
    ):  # fmt: skip
        (tmp_path / "registry.yml").write_text("customers: []\n")
        done = callmart(*waiting)
        assert (done.returncode, done.stdout) == (2, ""), waiting
        assert f"`callmart keys rotate --customer {NAMED}` goes on" in done.stderr, waiting
    broke_off = f"and that broke off, so nothing lands: `callmart keys rotate --customer {NAMED}` goes on"
    assert broke_off in callmart("status").stdout
    done = callmart("keys", "rotate", "--customer", str(NAMED))
    assert done.returncode == 0, done.stderr
    assert f"rows of customer {NAMED} were keyed anew" in done.stdout
    assert standing(centre) == expected
    assert key_file(centre.home, NAMED).read_bytes() == key + layer
    with centre.connect() as owner:
        assert rotation.unfinished(owner) is None
    (logged,) = centre.rows("select customer_id, details from ops.audit_log where action = 'key rotated'")
    assert logged["customer_id"] == NAMED and logged["details"]["rows"] > len(expected["raw.event"]) / 2


def test_the_former_rows_leave_the_files_and_what_was_computed(centre: Callmart) -> None:
    assert centre.rows("select relation from ops.to_vacuum where is_whole") == []
    computed = centre.rows(
        "select 'build.' || quote_ident(relname) as name from pg_class"
        " where relnamespace = 'build'::regnamespace and relkind = 'r'"
    )
    assert len(computed) > 5
    assert not any(centre.rows(f"select from {row['name']} limit 1") for row in computed)
    assert centre.rows("select from ops.build where opened_at is null") == []


def test_a_build_computes_the_same_marts(centre: Callmart) -> None:
    before = of_marts(standing(centre))
    with centre.connect() as owner:
        leave_dirty(owner, [(customer, day) for customer in (NAMED, ANONYMOUS, STANDARD) for day in DAYS])
    centre.build_unchecked()
    assert of_marts(standing(centre)) == before


def test_what_has_landed_lands_no_second_time_and_a_late_file_lands_right(centre: Callmart) -> None:
    late = given_up(CALLER, DAYS[0], "09:00")[0]  # of a call that has landed
    moment = datetime.fromisoformat(late["occurred_at"]) + timedelta(seconds=20)
    again = [row for day in DAYS for row in given_up(CALLER, day, "11:00")]
    rows = [row | {"queue": NUMBER} for row in again]
    new = event("hold_started", moment, agent="medewerker-1001-1", call_id=late["call_id"])
    known = centre.rows("select count(*) as n from raw.event")[0]["n"]
    centre.land_together({NAMED: [*rows, late, new]})
    assert centre.rows("select count(*) as n from raw.event")[0]["n"] == known + 1
    key = key_file(centre.home, NAMED).read_bytes()
    (call,) = centre.rows(
        "select c.first_at, c.last_at, e.agent_key from raw.event as e join raw.call as c using (customer_id, call_key)"
        " where e.event = 'hold_started' and e.customer_id = %s and e.occurred_at = %s",
        NAMED, moment,
    )  # fmt: skip
    assert call["first_at"] < call["last_at"], "it is another call"
    assert call["agent_key"] == keyed(key, "agent", "medewerker-1001-1")
    assert keyed(key, "agent", "medewerker-1001-1") in {
        row["agent_key"] for row in centre.rows("select agent_key from registry.agent")
    }


def test_extracts_are_written_anew_with_the_new_keys(centre: Callmart) -> None:
    folder = extract.folder(centre.settings) / str(NAMED)

    def in_extracts() -> set[str]:
        return {value for path in folder.glob("*.hyper") for value in hyper.values(path)}

    key = key_file(centre.home, NAMED).read_bytes()
    former, now = (keyed(one, "agent", "medewerker-1001-2") for one in (key[:LAYER], key))
    assert former in in_extracts() and now not in in_extracts()
    books = centre.rows("select basis::text from ops.extract where customer_id = %s", NAMED)
    assert {row["basis"] for row in books} == {"{}"}, "whatever else has changed"
    with centre.connect() as owner:
        run.deliver(owner, centre.settings, stages.Ran(), quietly)
    assert now in in_extracts() and former not in in_extracts()


def test_the_key_of_the_installation_is_rotated_and_the_same_files_are_known(
    centre: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = ndjson(*(row | {"customer_id": NAMED} for row in given_up(CALLER, DAYS[0], "11:00")))
    centre.land_text(known)
    path, files = (
        key_file(centre.home, INSTALLATION),
        "select name_key, content_key from raw.file order by file_id",
    )
    key, before = path.read_bytes(), centre.rows(files)
    with centre.connect() as owner:
        owner.execute("insert into raw.file_look select name_key, asked, '1', file_id from raw.file limit 1")
    with centre.connect() as owner, monkeypatch.context() as patched:
        patched.setattr(rotating, "_note_new", Mock(side_effect=psycopg.errors.DiskFull))
        with pytest.raises(psycopg.errors.DiskFull):
            rotating.rotate_installation(owner, centre.settings)
    assert centre.rows(files) == before
    layered_key = path.read_bytes()
    assert layered_key[:LAYER] == key and len(layered_key) == 2 * LAYER
    with centre.connect() as owner:
        assert rotating.rotate_installation(owner, centre.settings) == len(before) > 3
    assert path.read_bytes() == layered_key, "the layer that was made before"
    assert centre.rows("select look from raw.file_look") == [], "none is left under the former key"
    expected = [{name: layered(layered_key[LAYER:], old) for name, old in row.items()} for row in before]
    assert centre.rows(files) == expected
    with centre.connect() as owner:  # as if the rotation had not asked for all files again
        owner.execute("update raw.file set registry_version = (select max(version) from registry.version)")
    assert centre.land_text(known).unchanged


def test_the_next_run_goes_on_and_a_second_layer_is_like_the_first(centre: Callmart) -> None:
    before = standing(centre)
    kill_after(centre, NAMED, "raw", 2)
    with centre.connect() as owner:
        rotating.finish(owner, centre.settings, quietly)
    assert standing(centre) == keyed_anew(before, NAMED, layer_of(centre, NAMED))[0]
    assert len(key_file(centre.home, NAMED).read_bytes()) == 3 * LAYER
    with centre.connect() as owner:
        rotating.finish(owner, centre.settings, quietly)
    assert len(key_file(centre.home, NAMED).read_bytes()) == 3 * LAYER, "there was nothing to finish"


def test_a_full_disk_leaves_nothing_half_done(centre: Callmart, monkeypatch: pytest.MonkeyPatch) -> None:
    before = standing(centre)
    for schema in ("store", "raw"):
        with monkeypatch.context() as patched:
            inner, done = rotating._key_anew, Counter[str]()

            def full(*given: Any, inner: Any = inner, done: Counter[str] = done, schema: str = schema) -> Any:
                done[given[1].schema] += 1
                if done[schema] == 4:
                    raise psycopg.errors.DiskFull
                return inner(*given)

            patched.setattr(rotating, "_key_anew", full)
            patched.setattr(rotating, "BATCH", 30)
            with pytest.raises(psycopg.errors.DiskFull):
                rotate(centre, ANONYMOUS)
    rotate(centre, ANONYMOUS)
    expected, counts = keyed_anew(before, ANONYMOUS, layer_of(centre, ANONYMOUS))
    assert counts["store.agent.agent"] > 0, "reports call no agent by the key"
    assert standing(centre) == expected


def test_a_page_that_can_not_be_removed_stops_a_rotation_before_it_begins(centre: Callmart) -> None:
    """Such as one in a folder of root's. A rotation that is not finished stops what lands and runs, of everybody."""
    before, key = standing(centre), key_file(centre.home, NAMED).read_bytes()
    page = shelf.place(centre.settings, NAMED, "traffic", weeks.of(DAYS[0]))
    page.mkdir(parents=True)
    named = re.escape(f"{page} can't be removed (Is a directory): give it and its folder to the user")
    with pytest.raises(UserError, match=named):
        rotate(centre, NAMED)
    assert (standing(centre), key_file(centre.home, NAMED).read_bytes()) == (before, key)
    with centre.connect() as owner:
        assert rotation.unfinished(owner) is None
    page.rmdir()
    kill_after(centre, NAMED, "raw")
    page.mkdir(parents=True)  # drawn meanwhile
    with centre.connect() as owner, pytest.raises(UserError, match=named):
        rotating.finish(owner, centre.settings, quietly)
    page.rmdir()
    with centre.connect() as owner:
        rotating.finish(owner, centre.settings, quietly)
        assert rotation.unfinished(owner) is None


def test_what_can_not_be_rotated_says_why_and_stays(centre: Callmart) -> None:
    before = standing(centre)
    path = key_file(centre.home, STANDARD)
    key = path.read_bytes()
    with pytest.raises(UserError, match="customer 77 has no key; `callmart status` lists"):
        rotate(centre, 77)
    path.rename(path.with_suffix(".away"))
    with pytest.raises(
        UserError, match=f"the key of customer {STANDARD} is missing .* restore FOLDER --keys"
    ):
        rotate(centre, STANDARD)
    path.write_bytes(key[::-1])
    path.chmod(0o600)
    with pytest.raises(UserError, match="is not the key of customer"):
        rotate(centre, STANDARD)
    path.with_suffix(".away").rename(path)
    with (
        centre.connect() as one,
        exclusive(one),
        pytest.raises(UserError, match="another callmart run is at work"),
    ):
        rotate(centre, STANDARD)
    with centre.connect() as owner:
        owner.execute("create table registry.seen (agent_key text)")
        owner.execute("comment on column registry.seen.agent_key is 'person: agent'")
        # The plan asks what a rotation asks, and leaves this transaction open.
        with pytest.raises(UserError, match=r"the keys of registry\.seen\.agent_key can't be keyed anew"):
            rotating.plan(owner, centre.settings, STANDARD)
        owner.rollback()
    assert standing(centre) == before
    assert path.read_bytes() == key


def test_a_closed_customer_is_opened_first(centre: Callmart) -> None:
    """Else nobody could be known again whom ledger and database know each in part."""
    erase(
        centre,
        person(centre, STANDARD, "agent", agent_of(STANDARD), datetime.combine(DAYS[1], time(), AMSTERDAM)),
    )
    with centre.connect() as owner:
        owner.execute("delete from privacy.tombstone")
        with pytest.raises(
            UserError, match=f"customer {STANDARD}: the privacy ledger and the database differ"
        ):
            rotating.plan(owner, centre.settings, STANDARD)
        owner.rollback()
        assert ledger.compare(owner, centre.settings) == ledger.Comparison()
    rotate(centre, STANDARD)


def test_tombstones_that_are_not_asked_per_layer_keep_the_key(centre: Callmart) -> None:
    with centre.connect() as owner:
        owner.execute("alter table privacy.tombstone drop constraint tombstone_kind_check")
        owner.execute("update privacy.tombstone set kind = 'other' where customer_id = %s", [STANDARD])
        with pytest.raises(UserError, match=f"customer {STANDARD} has a tombstone of the kind other"):
            rotating.plan(owner, centre.settings, STANDARD)
        owner.rollback()
