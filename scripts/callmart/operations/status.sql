-- name: customers
-- The status of each customer, from callmart's books.
with

days as (
    select
        c.customer_id,
        (
            select min(o.call_date) from ops.opened_day as o
            where o.customer_id = c.customer_id and o.call_date > '-infinity'
        ) as first_day,
        (
            select max(o.call_date) from ops.opened_day as o
            where o.customer_id = c.customer_id and o.call_date > '-infinity'
        ) as last_day
    from registry.customer as c
),

dirty as (
    select
        customer_id,
        count(*) as days
    from ops.dirty_day
    group by customer_id
),

held_back as (
    select
        customer_id,
        count(*) as days
    from ops.held_back
    group by customer_id
),

turned_away as (
    select
        customer_id,
        sum((details ->> 'rows')::bigint) as row_count
    from ops.audit_log
    where action = 'turned away'
    group by customer_id
),

extracts as (
    select
        customer_id,
        sum(row_count) as row_count
    from ops.extract
    group by customer_id
),

-- The project on each site on which the customer is. Usually it is one.
published as (
    select
        p.customer_id,
        bool_or(p.state = 'failed') as has_failed,
        string_agg(
            concat(
                case when p.state <> 'published' then p.state || ': ' end,
                format('callmart / %s %s', c.customer_id, c.name),
                case when p.site <> '' then format(' on the site %s', p.site) end
            ),
            ', '
            order by p.site
        ) as projects
    from ops.publication as p
    inner join registry.customer as c using (customer_id)
    group by p.customer_id
)

select
    c.customer_id,
    c.name,
    coalesce(o.option, 'none'),
    days.first_day::text,
    days.last_day::text,
    coalesce(dirty.days, 0),
    coalesce(held_back.days, 0),
    coalesce(turned_away.row_count, 0)::bigint,
    case
        when closed.customer_id is not null then 'closed: ledger and database differ'
        when held_back.days = 1 then '1 day held back'
        when held_back.days > 1 then held_back.days || ' days held back'
        when days.first_day is null then 'nothing to check'
        else 'passed'
    end,
    coalesce(extracts.row_count, 0)::bigint,
    coalesce(published.projects, case when o.option is null then 'nothing there' else 'not published yet' end),
    closed.customer_id is not null or held_back.days is not null or coalesce(published.has_failed, false)
from registry.customer as c
left join registry.current_option as o using (customer_id)
left join days using (customer_id)
left join dirty using (customer_id)
left join held_back using (customer_id)
left join turned_away using (customer_id)
left join extracts using (customer_id)
left join privacy.closed using (customer_id)
left join published using (customer_id)
order by c.customer_id;

-- name: unopened
-- The reports on Tableau that nobody has opened for weeks.
select
    customer_id,
    report,
    since::text
from registry.report_use
where since <= current_date - 7 * %(weeks)s
order by customer_id, since, report;

-- name: definitions
-- The marts with days that were not computed by the same definition as the last build's: a row per other definition.
-- `columns` are those of the mart that are null there, if that definition is known. A day counts once per customer.
with opened as (
    select
        mart,
        definition_id,
        count(*) as days,
        min(call_date) as first_day,
        max(call_date) as last_day
    from ops.outdated_day
    group by mart, definition_id
)

select
    o.mart,
    o.days,
    o.first_day::text,
    o.last_day::text,
    was.fingerprint is not null as is_known,
    array(
        select one from unnest(of_today.columns) as one
        where one <> all(was.columns)
    ) as columns
from opened as o
inner join ops.latest_definition as l using (mart)
inner join ops.definition as of_today on l.definition_id = of_today.definition_id
left join ops.definition as was on o.definition_id = was.definition_id
order by o.mart asc, o.last_day desc;

-- name: held_back
-- The days that are held back: by which checks, whether somebody released them, and whether somebody had released what
-- people see of them.
select
    h.customer_id,
    h.call_date::text,
    h.cause,
    h.released_at is not null,
    exists(
        select 1 from ops.accepted as a
        where a.customer_id = h.customer_id and a.call_date = h.call_date
    )
from ops.held_back as h
order by h.customer_id, h.call_date;
