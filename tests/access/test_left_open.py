"""What somebody with more rights than callmart's logins may have left open, without a right that shows."""

from collections.abc import Iterator

import pytest

from callmart.access import memberships, surroundings
from callmart.base.errors import UserError
from callmart.declarations import dbt_project
from callmart_home import Callmart
from commands import command_of, mistake
from drifting import apply, drifted, found_after, owner_after

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


HIDING = "alter table {0} enable row level security, force row level security; create policy hides on {0} using (false)"


@pytest.mark.parametrize(
    "table",
    ["raw.event", "raw.reject", "registry.recipient", "ops.audit_log", "privacy.tombstone", "build.agent"],
)
def test_what_hides_rows_from_callmart_itself_is_named(played: Callmart, table: str) -> None:
    """Who was erased, what was done, who gets reports."""
    found = {one.text for one in found_after(played, HIDING.format(table))}
    assert found == {
        f"row security is on for {table}, of which callmart reads all rows",
        f"policy hides on {table} is not callmart's",
    }


def test_applying_shows_all_rows_again_and_drops_no_key(played: Callmart) -> None:
    """It took the policy for its own, and the key for one that shows customers something."""
    keys = "select indexrelid::regclass::text as key from pg_index where indrelid = any(%s::regclass[]) order by key"
    tables = ["raw.file", "registry.recipient"]
    before = played.rows(keys, tables)
    with played.superuser() as superuser:
        for table in tables:
            superuser.execute(HIDING.format(table).encode())
    assert len(apply(played)) == 4
    assert drifted(played) == []
    assert played.rows(keys, tables) == before
    assert played.rows("select * from registry.recipient")


def test_a_view_of_what_is_built_that_reads_for_its_owner_is_named_and_mended(played: Callmart) -> None:
    """By one the login that checks read all events, of all customers."""
    with played.superuser() as superuser:
        superuser.execute(
            "alter view build.stg_event reset (security_invoker);"
            " set role callmart_owner; create view build.another as select customer_id from raw.event"
        )
    rights = "reads with the rights of its owner, not of whoever asks"
    assert sorted(drifted(played)) == [f"view build.another {rights}", f"view build.stg_event {rights}"]
    assert len(apply(played)) == 2
    assert drifted(played) == []
    with played.connect() as owner:
        owner.execute("drop view build.another")


def test_applying_drops_what_depends_on_something_that_is_not_ours(played: Callmart) -> None:
    with played.superuser() as superuser:
        superuser.execute(
            "set role callmart_owner; create view mart.a_first as select 1 as one;"
            " create view mart.b_then as select one from mart.a_first;"
            " create view mart.c_last as select one from mart.b_then"
        )
    assert len(apply(played)) == 3
    assert drifted(played) == []


def test_what_keeps_a_view_from_being_made_anew_is_named(played: Callmart) -> None:
    reading = (
        "create schema elsewhere; create view elsewhere.open as select queue from mart.queue_day;"
        " alter view mart.queue_day reset (security_barrier)"
    )
    told = r"made anew \(view elsewhere\.open depends on view mart\.queue_day\): drop what depends on it, then run"
    with owner_after(played, reading) as owner, pytest.raises(UserError, match=told):
        memberships.show(owner, dbt_project.marts(played.settings))


# -- what a stranger has planted, before anybody looks at rights -----------------------------------------------

PLANTED = """
create role stranger;
create schema theirs authorization stranger;
create table theirs.seen (who name);
grant usage on schema theirs to public;
grant insert on theirs.seen to public;
create function theirs.note() returns trigger language plpgsql as
    $$ begin insert into theirs.seen values (current_user); return null; end $$;
alter function theirs.note() owner to stranger;
do $$ declare written regclass; begin
    for written in select oid from pg_class
        where relkind = 'r' and relnamespace in ('ops'::regnamespace, 'registry'::regnamespace, 'privacy'::regnamespace)
    loop
        execute format('create trigger note after insert on %s execute function theirs.note()', written);
    end loop;
end $$
"""


@pytest.fixture
def planted(played: Callmart) -> Iterator[Callmart]:
    """A stranger's trigger on whatever is written: somebody gave the right to make one."""
    with played.superuser() as superuser:
        superuser.execute(PLANTED.encode())
    yield played
    with played.superuser() as superuser:
        superuser.execute("drop schema theirs cascade; drop role stranger")


@pytest.mark.parametrize(
    "command",
    [
        ["run"],
        ["land", "/dev/null"],
        ["access", "apply"],
        ["registry", "apply", "{registry}"],
        ["upgrade"],
        ["demo"],
        ["audit"],
        ["explain", "offered", "--customer", "1001", "--from", "2026-11-24"],
        ["privacy", "open", "--customer", "1001", "--kind", "agent"],
    ],
    ids=lambda command: command[0],
)
def test_no_command_runs_what_a_stranger_has_planted(planted: Callmart, command: list[str]) -> None:
    registry = planted.home / "registry.yml"
    registry.write_text("customers: []\n", encoding="utf-8")
    done = command_of(planted.home)(*(word.format(registry=registry) for word in command))
    assert "sessions of callmart's owner run theirs.note() of stranger" in mistake(done)
    with planted.superuser() as superuser:
        assert superuser.execute("select who from theirs.seen").fetchall() == []


@pytest.mark.parametrize("command", [("access", "diff"), ("status",), ("health",)], ids=" ".join)
def test_what_tells_of_a_stranger_works_beside_one(planted: Callmart, command: tuple[str, ...]) -> None:
    done = command_of(planted.home)(*command)
    assert done.returncode in (0, 1), done.stderr
    assert ("theirs.note() of stranger" in done.stdout) == (command == ("access", "diff"))
