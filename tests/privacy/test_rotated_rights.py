"""A key is rotated while agents object, and events are corrected to an agent who was erased in part: it all stays so.

Two customers have the same agents and the same rights. To the one, a mistake was told, and its key is rotated again and
again. The twin was told right, and keeps its key. Their marts are the same after every step.
"""

from datetime import date, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from callmart.audit import objectors
from callmart.base.errors import UserError
from callmart.base.keys import LAYER, epochs, key_file, keyed
from callmart.base.person import Person, Work
from callmart.base.progress import quietly
from callmart.database import ledger, rotation
from callmart.land import places
from callmart.land.corrected import Corrected
from callmart.privacy import erasing, lifting, objecting, persons, procedure, replaying
from callmart.privacy.correcting import Correction
from callmart.privacy.kept import Remembered
from callmart.privacy.procedure import Case
from callmart.registry.objectors import leave_out
from callmart.registry.places import name_again
from callmart.registry.states import current_states
from callmart_home import Callmart, leave_dirty
from centre import DAYS, agent_of, events
from rotations import keyed_anew, kill_after, layer_of, rotate, standing
from twins import ONE, TWIN, given, of_customer, parquet

pytestmark = [pytest.mark.server, pytest.mark.thorough, pytest.mark.usefixtures("unchecked")]

MISTAKEN, RIGHT, OBJECTOR, OTHER = (agent_of(ONE, number) for number in (1, 2, 3, 4))
ABSENT, NEVER = "medewerker-1001-9", "medewerker-1001-8"  # who objected, and have no events yet
MISTAKEN_DAYS = DAYS[:2]
REGISTRY = "customers:\n" + "".join(
    f"  - {{id: {number}, name: C{number}, contracts: [{{option: detailed, from: 2020-01-01}}]}}\n"
    for number in (ONE, TWIN)
)


def key_of(home: Callmart, customer: int = ONE) -> bytes:
    return key_file(home.home, customer).read_bytes()


def of(work: Work, customer: int, agent: str, day: date) -> Person:
    """An agent, up to the end of a day."""
    key = key_file(work.settings.home, customer).read_bytes()
    until = persons.end_of(work.connection, customer, day)
    found = persons.person(work.connection, key, customer, "agent", [agent], until)
    work.connection.commit()
    return found


def case(work: Work, customer: int, agent: str, day: date, request: int = 1) -> Case:
    key = key_file(work.settings.home, customer).read_bytes()
    return Case(work, of(work, customer, agent, day), key, request)


def correction(work: Work, first: date, right: str = RIGHT) -> Correction:
    since = persons.end_of(work.connection, ONE, first - timedelta(days=1))
    work.connection.commit()
    *former, agent_key = (
        keyed(key, "agent", right) for key in epochs(key_file(work.settings.home, ONE).read_bytes())
    )
    return Correction(agent_key, since, frozenset(former))


def note(work: Work, customer: int, agent: str, request: int, right: Any) -> None:
    """Let an agent object, or take it back: then reports name the agent by the id again."""
    asked = case(work, customer, agent, DAYS[-1], request)
    if right == "lifting":
        assert objecting.left_out(work, asked.person) == (len(asked.person.keys), 0)
    objecting.note(asked, right)
    if right == "lifting":
        name_again(work.connection, asked.person, asked.key)
    keys, others = objecting.left_out(work, asked.person)
    assert (keys > 0, others > 0) == ((True, False) if right == "objection" else (False, True))


@pytest.fixture
def work(home: Callmart) -> Any:
    with home.connect() as connection, procedure.working(connection, home.settings) as work:
        yield work


@pytest.fixture(scope="module")
def home(callmart: Callmart) -> Callmart:
    """With all rights in the ledger and in what was landed. What the other places do is tested elsewhere."""
    callmart.apply(REGISTRY)
    (callmart.home / "registry.yml").unlink()
    land_both(callmart, events(ONE, DAYS))
    with callmart.connect() as connection, procedure.working(connection, callmart.settings) as work:
        mistaken, corrected = case(work, ONE, MISTAKEN, MISTAKEN_DAYS[-1]), correction(work, MISTAKEN_DAYS[0])
        corrected._note(mistaken)
        assert corrected.correct(work, mistaken.person)
        for customer in (ONE, TWIN):
            part = case(work, customer, RIGHT, MISTAKEN_DAYS[0], customer)
            erasing._secure(part, Remembered.of(part.person, places.look(connection, part.person)))
            assert places.Events().treat(work, part.person)
            note(work, customer, OBJECTOR, 3, "objection")
            note(work, customer, ABSENT, 4, "objection")
            note(work, customer, NEVER, 9, "objection")
    callmart.build_unchecked()
    return callmart


