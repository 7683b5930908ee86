-- name: removed
-- Those of these customers whose data was all removed.
select customer_id
from unnest(%(customers)s::int[]) as asked (customer_id)
where
    exists (
        select 1 from ops.audit_log as removed
        where removed.customer_id = asked.customer_id and removed.action = 'removed'
    )
    and not exists (
        select 1 from raw.file_customer as landed
        where landed.customer_id = asked.customer_id
    );


-- name: forget_agents
delete from registry.agent
where customer_id = any(%(customers)s);

-- name: forget_unseen_agents
delete from registry.agent
where customer_id = any(%(customers)s) and name is not null and last_day is null;

-- name: forget_names
update registry.agent
set name = null, email = null
where customer_id = any(%(customers)s) and name is not null;

-- name: write_agent
insert into registry.agent (customer_id, agent_key, agent, name, email)
values (%(customer)s, %(agent_key)s, %(agent)s, %(name)s, %(email)s)
on conflict (customer_id, agent_key) do update
    set agent = excluded.agent, name = excluded.name, email = excluded.email;

-- name: label_agents
update store.agent
set agent = registry.agent_label(customer_id, agent_key)
where customer_id = any(%(customers)s);

-- name: redate
-- Calls of these customers can be on other days now. Without a file there are none.
select raw.redate(customer_id)
from unnest(%(customers)s::int[]) as moved (customer_id)
where exists (
    select 1 from raw.file_customer as landed
    where landed.customer_id = moved.customer_id
);

-- name: mark_days
-- Mark the open days of customers dirty, each from one day on.
insert into ops.dirty_day (customer_id, call_date, cause)
select distinct
    opened.customer_id,
    opened.call_date,
    'registry'
from unnest(%(customers)s::int[], %(since)s::date[]) as changed (customer_id, since)
inner join ops.opened_day as opened on changed.customer_id = opened.customer_id
where isfinite(opened.call_date) and opened.call_date >= changed.since
on conflict (customer_id, call_date) do update set mark = excluded.mark, cause = excluded.cause;
