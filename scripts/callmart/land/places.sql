-- sqlfluff:dialect:postgres
-- What landing has stored of a person up to a moment, and how it is erased. The temporary tables are of one person and
-- one transaction: erased_call, and erased_event with what is deleted (outside calls) or changed (in calls). What ends
-- after `until` outside calls and reaches back before it stays, and is measured from `until`. The statements gather,
-- count, find the days and cells that change, and erase, in this order. A statement on events may run on a node of a
-- cluster, so our functions are called in others.

-- name: forget
-- What an earlier look in the same transaction has left.
drop table if exists
pg_temp.named_call,
pg_temp.erased_call,
pg_temp.own_device,
pg_temp.erased_event,
pg_temp.changed_event,
pg_temp.erased_end,
pg_temp.erased_login_day,
pg_temp.erased_day;

-- name: named_calls
-- The calls that name the person. Of most the last event says already that they began before `until`.
create temporary table named_call on commit drop as
with named as (
    select distinct e.call_key
    from raw.event as e
    where
        e.customer_id = %(customer)s
        and e.call_key is not null
        and (
            (%(kind)s = 'agent' and e.agent_key = any(%(keys)s))
            or (%(kind)s = 'caller' and e.number_key = any(%(keys)s))
            or (e.target_kind = %(target_kind)s and e.target_key = any(%(keys)s))
        )
)

select
    c.call_key,
    c.first_at,
    c.last_at,
    c.last_at < %(until)s as is_over
from named
inner join raw.call as c on named.call_key = c.call_key and c.customer_id = %(customer)s;

-- name: erased_calls
-- The calls that name the person and began before `until`.
create temporary table erased_call on commit drop as
select
    call_key,
    first_at,
    last_at,
    raw.random_key() as new_key
from named_call
where is_over or raw.began_before(%(customer)s, call_key, %(until)s);

-- name: own_devices
-- The devices that nobody else used: their keys lead to the agent.
create temporary table own_device on commit drop as
select e.device_key
from raw.event as e
where
    e.customer_id = %(customer)s
    and e.device_key in (
        select used.device_key from raw.event as used
        where
            used.customer_id = %(customer)s
            and used.agent_key = any(%(keys)s)
            and (used.occurred_at < %(until)s or used.call_key in (select call_key from erased_call))
    )
group by e.device_key
having bool_and(e.agent_key is null or e.agent_key = any(%(keys)s));

-- name: erased_events_of_agent
-- The agent's events. Those outside calls have the time in which what they begin or end goes on: after the end of the
-- data, if nothing has ended it yet. `reaches_back`: it came later, and what it ends began before.
create temporary table erased_event on commit drop as
with outside as (
    select
        e.*,
        lead(e.occurred_at) over (partition by e.agent_key, e.phase order by e.occurred_at) as next_at
    from raw.timed_event as e
    where e.customer_id = %(customer)s and e.call_key is null and e.agent_key = any(%(keys)s)
)

select
    o.occurred_at,
    o.event_key,
    o.ordinal,
    o.call_key,
    o.agent_key,
    o.device_key,
    o.event,
    o.queue,
    o.occurred_at
    - make_interval(
        secs => least(coalesce(o.duration_s, 0), extract(epoch from %(longest_phase)s::interval))
    ) as goes_from,
    case
        when o.event in ('agent_logged_out', 'agent_left_queue', 'wrapup_ended') then o.occurred_at
        else least(o.next_at, o.occurred_at + %(longest_phase)s::interval)
    end as goes_until,
    o.occurred_at >= %(until)s as reaches_back
from outside as o
where o.occurred_at - make_interval(secs => coalesce(o.duration_s, 0)) < %(until)s
union all
select
    e.occurred_at,
    e.event_key,
    e.ordinal,
    e.call_key,
    e.agent_key,
    e.device_key,
    e.event,
    e.queue,
    null,
    null,
    false
