-- name: entomb
with secret as (
    insert into privacy.secret as known (customer_id, secret) values (%(customer)s, sha256('planted'))
    on conflict (customer_id) do update set secret = known.secret
    returning secret
),

entry as (
    insert into privacy.ledger_entry (
        entry, commitment, digest, salt, customer_id, kind, until, at, asked_right
    )
    select
        coalesce(max(entry), 0) + 1,
        '',
        '',
        '',
        %(customer)s,
        'agent',
        now(),
        now(),
        %(asked_right)s
    from privacy.ledger_entry
    returning entry
)

insert into privacy.tombstone (entry, customer_id, kind, tombstone, until)
select
    entry.entry,
    %(customer)s,
    %(kind)s,
    privacy.tombstone_of(secret.secret, %(kind)s, %(key)s),
    now()
from entry
cross join secret
returning entry;
