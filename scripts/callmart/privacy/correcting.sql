-- name: count
select
    count(*) filter (where e.call_key is null),
    count(*) filter (where e.call_key is not null)
from raw.event as e
where
    e.customer_id = %(customer)s
    and e.occurred_at >= %(since)s
    and e.occurred_at < %(until)s
    and (e.agent_key = any(%(keys)s) or (e.target_kind = 'agent' and e.target_key = any(%(keys)s)));

-- name: days_too_old
-- How many of the days are not kept any more, and whether none is.
select
    greatest(
        0,
        least((%(until)s at time zone time_zone)::date, access.retention_floor())
        - (%(since)s at time zone time_zone)::date
    ),
    (%(until)s at time zone time_zone)::date <= access.retention_floor()
from registry.customer
where customer_id = %(customer)s;

-- name: correct
-- An event keeps its key, by which a file that lands again is known.
update raw.event as e
set
    agent_key = case when e.agent_key = any(%(keys)s) then %(agent)s else e.agent_key end,
    target_key = case
        when e.target_kind = 'agent' and e.target_key = any(%(keys)s) then %(agent)s else e.target_key
    end
where
    e.customer_id = %(customer)s
    and e.occurred_at >= %(since)s
    and e.occurred_at < %(until)s
    and (e.agent_key = any(%(keys)s) or (e.target_kind = 'agent' and e.target_key = any(%(keys)s)))
returning (e.occurred_at at time zone 'UTC')::date as of_month;

-- name: mark_days
-- A call can begin on the day before, and what an agent begins goes on for a longest phase.
insert into ops.dirty_day (customer_id, call_date, cause)
select distinct
    o.customer_id,
    o.call_date,
    'person'
from ops.opened_day as o
inner join registry.customer as t on o.customer_id = t.customer_id
where
    o.customer_id = %(customer)s
    and o.call_date >= (%(since)s at time zone t.time_zone)::date - 1
    and o.call_date <= (%(until)s at time zone t.time_zone + %(longest_phase)s::interval)::date
on conflict (customer_id, call_date) do update set mark = excluded.mark, cause = excluded.cause;

-- name: renew_tombstones
-- If the agent was erased, or objects, under a key from before a rotation, that counts for the present key: a rotation
-- renews the tombstones only of agents of whom something was left.
insert into privacy.renewed_tombstone (customer_id, kind, tombstone, renewed, key_fingerprint)
select
    t.customer_id,
    t.kind,
    t.tombstone,
    privacy.tombstone_of(s.secret, t.kind, %(agent)s),
    c.key_fingerprint
from unnest(%(former)s::text[]) as former
cross join privacy.tombstone as t
inner join privacy.secret as s on t.customer_id = s.customer_id
inner join registry.customer as c on t.customer_id = c.customer_id
where
    t.customer_id = %(customer)s
    and t.kind in ('agent', 'objector')
    and t.tombstone = privacy.tombstone_of(s.secret, t.kind, former)
on conflict do nothing;

-- name: erased_until
-- Until when the agent was erased whose the events are.
select max(t.until)
from privacy.known_tombstone as t
inner join privacy.secret as s using (customer_id)
where
    t.customer_id = %(customer)s
    and t.kind = 'agent'
    and t.tombstone = privacy.tombstone_of(s.secret, 'agent', %(agent)s);

-- name: stands
-- Whether this very correction is made already.
select exists(
    select 1
    from privacy.correction as c
    inner join privacy.secret as s on c.customer_id = s.customer_id
    cross join unnest(%(asked)s::text[]) as asked
    where
        c.customer_id = %(customer)s
        and c.since = %(since)s
        and c.until = %(until)s
        and (c.agent_key = %(agent)s or c.erased = privacy.tombstone_of(s.secret, 'agent', %(agent)s))
        and c.mistaken = privacy.tombstone_of(s.secret, 'mistaken', asked)
);

-- name: overlapping
-- A correction of the same customer whose days overlap, and which names one of the agents in any part, by a key of now
-- or from before a rotation.
select 1
from privacy.correction as c
inner join privacy.secret as s on c.customer_id = s.customer_id
cross join unnest(%(asked)s::text[]) as asked
where
    c.customer_id = %(customer)s
    and c.since < %(until)s
    and c.until > %(since)s
    and (
        c.agent_key = asked
        or c.erased = privacy.tombstone_of(s.secret, 'agent', asked)
        or c.mistaken = privacy.tombstone_of(s.secret, 'mistaken', asked)
    )
limit 1;

-- name: enter
insert into privacy.correction (entry, customer_id, mistaken, agent_key, since, until)
select
    e.entry,
    e.customer_id,
    t.tombstone,
    %(agent)s,
    e.since,
    e.until
from privacy.ledger_entry as e
inner join privacy.tombstone as t on e.entry = t.entry and t.kind = 'mistaken'
where e.entry = %(entry)s
on conflict do nothing;
