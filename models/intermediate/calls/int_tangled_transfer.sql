-- A row is a part of a tangled call that ended in a transfer.

with talks as (
    select * from {{ ref('int_tangled_talk') }}
),

events as (
    select *
    from {{ ref('int_tangled_event') }}
    where event = 'transferred'
),

of_parts as (
    {{ place_in_talk('events', 'talks') }}
)

select
    customer_id,
    call_key,
    part,
    -- An attended transfer can also appear as a blind one, even in the same source.
    case when bool_or(reason = 'attended') then 'attended' else 'blind' end as transferred,
    case
        when bool_or(target_kind = 'queue') then 'queue'
        when bool_or(target_kind = 'agent') then 'agent'
        when bool_or(target_kind = 'number') then 'number'
        else 'other'
    end as target_kind
from of_parts
group by customer_id, call_key, part
