-- A row is an agent's part of a straight call: its one talk, or the placing of the call by an agent.

-- Not materialized, as all columns of the calls would be written once more.
with calls as not materialized (
    select
        *,
        connected_at is not null or released_at is not null as is_connected,
        -- The agent who placed the call is connected when the other party answers, if the source shows neither the
        -- connection nor the length of the talk.
        case
            when
                connected_at is null
                and talk_duration_s is null
                and queue is null
                and direction in ('outbound', 'internal')
                and placed_by = agent_key
                and answered_at <= released_at
                then answered_at
            else connected_at
        end as talked_from,
        hold_started_at is not null or hold_ended_at is not null as has_hold,
        wrapup_started_at is not null or wrapup_ended_at is not null as has_wrapup,
        case
            when rings_once and ring_reason = 'answered' and ring_agent_key = agent_key
                then {{ measured_seconds('ring_duration_s', 'ring_started_at', 'ring_ended_at') }}
        end as own_ring_s,
        {{ measured_seconds('wrapup_duration_s', 'wrapup_started_at', 'wrapup_ended_at') }} as wrapup_s
    from {{ ref('int_call') }}
    where is_straight
),

placed_talks as (
    select * from {{ ref('int_placed_talk') }}
),

rings as (
    select * from {{ ref('int_tangled_ring') }}
    where reason = 'answered'
),

talks as (
    select
        customer_id,
        call_key,
        1 as part,
        queue,
        joinings as visit_no,
        agent_key,
        true as begins_contact,
        true as begins_call,
        1::bigint as connected_moment,
        {{ beginning('talked_from', 'released_at', 'talk_duration_s') }} as connected_at,
        released_at,
        null::timestamptz as placed_at,
        wait_s,
        {{ measured_seconds('talk_duration_s', 'talked_from', 'released_at') }} as connected_s,
        release_reason,
        shows_holds,
        shows_wrapups,
        -- The ring that the agent answered began by the connection.
        case
            when
                {{ beginning('ring_started_at', 'ring_ended_at', 'ring_duration_s') }}
                <= {{ beginning('talked_from', 'released_at', 'talk_duration_s') }}
                then own_ring_s
        end as own_ring_s,
        has_hold,
        hold_started_at,
        hold_ended_at,
        hold_duration_s,
        has_wrapup,
        wrapup_s,
        transfer_reason,
        transfer_target_kind
    from calls
    where is_connected
    union all
    -- int_placed_talk has the columns above, up to shows_wrapups, in this order.
    select
        placed_talks.*,
        calls.own_ring_s,
        calls.has_hold,
        calls.hold_started_at,
        calls.hold_ended_at,
        calls.hold_duration_s,
        calls.has_wrapup,
        calls.wrapup_s,
        calls.transfer_reason,
        calls.transfer_target_kind
    from placed_talks
    inner join calls
        on placed_talks.customer_id = calls.customer_id
        and placed_talks.call_key = calls.call_key
    where not calls.is_connected
),

-- Where a call rings more than once: the agent's last answered ring that had begun by the connection. The one ring of
-- other calls is in their row.
answered_rings as (
    select distinct on (calls.customer_id, calls.call_key)
        calls.customer_id,
        calls.call_key,
        rings.ring_s
    from calls
    inner join rings
        on calls.customer_id = rings.customer_id
        and calls.call_key = rings.call_key
        and calls.agent_key = rings.agent_key
        and {{ beginning('calls.talked_from', 'calls.released_at', 'calls.talk_duration_s') }} >= rings.started_at
    where not calls.rings_once
    order by calls.customer_id, calls.call_key, -rings.ended_moment, rings.ring_s
),

parts as (
    select
        talks.*,
        coalesce(talks.own_ring_s, answered_rings.ring_s) as ring_s,
        talks.has_hold::integer as holds,
        -- A hold without an end ends with the talk.
        {{ measured_seconds(
            'talks.hold_duration_s',
            'talks.hold_started_at',
            'coalesce(talks.hold_ended_at, '
            ~ 'case when talks.released_at > talks.hold_started_at then talks.released_at end)'
        ) }} as hold_s,
        talks.has_wrapup::integer as wrapups,
        talks.transfer_reason as transferred,
        talks.transfer_target_kind as target_kind
    from talks
    left join answered_rings
        on talks.customer_id = answered_rings.customer_id
        and talks.call_key = answered_rings.call_key
)

{{ timed_parts('parts') }}
