-- What customers read besides the marts: labels, targets and hours from the registry, and how far their data goes.

-- Let views show each customer its own rows of a table that callmart itself reads whole. access.own() is null for
-- whoever is no customer. Both parts are constants in a plan, as in the policies of marts.
create or replace function access.share(relation regclass) returns void
language plpgsql
as $$
declare
    own_rows constant text :=
    '((access.own() IS NULL) OR ((access.own())[customer_id] AND (customer_id = access.current_customer())))';
    other    name;
begin
    if array[(true, true, 'own_rows', '*', true, array[0::oid], own_rows, null)::text] = array(
        select
            (
                relrowsecurity, relforcerowsecurity, polname, polcmd, polpermissive, polroles,
                pg_get_expr(polqual, polrelid), pg_get_expr(polwithcheck, polrelid)
            )::text
        from pg_catalog.pg_class as c
        join pg_catalog.pg_policy on polrelid = c.oid
        where c.oid = relation
    ) then
        return; -- nobody has to wait for a lock
    end if;
    for other in select polname from pg_catalog.pg_policy where polrelid = relation loop
        execute format('drop policy %I on %s', other, relation);
    end loop;
    execute format('alter table %s enable row level security, force row level security', relation);
    execute format('create policy own_rows on %s using (%s)', relation, own_rows);
end
$$;

select access.share(relation::regclass)
from unnest(access.shared()) as relation;

-- The row without a queue is of all queues that have no row. No row is there twice, but in a UNION ALL PostgreSQL would
-- evaluate a reader's condition that costs nothing before the policies of the tables.
select access.show(
    'queue_label',
    'queue',
    'select access.current_customer() as customer_id, queue, label, service_level_s, service_level_target,'
    ' short_abandon_s from registry.queue'
    ' union'
    ' select access.current_customer(), null, null, service_level_s, service_level_target, short_abandon_s'
    ' from registry.customer'
);

select access.show(
    'line_label',
    'line',
    'select access.current_customer() as customer_id, line, label, channels from registry.line'
);

-- As in registry.opening_hours and registry.holiday; a row without a queue is of all queues that have none.
select access.show(
    'opening_hours',
    'queue',
    'select access.current_customer() as customer_id, queue, valid_from, valid_until, weekday, call_date, opens, closes'
    ' from registry.opening_hours'
);

select access.show(
    'holiday',
    'queue',
    'select access.current_customer() as customer_id, queue, call_date from registry.holiday'
);

-- Days of which the last good version is shown, or nothing.
select access.show(
    'held_back_day',
    'queue',
    'select access.current_customer() as customer_id, call_date from ops.held_back'
);

-- One row: the last open day, null if there is none; and if the day was not over when it was computed, the moment
-- through which its data goes, by the customer's clock.
select access.show(
    'data_through',
    'queue',
    'select access.current_customer() as customer_id, latest.call_date as through,'
    ' date_trunc(''minute'', max(o.so_far at time zone c.time_zone)) as so_far'
    ' from (select max(call_date) as call_date from ops.opened_day where isfinite(call_date)) as latest'
    ' left join ops.opened_day as o on o.call_date = latest.call_date'
    ' left join registry.customer as c on c.customer_id = o.customer_id'
    ' group by latest.call_date'
);

-- By which definition each open day of a mart was computed, null if nobody knows, and the columns that it gives. The
-- planner knows how frequent each mart is among all customers' days, but not what it makes of an expression.
select access.show(
    'day_definition',
    'queue',
    'select access.current_customer() as customer_id, mart || '''' as mart, call_date,'
    ' case when fingerprint is not null then definition_id end as definition_id,'
    ' coalesce(columns, array[]::text[]) as columns'
    ' from ops.opened_day left join ops.definition using (definition_id, mart) where isfinite(call_date)'
);
