-- A row is an event of an agent outside calls that matters for the window. Statuses of its days are looked up per day,
-- as there are many; everything else is rare and looked up per agent.

with days as (
    select * from {{ ref('stg_day') }}
),

agents as (
    select * from {{ ref('stg_agent') }}
),

objectors as (
    select * from {{ ref('stg_objector') }}
),

-- Not materialized, as each look-up takes its few rows by an index.
events as not materialized (
    select
        customer_id,
        agent_key,
        event,
        reason,
        occurred_at,
        event_key,
        ordinal,
        duration_s,
        file_id,
        line_number,
        case
            when event = 'agent_status' then 'status'
            when event in ('agent_logged_in', 'agent_logged_out') then 'login'
            when {{ shows_presence() }} then 'membership'
            else 'wrapup'
        end as kind,
        case
            when event in ('agent_logged_in', 'agent_logged_out') then device_key
            when {{ shows_presence() }} then queue
        end as place
    from {{ ref('stg_event') }}
    where
        call_key is null
        and event in (
            'agent_status', 'agent_logged_in', 'agent_logged_out', 'agent_joined_queue', 'agent_left_queue',
            'wrapup_started', 'wrapup_ended'
        )
),

-- Statuses are shown only under a detailed contract. A customer without one has none here.
detailed as (
    select distinct customer_id
    from days
    where option = 'detailed'
),

-- Materialized, as PostgreSQL would look up the events first, and then compare each with all customers.
shown_days as materialized (
    select days.*
    from days
    inner join detailed on days.customer_id = detailed.customer_id
),

shown_agents as (
    select agents.*
    from agents
    inner join detailed on agents.customer_id = detailed.customer_id
),

last_statuses as (
    select
        shown_agents.customer_id,
        shown_agents.agent_key,
        shown_agents.looks_back_to,
        latest.occurred_at,
        latest.reason
    from shown_agents
    cross join lateral (
        select
            events.occurred_at,
            events.reason
        from events
        where
            events.customer_id = shown_agents.customer_id
            and events.agent_key = shown_agents.agent_key
            and events.event = 'agent_status'
            and events.occurred_at >= shown_agents.looks_back_to
            and events.occurred_at < shown_agents.begins_at
        order by events.occurred_at desc
        limit 1
    ) as latest
),

-- The last status before the days. To know when it began, events are taken from the last one of another status on.
status_before as (
    select
        last_statuses.customer_id,
        last_statuses.agent_key,
        coalesce(another.occurred_at, last_statuses.looks_back_to) as from_moment,
        last_statuses.occurred_at as until_moment
    from last_statuses
    left join lateral (
        select events.occurred_at
        from events
        where
            events.customer_id = last_statuses.customer_id
            and events.agent_key = last_statuses.agent_key
            and events.event = 'agent_status'
            and events.reason <> last_statuses.reason
            and events.occurred_at >= last_statuses.looks_back_to
            and events.occurred_at <= last_statuses.occurred_at
        order by events.occurred_at desc
        limit 1
    ) as another on true
),

-- The first status after the days, which ends the last one of them.
status_after as (
    select
        shown_agents.customer_id,
        shown_agents.agent_key,
        soonest.occurred_at as from_moment,
        soonest.occurred_at as until_moment
    from shown_agents
    cross join lateral (
        select events.occurred_at
        from events
        where
            events.customer_id = shown_agents.customer_id
            and events.agent_key = shown_agents.agent_key
            and events.event = 'agent_status'
            and events.occurred_at >= shown_agents.ends_at
            and events.occurred_at < shown_agents.looks_ahead_to
        order by events.occurred_at
        limit 1
    ) as soonest
),

presence_moments as (
    select
        agents.customer_id,
        agents.agent_key,
        agents.begins_at,
        events.kind,
        events.place,
        events.occurred_at,
        sum(case when {{ begins_presence('events.event') }} then 1 else -1 end) as balance
    from agents
    inner join events
        on agents.customer_id = events.customer_id
        and agents.agent_key = events.agent_key
        and agents.looks_back_to <= events.occurred_at
        and agents.begins_at > events.occurred_at
    where {{ shows_presence('events.event') }}
    group by
        agents.customer_id, agents.agent_key, agents.begins_at, events.kind, events.place, events.occurred_at
),