from raw.event as e
left join erased_call as c on e.call_key = c.call_key
left join own_device as d on e.device_key = d.device_key
where
    e.customer_id = %(customer)s
    and e.call_key is not null
    and (
        (c.call_key is not null and (e.agent_key = any(%(keys)s) or e.target_key = any(%(keys)s)))
        or (
            d.device_key is not null
            and e.agent_key is null
            and exists (
                select 1 from raw.call as k
                where
                    k.customer_id = %(customer)s
                    and k.call_key = e.call_key
                    and k.first_at < %(until)s
                    and (
                        k.last_at < %(until)s
                        or exists (
                            select 1 from raw.timed_event as b
                            where
                                b.customer_id = %(customer)s
                                and b.call_key = k.call_key
                                and b.occurred_at between k.first_at and k.last_at
                                and b.begun_at < %(until)s
                        )
                    )
            )
        )
    );

-- name: erased_events_of_caller
create temporary table erased_event on commit drop as
select
    e.occurred_at,
    e.event_key,
    e.ordinal,
    e.call_key,
    e.event,
    e.queue,
    false as reaches_back
from raw.event as e
inner join erased_call as c on e.call_key = c.call_key and e.occurred_at between c.first_at and c.last_at
where e.customer_id = %(customer)s;

-- name: counts
select
    count(*) filter (where call_key is null),
    count(*) filter (where call_key is not null),
    (select count(*) from erased_call)
from erased_event;

-- name: traces_of_agent
-- The keys that lead to the events as they are now.
select event_key from erased_event
where not reaches_back;

-- name: traces_of_caller
select event_key from erased_event
union
select call_key from erased_call;

-- name: later
-- Whether something of the person came later, or a correction gives it to the person. Counted: a plan for the first row
-- only compares all with all.
with later as materialized (
    select count(*) as events
    from raw.event as e
    left join erased_event as x
        on (e.occurred_at, e.event_key, e.ordinal) = (x.occurred_at, x.event_key, x.ordinal) and not x.reaches_back
    where
        e.customer_id = %(customer)s
        and x.event_key is null
        and (
            (%(kind)s = 'agent' and e.agent_key = any(%(keys)s))
            or (%(kind)s = 'caller' and e.number_key = any(%(keys)s))
            or (e.target_kind = %(target_kind)s and e.target_key = any(%(keys)s))
        )
)

select
    events > 0
    or exists (
        select 1
        from privacy.correction as c
        where c.customer_id = %(customer)s and c.agent_key = any(%(keys)s) and c.until > %(until)s
    )
from later;

-- name: ends
-- The end of the customer's data as it is, and as it is without the events that are deleted.
create temporary table erased_end on commit drop as
select
    max(e.occurred_at) as known_until,
    max(e.occurred_at) filter (where x.event_key is null) as left_until
from raw.event as e
left join erased_event as x
    on x.call_key is null
    and not x.reaches_back
    and (e.occurred_at, e.event_key, e.ordinal) = (x.occurred_at, x.event_key, x.ordinal)
where e.customer_id = %(customer)s;

-- name: login_days
-- The days on which no source seems to report logins any more, because the last ones of the 31 days are deleted.
create temporary table erased_login_day on commit drop as
with logins as (
    select
        (e.occurred_at at time zone t.time_zone)::date as login_date,
        bool_and(x.event_key is not null) as all_erased
    from raw.event as e
    inner join registry.customer as t on e.customer_id = t.customer_id
    left join erased_event as x
        on (e.occurred_at, e.event_key, e.ordinal) = (x.occurred_at, x.event_key, x.ordinal) and not x.reaches_back
    where
        e.customer_id = %(customer)s
        and e.call_key is null
        and e.event in ('agent_logged_in', 'agent_logged_out')
    group by login_date
)

select distinct l.login_date + later.days as call_date
from logins as l
cross join generate_series(0, 30) as later (days)
where
    l.all_erased
    and not exists (
        select 1 from logins as other
        where
            not other.all_erased
            and other.login_date between l.login_date + later.days - 30 and l.login_date + later.days
    );

-- name: reached_days
-- The days whose marts change, each with the cause: the agent's own, or what the end of the data or of the logins
-- changes of others.
create temporary table erased_day on commit drop as
with reached as (
    select
        first_at,
        last_at,
        'own' as cause
    from erased_call
    union all
    select
        x.occurred_at as first_at,
        x.occurred_at as last_at,
        'own'
    from erased_event as x
    where x.call_key is not null
    union all
    select
        x.goes_from,
        least(x.goes_until, d.known_until),
        'own'
    from erased_event as x
    cross join erased_end as d
    where x.call_key is null
    union all
    select
        left_until,
        least(known_until, left_until + %(longest_phase)s::interval),
        'others'
    from erased_end
    where left_until < known_until
)

