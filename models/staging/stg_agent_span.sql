-- A row is a stretch of one customer's days to compute, without a gap, with how far to look around it.

with days as (
    select * from {{ ref('stg_day') }}
),

customers as (
    select * from {{ ref('stg_customer') }}
),

contracts as (
    select * from {{ ref('stg_contract') }}
),

events as (
    select * from {{ ref('stg_event') }}
),

numbered as (
    select
        *,
        call_date - (row_number() over (partition by customer_id order by call_date))::integer as stretch
    from days
),

stretches as (
    select
        customer_id,
        min(time_zone) as time_zone,
        min(begins_at) as begins_at,
        max(ends_at) as ends_at
    from numbered
    group by customer_id, stretch
),

-- Data that no contract keeps any more counts as never landed.
kept as (
    select
        contracts.customer_id,
        min({{ begin_of_day('contracts.valid_from', 'customers.time_zone') }}) as kept_from,
        max({{ begin_of_day("coalesce(contracts.valid_until, 'infinity')", 'customers.time_zone') }}) as kept_until
    from contracts
    inner join customers on contracts.customer_id = customers.customer_id
    where contracts.customer_id in (select days.customer_id from days)
    group by contracts.customer_id
),

known as (
    select
        kept.*,
        latest.occurred_at as known_until
    from kept
    cross join lateral (
        select events.occurred_at
        from events
        where
            events.customer_id = kept.customer_id
            and events.occurred_at >= kept.kept_from
            and events.occurred_at < kept.kept_until
        order by events.occurred_at desc
        limit 1
    ) as latest
)

select
    stretches.customer_id,
    stretches.time_zone,
    stretches.begins_at,
    stretches.ends_at,
    known.known_until,
    greatest(stretches.begins_at - {{ longest_phase() }}, known.kept_from) as looks_back_to,
    least(stretches.ends_at + {{ longest_phase() }}, known.kept_until) as looks_ahead_to
from stretches
inner join known on stretches.customer_id = known.customer_id
