"""Workbooks are checked before they are published, and no document that Tableau would not open is published."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
import requests
import tableauserverclient as TSC
from lxml import etree

from emulated import World, refused

SOURCE = """<datasource formatted-name='federated.1' version='18.1'>
  <connection class='federated'><named-connections/><metadata-records>
    <metadata-record class='column'><local-name>[queue]</local-name></metadata-record>
    <metadata-record class='column'><local-name>[key]</local-name></metadata-record>
  </metadata-records></connection>
  <column datatype='string' hidden='true' name='[key]'/>
  <column datatype='real' name='[Ratio]'><calculation class='tableau' formula='SUM([a]) / SUM([b])'/></column>
</datasource>"""
WORKBOOK = """<?xml version='1.0'?>
<workbook version='18.1'>
  <document-format-change-manifest>
    <ObjectModelEncapsulateLegacy/><_.fcp.SortTagCleanup.true...SortTagCleanup/>
  </document-format-change-manifest>
  <datasources><datasource name='sqlproxy.1'>
    <connection class='sqlproxy' dbname='{source}'>
      <relation connection='sqlproxy.1' name='sqlproxy' table='[sqlproxy]' type='table'/>
      <metadata-records><metadata-record class='column'>
        <local-name>[queue]</local-name><object-id>[calls_1]</object-id>
      </metadata-record></metadata-records>
    </connection>
    <column layered='true' name='[queue]'/>
    <column layered='true' name='[Ratio]'><calculation class='tableau' formula='SUM([a]) / SUM([b])'/></column>
    <column name='[Mine]'><calculation class='tableau' formula='1 - [Ratio]'/></column>
    <object-graph><objects><object id='calls_1'><properties>
      <relation connection='sqlproxy.1' name='sqlproxy' table='[sqlproxy]' type='table'/>
    </properties></object></objects></object-graph>
  </datasource></datasources>
  <worksheets><worksheet name='Calls'><table><view>
    <datasource-dependencies datasource='sqlproxy.1'>
      <column name='[Mine]'><calculation class='tableau' formula='1 - [Ratio]'/></column>
      <column-instance column='[queue]' name='[none:queue:nk]'/>
      <column-instance column='[:Measure Names]' name='[:Measure Names]'/>
    </datasource-dependencies><manual-sort/>
  </view></table></worksheet></worksheets>
