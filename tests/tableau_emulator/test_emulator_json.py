"""The API in JSON: it says, refuses and changes what it does in XML, in the lists and types of Tableau's schema."""

import json
import re
from typing import Any

import pytest
import requests
import tableauserverclient as TSC
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree

from emulated import World, signed_in
from emulated_shop import GRAB, Shop, bodies, changes, filled, furnish, paths_of
from rest_shapes import NAMESPACE, check_json
from tableau_emulator import forms
from tableau_emulator.app import RESOURCES

XML, JSON = "application/xml", "application/json"
LUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def same(node: etree._Element, said: Any) -> bool:
    """Whether an element and a value in JSON say the same, whatever is a list, text, flag or number."""
    if not isinstance(said, dict):
        return not node.attrib and not len(node) and (node.text or "") == plain(said)
    children: dict[str, list[etree._Element]] = {}
    for child in node:
        children.setdefault(etree.QName(child).localname, []).append(child)
    text = {"value": node.text} if node.text else {}
    attributes = {key: plain(value) for key, value in said.items() if key not in children}
    return attributes == dict(node.attrib) | text and all(
        len(nodes) == len(listed(said.get(name))) and all(map(same, nodes, listed(said.get(name))))
        for name, nodes in children.items()
    )


def plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def in_json(node: etree._Element) -> Any:
    """A request in XML as a JSON client sends it: flags are true or false, numbers numbers."""
    if not node.attrib and not len(node) and node.text:
        return node.text
    said: dict[str, Any] = {
        key: {"true": True, "false": False}.get(
            text, int(text) if re.fullmatch("[1-9][0-9]*", text) else text
        )
        for key, text in node.attrib.items()
    }
    for name in {str(child.tag) for child in node}:
        found = [in_json(child) for child in node.findall(name)]
        several = node.tag == name + "s" or name in ("granteeCapabilities", "capability")
        said[name] = found if several else found[0]
    return said


def pages(shop: World, names: dict[str, str]) -> list[str]:
    """The URL of every GET that there is."""
    return [
        f"{shop.server.server_address}/api/3.29{filled(endpoint.path, names)}"
        for module in RESOURCES
        for endpoint in module.ENDPOINTS
        if endpoint.method == "GET"
    ]


def compared(server: TSC.Server, urls: list[str]) -> list[int]:
    """Asks for every URL in both forms, and compares the answers. Returns the status of each."""
    seen = []
    with requests.Session() as session:
        session.headers["x-tableau-auth"] = str(server.auth_token)
        for url in urls:
            of_xml = session.get(url, headers={"accept": XML}, timeout=5)
            of_json = session.get(url, headers={"accept": JSON}, timeout=5)
            seen.append(of_xml.status_code)
            assert of_json.status_code == of_xml.status_code, url
            if of_xml.headers["content-type"] != XML:
                assert of_json.headers["content-type"] == of_xml.headers["content-type"], url
                continue
            assert of_json.headers["content-type"] == JSON, url
            root = etree.fromstring(of_xml.content)
            del root.attrib["{http://www.w3.org/2001/XMLSchema-instance}schemaLocation"]
            assert same(root, of_json.json()), (url, of_xml.text, of_json.text)
            check_json(of_json.json())
    return seen


def test_every_get_says_the_same_in_json(shop: Shop) -> None:
    furnish(shop)
    seen = compared(shop.server, pages(shop, paths_of(shop, "ours")))
    assert seen.count(200) > 50
    everything = [
        f"{url}?fields=_all_&includeUsageStatistics=true" for url in pages(shop, paths_of(shop, "ours"))
    ]
    assert compared(shop.server, everything).count(200) > 50
    assert set(compared(shop.server, pages(shop, dict.fromkeys(paths_of(shop, "ours"), "x")))) == {200, 404}


def test_every_get_of_an_empty_site_says_the_same_in_json(here: World, server: TSC.Server) -> None:
    names = dict.fromkeys(("luid", "project", "user", "group", "view", "workbook", "datasource", "connection",
                           "subscription", "task", "job", "upload", "schedule", "kind", "revision",
                           "custom_view", "quality_warning"), "x")  # fmt: skip
    assert 200 in compared(server, pages(here, names | {"site": server.site_id, "user": server.user_id}))


def test_the_walk_sees_a_difference() -> None:
    node = etree.fromstring('<a x="1"><bs><b y="true"/><b y="false"/></bs><c>text</c></a>')
    said: dict[str, Any] = {"x": "1", "bs": {"b": [{"y": True}, {"y": False}]}, "c": "text"}
    assert same(node, said)
    for wrong in (
        said | {"x": "2"}, said | {"z": "1"}, said | {"c": "other"}, said | {"bs": {"b": [{"y": True}]}},
        said | {"bs": {}}, {key: said[key] for key in ("x", "c")}, said | {"bs": {"b": [{"y": False}, {"y": True}]}},
    ):  # fmt: skip
        assert not same(node, wrong)