-- Per device and queue, from the last moment on that shows whether the agent was there. A moment with as many
-- beginnings as ends doesn't show it.
presence_before as (
    select
        customer_id,
        agent_key,
        kind,
        place,
        coalesce(max(occurred_at) filter (where balance <> 0), min(occurred_at)) as from_moment,
        max(occurred_at) as until_moment
    from presence_moments
    group by customer_id, agent_key, begins_at, kind, place
),

presence_after as (
    select
        agents.customer_id,
        agents.agent_key,
        events.kind,
        events.place,
        min(events.occurred_at) as from_moment,
        min(events.occurred_at) as until_moment
    from agents
    inner join events
        on agents.customer_id = events.customer_id
        and agents.agent_key = events.agent_key
        and agents.ends_at <= events.occurred_at
        and agents.looks_ahead_to > events.occurred_at
    where {{ shows_presence('events.event') }}
    group by agents.customer_id, agents.agent_key, agents.begins_at, events.kind, events.place
),

-- A wrap-up that the source measures can go on after another one began. If one begins and one ends in the same moment,
-- it matters whether a wrap-up was open before. So this looks twice as far back.
wrapups_around as (
    select
        customer_id,
        agent_key,
        'wrapup' as kind,
        null::text as place,
        greatest(begins_at - 2 * {{ longest_wrapup() }}, looks_back_to) as from_moment,
        least(ends_at + {{ longest_wrapup() }}, looks_ahead_to - interval '1 microsecond') as until_moment
    from agents
),

statuses_around as (
    select * from status_before
    union all
    select * from status_after
),

others_around as (
    select * from presence_before
    union all
    select * from presence_after
    union all
    select * from wrapups_around
),

of_days as (
    select of_day.*
    from shown_days
    {{ lookup('shown_days', [
        "events.event = 'agent_status'",
        'events.agent_key is not null',
        'events.occurred_at >= shown_days.begins_at',
        'events.occurred_at < shown_days.ends_at',
    ]) }} as of_day
    union all
    select of_stretch.*
    from agents
    {{ lookup('agents', [
        'events.agent_key = agents.agent_key',
        "events.event <> 'agent_status'",
        'events.occurred_at >= agents.begins_at',
        'events.occurred_at < agents.ends_at',
    ]) }} as of_stretch
),

statuses as (
    select of_stretch.*
    from statuses_around
    {{ lookup('statuses_around', [
        'events.agent_key = statuses_around.agent_key',
        "events.event = 'agent_status'",
        'events.occurred_at >= statuses_around.from_moment',
        'events.occurred_at <= statuses_around.until_moment',
    ]) }} as of_stretch
),

others as (
    select of_stretch.*
    from others_around
    {{ lookup('others_around', [
        'events.agent_key = others_around.agent_key',
        "events.event <> 'agent_status'",
        'events.kind = others_around.kind',
        'events.place is not distinct from others_around.place',
        'events.occurred_at >= others_around.from_moment',
        'events.occurred_at <= others_around.until_moment',
    ]) }} as of_stretch
),

found as (
    select * from of_days
    union all
    select * from statuses
    union all
    select * from others
),

-- An event before one stretch of days can lie in or after another one.
once as (
    select distinct on (customer_id, agent_key, occurred_at, event_key, ordinal) *
    from found
    order by customer_id, agent_key, occurred_at, event_key, ordinal
),

customers as (
    select distinct
        customer_id,
        time_zone,
        known_until
    from agents
)

select
    once.customer_id,
    {{ agent_key_shown('once') }} as agent_key,
    once.kind,
    once.place,
    once.event,
    once.reason,
    once.occurred_at,
    once.duration_s,
    once.file_id,
    once.line_number,
    customers.time_zone,
    customers.known_until
from once
-- What has landed since the end of the known data was looked up, and lies beyond it, is left to the next build.
inner join customers
    on once.customer_id = customers.customer_id
    and once.occurred_at <= customers.known_until
{{ objector_of('once') }}
