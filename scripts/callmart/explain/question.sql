-- name: days
-- How many of the days are open, the first and last that are open at all, and the first of these days that is held back
-- or waits to be computed.
select
    count(*) filter (where o.call_date between %(first)s and %(last)s) as opened,
    min(o.call_date) as earliest,
    max(o.call_date) as latest,
    (
        select min(h.call_date) from ops.held_back as h
        where h.customer_id = %(customer)s and h.call_date between %(first)s and %(last)s
    ) as held_back,
    (
        select min(d.call_date) from ops.dirty_day as d
        where d.customer_id = %(customer)s and d.call_date between %(first)s and %(last)s
    ) as dirty
from ops.opened_day as o
where o.customer_id = %(customer)s and o.mart = %(mart)s and isfinite(o.call_date);

-- name: queues
-- The queues that have numbers on these days, and what people call them.
select distinct
    m.queue,
    q.label
from store.queue_interval as m
left join registry.queue as q
    on m.customer_id = q.customer_id
    and m.queue = q.queue
where m.customer_id = %(customer)s and m.call_date between %(first)s and %(last)s
order by m.queue;
