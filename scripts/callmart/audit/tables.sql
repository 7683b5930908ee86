-- name: strays
-- Relations in the schemas of the marts that are neither a mart nor the view of one.
select c.oid::regclass::text
from pg_class as c
where
    relnamespace in ('store'::regnamespace, 'mart'::regnamespace, 'usage'::regnamespace)
    and relkind in ('r', 'p', 'v', 'm', 'f')
    and not exists (
        select 1 from access.mart_relation as m
        where m.relation = c.oid and m.mart = any(%(marts)s::regclass[])
    )
    and not format('%%I.%%I', relnamespace::regnamespace, relname) = any(%(shown)s);

-- name: usage
-- The published numbers whose parts per customer are all still there, with the parts, largest first; and those that ten
-- customers can't have made up.
select
    format('%s in %s', m.function, to_char(m.month, 'YYYY-MM')),
    array_agg(u.uses order by u.uses desc) filter (where u.uses > 0)
from usage.function_month as m
left join raw.function_use as u using (month, function)
where m.uses is not null
group by m.month, m.function, m.uses
having sum(u.uses) = m.uses or m.uses < 10;

-- name: usage_columns
-- What stands in the usage mart beside its statistic: by it a number could be somebody's.
select attname::text
from pg_attribute
where
    attrelid = 'usage.function_month'::regclass and attnum > 0 and not attisdropped
    and attname <> all(array['month', 'function', 'uses'])
order by attnum;

-- name: tables
-- The tables of the schemas with their columns. Partitions are not listed, only their parents. One that is somebody
-- else's can't be looked into: the check of rights names it.
select
    format('%%I.%%I', nspname, relname) as relation,
    array_agg(attname::text)
from pg_class as c
inner join pg_namespace as n on n.oid = relnamespace
inner join pg_attribute on attrelid = c.oid and attnum > 0 and not attisdropped
where
    nspname = any(%(schemas)s) and relkind in ('r', 'p', 'm') and not relispartition
    and has_table_privilege(c.oid, 'select')
group by relation
order by relation;

-- name: kept
select distinct customer_id from registry.kept_contract;

-- name: ordered
select distinct k.customer_id
from registry.contract as k
inner join registry.customer as c using (customer_id)
where k.valid_until is null or (now() at time zone c.time_zone)::date < k.valid_until;

-- name: days
-- Per customer and day of a mart: whether the mart has as many rows as were opened.
with

present as (
    select
        customer_id,
        {day} as call_date,
        count(*) as row_count
    from {mart}
    group by customer_id, {day}
),

opened as (
    select
        customer_id,
        call_date,
        row_count
    from ops.opened_day
    where mart = {name}
)

select
    customer_id,
    call_date::text,
    coalesce(opened.row_count, 0) = coalesce(present.row_count, 0)
from present
full join opened using (customer_id, call_date);

-- name: shown_though_held_back
-- The number of open days, and the days that are open although the build that computed them held them back.
select
    count(*),
    array_remove(array_agg(
        case
            when h.build_id <= o.build_id and h.released_at is null
                then format('%s, customer %s, %s', o.mart, o.customer_id, o.call_date)
        end
    ), null)
from ops.opened_day as o left join ops.held_back as h using (customer_id, call_date)
where isfinite(o.call_date);

-- name: change_entry
update ops.audit_log
set actor = actor
where entry = (select max(last.entry) from ops.audit_log as last);

-- name: delete_entry
-- Delete the last entry of those that are kept without end.
delete from ops.audit_log
where entry = (
    select max(kept.entry) from ops.audit_log as kept
    where kept.action <> all(ops.routine_actions())
);

-- name: guarded
-- Whether both triggers are there and enabled, and the first also refuses TRUNCATE (32).
select count(*) = 2
from pg_trigger
where
    tgrelid = 'ops.audit_log'::regclass
    and tgenabled in ('O', 'A')
    and (
        tgname = 'append_only' and tgtype & 32 = 32 and tgfoid = 'ops.refuse_change()'::regprocedure
        or tgname = 'kept' and tgfoid = 'ops.refuse_deletion()'::regprocedure
    );
