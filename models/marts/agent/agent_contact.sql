-- One row per agent's part of a call, only for days under a detailed contract.

with parts as (
    select * from {{ ref('int_agent_part') }}
    where agent_key is not null and not {{ is_left_out('agent_key') }} -- a log can connect a call to nobody
),

days as (
    select * from {{ ref('stg_day') }}
    where option = 'detailed'
)

select
    parts.customer_id,
    parts.call_date,
    parts.call_key,
    parts.part,
    parts.agent_key,
    {{ name_shown('parts.queue', 'parts.customer_id') }} as queue,
    coalesce(parts.direction, 'inbound') as direction,
    {{ quarter_hour('parts.begun_at') }} as interval_start,
    parts.begun_at as started_at,
    parts.begun_at at time zone days.time_zone as started_local,
    parts.begins_contact::integer as contacts,
    {{ whole_seconds('parts.wait_s') }} as wait_s,
    parts.ring_s,
    {{ whole_sum('parts.talk_s') }} as talk_s,
    parts.holds::integer as holds,
    {{ whole_sum('parts.hold_s') }} as hold_s,
    {{ whole_sum('parts.wrapup_s') }} as wrapup_s,
    parts.ended,
    parts.transferred,
    parts.target_kind as transfer_target
from parts
inner join days
    on parts.customer_id = days.customer_id
    and parts.call_date = days.call_date
