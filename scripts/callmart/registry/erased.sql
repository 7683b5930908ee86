-- name: ends
-- The tombstones of these kinds, and the moment from which on each is not about the person any more.
select
    customer_id,
    kind,
    tombstone,
    max(until)
from privacy.tombstone
where kind = any(%(kinds)s)
group by customer_id, kind, tombstone;

-- name: last_days
-- When the last day of each of these customers' agents began that has events under a detailed contract.
select
    a.customer_id,
    a.agent_key,
    a.last_day::timestamp at time zone c.time_zone
from registry.agent as a
inner join registry.customer as c on a.customer_id = c.customer_id
where a.customer_id = any(%(customers)s) and a.last_day is not null;
