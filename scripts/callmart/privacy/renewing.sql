-- name: tombstones
-- The tombstones of agents, as they are under the present key or were under former ones, and as the ledger has them.
select
    kind,
    tombstone,
    array_agg(distinct entered)
from privacy.known_tombstone
where customer_id = %(customer)s and kind = any(%(kinds)s)
group by kind, tombstone;

-- name: renew
insert into privacy.renewed_tombstone (customer_id, kind, tombstone, renewed, key_fingerprint)
values (%(customer)s, %(kind)s, %(entered)s, %(renewed)s, %(fingerprint)s)
on conflict do nothing;

-- name: forget_former
delete from privacy.renewed_tombstone
where customer_id = %(customer)s and key_fingerprint <> %(fingerprint)s;
