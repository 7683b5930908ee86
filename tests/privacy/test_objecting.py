"""An agent objects to being shown, and takes that back. One home, in which one agent after the other does."""

from typing import Any

import pytest

from callmart.base.person import Counts, Proof, Work
from callmart.declarations import dbt_project
from callmart.privacy import lifting, objecting, places
from callmart_home import Callmart, ignore_step
from centre import NAMED
from erasures import LEAVER, WITH_CONTACTS, agent_key, key_of, of
from searching import files_with

pytestmark = [pytest.mark.server, pytest.mark.usefixtures("unchecked")]

HIDDEN = ("ring", "hold", "talk", "wrapup", "contacts_held", "transferred", "needed")


def object_to(work: Work, agent: str, request: int) -> dict[str, Counts]:
    treated: dict[str, Counts] = {}
    person = of(work, "agent", agent)
    objecting.do(work, person, key_of(work), request, ignore_step, ignore_step, treated.__setitem__)
    return treated


def lift(work: Work, agent: str, request: int) -> None:
    lifting.do(work, of(work, "agent", agent), key_of(work), request, ignore_step, ignore_step, ignore_step)


def left(work: Work, agent: str, request: int) -> dict[str, Counts]:
    proofs: dict[str, Proof] = {}
    objecting.prove(work, of(work, "agent", agent), key_of(work), request, proofs.__setitem__)
    assert set(proofs) == {place.name for place in places.PLACES}
    return {name: proof.left for name, proof in proofs.items() if proof.left}


def state(home: Callmart) -> dict[str, list[dict[str, Any]]]:
    """All rows of all marts."""
    return {
        mart.name: home.rows(f"select * from store.{mart.name} order by {', '.join(mart.key)}")
        for mart in dbt_project.marts(home.settings)
        if mart.group != "usage"
    }


def raw(home: Callmart) -> list[dict[str, Any]]:
    return home.rows("select * from raw.event order by customer_id, occurred_at, event_key, ordinal")


@pytest.fixture(scope="module")
def before(home: Callmart) -> dict[str, list[dict[str, Any]]]:
    """As everything was before anybody objected. Nothing that landed waits."""
    home.build_unchecked()
    return state(home)


def test_an_agent_who_objects_is_in_nothing_that_shows_agents(
    home: Callmart, work: Work, before: Any
) -> None:
    events_before = raw(home)
    plan = objecting.plan(work, of(work, "agent", LEAVER), key_of(work))
    assert left(work, LEAVER, 1), "the control"
    assert state(home) == before, "a plan and a proof change nothing"
    treated = object_to(work, LEAVER, 1)
    assert left(work, LEAVER, 1) == {}
    assert treated["marts"]["mart.agent"] == plan.counts["marts"]["mart.agent"] == 1
    assert raw(home) == events_before, "what was landed is untouched"
    differences(before, state(home), plan.cells, agent_key(home, LEAVER))
    words = {LEAVER.encode(), b"Noor Zandvliet", agent_key(home, LEAVER).encode()}
    assert not {file for file in files_with(home.home, words) if file.startswith(("extracts", "emulator"))}


def differences(before: Any, after: Any, cells: Any, *keys: str) -> None:
    """Nothing differs but the agents' own rows, which are gone, and the cells in the plan. Where an agent worked, what
    agents did is hidden, and where one was a member, the staffing.
    """
    worked = {"hidden": set[Any](), "staffing": set[Any]()}
    for row in before["agent_queue_interval"]:
        if row["agent_key"] in keys:
            cell = row["customer_id"], row["queue"], row["call_date"]
            worked["hidden"] |= {cell} if row["contacts"] or row["rings"] else set()
            worked["staffing"] |= {cell} if row["member_s"] else set()
    assert all(worked.values()), "the control"
    planned = {
        change: {(NAMED, cell.queue, cell.call_date) for cell in cells if cell.change == change}
        for change in worked
    }
    for mart in ("queue_interval", "queue_day"):
        for one, other in zip(before[mart], after[mart], strict=True):
            cell = one["customer_id"], one["queue"], one["call_date"]
            columns = {
                "hidden": {name for name in one if name.startswith(HIDDEN)},
                "staffing": {"staffed_s"},
            }
            allowed = set[str]()
            for change, names in columns.items():
                if cell in worked[change]:
                    assert {name: other[name] for name in names} == dict.fromkeys(names), (change, cell)
                allowed |= names if cell in planned[change] else set()
            assert {name for name in one if one[name] != other[name]} <= allowed
    for mart in before.keys() - {"queue_interval", "queue_day"}:
        assert [row for row in before[mart] if row.get("agent_key") not in keys] == after[mart]


def test_taken_back_everything_is_as_before(home: Callmart, work: Work, before: Any) -> None:
    lift(work, LEAVER, 2)
    registry = home.home / "registry.yml"
    registry.write_text(WITH_CONTACTS)
    home.apply(WITH_CONTACTS)
    registry.unlink()
    assert state(home) == before
