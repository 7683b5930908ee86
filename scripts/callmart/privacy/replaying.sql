-- name: returned
-- The agents and callers with a tombstone of whom there is something from before its end. A call that began before may
-- end a longest phase later.
with erased as (
    select
        t.customer_id,
        t.kind,
        t.tombstone,
        s.secret,
        max(t.until) as until
    from privacy.tombstone as t
    inner join privacy.secret as s using (customer_id)
    group by t.customer_id, t.kind, t.tombstone, s.secret
),

-- A cluster's nodes send one row per person, not the events.
known as (
    select
        e.customer_id,
        named.kind,
        named.key,
        min(e.occurred_at) as first_at
    from privacy.erased_until as u
    inner join raw.event as e on u.customer_id = e.customer_id and u.calls_until > e.occurred_at
    cross join
        lateral (
            values
            ('agent', e.agent_key),
            ('caller', e.number_key),
            (case when e.target_kind = 'number' then 'caller' else 'agent' end, e.target_key)
        ) as named (kind, key)
    where
        named.key is not null
        and (
            u.until > e.occurred_at
            or (e.customer_id, e.call_key) in (
                select
                    c.customer_id,
                    c.call_key
                from privacy.erased_until as at_end
                inner join raw.call as c
                    on at_end.customer_id = c.customer_id and at_end.until between c.first_at and c.last_at
            )
        )
    group by e.customer_id, named.kind, named.key
    union all
    select
        a.customer_id,
        'agent',
        a.agent_key,
        coalesce(a.last_day::timestamp at time zone c.time_zone, '-infinity')
    from registry.agent as a
    inner join registry.customer as c using (customer_id)
)

select
    k.customer_id,
    k.kind,
    k.key,
    max(e.until)
from known as k
inner join erased as e
    on k.customer_id = e.customer_id
    and k.kind = e.kind
    and k.first_at < e.until + %(longest_phase)s::interval -- a call that began before
    and e.tombstone = privacy.tombstone_of(e.secret, k.kind, k.key)
where
    k.first_at < e.until
    or exists (
        select 1 from raw.calls_naming(k.customer_id, k.key, e.until, e.until + %(longest_phase)s::interval) as late
        where raw.began_before(k.customer_id, late, e.until)
    )
group by k.customer_id, k.kind, k.key
order by k.customer_id, k.kind, k.key;

-- name: number_on
-- No request gets the number of one that the ledger knows: a restored register has forgotten that one.
with known as (
    select max(request) as latest from privacy.ledger_entry
)

select setval('privacy.request_number_seq', k.latest)
from known as k
cross join privacy.request_number_seq as s
where k.latest >= s.last_value;

-- name: objectors
-- The agents of whom the ledger has said, in one of its entries, that they are left out or shown again.
with marked as (
    select distinct
        t.customer_id,
        t.tombstone,
        s.secret
    from privacy.known_tombstone as t
    inner join privacy.secret as s using (customer_id)
    where t.customer_id = any(%(customers)s) and t.kind = 'objector'
)

select
    a.customer_id,
    a.agent_key
from privacy.known_agent as a
inner join marked as m
    on a.customer_id = m.customer_id
    and left(a.agent_key, 6) = left(m.tombstone, 6)
    and m.tombstone = privacy.tombstone_of(m.secret, 'objector', a.agent_key)
order by a.customer_id, a.agent_key;

-- name: corrections
-- What the ledger corrects: the key of the agent whose the events are, and the keys of the one whose they seem to be. A
-- correction is left out if nothing here has the first one's key.
with known as (
    select
        e.entry,
        e.customer_id,
        e.since,
        e.until,
        t.kind,
        a.agent_key
    from privacy.ledger_entry as e
    inner join privacy.known_tombstone as t on e.entry = t.entry and t.kind in ('mistaken', 'corrected')
    inner join privacy.secret as s on e.customer_id = s.customer_id
    inner join privacy.known_agent as a
        on e.customer_id = a.customer_id
        and left(a.agent_key, 6) = left(t.tombstone, 6)
        and t.tombstone = privacy.tombstone_of(s.secret, t.kind, a.agent_key)
    where e.customer_id = any(%(customers)s) and e.asked_right = 'rectification'
)

