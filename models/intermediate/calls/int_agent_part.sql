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
        and parts.begins_call
        and coalesce(calls.placed_by = parts.agent_key, parts.part = 1),
        false
    ) as is_outbound,
    -- A placed call that nobody answered counts when it was placed.
    coalesce(parts.connected_at, parts.placed_at) as begun_at,
    days.call_date,
    parts.wait_s,
    -- The agent who placed the call hears the other party's telephone ring. If a source rounds only one of the times,
    -- the answer can come before the start.
    case
        when parts.placed_at is not null
            then {{ measured_seconds(
                'calls.dialled_s',
                'least(parts.placed_at, coalesce(parts.connected_at, calls.ended_at))',
                'coalesce(parts.connected_at, calls.ended_at)'
            ) }}
        when
            parts.ring_s is null
            and parts.begins_call
            and calls.placed_by = parts.agent_key
            and calls.direction <> 'inbound'
            then {{ measured_seconds(
                'calls.dialled_s', 'least(calls.started_at, calls.answered_at)', 'calls.answered_at'
            ) }}
        else parts.ring_s
    end as ring_s,
    parts.talk_s,
    parts.holds,
    parts.hold_s,
    parts.wrapup_s,
    case
        when parts.transferred is not null then 'transfer'
        when parts.connected_at is null then case when calls.ended_at is not null then 'no_answer' end
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
