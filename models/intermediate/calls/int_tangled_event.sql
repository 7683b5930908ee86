-- A row is an event with its place in the call: its moment, and the visit that it belongs to. Tangled calls have all
-- their steps here; straight calls that ring more than once have only their rings.

{% set begins = "event in ('ring_started', 'agent_connected', 'hold_started', 'wrapup_started')" %}
{% set ends = "event in ('ring_ended', 'agent_released', 'hold_ended', 'wrapup_ended')" %}
{% set kind = "split_part(event, '_', 1)" %}
{% set needs_no_queue -%}
    event in ('ring_ended', 'agent_released', 'hold_started', 'hold_ended', 'wrapup_started', 'wrapup_ended')
{%- endset %}
{# The columns of an event beside its queue and its visit, which are found out here. #}
{% set others -%}
    customer_id,
    call_key,
    agent_key,
    event,
    reason,
    target_kind,
    number_key,
    number_withheld,
    occurred_at,
    duration_s,
    wait_s,
    shows_holds,
    shows_wrapups,
    call_last_at,
    moment
{%- endset %}

with events as (
    select * from {{ ref('stg_call_event') }}
    where event not in ('call_started', 'call_answered', 'call_ended')
),

calls as (
    select * from {{ ref('int_call') }}
    where not (is_straight and rings_once)
),

in_order as (
    select
        events.customer_id,
        events.call_key,
        -- What names no queue, such as the end of a hold, is of the one queue that all steps of the visit name.
        case when calls.has_one_visit then coalesce(events.queue, calls.queue) else events.queue end as queue,
        events.agent_key,
        events.event,
        events.reason,
        events.target_kind,
        coalesce(events.number_key, calls.number_key) as number_key,
        calls.number_withheld,
        events.occurred_at,
        events.duration_s,
        events.wait_s,
        calls.shows_holds,
        calls.shows_wrapups,
        calls.last_at as call_last_at,
        dense_rank() over (
            partition by events.customer_id, events.call_key
            order by {{ moment_order('events') }}
        ) as moment,
        -- Visits of other calls are numbered below.
        case when calls.has_one_visit then 1::bigint end as visit_no,
        calls.queue is not null
        and bool_or(events.{{ needs_no_queue }} and events.queue is null and events.agent_key is not null) over (
            partition by events.customer_id, events.call_key
        ) as lacks_queues
    from events
    inner join calls
        on events.customer_id = calls.customer_id
        and events.call_key = calls.call_key
        and (not calls.is_straight or events.event in ('ring_started', 'ring_ended'))
),

-- What an agent began in the call, and its end, in whichever queue. Only where it is needed, as it costs two sorts.
lacking_queues as (
    select * from in_order
    where visit_no is null and lacks_queues
),

begun as (
    {{ number_phases(
        'lacking_queues',
        name='phase_no',
        starts=begins,
        ends=ends,
        partition='customer_id, call_key, agent_key, ' ~ kind,
        then_by='queue',
    ) }}
),

of_several_visits as (
    select
        {{ others }},
        queue
    from in_order
    where visit_no is null and not lacks_queues
    union all
    -- An end that names no queue ends what the agent began last, and belongs to the queue that its beginning names. The
    -- end of a hold or a wrap-up can name the queue for both.
    select
        {{ others }},
        case
            when {{ needs_no_queue }} and agent_key is not null
                then coalesce(
                    queue,
                    min(queue) filter (where event not in ('ring_ended', 'agent_released')) over phase
                )
            else queue
        end as queue
    from begun
    window phase as (partition by customer_id, call_key, agent_key, {{ kind }}, phase_no)
),

numbered as (
    {{ number_phases(
        'of_several_visits',
        name='visits_begun',
        starts="event = 'queue_joined'",
        ends="event in ('queue_left', 'agent_released')",
        partition='customer_id, call_key, queue',
    ) }}
),

with_first_moments as (
    select
        *,
        min(moment) filter (where event = 'queue_joined') over visits_of_queue as first_joined,
        min(moment) filter (where event in ('queue_left', 'agent_released')) over visits_of_queue as first_ended,
        min(moment) filter (where event = 'agent_connected') over visits_of_queue as first_connected
    from numbered
    window visits_of_queue as (partition by customer_id, call_key, queue)
)

select
    {{ others }},
    queue,
    visit_no
from in_order
where visit_no is not null
union all
select
    {{ others }},
    queue,
    -- A source can write the connection before the joining. So events before the first joining belong to the first
    -- visit, unless one of them is an end: then they are a visit whose beginning the source does not show. So are they
    -- if an end in the moment of the first joining follows a connection before it.
    case
        when visits_begun > 0 or first_ended < first_joined or first_joined is null then visits_begun
        when first_ended = first_joined and first_connected < first_joined then 0
        else 1
    end as visit_no
from with_first_moments
