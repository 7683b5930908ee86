-- name: customer
-- A customer by its number: what it is called, its language, its clock and its day by that, what it has ordered today,
-- its first open day, and from which day on data about agents and its list of contacts are kept.
select
    c.customer_id,
    c.name,
    c.locale,
    c.time_zone,
    (now() at time zone c.time_zone)::date as today,
    o.option,
    o.orders,
    (
        select min(d.call_date) from ops.opened_day as d
        where d.customer_id = c.customer_id and d.call_date > '-infinity'
    ) as since,
    (
        select min(k.valid_from) from registry.kept_contract as k
        where k.customer_id = c.customer_id and k.option = 'detailed'
    ) as detailed_since,
    l.first_day as contacts_since
from registry.customer as c
left join registry.current_option as o using (customer_id)
left join registry.contact_list as l using (customer_id)
where c.customer_id = %(customer)s;

-- name: agents
-- What agents are called, by key. Those with the same name get the beginning of their keys, as on Tableau.
select
    agent_key,
    case when count(*) over (partition by agent) > 1 then agent || ' (' || left(agent_key, 4) || ')' else agent end
from mart.agent;

-- name: queues
-- The labels of queues, how they are shown, their targets, their thresholds and which abandons are short. Those with
-- the same label get their names, which Tableau shows.
select
    queue,
    label,
    case when count(*) over (partition by coalesce(label, queue)) > 1 then label || ' (' || queue || ')' else label end,
    service_level_target,
    service_level_s,
    short_abandon_s
from mart.queue_label;

-- name: lines
-- As queues.
select
    line,
    label,
    case when count(*) over (partition by coalesce(label, line)) > 1 then label || ' (' || line || ')' else label end
from mart.line_label;

-- name: held_back
select call_date from mart.held_back_day
order by call_date;

-- name: through
select
    through,
    so_far
from mart.data_through
where through is not null;

-- name: definitions
-- By which definitions days of a mart were computed: the columns that each gives, and its last day, the latest first.
select
    definition_id,
    columns,
    max(call_date) as last_day
from mart.day_definition
where mart = %(mart)s and call_date = any(%(days)s)
group by definition_id, columns
order by last_day desc;
