"""Publishing leaves alone what a person made and what another installation on the site publishes."""

import json
from dataclasses import replace

import pytest
import tableauserverclient as TSC

import bad_days
from bad_days import Held
from broken_requests import is_killed
from callmart.base.errors import UserError
from callmart.base.settings import Settings
from callmart.publish.actual import Books
from callmart.publish.applying import apply
from callmart.publish.desired import DataSource, Publication
from callmart.publish.planning import plan
from emulated import unmark
from publications import MONDAY, with_members
from published import (
    HOME,
    NO_BOOKS,
    Emptied,
    groups,
    matches,
    of,
    of_installation,
    projects,
    publish,
    reached_by,
    read,
    sources,
    succeeded,
    uploads,
    users,
)
from tableau_emulator.faults import Fault, inject
from tableau_emulator.state import State


def foreign_source(server: TSC.Server, project: str, source: DataSource, name: str = "van een mens") -> str:
    item = TSC.DatasourceItem(projects(server)[project].id, name)
    return str(server.datasources.publish(item, source.data, "CreateNew").id)


def test_foreign_content_is_reported_and_never_touched(
    server: TSC.Server, standard: Publication, extracts: dict[str, DataSource]
) -> None:
    publish(server, standard)
    luid = foreign_source(server, standard.project, extracts["agents"])
    top = projects(server)["callmart"].id
    server.projects.create(TSC.ProjectItem("een map", parent_id=top))
    changes = plan((standard,), read(server))
    assert changes.steps == ()
    assert [line.strip() for line in changes.lines() if "?" in line] == [
        "? project 'een map' is not ours",
        "? data source 'van een mens' is not ours",
    ]

    assert succeeded(publish(server))  # the customer leaves
    assert server.datasources.get_by_id(luid).project_id == projects(server)[standard.project].id
    assert set(sources(server)) == {(standard.project, "van een mens")}
    assert "een map" in projects(server)
    assert reached_by(server, standard.project) == set()
    assert plan((), read(server)).steps == ()


@pytest.mark.parametrize("kind", ["data source", "project"])
def test_foreign_content_that_comes_after_the_plan_does_not_go_with_the_project(
    emptied: Emptied, detailed: Publication, extracts: dict[str, DataSource], kind: str
) -> None:
    server = emptied.server
    publish(server, detailed)
    leaving = plan((), read(server))
    luid = projects(server)[detailed.project].id
    if kind == "project":
        server.projects.create(TSC.ProjectItem("een map", parent_id=luid))
    else:
        foreign_source(server, detailed.project, extracts["agents"])
    (outcome,) = apply(server, leaving)
    assert str(outcome.error).startswith(
        "customer 1042: something that is not ours has come into its project"
    )
    assert not outcome.is_gone
    assert succeeded(publish(server))
    if kind == "project":
        assert projects(server)["een map"].parent_id == luid
    else:
        assert set(sources(server)) == {(detailed.project, "van een mens")}
    assert reached_by(server, detailed.project) == set()


def test_a_foreign_data_source_of_the_same_name_is_not_overwritten(
    server: TSC.Server, detailed: Publication, standard: Publication, extracts: dict[str, DataSource],
    settings: Settings,
) -> None:  # fmt: skip
    publish(server, Publication(7, standard.name, ()))
    luid = foreign_source(server, standard.project, extracts["agents"], extracts["queues"].name.upper())
    before = uploads(settings)
    first, second = publish(server, standard, detailed)
    assert first.error is not None
    assert "not ours" in first.error
    assert second.error is None
    assert uploads(settings) == before + 4
    assert server.datasources.get_by_id(luid).tags == set()


@pytest.mark.thorough
def test_two_projects_with_one_mark_are_for_a_person_to_mend(
    server: TSC.Server, standard: Publication, detailed: Publication
) -> None:
    publish(server, standard)
    top = projects(server)["callmart"].id
    server.projects.create(TSC.ProjectItem("kopie", f"callmart {HOME} customer 7", parent_id=top))
    first, second = publish(server, standard, detailed)
    assert first.error is not None
    assert "several projects" in first.error
    assert second.error is None


