-- name: release
update ops.held_back
set
    released_at = clock_timestamp(),
    released_by = %(by)s,
    release_reason = %(reason)s
where customer_id = %(customer)s and call_date = %(day)s
returning build_id;

-- name: mark
-- Let the next build compute the day again, and the next opening look at it.
insert into ops.dirty_day (customer_id, call_date, cause)
values (%(customer)s, %(day)s, 'released')
on conflict (customer_id, call_date) do update set cause = excluded.cause;
