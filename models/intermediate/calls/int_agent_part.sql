-- A row is an agent's part of a call: a talk, or the placing of the call, with the ringing before it, its holds, its
-- wrap-up and its transfer.

with calls as (
    select * from {{ ref('int_call') }}
),

days as (
    select * from {{ ref('stg_day') }}
),

parts as (
    select * from {{ ref('int_straight_part') }}
    union all
    select * from {{ ref('int_tangled_part') }}
)

select
    parts.customer_id,
    parts.call_key,
    parts.part,
    parts.queue,
    parts.visit_no,
    parts.agent_key,
    calls.direction,
    parts.begins_contact,
    -- The call counts once, for the agent who made it, and not for a colleague who takes it over.
    coalesce(
        calls.direction = 'outbound'
        and (parts.placed_at is not null or parts.begins_contact)
        and coalesce(calls.placed_by = parts.agent_key, parts.part = 1),
        false
    ) as is_outbound,
    parts.connected_moment,
    parts.connected_at,
    -- A placed call that nobody answered counts when it was placed.
    coalesce(parts.connected_at, parts.placed_at) as begun_at,
    days.call_date,
    parts.wait_s,
    case
        when parts.placed_at is null then parts.ring_s
        else {{ measured_seconds(
            'calls.dialled_s', 'parts.placed_at', 'coalesce(calls.answered_at, calls.ended_at)'
        ) }}
    end as ring_s,
    -- Talk is the time connected less the holds that the source shows.
    case
        when parts.connected_at is not null then greatest(parts.connected_s - coalesce(parts.hold_s, 0), 0)
    end as talk_s,
    -- Null if no source of the call shows holds or wrap-ups.
    case when calls.shows_holds then parts.holds end as holds,
    case when calls.shows_holds and parts.holds = 0 then 0 else parts.hold_s end as hold_s,
    case when calls.shows_wrapups and parts.wrapups = 0 then 0 else parts.wrapup_s end as wrapup_s,
    case
        when parts.transferred is not null then 'transfer'
        when parts.connected_at is null then 'no_answer'
        else parts.release_reason
    end as ended,
    parts.transferred,
    parts.target_kind,
    coalesce(parts.transferred is not null or parts.release_reason = 'transfer', false) as is_transferred
from parts
inner join calls
    on parts.customer_id = calls.customer_id
    and parts.call_key = calls.call_key
{{ day_of('parts', 'coalesce(parts.connected_at, parts.placed_at)', join='left join') }}
