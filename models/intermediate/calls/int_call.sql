-- A row is a call with a part in the window, summed up from its events. Straight and tangled calls: docs/glossary.md.

{# Each event is compared fifty times, and PostgreSQL compares numbers faster than names. A source without line numbers
   that shows one of 2 to 10 shows wrap-ups too. Of these, 5 to 10 are of a visit. 1 to 3 are of the whole call. #}
{% set no = {
    'call_ended': 1,
    'call_started': 2, 'call_answered': 3, 'queue_refused': 4,
    'queue_joined': 5,
    'ring_started': 6, 'ring_ended': 7, 'agent_connected': 8, 'agent_released': 9,
    'queue_left': 10,
    'hold_started': 11, 'hold_ended': 12, 'wrapup_started': 13, 'wrapup_ended': 14, 'transferred': 15
} %}
{% set is_step = 'event_no > ' ~ no.call_answered %}
{% set is_of_visit = 'event_no between ' ~ no.queue_joined ~ ' and ' ~ no.queue_left %}
{% set is_of_ring = 'event_no between ' ~ no.ring_started ~ ' and ' ~ no.ring_ended %}
{% set is_of_talk = 'event_no between ' ~ no.agent_connected ~ ' and ' ~ no.agent_released %}

-- The offset keeps the number as a column. Without it, PostgreSQL would compute it again at each use.
with events as (
    select
        *,
        case event
            {% for event, number in no.items() %}
                when '{{ event }}' then {{ number }}
            {% endfor %}
            else {{ no | length + 1 }}
        end as event_no
    from {{ ref('stg_call_event') }}
    where platform not in {{ line_platforms() }}
    offset 0
),

calls as (
    select
        customer_id,
        call_key,
        min(direction) filter (where event_no = {{ no.call_started }}) as direction,
        coalesce(
            {{ first_said('agent_key', 'agent_key is not null and event_no = ' ~ no.call_started) }},
            {{ first_said('agent_key', 'agent_key is not null and event_no = ' ~ no.call_answered) }}
        ) as placed_by,
        coalesce(
            {{ first_said('number_key', 'number_key is not null and event_no = ' ~ no.queue_joined) }},
            {{ first_said('number_key', 'number_key is not null and event_no = ' ~ no.call_started) }}
        ) as number_key,
        coalesce(bool_or(number_withheld), false) as number_withheld,
        -- queue_log numbers its lines. It shows no holds, no end of the whole call, and a wrap-up only by events of its
        -- own. A source that shows the end, such as the channel event log, shows holds too.
        bool_or(
            (line_number is null and event_no <> {{ no.transferred }})
            or event_no in ({{ no.call_ended }}, {{ no.hold_started }}, {{ no.hold_ended }})
        ) as shows_holds,
        bool_or(
            (line_number is null and event_no between {{ no.call_started }} and {{ no.queue_left }})
            or event_no in ({{ no.wrapup_started }}, {{ no.wrapup_ended }})
        ) as shows_wrapups,
        min(occurred_at) filter (where event_no = {{ no.call_started }}) as started_at,
        min(occurred_at) filter (where event_no = {{ no.call_answered }}) as answered_at,
        -- Of several answers or ends the first one counts, with what it says.
        (min(array[date_part('epoch', occurred_at), duration_s]) filter (where event_no = {{ no.call_answered }}))[2]
            as dialled_s,
        min(occurred_at) filter (where event_no = {{ no.call_ended }}) as ended_at,
        {{ first_said('reason', 'event_no = ' ~ no.call_ended) }} as end_reason,
        max(occurred_at) as last_at,
        min(queue) as queue,
        min(agent_key) filter (where not {{ is_of_ring }}) as agent_key,
        min(agent_key) filter (where {{ is_of_ring }}) as ring_agent_key,
        min(occurred_at) filter (where event_no = {{ no.queue_joined }}) as joined_at,
        min(occurred_at) filter (where event_no = {{ no.ring_started }}) as ring_started_at,
        min(occurred_at) filter (where event_no = {{ no.ring_ended }}) as ring_ended_at,
        min(duration_s) filter (where event_no = {{ no.ring_ended }}) as ring_duration_s,
        min(reason) filter (where event_no = {{ no.ring_ended }}) as ring_reason,
        min(occurred_at) filter (where event_no = {{ no.agent_connected }}) as connected_at,
        coalesce(
            min(duration_s) filter (where event_no = {{ no.agent_connected }}),
            min(wait_s) filter (where event_no = {{ no.agent_released }})
        ) as wait_s,
        min(occurred_at) filter (where event_no = {{ no.agent_released }}) as released_at,
        min(duration_s) filter (where event_no = {{ no.agent_released }}) as talk_duration_s,
        min(reason) filter (where event_no = {{ no.agent_released }}) as release_reason,
        min(occurred_at) filter (where event_no = {{ no.queue_left }}) as left_at,
        min(duration_s) filter (where event_no = {{ no.queue_left }}) as left_duration_s,
        min(reason) filter (where event_no = {{ no.queue_left }}) as left_reason,
        min(occurred_at) filter (where event_no = {{ no.hold_started }}) as hold_started_at,
        min(occurred_at) filter (where event_no = {{ no.hold_ended }}) as hold_ended_at,
        min(duration_s) filter (where event_no = {{ no.hold_ended }}) as hold_duration_s,
        min(occurred_at) filter (where event_no = {{ no.wrapup_started }}) as wrapup_started_at,
        min(occurred_at) filter (where event_no = {{ no.wrapup_ended }}) as wrapup_ended_at,
        min(duration_s) filter (where event_no = {{ no.wrapup_ended }}) as wrapup_duration_s,
        min(occurred_at) filter (where event_no = {{ no.transferred }}) as transferred_at,
        min(reason) filter (where event_no = {{ no.transferred }}) as transfer_reason,
        min(target_kind) filter (where event_no = {{ no.transferred }}) as transfer_target_kind,
        count(*) filter (where {{ is_step }}) as steps,
        count(*) filter (where event_no = {{ no.queue_joined }}) as joinings,
        count(*) filter (where {{ is_of_visit }}) as visit_steps,
        count(queue) filter (where {{ is_of_visit }}) as visit_steps_with_queue,
        count(*) filter (where {{ is_of_ring }}) as ring_steps,
        count(agent_key) filter (where {{ is_of_ring }}) as ring_steps_with_agent,
        count(agent_key) filter (where {{ is_of_talk }}) as talk_steps_with_agent,
        coalesce(min(queue) = max(queue), true) as has_one_queue,
        coalesce(
            min(agent_key) filter (where {{ is_of_ring }})
            = max(agent_key) filter (where {{ is_of_ring }}),
            true
        ) as rings_one_agent,
        coalesce(
            min(agent_key) filter (where not {{ is_of_ring }})
            = max(agent_key) filter (where not {{ is_of_ring }}),
            true
        ) as has_one_agent
    from events
    group by customer_id, call_key
)

select
    -- These three stand first, as others ask each row for them, and PostgreSQL reads a row from its left.
    -- A refusal is a step too, but none of these: a call with a refusal is tangled.
    steps - ring_steps = num_nonnulls(
        joined_at, connected_at, released_at, left_at, hold_started_at, hold_ended_at, wrapup_started_at,
        wrapup_ended_at, transferred_at
    )
    and has_one_queue
    and has_one_agent
    and (queue is null or visit_steps_with_queue = visit_steps)
    and (agent_key is null or talk_steps_with_agent = num_nonnulls(connected_at, released_at))
    and (left_at is null or (connected_at is null and released_at is null))
    and coalesce(joined_at < least(left_at, released_at), true)
    and coalesce(connected_at < released_at, true)
    and coalesce(hold_started_at < hold_ended_at, true)
    and coalesce(wrapup_started_at < wrapup_ended_at, true) as is_straight,
    ring_steps = num_nonnulls(ring_started_at, ring_ended_at)
    and rings_one_agent
    and ring_steps_with_agent in (0, ring_steps)
    and coalesce(ring_started_at < ring_ended_at, true) as rings_once,
    joinings = 1
    and has_one_queue
    and visit_steps_with_queue = visit_steps
    and coalesce(joined_at < least(left_at, released_at), true) as has_one_visit,
    customer_id,
    call_key,
    direction,
    placed_by,
    number_key,
    number_withheld,
    shows_holds,
    shows_wrapups,
    started_at,
    answered_at,
    dialled_s,
    ended_at,
    end_reason,
    last_at,
    queue,
    agent_key,
    ring_agent_key,
    joined_at,
    ring_started_at,
    ring_ended_at,
    ring_duration_s,
    ring_reason,
    connected_at,
    wait_s,
    released_at,
    talk_duration_s,
    release_reason,
    left_at,
    left_duration_s,
    left_reason,
    hold_started_at,
    hold_ended_at,
    hold_duration_s,
    wrapup_started_at,
    wrapup_ended_at,
    wrapup_duration_s,
    transferred_at,
    transfer_reason,
    transfer_target_kind,
    joinings
from calls