@pytest.mark.thorough
def test_a_project_that_was_moved_is_moved_back_by_a_person(
    server: TSC.Server, standard: Publication, detailed: Publication
) -> None:
    """Nothing is published beside it; and it goes when its customer does."""

    def move(name: str, parent: str, new_name: str = "") -> None:
        item = projects(server)[name]
        item.parent_id, item.name = projects(server)[parent].id if parent else "", new_name or name
        server.projects.update(item)

    made = publish(server, standard, detailed)
    assert succeeded(made)
    books = Books(HOME, {one.customer_id: one.project_id for one in made if one.customer_id})
    top = server.projects.create(TSC.ProjectItem("elders"))
    fake = server.projects.create(TSC.ProjectItem("nep", f"callmart {HOME} customer 7", parent_id=top.id))
    assert succeeded(publish(server, standard, detailed, books=books)), "anybody can write our mark there"
    move(standard.project, "elders")
    before = reached_by(server, standard.project)
    first, second = publish(server, standard, detailed, books=books)
    assert first.error is not None and second.error is None
    assert f"its project {standard.project} was moved: move it back into the project callmart" in first.error
    assert reached_by(server, standard.project) == before
    move(standard.project, "callmart")
    assert succeeded(publish(server, standard, detailed, books=books))
    move(standard.project, "elders")
    assert succeeded(publish(server, detailed, books=books))
    assert standard.project not in projects(server)
    assert projects(server)["nep"].id == fake.id, "it is not ours"
    move("callmart", "", "anders")
    with pytest.raises(
        UserError,
        match="the site has 1 project of customers, and no project callmart at its top",
    ):
        publish(server, detailed, books=books)
    assert "callmart" not in projects(server)


ELSEWHERE = Books("ba9876543210")


@pytest.mark.thorough
@pytest.mark.parametrize("order", ["ababab", "bbabaa"])
def test_each_installation_leaves_what_is_anothers(
    emptied: Emptied, detailed: Publication, standard: Publication, later: Publication, order: str
) -> None:
    """Whoever comes first, changes, loses a customer, and has none; one person is a recipient of both."""
    _, state, server = emptied
    mailed = replace(detailed, mails=(MONDAY,))
    states = {
        "a": (NO_BOOKS, [(mailed, standard), (replace(detailed, name="Anders"), later), ()]),
        "b": (
            ELSEWHERE,
            [
                (
                    replace(mailed, customer_id=3),
                    with_members(replace(standard, customer_id=8), "b@example.org"),
                ),
                (replace(mailed, customer_id=3, name="Drie", members=("b@example.org",), mails=()),),
                (),
            ],
        ),
    }
    wanted: dict[str, tuple[Publication, ...]] = {"a": (), "b": ()}
    for which in order:
        books, ahead = states[which]
        other = states["ab".replace(which, "")][0]
        before = of_installation(other, bad_days.held(state))
        wanted[which] = ahead.pop(0)
        assert succeeded(publish(server, *wanted[which], books=books)) or not wanted[which]
        assert of_installation(other, bad_days.held(state)) == before
        for each in "ab":
            assert plan(wanted[each], read(server, states[each][0])).steps == ()
        assert set(users(server)) == {name for each in "ab" for one in wanted[each] for name in one.members}
    left = bad_days.held(state)
    assert {each[1] for books in (NO_BOOKS, ELSEWHERE) for each in of_installation(books, left)} == {"group"}


def test_a_plan_counts_what_is_anothers_and_names_nothing_of_it(
    server: TSC.Server, detailed: Publication, standard: Publication
) -> None:
    publish(server, detailed, books=ELSEWHERE)
    changes = plan((standard,), read(server))
    assert "? 1 project of installation ba9876543210" in list(changes.lines())
    assert changes.as_json()["other_installations"] == {"ba9876543210": 1}
    assert "Voorbeeld" not in "".join([*changes.lines(), json.dumps(changes.as_json())])


