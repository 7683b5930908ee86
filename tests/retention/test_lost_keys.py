"""A key goes with its customer, which is attested; and after a key was lost its customer starts over."""

import secrets
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from backups import PASSPHRASE
from callmart.base.errors import UserError
from callmart.base.keys import INSTALLATION, LAYER, is_pseudonym, key_file, keyed
from callmart.base.progress import quietly
from callmart.database import ledger, rotation
from callmart.database.tombstones import secret_of, tombstone
from callmart.operations import health, stages
from callmart.privacy import correcting, rotating, unknown
from callmart.retention import destroyed, remove
from callmart_home import Callmart
from commands import command_of, mistake
from events import at, days
from leavers import file_of, leaver
from registries import OPEN
from today import TODAY

pytestmark = [pytest.mark.dated, pytest.mark.usefixtures("unchecked", "trusted")]

STAYS, GONE, LOST, AT_ONCE = 11, 12, 13, 14


@pytest.fixture(scope="module")
def house(make_callmart: Callable[..., Callmart]) -> Callmart:
    """Customers with a file each."""
    callmart = make_callmart(ready=True)
    everybody = (STAYS, GONE, LOST, AT_ONCE)
    callmart.apply("customers:\n" + "".join(leaver(customer, OPEN) for customer in everybody))
    callmart = Callmart(callmart.settings.model_copy(update={"max_reject_share": 0.5}))
    for customer in everybody:
        callmart.land_text(file_of(customer), customer)
    callmart.build_unchecked()
    return callmart


def events_of(callmart: Callmart, customer: int) -> int:
    (row,) = callmart.rows("select count(*) as n from raw.event where customer_id = %s", customer)
    return int(row["n"])


def leave(callmart: Callmart, customer: int, *, backups: int | None) -> destroyed.Destroyed:
    """Let a customer leave, and the next run remove it, while backups are kept for so many days."""
    rest = [
        one
        for one in (STAYS, GONE, AT_ONCE, LOST)
        if one != customer and key_file(callmart.home, one).exists()
    ]
    callmart.apply("customers:\n" + "".join(leaver(one, OPEN) for one in rest))
    settings = callmart.settings.model_copy(update={"backup_kept_days": backups})
    with callmart.connect() as owner:
        for _ in range(2):  # the second finds nothing
            stages.remove_closed(owner, settings, stages.Ran(), quietly)
        (key,) = [one for one in destroyed.listed(owner) if one.customer_id == customer]
    assert not key_file(callmart.home, customer).exists()
    return key


def test_the_key_of_who_leaves_is_destroyed_and_attested_when_the_last_backup_is_gone(
    house: Callmart,
) -> None:
    with house.connect() as owner:
        with pytest.raises(UserError, match=f"no key of customer {GONE} was destroyed"):
            destroyed.attest(owner, house.settings, GONE)
        key, gone = leave(house, GONE, backups=30), TODAY + timedelta(days=30)
        assert (key.backups_gone, key.attested_at) == (gone, None)
        with pytest.raises(UserError, match=f"until {gone} a backup with the key of customer {GONE} is kept"):
            destroyed.attest(owner, house.settings, GONE)
        assert leave(house, AT_ONCE, backups=0).backups_gone == TODAY
        done = destroyed.attest(owner, house.settings, AT_ONCE)
        assert done.attested_at is not None and done.attested_by
        with pytest.raises(UserError, match="or its backups were attested"):
            destroyed.attest(owner, house.settings, AT_ONCE)


def test_a_key_that_is_there_is_not_lost(house: Callmart) -> None:
    with house.connect() as owner:
        with pytest.raises(UserError, match=f"the key of customer {LOST} is there, and fits its data"):
            remove.start_over(owner, house.settings, LOST)
        with pytest.raises(UserError, match="customer 99 has no key"):
            remove.start_over(owner, house.settings, 99)
    assert events_of(house, LOST) == 6


@pytest.fixture
def objecting_agent(house: Callmart) -> None:
    """One who objects, and one whose events were another's."""
    key, until = key_file(house.home, LOST).read_bytes(), at("00:00", 0)
    secret, agent = secret_of(key), keyed(key, "agent", f"SIP/geheim{LOST}")
    with house.connect() as owner:
        own = [tombstone(secret, "objector", one) for one in (agent, keyed(key, "agent", "another id"))]
        ledger.append(owner, house.settings, LOST, "agent", until, {"objector": own}, 1, "objection")
        mistaken = tombstone(secret, "mistaken", "a" * 32)
        entry = ledger.append(
            owner, house.settings, LOST, "agent", until, {"mistaken": [mistaken]}, 2, "rectification",
            until - timedelta(days=1),
        )  # fmt: skip
        correcting.enter(owner, entry.number, "b" * 32)


