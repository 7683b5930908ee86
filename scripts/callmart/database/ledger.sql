-- name: begin
insert into privacy.ledger as known (ledger, has_copy) values (%(ledger)s, %(has_copy)s)
on conflict (one_row) do update
    set
        ledger = excluded.ledger,
        has_copy = known.has_copy or excluded.has_copy;

-- name: entries
-- The entries with their tombstones by kind, and whether these are of the entry's customer and end when it does.
with tombstones as (
    select
        entry,
        t.kind,
        jsonb_agg(t.tombstone order by t.tombstone collate "C") as of_kind,
        bool_and(t.customer_id = e.customer_id and t.until = e.until) as are_of_entry
    from privacy.tombstone as t
    inner join privacy.ledger_entry as e using (entry)
    group by entry, t.kind
)

select
    entry,
    e.commitment,
    e.digest,
    e.salt,
    e.customer_id,
    e.kind,
    e.key_fingerprint,
    e.until,
    e.at,
    e.request,
    e.asked_right,
    e.since,
    coalesce(jsonb_object_agg(t.kind, t.of_kind) filter (where t.kind is not null), '{}'),
    coalesce(bool_and(t.are_of_entry), true)
from privacy.ledger_entry as e
left join tombstones as t using (entry)
group by entry
order by entry;

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

-- name: forget_subjects
-- The subject goes with the tombstone, and so does the hash of the plan, by which a person can be guessed. A request
-- without a tombstone is one in which nothing was erased.
update privacy.request as r
set
    subject = null,
    plan_hash = null
where
    r.ended_at is not null
    and num_nonnulls(r.subject, r.plan_hash) > 0
    and not exists (
        select 1 from privacy.ledger_entry as e
        where e.request = r.number and e.customer_id = r.customer_id
    );

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

-- name: end_renewed
-- A renewed tombstone ends with the one that it was made for.
delete from privacy.renewed_tombstone as r
where not exists (
    select from privacy.tombstone as t
    where t.customer_id = r.customer_id and t.kind = r.kind and t.tombstone = r.tombstone
);

-- name: end
update privacy.ledger_entry
set
    salt = null,
    customer_id = null,
    kind = null,
    key_fingerprint = null,
    until = null,
    at = null,
    request = null,
    asked_right = null,
    since = null,
    ended_at = clock_timestamp()
where entry = any(%(entries)s) and ended_at is null;

-- name: note_entry
-- An entry without a body has ended.
insert into privacy.ledger_entry (
    entry, commitment, digest, salt, customer_id, kind, key_fingerprint, until, at, request, asked_right, since,
    ended_at
)
values (
    %(entry)s, %(commitment)s, %(digest)s, %(salt)s, %(customer)s, %(kind)s, %(key)s, %(until)s, %(at)s, %(request)s,
    %(asked_right)s,
    %(since)s,
    case when %(salt)s::text is null then clock_timestamp() end
)
on conflict (entry) do update
    set
        commitment = excluded.commitment,
        digest = excluded.digest,
        salt = excluded.salt,
        customer_id = excluded.customer_id,
        kind = excluded.kind,
        key_fingerprint = excluded.key_fingerprint,
        until = excluded.until,
        at = excluded.at,
        request = excluded.request,
        asked_right = excluded.asked_right,
        since = excluded.since,
        ended_at = excluded.ended_at;

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
