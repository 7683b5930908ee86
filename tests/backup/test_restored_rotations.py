"""A backup from before a rotation is restored. Who was erased since, before the rotation or after, does not come back;
who objected since is left out, and what was corrected since stays so.
"""

from collections.abc import Callable
from datetime import datetime, time, timedelta
from pathlib import Path
from unittest.mock import Mock

import pytest

from backups import back_up, restored, tables_with, with_ledger_copy
from callmart.backup import restore
from callmart.base.errors import UserError
from callmart.base.keys import LAYER, epochs, key_file, keyed
from callmart.database import restoring
from callmart.environments import databases
from callmart.privacy import objecting, procedure
from callmart.privacy.correcting import Correction
from callmart.privacy.procedure import Case
from callmart.retention import remove
from callmart_home import Callmart
from centre import ANONYMOUS, NAMED, STANDARD, agent_of
from erasing import erase, key_of, person
from events import AMSTERDAM, event
from rotations import rotate
from searching import files_with
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.thorough, pytest.mark.usefixtures("unchecked")]

MIDNIGHT = datetime.combine(TODAY, time(), AMSTERDAM)
BEFORE, AFTER, LATER_OBJECTOR, OBJECTOR = (agent_of(NAMED, number) for number in range(1, 5))
MISTAKEN, RIGHT = agent_of(ANONYMOUS, 1), agent_of(ANONYMOUS, 2)
MakeCallmart = Callable[..., Callmart]


@pytest.fixture(scope="module")
def old(played: Callmart, tmp_path_factory: pytest.TempPathFactory) -> Callmart:
    """A home whose ledger has a copy."""
    return with_ledger_copy(played, tmp_path_factory.mktemp("volume"))