select
    entry,
    customer_id,
    since,
    until,
    min(agent_key) filter (where kind = 'corrected') as agent_key,
    coalesce(array_agg(agent_key) filter (where kind = 'mistaken'), '{}') as mistaken
from known
group by entry, customer_id, since, until
having bool_or(kind = 'corrected')
order by entry;

-- name: uncorrected
-- The number of the ledger's corrections, per customer, that could not be made: nothing here has the key of the agent
-- whose the events are. Those under a key that the customer's never was are nobody's any more.
select
    e.customer_id,
    count(*)
from privacy.ledger_entry as e
inner join registry.customer as c using (customer_id)
where
    e.asked_right = 'rectification'
    and not exists (
        select 1 from privacy.correction as made
        where made.entry = e.entry
    )
    and (
        e.key_fingerprint = c.key_fingerprint
        or exists (
            select 1 from registry.former_fingerprint as f
            where f.customer_id = e.customer_id and f.key_fingerprint = e.key_fingerprint
        )
    )
group by e.customer_id
order by e.customer_id;

-- name: hide_days
-- Returns the months from which rows went.
with hidden as (
    delete from {mart} as t using ops.dirty_day as d
    where t.customer_id = %(customer)s and d.customer_id = t.customer_id and d.cause = 'person' and d.call_date = {day}
    returning {day} as day
)

select distinct access.partition_of({table}, day) from hidden;

-- name: hide_customer
-- A mart without days is computed whole with any day of the customer. Returns its table, if rows went.
with hidden as (
    delete from {mart} as t
    where
        t.customer_id = %(customer)s
        and exists (
            select 1 from ops.dirty_day as d
            where d.customer_id = t.customer_id and d.cause = 'person'
        )
    returning t.customer_id
)

select distinct {table} from hidden;

-- name: forget_hidden
delete from ops.opened_day as o using ops.dirty_day as d
where
    o.customer_id = %(customer)s
    and d.customer_id = o.customer_id
    and d.cause = 'person'
    and (d.call_date = o.call_date or not isfinite(o.call_date));

-- name: keyed
-- The customers of whom somebody was erased who is known again by an address or a name, with the keys' fingerprints.
select distinct
    t.customer_id,
    c.key_fingerprint
from privacy.tombstone as t
inner join registry.customer as c using (customer_id)
where t.kind in ('contact', 'recipient', 'name') and c.key_fingerprint is not null
order by t.customer_id;

-- name: addresses
-- The contacts and recipients of customers of whom one was erased, and agents with such an address.
with named as (
    select
        customer_id,
        'contact' as kind,
        email
    from registry.contact
    union all
    select
        customer_id,
        'recipient',
        email
    from registry.recipient
    union all
    select
        customer_id,
        'contact',
        email
    from registry.agent
    where email is not null
)

select
    n.customer_id,
    n.kind,
    n.email
from named as n
where
    (n.customer_id, n.kind) in (
        select
            t.customer_id,
            t.kind
        from privacy.tombstone as t
    )
order by n.customer_id, n.kind, n.email;

-- name: names
-- The names of contacts and the labels of queues and lines, of customers of whom an agent was erased.
with named as (
    select
        customer_id,
        'contact' as table_name,
        name
    from registry.contact
    union
    select
        customer_id,
        'queue',
        label
    from registry.queue
    union
    select
        customer_id,
        'line',
        label
    from registry.line
)

select
    n.customer_id,
    n.table_name,
    n.name
from named as n
where
    n.name is not null
    and n.customer_id in (
        select t.customer_id from privacy.tombstone as t
        where t.kind = 'name'
    );

-- name: forget_contact
update registry.contact
set name = email
where customer_id = %(customer)s and name = %(name)s;

-- name: forget_queue
update registry.queue
set label = null
where customer_id = %(customer)s and label = %(name)s;

-- name: forget_line
update registry.line
set label = null
where customer_id = %(customer)s and label = %(name)s;
