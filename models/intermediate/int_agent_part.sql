-- A row is an agent's part of a call, with what belongs to it: the ringing before it, its holds, its wrap-up, and how
-- it was handed on. Talk is what is left of the connection without the holds that the source shows.

with calls as (
    select * from {{ ref('int_call') }}
),

talks as (
    select * from {{ ref('int_talk') }}
),

rings as (
    select * from {{ ref('int_ring') }}
    where reason = 'answered'
),

holds as (
    select
        customer_id,
        call_key,
        part,
        count(*) as holds,
        sum(hold_s) as hold_s
    from {{ ref('int_hold') }}
    group by customer_id, call_key, part
),

wrapups as (
    select
        customer_id,
        call_key,
        part,
        count(*) as wrapups,
        sum(wrapup_s) as wrapup_s
    from {{ ref('int_wrapup') }}
    group by customer_id, call_key, part
),

transfers as (
    select * from {{ ref('int_transfer') }}
),

-- The ring that the agent answered: the last one before the connection.
tangled_rings as (
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
        and talks.connected_moment >= rings.ended_moment
    where not talks.is_straight and not rings.is_straight
    order by talks.customer_id, talks.call_key, talks.part, -rings.ended_moment, rings.ring_s
),

answered_rings as (
    select
        customer_id,
        call_key,
        part,
        ring_s
    from tangled_rings
    union all
    select
        customer_id,
        call_key,
        1 as part,
        ring_s
    from rings
    where is_straight
)

select
    talks.customer_id,
    talks.call_key,
    talks.part,
    talks.is_straight,
    talks.queue,
    talks.visit_no,
    talks.agent_key,
    calls.direction,
    talks.begins_contact,
    -- Whose call it was to begin with, once; a colleague to whom it is handed has made none.
    coalesce(
        calls.direction = 'outbound'
        and (talks.placed_at is not null or talks.begins_contact)
        and coalesce(calls.placed_by = talks.agent_key, talks.part = 1),
        false
    ) as is_outbound,
    talks.connected_moment,
    talks.connected_at,
    -- A placed call that nobody answered counts when it was placed.
    coalesce(talks.connected_at, talks.placed_at) as begun_at,
    talks.wait_s,
    case
        when talks.placed_at is null then answered_rings.ring_s
        else {{ whole_seconds(
            'coalesce(calls.dialled_s, '
            ~ seconds_between('talks.placed_at', 'coalesce(calls.answered_at, calls.ended_at)')
            ~ ')'
        ) }}
    end as ring_s,
    case
        when talks.connected_at is not null then greatest(talks.connected_s - coalesce(holds.hold_s, 0), 0)
    end as talk_s,
    case when calls.shows_holds then coalesce(holds.holds, 0) end as holds,
    case when calls.shows_holds and holds.holds is null then 0 else holds.hold_s end as hold_s,
    case when calls.shows_wrapups and wrapups.wrapups is null then 0 else wrapups.wrapup_s end as wrapup_s,
    case
        when transfers.part is not null then 'transfer'
        when talks.connected_at is null then 'no_answer'
        else talks.release_reason
    end as ended,
    transfers.transferred,
    transfers.target_kind,
    coalesce(transfers.part is not null or talks.release_reason = 'transfer', false) as is_transferred
from talks
inner join calls
    on talks.customer_id = calls.customer_id
    and talks.call_key = calls.call_key
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
