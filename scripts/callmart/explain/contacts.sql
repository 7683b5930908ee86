-- name: days
insert into pg_temp."window" (customer_id, call_date, mark)
select
    %(customer)s,
    call_date::date,
    0
from generate_series(%(first)s::date, %(last)s::date, interval '1 day') as call_date;

-- name: none
select * from pg_temp.int_contact
limit 0;

-- name: contacts
with queues as (
    select
        queue,
        registry.name_shown(%(customer)s, queue) as queue_shown
    from (select distinct queue from pg_temp.int_contact) as named
),

contacts as (
    select
        c.*,
        queues.queue_shown,
        case when c.overflowed_to is not null then registry.name_shown(%(customer)s, c.overflowed_to) end
            as overflowed_to_shown,
        lag(queues.queue_shown) over of_call as came_from,
        lag(c.outcome) over of_call as came_after,
        min(c.began_at) over (partition by c.call_key) as call_began_at
    from pg_temp.int_contact as c
    inner join queues on c.queue = queues.queue
    window of_call as (partition by c.call_key order by c.began_at, c.visit_no)
),

asked as (
    select
        c.*,
        q.queue is not null
        and c.queue_shown = any(%(queues)s)
        and c.call_date between %(first)s and %(last)s
        and ({known}) is not null as is_asked,
        array[{parts}] as parts
    from contacts as c
    left join store.queue_interval as q
        on c.customer_id = q.customer_id
        and c.call_date = q.call_date
        and c.queue_shown = q.queue
        and c.interval_start = q.interval_start
)

select
    dense_rank() over (order by call_began_at, call_key) as call,
    began_at as joined_at,
    call_date,
    queue_shown as queue,
    outcome,
    wait_s::double precision as wait_s,
    overflowed_to_shown as overflowed_to,
    came_from,
    came_after,
    service_level_s,
    short_abandon_s,
    is_asked,
    case when is_asked then parts else array_fill(0, array[cardinality(parts)]) end as parts
from asked
order by began_at, call_key, visit_no;

-- name: totals
select
    {number},
    array[{sums}]::bigint[],
    count(distinct call_date) filter (where not (({known}) is not null)) -- one of them is null
from store.queue_interval
where customer_id = %(customer)s and queue = any(%(queues)s) and call_date between %(first)s and %(last)s;