def test_an_answer_as_tableau_documents_it(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    here.publish_workbook(project, source, hidden_views=["Helper"])
    header = {"x-tableau-auth": str(server.auth_token), "accept": JSON}
    site = f"{server.baseurl}/sites/{server.site_id}"

    def said(path: str) -> Any:
        return requests.get(f"{site}/{path}", headers=header, timeout=5).json()

    found = said("workbooks")
    assert found["pagination"] == {"pageNumber": "1", "pageSize": "100", "totalAvailable": "1"}
    (workbook,) = found["workbooks"]["workbook"]
    assert workbook["project"] == {"id": project.id, "name": "a project"}
    assert (workbook["showTabs"], workbook["size"], workbook["tags"]) == ("false", "0", {})
    views = said(f"workbooks/{workbook['id']}")["workbook"]["views"]["view"]
    assert [view["name"] for view in views] == ["Overview", "Calls a day"]
    assert all({"createdAt", "updatedAt", "tags"} <= view.keys() for view in views)
    assert said(f"datasources/{source.id}")["datasource"]["isCertified"] is False
    assert said("flows") == {
        "pagination": {"pageNumber": "1", "pageSize": "100", "totalAvailable": "0"},
        "flows": {},
    }
    assert said("views/nowhere") == {
        "error": {
            "detail": "View 'nowhere' could not be found.",
            "summary": "Resource Not Found",
            "code": "404011",
        }
    }
    assert said("nonsense")["error"]["code"] == "404003"
    info = requests.get(f"{server.baseurl}/serverinfo", headers={"accept": JSON}, timeout=5).json()[
        "serverInfo"
    ]
    assert info["restApiVersion"] == "3.29" and info["productVersion"].keys() == {"value", "build"}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        (None, XML), ("*/*", XML), ("", XML), ("text/plain", XML), ("nonsense;;,q=", XML), ("application/*", XML),
        (XML, XML), ("text/xml", XML), (JSON, JSON), ("Application/JSON; charset=UTF-8", JSON),
        ("application/json, text/plain, */*", JSON), ("*/*, application/json", JSON), (f"{XML}, {JSON}", XML),
        (f"{JSON}, {XML}", JSON), (f"{JSON};q=0.5, {XML}", XML), (f"{XML};q=0.5,{JSON};v=1;q=0.8", JSON),
        (f"{JSON};q=0.5, */*", XML), (f"{JSON};q=0, */*", XML), (f"{JSON};q=0", XML),
        (f"*/*, {XML};q=0, text/*;q=0", JSON),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", XML),
    ],
)  # fmt: skip
def test_the_form_that_is_asked_for(world_of_module: World, accept: str | None, kind: str) -> None:
    url = f"{world_of_module.emulator.url}/api/3.29"
    with requests.Session() as session:
        session.headers.clear()
        session.headers.update({} if accept is None else {"accept": accept})
        for path in (
            "serverinfo",
            "sites",
            "nowhere",
        ):  # a good answer, a refusal, and what no endpoint answers
            assert session.get(f"{url}/{path}", timeout=5).headers["content-type"] == kind


def test_faults_have_the_form_too(here: World, server: TSC.Server) -> None:
    header = {"x-tableau-auth": str(server.auth_token), "accept": JSON}
    url = f"{server.baseurl}/sites/{server.site_id}/projects"
    here.inject("status", status=429, retry_after=7)
    answer = requests.get(url, headers=header, timeout=5)
    assert (answer.status_code, answer.headers["retry-after"]) == (429, "7")
    assert answer.json()["error"]["code"] == "429000"
    here.inject("truncated")
    assert requests.get(url, headers=header, timeout=5).text.startswith('{"pagination":{"pageNumber":"1"')


# requests


def test_every_call_changes_in_json_what_it_changes_in_xml(here: World) -> None:
    (of_xml, state_of_xml), (of_json, state_of_json) = grabbed(here, XML), grabbed(here, JSON)
    assert of_json == of_xml
    assert state_of_json == state_of_xml
    assert list(of_xml.values()).count("") > 30  # so many do something


def grabbed(here: World, kind: str) -> tuple[dict[tuple[str, str, str], str], list[str]]:
    """The code of every POST and PUT on new content ("" if it works), and the state that they leave behind."""
    with here.state() as state:
        state.reset()
    shop = Shop(here.emulator, here.folder, signed_in(here.emulator))
    shop.open()
    furnish(shop)
    names = paths_of(shop, "ours")
    asked = GRAB.format(**names, me=shop.server.user_id)
    if kind == JSON:
        asked = json.dumps(in_json(etree.fromstring(asked)))
    codes: dict[tuple[str, str, str], str] = {}
    with requests.Session() as session:
        session.headers.update({"x-tableau-auth": str(shop.server.auth_token), "accept": kind})
        for method, path in changes(names):
            for content_type, body in bodies(kind, asked):
                answer = session.request(
                    method, f"{shop.server.server_address}/api/3.29{path}", data=body, timeout=5,
                    headers={"content-type": content_type}, params={"overwrite": "true"},
                )  # fmt: skip
                key = method, LUID.sub("", path.replace(names["upload"], "")), content_type.partition("/")[0]
                codes[key] = "" if answer.ok else code_of(answer)
    with here.state() as state:
        return codes, anonymous(state)


