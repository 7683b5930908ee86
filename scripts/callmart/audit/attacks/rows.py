"""Attacks on the rows of marts: queries, settings and objects of one's own, what leaks, days and contracts."""

from callmart.audit.attacks.attack import NO_TABLE, NOT_INSTALLED, REFUSED, Attack
from callmart.base import sql_file

SQL = sql_file.statements(__file__)

OWN_TYPES = SQL["own_types"] + ";\n"
TELL = SQL["tell"] + ";\n"

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

ATTACKS: tuple[Attack, ...] = (
    *(
        Attack(name, tries, family, "look", "mart", sql, refusals=(REFUSED, *NOT_INSTALLED))
        for family, looks in (("queries", QUERIES), ("settings", SETTINGS), ("own objects", OWN_OBJECTS))
        for name, (tries, sql) in looks.items()
    ),
    *LEAKS,
    *TIME,
)
