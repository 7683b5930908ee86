"""An environment is compared with what stands: every difference is found, and no value of a person is told."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest

from callmart.declarations import dbt_project
from callmart.declarations.mart import Mart
from callmart.environments import comparing, written
from callmart.environments.differences import ROWS, Cell, Column, Compared
from callmart.environments.known import Environment
from callmart_home import Callmart
from centre import DAYS, NAMED, STANDARD, agent_of
from requests_of_persons import Command
from tried import ENVIRONMENT, changed

pytestmark = [pytest.mark.server, pytest.mark.thorough]

TWO_DAYS = DAYS[1:]


def compare(tried: Callmart) -> Compared:
    with tried.connect() as connection:
        return comparing.compare(connection, tried.settings, ENVIRONMENT)


def cells(compared: Compared, mart: str, column: str) -> dict[tuple[int, Any], Cell]:
    return {
        (cell.customer_id, cell.day): cell
        for cell in compared.cells
        if (cell.mart, cell.column) == (mart, column)
    }


# -- what is equal -----------------------------------------------------------------------------------------------------


def test_the_unchanged_project_changes_nothing_and_every_column_was_compared(tried: Callmart) -> None:
    compared = compare(tried)
    assert compared.differing == []
    assert (compared.days, compared.left_out, compared.summed) == (4, 0, ())
    expected = {
        (mart.name, column)
        for mart in dbt_project.marts(tried.settings)
        for column in (ROWS, *mart.columns)
        if column not in mart.key
    }
    assert {(column.mart, column.column) for column in compared.columns} == expected
    by_column = {(one.mart, one.column): one.equal for one in compared.columns}
    assert by_column["queue_interval", "offered"] == 4
    assert by_column["agent_day", ROWS] == 2, "only one of the two customers has agents"
    assert by_column["agent", "agent"] == 1, "agents have no days"


# -- what differs ------------------------------------------------------------------------------------------------------


def test_a_changed_number_is_found_on_its_day_alone_with_sums_and_size(
    tried: Callmart, own: psycopg.Connection
) -> None:
    ((before, rows),) = tried_sums(tried, "queue_interval", "offered")
    with changed(
        own,
        f"update store.queue_interval set offered = offered + 1, answered = answered + 2"
        f" where customer_id = {NAMED} and call_date = '{DAYS[2]}'",
    ):
        compared = compare(tried)
    assert {(column.mart, column.column) for column in compared.differing} == {
        ("queue_interval", "offered"),
        ("queue_interval", "answered"),
    }
    found = cells(compared, "queue_interval", "offered")
    assert found == {
        (NAMED, DAYS[2]): Cell(
            "queue_interval", "offered", NAMED, DAYS[2], "changed", rows, rows, rows, before, before + rows,
            round(rows / (before + rows), 6),
        )
    }  # fmt: skip
    assert [cell.column for cell in compared.cells] == ["answered", "offered"], "the largest first"
    assert next(one for one in compared.columns if one.column == "offered" and one.cells).equal == 3


def tried_sums(tried: Callmart, mart: str, column: str) -> list[tuple[int, int]]:
    rows = tried.rows(
        f"select sum({column})::bigint as total, count(*) as rows from store.{mart}"
        " where customer_id = %s and call_date = %s",
        NAMED, DAYS[2],
    )  # fmt: skip
    return [(row["total"], row["rows"]) for row in rows]


def test_differences_that_cancel_each_other_have_a_size(tried: Callmart, own: psycopg.Connection) -> None:
    of_day = f"customer_id = {STANDARD} and call_date = '{DAYS[1]}' and offered > 0"
    bounds = f"(select {{}}(interval_start) from store.queue_interval where {of_day})"
    first, last = bounds.format("min"), bounds.format("max")
    with changed(
        own,
        f"update store.queue_interval set offered = offered + case interval_start when {first} then 1 else -1 end"
        f" where {of_day} and interval_start in ({first}, {last})",
    ):
        (cell,) = cells(compare(tried), "queue_interval", "offered").values()
    assert cell.here == cell.there
    assert cell.size
    assert cell.differing == 2


def test_rows_and_days_on_one_side_only(tried: Callmart, own: psycopg.Connection) -> None:
    with changed(
        own,
        f"delete from store.queue_day where customer_id = {NAMED} and call_date = '{DAYS[1]}'",
        "insert into store.line_interval select customer_id, call_date, platform, 'another line'"
        f"{columns_after(tried, 'line_interval', 'line')} from store.line_interval"
        f" where customer_id = {STANDARD} and call_date = '{DAYS[1]}' and calls_in > 0",
    ):
        compared = compare(tried)
    gone = cells(compared, "queue_day", "offered")[NAMED, DAYS[1]]
    assert (gone.outcome, gone.there, gone.size) == ("only here", None, 1)
    (more,) = cells(compared, "line_interval", ROWS).values()
    assert (more.outcome, more.there, more.differing) == ("changed", (more.here or 0) + 1, 1)
    with (
        changed(
            own,
            f"update ops.opened_day set build_id = build_id where customer_id = {NAMED}",
        ),
        tried.connect() as owner,
        changed(
            owner, f"delete from store.queue_day where customer_id = {NAMED} and call_date = '{DAYS[2]}'"
        ),
    ):
        owner.commit()
        assert cells(compare(tried), "queue_day", ROWS)[NAMED, DAYS[2]].outcome == "only there"
    assert compare(tried).differing == []


def columns_after(tried: Callmart, mart: str, column: str) -> str:
    found = next(one for one in dbt_project.marts(tried.settings) if one.name == mart).columns
    return "".join(f", {name}" for name in found[found.index(column) + 1 :])


def test_a_value_that_one_side_does_not_know_is_in_no_sum(tried: Callmart, owner: psycopg.Connection) -> None:
    """What agents did may be suppressed here, and shown there by mistake. The page must not tell it."""
    of_day = f"customer_id = {STANDARD} and call_date = '{DAYS[1]}'"
    owner.autocommit = True
    with changed(owner, f"update store.queue_interval set talk_s = null where {of_day}"):
        compared = compare(tried)
    (cell,) = cells(compared, "queue_interval", "talk_s").values()
    assert cell.outcome == "changed"
    assert (cell.here, cell.there) == (None, None)
    assert cell.differing == cell.rows_there


def test_marts_and_columns_on_one_side_are_said_and_stop_nothing(
    tried: Callmart, own: psycopg.Connection
) -> None:
    with changed(
        own,
        undone=(
            "alter table store.queue_dag rename to queue_day",
            "alter table store.queue_interval rename aangeboden to offered",
        ),
    ):
        own.execute("alter table store.queue_day rename to queue_dag")
        own.execute("alter table store.queue_interval rename offered to aangeboden")
        own.execute(f"update store.queue_interval set answered = answered + 1 where customer_id = {NAMED}")
        compared = compare(tried)
        own.execute(f"update store.queue_interval set answered = answered - 1 where customer_id = {NAMED}")
    one_sided = {(one.mart, one.column, one.only) for one in compared.columns if one.only}
    assert one_sided == {
        ("queue_dag", None, "there"),
        ("queue_day", None, "here"),
        ("queue_interval", "aangeboden", "there"),
        ("queue_interval", "offered", "here"),
    }
    assert len(cells(compared, "queue_interval", "answered")) == 2
    page = written.as_html(compared)
    assert "the whole mart</td>" in page and "is only there" in page


def test_what_was_renamed_is_compared_under_its_former_name(
    tried: Callmart, own: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    def renamed(settings: Any) -> list[Mart]:
        return [
            mart.model_copy(
                update={
                    "name": "queue_dag",
                    "renamed_from": ("queue_day",),
                    "declared": tuple(
                        column.model_copy(update={"name": "aangeboden", "renamed_from": ("offered",)})
                        if column.name == "offered"
                        else column
                        for column in mart.declared
                    ),
                }
            )
            if mart.name == "queue_day"
            else mart
            for mart in inner(settings)
        ]

    inner = dbt_project.marts
    monkeypatch.setattr(dbt_project, "marts", renamed)
    with changed(
        own,
        undone=(
            "alter table store.queue_dag rename aangeboden to offered",
            "alter table store.queue_dag rename to queue_day",
        ),
    ):
        own.execute("alter table store.queue_day rename to queue_dag")
        own.execute("alter table store.queue_dag rename offered to aangeboden")
        compared = compare(tried)
    assert compared.differing == []
    assert ("queue_dag", "aangeboden") in {(one.mart, one.column) for one in compared.columns}


def test_where_the_key_is_another_one_sums_are_compared(tried: Callmart, own: psycopg.Connection) -> None:
    """As if a mart got a row per queue that had one per queue and quarter-hour."""
    with changed(
        own,
        undone=("drop table store.line_interval", "alter table store.kept rename to line_interval"),
    ):
        own.execute(
            "create table store.lines as select customer_id, call_date, platform, line,"
            " sum(calls_in)::integer as calls_in, sum(calls_out)::integer as calls_out"
            " from store.line_interval group by 1, 2, 3, 4"
        )
        own.execute("alter table store.lines add primary key (customer_id, call_date, platform, line)")
        own.execute("alter table store.line_interval rename to kept")
        own.execute("alter table store.lines rename to line_interval")
        compared = compare(tried)
        assert compared.summed == ("line_interval",)
        assert not [cell for cell in compared.cells if cell.mart == "line_interval"]
        own.execute(f"update store.line_interval set calls_in = calls_in + 1 where customer_id = {NAMED}")
        compared = compare(tried)
    assert {cell.column for cell in compared.cells} == {"calls_in"}
    assert len(compared.cells) == len(TWO_DAYS)


# -- persons -----------------------------------------------------------------------------------------------------------


def test_what_few_agents_did_is_not_told_and_no_key_or_name_ever(
    tried: Callmart, own: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    with changed(
        own,
        "update store.agent_day set talk_s = talk_s + 1",
        "update store.agent set agent = agent || ' changed'",
    ):
        compared = compare(tried)
        monkeypatch.setattr(comparing, "FEWEST_PERSONS", 4)
        shown = compare(tried)
    of_agents = cells(compared, "agent_day", "talk_s").values()
    assert {cell.outcome for cell in of_agents} == {"changed"}
    for cell in of_agents:
        assert cell == Cell(cell.mart, cell.column, cell.customer_id, cell.day, cell.outcome), "four agents"
    assert any(cell.size for cell in cells(shown, "agent_day", "talk_s").values()), "the control"
    names = {
        row["agent"] for row in tried.rows("select agent from store.agent where customer_id = %s", NAMED)
    }
    keys = {row["agent_key"] for row in tried.rows("select agent_key from store.agent")}
    assert keys and agent_of(NAMED, 2) in names
    for told in (written.as_html(shown), written.as_json(shown)):
        assert not [word for word in (*names, *keys) if word in told]
        assert "agent" in told


def test_one_agent_that_differs_among_many_is_not_told(
    tried: Callmart, own: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The difference of the sums would be what that one did. No change can declare that away."""
    own.execute("comment on column store.agent_day.agent_key is 'person: nobody'")
    monkeypatch.setattr(comparing, "FEWEST_PERSONS", 2)
    with changed(
        own,
        "update store.agent_day set talk_s = talk_s + 4711 where agent_key = (select min(agent_key) from"
        " store.agent_day)",
        undone=("comment on column store.agent_day.agent_key is 'person: agent'",),
    ):
        compared = compare(tried)
    found = cells(compared, "agent_day", "talk_s").values()
    assert found and not [cell for cell in found if cell.size or cell.here or cell.there]


