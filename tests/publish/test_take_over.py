"""A restored home takes over what its former installation has on Tableau, without publishing it again."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

import pytest
import tableauserverclient as TSC

import bad_days
from bad_days import Held
from broken_requests import is_killed
from callmart.base.errors import UserError
from callmart.publish.actual import Books
from callmart.publish.applying import apply
from callmart.publish.desired import Publication
from callmart.publish.planning import plan
from publications import MONDAY
from published import (
    HOME,
    Emptied,
    matches,
    of_installation,
    publish,
    read,
    sources,
    succeeded,
    uploads,
    users,
)

pytestmark = pytest.mark.thorough

FORMER, THIRD = Books("ba9876543210"), Books("0f0f0f0f0f0f")


def published_before(server: TSC.Server, *desired: Publication) -> Books:
    """What the former installation publishes; and the books of the home that takes over."""
    made = publish(server, *desired, books=FORMER)
    assert succeeded(made)
    projects: Mapping[int, str | None] = {int(str(one.customer_id)): one.project_id for one in made}
    return Books(HOME, projects, takes_over=True)


def named(held: Held, installation: Books) -> list[str]:
    """What is held there, as if this installation had published it."""
    return sorted(str(each).replace(FORMER.installation, installation.installation) for each in held)


def test_everything_of_the_former_installation_is_adopted(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    settings, state, server = emptied
    desired = (standard, replace(detailed, mails=(MONDAY,)))
    books = published_before(server, *desired)
    before, kept, uploaded = (
        bad_days.held(state),
        of_installation(FORMER, bad_days.held(state)),
        uploads(settings),
    )

    waiting = plan(desired, read(server, books), adopts=False)
    assert [step for step in waiting.steps if step.customer_id] == []
    assert all("--yes" in str(one.error) for one in apply(server, waiting))
    assert of_installation(FORMER, bad_days.held(state)) == kept

    changes = plan(desired, read(server, books))
    assert (changes.adopting, changes.others) == ((7, 1042), {})
    assert {step.action for step in changes.steps if step.customer_id} == {"adopt"}
    outcomes = apply(server, changes)
    assert succeeded(outcomes)
    assert {one.customer_id: one.project_id for one in outcomes} == books.projects
    assert named(bad_days.held(state), books) == named(before, books)
    assert matches(server, *desired)
    assert uploads(settings) == uploaded
    for known in (books, replace(books, takes_over=False)):
        assert plan(desired, read(server, known)).steps == ()


def test_what_changed_meanwhile_is_adopted_and_published(
    emptied: Emptied, detailed: Publication, standard: Publication, later: Publication
) -> None:
    server = emptied.server
    books = published_before(server, standard, detailed)
    assert succeeded(apply(server, plan((later, detailed), read(server, books))))
    assert matches(server, later, detailed)


def test_customers_that_came_or_left_since_the_backup(
    emptied: Emptied, detailed: Publication, standard: Publication, later: Publication
) -> None:
    """The books don't name the first, and the registry not the second."""
    server = emptied.server
    books = published_before(server, standard, detailed)
    books = replace(books, projects={1042: books.projects[1042]})
    changes = plan((standard,), read(server, books))
    assert (changes.leaving, changes.adopting) == ((1042,), (7, 1042))
    assert succeeded(apply(server, changes))
    assert matches(server, standard)
    assert users(server) == {}


def test_killed_while_taking_over_the_next_publication_finishes(
    emptied: Emptied, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = emptied.server
    desired = (standard, replace(detailed, mails=(MONDAY,)))
    number, killed = 0, True
    while killed:
        publish(server)  # everything of ours is removed
        books = published_before(server, *desired)
        number += 7
        killed = is_killed(monkeypatch, number, partial(publish, server, *desired, books=books))
        publish(server, *desired, books=books)
        assert matches(server, *desired), number
        assert plan(desired, read(server, books)).steps == ()
    assert number > 20


def test_content_that_was_adopted_in_part_is_not_foreign(emptied: Emptied, standard: Publication) -> None:
    """It has both marks if the adoption ended between adding one and removing the other."""
    server = emptied.server
    books = published_before(server, standard)
    (source,) = sources(server).values()
    server.datasources.add_tags(source, f"callmart-{HOME}-{standard.data_sources[0].content_hash}")
    changes = plan((standard,), read(server, books))
    assert [each for one in changes.customers for each in one.foreign] == []
    assert succeeded(apply(server, changes))
    assert matches(server, standard)


def test_a_third_installation_is_left_alone(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    _, state, server = emptied
    other = replace(standard, customer_id=8)
    publish(server, other, books=THIRD)
    kept = of_installation(THIRD, bad_days.held(state))
    books = published_before(server, detailed)
    changes = plan((detailed,), read(server, books))
    assert changes.others == {THIRD.installation: 1}
    assert succeeded(apply(server, changes))
    assert of_installation(THIRD, bad_days.held(state)) == kept != []


def test_two_former_installations_are_for_a_person(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    server = emptied.server
    books = published_before(server, detailed)
    (made,) = publish(server, standard, books=THIRD)
    books = replace(books, projects={**books.projects, 7: made.project_id})
    with pytest.raises(UserError, match=f"marks of several installations \\({THIRD.installation}, ba98"):
        read(server, books)