def land_both(home: Callmart, told: pa.Table) -> tuple[int, int]:
    """Land the same events at both, the mistake at the one. Returns how many events landed."""
    right = told
    for day in MISTAKEN_DAYS:
        right = given(right, day, MISTAKEN, RIGHT)
    with home.connect() as owner:
        owner.execute("select registry.read_again(customer_id) from registry.customer")
    one = home.land(parquet(home, told, "one.parquet"))
    twin = home.land(parquet(home, of_customer(right, TWIN), "twin.parquet"))
    assert one.erased == twin.erased
    return one.landed, twin.landed


def build_all(home: Callmart) -> None:
    with home.connect() as owner:
        leave_dirty(owner, [(customer, day) for customer in (ONE, TWIN) for day in DAYS])
    home.build_unchecked()


def raw(home: Callmart) -> list[dict[str, Any]]:
    return home.rows("select * from raw.event where customer_id = %s order by event_key, ordinal", ONE)


def shown(home: Callmart, agent: str, customer: int = ONE) -> bool:
    key = keyed(key_of(home, customer), "agent", agent)
    tables = ("agent", "agent_day", "agent_contact", "agent_session", "agent_status_interval")
    return any(home.rows(f"select from store.{table} where agent_key = %s limit 1", key) for table in tables)


def test_it_all_holds_before(home: Callmart) -> None:
    """The control: what the twin is compared with."""
    assert home.told(ONE) == home.told(TWIN)
    assert not shown(home, OBJECTOR) and shown(home, OTHER) and shown(home, RIGHT)
    assert home.rows("select from privacy.renewed_tombstone") == []


def test_killed_three_times_nothing_changes_but_the_keys(home: Callmart) -> None:
    before, told = standing(home), home.told(ONE)
    for schema, times in (("", 1), ("store", 2), ("raw", 2)):
        kill_after(home, ONE, schema, times)
    rotate(home, ONE)
    expected, counts = keyed_anew(before, ONE, layer_of(home, ONE))
    assert counts["privacy.correction.agent_key"] == 1
    assert standing(home) == expected
    assert home.told(ONE) == told
    with home.connect() as owner:
        assert rotation.unfinished(owner) is None
        assert ledger.compare(owner, home.settings) == ledger.Comparison()


def test_a_build_leaves_out_the_same_agents(home: Callmart, work: Work) -> None:
    note(work, ONE, OBJECTOR, 8, "objection")  # again, under the new key
    known = [row["tombstone"] for row in home.rows("select tombstone from privacy.objector")]
    assert len(known) == len(set(known))
    work.connection.commit()
    for _ in range(2):
        build_all(home)
        assert home.told(ONE) == home.told(TWIN)
        assert not shown(home, OBJECTOR) and shown(home, OTHER)
        with home.connect() as owner:
            assert objectors.of_marts(owner).outcome == "holds"
        rotate(home, ONE)
    assert len(key_of(home)) == 4 * LAYER
    layers = "select distinct key_fingerprint from privacy.renewed_tombstone"
    assert home.rows(layers) == home.rows(
        "select key_fingerprint from registry.customer where customer_id = %s", ONE
    )


def test_landing_again_brings_nothing_back(home: Callmart) -> None:
    before = raw(home)
    assert land_both(home, events(ONE, DAYS)) == (0, 0)
    assert raw(home) == before


def late(agent: str, day: date) -> pa.Table:
    """Statuses that had not landed yet."""
    told = events(ONE, [day], seed=7)
    return told.filter(
        pc.and_(pc.equal(told["event"], "agent_status"), pc.equal(told["agent"], agent))
    ).slice(0, 2)


def test_late_events_are_given_to_whose_they_are(home: Callmart) -> None:
    key = keyed(key_of(home), "agent", RIGHT)
    own = "select count(*) as n from raw.event where customer_id = %s and agent_key = %s"
    before = home.rows(own, ONE, key)[0]["n"]
    days = [late(MISTAKEN, day) for day in DAYS]
    assert land_both(home, days[0]) == (0, 0), "the day on which that one was erased"
    assert land_both(home, days[1]) == (2, 2)
    assert home.rows(own, ONE, key)[0]["n"] == before + 2
    assert land_both(home, days[2]) == (2, 2)
    assert home.rows(own, ONE, key)[0]["n"] == before + 2, "on another day they are the first agent's"
    home.build_unchecked()
    assert home.told(ONE) == home.told(TWIN)


