"""Publishing makes a Tableau server hold what is wanted, and uploads only what changed."""

from dataclasses import replace

import pytest
import tableauserverclient as TSC

from callmart.base.settings import Settings, Tableau
from callmart.publish import bookkeeping
from callmart.publish.actual import Actual
from callmart.publish.applying import apply
from callmart.publish.desired import DataSource, Publication
from callmart.publish.planning import plan
from callmart.tableau_files import tds
from publications import live, report
from published import (
    HOME,
    Emptied,
    group_of,
    matches,
    projects,
    publish,
    read,
    sources,
    succeeded,
    uploads,
    workbooks,
)
from tableau_emulator.faults import Fault, inject
from tableau_emulator.state import State
from tableau_files import marts


def test_a_second_time_changes_and_uploads_nothing(
    server: TSC.Server, settings: Settings, detailed: Publication, standard: Publication
) -> None:
    publish(server, detailed, standard)
    assert uploads(settings) == 5
    again = plan((standard, detailed), read(server))
    assert again.steps == ()
    outcomes = apply(server, again)
    assert succeeded(outcomes)
    assert [outcome.customer_id for outcome in outcomes] == [7, 1042]
    assert uploads(settings) == 5


def test_only_what_changed_is_uploaded(
    server: TSC.Server, settings: Settings, detailed: Publication, standard: Publication, later: Publication
) -> None:
    publish(server, detailed, standard)
    key = (standard.project, standard.data_sources[0].name)
    luid = sources(server)[key].id
    assert succeeded(publish(server, detailed, later))
    assert uploads(settings) == 6
    assert matches(server, detailed, later)
    assert sources(server)[key].id == luid
    # what was there before is not kept for download
    assert len(list((settings.home / "emulator" / "files").iterdir())) == 5


def test_a_downgrade_removes_what_is_no_longer_ordered(
    server: TSC.Server, detailed: Publication, extracts: dict[str, DataSource], settings: Settings
) -> None:
    publish(server, detailed)
    assert (detailed.project, "Medewerkers") in sources(server)
    less = Publication(1042, detailed.name, (extracts["queues"],))
    assert succeeded(publish(server, less))
    assert matches(server, less)
    none = Publication(1042, detailed.name, ())
    assert succeeded(publish(server, none))
    assert matches(server, none)
    assert not list((settings.home / "emulator" / "files").iterdir())


def test_a_customer_that_left_leaves_nothing(
    server: TSC.Server, detailed: Publication, standard: Publication, settings: Settings
) -> None:
    publish(server, detailed, standard)
    changes = plan((standard,), read(server))
    assert changes.leaving == (1042,)
    assert succeeded(apply(server, changes))
    assert matches(server, standard)
    assert len(list((settings.home / "emulator" / "files").iterdir())) == 1
    assert plan((standard,), read(server)).steps == ()


def test_a_customer_that_was_renamed_keeps_its_project(
    server: TSC.Server, settings: Settings, standard: Publication
) -> None:
    publish(server, standard)
    luid = projects(server)[standard.project].id
    renamed = Publication(7, "Nieuwe naam: [7] & zn", standard.data_sources)
    assert succeeded(publish(server, renamed))
    assert matches(server, renamed)
    assert projects(server)[renamed.project].id == luid
    assert uploads(settings) == 1


def test_customers_of_one_name_or_nearly_so_stay_apart(
    emptied: Emptied, extracts: dict[str, DataSource]
) -> None:
    """Also where a name holds what no filter of Tableau's can match."""
    server = emptied.server
    names = {
        1: "Jansen",
        11: "Jansen",
        111: "JANSEN",
        2: "1 Jansen",
        3: "Jansen, A & B: [x]",
        4: "jansen, a & b: [X]",
    }
    for ids in (list(names), list(reversed(names))):  # and after they have changed names with each other
        alike = [
            Publication(number, name, (extracts["queues"],))
            for number, name in zip(ids, names.values(), strict=True)
        ]
        assert succeeded(publish(server, *alike))
        assert matches(server, *alike)
        assert plan(alike, read(server)).steps == ()


def test_a_plan_reads_well(
    server: TSC.Server, detailed: Publication, standard: Publication, extracts: dict[str, DataSource]
) -> None:
    publish(server, detailed, standard)
    later = Publication(7, "Nieuw", (extracts["queues later"], extracts["agents"]))
    name = extracts["queues"].name
    assert list(plan((later,), read(server)).lines()) == [
        "- user 'c…@example.org'",
        "customer 7",
        "  ~ project '7 Nieuw'",
        f"  ~ data source '{name}' (2 rows)",
        "  + data source 'Medewerkers' (2 rows)",
        "customer 1042",
        f"  - project '{detailed.project}'",
        f"  - group '{group_of(1042)}'",
        "= 0 data sources and workbooks unchanged",
    ]


