-- name: known
-- The number of agents among the words of each customer, and among the words that were planted.
select
    customer_id,
    is_planted,
    cardinality(registry.known_agents(customer_id, array_agg(distinct word)))
from (
    select
        held.customer_id,
        held.word,
        false as is_planted
    from {words} as held
    union all
    select
        customer_id,
        word,
        true
    from unnest({customers}::integer[], {planted}::text[]) as planted (customer_id, word)
) as looked_at
where word is not null
group by customer_id, is_planted
order by customer_id;

-- name: planted
-- One agent of each kind: by key, by id, by name, and by a key that is only in the events.
select
    customer_id,
    word
from (
    (
        select
            customer_id,
            agent_key as word
        from registry.agent
        limit 1
    )
    union all
    (
        select
            customer_id,
            agent
        from registry.agent
        where agent is not null
        limit 1
    )
    union all
    (
        select
            customer_id,
            name
        from registry.agent
        where name is not null
        limit 1
    )
    union all
    (
        select
            customer_id,
            agent_key
        from raw.event
        where agent_key is not null
        limit 1
    )
) as known
where not exists (
    select 1 from registry.queue as q
    where q.customer_id = known.customer_id and q.queue = known.word
);