select distinct
    day::date as call_date,
    r.cause
from reached as r
inner join registry.customer as t on t.customer_id = %(customer)s
cross join
    lateral generate_series(
        (r.first_at at time zone t.time_zone)::date, (r.last_at at time zone t.time_zone)::date, interval '1 day'
    ) as day
union
select
    call_date,
    'others'
from erased_login_day;

-- name: days_of_calls
-- The days that a caller's calls are on.
create temporary table erased_day on commit drop as
select distinct day::date as call_date
from erased_call as c
inner join registry.customer as t on t.customer_id = %(customer)s
cross join
    lateral generate_series(
        (c.first_at at time zone t.time_zone)::date, (c.last_at at time zone t.time_zone)::date, interval '1 day'
    ) as day;

-- name: mark_days
-- A day that was never opened is dirty anyway.
insert into ops.dirty_day (customer_id, call_date, cause)
select distinct
    o.customer_id,
    o.call_date,
    'person'
from erased_day
inner join ops.opened_day as o on o.customer_id = %(customer)s and erased_day.call_date = o.call_date
on conflict (customer_id, call_date) do update set mark = excluded.mark, cause = excluded.cause;

-- name: cells_of_agent
-- The queues and days in which what agents did is hidden, because this one was rung or connected, and those in which
-- the staffing changes; and whether the data ends before that day.
with moments as (
    select
        e.call_key,
        e.queue,
        unnest(array[
            e.occurred_at,
            e.occurred_at - make_interval(secs => coalesce(e.duration_s, 0) + coalesce(e.wait_s, 0))
        ]) as moment
    from raw.event as e
    inner join erased_call as c on e.call_key = c.call_key and e.occurred_at between c.first_at and c.last_at
    where e.customer_id = %(customer)s and e.queue is not null
),

worked as (
    select distinct
        e.call_key,
        e.queue
    from raw.event as e
    inner join erased_call as c on e.call_key = c.call_key and e.occurred_at between c.first_at and c.last_at
    where e.customer_id = %(customer)s and e.agent_key = any(%(keys)s)
)

select distinct
    'hidden' as change,
    moments.queue,
    (moments.moment at time zone t.time_zone)::date as call_date,
    false as is_to_come
from worked
inner join moments on worked.call_key = moments.call_key and (worked.queue is null or worked.queue = moments.queue)
inner join registry.customer as t on t.customer_id = %(customer)s
union
select
    'staffing',
    x.queue,
    day::date,
    day::date > (d.known_until at time zone t.time_zone)::date
from erased_event as x
cross join erased_end as d
inner join registry.customer as t on t.customer_id = %(customer)s
cross join
    lateral generate_series(
        (x.goes_from at time zone t.time_zone)::date, (x.goes_until at time zone t.time_zone)::date, interval '1 day'
    ) as day
where x.call_key is null and x.queue is not null
union
select
    'staffing',
    q.queue,
    o.call_date,
    false
from (
    select
        of_others.call_date,
        access.begin_of_day(of_others.call_date, t.time_zone) as begins_at,
        access.begin_of_day(of_others.call_date + 1, t.time_zone) as ends_at
    from erased_day as of_others
    inner join registry.customer as t on t.customer_id = %(customer)s
    where of_others.cause = 'others'
) as o
inner join raw.event as q
    on q.customer_id = %(customer)s
    and q.queue is not null
    and o.begins_at <= q.occurred_at
    and o.ends_at > q.occurred_at
order by change, queue, call_date;

-- name: cells_of_caller
-- The queues and days in which the caller is no longer counted as one, and those after `until` that looked back.
with joined as (
    select
        e.queue,
        e.call_key,
        e.occurred_at
    from raw.event as e
    where
        e.customer_id = %(customer)s
        and e.event = 'queue_joined'
        and e.call_key in (
            select later.call_key from raw.event as later
            where
                later.customer_id = %(customer)s
                and later.number_key = any(%(keys)s)
                and later.occurred_at >= %(until)s
                and later.occurred_at < %(until)s + interval '8 days'
        )
        and e.occurred_at >= %(until)s
        and e.occurred_at < %(until)s + interval '8 days'
    union all
    select
        x.queue,
        x.call_key,
        x.occurred_at
    from erased_event as x
    where x.queue is not null
)

