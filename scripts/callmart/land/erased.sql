-- Takes the persons who were erased out of a batch. `admitted` is the batch, `found` says which of its keys are theirs.

-- name: without_erased
-- The events that may be handed over. `erased` says what was done to one; it may have been done at an earlier layer.
with began as (
    select
        file_number,
        customer_id,
        call_key,
        -- As raw.begun_at on the server.
        min(
            occurred_at
            - case
                when event in {agent_ends} then to_microseconds(cast(coalesce(duration_s, 0) * 1e6 as bigint))
                else interval 0 second
            end
        ) as first_at
    from admitted
    where call_key is not null
    group by all
),

asked as (
    select
        e.*,
        -- A row in a call belongs to the side of the end on which the call began.
        coalesce(b.first_at, e.occurred_at) as began_at,
        calls.call_key is not null as is_erased_call,
        coalesce(began_at < agents.until, false) as of_agent,
        agents.tombstone as tombstone_of_agent,
        coalesce(began_at < numbers.until, false) as has_number,
        coalesce(began_at < targets.until, false) as has_target,
        coalesce(began_at < devices.until, false) and e.call_key is not null as has_device
    from admitted as e
    left join began as b
        on e.file_number = b.file_number and e.customer_id = b.customer_id and e.call_key = b.call_key
    left join found as calls
        on e.customer_id = calls.customer_id and e.call_key = calls.call_key
    left join found as agents
        on e.customer_id = agents.customer_id and agents.kind = 'agent' and e.agent_key = agents.key
    left join found as devices
        on e.customer_id = devices.customer_id and devices.kind = 'device' and e.device_key = devices.key
    left join found as numbers
        on e.customer_id = numbers.customer_id and numbers.kind = 'caller' and e.number_key = numbers.key
    left join found as targets
        on e.customer_id = targets.customer_id
        and targets.kind = case when e.target_kind = 'number' then 'caller' else 'agent' end
        and e.target_key = targets.key
),

marked as (
    select
        * replace (
            case
                when is_erased_call then 'call'
                when of_agent then tombstone_of_agent
                when erased is not null then erased
                when has_number or has_target or has_device then 'part'
            end as erased
        )
    from asked
    where is_erased_call or not of_agent or call_key is not null
)

select
    * exclude (began_at, is_erased_call, of_agent, tombstone_of_agent, has_number, has_target, has_device)
    replace (
        case when erased is null then event_key else 0 end as event_key,
        erased is null and identified as identified,
        case when not is_erased_call then call_key end as call_key,
        case when not (is_erased_call or of_agent) then agent end as agent,
        case when not (is_erased_call or of_agent) then agent_key end as agent_key,
        case when not (is_erased_call or of_agent or has_device) then device_key end as device_key,
        case when not (is_erased_call or has_number) then number_key end as number_key,
        case when not (is_erased_call or has_target) then target_key end as target_key,
        case when not is_erased_call then number_withheld end as number_withheld,
        case when not is_erased_call then line end as line,
        case when not is_erased_call then direction end as direction,
        case when not is_erased_call then reason end as reason,
        case when not is_erased_call then target end as target,
        case when not is_erased_call then target_kind end as target_kind,
        case when not is_erased_call then duration_s end as duration_s,
        case when not is_erased_call then wait_s end as wait_s,
        case when not is_erased_call then recorded end as recorded
    )
from marked
-- A source's own id tells that two rows are one event.
qualify erased is null or not identified or row_number() over (
    partition by file_number, customer_id, occurred_at, event_key
) = 1;