@pytest.mark.thorough
def test_a_name_that_another_installation_has_is_one_customers_problem(
    emptied: Emptied, detailed: Publication, standard: Publication, later: Publication
) -> None:
    _, state, server = emptied
    publish(server, standard, books=ELSEWHERE)
    before = of_installation(ELSEWHERE, bad_days.held(state))
    first, second = publish(server, later, detailed)
    assert "installation ba9876543210 has a project with the name" in str(first.error)
    assert "BV" not in str(first.error)
    assert (first.project_id, first.done, second.error) == (None, (), None)
    assert of_installation(ELSEWHERE, bad_days.held(state)) == before
    assert succeeded(publish(server, replace(later, name="Zelfde nummer"), detailed)), (
        "the number alone is free"
    )
    renamed, _ = publish(server, standard, detailed)
    assert "needs; a customer belongs to one installation" in str(renamed.error)
    publish(server, books=ELSEWHERE)
    server.projects.create(TSC.ProjectItem("7 ANDER bv", parent_id=projects(server)["callmart"].id))
    first, _ = publish(server, later, detailed)
    assert "a project that is not ours has the name" in str(first.error)


def test_what_our_books_name_and_another_installation_has_is_left_to_it(
    emptied: Emptied, detailed: Publication, standard: Publication, later: Publication
) -> None:
    """As where another home works on the same database, or on one that was restored."""
    _, state, server = emptied
    made = publish(server, standard, detailed, books=ELSEWHERE)
    before = of_installation(ELSEWHERE, bad_days.held(state))
    books = Books(HOME, {int(str(one.customer_id)): one.project_id for one in made})
    first, second = publish(server, later, replace(standard, customer_id=9), books=books)
    assert "bears the mark of installation ba9876543210" in str(first.error)
    assert second.error is None
    assert of_installation(ELSEWHERE, bad_days.held(state)) == before


def test_a_customer_that_leaves_is_not_gone_while_another_installation_has_what_it_had(
    emptied: Emptied, standard: Publication
) -> None:
    _, state, server = emptied
    (made,) = publish(server, standard, books=ELSEWHERE)
    before = of_installation(ELSEWHERE, bad_days.held(state))
    books = Books(HOME, {standard.customer_id: made.project_id}, known=frozenset({standard.customer_id}))
    (left,) = publish(server, books=books)
    assert "bears the mark of installation ba9876543210" in str(left.error)
    assert not left.is_gone
    assert of_installation(ELSEWHERE, bad_days.held(state)) == before
    assert succeeded(publish(server, books=ELSEWHERE))
    (left,) = publish(server, books=books)
    assert left.error is None and left.is_gone


BEFORE = Books(HOME, {7: None, 1042: None})


