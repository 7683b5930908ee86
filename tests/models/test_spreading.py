"""Which models are computed at places, whose customers at which, and what stands there instead of our tables."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from callmart.base.errors import UserError
from callmart.base.settings import PROJECT
from callmart.build import spreading
from callmart.declarations import dbt_project
from callmart.declarations.dbt_project import Compiled
from callmart.declarations.mart import Column, Mart
from callmart_home import Callmart


def model(name: str, *reads: str, sql: str = "select 1") -> Compiled:
    return Compiled(f"model.callmart.{name}", name, False, sql, reads, {})


def mart(name: str) -> Mart:
    columns = (
        Column(name="customer_id", data_type="integer"),
        Column(name="call_date", data_type="date"),
    )
    return Mart(name=name, group="queue", key=("customer_id", "call_date"), day="call_date", declared=columns)


EVENT, CUSTOMER = "source.callmart.raw.event", "source.callmart.registry.customer"
MODELS = [
    model("day_mart", "model.callmart.quarter_mart", "model.callmart.stg_customer"),
    model("quarter_mart", "model.callmart.int_visit"),
    model("int_visit", "model.callmart.stg_event", "model.callmart.stg_customer"),
    model("int_landed", "model.callmart.stg_event"),
    model("stg_event", EVENT),
    model("stg_customer", CUSTOMER),
    model("int_month", "source.callmart.ops.dirty_day"),
]
MARTS = [mart("day_mart"), mart("quarter_mart")]


def test_the_nodes_compute_what_reads_events_and_what_that_reads() -> None:
    planned = spreading.plan(MODELS, MARTS, {"int_landed"})
    names = [one.name for one in planned.models]
    assert set(names) == {"stg_event", "stg_customer", "int_visit", "int_landed", "quarter_mart"}
    assert names.index("stg_event") < names.index("int_visit") < names.index("quarter_mart")


def test_rows_come_back_of_marts_and_of_what_their_suites_look_at_and_of_nothing_else() -> None:
    planned = spreading.plan(MODELS, MARTS, {"int_landed"})
    assert set(planned.returning) == {"quarter_mart", "int_landed"}
    # stg_customer is not among those that dbt leaves out: day_mart reads it, on the coordinator.
    assert set(planned.inner) == {"stg_event", "int_visit"}


def test_a_model_of_events_and_of_history_is_refused() -> None:
    both = model("both", EVENT, sql='select * from "callmart"."store"."quarter_mart"')
    with pytest.raises(UserError, match="model both reads events and a mart's history"):
        spreading.plan([*MODELS, both], MARTS, ())


def test_a_nodes_relations_and_functions_take_the_place_of_ours() -> None:
    names = {
        "raw.event": "raw.event_102008",
        "build.window": 'pg_temp."build.window"',
        "registry.customer": 'pg_temp."registry.customer"',
    }
    text = (
        'select registry.name_shown(e.queue) from "callmart"."raw"."event" as e, "callmart"."build"."window" as w,'
        ' registry.customer as c, build."window", elsewhere.event'
    )
    assert spreading._placed(text, names, "callmart") == (
        'select pg_temp.name_shown(e.queue) from raw.event_102008 as e, pg_temp."build.window" as w,'
        ' pg_temp."registry.customer" as c, pg_temp."build.window", elsewhere.event'
    )


def test_the_nodes_leave_out_the_days_that_the_store_leaves_out() -> None:
    store = (PROJECT / "macros" / "store" / "store.sql").read_text(encoding="utf-8")
    left_out = spreading.NOT_REACHED.replace("{day}", "{{ declared.day }}")
    assert "".join(left_out.split()) in "".join(store.split())


def test_the_projects_models_can_be_spread(callmart: Callmart) -> None:
    """No model reads events and a mart's history; the marts that read only other marts stay on the coordinator."""
    marts = dbt_project.marts(callmart.settings)
    planned = spreading.plan(dbt_project.compiled_models(callmart.settings), marts, spreading._checked(marts))
    assert {"queue_interval", "agent_contact", "line_interval", "int_landed"} <= {*planned.returning}
    assert not {"agent", "int_volume", "function_month"} & {one.name for one in planned.models}
    assert "stg_event" in planned.inner


def test_customers_are_split_into_nearly_equal_numbers_of_calls() -> None:
    assert spreading.split({1: 100, 2: 60, 3: 50, 4: 40, 5: 0}, 2) == [(1, 4), (2, 3, 5)]
    assert spreading.split({1: 100, 2: 60}, 1) == [], "dbt computes it as well"
    assert spreading.split({1: 100, 2: 20}, 2) == [], "the first customer has most calls"
    large = {1: 200} | dict.fromkeys(range(2, 82), 10)
    assert len(spreading.split(large, 8)) == 7, "the first customer has a fifth"


@given(
    calls=st.dictionaries(st.integers(1, 10_000), st.integers(1, 1000), min_size=1, max_size=60),
    number=st.integers(2, 8),
)
def test_each_customer_is_in_one_group(calls: dict[int, int], number: int) -> None:
    groups = spreading.split(calls, number)
    if groups:
        assert sorted(customer for group in groups for customer in group) == sorted(calls)
        assert 2 <= len(groups) <= number and all(groups)


def test_places_have_the_settings_that_the_macros_give() -> None:
    """And samples of the size that the materialization takes."""
    macros = [PROJECT / "macros" / name for name in ("window/settings_to_compute.sql", "store/window.sql")]
    told = " ".join(macro.read_text(encoding="utf-8") for macro in macros)
    for setting in spreading.TO_COMPUTE.split("; "):
        assert f"{setting};" in told