def code_of(answer: requests.Response) -> str:
    if answer.headers["content-type"] == JSON:
        return str(answer.json()["error"]["code"])
    error = etree.fromstring(answer.content).find(NAMESPACE + "error")
    assert error is not None
    return str(error.get("code"))


def anonymous(state: Any) -> list[str]:
    """All rows of the state, with LUIDs numbered as they come, and without times and what is random."""
    tables = [
        each["name"] for each in state.all("select name from sqlite_master where type = 'table' order by sql")
    ]
    ordered = [
        each for each in tables if each not in ("session", "request", "favorite", "membership", "rule", "tag")
    ]
    numbers: dict[str, str] = {}
    rows = []
    for table in (*ordered, "favorite", "membership", "rule", "tag"):
        for row in state.all(f"select * from {table}"):
            text = LUID.sub(
                lambda found: numbers.setdefault(found[0], f"<{len(numbers)}>"), f"{table} {tuple(row)}"
            )
            rows.append(
                re.sub(r"\d+:[0-9A-F]{32}-1:0|\d{4}-\d\d-\d\dT[\d:]+Z|\d{9,}\.\d+|[0-9a-f]{64}", "", text)
            )
    return sorted(rows)


WRONG = {
    "nothing": b"", "half": b'{"user": {"name": "x"', "list": b"[]", "text": b'"user"', "null": b"null",
    "flat": b'{"user": 1}', "root": b'{"tsRequest": {"user": {"name": "x", "siteRole": "Viewer"}}}',
    "name": b'{"user": {"a b": "x"}}', "character": b'{"user": {"name": "\\u0000"}}',
    "half character": b'{"user": {"name": "\\ud800"}}', "bytes": b'{"user": {"name": "\xff"}}',
    "deep": b'{"user":' * 100_000, "number": b'{"user": {"name": ' + b"9" * 5_000 + b"}}",
    "XML": b'<tsRequest><user name="x" siteRole="Viewer"/></tsRequest>',
}  # fmt: skip


def test_wrong_bodies_are_refused_in_the_form_that_is_asked_for(here: World, server: TSC.Server) -> None:
    url = f"{server.baseurl}/sites/{server.site_id}/users"
    header = {"x-tableau-auth": str(server.auth_token)}
    right = b'{"user": {"name": "x", "siteRole": "Viewer"}}'
    before = [user.name for user in TSC.Pager(server.users)]
    for accept in (XML, JSON):
        for kind, body in (*((f"{JSON};charset=utf-8", body) for body in WRONG.values()), (XML, right)):
            answer = requests.post(
                url, body, headers=header | {"content-type": kind, "accept": accept}, timeout=5
            )
            assert (answer.status_code, code_of(answer)) == (400, "400000"), body[:100]
            assert answer.headers["content-type"] == accept
    assert [user.name for user in TSC.Pager(server.users)] == before
    answer = requests.post(url, right, headers=header | {"content-type": JSON}, timeout=5)
    assert answer.headers["content-type"] == XML and b'name="x"' in answer.content  # JSON in, XML out


NAMES = st.sampled_from(("user", "users", "tag", "connectionLUID", "description"))
TEXT = st.text("aZ0é€\U0001f600 <>&\"'{}[]", max_size=4)
SCALAR = TEXT | st.booleans() | st.integers(-9, 99)
REQUESTS = st.recursive(
    st.dictionaries(NAMES, SCALAR),
    lambda inner: st.dictionaries(
        NAMES, SCALAR | inner | st.lists(inner) | st.lists(TEXT.filter(bool)) | st.none()
    ),
    max_leaves=10,
)


def in_xml(name: str, said: Any) -> etree._Element:
    node = etree.Element(name)
    for key, value in said.items():
        if isinstance(value, dict):
            node.append(in_xml(key, value))
        elif isinstance(value, list):
            for each in value:
                if isinstance(each, dict):
                    node.append(in_xml(key, each))
                else:
                    etree.SubElement(node, key).text = each
        elif value is not None:
            node.set(key, {True: "true", False: "false"}[value] if isinstance(value, bool) else str(value))
    return node


@given(REQUESTS)
def test_a_request_is_read_alike_in_both_forms(said: dict[str, Any]) -> None:
    of_json = forms.read(json.dumps(said).encode(), JSON)
    of_xml = forms.read(etree.tostring(in_xml("tsRequest", said)), XML)
    assert etree.tostring(of_json, method="c14n") == etree.tostring(of_xml, method="c14n")
