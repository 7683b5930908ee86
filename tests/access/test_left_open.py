"""What somebody with more rights than callmart's logins may have left open, without a right that shows."""

import pytest

from callmart.access import surroundings
from callmart_home import Callmart
from drifting import found_after, owner_after

pytestmark = pytest.mark.usefixtures("unchecked")

STRANGER = "create role stranger login;"
ADMINISTERS = "grant callmart_owner to stranger with admin true, inherit false, set false"
COPYING = (
    "set local role callmart_owner; create function {schema}.copied(text) returns boolean language plpgsql"
    " as 'begin perform pg_notify(''copies'', $1); return true; end'; reset role;"
)
# What may do everything by and by, each with how it is told.
OPEN = {
    "who may make itself the owner": (
        f"{STRANGER} {ADMINISTERS}",
        "stranger can give itself the rights of callmart_owner, the owner:"
        " have a superuser run revoke callmart_owner from stranger cascade",
    ),
    **{
        f"a function in {schema} that copies what is written": (
            f"{COPYING.format(schema=schema)}"
            f" alter table registry.contact add constraint copies check ({schema}.copied(name))",
            f"function {schema}.copied(text) is not callmart's:"
            f" run drop routine {schema}.copied(text) cascade, which also drops what calls it",
        )
        for schema in ("build", "mart", "store", "usage")
    },
    "the server's files, by a function": (
        "grant execute on function pg_read_binary_file(text) to callmart_owner",
        "callmart_owner may use function pg_read_binary_file(text), which reaches around all rights:"
        " have a superuser revoke that",
    ),
}
# What a stranger has of a server of callmart's own, which the audit names.
OF_A_STRANGER = {
    "the server's files": "function pg_read_file(text)",
    "passwords": "table pg_authid",
    "a column with passwords": "column rolpassword of table pg_authid",
    "samples of all tables": "table pg_statistic",
}


@pytest.mark.parametrize("what", OPEN)
def test_what_opens_everything_is_named_with_its_remedy(played: Callmart, what: str) -> None:
    statements, told = OPEN[what]
    (found,) = found_after(played, statements)
    assert found.text == told


def test_who_administers_roles_may_have_made_the_owner(played: Callmart) -> None:
    """PostgreSQL itself gives it that right then: on hosted servers there is such a role."""
    assert list(found_after(played, f"{STRANGER} alter role stranger createrole; {ADMINISTERS}")) == []


@pytest.mark.parametrize("what", OF_A_STRANGER)
def test_what_a_stranger_has_of_a_server_of_our_own_is_named_by_the_audit(
    played: Callmart, what: str
) -> None:
    kind, _, thing = OF_A_STRANGER[what].partition(" ")
    given = {
        "function": f"execute on function {thing}",
        "table": f"select on {thing}",
        "column": "select (rolpassword) on pg_authid",
    }[kind]
    with owner_after(played, f"{STRANGER} grant {given} to stranger") as owner:
        assert surroundings.beside(owner, is_own=True) == [
            f"stranger may use {OF_A_STRANGER[what]}, which PostgreSQL or an extension keeps closed:"
            " revoke that, or drop the role"
        ]
        assert surroundings.beside(owner, is_own=False) == []


@pytest.mark.parametrize(
    ("made", "told"),
    [
        (
            "alter table registry.contact add constraint copies check (pg_notify('copies', name)::text = '')",
            "constraint copies on table registry.contact calls pg_notify(text,text)",
        ),
        (
            "create extension dblink schema public;"
            " alter table ops.alarm add column copied text default public.dblink_exec('', 'select 1')",
            "default value for column copied of table ops.alarm calls public.dblink_exec(text,text)",
        ),
    ],
)
def test_a_check_or_default_that_can_tell_others_is_named_by_the_audit(
    played: Callmart, made: str, told: str
) -> None:
    """A check is asked of each row that is written: whoever listens would have all names."""
    with owner_after(played, "truncate registry.contact, ops.alarm cascade; " + made) as owner:
        assert surroundings.beside(owner, is_own=True) == [f"{told}, as nothing of callmart's does: drop it"]
