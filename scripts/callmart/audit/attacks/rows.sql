-- The longer statements of rows.py. {database}, {ours}, {calls} and so on are filled in for each attacker.

-- name: own_types
-- Types of the attacker's own. pg_temp comes first in any search_path, so a function with a string body would use
-- these, and they return what the attacker likes.
create type pg_temp.text as (said pg_catalog.text);
create function pg_temp.lie(name) returns pg_temp.text immutable
return row('{database}_customer_{other}')::pg_temp.text;
create cast (name as pg_temp.text) with function pg_temp.lie(name) as implicit;
create function pg_temp.said(pg_temp.text) returns pg_catalog.text immutable return ($1).said;
create cast (pg_temp.text as pg_catalog.text) with function pg_temp.said(pg_temp.text) as implicit;
create type pg_temp.date as (said pg_catalog.date);
create function pg_temp.lie(timestamp) returns pg_temp.date immutable return row('1900-01-01')::pg_temp.date;
create cast (timestamp as pg_temp.date) with function pg_temp.lie(timestamp) as implicit;
create function pg_temp.said(pg_temp.date) returns pg_catalog.date immutable return ($1).said;
create cast (pg_temp.date as pg_catalog.date) with function pg_temp.said(pg_temp.date) as implicit;
create domain pg_temp.integer as pg_catalog.int4;

-- name: tell
-- An operator of the attacker's own that is cheaper than any filter, and prints its argument.
create function pg_temp.tell(integer, integer) returns boolean language plpgsql cost 0.0001 as $$
begin raise notice '%', $1; return true; end $$;
create operator pg_temp.<<<< ( -- noqa: PRS
    function = pg_temp.tell, leftarg = integer, rightarg = integer
);
