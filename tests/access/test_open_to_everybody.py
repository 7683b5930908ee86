"""What somebody opened to everybody, so to each customer's login, elsewhere in callmart's database, and who uses the
server's programs.
"""

import psycopg
import pytest

from callmart.access import surroundings
from callmart_home import Callmart
from drifting import found_after, owner_after

pytestmark = pytest.mark.usefixtures("unchecked")

STRANGER = "create role stranger login;"
PASSWORDS = "create view public.passwords as select rolname, rolpassword from pg_authid;"
READS = "everybody reads what PostgreSQL keeps closed by"
CLOSE = "have a superuser run revoke all on"
# What PostgreSQL or an extension keeps closed. Passwords and samples of all tables are there.
CLOSED = {
    "a view": (
        f"{PASSWORDS} grant select on public.passwords to public",
        f"{READS} view public.passwords: {CLOSE} public.passwords from public",
    ),
    "a column of a view": (
        "create view public.passwords as select * from pg_shadow; grant select (passwd) on public.passwords to public",
        f"{READS} view public.passwords: {CLOSE} public.passwords from public",
    ),
    "a view of a view": (
        f"{PASSWORDS} create view public.all_of_them as table public.passwords;"
        " grant select on public.all_of_them to public",
        f"{READS} view public.all_of_them: {CLOSE} public.all_of_them from public",
    ),
    "rows that a view kept": (
        "create materialized view public.samples as select starelid, stanullfrac from pg_statistic;"
        " grant select on public.samples to public",
        f"{READS} materialized view public.samples: {CLOSE} public.samples from public",
    ),
    "rows that were kept of a view that asks the reader": (
        "create view public.asking with (security_invoker) as select rolpassword from pg_authid;"
        " create materialized view public.kept as table public.asking; grant select on public.kept to public",
        f"{READS} materialized view public.kept: {CLOSE} public.kept from public",
    ),
    "a function with its owner's rights": (
        "create function public.passwords() returns setof text security definer"
        " begin atomic select rolpassword from pg_authid; end",
        f"{READS} function public.passwords(): have a superuser run"
        " revoke execute on routine public.passwords() from public",
    ),
    "a function that asks for its owner": (
        "create view public.asking with (security_invoker) as select rolpassword from pg_authid;"
        " create function public.passwords() returns setof text security definer"
        " begin atomic select rolpassword from public.asking; end",
        f"{READS} function public.passwords(): have a superuser run"
        " revoke execute on routine public.passwords() from public",
    ),
    "the closed column of a catalogue": (
        "create view public.publishers as select subconninfo from pg_subscription;"
        " grant select on public.publishers to public",
        f"{READS} view public.publishers: {CLOSE} public.publishers from public",
    ),
    "a table of an extension": (
        "create extension dblink schema public; create table public.asked (sql text);"
        " alter extension dblink add table public.asked; grant select on public.asked to public",
        "everybody may use table public.asked, which PostgreSQL or an extension keeps closed:"
        " have a superuser revoke that",
    ),
    "a function of an extension": (
        "create extension pg_walinspect schema public;"
        " grant execute on function public.pg_get_wal_record_info to public",
        "everybody may use function public.pg_get_wal_record_info(pg_lsn), which PostgreSQL or an extension keeps"
        " closed: have a superuser revoke that",
    ),
    "a view of an extension": (
        "create extension pg_buffercache schema public; grant select on public.pg_buffercache to public",
        "everybody may use view public.pg_buffercache, which PostgreSQL or an extension keeps closed:"
        " have a superuser revoke that",
    ),
    "a foreign key, by which whoever writes tries what there is": (
        "create table public.trying (customer_id integer, queue text);"
        " alter table public.trying add constraint tries foreign key (customer_id, queue) references registry.queue;"
        " grant insert on public.trying to public",
        "constraint tries on public.trying tells which rows registry.queue has:"
        " have a superuser run alter table public.trying drop constraint tries",
    ),
}
# What looks alike, and shows nobody anything.
HARMLESS = {
    "a view that only superusers read": PASSWORDS,
    "a view that asks the reader": (
        "create view public.asking with (security_invoker) as select rolpassword from pg_authid;"
        " grant select on public.asking to public"
    ),
    "a view of one that asks the reader": (
        "create view public.asking with (security_invoker) as select rolpassword from pg_authid;"
        " create view public.all_of_them as table public.asking; grant select on public.all_of_them to public"
    ),
    "a view of somebody who may not read that either": (
        f"{STRANGER} {PASSWORDS} alter view public.passwords owner to stranger;"
        " grant select on public.passwords to public"
    ),
    "a view in a schema that nobody may use": (
        "create schema closed; create view closed.passwords as select rolpassword from pg_authid;"
        " grant select on closed.passwords to public"
    ),
    "a view of what is open": (
        "create view public.sizes as select relname, relpages from pg_class; grant select on public.sizes to public"
    ),
    "an extension as it comes": "create extension pg_buffercache schema public; create extension dblink schema public",
}
ANOTHER_SERVER = "create foreign data wrapper other; create server other foreign data wrapper other;"
# No drift, but the audit names it: nobody knows what is in there.
UNKNOWN = {
    "a copy": (
        "create table public.copy as select * from registry.queue; grant select on public.copy to public",
        "everybody may read table public.copy, which is not callmart's: revoke all on public.copy from public",
    ),
    "a column of a copy": (
        "create table public.copy as select * from registry.queue; grant select (queue) on public.copy to public",
        "everybody may read table public.copy, which is not callmart's: revoke all on public.copy from public",
    ),
    "a table on another server": (
        f"{ANOTHER_SERVER} create foreign table public.far (x integer) server other;"
        " grant select on public.far to public",
        "everybody may read foreign table public.far, which is not callmart's: revoke all on public.far from public",
    ),
    "another server": (
        f"{ANOTHER_SERVER} grant usage on foreign server other to public",
        "everybody may use the server other: revoke usage on foreign server other from public",
    ),
    "who runs programs on the server": (
        f"{STRANGER} create role running; grant running to stranger; grant pg_execute_server_program to running",
        "role stranger may do everything on the server: drop it, or take its powers away",
    ),
    "a function that a stranger put into an extension": (
        f"{STRANGER} grant create on database callmart to stranger; grant create on schema public to stranger;"
        " set local role stranger; create extension citext schema public; create function public.peek()"
        " returns bigint security definer language plpgsql as 'begin return 0; end';"
        " alter extension citext add function public.peek(); reset role",
        "everybody may call public.peek(), which has the rights of stranger:"
        " revoke execute on routine public.peek() from public",
    ),
}
# Of a shared server these may be others'.
OF_OTHERS = ("a copy", "a column of a copy", "who runs programs on the server")


