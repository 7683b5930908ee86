-- What has landed: what its events tell, and what is looked up of them while others land.

-- The events of the raw format (raw_format.py), and the values that a row of each event may have.
create or replace view raw.known_event as
select
    known.event,
    known.reasons,
    known.tells_number,
    known.ends_phase,
    known.kinds,
    known.directions
from {events} as known (event, reasons, tells_number, ends_phase, kinds, directions);

-- When what an event tells of an agent began (raw_format.py).
create or replace function raw.begun_at(event text, occurred_at timestamptz, duration_s double precision)
returns timestamptz
stable
return {beginning};

-- The phase that an agent's event outside of calls begins or ends. Only an event of the same phase can end it.
create or replace function raw.phase_of(event text, device_key text, queue text) returns text
immutable
parallel safe
return {phase_of_event};

-- What has landed, by the two functions above. A node of a cluster has none of our functions, but any view's columns.
create or replace view raw.timed_event as
select
    customer_id,
    occurred_at,
    event_key,
    ordinal,
    event,
    call_key,
    queue,
    agent_key,
    device_key,
    duration_s,
    {phase_of_event} as phase,
    {beginning} as begun_at
from raw.event;

-- The customer's last event from one moment on and before another, or null. It looks only into the months between them.
-- In a cluster, Citus takes any SQL only about one customer, so this and others of landing are asked per customer.
create or replace function raw.last_event(customer integer, since timestamptz, until timestamptz) returns timestamptz
stable
language plpgsql
as $$
declare
    found_at timestamptz;
begin
    select e.occurred_at into found_at
    from raw.event as e
    where e.customer_id = customer and e.occurred_at >= since and e.occurred_at < until
    order by e.occurred_at desc
    limit 1;
    return found_at;
end
$$;

-- From the customer's first event between two moments to the last one, or null if there is none.
create or replace function raw.known_between(customer integer, since timestamptz, until timestamptz) returns tstzrange
stable
language plpgsql
as $$
declare
    first_at timestamptz;
    last_at timestamptz;
begin
    select min(e.occurred_at), max(e.occurred_at) into first_at, last_at
    from raw.event as e
    where e.customer_id = customer and e.occurred_at between since and until;
    return case when first_at is not null then tstzrange(first_at, last_at, '[]') end;
end
$$;

-- The customer's calls over several days with a part between two moments.
create or replace function raw.calls_over_days(customer integer, since timestamptz, until timestamptz)
returns table (first_at timestamptz, last_at timestamptz)
stable
language plpgsql
as $$
begin
    return query
    select k.first_at, k.last_at
    from raw.call as k
    where k.customer_id = customer and k.spans_days and k.last_at >= since and k.first_at < until;
end
$$;

-- Whether a call belongs to what was before a moment: whether its first event lies there, or something began there that
-- an agent did. The beginning in raw.call does not say that, because it is measured back from waits as well.
create or replace function raw.began_before(customer integer, call bigint, moment timestamptz) returns boolean
stable
language plpgsql
as $$
begin
    return exists (
        select 1
        from raw.call as c
        where
            c.customer_id = customer
            and c.call_key = call
            and c.first_at < moment
            and (
                c.last_at < moment
                or exists (
                    select 1
                    from raw.timed_event as e
                    where
                        e.customer_id = customer
                        and e.call_key = call
                        and e.occurred_at between c.first_at and c.last_at
                        and e.begun_at < moment
                )
            )
    );
end
$$;

-- Whether a customer has an event of an agent outside of calls between two moments.
create or replace function raw.tells_of_agents(customer integer, since timestamptz, until timestamptz) returns boolean
stable
language plpgsql
as $$
begin
    perform 1
    from raw.event as e
    where
        e.customer_id = customer
        and e.call_key is null
        and e.agent_key is not null
        and e.occurred_at between since and until
    limit 1;
    return found;
end
$$;

-- From when until when the phases last that have new events, of a customer's agents. Given of each phase are its first
-- and last new event, and the moments of the new events before and after these.
create or replace function raw.phases_around(
    customer integer, now_until timestamptz, longest_phase interval,
    agents text[], phases text[], firsts timestamptz[], lasts timestamptz[], measured timestamptz[],
    preceded timestamptz[], followed timestamptz[]
)
returns table (first_at timestamptz, last_at timestamptz)
stable
rows 10 -- with 1,000, which is the default, PostgreSQL clears memory for a million phases in each landing
language plpgsql
as $$
begin
    return query
    -- Not materialized: each look-up reads its few rows by an index.
    with outside_calls as not materialized (
        select e.agent_key, e.event, e.phase, e.occurred_at, e.duration_s
        from raw.timed_event as e
        where e.customer_id = customer and e.call_key is null
    )

    select
        least(coalesce(before.occurred_at, n.preceded_at), n.measured_from, after.measured_from),
        -- A phase that nothing follows lasts until the end of the data.
        coalesce(after.occurred_at, least(n.followed_at, n.last_at + longest_phase, now_until))
    from unnest(agents, phases, firsts, lasts, measured, preceded, followed)
        as n (agent_key, phase, first_at, last_at, measured_from, preceded_at, followed_at)
    left join lateral (
        select e.occurred_at
        from outside_calls as e
        where
            e.agent_key = n.agent_key
            and e.phase = n.phase
            and e.occurred_at >= coalesce(n.preceded_at, n.first_at - longest_phase)
            and e.occurred_at < n.first_at
        order by e.occurred_at desc
        limit 1
    ) as before on true
    -- The next event that ends the phase. A moment with as many beginnings as ends changes nothing and is skipped.
    left join lateral (
        select
            e.occurred_at,
            e.occurred_at - least(make_interval(secs => coalesce(e.duration_s, 0)), longest_phase) as measured_from
        from outside_calls as e
        where
            e.agent_key = n.agent_key
            and e.phase = n.phase
            and e.occurred_at > n.last_at
            and e.occurred_at < least(n.followed_at, n.last_at + longest_phase)
            and (
                n.phase = 'agent_status'
                or (
                    select
                        count(*) filter (where o.event in ('agent_logged_in', 'agent_joined_queue', 'wrapup_started'))
                        <> count(*) filter (where o.event in ('agent_logged_out', 'agent_left_queue', 'wrapup_ended'))
                    from outside_calls as o
                    where
                        o.agent_key = e.agent_key
                        and o.phase = e.phase
                        and o.occurred_at = e.occurred_at
                )
            )
        order by e.occurred_at, e.duration_s
        limit 1
    ) as after on true;
end
$$;
