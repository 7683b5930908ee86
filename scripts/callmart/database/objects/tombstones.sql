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

-- Until when persons of each customer were erased. A call that began before, or what an agent did, may end a longest
-- phase later.
create or replace view privacy.erased_until as
select
    customer_id,
    max(until) as until,
    max(until) + {longest_phase}::interval as calls_until
from privacy.ledger_entry
where ended_at is null and asked_right = 'erasure' and kind in ('agent', 'caller')
group by customer_id;

-- The tombstones, and what those of agents are under the keys that rotations gave them. `entered` is as the ledger has
-- it.
create or replace view privacy.known_tombstone as
select
    entry,
    customer_id,
    kind,
    tombstone,
    until,
    tombstone as entered
from privacy.tombstone
union all
select
    t.entry,
    t.customer_id,
    t.kind,
    r.renewed,
    t.until,
    t.tombstone
from privacy.renewed_tombstone as r
inner join privacy.tombstone as t using (customer_id, kind, tombstone);

-- The objections that stand, by tombstones as the ledger has them: the last thing that it says of one is no lifting.
create or replace view privacy.objection as
select
    latest.customer_id,
    latest.tombstone,
    latest.key_fingerprint,
    latest.entry
from (
    select distinct on (t.customer_id, t.tombstone)
        t.customer_id,
        t.tombstone,
        e.asked_right,
        e.key_fingerprint,
        t.entry
    from privacy.tombstone as t
    inner join privacy.ledger_entry as e using (entry)
    where t.kind = 'objector'
    order by t.customer_id asc, t.tombstone asc, t.entry desc
) as latest
where latest.asked_right <> 'lifting';

-- The agents who object to being shown, each once, although one can have objected before a rotation and after it. A key
-- of an agent begins like the tombstone, so that few tombstones have to be made to find it.
create or replace view privacy.objector as
select distinct
    o.customer_id,
    left(k.tombstone, 6) as beginning,
    k.tombstone,
    s.secret
from privacy.objection as o
inner join privacy.known_tombstone as k
    on o.customer_id = k.customer_id and k.kind = 'objector' and o.tombstone = k.entered
inner join privacy.secret as s on o.customer_id = s.customer_id;

-- The agents who object under another key than their customer's, or than it was before rotations: nobody can know them
-- again.
create or replace view privacy.unknown_objector as
select
    o.customer_id,
    o.tombstone,
    o.entry
from privacy.objection as o
inner join registry.customer as c using (customer_id)
where
    o.key_fingerprint <> c.key_fingerprint
    and not exists (
        select 1 from registry.former_fingerprint as f
        where f.customer_id = o.customer_id and f.key_fingerprint = o.key_fingerprint
    );

-- The agents of whom there is anything: an event, or a row of the registry. By `distinct` a cluster's nodes send a row
-- per agent, not per event.
create or replace view privacy.known_agent as
select distinct
    customer_id,
    agent_key
from raw.event
where agent_key is not null
union
select
    customer_id,
    agent_key
from registry.agent;

-- Whether an agent objects to being shown.
create or replace function privacy.objects(customer integer, agent text) returns boolean
stable
return exists (
    select 1 from privacy.objector as o
    where
        o.customer_id = customer and o.beginning = left(agent, 6)
        and o.tombstone = privacy.tombstone_of(o.secret, 'objector', agent)
);

-- Whether a tombstone is that of an agent who objects. Whoever asks sees no secret.
create or replace function privacy.is_objector(customer integer, made text, agent text) returns boolean
stable
parallel safe
security definer
return exists (
    select 1 from privacy.objector as o
    where
        o.customer_id = customer and o.tombstone = made
        and o.tombstone = privacy.tombstone_of(o.secret, 'objector', agent)
);
