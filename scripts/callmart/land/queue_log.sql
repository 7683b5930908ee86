-- Converts Asterisk's queue_log to canonical events. `timed` is the batch; `verbs` maps each verb to its events.

-- name: macros
create or replace temp macro seconds(parameter, unit) as case
    when
        regexp_full_match(parameter, '\d{{1,12}}(\.\d{{1,6}})?')
        and cast(parameter as double) * unit <= {longest_duration_s}
        then cast(parameter as double) * unit
end;
create or replace temp macro present(word) as nullif(nullif(word, 'NONE'), '');
create or replace temp macro perhaps_other_number(number) as regexp_matches(number, '{perhaps_other_number}');

-- name: events
with log as (
    select
        file_number,
        line_number,
        occurred_at,
        event as verb,
        present(callid) as call_id,
        present(queue) as queue,
        present(agent) as agent,
        rtrim(data, '|') as data,
        string_split(rtrim(data, '|'), '|') as written,
        -- LINK names two channels, BRIDGE and APP name one thing, so one parameter is dropped. Parameters are counted
        -- from the left, as some versions leave out the position at the end.
        case when verb = 'ATTENDEDTRANSFER' and written[1] = 'LINK' then written[2:] else written end as parameters
    from timed
),

meant as (
    select
        log.*,
        verbs.*,
        seconds(parameters[duration_at], seconds) as duration,
        nullif(parameters[number_at], '') as number,
        parameters[target_at] as exten,
        case
            when event <> 'transferred' then null
            when is_dialled(exten) then 'number'
            else 'other'
        end as target_kind
    from log
    inner join verbs using (verb)
)

select
    file_number,
    line_number,
    event,
    cast(case
        when event = 'wrapup_ended' then occurred_at + to_microseconds(cast(duration * 1e6 as bigint))
        else occurred_at
    end as varchar) as occurred_at,
    case when of_call then call_id end as call_id,
    queue,
    case
        when not of_agent then null
        -- AGENTLOGIN writes 1001 for the agent that CONNECT writes as Agent/1001.
        when channel and agent not like '%/%' then 'Agent/' || agent
        else agent
    end as agent,
    case
        -- A channel's name ends in a part that is unique to the call; it is cut off. XiVO writes such names in the
        -- logoffs of callback logins, too.
        when channel or parameters[device_at] not like '%@%'
            then regexp_replace(parameters[device_at], '-[0-9a-fA-F]+(;[12])?$', '')
        else parameters[device_at]
    end as line,
    case when not is_withheld(number) then telephone_number(number) end as other_number,
    case when perhaps_other_number(number) then number end as former_other_number,
    case
        when event = 'queue_joined' and (number is null or is_withheld(number)) then 'true'
    end as number_withheld,
    case
        when event = 'agent_status' then coalesce(reason, nullif(data, ''), 'other')
        else reason
    end as reason,
    case when target_kind = 'number' then exten end as target,
    target_kind,
    cast(duration as varchar) as duration_s,
    cast(seconds(parameters[wait_at], 1) as varchar) as wait_s
from meant
-- Without a duration the end of a wrap-up is unknown.
where event <> 'wrapup_ended' or duration is not null;

-- name: unknown_verbs
-- One row per file and unknown verb, with the number of rows. Text that does not look like a verb counts as `other`.
select
    file_number,
    case when regexp_full_match(event, '[A-Z_]{1,40}') then event else 'other' end as verb,
    count(*)
from timed
where event is null or not list_contains($known, event)
group by all;
