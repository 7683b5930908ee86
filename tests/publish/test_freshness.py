"""Tableau says which days are held back, and is asked which reports nobody opens."""

from collections import Counter
from dataclasses import replace

import pytest
import tableauserverclient as TSC
from tableauserverclient.server.endpoint.exceptions import NotSignedInError

from callmart.publish import reading
from callmart.publish.desired import Publication
from callmart.publish.planning import plan
from published import NO_BOOKS, Emptied, matches, publish, read, sources, succeeded
from tableau_emulator.faults import Fault, clear, inject

BOOKS = replace(NO_BOOKS, warned=frozenset({1042}))


def warnings(server: TSC.Server) -> dict[tuple[str, str], list[tuple[str, str | None, bool]]]:
    """The warnings on each data source, by the names of its project and its own."""
    found = sources(server)
    for source in found.values():
        server.datasources.populate_dqw(source)
    return {
        key: [(one.warning_type, one.message, one.severe) for one in source.dqws]
        for key, source in found.items()
    }


def steps(server: TSC.Server, *desired: Publication) -> list[tuple[str, str, str]]:
    planned = plan(desired, read(server, BOOKS)).steps
    return [(step.action, step.kind, step.name) for step in planned]


def test_data_sources_say_which_days_are_held_back(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    server = emptied.server
    ours, theirs = (detailed.project, "Wachtrijen"), (standard.project, standard.data_sources[0].name)
    agents = (detailed.project, "Medewerkers")
    held = replace(detailed, warning="Niet meegeteld: ma 16 nov.")
    assert succeeded(publish(server, held, standard))
    said = [("STALE", "Niet meegeteld: ma 16 nov.", True)]
    assert warnings(server) == {ours: said, agents: said, theirs: []}
    assert steps(server, held, standard) == []

    other = replace(detailed, warning="Niet meegeteld: di 17 nov.")
    assert steps(server, other, standard) == [
        ("change", "warning", "Wachtrijen"),
        ("change", "warning", "Medewerkers"),
    ]
    assert "  ~ warning 'Wachtrijen'" in list(plan((other, standard), read(server, BOOKS)).lines())
    server.datasources.delete_dqw(sources(server)[agents])  # somebody lifted it
    server.datasources.add_dqw(sources(server)[ours], TSC.DQWItem("MAINTENANCE", "tonight"))  # somebody's own
    assert succeeded(publish(server, other, standard, books=BOOKS))
    later = [("STALE", "Niet meegeteld: di 17 nov.", True)]
    assert warnings(server) == {ours: [("MAINTENANCE", "tonight", False), *later], agents: later, theirs: []}

    queues, of_agents = detailed.data_sources
    noted = replace(detailed, data_sources=(replace(queues, note="Eerdere definitie."), of_agents))
    assert succeeded(publish(server, noted, standard, books=BOOKS))
    note = ("STALE", "Eerdere definitie.", False)  # which is no reason to stop reading
    assert warnings(server) == {ours: [("MAINTENANCE", "tonight", False), note], agents: [], theirs: []}
    assert steps(server, noted, standard) == []

    assert succeeded(publish(server, detailed, standard, books=BOOKS))
    assert warnings(server) == {ours: [("MAINTENANCE", "tonight", False)], agents: [], theirs: []}
    assert steps(server, detailed, standard) == []
    assert matches(server, detailed, standard)


def test_only_customers_who_have_or_need_a_warning_are_asked(
    emptied: Emptied, detailed: Publication, standard: Publication
) -> None:
    _, state, server = emptied
    (first, second) = publish(server, standard, replace(detailed, warning="one day"))
    assert (first.is_warned, second.is_warned) == (False, True)
    before = len(state.requests())
    read(server, BOOKS)
    asked = [one.path for one in state.requests()[before:] if "/dataQualityWarnings/" in one.path]
    assert len(asked) == 2
    luids = {sources(server)[detailed.project, name].id for name in ("Wachtrijen", "Medewerkers")}
    assert {path.rpartition("/")[2] for path in asked} == luids


@pytest.mark.parametrize(("status", "sub_code"), [(403, "157"), (404, "003")])
def test_a_site_without_data_management_gets_no_warnings(
    emptied: Emptied, detailed: Publication, status: int, sub_code: str
) -> None:
    """Nor does it stop a publication, also if callmart learns it only then: the first data source is not there yet."""
    _, state, server = emptied
    inject(state, Fault("status", path="/dataQualityWarnings/", status=status, sub_code=sub_code, count=None))
    held = replace(detailed, warning="one day")
    assert succeeded(publish(server, held, books=BOOKS))
    assert steps(server, held) == []
    (outcome,) = publish(server, detailed, books=BOOKS)
    assert outcome.is_warned is None, "a warning of before may still be there"
    assert matches(server, detailed)


UNREAD = {
    Fault("status", status=500): "customer 1042: Tableau answered with status 500",
    Fault("status", status=400): "customer 1042: Tableau answered 400000",
    Fault("status", status=403, sub_code="004"): "customer 1042: Tableau answered 403004",
    Fault("status", status=404, sub_code="004"): "customer 1042: Tableau answered 404004",
    Fault("status", status=405): "customer 1042: Tableau answered 405000",
}


def test_a_warning_that_cannot_be_read_is_that_customers_failure(
    emptied: Emptied, detailed: Publication, standard: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, state, server = emptied
    monkeypatch.setattr("time.sleep", lambda _: None)
    publish(server, detailed, standard)
    for fault, says in UNREAD.items():
        inject(state, replace(fault, path="/dataQualityWarnings/", count=None))
        first, second = publish(server, standard, replace(detailed, warning="one day"), books=BOOKS)
        assert (first.error, first.is_warned) == (None, False)
        assert says in str(second.error)
        assert (second.is_warned, second.opened) == (None, None), "the books stay as they are"
        clear(state)
        assert succeeded(publish(server, standard, detailed, books=BOOKS))


def test_a_session_that_ended_is_no_missing_scope(emptied: Emptied, detailed: Publication) -> None:
    _, state, server = emptied
    publish(server, detailed)
    inject(state, Fault("session", path="/dataQualityWarnings/|/users/", count=None))
    with pytest.raises(NotSignedInError):
        read(server, BOOKS)


def test_how_often_people_have_opened_each_report(
    emptied: Emptied, detailed: Publication, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, state, server = emptied
    (outcome,) = publish(server, detailed)
    assert outcome.opened == {}
    with state.transaction():
        for row in state.all(
            "select view.id, workbook.name from view join workbook on workbook.id = workbook_id"
        ):
            state.insert("view_use", view_id=row["id"], opened=2 if row["name"] == "Drukte" else 0)
    views = len([row for row in state.all("select * from view where not hidden")])
    assert views == 2, "one dashboard for each report"
    (outcome,) = publish(server, detailed)
    assert outcome.opened == {"traffic": 2, "agents": 0}
    monkeypatch.setattr(reading, "_opened", lambda _: Counter())
    (outcome,) = publish(server, detailed)
    assert outcome.opened == {"traffic": None, "agents": None}, "what is known of them stays in the books"
