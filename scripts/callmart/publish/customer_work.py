"""The steps for one customer, and the proof that nobody else reaches what was published."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import tableauserverclient as TSC
from lxml import etree
from tableauserverclient.config import BYTES_PER_MB, config
from tableauserverclient.exponential_backoff import ExponentialBackoffTimer

from callmart.base.errors import UserError
from callmart.extract import extract
from callmart.publish import marks, quality_warning, subscriptions, validation
from callmart.publish.actual import Content, ContentKind, identity
from callmart.publish.desired import DataSource, Mail, Workbook
from callmart.publish.grants import NOBODY, Access, close, content_grants, customer_access, project_access
from callmart.publish.holdings import Held, forget_revisions
from callmart.publish.listing import PAGE_SIZE
from callmart.publish.marks import Mark, Tag
from callmart.publish.planning import hash_of
from callmart.publish.plans import LOCK, CustomerPlan, Kind, Step
from callmart.publish.reading import holds_others
from callmart.publish.site_work import SiteWork, join
from callmart.publish.tableau import FAILURES, LOST, answers, by_luid
from callmart.tableau_files import tds
from callmart.tableau_files.workbook import PublishedSource

_JOB_S = 1800  # how long Tableau may take to publish an upload
_INDEX_S = 120  # how long its lists may lag behind


class CustomerWork:
    """The work for one customer."""

    def __init__(self, site: SiteWork, plan: CustomerPlan) -> None:
        self.site, self.server, self.plan = site, site.server, plan
        self.project_id, self.group_id = plan.project_id, plan.group_id
        self.content = list(plan.unchanged)
        self.mailing = list(plan.mailing)
        self.unaccepted: set[str] = set()  # users whom Tableau does not accept
        self.unreachable: set[str] = set()  # LUIDs of users to whom Tableau can't mail
        self.mark = Mark(site.installation, plan.customer_id)

    def perform(self) -> Iterator[Step]:
        """Carry out the steps, yield each when it is done, and verify the result. If this fails, mail is suspended."""
        try:
            for luid in self.plan.members & self.site.stuck.keys():  # such a user would see the new content
                raise UserError(self.site.stuck[luid])
            for step in self.plan.steps:
                if self._perform(step):
                    yield step
            if self.plan.stays and self.plan.steps and not self.plan.problem:
                self._verify_access()
        except Exception:
            self._stop_mail()
            raise

    def _stop_mail(self) -> None:
        """Suspend all that mails, as long as Tableau answers at all."""
        for luid in self.mailing:
            try:
                subscriptions.suspend(self.server, luid, suspended=True)
            except FAILURES as failure:
                if isinstance(failure, LOST) and not answers(self.server):
                    return

    def _perform(self, step: Step) -> bool:
        """Carry out a step. Returns False if Tableau does not accept its user, or can't mail to it."""
        server = self.server
        match step.action, step.kind:
            case "remove", _:
                self._remove(step.kind, str(step.luid))
            case "adopt", _:
                self._adopt(step)
            case _, "group":
                self.group_id = server.groups.create(TSC.GroupItem(step.name)).id
            case _, "user":
                return self._user(step)
            case _, "member":
                return self._member(step)
            case _, "project":
                description, parent = (
                    (None, None) if step.luid else (marks.description(self.mark), self.site.top_id)
                )
                item = TSC.ProjectItem(step.name, description, LOCK, parent, id=step.luid)
                self.project_id = (server.projects.update if step.luid else server.projects.create)(item).id
            case _, "permissions":
                access = self._access if self.plan.stays else NOBODY
                close(server, step.luid or self.project_id, access)
            case _, "data source":
                self._publish_source(step)
            case _, "workbook":
                self._publish_workbook(step)
            case _, "schedule":
                self.site.add_schedule(step.name)
            case _, "warning":
                self._warn(step)
            case _, "subscription":
                return self._mail(step)
        return True

    def _user(self, step: Step) -> bool:
        """Add a user, or give an account that is there the address to which Tableau mails."""
        if step.luid is not None:
            return self._reaches(step.luid, step.name)
        self.site.add_user(step.name)
        return self._is_accepted(step.name)

    def _member(self, step: Step) -> bool:
        """Add a user to the customer's group."""
        if not self._is_accepted(step.name):
            return False
        join(self.server, self.group_id, self.site.users[identity(step.name)])
        return True

    def _is_accepted(self, name: str) -> bool:
        if identity(name) not in self.site.unaccepted:
            return True
        self.unaccepted.add(name)
        return False

    def _adopt(self, step: Step) -> None:
        """Put our mark on an item that is ours according to our books."""
        server, luid, mark = self.server, str(step.luid), marks.description(self.mark)
        match step.kind:
            case "group":
                group = by_luid(TSC.GroupItem, luid)
                group.name = marks.customer_group(self.mark)
                server.groups.update(group)
            case "project":
                server.projects.update(TSC.ProjectItem(step.name, mark, id=luid))
            case "data source" | "workbook":
                endpoint = _endpoint(server, step.kind)
                request = etree.Element("tsRequest")  # TSC's update would set more than the description
                etree.SubElement(request, step.kind.replace(" ", ""), description=mark)
                endpoint.put_request(f"{endpoint.baseurl}/{luid}", etree.tostring(request))
                if step.tags:
                    tags = {tag._replace(installation=self.mark.installation) for tag in marks.tags(step)}
                    endpoint.add_tags(luid, map(str, tags))
                    endpoint.delete_tags(luid, step.tags - set(map(str, tags)))

    def _remove(self, kind: Kind, luid: str) -> None:
        server = self.server
        if kind == "member":
            server.groups.remove_user(by_luid(TSC.GroupItem, self.group_id), luid)
            return
        if kind == "warning":
            quality_warning.remove(server, luid)
            return
        # A person can have thought about the plan for long, and what is in a project goes with it.
        if kind == "project" and holds_others(server, luid, self.mark):
            raise UserError(
                "something that is not ours has come into its project on Tableau; run again, and it stays"
            )
        endpoints = {
            "group": server.groups,
            "project": server.projects,
            "data source": server.datasources,
            "workbook": server.workbooks,
            "subscription": server.subscriptions,
        }
        endpoints[kind].delete(luid)

    def _publish_source(self, step: Step) -> None:
        source = step.content
        assert isinstance(source, DataSource)
        # Only the file that was proved leaves, and it may be missing.
        if isinstance(source.data, Path) and _is_other(source, source.data):
            source.restore()
        live = source.data if isinstance(source.data, tds.Live) else None
        login = TSC.ConnectionCredentials(live.user, source.password, embed=True) if live else None
        item = TSC.DatasourceItem(self.project_id, step.name)
        # The package is written beside the extract, so that the data gets onto no other disk.
        folder = source.data.parent if isinstance(source.data, Path) else None
        with TemporaryDirectory(prefix=".publish-", dir=folder) as place:
            file = Path(place) / f"{source.source.group}.tdsx"
            tds.package(source.source, file, source.data, source.types)

            def publish(mode: str) -> Any:
                published = self._upload(step, item, file, mode, login)
                if live:
                    _embed(self.server, published, live.user, source.password)
                return published

            self._replace("data source", step, item, publish, source.content_hash)

    def _upload(
        self,
        step: Step,
        item: TSC.DatasourceItem,
        file: Path,
        mode: str,
        login: TSC.ConnectionCredentials | None,
    ) -> Any:
        """Publish the file and return the data source. Large files are published by a job, as a request would take too
        long; a job doesn't return the data source, so it is looked up.
        """
        datasources = self.server.datasources
        if file.stat().st_size < config.FILESIZE_LIMIT_MB * BYTES_PER_MB:
            return datasources.publish(item, file, mode, connection_credentials=login)
        job = datasources.publish(item, file, mode, connection_credentials=login, as_job=True)
        self.server.jobs.wait_for_job(job, timeout=_JOB_S)
        if step.luid:
            return datasources.get_by_id(step.luid)
        timer = ExponentialBackoffTimer(timeout=_INDEX_S)
        while True:
            for made in TSC.Pager(datasources, TSC.RequestOptions(pagesize=PAGE_SIZE)):
                if (made.project_id, made.name) == (self.project_id, step.name):
                    return made
            timer.sleep()

    def _publish_workbook(self, step: Step) -> None:
        workbook = step.content
        assert isinstance(workbook, Workbook)
        source = self._there("data source", workbook.source.title)
        place = PublishedSource(self.server.server_address, self.server.site_url, source.content_url)
        others = {each.name: each.content_url for each in self.content if each.kind == "workbook"}
        rows_at = others.get(workbook.rows_in, "")
        content = workbook.build(place, rows_at)
        item = TSC.WorkbookItem(self.project_id, step.name, show_tabs=False)
        item.hidden_views = _worksheets(content)

        def publish(mode: str) -> Any:
            published = validation.publish(self.server, item, content, mode)
            self._verify_connection(published, source)
            return published

        self._replace("workbook", step, item, publish, hash_of(workbook, place, rows_at))

    def _mail(self, step: Step) -> bool:
        if step.action == "change":
            return self._suspend_or_resume(step)
        wanted = step.content
        assert isinstance(wanted, Mail)
        if not self._is_accepted(wanted.member):
            return False
        workbook = self.server.workbooks.get_by_id(self._there("workbook", wanted.workbook).luid)
        user = self.site.users[identity(wanted.member)]
        if not self._reaches(user, wanted.member):
            return False
        schedules = self.site.schedules
        schedule = None if schedules is None else schedules[subscriptions.when(wanted)]
        luid = subscriptions.subscribe(self.server, wanted, user, workbook.views[0].id, schedule)
        self.mailing.append(luid)
        if not _may_mail(wanted):
            subscriptions.suspend(self.server, luid, suspended=True)
        return True

    def _there(self, kind: ContentKind, name: str) -> Content:
        """What is in the project by now."""
        return next(each for each in self.content if (each.kind, each.name) == (kind, name))

    def _reaches(self, user: str, address: str) -> bool:
        if self.site.reaches(user, address):
            return True
        self.unreachable.add(user)
        return False

    def _warn(self, step: Step) -> None:
        if step.luid:
            quality_warning.remove(self.server, step.luid)
        luid = self._there("data source", step.name).luid
        # The plan knows that only if there was a data source to ask for.
        with suppress(quality_warning.Unavailable):
            quality_warning.add(
                self.server, luid, self.plan.warnings[step.name], is_severe=self.plan.is_severe
            )

    def _suspend_or_resume(self, step: Step) -> bool:
        """Resume a mail, or suspend it if it is not the content. One whose hour has come meanwhile stays suspended."""
        luid, wanted = str(step.luid), step.content
        if isinstance(wanted, Mail):
            if not _may_mail(wanted):
                return False
            self.mailing.append(luid)
        subscriptions.suspend(self.server, luid, suspended=wanted is None)
        return True

    def _replace(
        self, kind: ContentKind, step: Step, item: Any, publish: Callable[[str], Any], content_hash: str
    ) -> None:
        """Publish under the step's name. The tag with the hash of the contents is set last."""
        endpoint = _endpoint(self.server, kind)
        publishing = marks.publishing(self.site.installation)
        if step.tags:
            # The content is about to change: until the new tag is set, its hash is unknown. A tag stays in any case, as
            # somebody may have changed the description.
            endpoint.add_tags(step.luid, publishing)
            endpoint.delete_tags(step.luid, step.tags - {publishing})
        item.description = marks.description(self.mark)
        published = publish(
            self.server.PublishMode.Overwrite if step.luid else self.server.PublishMode.CreateNew
        )
        if step.luid:
            forget_revisions(Held(endpoint, published, f"{kind}s"))
        tag = str(Tag(self.site.installation, content_hash))
        endpoint.add_tags(published, tag)
        if step.tags:
            endpoint.delete_tags(published, publishing)
        self.content.append(
            Content(
                kind,
                published.id,
                published.name,
                published.content_url,
                frozenset({tag}),
                published.project_id,
            )
        )

    def _verify_connection(self, workbook: TSC.WorkbookItem, source: Content) -> None:
        """Check that the workbook uses the customer's data source and no other."""
        self.server.workbooks.populate_connections(workbook)
        if {connection.datasource_id for connection in workbook.connections} != {source.luid}:
            raise UserError(
                f"the workbook '{workbook.name}' does not use the customer's data source alone; "
                "check its connections on Tableau, then publish again"
            )

    @property
    def _access(self) -> Access:
        return customer_access(self.group_id, exports=self.plan.exports)

    def _verify_access(self) -> None:
        """Check that the customer's group, and nobody else, reaches the project and its contents."""
        access = self._access
        reached = [project_access(self.server, self.project_id) == access]
        for content in self.content:
            reached.append(content.project_id == self.project_id)
            is_source = content.kind == "data source"
            item = by_luid(TSC.DatasourceItem if is_source else TSC.WorkbookItem, content.luid)
            grants = content_grants(_endpoint(self.server, content.kind), item)
            reached.append(grants == access["datasource" if is_source else "workbook"])
        if not all(reached):
            raise UserError(
                "what was published can be reached by others than the customer's group; correct it on Tableau, "
                "then publish again"
            )


