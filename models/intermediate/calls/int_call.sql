-- A row is a call with a part in the window, summed up from its events. Straight and tangled calls: docs/glossary.md.

with events as not materialized (
    select
        *,
        not {{ is_of_whole_call() }} as is_step,
        event in (
            'queue_joined', 'ring_started', 'ring_ended', 'agent_connected', 'agent_released', 'queue_left'
        ) as is_of_visit,
        event in ('ring_started', 'ring_ended', 'agent_connected', 'agent_released') as is_of_agent
    from {{ ref('stg_call_event') }}
    where platform not in {{ line_platforms() }}
),

-- In two halves, which PostgreSQL computes side by side where a core has nothing else to do.
calls as (
    {% for half in ['call_key < 0', 'call_key >= 0'] %}
        select
            customer_id,
            call_key,
            min(direction) filter (where event = 'call_started') as direction,
            min(agent_key) filter (where event in ('call_started', 'call_answered')) as placed_by,
            coalesce(
                min(number_key) filter (where event = 'queue_joined'),
                min(number_key) filter (where event = 'call_started')
            ) as number_key,
            coalesce(bool_or(number_withheld), false) as number_withheld,
            -- queue_log numbers its lines. It shows no holds, no wrap-up and no end of the whole call. A source that
            -- shows that end, such as the channel event log, shows holds too.
            bool_or(
                (line_number is null and event <> 'transferred')
                or event in ('call_ended', 'hold_started', 'hold_ended')
            ) as shows_holds,
            bool_or(
                (line_number is null and (is_of_visit or event in ('call_started', 'call_answered')))
                or event in ('wrapup_started', 'wrapup_ended')
            ) as shows_wrapups,
            min(occurred_at) filter (where event = 'call_started') as started_at,
            min(occurred_at) filter (where event = 'call_answered') as answered_at,
            min(duration_s) filter (where event = 'call_answered') as dialled_s,
            min(occurred_at) filter (where event = 'call_ended') as ended_at,
            min(reason) filter (where event = 'call_ended') as end_reason,
            max(occurred_at) as last_at,
            min(queue) as queue,
            min(agent_key) filter (where is_of_agent) as agent_key,
            min(occurred_at) filter (where event = 'queue_joined') as joined_at,
            min(occurred_at) filter (where event = 'ring_started') as ring_started_at,
            min(occurred_at) filter (where event = 'ring_ended') as ring_ended_at,
            min(duration_s) filter (where event = 'ring_ended') as ring_duration_s,
            min(reason) filter (where event = 'ring_ended') as ring_reason,
            min(occurred_at) filter (where event = 'agent_connected') as connected_at,
            coalesce(
                min(duration_s) filter (where event = 'agent_connected'),
                min(wait_s) filter (where event = 'agent_released')
            ) as wait_s,
            min(occurred_at) filter (where event = 'agent_released') as released_at,
            min(duration_s) filter (where event = 'agent_released') as talk_duration_s,
            min(reason) filter (where event = 'agent_released') as release_reason,
            min(occurred_at) filter (where event = 'queue_left') as left_at,
            min(duration_s) filter (where event = 'queue_left') as left_duration_s,
            min(reason) filter (where event = 'queue_left') as left_reason,
            min(occurred_at) filter (where event = 'hold_started') as hold_started_at,
            min(occurred_at) filter (where event = 'hold_ended') as hold_ended_at,
            min(duration_s) filter (where event = 'hold_ended') as hold_duration_s,
            min(occurred_at) filter (where event = 'wrapup_started') as wrapup_started_at,
            min(occurred_at) filter (where event = 'wrapup_ended') as wrapup_ended_at,
            min(duration_s) filter (where event = 'wrapup_ended') as wrapup_duration_s,
            min(occurred_at) filter (where event = 'transferred') as transferred_at,
            min(reason) filter (where event = 'transferred') as transfer_reason,
            min(target_kind) filter (where event = 'transferred') as transfer_target_kind,
            count(*) filter (where is_step) as steps,
            count(*) filter (where event = 'queue_joined') as joinings,
            count(*) filter (where is_of_visit) as visit_steps,
            count(queue) filter (where is_of_visit) as visit_steps_with_queue,
            count(*) filter (where is_of_agent) as agent_steps,
            count(agent_key) filter (where is_of_agent) as agent_steps_with_agent,
            coalesce(min(queue) = max(queue), true) as has_one_queue,
            coalesce(min(agent_key) filter (where is_step) = max(agent_key) filter (where is_step), true)
                as has_one_agent
        from events
        where {{ half }}
        group by customer_id, call_key
        {{ 'union all' if not loop.last }}
    {% endfor %}
)

select
    *,
    -- A refusal is a step too, but none of these: a call with a refusal is tangled.
    steps = num_nonnulls(
        joined_at, ring_started_at, ring_ended_at, connected_at, released_at, left_at, hold_started_at, hold_ended_at,
        wrapup_started_at, wrapup_ended_at, transferred_at
    )
    and has_one_queue
    and has_one_agent
    and visit_steps_with_queue in (0, visit_steps)
    and agent_steps_with_agent in (0, agent_steps)
    and (left_at is null or (connected_at is null and released_at is null))
    and coalesce(joined_at < least(left_at, released_at), true)
    and coalesce(ring_started_at < ring_ended_at, true)
    and coalesce(connected_at < released_at, true)
    and coalesce(hold_started_at < hold_ended_at, true)
    and coalesce(wrapup_started_at < wrapup_ended_at, true) as is_straight,
    joinings = 1
    and has_one_queue
    and visit_steps_with_queue = visit_steps
    and coalesce(joined_at < least(left_at, released_at), true) as has_one_visit
from calls
