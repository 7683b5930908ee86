-- name: columns
-- The columns in which words of behaviour stand, per table, whether each has keys, and whether the table has customers.
-- The one that has the names of agents is left out: it is compared with the contract. So is what callmart notes of
-- files: sizes, times and customers are numbers, too.
select
    format('%%I.%%I', c.schema_name, c.relation_name),
    array_agg(c.column_name::text order by c.column_name),
    array_agg(c.has_keys and c.persons <> '{nobody}' order by c.column_name),
    bool_or(w.attname is not null)
from access.pointing_column as c
inner join pg_class as r on c.relation = r.oid
inner join pg_attribute as a on c.relation = a.attrelid and c.column_name = a.attname
inner join pg_type as t on a.atttypid = t.oid
left join pg_attribute as w on c.relation = w.attrelid and w.attname = 'customer_id'
where
    c.schema_name in ('raw', 'build', 'store', 'usage')
    and r.relkind in ('r', 'p', 'm')
    and (c.schema_name, c.relation_name) not in (('raw', 'file'), ('raw', 'file_look'))
    and has_table_privilege(r.oid, 'select')
    and t.typcategory not in ('N', 'D', 'T', 'B')
    and not (c.schema_name in ('store', 'build') and c.relation_name = %(mart)s and c.column_name = 'agent')
group by c.schema_name, c.relation_name
order by c.schema_name, c.relation_name;

-- name: numbers
-- In how many rows a number stands that the registry doesn't name as a queue or line of the customer: those are shown.
select count(*)
from {table} as t
where
    raw.shows_number(t.{name}::text)
    and not exists (
        select 1 from registry.queue as q
        where q.customer_id = t.customer_id and q.queue = t.{name}::text
    )
    and not exists (
        select 1 from registry.line as l
        where l.customer_id = t.customer_id and l.line = t.{name}::text
    );

-- name: proven
-- Whether what is to be found is found, and a key is a key.
select
    raw.shows_number('020-123 45 67')
    and not raw.shows_number('wachtrij 1')
    and not raw.is_key('Noor Zandvliet')
    and raw.is_key(repeat('0a', 16));

-- name: unprepared
-- Events that landing would have refused, per customer. All words but the names of queues and lines are of lists.
with wrong as (
    select
        e.customer_id,
        case
            when e.platform <> all(%(platforms)s) then 'are of an unknown service'
            when e.number_withheld and e.number_key is not null then 'have the number of a caller who withheld it'
            when e.platform = any(%(lines)s) and num_nonnulls(e.queue, e.agent_key, e.device_key) > 0
                then 'are of a line, and have a queue, an agent or a device'
            when e.recorded is not null and e.event <> 'call_ended' then 'have a recording, and end no call'
            else 'have a word that is of no list'
        end as what
    from raw.event as e
    left join raw.known_event as k on e.event = k.event
    where
        e.platform <> all(%(platforms)s)
        or (e.number_withheld and e.number_key is not null)
        or (e.platform = any(%(lines)s) and num_nonnulls(e.queue, e.agent_key, e.device_key) > 0)
        or (e.recorded is not null and e.event <> 'call_ended')
        or k.event is null
        or (e.reason is not null and e.reason <> all(k.reasons))
        or (e.direction is not null and e.direction <> all(k.directions))
        or (e.target_kind is not null and e.target_kind <> all(k.kinds))
)

select
    customer_id,
    what,
    count(*)
from wrong
group by customer_id, what
order by customer_id, what;