def _endpoint(server: TSC.Server, kind: ContentKind) -> Any:
    return server.datasources if kind == "data source" else server.workbooks


def _worksheets(workbook: bytes) -> list[str]:
    """The worksheets to hide: if the workbook has a dashboard, people see the sheets in it only."""
    root = etree.fromstring(workbook)
    if root.find("dashboards/dashboard") is None:
        return []
    return [str(sheet.get("name")) for sheet in root.iterfind("worksheets/worksheet")]


def _is_other(source: DataSource, file: Path) -> bool:
    """Whether a file is missing, or not the one that was proved."""
    return source.file_hash is None or extract.file_hash(file) != source.file_hash


def _may_mail(mail: Mail) -> bool:
    """Whether the hour of a mail is still to come. A publication can take long."""
    return mail.state == "to come" and datetime.now(UTC) < mail.hour


def _embed(server: TSC.Server, source: TSC.DatasourceItem, user: str, password: str | None) -> None:
    """Set the login of a live connection again, as servers lose it when publishing, and check that it is kept."""
    server.datasources.populate_connections(source)
    for connection in source.connections:
        connection.username, connection.password, connection.embed_password = user, password, True
        server.datasources.update_connection(source, connection)
    server.datasources.populate_connections(source)
    if not all(c.username == user and c.embed_password for c in source.connections):
        raise UserError("Tableau did not keep the login of the live connection; publish again")
