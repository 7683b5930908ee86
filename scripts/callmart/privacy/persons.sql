-- name: of_agents
-- What the registry has of agents, by their keys, and whether they had events later under a detailed contract.
select
    a.agent,
    a.name,
    a.email,
    coalesce(a.last_day >= (%(until)s at time zone c.time_zone)::date, false)
from registry.agent as a
inner join registry.customer as c on a.customer_id = c.customer_id
where a.customer_id = %(customer)s and a.agent_key = any(%(keys)s);

-- name: rows
-- Whom the registry of a customer names.
select
    'agent',
    agent_key,
    agent,
    name,
    email
from registry.agent
where customer_id = %(customer)s
union all
select
    'contact',
    null,
    null,
    name,
    email
from registry.contact
where customer_id = %(customer)s
union all
select
    'recipient',
    null,
    null,
    null,
    email
from registry.recipient
where customer_id = %(customer)s;

-- name: others
-- Agents who may be the same person under another id, and why: the same name or address (`alike`), the same device, or
-- the same id but for how the interface is written (SIP/101, PJSIP/101, Agent/101, 101), or but for case and the way in
-- which accents are composed: who types é may get one letter or two.
with interfaces as (
    select regexp_replace(lower(normalize(id, nfkc)), '^.*/|@.*$', '', 'g') as interface
    from unnest(%(ids)s::text[]) as id
),

devices as (
    select distinct e.device_key
    from raw.event as e
    where e.customer_id = %(customer)s and e.agent_key = any(%(keys)s) and e.device_key is not null
),

found as (
    select
        agent_key,
        'name' as reason
    from unnest(%(alike)s::text[]) as agent_key
    union
    select
        a.agent_key,
        'interface'
    from registry.agent as a
    inner join interfaces as i
        on regexp_replace(lower(normalize(a.agent, nfkc)), '^.*/|@.*$', '', 'g') = i.interface
    where a.customer_id = %(customer)s
    union
    select distinct -- a cluster's node sends one row per agent
        e.agent_key,
        'device'
    from raw.event as e
    inner join devices as d on e.device_key = d.device_key
    where e.customer_id = %(customer)s and e.agent_key !~ '^~'
)

select
    coalesce(max(a.agent), 'agent-' || left(f.agent_key, 10)) as shown,
    string_agg(distinct f.reason, ', ' order by f.reason) as reasons
from found as f
left join registry.agent as a on a.customer_id = %(customer)s and f.agent_key = a.agent_key
where f.agent_key <> all(%(keys)s)
group by f.agent_key
order by shown;

-- name: words_of_others
-- The words of everybody else, and names of customers, queues and lines; and whether they are of this customer. Labels
-- are not among them: they are ours to change, so a person must not hide in one.
with named as (
    select
        customer_id,
        unnest(array[agent, name, email]) as word
    from registry.agent
    where not (customer_id = %(customer)s and %(kind)s = 'agent' and agent_key = any(%(keys)s))
    union all
    select
        customer_id,
        unnest(array[email, name])
    from registry.contact
    where
        not (
            customer_id = %(customer)s
            and (
                lower(trim(email)) = any(%(words)s)
                or (%(kind)s = 'agent' and lower(trim(name)) = any(%(words)s)) -- counts as the agent
            )
        )
    union all
    select
        customer_id,
        email
    from registry.recipient
    where not (customer_id = %(customer)s and lower(trim(email)) = any(%(words)s))
    union all
    select
        customer_id,
        name
    from registry.customer
    union all
    select
        customer_id,
        queue
    from registry.queue
    union all
    select
        customer_id,
        line
    from registry.line
)

select
    lower(trim(word)),
    bool_or(customer_id = %(customer)s)
from named
where word is not null
group by lower(trim(word));