select distinct
    'callers' as change,
    j.queue,
    (j.occurred_at at time zone t.time_zone)::date as call_date,
    false as is_to_come
from joined as j
inner join registry.customer as t on t.customer_id = %(customer)s
order by change, queue, call_date;

-- name: give_up_corrections
-- Events that were another's and became this agent's are still given to the agent, by the tombstone.
update privacy.correction as c
set
    agent_key = null,
    erased = privacy.tombstone_of(s.secret, 'agent', c.agent_key)
from privacy.secret as s
where
    c.customer_id = %(customer)s and s.customer_id = c.customer_id and c.agent_key = any(%(keys)s)
    and c.until <= %(until)s;

-- name: delete_outside
delete from raw.event as e
using erased_event as x
where
    e.customer_id = %(customer)s
    and x.call_key is null
    and not x.reaches_back
    and (e.occurred_at, e.event_key, e.ordinal) = (x.occurred_at, x.event_key, x.ordinal)
returning (e.occurred_at at time zone 'UTC')::date as of_month;

-- name: cut_reaching_back
-- As raw.cut_reaching_back does with what lands later.
update raw.event as e
set duration_s = extract(epoch from e.occurred_at - %(until)s)
from erased_event as x
where
    e.customer_id = %(customer)s
    and x.reaches_back
    and (e.occurred_at, e.event_key, e.ordinal) = (x.occurred_at, x.event_key, x.ordinal)
returning (e.occurred_at at time zone 'UTC')::date as of_month;

-- name: changes_of_agent
-- What becomes of each event. An agent has another key in each call: the parts of a call are told apart, and no two
-- calls are linked.
create temporary table changed_event on commit drop as
with substitutes as (
    select
        named.call_key,
        named.agent_key,
        raw.random_agent() as substitute
    from (
        select distinct
            call_key,
            agent_key
        from erased_event
        where agent_key = any(%(keys)s)
    ) as named
)

select
    x.occurred_at,
    x.event_key,
    x.ordinal,
    s.substitute,
    own.device_key is not null as is_on_own_device,
    raw.random_key() as new_event_key
from erased_event as x
left join substitutes as s on x.call_key = s.call_key and x.agent_key = s.agent_key
left join own_device as own on x.device_key = own.device_key
where not x.reaches_back;

-- name: erase_agent
update raw.event as e
set
    agent_key = coalesce(c.substitute, e.agent_key),
    device_key = case when c.substitute is null and not c.is_on_own_device then e.device_key end,
    target_key = case when not coalesce(e.target_key = any(%(keys)s), false) then e.target_key end,
    event_key = c.new_event_key,
    ordinal = 0
from changed_event as c
where
    e.customer_id = %(customer)s
    and (e.occurred_at, e.event_key, e.ordinal) = (c.occurred_at, c.event_key, c.ordinal)
returning (e.occurred_at at time zone 'UTC')::date as of_month;

-- name: changes_of_caller
create temporary table changed_event on commit drop as
select
    x.occurred_at,
    x.event_key,
    x.ordinal,
    c.new_key,
    raw.random_key() as new_event_key
from erased_event as x
inner join erased_call as c on x.call_key = c.call_key;

-- name: erase_caller
update raw.event as e
set
    call_key = c.new_key,
    number_key = case when not coalesce(e.number_key = any(%(keys)s), false) then e.number_key end,
    target_key = case when not coalesce(e.target_key = any(%(keys)s), false) then e.target_key end,
    event_key = c.new_event_key,
    ordinal = 0
from changed_event as c
where
    e.customer_id = %(customer)s
    and (e.occurred_at, e.event_key, e.ordinal) = (c.occurred_at, c.event_key, c.ordinal)
returning (e.occurred_at at time zone 'UTC')::date as of_month;

-- name: rename_calls
update raw.call as k
set call_key = c.new_key
from erased_call as c
where k.customer_id = %(customer)s and k.call_key = c.call_key;
