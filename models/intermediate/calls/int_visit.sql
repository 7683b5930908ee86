-- A row is a visit of a call to a queue (a contact), with its outcome.

with visits as (
    select * from {{ ref('int_straight_visit') }}
    union all
    select * from {{ ref('int_tangled_visit') }}
),

customers as (
    select * from {{ ref('stg_customer') }}
),

timed as (
    select
        *,
        coalesce(
            joined_at,
            connected_at - {{ seconds_interval('coalesce(connected_wait_s, 0)') }},
            left_at - {{ seconds_interval('coalesce(left_duration_s, 0)') }}
        ) as began_at,
        -- A wait without an end lasts at least until the last event of the call.
        coalesce(connected_at, left_at, call_last_at) as wait_ended_at,
        case
            when connected_at is not null then 'answered'
            when left_reason is not null then left_reason
            else 'still_open'
        end as outcome,
        greatest(
            case
                when connected_at is not null
                    then coalesce(
                        connected_wait_s,
                        {{ seconds_between('joined_at', 'connected_at') }},
                        0
                    )
                else coalesce(
                    left_duration_s,
                    {{ seconds_between('joined_at', 'left_at') }},
                    0
                )
            end,
            0
        ) as finished_wait_s
    from visits
)

select
    timed.customer_id,
    {{ local_date('timed.began_at', 'customers.time_zone') }} as call_date,
    timed.queue,
    timed.call_key,
    timed.visit_no,
    timed.began_at,
    timed.wait_ended_at,
    timed.outcome,
    case when timed.outcome <> 'still_open' then timed.finished_wait_s end as wait_s,
    case
        when timed.next_queue <> timed.queue and timed.outcome not in ('answered', 'still_open') then timed.next_queue
    end as overflowed_to,
    timed.number_key,
    timed.number_withheld,
    timed.first_agent_key,
    timed.last_agent_key,
    coalesce(timed.rings, 0) as rings,
    coalesce(timed.rings_answered, 0) as rings_answered,
    coalesce(timed.rings_unanswered, 0) as rings_unanswered,
    coalesce(timed.ring_s, 0) as ring_s,
    coalesce(timed.talk_s, 0) as talk_s,
    coalesce(timed.holds, 0) as holds,
    coalesce(timed.hold_s, 0) as hold_s,
    coalesce(timed.wrapup_s, 0) as wrapup_s,
    coalesce(timed.transferred_blind, 0) as transferred_blind,
    coalesce(timed.transferred_attended, 0) as transferred_attended,
    timed.shows_holds,
    timed.shows_wrapups
from timed
inner join customers on timed.customer_id = customers.customer_id
