-- One row per contact with a queue, only for customers that have ordered a list of contacts.

with contacts as (
    select * from {{ ref('int_contact') }}
),

several_agents as (
    select * from {{ ref('int_several_agents') }}
),

left_out as (
    select * from {{ ref('int_left_out_agent') }}
),

open_quarters as (
    select * from {{ ref('int_open_quarter') }}
),

days as (
    select * from {{ ref('stg_day') }}
),

lists as (
    select * from {{ ref('stg_contact_list') }}
),

listed as (
    select
        contacts.*,
        contacts.interval_start at time zone days.time_zone as interval_local,
        contacts.began_at at time zone days.time_zone as joined_local,
        {{ shows_work('days.option') }} as shows_agents
    from contacts
    inner join lists
        on contacts.customer_id = lists.customer_id
        and contacts.call_date >= lists.first_day
    inner join days
        on contacts.customer_id = days.customer_id
        and contacts.call_date = days.call_date
    left join several_agents
        on contacts.customer_id = several_agents.customer_id
        and contacts.call_date = several_agents.call_date
        and contacts.queue = several_agents.queue
    left join left_out
        on contacts.customer_id = left_out.customer_id
        and contacts.call_date = left_out.call_date
        and contacts.queue = left_out.queue
)

select
    listed.customer_id,
    listed.call_date,
    {{ name_shown('listed.queue', 'listed.customer_id') }} as queue,
    listed.call_key,
    listed.visit_no,
    listed.interval_start,
    listed.began_at as joined_at,
    listed.joined_local,
    coalesce(of_queue.is_open, of_all.is_open) as open,
    listed.outcome,
    listed.offered,
    listed.whole_wait_s as wait_s,
    ceil(listed.wait_s)::integer as wait_ceiling_s,
    listed.short_abandoned,
    listed.answered_in_threshold,
    listed.abandoned_in_threshold,
    {{ name_shown('listed.overflowed_to', 'listed.customer_id') }} as overflowed_to,
    {%- for name in ['rings', 'rings_answered', 'rings_unanswered', 'ring_s', 'talk_s'] %}
        case when listed.shows_agents then listed.{{ name }} end as {{ name }},
    {%- endfor %}
    case when listed.shows_agents and listed.shows_holds then listed.holds end as holds,
    case when listed.shows_agents and listed.shows_holds then listed.hold_s end as hold_s,
    case when listed.shows_agents and listed.shows_wrapups then listed.wrapup_s end as wrapup_s,
    case when listed.shows_agents then listed.transferred_blind end as transferred_blind,
    case when listed.shows_agents then listed.transferred_attended end as transferred_attended,
    listed.caller_number
from listed
{{ opening('listed', of_queues=true) }}
