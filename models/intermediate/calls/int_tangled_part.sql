-- A row is an agent's part of a tangled call, with the ringing before it, its holds, wrap-up and transfer.

with talks as (
    select
        *,
        lag(connected_at) over (
            partition by customer_id, call_key, queue, agent_key order by connected_moment, part
        ) as last_connected_at
    from {{ ref('int_tangled_talk') }}
),

rings as (
    select * from {{ ref('int_tangled_ring') }}
    where reason = 'answered'
),

holds as (
    select
        customer_id,
        call_key,
        part,
        count(*) as holds,
        sum(hold_s) as hold_s
    from {{ ref('int_tangled_hold') }}
    group by customer_id, call_key, part
),

wrapups as (
    select
        customer_id,
        call_key,
        part,
        count(*) as wrapups,
        sum(wrapup_s) as wrapup_s
    from {{ ref('int_tangled_wrapup') }}
    group by customer_id, call_key, part
),

transfers as (
    select * from {{ ref('int_tangled_transfer') }}
),

-- The ring that the agent answered: the last one that had begun by the connection, after the agent's one before. Its
-- end can be told a moment after the connection.
answered_rings as (
    select distinct on (talks.customer_id, talks.call_key, talks.part)
        talks.customer_id,
        talks.call_key,
        talks.part,
        rings.ring_s
    from talks
    inner join rings
        on talks.customer_id = rings.customer_id
        and talks.call_key = rings.call_key
        and talks.agent_key = rings.agent_key
        and talks.queue is not distinct from rings.queue
        and talks.connected_at >= rings.started_at
        and coalesce(talks.last_connected_at < rings.started_at, true)
    order by talks.customer_id, talks.call_key, talks.part, -rings.ended_moment, rings.ring_s
),

parts as (
    select
        talks.*,
        answered_rings.ring_s,
        coalesce(holds.holds, 0) as holds,
        holds.hold_s,
        coalesce(wrapups.wrapups, 0) as wrapups,
        wrapups.wrapup_s,
        transfers.transferred,
        transfers.target_kind
    from talks
    left join answered_rings
        on talks.customer_id = answered_rings.customer_id
        and talks.call_key = answered_rings.call_key
        and talks.part = answered_rings.part
    left join holds
        on talks.customer_id = holds.customer_id
        and talks.call_key = holds.call_key
        and talks.part = holds.part
    left join wrapups
        on talks.customer_id = wrapups.customer_id
        and talks.call_key = wrapups.call_key
        and talks.part = wrapups.part
    left join transfers
        on talks.customer_id = transfers.customer_id
        and talks.call_key = transfers.call_key
        and talks.part = transfers.part
)

{{ timed_parts('parts') }}
