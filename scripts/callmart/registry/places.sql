-- name: names_at_source
-- What the telephone system calls the queues and lines that the registry names.
select queue from registry.queue
where customer_id = %(customer)s
union all
select line from registry.line
where customer_id = %(customer)s;

-- name: keys_of_names
-- The person's keys that stand in for the name of a queue or line: it is the same telephone number.
select queue_key from registry.queue
where customer_id = %(customer)s and queue_key = any(%(keys)s)
union
select line_key from registry.line
where customer_id = %(customer)s and line_key = any(%(keys)s)
union
select named.key
from raw.event as e
cross join lateral unnest(array[e.queue, e.line, e.target]) as named (key)
where e.customer_id = %(customer)s and named.key = any(%(keys)s);