@pytest.mark.usefixtures("objecting_agent")
def test_after_a_loss_the_customer_starts_over_with_what_lands_again(house: Callmart) -> None:
    key = key_file(house.home, LOST).read_bytes()
    key_file(house.home, LOST).unlink()
    with pytest.raises(UserError, match=f"the key of customer {LOST} is missing"):
        house.land_text(file_of(LOST, first=3), LOST)
    with house.connect() as owner:
        owner.execute("insert into ops.rotation (customer_id) values (%s)", [LOST])  # one that broke off
        done = remove.start_over(owner, house.settings, LOST)
        assert rotation.unfinished(owner) is None
    assert (done.counts["events"], done.counts["keys"], done.counts["corrections"]) == (6, 1, 1)
    assert (events_of(house, LOST), events_of(house, STAYS)) == (0, 6)
    assert house.rows("select from store.queue_day where customer_id = %s", LOST) == []
    new = key_file(house.home, LOST).read_bytes()
    assert new != key
    assert house.land_text(file_of(LOST), LOST).landed == 6, "the same file lands again"
    (agent,) = {
        row["agent_key"]
        for row in house.rows("select agent_key from registry.agent where customer_id = %s", LOST)
    }
    assert agent == keyed(new, "agent", f"SIP/geheim{LOST}")
    house.build_unchecked()
    (row,) = house.rows(
        "select count(distinct call_date) as n from store.queue_day where customer_id = %s", LOST
    )
    assert row["n"] == len(days(3))


def test_after_the_loss_of_the_installation_s_key_files_land_once_more_and_no_event_doubles(
    house: Callmart, tmp_path: Path
) -> None:
    file, folder = key_file(house.home, INSTALLATION), tmp_path / "backup"
    lost, command = file.read_bytes(), command_of(house.home)
    assert "the key of this installation is there" in mistake(
        command("keys", "lost", "--installation", "--yes")
    )
    events, known = house.rows("select * from raw.event order by event_key"), keys_of_files(house)
    file.unlink()
    with pytest.raises(UserError, match="the key of this installation is missing"):
        house.land_text(file_of(STAYS), STAYS)
    for options, said in (
        (("--installation",), "land once more, without doubling an event"),
        (("--yes",), "say whose key it was"),
        (("--installation", "--customer", STAYS, "--yes"), "say whose key it was"),
    ):
        assert said in mistake(command("keys", "lost", *options))
    other = house.settings.model_copy(update={"home": tmp_path})
    with (
        house.connect() as owner,
        pytest.raises(UserError, match="has none of the keys of this database's data"),
    ):
        rotating.replace_installation_key(owner, other)
    assert (file.exists(), keys_of_files(house)) == (False, known)

    file.write_bytes(secrets.token_bytes(LAYER))  # as a kill before the commit leaves it
    done = command("keys", "lost", "--installation", "--yes")
    assert (done.returncode, f"{len(known) // 2} files are not known again" in done.stdout) == (0, True)
    assert file.read_bytes() != lost
    new = keys_of_files(house)
    assert len(new) == len(known) and not new & known and all(map(is_pseudonym, new))
    assert house.rows("select from raw.file_look") == []
    again = house.land_text(file_of(STAYS), STAYS)
    assert (again.landed, again.repeated) == (0, 6)
    assert house.rows("select * from raw.event order by event_key") == events
    assert [str(one) for one in health.look(house.settings).troubles if one.kind == "key"] == []
    assert house.rows("select from ops.audit_log where action = 'key of the installation lost'") == [{}]
    backed_up = command("backup", folder, CALLMART_BACKUP_PASSPHRASE=PASSPHRASE)
    assert backed_up.returncode == 0, backed_up.stderr


def keys_of_files(callmart: Callmart) -> set[str]:
    """The keys of names and contents of all files that have landed."""
    return {
        key for row in callmart.rows("select name_key, content_key from raw.file") for key in row.values()
    }


def agents_of(callmart: Callmart, customer: int) -> list[str]:
    return [
        row["agent"]
        for row in callmart.rows("select agent from store.agent where customer_id = %s", customer)
    ]


def test_nobody_is_shown_until_who_objected_under_the_lost_key_is_entered_again(house: Callmart) -> None:
    assert agents_of(house, LOST) == [], "nobody knows who it was"
    assert agents_of(house, STAYS), "the control"
    with house.connect() as owner:
        (one,) = unknown.look(owner)
        trouble = [each for each in health.look(house.settings).troubles if each.kind == "objectors"]
        assert [str(each) for each in trouble] == [f"customer {LOST}: {one}"]
        assert "1 agent objected to being shown under a key that is gone" in str(one)
        with pytest.raises(UserError, match=f"no agent of customer {STAYS} objected under a key"):
            unknown.entered_again(owner, house.settings, STAYS)
        assert unknown.entered_again(owner, house.settings, LOST) == 1, "with two ids"
        assert unknown.look(owner) == []
        assert ledger.compare(owner, house.settings) == ledger.Comparison()
    house.land_text(file_of(LOST), LOST)
    house.build_unchecked()
    assert len(agents_of(house, LOST)) == 1
