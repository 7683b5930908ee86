-- name: moments
-- The end of the last good run, the first applied registry, the last backup, and the database's clock.
select
    (
        select max(ended_at) from ops.run
        where outcome = 'done'
    ) as good_run_at,
    (select min(applied_at) from registry.version) as installed_at,
    (
        select max(at) from ops.audit_log
        where action = 'backed up'
    ) as backed_up_at,
    now() as now;

-- name: ledger_lost
-- When the ledger was last lost, if that is less than four weeks ago.
select max(at)
from ops.audit_log
where action = 'ledger lost' and at > now() - interval '28 days'
having max(at) is not null;

-- name: held_back
select
    customer_id,
    count(*)::integer as days
from ops.held_back
where released_at is null
group by customer_id
order by customer_id;

-- name: keys
-- The customers whose data depends on a key, and null for the installation.
select
    null as customer_id,
    key_fingerprint
from ops.installation
union all
select
    customer_id,
    key_fingerprint
from registry.customer
where key_fingerprint is not null and customer_id in (select k.customer_id from registry.kept_contract as k)
order by customer_id;

-- name: silent
-- Customers without data since a day of the week that usually has some, and that first day. A day of the week usually
-- has data if at most one of the last four had none. Reads four weeks per customer, up to its last day with data.
with

landed as (
    select max(began_at) as began_at from ops.run_stage
    where stage = 'land' and outcome in ('done', 'problems')
),

-- The last landing should have brought all days before it. Yesterday may come until six in the morning: a customer who
-- delivers once per night has not delivered it just after midnight.
due as (
    select
        c.customer_id,
        least(
            (landed.began_at at time zone c.time_zone)::date - 1,
            ((now() - interval '6 hours') at time zone c.time_zone)::date - 1
        ) as day
    from registry.current_option
    inner join registry.customer as c using (customer_id)
    cross join landed
),

last_heard as (
    select
        due.customer_id,
        due.day as due,
        greatest(
            (
                select max(o.call_date) from ops.opened_day as o
                where
                    o.customer_id = due.customer_id
                    and o.call_date <= due.day
                    and o.row_count > 0
                    and isfinite(o.call_date)
            ),
            (
                select max(d.call_date) from ops.dirty_day as d
                where d.customer_id = due.customer_id and d.call_date <= due.day
            )
        ) as day
    from due
),

-- Days that were landed and not opened yet are dirty, also if they are held back.
heard as (
    select
        o.customer_id,
        o.call_date
    from ops.opened_day as o
    inner join last_heard as l on o.customer_id = l.customer_id and o.call_date between l.day - 27 and l.day
    where o.row_count > 0
    union
    select
        d.customer_id,
        d.call_date
    from ops.dirty_day as d
    inner join last_heard as l on d.customer_id = l.customer_id and d.call_date between l.day - 27 and l.day
),

first_heard as (
    select
        customer_id,
        min(call_date) as day
    from heard
    group by customer_id
),

usual as (
    select
        l.customer_id,
        extract(isodow from l.day - n) as weekday
    from last_heard as l
    inner join first_heard as f using (customer_id)
    cross join generate_series(0, 27) as n
    left join heard as h on l.customer_id = h.customer_id and h.call_date = l.day - n
    where l.day - n >= f.day
    group by l.customer_id, weekday
    having count(h.call_date) >= greatest(count(*) - 1, 1)
)

select
    l.customer_id,
    min(l.day + n) as since
from last_heard as l
cross join generate_series(1, 28) as n
inner join usual as u on l.customer_id = u.customer_id and u.weekday = extract(isodow from l.day + n)
where l.day + n <= l.due
group by l.customer_id
having count(*) >= %(days)s
order by l.customer_id;

-- name: behind
-- Customers of whom Tableau does not hold what it should, and why. What a run at work has done since `since` is not
-- finished yet and does not count.
with

extracts as (
    select
        e.customer_id,
        max(e.written_at) as written_at,
        bool_or((e.basis ->> 'opened')::bigint is distinct from opened.build_id) as lacks_days
    from ops.extract as e
    left join lateral (
        select max(o.build_id) as build_id from ops.opened_day as o
        where o.customer_id = e.customer_id
    ) as opened on true
    left join ops.build as b on opened.build_id = b.build_id
    where b.opened_at is null or b.opened_at < %(since)s
    group by e.customer_id
),

-- On each site on which the customer is.
published as (
    select
        customer_id,
        bool_or(state = 'failed') as has_failed,
        max(at) as at
    from ops.publication
    group by customer_id
),

reasons as (
    select
        customer_id,
        case
            when p.has_failed then 'the last publication failed'
            when e.lacks_days then 'its extract lacks days that are open'
            when e.written_at < %(since)s and (p.at is null or p.at < e.written_at)
                then 'its last extract is not published'
        end as reason
    from published as p
    full join extracts as e using (customer_id)
)

select
    customer_id,
    reason
from reasons
where reason is not null
order by customer_id;
