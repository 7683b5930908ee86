-- name: begin
insert into privacy.ledger as known (ledger, has_copy) values (%(ledger)s, %(has_copy)s)
on conflict (one_row) do update
    set
        ledger = excluded.ledger,
        has_copy = known.has_copy or excluded.has_copy;

-- name: entries
select
    entry,
    digest,
    customer_id,
    ended_at is not null
from privacy.ledger_entry
order by entry;

-- name: has
select exists(
    select from privacy.ledger_entry as e
    inner join privacy.tombstone as t on e.entry = t.entry
    where
        e.request = %(request)s
        and e.customer_id = %(customer)s
        and e.kind = %(kind)s
        and e.until = %(until)s
        and t.kind = e.kind
        and t.tombstone = any(%(tombstones)s)
);

-- name: whole_entries
select
    entry,
    commitment,
    digest,
    salt,
    customer_id,
    kind,
    until,
    at,
    request
from privacy.ledger_entry
order by entry;

-- name: tombstones
select
    entry,
    kind,
    array_agg(tombstone order by tombstone collate "C")
from privacy.tombstone
group by entry, kind;

-- name: open_again
with opened as (
    delete from privacy.closed
    where not %(everybody)s and customer_id <> all(%(differing)s)
    returning customer_id
)

insert into ops.audit_log (action, customer_id)
select
    'ledger agrees',
    customer_id
from opened;

-- name: close
with closed as (
    insert into privacy.closed as known (customer_id, cause)
    select
        customer_id,
        case when %(everybody)s then 'unreadable' else 'differs' end
    from registry.customer
    where %(everybody)s or customer_id = any(%(differing)s)
    on conflict (customer_id) do update
        set cause = excluded.cause
        where known.cause <> excluded.cause
    returning customer_id, cause
)

insert into ops.audit_log (action, customer_id, details)
select
    'ledger differs',
    customer_id,
    jsonb_build_object('cause', cause)
from closed;

-- name: end
update privacy.ledger_entry
set
    salt = null,
    customer_id = null,
    kind = null,
    until = null,
    at = null,
    request = null,
    ended_at = clock_timestamp()
where entry = any(%(entries)s);

-- name: note_entry
-- An entry without a body has ended.
insert into privacy.ledger_entry (
    entry, commitment, digest, salt, customer_id, kind, until, at, request, ended_at
)
values (
    %(entry)s, %(commitment)s, %(digest)s, %(salt)s, %(customer)s, %(kind)s, %(until)s, %(at)s, %(request)s,
    case when %(salt)s::text is null then clock_timestamp() end
)
on conflict (entry) do nothing;

-- name: note_tombstones
insert into privacy.tombstone (entry, customer_id, kind, tombstone, until)
select
    %(entry)s,
    %(customer)s,
    %(kind)s,
    tombstone,
    %(until)s
from unnest(%(tombstones)s::text[]) as tombstone
on conflict do nothing;

-- name: fingerprints
select
    customer_id,
    key_fingerprint
from registry.customer
where customer_id = any(%(customers)s) and key_fingerprint is not null;

-- name: note_secret
insert into privacy.secret as known (customer_id, secret)
values (%(customer)s, %(secret)s)
on conflict (customer_id) do update
    set secret = excluded.secret
    where known.secret <> excluded.secret;
