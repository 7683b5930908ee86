-- name: note_ledger
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

-- name: note_secret
insert into privacy.secret as known (customer_id, secret)
values (%(customer)s, %(secret)s)
on conflict (customer_id) do update
    set secret = excluded.secret
    where known.secret <> excluded.secret;