def test_permissions_and_removals_come_before_uploads(
    detailed: Publication, extracts: dict[str, DataSource]
) -> None:
    steps = plan((detailed,), Actual(HOME, None, {}, {}, {}, None, {}, hides_users=False)).steps
    kinds = [step.kind for step in steps if step.customer_id]
    assert kinds == [
        "group", "project", "permissions", "user", "member", "data source", "data source", "workbook", "workbook",
    ]  # fmt: skip


def test_a_live_data_source_has_the_customers_login_embedded(
    server: TSC.Server, settings: Settings, extracts: dict[str, DataSource]
) -> None:
    def wanted(source: DataSource) -> Publication:
        return Publication(7, "Ander BV", (source,), (report("traffic", extracts["queues"]),))

    with State(settings.home / "emulator") as state:
        inject(state, Fault("credentials", count=1))
    assert succeeded(publish(server, wanted(live("one"))))
    assert matches(server, wanted(live("one")))
    (source,) = sources(server).values()
    server.datasources.populate_connections(source)
    assert [(each.username, each.embed_password) for each in source.connections] == [
        ("callmart_customer_7", True)
    ]
    assert [str(step) for step in plan([wanted(live("two"))], read(server)).steps] == [
        "~ data source 'Wachtrijen'"
    ], "another password; the workbook stands where it stood"
    assert succeeded(publish(server, wanted(extracts["queues"])))
    assert matches(server, wanted(extracts["queues"]))


def test_a_login_that_did_not_take_is_given_again(server: TSC.Server, settings: Settings) -> None:
    wanted = Publication(7, "Ander BV", (live("one"),))
    with State(settings.home / "emulator") as state:
        inject(state, Fault("credentials", count=1))
        inject(state, Fault("html", method="PUT", path="/connections/"))
    (outcome,) = publish(server, wanted)
    assert outcome.error is not None
    assert succeeded(publish(server, wanted))
    (source,) = sources(server).values()
    server.datasources.populate_connections(source)
    assert [each.embed_password for each in source.connections] == [True]


def test_a_workbook_follows_its_data_source(server: TSC.Server, detailed: Publication) -> None:
    publish(server, detailed)
    luid = workbooks(server)[detailed.project, "Drukte"].id
    server.datasources.delete(sources(server)[detailed.project, "Wachtrijen"].id)
    changes = plan((detailed,), read(server))
    assert [str(step) for step in changes.steps] == [
        "+ data source 'Wachtrijen' (2 rows)",
        "~ workbook 'Drukte'",
    ]
    assert succeeded(apply(server, changes))
    assert matches(server, detailed)
    assert workbooks(server)[detailed.project, "Drukte"].id == luid


@pytest.mark.parametrize(("url", "site"), [("https://tableau.example.nl", ""), ("", "een")])
def test_links_follow_tableaus_address(
    server: TSC.Server, detailed: Publication, extracts: dict[str, DataSource], url: str, site: str
) -> None:
    led_to, traffic = (report(name, extracts["queues"]) for name in ("accessibility", "traffic"))
    wanted = replace(detailed, workbooks=(led_to, replace(traffic, rows_in=led_to.name)))
    assert succeeded(publish(server, wanted))
    assert plan((wanted,), read(server)).steps == ()
    moved = replace(read(server), server=url or server.server_address, site=site)
    assert [str(step) for step in plan((wanted,), moved).steps] == ["~ workbook 'Drukte'"]


def test_everybody_is_due_on_a_site_of_another_name(settings: Settings, standard: Publication) -> None:
    elsewhere = settings.model_copy(update={"tableau": Tableau(site="een")})
    assert bookkeeping._digests(settings, [standard]) != bookkeeping._digests(elsewhere, [standard])


def test_a_report_that_was_renamed_is_there_once(
    server: TSC.Server, standard: Publication, extracts: dict[str, DataSource]
) -> None:
    dutch = replace(standard, workbooks=(report("accessibility", extracts["queues"]),))
    publish(server, dutch)
    english = replace(extracts["queues"], source=tds.source("queue", marts(), "en"), content_hash="english")
    moved = replace(dutch, data_sources=(english,), workbooks=(report("accessibility", english),))
    assert succeeded(publish(server, moved))
    assert set(workbooks(server)) == {(standard.project, "Accessibility")}
    assert matches(server, moved)
