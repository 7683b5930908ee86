"""The attacks that must fail, as data. The tests and `callmart audit` run the same list.

A *look* queries rows, and may get the attacker's own, or with `own=False` none. An *act* tries something that
PostgreSQL must refuse. The owner runs a control for each attack: a look that finds nothing even for the owner, or a
statement that fails for everybody, proves nothing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from callmart.base import sql_file

SQL = sql_file.statements(__file__)

Kind = Literal["look", "act"]
# The targets of an attack, and so how often an attacker makes it. `server`: once. `mart`, `dated mart`, `closed mart`:
# for each mart that its contract opens, each of these with a day, each that the contract does not open. `relation`: for
# each relation that it may not read. `table`: for each that it may not write. `columns`: for each that it may read in
# part. `role`: for each other role. `doorway`: by the duty that lands files, with rows of some customer, of one under
# standard, or of one whose agents are anonymous.
Aim = Literal[
    "server", "mart", "dated mart", "closed mart", "relation", "table", "columns", "role",
    "doorway", "standard's doorway", "anonymous doorway",
]  # fmt: skip
Via = Literal["rows", "notices", "error"]

REFUSED = "42501"
NOT_INSTALLED = ("0A000", "58P01")
# The errors with which PostgreSQL refuses to do to a view what is possible only with a table.
NO_TABLE = (REFUSED, "0A000", "42703", "42809", "55000")


@dataclass(frozen=True)
class Attack:
    """One attack. Its SQL has texts to fill in: {mart} (the relation that readers read), {table} (the table with the
    rows), {own}, {other} and so on. Statements are separated by a semicolon and a new line.
    """

    name: str
    tries: str
    family: str
    kind: Kind
    aim: Aim
    sql: str
    control: str | None = None  # what the owner runs; None means the same statement
    via: Via = "rows"  # how a look gets its answer: from the returned rows, from notices, or from an error
    own: bool = True  # whether a look may get the attacker's own rows
    refusals: tuple[str, ...] = (REFUSED,)


# -- the list --------------------------------------------------------------------------------------------------------

OWN_TYPES = SQL["own_types"] + ";\n"
TELL = SQL["tell"] + ";\n"

# The control if not even the owner may run the attack: a statement that everybody may run.
ALLOWED = "set local work_mem = '8MB'"

THOSE = "where customer_id in ({own}, {other})"
PLAIN = "select count(*) from {mart}"
# The condition for a row that another customer has and the attacker has not. {row} has the attacker's number in it.
ANOTHERS = "hashtextextended({row}::pg_catalog.text, 0) = {anothers}"
OLD = "select 1 from {mart} where {day} < '{floor}' limit 1"
NOT_OLD = "select 1 from {mart} where {day} >= '{floor}' limit 1"

# name: (what it tries, SQL). Each counts rows, because a view shows the reader's own number in every row, even in
# another customer's. The owner, who reads the table, counts the rows of all customers.
QUERIES: dict[str, tuple[str, str]] = {
    "plain": ("a plain query", PLAIN),
    "by number": ("a filter on others' numbers", f"select count(*) from {{mart}} {THOSE} or true"),
    "common table": (
        "a materialized CTE",
        "with q as materialized (select * from {mart}) select count(*) from q",
    ),
    "recursive": (
        "a recursive CTE",
        "with recursive q (n) as (select count(*) from {mart} union all select n from q where false) select n from q",
    ),
    "lateral": (
        "a lateral join over numbers",
        "select count(*) from (values (1)) as c (id) cross join lateral (select * from {mart} where c.id = 1) as q",
    ),
    "join to itself": (
        "a join of the mart with itself without a condition",
        "select count(*) from (select 1 from {mart} limit 1) as a cross join {mart} as b",
    ),
    "exists": (
        "whether another customer has rows at all",
        "select 'customer ' || c.id from (values ({other})) as c (id)"
        " where exists (select 1 from {mart} where customer_id = c.id)",
    ),
    "window": ("a window function over all rows", "select count(*) over () from {mart} limit 1"),
    "set operation": (
        "a union",
        "select count(*) / 2 from (select 1 from {mart} union all select 1 from {mart}) as q",
    ),
    "row type": ("the whole row as a value", "select count(q) from {mart} as q"),
    "as JSON": (
        "rows as JSON",
        "select json_array_length(coalesce(json_agg(q), '[]')) from (select * from {mart}) as q",
    ),
    "as XML": (
        "a query that is passed as text",
        "select count(*) from unnest(xpath('//row', query_to_xml('select 1 as one from {mart}', true, false, '')))",
    ),
    "cursor": ("a cursor", f"declare all_rows scroll cursor for {PLAIN};\nfetch all from all_rows"),
    "cursor with hold": (
        "a cursor that outlives role and transaction",
        f"declare held_rows cursor with hold for {PLAIN};\nfetch all from held_rows",
    ),
    "prepared": (
        "a prepared statement with a generic plan",
        "deallocate all;\nprepare rows_of (integer) as"
        " select count(*) from {mart} where customer_id = $1 or true;\n"
        "set local plan_cache_mode = force_generic_plan;\nexecute rows_of ({other})",
    ),
    "copy": ("COPY of a query", f"copy ({PLAIN}) to stdout"),
    "no pruning": (
        "a plan without indexes and pruning",
        "set local enable_partition_pruning = off;\nset local enable_indexscan = off;\n"
        "set local enable_bitmapscan = off;\nset local enable_indexonlyscan = off;\n" + PLAIN,
    ),
    "parallel": (
        "workers that read in parallel",
        "set local parallel_setup_cost = 0;\nset local parallel_tuple_cost = 0;\n"
        "set local min_parallel_table_scan_size = 0;\n" + PLAIN,
    ),
}

SETTINGS: dict[str, tuple[str, str]] = {
    "custom settings": (
        "settings that might identify the customer",
        "set local callmart.customer = '{other}';\nset local callmart.customer_id = '{other}';\n"
        "set local app.current_customer = '{other}';\nset local timezone = 'Pacific/Kiritimati';\n" + PLAIN,
    ),
    "reset": (
        "resetting role and session authorization",
        "reset role;\nset role none;\nreset session authorization;\nset session authorization default;\n"
        + PLAIN,
    ),
    "search path": (
        "a search_path that puts other schemas first",
        "set local search_path = public, access, mart, pg_catalog;\n" + PLAIN,
    ),
    "time of day": (
        "another time zone and date style",
        "set local timezone = 'Pacific/Kiritimati';\nset local datestyle = 'German';\n"
        "set local intervalstyle = 'sql_standard';\n" + PLAIN,
    ),
    "quoting": (
        "other rules for strings",
        "set local standard_conforming_strings = off;\nset local transform_null_equals = on;\n" + PLAIN,
    ),
}

OWN_OBJECTS: dict[str, tuple[str, str]] = {
    "temporary table": (
        "a temporary table that keeps the rows",
        "create temporary table mine as select * from {mart};\nselect count(*) from mine",
    ),
    "view": (
        "a view of the attacker's own",
        "create view pg_temp.mine as select * from {mart};\nselect count(*) from pg_temp.mine",
    ),
    "view with a barrier": (
        "a view of the attacker's own with security_barrier and security_invoker",
        "create view pg_temp.mine with (security_barrier, security_invoker) as select * from {mart};\n"
        "select count(*) from pg_temp.mine",
    ),
    "function": (
        "a function of the attacker's own that runs as its definer",
        "create function pg_temp.mine() returns setof bigint security definer\n"
        f"begin atomic {PLAIN}; end;\nselect * from pg_temp.mine()",
    ),
    "function with settings": (
        "a function of the attacker's own with another search_path",
        "create function pg_temp.mine() returns setof bigint language sql security definer"
        f" set search_path = pg_temp, access as $$ {PLAIN} $$;\nselect * from pg_temp.mine()",
    ),
    "shadows": (
        "tables and functions of the attacker's own with the names of ours",
        "create function pg_temp.current_customer() returns integer return {other};\n"
        "create table pg_temp.pg_class as select 0 as oid;\n"
        "set local search_path = pg_temp, access, mart, pg_catalog;\n" + PLAIN,
    ),
    "types of its own": (
        "types in pg_temp that replace text, date and integer",
        OWN_TYPES + PLAIN,
    ),
    "equality of its own": (
        "an operator for which all numbers are equal, first in the search_path",
        "create function pg_temp.same(integer, integer) returns boolean immutable return true;\n"
        "create operator pg_temp.= (function = pg_temp.same, leftarg = integer, rightarg = integer);\n"
        "set local search_path = pg_temp, pg_catalog;\n" + PLAIN,
    ),
}

LEAKS: tuple[Attack, ...] = (
    Attack(
        "not its own",
        "a filter that excludes the attacker's own rows",
        "leaks", "look", "mart", "select 1 from {mart} where customer_id <> {own} limit 1", own=False,
    ),
    Attack(
        "cheap operator",
        "a cheap operator of the attacker's own that is evaluated before the policy",
        "leaks", "look", "mart",
        TELL + "select 1 from {mart} as q where customer_id operator(pg_temp.<<<<) 1",
        via="notices",
    ),
    Attack(
        "cheap operator under a barrier",
        "the same on a sub-select",
        "leaks", "look", "mart",
        TELL + "select 1 from (select * from {mart}) as q where customer_id operator(pg_temp.<<<<) 1",
        via="notices",
    ),
    Attack(
        "cheap operator in a join",
        "the same as the condition of a lateral join",
        "leaks", "look", "mart",
        TELL + "select 1 from (values (1)) as c (id)"
        " join {mart} as q on c.id = 1 and q.customer_id operator(pg_temp.<<<<) 1",
        via="notices",
    ),
    Attack(
        "division",
        "an error only if another customer's row is read",
        "leaks", "look", "mart",
        f"select 1 / (case when {ANOTHERS} then 0 else 1 end) from {{mart}} as q",
        via="error",
    ),
    Attack(
        "cast",
        "an error that prints another customer's row",
        "leaks", "look", "mart",
        f"select ('row ' || {{row}}::pg_catalog.text)::integer from {{mart}} as q where {ANOTHERS}",
        via="error",
    ),
    Attack(
        "XML error",
        "an error inside a query that is passed as text",
        "leaks", "look", "mart",
        "select query_to_xml('select (''row '' || {row}::pg_catalog.text)::integer from {mart} as q"
        f" where {ANOTHERS}', true, false, '')",
        via="error",
        refusals=(REFUSED, *NOT_INSTALLED),
    ),
    Attack(
        "sample",
        "a sample of all pages",
        "leaks", "act", "mart",
        "select customer_id from {mart} tablesample system (100)",
        refusals=NO_TABLE,
    ),
    Attack(
        "physical places",
        "rows by their physical place",
        "leaks", "act", "mart",
        "select customer_id from {mart} where ctid >= '(0,0)'::tid",
        refusals=NO_TABLE,
    ),
    Attack(
        "partition's name",
        "the name of the partition that a row is in",
        "leaks", "act", "mart",
        "select tableoid from {mart}",
        refusals=NO_TABLE,
    ),
    Attack(
        "uniqueness",
        "whether a key is taken, by writing it again",
        "leaks", "act", "mart",
        "insert into {mart} (customer_id) values ({other})",
        control="select 1 from pg_index where indrelid = '{mart}'::regclass and indisprimary",
        refusals=NO_TABLE,
    ),
    Attack(
        "uniqueness without writing",
        "whether a key is taken, by writing it unless it is there",
        "leaks", "act", "mart",
        "insert into {mart} (customer_id) values ({other}) on conflict do nothing",
        control="select 1 from pg_index where indrelid = '{mart}'::regclass and indisprimary",
        refusals=NO_TABLE,
    ),
    Attack(
        "foreign key",
        "whether a key is there, by a table of the attacker's own that refers to it",
        "leaks", "act", "mart",
        "create table public.mine (customer_id integer references {mart})",
        control="select 1 from pg_index where indrelid = '{mart}'::regclass and indisprimary",
        refusals=NO_TABLE,
    ),
)  # fmt: skip

TIME: tuple[Attack, ...] = (
    Attack(
        "expired day", "days that are too old", "time", "look", "dated mart", OLD, control=NOT_OLD, own=False
    ),
    Attack(
        "expired day with a clock of its own",
        "days that are too old, in a time zone where it is another day",
        "time", "look", "dated mart",
        "set local timezone = 'Etc/GMT+12';\n" + OLD, control=NOT_OLD, own=False,
    ),
    Attack(
        "expired day with a date of its own",
        "days that are too old, with a type that replaces date",
        "time", "look", "dated mart", OWN_TYPES + OLD, control=NOT_OLD, own=False,
    ),
    Attack(
        "agents under standard",
        "a mart that the contract does not open",
        "contract", "act", "closed mart", "select 1 from {mart} limit 1",
    ),
    Attack(
        "agents under standard, counted",
        "the number of rows in a mart that the contract does not open",
        "contract", "act", "closed mart", "select count(*) from {mart}",
    ),
    Attack(
        "agents under standard, copied",
        "COPY of a mart that the contract does not open",
        "contract", "act", "closed mart",
        "create temporary table mine as select * from {mart}",
        control="select 1 from {mart} limit 1",
    ),
)  # fmt: skip

CATALOGUE: tuple[Attack, ...] = (
    Attack(
        "statistics",
        "the planner's samples of columns",
        "catalogue", "look", "server",
        "select 1 from pg_stats where schemaname = any({ours})"
        " and format('%I.%I', schemaname, tablename) <> all (array[{sampled}]::pg_catalog.text[]) limit 1",
        control="create statistics ops.audited on action, customer_id from ops.audit_log;\n"
        "analyze ops.audit_log;\nselect 1 from pg_stats_ext where schemaname = 'ops' limit 1",
        own=False,
    ),
    Attack(
        "extended statistics",
        "the planner's samples of several columns",
        "catalogue", "look", "server",
        "select 1 from pg_stats_ext where schemaname = any({ours})"
        " and format('%I.%I', schemaname, tablename) <> all (array[{sampled}]::pg_catalog.text[]) limit 1",
        control="create statistics ops.audited on action, customer_id from ops.audit_log;\n"
        "analyze ops.audit_log;\nselect 1 from pg_stats_ext where schemaname = 'ops' limit 1",
        own=False,
    ),
    Attack(
        "others' queries",
        "the queries that others are running",
        "catalogue", "look", "server",
        "select 1 from pg_stat_activity where usename <> session_user and query <> '<insufficient privilege>'"
        " and query <> '' limit 1",
        control="select 1 from pg_stat_activity where query <> '<insufficient privilege>' and query <> '' limit 1",
        own=False,
    ),
    Attack(
        "functions",
        "a function of ours that the attacker may call, except those that its duty or the policies need",
        "catalogue", "look", "server",
        SQL["functions"],
        own=False,
    ),
    Attack(
        "privileges to write",
        "any right to change a relation or a column of ours",
        "catalogue", "look", "server",
        SQL["privileges_to_write"],
        own=False,
    ),
    Attack(
        "privileges to make",
        "any right to create something in a schema or the database",
        "catalogue", "look", "server",
        SQL["privileges_to_make"],
        own=False,
    ),
    Attack(
        "handing on",
        "granting everybody what the attacker may read",
        "catalogue", "look", "mart",
        "grant select on {mart} to public;\n"
        "select 1 from pg_class, aclexplode(relacl) where oid = '{mart}'::regclass and grantee = 0",
        control=ALLOWED + ";\nselect 1 from pg_class, aclexplode(relacl) where oid = '{mart}'::regclass",
        own=False,
    ),
    Attack(
        "powers",
        "a power over the server: databases, roles, replication, a parameter that everybody shares",
        "roles", "look", "server",
        SQL["powers"],
        control="select 1 from pg_roles where rolname = current_user and rolcreaterole",
        own=False,
    ),
    Attack(
        "memberships",
        "a role whose rights the attacker has, or that it can set, and should not",
        "roles", "look", "server",
        "select rolname from pg_roles where rolname not in (session_user, {becomes})"
        " and (pg_has_role(oid, 'set') or (pg_has_role(oid, 'usage') and rolname not in ({groups})))",
        control="select rolname from pg_roles where pg_has_role(oid, 'member')",
        own=False,
    ),
    Attack(
        "announcements",
        "LISTEN: a function of ours that uses NOTIFY",
        "channels", "look", "server",
        "select 1 from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace"
        " where nspname = any({ours}) and prokind <> 'a'"
        r" and pg_get_functiondef(p.oid) ~* '\m(pg_)?notify\M' limit 1",
        control="select 1 from pg_proc where pronamespace::regnamespace::pg_catalog.text = any({ours}) limit 1",
        own=False,
    ),
    Attack(
        "advisory locks",
        "blocking us: an advisory lock, which everybody may take, that a function of ours waits for",
        "channels", "look", "server",
        "select 1 from pg_proc as p join pg_namespace as n on n.oid = p.pronamespace"
        " where nspname = any({ours}) and prokind <> 'a' and pg_get_functiondef(p.oid) ~* 'advisory' limit 1",
        control="select 1 from pg_proc where pronamespace::regnamespace::pg_catalog.text = any({ours}) limit 1",
        own=False,
    ),
)  # fmt: skip


def _exists(kind: str, name: str) -> str:
    """A control for an attack that the owner may not make either: it shows that the target exists."""
    return {
        "relation": f"select '{name}'::regclass",
        "function": f"select 1 / count(*) from pg_proc where proname = '{name}'",
        "role": f"select '\"{name}\"'::regrole",
    }[kind]


MART_IS_THERE = "select '{mart}'::regclass"


def _acts() -> Iterator[Attack]:
    """The attacks that PostgreSQL must refuse."""
    for name, tries, sql in (
        ("insert", "adding rows to a mart", "insert into {mart} (customer_id) values ({own})"),
        ("update", "changing rows of a mart", "update {mart} set customer_id = customer_id"),
        ("delete", "deleting rows of a mart", "delete from {mart}"),
        ("truncate", "emptying a mart", "truncate {table}"),
        ("merge", "MERGE into a mart", "merge into {mart} as q using (values ({own})) as c (id)"
            " on q.customer_id = c.id when matched then delete"),
        ("copy in", "COPY into a mart", "copy {table} from stdin"),
        ("lock rows", "locking rows", "select 1 from {mart} for key share"),
        ("lock softly", "a lock that blocks the opening of days", "lock table {table} in share mode"),
        ("lock", "a lock that blocks everybody", "lock table {table} in access exclusive mode"),
        ("switch off", "switching row security off", "alter table {table} disable row level security"),
        ("no force", "freeing the owner from the policies", "alter table {table} no force row level security"),
        ("drop policy", "dropping a policy", "drop policy own_rows on {table}"),
        ("open policy", "opening a policy", "alter policy own_rows on {table} using (true)"),
        ("add policy", "adding a policy", "create policy mine on {table} using (true)"),
        ("trigger", "a trigger on a mart", "create trigger mine before insert on {table} execute function"
            " suppress_redundant_updates_trigger()"),
        ("rule", "a rule on a mart", "create rule mine as on insert to {mart} do instead nothing"),
        ("index", "an index on a mart", "create index on {table} (customer_id)"),
        ("statistics object", "statistics on a mart", "create statistics pg_temp.mine on customer_id, ({own} + 1)"
            " from {table}"),
        ("inherit", "another table as a mart's parent", "alter table {table} inherit pg_class"),
        ("rename", "renaming a mart", "alter table {mart} rename to mine"),
        ("owner", "becoming a mart's owner", "alter table {mart} owner to current_user"),
        ("comment", "a comment on a mart", "comment on table {mart} is 'mine'"),
        ("vacuum full", "rewriting a mart", "cluster {table} using mine"),
        ("without policies", "rows with row security off", "set local row_security = off;\n"
            "select 1 from {mart} limit 1"),
    ):  # fmt: skip
        yield Attack(name, tries, "writing", "act", "mart", sql, MART_IS_THERE, refusals=NO_TABLE)

    for name, tries, sql in (
        ("table in mart", "a table among the marts", "create table mart.mine ()"),
        ("table in public", "a table in public", "create table public.mine ()"),
        ("view in access", "a view beside the policies' functions", "create view access.mine as select 1"),
        ("schema", "a schema", "create schema mine"),
        ("the customer's function", "the function that says which customer a session is",
            "create or replace function access.current_customer() returns integer return {other}"),
        ("the floor's function", "the function that says which days are too old",
            "create or replace function access.retention_floor() returns date return '-infinity'::date"),
        ("drop function", "dropping that function", "drop function access.current_customer()"),
        ("sequence", "one of our sequences", "select nextval('ops.mark')"),
        ("our function", "the function that makes months", "select access.ensure_month('{any_mart}', '2001-01-01')"),
        ("domain", "a domain in public", "create domain public.integer as int4"),
        ("collation", "a collation among ours", "create collation access.mine from \"C\""),
        ("default privileges", "the default privileges of what the owner creates",
            'alter default privileges for role "{owner}" grant select on tables to public'),
    ):  # fmt: skip
        yield Attack(name, tries, "making", "act", "server", sql, "select '{any_mart}'::regclass")

    for name, tries, sql in (
        ("new role", "a role", "create role mine"),
        ("bypass", "being free of all policies", 'alter role "{role}" bypassrls'),
        ("superuser", "being a superuser", 'alter role "{role}" superuser'),
        ("another's password", "another login's password", "alter role \"{other_role}\" password 'mine'"),
        ("the owner's password", "the owner's password", "alter role \"{owner}\" password 'mine'"),
        ("rename oneself", "another number at the end of the role's name",
            'alter role "{role}" rename to "{database}_customer_9{other}"'),
        ("another's settings", "another login's settings", "alter role \"{other_role}\" set work_mem = '64kB'"),
        ("the database's settings", "everybody's settings",
            "alter database \"{database}\" set search_path = public"),
        ("a group", "membership of a mart group", 'grant "{database}_reads_agent" to "{role}"'),
        ("another's rows by membership", "membership of another customer", 'grant "{other_role}" to "{role}"'),
        ("all data", "membership of PostgreSQL's role that reads everything", 'grant pg_read_all_data to "{role}"'),
        ("drop another", "dropping another's login", 'drop role "{other_role}"'),
    ):  # fmt: skip
        # Nobody can rename a session's own role. PostgreSQL checks this before rights.
        states = (REFUSED, "0A000") if name == "rename oneself" else (REFUSED,)
        yield Attack(
            name, tries, "roles", "act", "server", sql, _exists("role", "{other_role}"), refusals=states
        )

    for relation in ("pg_authid", "pg_statistic", "pg_statistic_ext_data", "pg_largeobject", "pg_user_mapping",
                     "pg_hba_file_rules", "pg_file_settings", "pg_subscription", "pg_backend_memory_contexts",
                     "pg_shmem_allocations"):  # fmt: skip
        yield Attack(
            relation, f"the catalogue {relation}", "catalogue", "act", "server", f"select * from {relation}",
            _exists("relation", relation),
        )  # fmt: skip
    yield Attack(
        "others' sessions", "cancelling others' queries", "channels", "act", "server",
        "select pg_cancel_backend(pid) from pg_stat_activity where usename = '{owner}'",
        "select 1 / count(*) from pg_stat_activity where usename = '{owner}'",
    )  # fmt: skip
    for function, arguments, tries in (
        ("pg_read_file", "'PG_VERSION'", "the server's files"),
        ("pg_read_binary_file", "'PG_VERSION'", "the server's files as bytes"),
        ("pg_stat_file", "'PG_VERSION'", "the size and times of a file of the server"),
        ("pg_ls_dir", "'.'", "the server's folders"),
        ("pg_ls_logdir", "", "the server's logs"),
        ("pg_ls_waldir", "", "the write-ahead log"),
        ("pg_ls_tmpdir", "", "the temporary files"),
        ("lo_import", "'/etc/hostname'", "a file as a large object"),
        ("lo_export", "1, '/tmp/mine'", "a large object as a file"),
        ("pg_reload_conf", "", "the server's configuration"),
        ("pg_rotate_logfile", "", "the server's log file"),
        ("pg_stat_reset", "", "everybody's statistics"),
        ("pg_switch_wal", "", "the write-ahead log's next file"),
        (
            "pg_create_logical_replication_slot",
            "'mine', 'test_decoding'",
            "all changes, through a replication slot",
        ),
        ("pg_create_restore_point", "'mine'", "a restore point"),
        ("pg_log_backend_memory_contexts", "pg_backend_pid()", "the memory of a session, in the log"),
    ):
        yield Attack(
            function, f"{tries} ({function})", "server", "act", "server", f"select {function}({arguments})",
            _exists("function", function),
        )  # fmt: skip
    for function, arguments, tries in (
        *(
            (f"pg_{how}advisory_{until}lock{shared}", "1", "locks without a limit")
            for how in ("", "try_")
            for until in ("", "xact_")
            for shared in ("", "_shared")
        ),
        ("lo_creat", "-1", "a place to store things"),
        ("lo_create", "0", "a place to store things"),
        ("lo_from_bytea", "0, ''", "a place to store things"),
        ("lo_open", "1, 262144", "a large object"),
        ("lo_get", "1", "a large object"),
        ("lo_put", "1, 0, ''", "a large object"),
        ("lo_unlink", "1", "a large object"),
        ("lo_truncate", "0, 1", "a large object"),
        ("loread", "0, 1", "a large object"),
        ("lowrite", "0, ''", "a large object"),
        ("pg_logical_emit_message", "false, 'mine', ''", "a message in the write-ahead log, of any size"),
        ("pg_stat_get_tuples_returned", "0", "how many rows others' queries read of a table or an index"),
        ("pg_stat_get_numscans", "0", "how often others read a table or an index"),
    ):
        yield Attack(
            function, f"{tries} ({function})", "shutting out", "act", "server",
            f"select {function}({arguments})", _exists("function", function),
        )  # fmt: skip
    for setting, value in (
        ("session_replication_role", "replica"),
        ("log_min_messages", "debug5"),
        ("log_statement", "'all'"),
        ("log_min_error_statement", "'error'"),
        ("log_statement_stats", "on"),
        ("session_preload_libraries", "'mine'"),
        ("lc_messages", "'C'"),
        ("allow_system_table_mods", "on"),
        ("zero_damaged_pages", "on"),
        ("dynamic_library_path", "'/tmp'"),
        ("temp_file_limit", "-1"),
    ):
        yield Attack(
            f"set {setting}", f"the setting {setting}", "server", "act", "server",
            f"set local {setting} = {value}", ALLOWED,
        )  # fmt: skip
    for name, tries, sql in (
        ("copy to a file", "writing a file on the server", "copy (select 1) to '/tmp/mine'"),
        ("copy from a file", "reading a file on the server", "copy pg_catalog.pg_am (mine) from '/etc/hostname'"),
        ("copy to a program", "a program on the server", "copy (select 1) to program 'true'"),
        ("foreign data wrapper", "a way to other servers", "create foreign data wrapper mine"),
        ("publication", "all changes, through a publication", "create publication mine for all tables"),
        ("subscription", "changes of another server", "create subscription mine connection 'dbname=mine'"
            " publication mine with (connect = false)"),
        ("event trigger", "a trigger on everybody's DDL",
            "create event trigger mine on ddl_command_start execute function mine()"),
        ("language", "a language", "create language mine handler plpgsql_call_handler"),
        ("C function", "the attacker's own code in the server",
            "create function pg_temp.mine() returns void language c as 'mine'"),
        ("internal function", "an internal function of the server under another name",
            "create function pg_temp.mine(integer) returns void language internal as 'mine'"),
        ("drop database schema", "dropping the marts", "drop schema mart cascade"),
        ("drop owned", "dropping what the owner owns", 'drop owned by "{owner}"'),
        ("reassign", "taking what the owner owns", 'reassign owned by "{owner}" to current_user'),
        ("checkpoint", "a checkpoint", "checkpoint"),
        ("load", "a library", "load 'mine'"),
    ):  # fmt: skip
        yield Attack(name, tries, "server", "act", "server", sql, ALLOWED)
    for extension in (
        "dblink",
        "file_fdw",
        "postgres_fdw",
        "plpython3u",
        "adminpack",
        "pageinspect",
        "pgrowlocks",
    ):
        yield Attack(
            extension, f"the extension {extension}", "extensions", "act", "server",
            f"create extension {extension}", "select 1 / count(*) from pg_extension",
            refusals=(REFUSED, *NOT_INSTALLED),
        )  # fmt: skip


# Rows that the loader can write to raw.incoming: one that lands, and variants of it that `prepare` would never make.
SOUND = {
    "customer_id": "{customer}", "occurred_at": "now() - interval '1 hour'", "event_key": "1", "identified": "true",
    "platform": "'vcloud'", "event": "'queue_joined'", "call_key": "1", "queue": "'q'",
}  # fmt: skip
KEY = "repeat('0123456789abcdef', 2)"
NAMED = {
    "customer_id": "{customer}",
    "agent_key": KEY,
    "agent": "'a'",
    "last_at": "now() - interval '1 hour'",
}


def _insert(table: str, row: dict[str, str]) -> str:
    return f"insert into raw.{table} ({', '.join(row)}) values ({', '.join(row.values())});\n"


def _keep(turned_away: int = 0, by: str = "{{}}", name: str = KEY, rejected: int = 0) -> str:
    """Land the rows in raw.incoming; a division by zero if none landed."""
    file = (
        f"'file_number', 1, 'name_key', {name}, 'path_key', {KEY}, 'content_key', {KEY}, 'asked', '[]', 'row_count', 9,"
        f" 'rejected', {rejected}, 'turned_away', {turned_away}, 'turned_away_by', '{by}'::jsonb,"
        " 'incomplete_last_line', false, 'erased', 0"
    )
    return f"select 1 / landed from raw.keep(0, jsonb_build_array(jsonb_build_object({file})))"


LANDS = _insert("incoming", SOUND) + _keep()
NUMBER, NAME = "'+31612345678'", "'Noor Zandvliet'"
TRANSFERRED = {"event": "'transferred'", "reason": "'blind'", "target_kind": "'number'"}
STATUS = {"event": "'agent_status'", "call_key": "null", "queue": "null", "agent_key": KEY}
ENDED = {"event": "'call_ended'", "reason": "'caller'"}
ON_A_LINE = {"platform": "'sip_trunk'", "event": "'call_ended'", "queue": "null"}

HANDED_OVER: dict[str, tuple[str, dict[str, str]]] = {
    "number": ("a telephone number instead of its key", {"number_key": NUMBER}),
    "name": ("an agent's name instead of its key", {"event": "'agent_connected'", "agent_key": NAME}),
    "device": ("a device's name instead of its key", {"device_key": "'SIP/101-noor'"}),
    "target": ("a number instead of a target's key", TRANSFERRED | {"target_key": NUMBER}),
    "form of a key": ("a key in another form", {"number_key": f"upper({KEY})"}),
    "prefix of a key": ("a key with a prefix", {"number_key": f"'~' || {KEY}"}),
    "reserved key": ("a key as only erased agents have", STATUS | {"agent_key": f"'~' || {KEY}"}),
    "mark of the erased": ("an agent's name as the mark of an erased row", {"erased": NAME}),
    "withheld number": (
        "the key of a number that was withheld",
        {"number_key": KEY, "number_withheld": "true"},
    ),
    "number elsewhere": ("a number's key with an event that has no number", ENDED | {"number_key": KEY}),
    "target in clear": ("a number that was dialled, as text", TRANSFERRED | {"target": NUMBER}),
    "queue in clear": ("a number as the name of a queue", {"queue": NUMBER}),
    "line in clear": ("a number as the name of a line", ON_A_LINE | {"line": "'06 12-34 56 78'"}),
    "target queue in clear": (
        "a number as the queue that a call was transferred to",
        TRANSFERRED | {"target_kind": "'queue'", "target": "'sales 020-1234567'"},
    ),
    "target of nothing": ("a target's key with an event that has no target", {"target_key": KEY}),
    "device in clear": ("a person's device, as text", {"line": "'SIP/101-noor'"}),
    "agent on a line": ("an agent on a line, which has no agents", ON_A_LINE | {"agent_key": KEY}),
    "platform": ("an unknown platform", {"platform": "'fax'"}),
    "event": ("an unknown event", {"event": "'hello'"}),
    "reason": ("a reason of another event", ENDED | {"reason": "'full'"}),
    "reason of none": ("a reason with an event that has no reasons", {"reason": NAME}),
    "status": ("an unknown status", STATUS | {"reason": NAME}),
    "direction": ("an unknown direction", {"event": "'call_started'", "direction": "'up'"}),
    "kind of target": ("an unknown kind of target", TRANSFERRED | {"target_kind": "'person'"}),
    "recording": ("a recording of a call that has not ended", {"recorded": "true"}),
    "negative duration": ("a negative duration", ENDED | {"duration_s": "-1"}),
    "no duration": ("a duration that is not a number", ENDED | {"duration_s": "'NaN'"}),
    "endless duration": ("an infinite duration", ENDED | {"duration_s": "'infinity'"}),
    "duration of nothing": ("a duration with an event that ends nothing", {"duration_s": "1"}),
    "negative wait": ("a negative wait", ENDED | {"wait_s": "-1"}),
    "long text": ("a text that is too long", {"queue": "repeat('q', 256)"}),
    "future": ("a day in the future", {"occurred_at": "now() + interval '25 hours'"}),
    "end of time": ("an infinite moment", {"occurred_at": "'infinity'"}),
    "beginning of time": ("a moment of minus infinity", {"occurred_at": "'-infinity'"}),
    "expired": ("a day that is too old", {"occurred_at": "'{floor}'::timestamp - interval '2 days'"}),
    "stranger": ("a customer that is not in the registry", {"customer_id": "0"}),
}


def _landings() -> Iterator[Attack]:
    """The attacks on landing: the loader writes a row with one mistake, and raw.keep must refuse it."""
    # 23514: refuse_unprepared refuses it. 22012: no contract keeps the row, so nothing landed.
    states = ("23514", "22012")
    for name, (tries, change) in HANDED_OVER.items():
        sql = _insert("incoming", SOUND | change) + _keep()
        yield Attack(name, tries, "landing", "act", "doorway", sql, LANDS, refusals=states)
    aims: tuple[tuple[str, Aim, str, dict[str, str]], ...] = (
        ("id under standard", "standard's doorway", "the id of an agent under a standard contract", {}),
        ("id of an anonymous agent", "anonymous doorway", "the id of an anonymous agent", {}),
        (
            "id of a stranger's agent",
            "doorway",
            "the id of an unknown customer's agent",
            {"customer_id": "0"},
        ),
        (
            "id behind a name",
            "doorway",
            "the id of an agent with a name instead of a key",
            {"agent_key": NAME},
        ),
        (
            "id for ever",
            "doorway",
            "the id of an agent with a last day that never expires",
            {"last_at": "'infinity'"},
        ),
        ("long id", "doorway", "an id that is too long", {"agent": "repeat('a', 256)"}),
    )
    for name, aim, tries, change in aims:
        sql = _insert("incoming", SOUND) + _insert("incoming_agent", NAMED | change) + _keep()
        yield Attack(name, tries, "landing", "act", aim, sql, LANDS, refusals=("23514",))
    for name, tries, keep in (
        (
            "turned away of a stranger",
            "a count for a customer that is not in the registry",
            _keep(1, '{{"0": 1}}'),
        ),
        ("turned away of a name", "a count for a name", _keep(1, '{{"Noor Zandvliet": 1}}')),
        ("counts", "more rows than were counted", _keep(1, '{{"null": 2}}')),
        ("file in clear", "the name of a file instead of its key", _keep(name=NUMBER)),
        (
            "number in a reason",
            "a number as the reason of a rejected row",
            _insert("incoming_reject", {"line_number": "1", "reason": NUMBER}) + _keep(rejected=1),
        ),
        ("negative counts", "a negative count", _keep(-1, '{{"null": -1}}')),
    ):
        sql = _insert("incoming", SOUND) + keep
        yield Attack(name, tries, "landing", "act", "doorway", sql, LANDS, refusals=("23514",))


ACCESS: tuple[Attack, ...] = (
    Attack("read", "a relation that it may not read", "reading", "act", "relation",
        "select 1 from {relation} limit 1", "select '{relation}'::regclass"),
    Attack("read in part", "columns that it may not read", "reading", "act", "columns",
        "select * from {relation} limit 1"),
    Attack("write", "adding to a table or a view", "writing", "act", "table",
        "insert into {relation} default values", "select '{relation}'::regclass", refusals=NO_TABLE),
    Attack("change", "changing a table or a view", "writing", "act", "table",
        'update {relation} set "{column}" = "{column}"', "select '{relation}'::regclass", refusals=NO_TABLE),
    Attack("remove", "deleting from a table or a view", "writing", "act", "table", "delete from {relation}",
        "select '{relation}'::regclass", refusals=NO_TABLE),
    Attack("empty", "emptying a table or a view", "writing", "act", "table", "truncate {relation}",
        "select '{relation}'::regclass", refusals=NO_TABLE),
    Attack("become", "another's role", "roles", "act", "role", 'set local role "{target}"',
        "select '\"{target}\"'::regrole"),
    Attack("log in as", "another's authorization", "roles", "act", "role",
        'set local session authorization "{target}"', "select '\"{target}\"'::regrole"),
)  # fmt: skip

ATTACKS: tuple[Attack, ...] = (
    *(
        Attack(name, tries, family, "look", "mart", sql, refusals=(REFUSED, *NOT_INSTALLED))
        for family, looks in (("queries", QUERIES), ("settings", SETTINGS), ("own objects", OWN_OBJECTS))
        for name, (tries, sql) in looks.items()
    ),
    *LEAKS,
    *TIME,
    *CATALOGUE,
    *_acts(),
    *_landings(),
    *ACCESS,
)  # fmt: skip
