-- name: known
-- How many agents and callers are among the words of each customer, and among the words that were planted. Words that
-- are like a key are sought among the keys of the customer's events, which are read once for all of them.
with looked_at as (
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
),

found as materialized (
    select
        customer_id,
        is_planted,
        array_agg(distinct word) as words,
        registry.known_agents(customer_id, array_agg(distinct word)) as agents
    from looked_at
    where word is not null
    group by customer_id, is_planted
),

sought as materialized (
    select
        f.customer_id,
        f.is_planted,
        word
    from found as f
    cross join unnest(f.words) as word
    where word ~ '^([0-9a-f]{{32}}|-?[0-9]{{10,19}})$' and word <> all(f.agents)
),

-- `is true` makes it a hash of the words: as a join the planner may go through the events for each word.
callers as materialized (
    select distinct
        e.customer_id,
        k.key
    from raw.event as e
    cross join lateral unnest(array[e.number_key, e.target_key, e.device_key, e.call_key::text]) as k (key)
    where
        e.customer_id in (select customer_id from sought)
        and (
            (e.customer_id, k.key) in (
                select
                    customer_id,
                    word
                from sought
            )
        ) is true
)

select
    f.customer_id,
    f.is_planted,
    cardinality(f.agents),
    count(c.key)
from found as f
left join sought as s on f.customer_id = s.customer_id and f.is_planted = s.is_planted
left join callers as c on s.customer_id = c.customer_id and s.word = c.key
group by f.customer_id, f.is_planted, f.agents
order by f.customer_id;

-- name: planted
-- One agent of each kind: by key, by id, by name, and by a key that is only in the events. And one caller by the key
-- of the number, and by that of the call.
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
    union all
    (
        select
            customer_id,
            number_key
        from raw.event
        where number_key is not null
        limit 1
    )
    union all
    (
        select
            customer_id,
            call_key::text
        from raw.event
        where call_key is not null
        limit 1
    )
) as known
where not exists (
    select 1 from registry.queue as q
    where q.customer_id = known.customer_id and q.queue = known.word
);