@pytest.mark.thorough
def test_what_stood_before_there_were_marks_is_adopted_and_not_published_again(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    _, state, server = emptied
    desired = (standard, replace(detailed, mails=(MONDAY,)))
    assert succeeded(publish(server, *desired))
    marked = bad_days.held(state)
    unmark(state, HOME)
    published = len(state.requests())

    waiting = plan(desired, read(server, BEFORE), adopts=False)
    assert [step for step in waiting.steps if step.customer_id] == []
    waited = apply(server, waiting)
    assert all("--yes" in str(one.error) for one in waited)
    assert all(one.project_id is None for one in waited), "or our books would not know it as one of before"
    assert all(not str(each[0]).startswith(f"callmart {HOME} customer") for each in bad_days.held(state))

    changes = plan(desired, read(server, BEFORE))
    assert changes.adopting == (7, 1042)
    assert {step.action for step in changes.steps if step.customer_id} == {"adopt"}
    assert "  * adopt project '7 Ander BV'" in list(changes.lines())
    assert {"customer_id": 7, "action": "adopt", "kind": "group", "name": "callmart-customer-7"} in (
        changes.as_json()["steps"]
    )
    outcomes = apply(server, changes)
    assert succeeded(outcomes)
    assert all(one.project_id for one in outcomes)
    assert bad_days.held(state) == marked
    assert matches(server, *desired)
    assert not [one for one in state.requests()[published:] if one.path.endswith(("/datasources", "/workbooks"))
                and one.method == "POST"]  # fmt: skip
    assert plan(desired, read(server)).steps == ()


@pytest.mark.thorough
def test_a_customer_whom_our_books_do_not_name_is_not_adopted(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    """It may be another installation's, of before."""
    _, state, server = emptied
    publish(server, standard, detailed)
    unmark(state, HOME)
    left = of_before(1042, state)
    for books in (NO_BOOKS, Books(HOME, {7: "gone", 1042: "gone"}), Books(HOME, {7: None})):
        changes = plan((), read(server, books))
        assert {step.customer_id for step in changes.steps} == (
            {None, 7} if None in books.projects.values() else set()
        )
    assert succeeded(publish(server, standard, books=Books(HOME, {7: None})))
    assert of_before(1042, state) == left
    assert len([each for each in of(7, bad_days.held(state)) if each[1] == "project"]) == 1


def of_before(customer_id: int, state: State) -> Held:
    return [each for each in bad_days.held(state) if each[0] == f"callmart customer {customer_id}"]


def test_who_left_is_removed_also_where_nothing_bore_a_mark(
    server: TSC.Server, settings: Settings, detailed: Publication, standard: Publication
) -> None:
    publish(server, standard, detailed)
    with State(settings.home / "emulator") as state:
        unmark(state, HOME)
    changes = plan((standard,), read(server, BEFORE))
    assert (changes.leaving, changes.adopting) == ((1042,), (7, 1042))
    assert succeeded(apply(server, changes))
    assert matches(server, standard)
    assert users(server) == {}


@pytest.mark.thorough
def test_killed_while_adopting_the_next_run_finishes(
    emptied: Emptied, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, state, server = emptied
    desired = (standard, replace(detailed, mails=(MONDAY,)))
    assert succeeded(publish(server, *desired))
    marked = bad_days.held(state)
    number, killed = 0, True
    while killed:
        number += 5
        unmark(state, HOME)
        killed = is_killed(monkeypatch, number, lambda: publish(server, *desired, books=BEFORE))
        assert succeeded(publish(server, *desired, books=BEFORE))
        assert bad_days.held(state) == marked
    assert number > 20


def test_a_mark_that_a_person_took_away_is_put_back_when_that_is_confirmed(
    server: TSC.Server, standard: Publication, later: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    (made,) = publish(server, standard)
    project = projects(server)[standard.project]
    project.description = "de klant met de winkels"
    server.projects.update(project)
    (waits,) = apply(server, plan((later,), read(server, Books(HOME, {7: made.project_id})), adopts=False))
    assert "--yes" in str(waits.error)
    changes = plan((standard,), read(server, Books(HOME, {7: made.project_id})))
    assert [str(step) for step in changes.steps] == ["* adopt project '7 Ander BV'"]
    assert succeeded(apply(server, changes))
    assert matches(server, standard)
    (source,) = sources(server).values()
    source.description = "van een mens"
    server.datasources.update(source)
    assert plan((standard,), read(server)).steps == (), "its tag has the mark as well"
    with monkeypatch.context() as patch:
        patch.setattr(type(server.datasources), "publish", lambda *_, **__: 1 / 0)
        (fails,) = publish(server, later)
    assert "ZeroDivisionError" in str(fails.error)
    for wanted in (later, standard):
        assert succeeded(publish(server, wanted))
        assert matches(server, wanted), "also while it was being published"


def test_content_of_another_installation_in_our_project_is_not_ours(
    server: TSC.Server, standard: Publication
) -> None:
    publish(server, standard)
    (source,) = sources(server).values()
    server.datasources.add_tags(source, f"callmart-{ELSEWHERE.installation}-hash")
    (outcome,) = publish(server, standard)
    assert "holds a data source 'Wachtrijen' that is not ours" in str(outcome.error)
    assert {step.action for step in plan((), read(server)).steps} == {"change", "remove"}
    publish(server)
    assert list(sources(server)) == [(standard.project, "Wachtrijen")]


def test_others_who_cannot_be_read_are_not_nobody(emptied: Emptied, detailed: Publication) -> None:
    """Else their users would be taken from the site."""
    _, state, server = emptied
    publish(server, detailed, books=ELSEWHERE)
    group = groups(server)[f"callmart-{ELSEWHERE.installation}-users"]
    inject(state, Fault("status", "GET", f"/groups/{group}/users$", status=403, body="xml"))
    with pytest.raises(TSC.ServerResponseError):
        read(server)
