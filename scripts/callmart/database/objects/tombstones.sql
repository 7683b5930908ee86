-- How the database knows again who was erased.

-- The tombstone of a pseudonym, as in tombstones.py.
create or replace function privacy.tombstone_of(secret bytea, kind text, pseudonym text) returns text
immutable
parallel safe
return left(pseudonym, 6) || left(encode(sha256(secret || convert_to(kind || ':' || pseudonym, 'UTF8')), 'hex'), 26);

-- A call's key as the text that its tombstone is made of.
create or replace function privacy.of_call(call_key bigint) returns text
immutable
parallel safe
return lpad(to_hex(call_key), 16, '0');

-- The key of an event or a call that nothing leads to.
create or replace function raw.random_key() returns bigint
volatile
return ('x' || right(gen_random_uuid()::text, 12) || right(gen_random_uuid()::text, 4))::bit(64)::bigint;

-- The key of an erased agent in one call. No other key begins like this, and nobody but the owner writes one.
create or replace function raw.random_agent() returns text
volatile
return '~' || replace(gen_random_uuid()::text, '-', '');

-- Until when persons of each customer were erased. A call that began before, or what an agent did, may end 31 days
-- later.
create or replace view privacy.erased_until as
select
    customer_id,
    max(until) as until,
    max(until) + interval '31 days' as calls_until
from privacy.ledger_entry
where ended_at is null and kind in ('agent', 'caller')
group by customer_id;
