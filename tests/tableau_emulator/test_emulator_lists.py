"""Lists: pages, filters, sorts, fields; and what is always empty or not emulated."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import tableauserverclient as TSC
from lxml import etree

from emulated import World, refused

# TSC sends a setting of sites that is gone, and warns of itself
pytestmark = pytest.mark.filterwarnings("ignore:FlowsEnabled")


def test_pages_filters_and_sorts(server: TSC.Server) -> None:
    names = [f"p{number:03}" for number in range(25)]
    for name in names:
        server.projects.create(TSC.ProjectItem(name))
    paged = TSC.Pager(server.projects, TSC.RequestOptions(pagesize=10))
    assert sorted(project.name for project in paged) == ["Default", *names]

    assert [project.name for project in list(server.projects.filter(name="p007"))] == ["p007"]
    assert {p.name for p in list(server.projects.filter(name__in=["p001", "p002"]))} == {"p001", "p002"}
    options = TSC.RequestOptions(pagesize=3)
    options.sort.add(TSC.Sort("name", TSC.RequestOptions.Direction.Desc))
    assert [project.name for project in server.projects.get(options)[0]] == ["p024", "p023", "p022"]

    with refused("400006"):
        server.projects.get(TSC.RequestOptions(pagenumber=4, pagesize=10))
    with refused("403014"):
        server.projects.get(TSC.RequestOptions(pagesize=1001))
    with refused("400065"):
        server.projects.get(nonsense_filter())


def nonsense_filter() -> TSC.RequestOptions:
    options = TSC.RequestOptions()
    options.filter.add(TSC.Filter("nonsense", TSC.RequestOptions.Operator.Equals, "x"))
    return options


def test_filters(server: TSC.Server) -> None:
    for name in ("one", "two", "a, b & [c]: d"):
        made = server.projects.create(TSC.ProjectItem(name))
    with refused("409006"):
        server.projects.create(TSC.ProjectItem("One"))
    server.projects.create(TSC.ProjectItem("One", parent_id=made.id))

    def found(field: str, operator: str, value: Any) -> set[str]:
        options = TSC.RequestOptions()
        options.filter.add(TSC.Filter(field, operator, value))
        return {each.name for each in server.projects.get(options)[0]}

    assert found("name", "eq", "one") == {"one"}
    assert found("name", "cieq", "one") == {"one", "One"}
    assert found("name", "in", ["one", "two"]) == {"one", "two"}
    assert found("name", "has", "n") == {"one", "One"}
    assert found("name", "eq", "a*b*c*d") == {"a, b & [c]: d"}
    assert found("name", "eq", "a: d") == set()
    soon = datetime.now(UTC) + timedelta(minutes=1)
    assert found("createdAt", "lt", soon) == {"Default", "one", "two", "a, b & [c]: d", "One"}
    assert found("createdAt", "gte", soon) == set()
    assert found("topLevelProject", "eq", False) == {"One"}
    for field, operator, value, code in (
        ("name", "like", "x", "400000"), ("nonsense", "eq", "x", "400065"), ("name", "eq", "a, b", "400000"),
    ):  # fmt: skip
        with refused(code):
            found(field, operator, value)


@pytest.mark.parametrize("number", ["0", "-1", "1.5", "x", "\u0663", "9" * 5000])
def test_a_number_that_is_none_or_too_long(server: TSC.Server, number: str) -> None:
    for key, code in (("pageSize", "400007"), ("pageNumber", "400006")):
        with refused(code):
            server.projects.get_request(f"{server.projects.baseurl}?{key}={number}")
    body = SCHEDULE.format(priority=number)
    with refused("400000"):
        server.schedules.post_request(server.schedules.baseurl, body.encode())


SCHEDULE = (
    '<tsRequest><schedule name="s" type="Extract" priority="{priority}" executionOrder="Serial" frequency="Daily">'
    '<frequencyDetails start="07:00:00"/></schedule></tsRequest>'
)


def test_sets_of_tsc_know_their_length(server: TSC.Server) -> None:
    for number in range(11):
        server.projects.create(TSC.ProjectItem(f"p{number:02}"))
    found = server.projects.filter(name__has="p", page_size=3).order_by("name")
    assert (len(found), found[0].name, found[-1].name) == (11, "p00", "p10")
    assert [each.name for each in found[2:5]] == ["p02", "p03", "p04"]
    assert [each.name for each in found] == [f"p{number:02}" for number in range(11)]


def test_fields_that_are_asked_for(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    here.publish_workbook(project, here.publish(project))
    bare = server.workbooks.get_request(
        f"{server.workbooks.baseurl}?fields=workbook.name,workbook.tags,owner.fullName"
    )
    (workbook,) = etree.fromstring(bare.content)[1]
    assert dict(workbook.attrib) == {"name": "report"}
    assert [(etree.QName(child).localname, dict(child.attrib)) for child in workbook] == [
        ("owner", {"fullName": "admin"}), ("tags", {}),
    ]  # fmt: skip
    everything = TSC.RequestOptions()
    everything.all_fields = True
    (source,) = server.datasources.get(everything)[0]
    assert (source.owner.fullname, source.connected_workbooks_count, source.favorites_total) == (
        "admin",
        1,
        0,
    )
    counts = {each.name: each.workbook_count for each in server.projects.get(everything)[0]}
    assert counts == {"Default": 0, "a project": 1}


def test_sorts_by_several_and_by_number(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    for name, size in (("b", 9), ("a", 10), ("c", 9)):
        file = here.folder.parent / f"{name}.hyper"
        file.write_bytes(b"x" * size)
        server.datasources.publish(TSC.DatasourceItem(project.id, name), file, "CreateNew")
    url = f"{server.datasources.baseurl}?sort=size:asc,name:desc"
    names = [
        each.name
        for each in TSC.DatasourceItem.from_response(
            server.datasources.get_request(url).content, server.namespace
        )
    ]
    assert names == ["c", "b", "a"]
    with refused("400000"):
        server.datasources.get_request(f"{server.datasources.baseurl}?sort=size:up")


def test_what_is_never_there(server: TSC.Server) -> None:
    kinds = (server.flows, server.metrics, server.databases, server.tables, server.virtual_connections)
    for endpoint in (
        *kinds, server.flow_runs, server.data_alerts, server.group_sets, server.linked_tasks,
        server.tasks, server.webhooks,
    ):  # fmt: skip
        found = endpoint.get()
        assert not (found[0] if isinstance(found, tuple) else found)
    for endpoint in kinds:
        with pytest.raises(TSC.ServerResponseError, check=lambda error: error.code.startswith("404")):
            endpoint.get_request(f"{endpoint.baseurl}/{server.site_id}")


def test_what_is_not_emulated_says_so(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    calls: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: server.datasources.create_extract(source), "404003"),
        (lambda: server.datasources.update_hyper_data(source, request_id="x", actions=[]), "404003"),
        (lambda: server.sites.encrypt_extracts(server.site_id), "404003"),
        (lambda: server.metadata.query("{workbooks {name}}"), "404003"),
        (lambda: server.custom_views.get_by_id(source.id), "404011"),
        (lambda: server.group_sets.create(TSC.GroupSetItem("a set")), "405000"),
        (lambda: server.groups.create_AD_group(TSC.GroupItem("a group", "a domain")), "403011"),
    )
    for call, code in calls:
        with refused(code):
            call()