@pytest.mark.parametrize("what", CLOSED)
def test_what_is_kept_closed_and_open_to_everybody_stops_openings(played: Callmart, what: str) -> None:
    statements, told = CLOSED[what]
    (found,) = found_after(played, statements)
    assert found.text == told


@pytest.mark.parametrize("what", HARMLESS)
def test_what_shows_nobody_anything_stops_nothing(played: Callmart, what: str) -> None:
    assert list(found_after(played, HARMLESS[what])) == []


@pytest.mark.parametrize("what", UNKNOWN)
def test_what_everybody_may_read_and_nobody_knows_is_named_by_the_audit(played: Callmart, what: str) -> None:
    statements, told = UNKNOWN[what]
    with owner_after(played, statements) as owner:
        assert told in surroundings.beside(owner, is_own=True)
        assert (told in surroundings.beside(owner, is_own=False)) == (what not in OF_OTHERS)


def test_a_function_elsewhere_that_reads_a_table_of_ours_is_no_part_of_it(played: Callmart) -> None:
    reading = (
        "create function public.called() returns integer return 1; create function public.reading() returns bigint"
        " begin atomic select count(*) + public.called() from registry.queue; end"
    )
    with owner_after(played, reading) as owner:
        assert surroundings.beside(owner, is_own=True) == []


@pytest.mark.parametrize("told_by", ["pg_conf_load_time", "pg_control_system", "pg_control_checkpoint"])
def test_nothing_says_for_hours_when_somebody_was_erased(played: Callmart, told_by: str) -> None:
    """Erasing configures the server, and lets it begin a new log."""
    with (
        played.connect(1001) as customer,
        pytest.raises(psycopg.errors.InsufficientPrivilege, match=f"function {told_by}"),
    ):
        customer.execute(f"select {told_by}()".encode())
