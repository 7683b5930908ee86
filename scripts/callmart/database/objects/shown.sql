-- What customers read besides the marts: labels, targets and hours from the registry, and how far their data goes.

-- What the policy of a shared table says: customers see their own rows, and callmart sees all. access.own() is null for
-- whoever is no customer. Both parts are constants in a plan, as in the policies of marts.
create or replace function access.own_rows() returns text
immutable
return '((access.own() IS NULL) OR ((access.own())[customer_id] AND (customer_id = access.current_customer())))';

-- Whether a table has this policy and no other.
create or replace function access.is_shared(relation regclass) returns boolean
stable
return array[(true, true, 'own_rows', '*', true, array[0::oid], access.own_rows(), null)::text] = array(
    select
        (
            c.relrowsecurity, c.relforcerowsecurity, p.polname, p.polcmd, p.polpermissive, p.polroles,
            pg_get_expr(p.polqual, p.polrelid), pg_get_expr(p.polwithcheck, p.polrelid)
        )::text
    from pg_catalog.pg_class as c
    inner join pg_catalog.pg_policy as p on c.oid = p.polrelid
    where c.oid = is_shared.relation
);

-- Let views show each customer its own rows of a table that callmart itself reads whole.
create or replace function access.share(relation regclass) returns void
language plpgsql
as $$
declare
    other name;
begin
    if access.is_shared(relation) then
        return; -- nobody has to wait for a lock
    end if;
    for other in select polname from pg_catalog.pg_policy where polrelid = relation loop
        execute format('drop policy %I on %s', other, relation);
    end loop;
    execute format('alter table %s enable row level security, force row level security', relation);
    execute format('create policy own_rows on %s using (%s)', relation, access.own_rows());
end
$$;

select access.share(relation::regclass)
from unnest(
    array[
        'registry.customer', 'registry.queue', 'registry.line', 'registry.opening_hours', 'registry.holiday',
        'ops.opened_day', 'ops.held_back'
    ]
) as relation;

-- The row without a queue is of all queues that have no row.
select access.show(
    'queue_label',
    'queue',
    'select access.current_customer() as customer_id, queue, label, service_level_s, service_level_target'
    ' from registry.queue'
    ' union all'
    ' select access.current_customer(), null, null, service_level_s, service_level_target from registry.customer'
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

-- One row: the last open day, null if there is none.
select access.show(
    'data_through',
    'queue',
    'select access.current_customer() as customer_id, max(call_date) as through from ops.opened_day'
    ' where isfinite(call_date)'
);
