-- name: release
update ops.held_back
set
    released_at = clock_timestamp(),
    released_by = %(by)s,
    release_reason = %(reason)s
where customer_id = %(customer)s and call_date = %(day)s
returning build_id;

-- name: log
insert into ops.audit_log (action, customer_id, details)
values (
    'released',
    %(customer)s,
    jsonb_build_object('build', %(build)s::bigint, 'days', 1, 'by', %(by)s::text, 'reason', %(reason)s::text)
);
