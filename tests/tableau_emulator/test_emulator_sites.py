"""Sites and their settings."""

import pytest
import requests
import tableauserverclient as TSC
from tableauserverclient.server.endpoint.exceptions import FailedSignInError

from emulated import World, refused

# TSC sends a setting of sites that is gone, and warns of itself
pytestmark = pytest.mark.filterwarnings("ignore:FlowsEnabled")


def test_a_site_starts_with_default_and_all_users(server: TSC.Server, all_users: str) -> None:
    assert [project.name for project in TSC.Pager(server.projects)] == ["Default"]
    with refused("403004"):
        server.groups.delete(all_users)
    default = next(iter(TSC.Pager(server.projects)))
    with refused("403003"):
        server.projects.delete(default.id)
    default.name = "another"
    with refused("403005"):
        server.projects.update(default)


def test_sites(here: World, server: TSC.Server) -> None:
    made = server.sites.create(TSC.SiteItem("Other", "other"))
    with refused("409001"):
        server.sites.create(TSC.SiteItem("Other", "another"))
    assert {site.name for site in TSC.Pager(server.sites)} == {"Default", "Other"}
    server.projects.create(TSC.ProjectItem("of the first"))
    first = server.site_id
    server.auth.switch_site(made)
    assert server.site_id == made.id != first
    assert [each.name for each in TSC.Pager(server.projects)] == ["Default"]
    header = {"x-tableau-auth": server.auth_token}
    elsewhere = requests.get(f"{server.baseurl}/sites/{first}/projects", headers=header, timeout=5)
    assert elsewhere.status_code == 403
    server.auth.switch_site(TSC.SiteItem("Default", ""))
    # TSC deletes only the site that it is signed in to
    header = {"x-tableau-auth": server.auth_token}
    assert requests.delete(f"{server.baseurl}/sites/{made.id}", headers=header, timeout=5).status_code == 204
    assert [site.name for site in TSC.Pager(server.sites)] == ["Default"]


def test_where_one_is(server: TSC.Server) -> None:
    header = {"x-tableau-auth": server.auth_token}
    answer = requests.get(f"{server.baseurl}/sessions/current", headers=header, timeout=5)
    assert server.user_id in answer.text
    answer = requests.get(
        f"{server.baseurl}/sites/{server.site_id}?includeUsage=true", headers=header, timeout=5
    )
    assert 'numUsers="1"' in answer.text
    assert [each.auth_setting for each in server.sites.list_auth_configurations()] == ["ServerDefault"]
    server.auth.switch_site(TSC.SiteItem("Default", ""))  # TSC takes 403070 for a warning
    with pytest.raises(FailedSignInError, check=lambda error: error.code == "401003"):
        server.auth.switch_site(TSC.SiteItem("No site", "no_site"))


def test_what_is_made_says_where_it_is(server: TSC.Server) -> None:
    url, header = f"{server.baseurl}/sites/{server.site_id}/projects", {"x-tableau-auth": server.auth_token}
    made = requests.post(url, '<tsRequest><project name="p"/></tsRequest>', headers=header, timeout=5)
    luid = next(each.id for each in TSC.Pager(server.projects) if each.name == "p")
    assert (made.status_code, made.headers["location"]) == (
        201,
        f"/api/3.29/sites/{server.site_id}/projects/{luid}",
    )


def test_site_settings(server: TSC.Server) -> None:
    site = server.sites.get_by_id(server.site_id)
    assert (site.name, site.user_visibility_mode, site.subscribe_others_enabled) == ("Default", "FULL", True)
    site.user_visibility_mode = "LIMITED"
    server.sites.update(site)
    assert server.sites.get_by_id(server.site_id).user_visibility_mode == "LIMITED"
    site.user_visibility_mode = "NOBODY"
    with refused("400008"):
        server.sites.update(site)
