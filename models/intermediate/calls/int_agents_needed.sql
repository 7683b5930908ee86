-- A row is a number of contacts that joined a queue in a quarter-hour of a day, with the agents that it takes, by
-- Erlang C, to answer the targeted share of them within the threshold.

with recursive visits as (
    select * from {{ ref('int_visit') }}
),

customers as (
    select * from {{ ref('stg_customer') }}
),

queues as (
    select * from {{ ref('stg_queue') }}
),

-- The targets are the queue's own, or else the customer's.
quarter_hours as (
    select
        visits.customer_id,
        visits.call_date,
        visits.queue,
        coalesce(queues.service_level_s, customers.service_level_s) as service_level_s,
        coalesce(queues.service_level_target, customers.service_level_target) as service_level_target,
        count(*) as offered,
        count(*) filter (where visits.outcome = 'answered') as answered,
        sum(visits.talk_s) as talk_s,
        sum(visits.talk_s + coalesce(visits.hold_s, 0) + coalesce(visits.wrapup_s, 0)) as handled_s
    from visits
    inner join customers on visits.customer_id = customers.customer_id
    left join queues
        on visits.customer_id = queues.customer_id
        and visits.queue = queues.queue
    where coalesce(queues.service_level_target, customers.service_level_target) is not null
    group by
        visits.customer_id,
        visits.call_date,
        visits.queue,
        coalesce(queues.service_level_s, customers.service_level_s),
        coalesce(queues.service_level_target, customers.service_level_target),
        {{ quarter_hour('visits.began_at') }}
),

-- A quarter-hour has too few contacts to know how long one takes, so it is the mean of the day.
handled as (
    select
        customer_id,
        call_date,
        queue,
        sum(handled_s)::double precision / sum(answered) as handling_s
    from quarter_hours
    group by customer_id, call_date, queue
    having sum(talk_s) > 0 and sum(answered) > 0
),

loads as (
    select distinct
        quarter_hours.customer_id,
        quarter_hours.call_date,
        quarter_hours.queue,
        quarter_hours.offered,
        quarter_hours.offered * handled.handling_s / 900 as erlangs,
        quarter_hours.service_level_s / handled.handling_s as threshold,
        -- No number of agents answers all in time: 999 of 1,000 stand for all.
        1 - least(0.999, quarter_hours.service_level_target) as may_wait_longer
    from quarter_hours
    inner join handled using (customer_id, call_date, queue)
    -- Nobody plans a thousand agents for a queue: then a call was never ended. Each agent is a step below.
    where quarter_hours.offered * handled.handling_s / 900 <= 1000
),

-- `blocked` is Erlang B, the share of calls that would find no free agent if none could wait; each step adds an agent.
-- From it follows Erlang C, the share that has to wait, and of those the share that waits longer than the threshold.
staffed as (
    select
        *,
        0 as agents,
        1::double precision as blocked
    from loads
    union all
    select
        customer_id,
        call_date,
        queue,
        offered,
        erlangs,
        threshold,
        may_wait_longer,
        agents + 1 as agents,
        erlangs * blocked / (agents + 1 + erlangs * blocked) as blocked
    from staffed
    where case
        when agents <= erlangs then true
        else
            agents * blocked / (agents - erlangs * (1 - blocked))
            * exp(greatest(-(agents - erlangs) * threshold, -700)) -- of less it is an error
            > may_wait_longer
    end
)

select
    customer_id,
    call_date,
    queue,
    offered,
    max(agents) as agents
from staffed
group by customer_id, call_date, queue, offered
