"""Jobs, schedules, refresh tasks and subscriptions."""

from datetime import datetime

import pytest
import tableauserverclient as TSC

from emulated import World, refused
from tableau_emulator import jobs

# jobs


def test_publishing_as_a_job(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    for job in (
        here.publish(project, "second", as_job=True),
        here.publish_workbook(project, source, as_job=True),
        server.datasources.refresh(source),
    ):
        assert server.jobs.wait_for_job(job, timeout=10).finish_code == TSC.JobItem.FinishCode.Success
    assert {each.name for each in TSC.Pager(server.datasources)} == {"calls", "second"}
    assert len(list(TSC.Pager(server.jobs))) == 3
    assert len(list(server.jobs.filter(job_type="RefreshExtract"))) == 1


def test_one_refresh_at_a_time(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    here.inject("job", polls=1, outcome="Success")
    job = server.datasources.refresh(source)
    assert server.datasources.refresh(source) is None  # TSC takes 409093 for a warning
    server.jobs.wait_for_job(job, timeout=10)
    assert server.datasources.refresh(source) is not None


def test_a_job_ends_when_it_is_ended(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    here.inject("job", polls=None, outcome="Success", count=2)
    first, second = here.publish(project, as_job=True), here.publish(project, "second", as_job=True)
    assert server.jobs.get_by_id(first.id).completed_at is None
    with here.state() as state:
        jobs.finish(state, first.id)
    assert server.jobs.get_by_id(first.id).finish_code == 0
    server.jobs.cancel(second.id)
    assert server.jobs.get_by_id(second.id).finish_code == TSC.JobItem.FinishCode.Cancelled


# schedules and refreshes


@pytest.fixture
def schedule(server: TSC.Server) -> TSC.ScheduleItem:
    weekly = TSC.WeeklyInterval(datetime(2026, 1, 5, 7).time(), "Monday")
    return server.schedules.create(TSC.ScheduleItem("Monday 7:00", 50, "Subscription", "Parallel", weekly))


def test_schedules(server: TSC.Server, schedule: TSC.ScheduleItem) -> None:
    with refused("409021"):
        server.schedules.create(
            TSC.ScheduleItem(
                "Monday 7:00", 50, "Extract", "Serial", TSC.DailyInterval(datetime(2026, 1, 1, 7).time())
            )
        )
    found = server.schedules.get_by_id(schedule.id)
    assert (found.name, found.schedule_type, str(found.interval_item.start_time)) == (
        "Monday 7:00", "Subscription", "07:00:00",
    )  # fmt: skip
    found.name, found.state = "renamed", "Suspended"
    found.interval_item = TSC.WeeklyInterval(datetime(2026, 1, 5, 8).time(), "Monday", "Friday")
    server.schedules.update(found)
    assert [(each.name, each.state) for each in TSC.Pager(server.schedules)] == [("renamed", "Suspended")]
    server.schedules.delete(schedule.id)
    with refused("404023"):
        server.schedules.get_by_id(schedule.id)


def test_states_of_several_schedules(server: TSC.Server, schedule: TSC.ScheduleItem) -> None:
    assert server.schedules.batch_update_state([schedule], "suspended") == [schedule.id]
    assert server.schedules.get_by_id(schedule.id).state == "Suspended"
    assert server.schedules.batch_update_state([], "active", update_all=True) == [schedule.id]
    with refused("404023"):
        server.schedules.batch_update_state([server.site_id], "active")


def test_refreshes_on_a_schedule(
    here: World, server: TSC.Server, project: TSC.ProjectItem, schedule: TSC.ScheduleItem
) -> None:
    source = here.publish(project)
    workbook = here.publish_workbook(project, source)
    nightly = server.schedules.create(
        TSC.ScheduleItem(
            "nightly", 50, "Extract", "Parallel", TSC.DailyInterval(datetime(2026, 1, 1, 3).time())
        )
    )
    for item in ({"workbook": workbook}, {"datasource": source}, {"datasource": source}):
        assert server.schedules.add_to_schedule(nightly.id, **item) == []
    with refused("400047"):
        server.schedules.add_to_schedule(schedule.id, datasource=source)
    extracts, page = server.schedules.get_extract_refresh_tasks(nightly.id)
    assert {each.datasource_id or each.workbook_id for each in extracts} == {source.id, workbook.id}
    assert page.total_available == 2
    tasks = {each.target.id: each for each in server.tasks.get()[0]}
    found = server.tasks.get_by_id(tasks[source.id].id)
    assert (found.schedule_id, found.priority, found.target.type) == (nightly.id, 50, "datasource")
    job = TSC.JobItem.from_response(server.tasks.run(found), server.namespace)[0]
    assert server.jobs.wait_for_job(job, timeout=10).datasource_id == source.id
    server.tasks.delete(found.id)
    server.workbooks.delete(workbook.id)
    assert server.tasks.get()[0] == []


def test_refreshes_of_tableau_cloud(here: World, server: TSC.Server, project: TSC.ProjectItem) -> None:
    source = here.publish(project)
    monthly = TSC.ScheduleItem(
        None, None, None, None, TSC.MonthlyInterval(datetime(2026, 1, 1, 3).time(), 15)
    )
    target = TSC.Target(source.id, "datasource")
    server.tasks.create(TSC.TaskItem(None, "FullRefresh", None, schedule_item=monthly, target=target))
    (task,) = server.tasks.get()[0]
    assert (task.schedule_id, task.target.id) == (None, source.id)
    assert task.schedule_item.interval_item.interval == ("15",)
    with refused("404026"):
        server.tasks.get_by_id(source.id)


# subscriptions


@pytest.fixture
def report(here: World, project: TSC.ProjectItem) -> TSC.WorkbookItem:
    return here.publish_workbook(project, here.publish(project))


def test_subscription_of_tableau_server(
    here: World, server: TSC.Server, schedule: TSC.ScheduleItem, report: TSC.WorkbookItem
) -> None:
    user = here.reader()
    item = TSC.SubscriptionItem("Your week", schedule.id, user.id, TSC.Target(report.views[0].id, "view"))
    item.message, item.attach_pdf, item.send_if_view_empty = "Good morning", True, False
    item.page_orientation, item.page_size_option = "PORTRAIT", "A4"
    made = server.subscriptions.create(item)
    found = server.subscriptions.get_by_id(made.id)
    assert (found.subject, found.message, found.attach_pdf, found.send_if_view_empty, found.suspended) == (
        "Your week", "Good morning", True, False, False,
    )  # fmt: skip
    assert (found.schedule_id, found.user_id, found.target.id) == (schedule.id, user.id, report.views[0].id)
    found.suspended, found.subject = True, "Later"
    server.subscriptions.update(found)
    (listed,) = TSC.Pager(server.subscriptions)
    assert (listed.suspended, listed.subject, listed.message) == (True, "Later", "Good morning")
    server.subscriptions.delete(made.id)
    with refused("404025"):
        server.subscriptions.get_by_id(made.id)


CLOUD = (
    '<tsRequest><subscription subject="Your week" attachPdf="true"><content id="{content}" type="Workbook" '
    'sendIfViewEmpty="false"/><user id="{user}"/></subscription><schedule frequency="Weekly"><frequencyDetails '
    'start="07:00:00"><intervals><interval weekDay="{day}"/></intervals></frequencyDetails></schedule></tsRequest>'
)


def test_subscription_of_tableau_cloud(here: World, server: TSC.Server, report: TSC.WorkbookItem) -> None:
    user = here.user("reader", "Viewer")
    body = CLOUD.format(content=report.id, user=user.id, day="Monday")
    answer = server.subscriptions.post_request(server.subscriptions.baseurl, body)
    (made,) = TSC.SubscriptionItem.from_response(answer.content, server.namespace)
    found = server.subscriptions.get_by_id(made.id)
    assert found.schedule_id is None
    assert str(found.schedule[0].interval_item.start_time) == "07:00:00"
    found.suspended = True
    server.subscriptions.update(found)
    found = server.subscriptions.get_by_id(made.id)
    assert (found.suspended, found.schedule[0].interval_item.interval) == (
        True,
        found.schedule[0].interval_item.interval,
    )
    with refused("400000"):
        server.subscriptions.post_request(
            server.subscriptions.baseurl, CLOUD.format(content=report.id, user=user.id, day="Someday")
        )


def test_nobody_without_an_address_is_mailed_by_a_schedule(
    here: World, server: TSC.Server, schedule: TSC.ScheduleItem, report: TSC.WorkbookItem
) -> None:
    """Also if the name looks like one. On Tableau Cloud it is one."""
    user = here.user("reader@example.org", "Viewer")
    item = TSC.SubscriptionItem("Your week", schedule.id, user.id, TSC.Target(report.id, "Workbook"))
    with refused("403064"):
        server.subscriptions.create(item)
    assert server.users.get_by_id(user.id).email is None


def test_a_subscription_goes_with_its_content_and_its_user(
    here: World, server: TSC.Server, schedule: TSC.ScheduleItem, report: TSC.WorkbookItem
) -> None:
    users = [here.reader(name) for name in ("one", "two")]
    for user in users:
        target = TSC.Target(report.id, "Workbook")
        server.subscriptions.create(TSC.SubscriptionItem("Your week", schedule.id, user.id, target))
    server.users.remove(users[0].id)
    assert [each.user_id for each in TSC.Pager(server.subscriptions)] == [users[1].id]
    server.workbooks.delete(report.id)
    assert not list(TSC.Pager(server.subscriptions))
