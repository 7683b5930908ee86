-- A row is a local day of an agent, under a detailed contract only. Contacts and talk count on the day on which the
-- agent was connected, a ring on the day on which it began.

with talks as (
    select * from {{ ref('int_talk') }}
),

rings as (
    select * from {{ ref('int_ring') }}
),

days as (
    select * from {{ ref('stg_day') }}
    where option = 'detailed'
),

-- An agent who was connected twice in one contact has one contact, on the day of the first time.
talks_in_contact as (
    select
        *,
        row_number() over (
            partition by customer_id, call_key, queue, visit_no, agent_key order by connected_at, talk_no
        ) as nth_in_contact
    from talks
),

facts as (
    select
        customer_id,
        agent_key,
        connected_at as happened_at,
        (nth_in_contact = 1)::integer as contacts,
        0 as rings,
        0 as rings_unanswered,
        0 as ring_s,
        {{ whole_seconds('talk_s') }} as talk_s
    from talks_in_contact
    union all
    select
        customer_id,
        agent_key,
        started_at as happened_at,
        0 as contacts,
        1 as rings,
        (reason in ('no_answer', 'busy', 'declined', 'caller_left'))::integer as rings_unanswered,
        {{ whole_seconds('ring_s') }} as ring_s,
        0 as talk_s
    from rings
)

-- A call that a log connects to nobody is nobody's contact.
select
    facts.customer_id,
    days.call_date,
    facts.agent_key,
    sum(facts.contacts)::integer as contacts,
    sum(facts.rings)::integer as rings,
    sum(facts.rings_unanswered)::integer as rings_unanswered,
    coalesce(sum(facts.ring_s), 0)::integer as ring_s,
    coalesce(sum(facts.talk_s), 0)::integer as talk_s
from facts
inner join days
    on facts.customer_id = days.customer_id
    and facts.happened_at >= days.begins_at
    and facts.happened_at < days.ends_at
where facts.agent_key is not null
group by facts.customer_id, days.call_date, facts.agent_key
