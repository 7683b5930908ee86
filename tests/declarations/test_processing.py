"""What is kept of persons is explained, in both languages, and the pages say it as it is declared."""

from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from callmart.base import declared
from callmart.base.errors import UserError
from callmart.base.matrix import matrix
from callmart.declarations import processing, record
from callmart.declarations.processing import Processing
from tableau_files import marts


def test_the_pages_say_what_is_declared(tmp_path: Path) -> None:
    pages = (record.RECORD, record.CALLER)
    of_tables, of_caller = (tmp_path / page.name for page in pages)
    for page in pages:
        (tmp_path / page.name).write_text(page.read_text())
    record.write(of_tables, of_caller, marts())
    for page in pages:
        assert (tmp_path / page.name).read_text() == page.read_text(), f"run {record.COMMAND}"
    of_caller.write_text("no marker")
    with pytest.raises(UserError, match="put `<!-- caller, written by"):
        record.write(of_tables, of_caller, marts())


def test_everything_is_explained_in_both_languages() -> None:
    for holding in record.declared_holdings(marts()):
        for told in (holding.caption, holding.why, holding.source, holding.kept):
            assert told.nl != told.en
        for name, meaning in holding.columns.items():
            assert meaning.nl != meaning.en, f"{holding.table}.{name}"


def test_the_record_says_who_sees_a_table() -> None:
    by_name = {f"store.{mart.name}": mart for mart in marts()}

    def seen(table: str) -> str:
        return "; ".join(record.seen_by(table, by_name.get(table), matrix()))

    assert seen("store.agent_day") == "the customer, with the option detailed, also on Tableau"
    assert seen("store.queue_day") == "the customer, with the option standard or detailed, also on Tableau"
    assert seen("store.queue_contact") == "the customer, if it has ordered a contact list"
    assert seen("ops.audit_log") == "the logins privacy_officer, auditor, operator"
    assert seen("raw.event") == "no login but the owner"


def test_a_mart_of_persons_of_a_new_group_has_to_say_what_it_is_for() -> None:
    (mart,) = (one for one in marts() if one.name == "agent_day")
    of_lines = [mart.model_copy(update={"group": "line"})]
    with pytest.raises(UserError, match=r"processing.yml: marts: the mart agent_day has columns of persons"):
        record.declared_holdings(of_lines)


WRONG: dict[str, tuple[Any, str]] = {
    "an unknown purpose": (
        {"tables": {"raw.call": {"why": "fun"}}},
        "raw.call names fun, which is not declared",
    ),
    "an unknown source": (
        {"marts": {"agent": {"source": "rumour"}}},
        "agent names rumour, which is not declared",
    ),
    "an unknown period": ({"marts": {"contact": {"kept": "briefly"}}}, "contact names briefly"),
    "one language": ({"purposes": {"reports": {"en": None}}}, "purposes.reports.en"),
    "a key that nobody knows": ({"tables": {"raw.call": {"purpose": "x"}}}, "purpose: unknown key"),
    "a reason for no column": ({"tables": {"raw.event": {"left_out": [{"nl": "x", "en": "y"}]}}}, "columns"),
}


@pytest.mark.parametrize(("change", "why"), WRONG.values(), ids=WRONG)
def test_a_mistake_is_one_sentence(tmp_path: Path, change: Any, why: str) -> None:
    yaml = YAML()
    document = yaml.load(processing.FILE)
    merge(document, change)
    file = tmp_path / "processing.yml"
    yaml.dump(document, file)
    with pytest.raises(UserError) as refusal:
        declared.read(file, Processing)
    assert why in str(refusal.value) and "\n" not in str(refusal.value)


def merge(document: Any, change: Any) -> None:
    for name, value in change.items():
        if isinstance(value, dict):
            merge(document[name], value)
        else:
            document[name] = value
