-- name: unordered
-- Per customer, the number of days that a mart has and no detailed contract keeps. A mart without days has one,
-- -infinity, which any detailed contract keeps.
with

present as (
    select distinct
        customer_id,
        {day} as call_date
    from {mart}
),

detailed as (
    select
        customer_id,
        valid_from,
        valid_until
    from registry.kept_contract
    where option = 'detailed'
)

select
    p.customer_id,
    count(*)
from present as p
left join detailed as d
    on p.customer_id = d.customer_id
    and (
        not isfinite(p.call_date)
        or (p.call_date >= d.valid_from and (p.call_date < d.valid_until or d.valid_until is null))
    )
where d.customer_id is null
group by p.customer_id
order by p.customer_id;

-- name: listed_unduly
-- Customers with ids or names of agents that order nothing detailed, now or later, or have anonymous agents.
with allowed as (
    select k.customer_id
    from registry.contract as k
    inner join registry.customer as c using (customer_id)
    where
        k.option = 'detailed'
        and not c.anonymous_agents
        and ((now() at time zone c.time_zone)::date < k.valid_until or k.valid_until is null)
)

select distinct customer_id
from registry.agent
where customer_id not in (select allowed.customer_id from allowed)
order by customer_id;

-- name: named_unduly
-- Customers whose agents are anonymous and not called by their keys (registry.agent_label).
select distinct a.customer_id
from store.agent as a
inner join registry.customer as c using (customer_id)
where c.anonymous_agents and a.agent is distinct from 'agent-' || left(a.agent_key, 10)
order by a.customer_id;
