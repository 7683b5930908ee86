"""Attacks on the server: its catalogue, rights, tables, roles, files, settings and extensions."""

from collections.abc import Iterator

from callmart.audit.attacks.attack import ALLOWED, NO_TABLE, NOT_INSTALLED, REFUSED, Attack
from callmart.base import sql_file

SQL = sql_file.statements(__file__)

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
        ("pg_current_wal_insert_lsn", "", "how many bytes others write"),
        ("pg_relation_size", "'pg_class'", "how many bytes others write into a table"),
        ("pg_database_size", "current_database()", "how many bytes others write"),
        ("pg_control_checkpoint", "", "how many bytes others have written"),
        ("pg_control_system", "", "when the last checkpoint was, as after somebody was erased"),
        ("pg_conf_load_time", "", "when the server was configured, as while somebody is erased"),
        ("pg_get_replication_slots", "", "how many bytes others have written"),
        ("pg_lock_status", "", "which pages and rows others have read under SERIALIZABLE"),
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

ATTACKS: tuple[Attack, ...] = (*CATALOGUE, *_acts(), *ACCESS)
