-- name: held_back
-- The days that checks of the mart hold back, with the remaining causes: the checks of other marts.
select
    customer_id,
    call_date,
    string_agg(one, '; ' order by place) filter (where not starts_with(one, %(mart)s || ': ')) as others
from ops.held_back
cross join lateral unnest(string_to_array(cause, '; ')) with ordinality as causes (one, place)
group by customer_id, call_date
having bool_or(starts_with(one, %(mart)s || ': '));

-- name: release
-- Release the days that nothing else holds back.
delete from ops.held_back as d using {held_back} as h
where d.customer_id = h.customer_id and d.call_date = h.call_date and h.others is null;

-- name: keep_other_causes
update ops.held_back as d
set cause = h.others
from {held_back} as h
where d.customer_id = h.customer_id and d.call_date = h.call_date;

-- name: views
-- The views that read the mart or a month of it, directly or through other views, and whether they are callmart's.
with recursive reader as (
    select
        relid::oid as relation,
        true as is_own
    from pg_partition_tree(to_regclass(%(schema)s || '.' || quote_ident(%(mart)s)))
    union
    select
        ev_class,
        false
    from reader
    inner join pg_depend
        on classid = 'pg_rewrite'::regclass
        and refclassid = 'pg_class'::regclass
        and refobjid = relation
    inner join pg_rewrite on pg_rewrite.oid = objid
)

select
    format('%%I.%%I', nspname, relname) as reading_view,
    object is not null
from reader
inner join pg_class as c on c.oid = relation
inner join pg_namespace as n on n.oid = relnamespace
left join access.definition on object = relation::regclass::text
where not is_own
order by reading_view;