# -- what no longer stands as it was -----------------------------------------------------------------------------------


def test_days_that_wait_or_were_opened_again_are_left_out(
    tried: Callmart, owner: psycopg.Connection, own: psycopg.Connection
) -> None:
    with changed(own, f"update store.queue_interval set offered = offered + 1 where customer_id = {NAMED}"):
        owner.execute(
            "insert into ops.dirty_day (customer_id, call_date, cause) values (%s, %s, 'test')",
            [NAMED, DAYS[1]],
        )
        owner.execute(
            "update ops.opened_day set build_id = build_id + 1 where customer_id = %s and call_date = %s",
            [NAMED, DAYS[2]],
        )
        owner.commit()
        compared = compare(tried)
        owner.execute("delete from ops.dirty_day")
        owner.execute("update ops.opened_day set build_id = build_id - 1 where customer_id = %s and call_date = %s",
                      [NAMED, DAYS[2]])  # fmt: skip
        owner.commit()
        assert len(compare(tried).cells) == 2, "the control"
    assert (compared.days, compared.left_out, compared.differing) == (2, 2, [])


# -- the command -------------------------------------------------------------------------------------------------------


def test_the_command_says_what_differs_and_writes_page_and_json(
    tried: Callmart, own: psycopg.Connection, command: Command, tmp_path: Path
) -> None:
    same = command("diff", ENVIRONMENT)
    assert (same.code, same.out) == (
        0,
        "  not compared, as no row is a customer's: usage.function_month\n"
        f"diff: {ENVIRONMENT}: 4 days of customers: equal\n",
    )
    page, file = tmp_path / "diff.html", tmp_path / "diff.json"
    with changed(own, f"update store.queue_interval set offered = offered + 1 where customer_id = {NAMED}"):
        said = command("diff", ENVIRONMENT, "--out", page)
        printed = command("diff", ENVIRONMENT, "--out", file, "--json")
    assert said.code == printed.code == 1
    assert "queue_interval: offered: 2 changed, 2 equal" in said.out
    assert said.out.endswith(f"1 column differs, in 2 cells; {page}\n")
    assert page.stat().st_mode & 0o777 == 0o600
    assert "1 columns and marts differ" in page.read_text()
    document = json.loads(file.read_text())
    assert document == json.loads(printed.out)
    assert [cell["column"] for cell in document["cells"]] == ["offered", "offered"]
    (column,) = [one for one in document["columns"] if one["changed"]]
    assert column == {
        "mart": "queue_interval", "column": "offered", "only": None,
        "equal": 2, "changed": 2, "only_here": 0, "only_there": 0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nothing"], "there is no environment nothing: `callmart status` lists those that there are"),
        ([ENVIRONMENT, "--out", "a.pdf"], "--out a.pdf is no .html and no .json: name one of these"),
    ],
)
def test_what_can_not_be_compared_is_one_sentence(
    command: Command, arguments: list[str], sentence: str
) -> None:
    assert command("diff", *arguments) == (2, "", f"error: {sentence}\n")


