"""What follows from a mart's declaration is expected of it: whoever adds a column or a mart can't forget the checks."""

from typing import Any

import pytest

from callmart.base import raw_format
from callmart.base.errors import UserError
from callmart.base.matrix import matrix
from callmart.declarations import captions, expectations
from callmart.declarations.mart import Mart
from callmart.validate import derived, suites
from tableau_files import marts

KEYS: list[dict[str, Any]] = [
    {"name": "customer_id", "data_type": "integer"},
    {"name": "call_date", "data_type": "date"},
]


def mart(*columns: dict[str, Any], **declared: Any) -> Mart:
    described = {"name": "tiny", "group": "queue", "key": ["customer_id", "call_date"], "day": "call_date"}
    found = Mart.model_validate(described | declared | {"declared": [*KEYS, *columns]})
    for _, mistake in found.mistakes(matrix()):
        raise ValueError(mistake)
    return found


def expected(of: Mart) -> set[str]:
    """What is expected beyond what every mart of the group with these keys has."""
    every = list(derived.expectations(of))
    assert {entry["severity"] for entry in every} == {"critical"}
    return {suites._name({"meta": {}} | entry).removeprefix("expect_column_values_to_") for entry in every}


BARE = {
    "one row per customer_id, call_date",
    "not_be_null: column customer_id",
    "not_be_null: column call_date",
    "a contract keeps the day",
}


def test_every_mart_has_a_key_and_a_contract() -> None:
    assert expected(mart()) == BARE
    assert expected(mart(group="line")) == BARE
    detailed = BARE - {"a contract keeps the day"} | {"a detailed contract keeps the day"}
    assert expected(mart(group="agent")) == detailed
    without_days = mart(group="agent", key=["customer_id"], day="none")
    assert expected(without_days) >= {"one row per customer_id", "a detailed contract keeps the customer"}


NULLABLE = {"nullable": True}
COLUMNS: dict[str, tuple[dict[str, Any], set[str]]] = {
    "a count": (
        {"data_type": "integer"},
        {"not_be_null: column new", "be_between: min_value 0, column new"},
    ),
    "a count that can be unknown": (
        {"data_type": "integer"} | NULLABLE,
        {"be_between: min_value 0, column new"},
    ),
    "a count with bounds": (
        {"data_type": "integer", "least": 1, "most": 9} | NULLABLE,
        {"be_between: min_value 1, max_value 9, column new"},
    ),
    "a large count": (
        {"data_type": "bigint", "person": "nobody"} | NULLABLE,
        {"be_between: min_value 0, column new"},
    ),
    "a moment": ({"data_type": "timestamp with time zone"}, {"not_be_null: column new"}),
    "a word": ({"data_type": "text", "person": "nobody"} | NULLABLE, {"no agent is shown"}),
    "a word of ours": (
        {"name": "direction", "data_type": "text", "person": "nobody"} | NULLABLE,
        {"be_in_set: value_set ['inbound', 'outbound', 'internal'], column direction", "no agent is shown"},
    ),
    "a quarter-hour": (
        {"name": "interval_local", "data_type": "timestamp without time zone"} | NULLABLE,
        {"the quarter-hour lies in its day"},
    ),
}


@pytest.mark.parametrize("what", COLUMNS)
def test_a_column_brings_its_checks(what: str) -> None:
    column, more = COLUMNS[what]
    assert expected(mart({"name": "new"} | column)) == BARE | more


def test_a_key_of_an_agent_is_a_key_and_of_somebody_known() -> None:
    agent = {"name": "agent_key", "data_type": "text", "person": "agent", "nullable": True}
    caller = {"name": "call_key", "data_type": "bigint", "person": "caller", "nullable": True}
    more = expected(mart(agent, caller, group="agent")) - expected(mart(group="agent"))
    assert more == {
        "match_regex: regex ^[0-9a-f]{32}$, column agent_key",
        "every agent is one of the mart agent",
    }, "and the key of a call is no count"


def test_whatever_points_to_a_person_is_a_key_but_for_names_in_the_mart_of_names() -> None:
    remark = {"name": "remark", "data_type": "text", "person": "caller", "nullable": True}
    key = {"name": "agent_key", "data_type": "text", "person": "agent"}
    called = {"name": "called", "data_type": "text", "person": "agent", "nullable": True}
    assert "match_regex: regex ^[0-9a-f]{32}$, column remark" in expected(mart(remark, group="agent"))
    of_names = expected(
        mart(key, called, group="agent", name="agent", key=["customer_id", "agent_key"], day="none")
    )
    assert [one for one in of_names if "regex" in one] == [
        "match_regex: regex ^[0-9a-f]{32}$, column agent_key"
    ]


def test_a_series_counts_up() -> None:
    counts = [{"name": name, "data_type": "integer"} for name in ("waits_le_10", "waits", "waits_le_5")]
    texts = {"caption": {"nl": "*", "en": "*"}, "description_nl": "*"}
    declared = mart(*counts, series={"waits_le": {"up_to": "waits"} | texts})
    (query,) = (
        entry["kwargs"]["unexpected_rows_query"]
        for entry in derived.expectations(declared)
        if entry.get("meta", {}).get("name") == "waits_le counts up to waits"
    )
    assert query.endswith("where waits_le_5 > waits_le_10 or waits_le_10 > waits")
    with pytest.raises(ValueError, match=r"correct config\.meta\.series\.waits_le"):
        mart(counts[1], series={"waits_le": {"up_to": "waits"} | texts})


@pytest.mark.parametrize(
    ("column", "said"),
    [
        (
            {"name": "queue", "data_type": "text", "person": "nobody", "nullable": True},
            "remove nullable from",
        ),
        ({"name": "queue", "data_type": "text", "person": "nobody", "most": 9}, "its values are not numbers"),
        ({"name": "queue", "data_type": "bigint", "person": "nobody", "minimum": 9}, "Extra inputs"),
        (
            {"name": "queue", "data_type": "bigint", "person": "nobody", "description_nl": "Rij"},
            "add .* a caption",
        ),
    ],
)
def test_a_column_that_says_what_it_cannot_mean_is_refused(column: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        mart(column, key=["customer_id", "call_date", "queue"])


def test_words_are_those_that_raw_data_can_hold() -> None:
    known = captions.file().values
    assert set(known["status"]) == set(raw_format.STATUSES)
    assert set(known["direction"]) == set(raw_format.DIRECTIONS)
    assert set(known["transfer_target"]) == set(raw_format.TARGET_KINDS)
    assert set(known["platform"]) == set(raw_format.LINE_PLATFORMS)
    reasons = {event.name: set(event.reasons) for event in raw_format.EVENTS}
    assert set(known["transferred"]) == reasons["transferred"]
    assert set(known["ended"]) == reasons["agent_released"] | {"no_answer"}


def test_no_suite_repeats_what_is_derived() -> None:
    for declared in marts():
        every = [suites._name(entry) for entry in suites.expectations(declared)]
        assert len(every) == len(set(every)), declared.name


def test_a_mart_without_a_suite_says_so(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(expectations, "FOLDER", tmp_path)
    with pytest.raises(
        UserError, match=r"mart tiny has no suite; add .*tiny\.yml, .*, or declare `suite: none`"
    ):
        suites.expectations(mart())
    assert len(suites.expectations(mart(suite="none"))) == len(BARE)
    (tmp_path / "tiny.yml").touch()
    with pytest.raises(UserError, match=r"mart tiny declares `suite: none` but has .*; remove one"):
        suites.expectations(mart(suite="none"))
