-- name: secures
select exists(
    select 1 from privacy.ledger_entry as e
    inner join privacy.tombstone as t on e.entry = t.entry
    where
        e.request = %(request)s
        and e.customer_id = %(customer)s
        and e.kind = %(kind)s
        and e.until = %(until)s
        and t.kind = %(of_kind)s
        and t.tombstone = any(%(tombstones)s)
);

-- name: open_again
with opened as (
    delete from privacy.closed
    where not %(everybody)s and customer_id <> all(%(customers)s)
    returning customer_id
)

insert into ops.audit_log (action, customer_id)
select
    'ledger agrees',
    customer_id
from opened;

-- name: close
-- Who waits for a replay keeps that cause.
with closed as (
    insert into privacy.closed as known (customer_id, cause)
    select
        customer_id,
        %(cause)s
    from registry.customer
    where %(everybody)s or customer_id = any(%(customers)s)
    on conflict (customer_id) do update
        set cause = excluded.cause
        where known.cause not in (excluded.cause, 'replaying')
    returning customer_id, cause
)

insert into ops.audit_log (action, customer_id, details)
select
    'ledger differs',
    customer_id,
    jsonb_build_object('cause', cause)
from closed;

-- name: end_replay
-- What is closed because of a difference opens as soon as there is none.
update privacy.closed
set cause = 'differs'
where cause = 'replaying' and customer_id = any(%(customers)s);