@pytest.fixture(scope="module")
def backups(old: Callmart, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two backups. In between, an agent was erased and one objected, keys were rotated, another agent was erased and
    another one objected, and what an agent of another customer seemed to do on a day was given to somebody else.
    """
    folder = tmp_path_factory.mktemp("backups")
    own = MIDNIGHT - timedelta(days=9)  # on which nobody else was
    old.land_together(
        {
            NAMED: [
                event("agent_logged_in", own + timedelta(hours=9), agent=LATER_OBJECTOR, line="desk-3"),
                event("agent_logged_out", own + timedelta(hours=17), agent=LATER_OBJECTOR),
            ]
        }
    )
    old.build_unchecked()
    back_up(old, folder / "first")
    erase(old, person(old, NAMED, "agent", BEFORE, MIDNIGHT))
    with old.connect() as connection, procedure.working(connection, old.settings) as work:
        objector = person(old, NAMED, "agent", OBJECTOR, MIDNIGHT)
        objecting.note(Case(work, objector, key_of(old, NAMED), 3), "objection")
    rotate(old, NAMED)
    rotate(old, ANONYMOUS)
    erase(old, person(old, NAMED, "agent", AFTER, MIDNIGHT), 2)
    with old.connect() as connection, procedure.working(connection, old.settings) as work:
        objector = person(old, NAMED, "agent", LATER_OBJECTOR, MIDNIGHT)
        objecting.note(Case(work, objector, key_of(old, NAMED), 5), "objection")
        mistaken = person(old, ANONYMOUS, "agent", MISTAKEN, MIDNIGHT)
        correction = Correction(keyed(key_of(old, ANONYMOUS), "agent", RIGHT), MIDNIGHT - timedelta(days=1))
        correction._note(Case(work, mistaken, key_of(old, ANONYMOUS), 4))
        assert correction.correct(work, mistaken), "the control"
    back_up(old, folder / "second")
    return folder / "first", folder / "second"


def found(callmart: Callmart, agent: str) -> set[str]:
    """The tables with a key of an agent, as it is or was."""
    keys = [keyed(key, "agent", agent) for key in epochs(key_of(callmart, NAMED))]
    return tables_with(callmart, "|".join(keys))


def last_day(callmart: Callmart, agent: str) -> int:
    """The number of an agent's events on the day of the correction."""
    key = keyed(key_of(callmart, ANONYMOUS), "agent", agent)
    return len(
        callmart.rows(
            "select from raw.event where agent_key = %s and occurred_at >= %s and occurred_at < %s",
            key, MIDNIGHT - timedelta(days=1), MIDNIGHT,
        )
    )  # fmt: skip


def empty(make_callmart: MakeCallmart, like: Callmart) -> Callmart:
    return Callmart(like.settings.model_copy(update={"home": make_callmart().home}))


def test_with_the_keys_of_a_later_backup_all_are_erased_again(
    make_callmart: MakeCallmart, old: Callmart, backups: tuple[Path, Path]
) -> None:
    new = empty(make_callmart, old)
    first, second = backups
    opened = restore.open_backup(first, new.settings, second)
    with new.connect() as connection:
        done = restore.restore(connection, new.settings, opened, None, take_over=False)
    assert (done.erased, done.problems) == (2, [])
    assert key_of(new, NAMED) == key_file(old.home, NAMED).read_bytes()
    assert key_of(new, ANONYMOUS) == key_of(old, ANONYMOUS)
    assert key_of(new, STANDARD) == key_of(old, STANDARD)[:LAYER]
    assert found(new, BEFORE) == found(new, AFTER) == set()
    assert {"raw.event", "store.agent", "registry.agent"} >= found(new, agent_of(NAMED, 3)) - {
        "ops.dirty_day"
    }
    assert "raw.event" in found(new, agent_of(NAMED, 3)), "the control"
    new.build_unchecked()
    assert found(new, BEFORE) == found(new, AFTER) == set()
    for objector in (OBJECTOR, LATER_OBJECTOR):  # before the rotation, and after it
        tables = found(new, objector)
        assert {table for table in tables if table.startswith("store.")} == set(), objector
        assert "raw.event" in tables, "the control"
    assert last_day(new, MISTAKEN) == 0 and last_day(new, RIGHT) == last_day(old, RIGHT) > 0
    (entered,) = new.rows("select agent_key from privacy.correction")
    assert entered["agent_key"] == keyed(key_of(new, ANONYMOUS), "agent", RIGHT)


def test_without_them_the_days_before_the_last_erasure_go(
    make_callmart: MakeCallmart, old: Callmart, backups: tuple[Path, Path]
) -> None:
    """Nobody can find who was erased after the rotation, so nothing is left in which somebody could be."""
    new = empty(make_callmart, old)
    done = restored(new, backups[0])
    (problem,) = done.problems
    assert problem.startswith(f"customer {NAMED}: since this backup somebody was erased under another key")
    assert "`--later-keys`" in problem
    assert found(new, BEFORE) == found(new, AFTER) == set()
    erased = {keyed(key, "agent", AFTER).encode() for key in epochs(key_of(old, NAMED))}
    assert files_with(new.home / "postgres", erased) == set(), "nor in freed pages, or the log"
    rows = new.rows("select distinct customer_id from store.queue_day")
    assert {row["customer_id"] for row in rows} >= {ANONYMOUS} and NAMED not in {
        row["customer_id"] for row in rows
    }


def test_where_the_days_can_not_be_removed_the_restore_is_not_finished(
    make_callmart: MakeCallmart,
    old: Callmart,
    backups: tuple[Path, Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Somebody who was erased could be in them."""
    new = empty(make_callmart, old)
    with monkeypatch.context() as patch:
        patch.setattr(databases, "drop_of", Mock(side_effect=PermissionError(13, "no", "environments/pr")))
        with pytest.raises(remove.Unremoved, match=f"customer {NAMED} was not removed .environments/pr, "):
            restored(new, backups[0])
    with new.connect() as connection, pytest.raises(UserError, match=r"a restore .* is not finished"):
        restoring.refuse(connection)
    assert restored(new, backups[0]).problems != []
    assert found(new, BEFORE) == found(new, AFTER) == set()


def test_a_backup_since_the_rotation_needs_nothing(
    make_callmart: MakeCallmart, old: Callmart, backups: tuple[Path, Path]
) -> None:
    new = empty(make_callmart, old)
    done = restored(new, backups[1])
    assert (done.erased, done.problems) == (0, [])
    assert key_of(new, NAMED) == key_of(old, NAMED)
    landed = {"raw.event", "registry.agent"}  # the marts of the first home were not built since
    assert (found(new, BEFORE) | found(new, AFTER)) & landed == set()
    assert landed <= found(new, agent_of(NAMED, 3))


def test_a_key_of_later_layers_mends_a_missing_one(old: Callmart, backups: tuple[Path, Path]) -> None:
    """And one of too few layers mends nothing."""
    path = key_file(old.home, NAMED)
    key = path.read_bytes()
    path.unlink()
    with old.connect() as connection:
        assert restore.restore_keys(connection, old.settings, backups[0]) == ([], [NAMED])
        assert restore.restore_keys(connection, old.settings, backups[1]) == ([NAMED], [])
    assert path.read_bytes() == key
