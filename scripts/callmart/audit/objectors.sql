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

-- name: one_shown
-- An agent who is shown, and does not object.
select
    a.customer_id,
    a.agent_key
from store.agent as a
where not privacy.objects(a.customer_id, a.agent_key)
order by a.customer_id, a.agent_key
limit 1;

-- name: listed
-- The keys of agents who are shown, and what reports call them.
select
    customer_id,
    unnest(array[agent_key, agent]) as word
from store.agent;

-- name: words
-- The keys of agents who object, the labels that reports make from them, and the ids of those who objected before ids
-- were deleted.
select
    a.customer_id,
    unnest(array[a.agent_key, 'agent-' || left(a.agent_key, 10), r.agent]) as word
from privacy.known_agent as a
inner join privacy.objector as o
    on a.customer_id = o.customer_id
    and left(a.agent_key, 6) = o.beginning
    and o.tombstone = privacy.tombstone_of(o.secret, 'objector', a.agent_key)
left join registry.agent as r on a.customer_id = r.customer_id and a.agent_key = r.agent_key;
