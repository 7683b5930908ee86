-- A row is an agent's part of a call that ended in a transfer, with how and to what kind of target. Two sources can
-- tell of one transfer; an agent's part has at most one.

with calls as (
    select * from {{ ref('int_call') }}
),

talks as (
    select * from {{ ref('int_talk') }}
),

events as (
    select
        *,
        row_number() over (partition by customer_id, call_key, queue, agent_key order by moment, reason) as transfer_no
    from {{ ref('int_call_event') }}
    where event = 'transferred'
),

placed as (
    {{ place_in_talk('events', 'talks', 'transfer_no') }}
),

transfers as (
    select
        customer_id,
        call_key,
        part,
        -- Who asks before handing over is also seen to hand over.
        case when bool_or(reason = 'attended') then 'attended' else 'blind' end as transferred,
        case
            when bool_or(target_kind = 'queue') then 'queue'
            when bool_or(target_kind = 'agent') then 'agent'
            when bool_or(target_kind = 'number') then 'number'
            else 'other'
        end as target_kind
    from placed
    group by customer_id, call_key, part
    union all
    select
        customer_id,
        call_key,
        (connected_at is not null or released_at is not null)::integer as part,
        transfer_reason as transferred,
        transfer_target_kind as target_kind
    from calls
    where is_straight and transfer_reason is not null
)

select
    transfers.customer_id,
    transfers.call_key,
    transfers.part,
    transfers.transferred,
    transfers.target_kind
from transfers
inner join talks
    on transfers.customer_id = talks.customer_id
    and transfers.call_key = talks.call_key
    and transfers.part = talks.part