def test_it_compares_before_an_upgrade_of_functions_and_not_before_one_of_tables(
    owner: psycopg.Connection, command: Command
) -> None:
    owner.execute("update access.applied set fingerprint = 'of another project'")
    owner.commit()
    assert command("diff", ENVIRONMENT).code == 0
    last = owner.execute(
        "delete from ops.migration where number = (select max(number) from ops.migration) returning *"
    )
    row = last.fetchall()[0]
    owner.commit()
    said = command("diff", ENVIRONMENT)
    owner.execute("insert into ops.migration values (%s, %s, %s, %s, %s)", row)
    owner.commit()
    assert (said.code, said.out) == (2, "")
    assert said.err.endswith("back up, then run `callmart upgrade`\n")


def test_a_page_shows_so_many_cells_and_says_how_many_more(monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell("m", "c", NAMED, None, "changed", 1, 1, 1, 1, 2, 0.5)
    compared = Compared(
        Environment(name="many"),
        (Column("m", "c", 3, (cell, cell, replace(cell, size=0.9))),),
        3,
        0,
        (),
    )
    monkeypatch.setattr(written, "CELLS_SHOWN", 2)
    page = written.as_html(compared)
    assert "90.0%" in page and "And 1 more" in page
    assert len(json.loads(written.as_json(compared))["cells"]) == 3
