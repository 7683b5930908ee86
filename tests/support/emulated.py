"""What tests with an emulator share: one in a thread, and servers whose answers are all checked."""

import zipfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import requests
import tableauserverclient as TSC
from tableauserverclient.server.endpoint.exceptions import ServerResponseError

from rest_shapes import check
from tableau_emulator import client, faults, process
from tableau_emulator.process import Emulator
from tableau_emulator.state import State

WORKBOOK = """<?xml version='1.0' encoding='utf-8'?>
<workbook version='18.1'>
  <datasources>
    <datasource caption='Calls' name='sqlproxy.1'>
      <connection class='sqlproxy' dbname='{source}' server='localhost' port='8000' username=''/>
    </datasource>
    <datasource caption='Live' name='federated.1'>
      <connection class='federated'><named-connections><named-connection name='a'>
        <connection class='postgres' dbname='mart' server='db.example' port='5432' username='nobody'/>
      </named-connection></named-connections></connection>
    </datasource>
  </datasources>
  <worksheets><worksheet name='Calls a day'/><worksheet name='Helper'/></worksheets>
  <dashboards><dashboard name='Overview'/></dashboards>
  <windows>
    <window class='dashboard' name='Overview'/><window class='worksheet' name='Calls a day'/>
    <window class='worksheet' name='Helper'/><window class='worksheet' name='Tooltip' hidden='true'/>
  </windows>
</workbook>"""
SOURCE = """<?xml version='1.0' encoding='utf-8'?>
<datasource formatted-name='federated.1' version='18.1'><connection class='federated'><named-connections>
  <named-connection name='a'><connection class='postgres' server='db.example' port='5432' username='nobody'/>
  </named-connection></named-connections></connection></datasource>"""


@dataclass
class World:
    """An emulator, its state's folder, and the administrator's server."""

    emulator: Emulator
    folder: Path
    server: TSC.Server

    def as_user(self, name: str) -> TSC.Server:
        """A server signed in as a user."""
        return watched(client.as_user(self.emulator, self.folder, name))

    @contextmanager
    def state(self) -> Iterator[State]:
        """The state, from outside."""
        with State(self.folder) as state:
            yield state

    def inject(self, kind: faults.Kind, **settings: Any) -> None:
        """Injects a fault."""
        with self.state() as state:
            faults.inject(state, faults.Fault(kind, **settings))

    def user(self, name: str, role: str = "Explorer") -> TSC.UserItem:
        """A new user."""
        return self.server.users.add(TSC.UserItem(name, role))

    def reader(self, name: str = "reader") -> TSC.UserItem:
        """A new user whom one can mail."""
        user = self.user(name, "Viewer")
        user.email = f"{name}@example.org"
        return self.server.users.update(user)

    def publish(self, project: TSC.ProjectItem, name: str = "calls", **options: Any) -> TSC.DatasourceItem:
        """A new data source with a connection to a database."""
        file = self.folder.parent / "source.tdsx"
        with zipfile.ZipFile(file, "w") as package:
            package.writestr("source.tds", SOURCE)
        return self.server.datasources.publish(
            TSC.DatasourceItem(project.id, name), file, options.pop("mode", "CreateNew"), **options
        )

    def publish_workbook(
        self, project: TSC.ProjectItem, source: TSC.DatasourceItem, name: str = "report", **options: Any
    ) -> TSC.WorkbookItem:
        """A new workbook on a published data source and on a database."""
        file = self.folder.parent / "report.twb"
        file.write_text(WORKBOOK.format(source=source.content_url))
        item = TSC.WorkbookItem(project.id, name, show_tabs=options.pop("show_tabs", False))
        item.hidden_views = options.pop("hidden_views", None)
        return self.server.workbooks.publish(item, file, options.pop("mode", "CreateNew"), **options)


@contextmanager
def world(folder: Path) -> Iterator[World]:
    """An emulator of its own, for as long as the block lasts."""
    with client.served(folder / "emulator") as emulator:
        yield World(emulator, folder / "emulator", signed_in(emulator))


@contextmanager
def in_threads() -> Iterator[None]:
    """Within it, each home's emulator is a thread of this process: a process of its own takes 0.4 s of CPU to start."""
    with ExitStack() as running:
        served = cache(lambda folder: running.enter_context(client.served(folder)).url)

        def start(folder: Path, token_name: str, token_file: Path, draw: str) -> Emulator:
            return Emulator(served(folder), token_name, process.admit(folder, token_name, token_file))

        with patch.object(process, "start", start):
            yield


def custom_view(workbook: TSC.WorkbookItem, owner: TSC.UserItem, name: str) -> TSC.CustomViewItem:
    """What a user has chosen in a workbook."""
    item = TSC.CustomViewItem(name=name)
    item.workbook, item.owner = workbook, owner
    return item


def signed_in(emulator: Emulator) -> TSC.Server:
    """The administrator's server, signed in anew."""
    return watched(client.administrator(emulator))


def unmark(state: State, installation: str) -> None:
    """Everything that bears the mark of an installation stands as it did before there were marks."""
    for table in ("project", "datasource", "workbook"):
        state.write(f"update {table} set description = replace(description, ?, '')", f"{installation} ")
    for table, column in (("tag", "label"), ("user_group", "name")):
        state.write(f"update {table} set {column} = replace({column}, ?, '')", f"{installation}-")


def watched(server: TSC.Server) -> TSC.Server:
    """The server, with every answer in XML checked against the shapes of the schema."""
    server.session.hooks["response"].append(_check)
    return server


def _check(response: requests.Response, **_: Any) -> None:
    if response.headers.get("content-type") == "application/xml":
        check(response.content)


def refused(code: str) -> "pytest.RaisesExc[ServerResponseError]":
    """The error of the API with this code."""
    return pytest.raises(ServerResponseError, check=lambda error: error.code == code)
