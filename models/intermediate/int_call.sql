-- A row is a call, of users and not of lines, that has a part in the window: what it tells as a whole.
--
-- A straight call has each thing at most once, in one queue, with one agent, in the order in which things happen. Most
-- calls are, and what they tell needs no more than their row here; the others' events stand in int_call_event.

-- The offset has the step worked out once a row, not once for each aggregate.
with events as (
    select
        *,
        case event
            when 'queue_joined' then 1
            when 'ring_started' then 2
            when 'ring_ended' then 4
            when 'agent_connected' then 8
            when 'agent_released' then 16
            when 'queue_left' then 32
            when 'hold_started' then 64
            when 'hold_ended' then 128
            when 'wrapup_started' then 256
            when 'wrapup_ended' then 512
            when 'transferred' then 1024
            when 'queue_refused' then 2048
        end as step
    from {{ ref('stg_call_event') }}
    where platform not in ('sip_trunk', 'isdn2', 'isdn30')
    offset 0 -- noqa: AM09
),

calls as (
    select
        customer_id,
        call_key,
        min(direction) filter (where event = 'call_started') as direction,
        min(agent_key) filter (where event in ('call_started', 'call_answered')) as placed_by,
        coalesce(
            min(number_key) filter (where step = 1), min(number_key) filter (where event = 'call_started')
        ) as number_key,
        coalesce(bool_or(number_withheld), false) as number_withheld,
        -- queue_log numbers its lines; it shows neither holds nor wrap-ups, nor how the call as a whole ended. Who
        -- tells the end, as the channel event log does, would have told the holds.
        bool_or(
            (line_number is null and event <> 'transferred') or event in ('call_ended', 'hold_started', 'hold_ended')
        ) as shows_holds,
        bool_or(
            line_number is null and (step <= 32 or event in ('call_started', 'call_answered')) or step in (256, 512)
        ) as shows_wrapups,
        min(occurred_at) filter (where event = 'call_started') as started_at,
        min(occurred_at) filter (where event = 'call_answered') as answered_at,
        min(duration_s) filter (where event = 'call_answered') as dialled_s,
        min(occurred_at) filter (where event = 'call_ended') as ended_at,
        min(reason) filter (where event = 'call_ended') as end_reason,
        max(occurred_at) as last_at,
        min(queue) as queue,
        min(agent_key) filter (where step between 2 and 16) as agent_key,
        min(occurred_at) filter (where step = 1) as joined_at,
        min(occurred_at) filter (where step = 2) as ring_started_at,
        min(occurred_at) filter (where step = 4) as ring_ended_at,
        min(duration_s) filter (where step = 4) as ring_duration_s,
        min(reason) filter (where step = 4) as ring_reason,
        min(occurred_at) filter (where step = 8) as connected_at,
        coalesce(min(duration_s) filter (where step = 8), min(wait_s) filter (where step = 16)) as wait_s,
        min(occurred_at) filter (where step = 16) as released_at,
        min(duration_s) filter (where step = 16) as talk_duration_s,
        min(reason) filter (where step = 16) as release_reason,
        min(occurred_at) filter (where step = 32) as left_at,
        min(duration_s) filter (where step = 32) as left_duration_s,
        min(reason) filter (where step = 32) as left_reason,
        min(occurred_at) filter (where step = 64) as hold_started_at,
        min(occurred_at) filter (where step = 128) as hold_ended_at,
        min(duration_s) filter (where step = 128) as hold_duration_s,
        min(occurred_at) filter (where step = 256) as wrapup_started_at,
        min(occurred_at) filter (where step = 512) as wrapup_ended_at,
        min(duration_s) filter (where step = 512) as wrapup_duration_s,
        min(reason) filter (where step = 1024) as transfer_reason,
        min(target_kind) filter (where step = 1024) as transfer_target_kind,
        coalesce(sum(step) = bit_or(step), true) as is_each_once,
        coalesce(max(step) < 2048, true) as is_let_in,
        coalesce(min(queue) = max(queue), true)
        and count(queue) filter (where step <= 32) in (0, count(*) filter (where step <= 32)) as is_of_one_queue,
        coalesce(min(agent_key) filter (where step is not null) = max(agent_key) filter (where step is not null), true)
        and count(agent_key) filter (where step between 2 and 16) in (0, count(*) filter (where step between 2 and 16))
            as is_of_one_agent
    from events
    group by customer_id, call_key
)

select
    *,
    is_each_once
    and is_let_in
    and is_of_one_queue
    and is_of_one_agent
    and (left_at is null or (connected_at is null and released_at is null))
    and coalesce(joined_at < least(left_at, released_at), true)
    and coalesce(ring_started_at < ring_ended_at, true)
    and coalesce(connected_at < released_at, true)
    and coalesce(hold_started_at < hold_ended_at, true)
    and coalesce(wrapup_started_at < wrapup_ended_at, true) as is_straight
from calls
