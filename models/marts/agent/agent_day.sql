-- One row per agent and local day on which something happened, only for days under a detailed contract.

with intervals as (
    select * from {{ computed('agent_interval') }}
),

statuses as (
    select * from {{ computed('agent_status_interval') }}
),

sessions as (
    select * from {{ computed('agent_session') }}
),

attendance as (
    select * from {{ ref('int_attendance') }}
),

interval_sums as (
    select
        customer_id,
        call_date,
        agent_key,
        sum(contacts) as contacts,
        sum(outbound_calls) as outbound_calls,
        sum(rings) as rings,
        sum(rings_answered) as rings_answered,
        sum(rings_unanswered) as rings_unanswered,
        sum(ring_s) as ring_s,
        sum(talk_s) as talk_s,
        sum(holds) as holds,
        sum(hold_s) as hold_s,
        sum(wrapup_s) as wrapup_s,
        sum(transfers) as transfers
    from intervals
    group by customer_id, call_date, agent_key
),

-- If one status of an agent is known, the agent spent 0 seconds in those without a row.
status_sums as (
    select
        customer_id,
        call_date,
        agent_key,
        sum(times_entered) as times_entered,
        coalesce(sum(seconds) filter (where status = 'available'), 0) as available_s,
        coalesce(sum(seconds) filter (where status = 'in_call'), 0) as in_call_s,
        coalesce(sum(seconds) filter (where status = 'wrap_up'), 0) as wrap_up_s,
        coalesce(sum(seconds) filter (where status = 'break'), 0) as break_s,
        coalesce(sum(seconds) filter (where status = 'away'), 0) as away_s,
        coalesce(sum(seconds) filter (where status = 'training'), 0) as training_s,
        coalesce(sum(seconds) filter (where status = 'other'), 0) as other_s
    from statuses
    group by customer_id, call_date, agent_key
),

login_sums as (
    select
        customer_id,
        call_date,
        agent_key,
        sum(logins) as logins,
        min(logged_in_at) filter (where is_first and logged_in_local::date = call_date) as first_login_at,
        min(logged_in_local) filter (where is_first and logged_in_local::date = call_date) as first_login_local,
        max(logged_out_at) filter (where is_last and logged_out_local::date = call_date) as last_logout_at,
        max(logged_out_local) filter (where is_last and logged_out_local::date = call_date) as last_logout_local
    from sessions
    group by customer_id, call_date, agent_key
)

select
    customer_id,
    call_date,
    agent_key,
    coalesce(interval_sums.contacts, 0)::integer as contacts,
    coalesce(interval_sums.outbound_calls, 0)::integer as outbound_calls,
    coalesce(interval_sums.rings, 0)::integer as rings,
    coalesce(interval_sums.rings_answered, 0)::integer as rings_answered,
    coalesce(interval_sums.rings_unanswered, 0)::integer as rings_unanswered,
    {{ whole_sum('coalesce(interval_sums.ring_s, 0)') }} as ring_s,
    {{ whole_sum('coalesce(interval_sums.talk_s, 0)') }} as talk_s,
    interval_sums.holds::integer as holds,
    {{ whole_sum('interval_sums.hold_s') }} as hold_s,
    {{ whole_sum('interval_sums.wrapup_s') }} as wrapup_s,
    coalesce(interval_sums.transfers, 0)::integer as transfers,
    status_sums.available_s::integer as status_available_s,
    status_sums.in_call_s::integer as status_in_call_s,
    status_sums.wrap_up_s::integer as status_wrap_up_s,
    status_sums.break_s::integer as status_break_s,
    status_sums.away_s::integer as status_away_s,
    status_sums.training_s::integer as status_training_s,
    status_sums.other_s::integer as status_other_s,
    login_sums.logins::integer as logins,
    login_sums.first_login_at,
    login_sums.first_login_local,
    login_sums.last_logout_at,
    login_sums.last_logout_local,
    attendance.logged_in_s,
    attendance.ready_s
from interval_sums
full outer join status_sums using (customer_id, call_date, agent_key)
full outer join login_sums using (customer_id, call_date, agent_key)
left join attendance using (customer_id, call_date, agent_key)
-- A day on which a status only goes on, as it does after the last logout, has no row.
where
    interval_sums.contacts is not null
    or login_sums.logins is not null
    or status_sums.times_entered > 0