</workbook>"""


@pytest.fixture
def source(here: World, project: TSC.ProjectItem) -> TSC.DatasourceItem:
    """A published data source with fields."""
    file = here.folder.parent / "fields.tdsx"
    with zipfile.ZipFile(file, "w") as package:
        package.writestr("source.tds", SOURCE)
    return here.server.datasources.publish(TSC.DatasourceItem(project.id, "Calls"), file, "CreateNew")


def asked(
    server: TSC.Server,
    text: str,
    name: str = "calls.twb",
    version: str = "3.29",
    part: str = "tableau_workbook",
) -> requests.Response:
    """The answer to the request to check a workbook."""
    head = f'--x\r\nContent-Disposition: form-data; name="{part}"; filename="{name}"\r\n'
    return requests.post(
        f"{server.server_address}/api/{version}/sites/{server.site_id}/workbooks/validateWorkbookAndUpload",
        data=f"{head}Content-Type: application/octet-stream\r\n\r\n{text}\r\n--x--\r\n".encode(),
        headers={"x-tableau-auth": str(server.auth_token), "content-type": "multipart/mixed; boundary=x"},
        timeout=5,
    )


def errors(server: TSC.Server, text: str) -> list[dict[str, Any]]:
    answer = asked(server, text)
    assert answer.status_code == 200
    assert "uploadId" not in answer.json()
    return list(answer.json()["errors"])


def test_a_workbook_without_errors_is_kept_and_can_be_published(
    server: TSC.Server, project: TSC.ProjectItem, source: TSC.DatasourceItem
) -> None:
    answer = asked(server, WORKBOOK.format(source=source.content_url))
    assert answer.headers["content-type"] == "application/json"
    assert answer.json().keys() == {"timestamp", "uploadId"}
    request, kind = TSC.server.request_factory.RequestFactory.Workbook.publish_req_chunked(
        TSC.WorkbookItem(project.id, "Calls")
    )
    url = f"{server.workbooks.baseurl}?workbookType=twb&uploadSessionId={answer.json()['uploadId']}"
    server.workbooks.post_request(url, request, kind)
    assert [each.name for each in TSC.Pager(server.workbooks)] == ["Calls"]
    with refused("404015"):  # it is used up
        server.workbooks.post_request(url + "&overwrite=true", request, kind)


@pytest.mark.parametrize(
    ("old", "new", "said", "element"),
    [
        ("dbname='{source}'", "dbname='other'", "'other' does not exist", "connection"),
        ("<ObjectModelEncapsulateLegacy/>", "", "does not list ObjectModelEncapsulateLegacy", "object-graph"),
        ("_.fcp.SortTagCleanup.true...SortTagCleanup", "Other", "does not list SortTagCleanup", "manual-sort"),
        ("[queue]' name=", "[gone]' name=", "has no field [gone]", "column-instance"),
        ("[queue]' name=", "[key]' name=", "has no field [key]", "column-instance"),
        ("layered='true' name='[queue]'", "name='[other]'", "has no field [other]", "column"),
        ("name='[Mine]'><calc", "layered='true' name='[Mine]'><calc", "has no field [Mine]", "column"),
        (
            "<column layered='true' name='[queue]'/>",
            "<column layered='true' name='[queue]'><calculation formula='1'/></column>",
            "has no calculation [queue]", "column",
        ),
        ("[calls_1]", "[calls_2]", "[calls_2] is not in the object-graph", "object-id"),
        ("<relation connection='sqlproxy.1'", "<relation", "of another connection", "relation"),
        ("<workbook version", "<book version", "not well-formed", ""),
    ],
)  # fmt: skip
def test_what_is_wrong_is_found(
    server: TSC.Server, source: TSC.DatasourceItem, old: str, new: str, said: str, element: str
) -> None:
    assert old in WORKBOOK
    found = errors(server, WORKBOOK.replace(old, new, 1).replace("{source}", source.content_url))
    assert said in found[0]["message"]
    assert (found[0]["severity"], found[0]["elementName"]) == ("ERROR", element)
    assert ("line" in found[0]) is bool(element)


def test_a_data_source_without_tables_is_found(server: TSC.Server, source: TSC.DatasourceItem) -> None:
    root = etree.fromstring(WORKBOOK.format(source=source.content_url).encode())
    for graph in root.iter("object-graph"):
        graph.getparent().remove(graph)
    text = etree.tostring(root).decode()
    assert "no object-graph" in errors(server, text)[0]["message"]
    # without the object model there need be none
    old = text.replace("<ObjectModelEncapsulateLegacy/>", "").replace("<object-id>[calls_1]</object-id>", "")
    assert asked(server, old).json().keys() == {"timestamp", "uploadId"}


def test_who_may_have_what_checked(here: World, server: TSC.Server, source: TSC.DatasourceItem) -> None:
    text = WORKBOOK.format(source=source.content_url)
    here.user("viewer", "Viewer")
    assert asked(here.as_user("viewer"), text).status_code == 403
    assert asked(server, text, version="3.28").status_code == 404  # Tableau 2026.1
    assert asked(server, text, name="calls.twbx").status_code == 400
    assert asked(server, text, part="tableau_file").status_code == 400


def test_a_document_that_tableau_would_not_open_is_not_published(
    here: World, server: TSC.Server, project: TSC.ProjectItem, source: TSC.DatasourceItem
) -> None:
    file = Path(here.folder.parent / "calls.twb")
    text = WORKBOOK.format(source=source.content_url)
    file.write_text(text.replace("_.fcp.SortTagCleanup.true...SortTagCleanup", "Other"))
    with refused("400011"):
        server.workbooks.publish(TSC.WorkbookItem(project.id, "Calls"), file, "CreateNew")
    file.write_text(text.replace("[queue]' name=", "[gone]' name="))  # it would be there in red
    server.workbooks.publish(TSC.WorkbookItem(project.id, "Calls"), file, "CreateNew")
    tds = file.with_name("calls.tds")
    tds.write_text(SOURCE.replace("<column ", "<filter period-type-v2='day'/><column ", 1))
    with refused("400011"):
        server.datasources.publish(TSC.DatasourceItem(project.id, "More"), tds, "CreateNew")
