-- name: shown
-- The number of agents in a mart who object, per customer.
select
    t.customer_id,
    count(distinct t.agent_key)
from {mart} as t
inner join privacy.objector as o
    on t.customer_id = o.customer_id
    and left(t.agent_key, 6) = o.beginning
    and o.tombstone = privacy.tombstone_of(o.secret, 'objector', t.agent_key)
group by t.customer_id
order by t.customer_id;

-- name: plant
-- Let an agent object who is shown.
with agent as (
    select
        a.customer_id,
        a.agent_key
    from store.agent as a
    where not privacy.objects(a.customer_id, a.agent_key)
    order by a.customer_id, a.agent_key
    limit 1
),

secret as (
    insert into privacy.secret as known (customer_id, secret)
    select
        customer_id,
        sha256('planted')
    from agent
    on conflict (customer_id) do update set secret = known.secret
    returning customer_id, secret
),

entry as (
    insert into privacy.ledger_entry (
        entry, commitment, digest, salt, customer_id, kind, until, at, asked_right
    )
    select
        (select coalesce(max(entry), 0) + 1 from privacy.ledger_entry),
        '',
        '',
        '',
        customer_id,
        'agent',
        now(),
        now(),
        'objection'
    from agent
    returning entry
)

insert into privacy.tombstone (entry, customer_id, kind, tombstone, until)
select
    entry.entry,
    agent.customer_id,
    'objector',
    privacy.tombstone_of(secret.secret, 'objector', agent.agent_key),
    now()
from entry
cross join agent
inner join secret using (customer_id)
returning entry;

-- name: listed
-- The keys of agents who are shown, and what reports call them.
select
    customer_id,
    unnest(array[agent_key, agent]) as word
from store.agent;

-- name: words
-- The keys of agents who object, the labels that reports make from them, and their ids.
select
    a.customer_id,
    unnest(array[a.agent_key, 'agent-' || left(a.agent_key, 10), r.agent]) as word
from privacy.known_agent as a
inner join privacy.objector as o
    on a.customer_id = o.customer_id
    and left(a.agent_key, 6) = o.beginning
    and o.tombstone = privacy.tombstone_of(o.secret, 'objector', a.agent_key)
left join registry.agent as r on a.customer_id = r.customer_id and a.agent_key = r.agent_key;
