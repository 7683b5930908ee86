-- name: end_renewed
-- A renewed tombstone ends with the one that it was made for.
delete from privacy.renewed_tombstone as r
where not exists (
    select 1 from privacy.tombstone as t
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
