-- name: passed_builds
-- The builds of earlier days that were not the last of their day. One stays if it found something to be wrong on a day
-- that is still open, or held back, as it computed that.
select b.build_id
from ops.build as b
where
    (b.built_at at time zone %(zone)s)::date < %(today)s
    and b.build_id not in (
        select max(last.build_id) from ops.build as last
        group by (last.built_at at time zone %(zone)s)::date
    )
    and not exists (
        select 1 from ops.quality_failure as f
        where
            f.build_id = b.build_id
            and f.call_date >= %(floor)s
            and (
                exists (
                    select 1 from ops.opened_day as o
                    where o.customer_id = f.customer_id and o.call_date = f.call_date and o.build_id = b.build_id
                )
                or exists (
                    select 1 from ops.held_back as h
                    where h.customer_id = f.customer_id and h.call_date = f.call_date and h.build_id = b.build_id
                )
            )
    );

-- name: computed_days
-- The columns in `build` with days or times of customers, and whether the column is a day. Mostly all tables are empty:
-- a file without a page has no row.
select
    c.relname,
    a.attname,
    a.atttypid = 'date'::regtype
from pg_class as c
inner join pg_attribute as a on c.oid = a.attrelid and attnum > 0 and not attisdropped
where
    c.relnamespace = 'build'::regnamespace
    and c.relkind = 'r'
    and pg_relation_size(c.oid) > 0
    and a.atttypid in ('date'::regtype, 'timestamptz'::regtype)
    and exists (
        select 1 from pg_attribute
        where attrelid = c.oid and attname = 'customer_id'
    );
