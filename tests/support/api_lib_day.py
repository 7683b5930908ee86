"""A day with tableau_api_lib, which speaks JSON: python api_lib_day.py URL TOKEN_NAME SECRET, where it is installed.

It ends at the first call that the server refuses, or whose answer the library can't read.
"""
# mypy: ignore-errors
# ruff: noqa: T201

import sys
from pathlib import Path


def day(url, token_name, secret):
    from tableau_api_lib import TableauServerConnection
    from tableau_api_lib.utils import querying

    site = {"server": url, "api_version": "3.28", "site_name": "Default", "site_url": ""}
    token = {"personal_access_token_name": token_name, "personal_access_token_secret": secret}
    server = TableauServerConnection({"tableau_prod": site | token})
    said(server.sign_in())
    project = said(server.create_project("shelf", "a project"))["project"]["id"]
    source = said(server.publish_data_source("calls.tds", "calls", project))["datasource"]["id"]
    workbook = said(server.publish_workbook("report.twb", "report", project, show_tabs_flag=True))[
        "workbook"
    ]["id"]
    user = said(server.add_user_to_site("ada", "Viewer"))["user"]["id"]
    said(server.update_user(user, new_full_name="Ada", new_password="known"))
    group = said(server.create_group("readers"))["group"]["id"]
    said(server.add_user_to_group(group, user))
    said(server.add_tags_to_workbook(workbook, ["weekly", "new"]))
    said(server.delete_tag_from_workbook(workbook, "new"))
    said(server.add_workbook_permissions(workbook, group_capability_dict={"Read": "Allow"}, group_id=group))
    said(server.update_workbook(workbook, show_tabs_flag=False))
    said(server.update_data_source(source, is_certified_flag=True, certification_note="by the library"))
    said(server.add_workbook_to_favorites(workbook, server.user_id, "mine"))

    for kind, names in (
        ("sites", {"Default"}), ("projects", {"Default", "shelf"}), ("users", {"admin", "ada"}),
        ("groups", {"All Users", "readers"}), ("datasources", {"calls"}), ("workbooks", {"report"}),
        ("views", {"Overview", "Calls a day", "Helper"}),
    ):  # fmt: skip
        assert set(getattr(querying, f"get_{kind}_dataframe")(server)["name"]) == names, kind
    for kind in ("flows", "schedules", "subscriptions", "webhooks", "extract_refresh_tasks"):
        getattr(querying, f"get_{kind}_dataframe")(server)  # nothing there
    assert len(querying.get_views_for_workbook_dataframe(server, workbook)) == 3
    assert len(querying.get_workbook_connections_dataframe(server, workbook)) == 2
    assert set(querying.get_group_users_dataframe(server, group)["name"]) == {"ada"}
    assert len(querying.get_user_favorites_dataframe(server, server.user_id)) == 1

    view = said(server.query_views_for_workbook(workbook))["views"]["view"][0]["id"]
    assert server.query_view_image(view).content.startswith(b"\x89PNG")
    assert server.query_view_pdf(view).content.startswith(b"%PDF")
    assert list(querying.get_view_data_dataframe(server, view).columns) == ["Overview"]
    assert server.download_workbook(workbook).content == Path("report.twb").read_bytes()
    assert server.download_data_source(source).content == Path("calls.tds").read_bytes()
    job = said(server.update_data_source_now(source))["job"]["id"]
    assert said(server.query_job(job))["job"]["finishCode"] == "0"
    weekly = said(
        server.create_schedule(
            "weekly", schedule_type="Subscription", interval_expression_list=[{"weekDay": "Monday"}]
        )
    )["schedule"]["id"]
    said(server.update_user(server.user_id, new_email="admin@example.org"))
    mail = said(server.create_subscription("Your week", "Workbook", workbook, weekly, server.user_id))[
        "subscription"
    ]
    assert mail["content"]["type"] == "Workbook" and mail["attachImage"] is False
    assert server.query_workbook("nowhere").json()["error"]["code"] == "404006"
    said(server.create_site("Other", "other"))
    said(server.switch_site("other"))
    assert set(querying.get_projects_dataframe(server)["name"]) == {"Default"}
    said(server.sign_out())


def said(response):
    """What an answer says. A refusal ends everything."""
    assert response.ok, (response.request.method, response.url, response.text)
    return response.json() if response.content else None


if __name__ == "__main__":
    day(*sys.argv[1:])
    print("all of it worked")