def test_the_server_refuses_what_the_loader_does_not_correct(
    home: Callmart, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Corrected, "_found_in", lambda self, events: [])
    with pytest.raises(UserError, match="brings a mistake back that was corrected"):
        land_both(home, late(MISTAKEN, DAYS[1]))


def test_who_objected_and_comes_after_the_rotation_is_left_out(home: Callmart) -> None:
    """No rotation could make anything of that agent's tombstone: only the landing knows the key."""
    renewed = len(home.rows("select from privacy.renewed_tombstone"))
    told = events(ONE, [DAYS[-1]], seed=8)
    coming = told.set_column(
        told.schema.get_field_index("agent"), "agent",
        pc.if_else(pc.equal(told["agent"], OTHER), pa.scalar(ABSENT), told["agent"]),
    )  # fmt: skip
    one, twin = land_both(home, coming)
    assert one == twin > 0
    assert len(home.rows("select from privacy.renewed_tombstone")) == renewed + 1
    home.build_unchecked()
    assert home.told(ONE) == home.told(TWIN)
    assert not shown(home, ABSENT)
    with home.connect() as owner:
        assert objectors.of_marts(owner).outcome == "holds"


def named(home: Callmart) -> set[str]:
    """Whom a registry file that names three agents would name."""
    with home.connect() as owner:
        desired = current_states(owner)
        agents = (OBJECTOR, ABSENT, NEVER, "nobody", OTHER)
        desired[ONE].agents = {(agent, agent.upper(), None) for agent in agents}
        leave_out(owner, home.settings, desired)
        return {agent for agent, *_ in desired[ONE].agents}


def test_a_registry_file_does_not_name_them(home: Callmart) -> None:
    assert named(home) == {OTHER, "nobody"}


def test_another_correction_of_the_same_agents_is_refused(home: Callmart, work: Work) -> None:
    for mistaken, right in ((RIGHT, OTHER), (OTHER, MISTAKEN), (OTHER, RIGHT)):
        with pytest.raises(UserError, match="another correction is about one of these agents"):
            correction(work, DAYS[0], right).plan(case(work, ONE, mistaken, DAYS[-1]))


def test_a_database_that_lost_it_is_told_again_by_the_ledger(home: Callmart, work: Work) -> None:
    query = "select mistaken, agent_key, since, until from privacy.correction"
    before = home.rows(query)
    work.connection.execute("delete from privacy.correction")
    work.connection.execute("delete from privacy.tombstone where kind in ('mistaken', 'objector')")
    work.connection.commit()
    assert ledger.compare(work.connection, home.settings).differing == {ONE, TWIN}
    done = replaying.replay(work.connection, home.settings, quietly)
    assert done.customers == (ONE, TWIN) and home.rows(query) == before
    objects = {keyed(key_of(home), "agent", agent) for agent in (OBJECTOR, ABSENT)}
    left_out = [person for person, right in done.changed if (person.customer_id, right) == (ONE, "objection")]
    assert {key for person in left_out for key in person.keys} == objects


def test_taken_back_the_agents_are_shown_again(home: Callmart, work: Work) -> None:
    for customer in (ONE, TWIN):
        note(work, customer, OBJECTOR, 5, "lifting")
        note(work, customer, ABSENT, 6, "lifting")
        note(work, customer, NEVER, 10, "lifting")
    build_all(home)
    assert home.told(ONE) == home.told(TWIN)
    assert shown(home, OBJECTOR) and shown(home, ABSENT)
    asked_again = lifting.plan(case(work, ONE, OBJECTOR, DAYS[-1]))  # as by a register from before
    assert asked_again.counts["marts"]["agents"] == 1
    assert not any(lifting.plan(case(work, ONE, OTHER, DAYS[-1])).counts.values()), "left out of nothing"
    assert named(home) == {OBJECTOR, ABSENT, NEVER, OTHER, "nobody"}
    work.connection.commit()
    rotate(home, ONE)
    build_all(home)
    assert home.told(ONE) == home.told(TWIN)
    note(work, ONE, OBJECTOR, 7, "objection")
    note(work, TWIN, OBJECTOR, 7, "objection")
    work.connection.commit()
    rotate(home, ONE)
    build_all(home)
    assert home.told(ONE) == home.told(TWIN) and not shown(home, OBJECTOR)
