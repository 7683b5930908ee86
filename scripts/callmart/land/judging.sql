-- Judges rows. `source` is the batch. The tables are created once per landing; the queries are asked for each batch.

-- name: tables
create temp table contract_periods as
select * replace (coalesce(closes, 'infinity') as closes) from contract_periods_arrow;

create temp table secrets as
select * from secrets_arrow;

create temp table statuses as
select
    customer_id,
    lower(trim(word)) as word,
    min(status) as status
from statuses_arrow
group by all;

create temp table events as
select
    *,
    true as known
from events_arrow;

create temp table files as
select * from files_arrow;

-- name: macros
create macro truth(word) as case
    when lower(word) in ('true', 't', '1') then true
    when lower(word) in ('false', 'f', '0') then false
end;

-- A program that takes ids for amounts writes `1001.0`.
create macro agent_id(id) as case
    when ends_with(id, '.0') then regexp_replace(id, '^(\d+)\.0$', '\1')
    else id
end;

create macro instant(text) as case
    when regexp_full_match(text, '{time}(Z|[+-](0\d|1[0-5])(:?[0-5]\d)?)')
        then try_cast(text as timestamptz)
end;

-- name: arrived
-- One row per row of the batch, with the contract that covers it.
with texts as (
    select
        source.file_number,
        source.line_number,
        {values},
        files.customer_given,
        files.platform_default,
        files.platform_given,
        files.is_queue_log
    from source
    inner join files on source.file_number = files.file_number
),

parsed as (
    select
        texts.* exclude (customer_id, occurred_at) replace (
            agent_id(texts.agent) as agent,
            case when texts.target_kind = 'agent' then agent_id(texts.target) else texts.target end as target
        ),
        case
            when texts.customer_id is null then customer_given
            when regexp_full_match(texts.customer_id, '\d{{1,10}}')
                then nullif(try_cast(texts.customer_id as integer), 0)
        end as customer,
        instant(texts.occurred_at) as instant,
        case
            when customer is null and texts.customer_id is null then 'customer_id is missing'
            when customer is null then 'customer_id is not a customer number'
            when customer <> customer_given then 'customer_id differs from the customer given with the file'
            when instant is not null then null
            when texts.occurred_at is null then 'occurred_at is missing'
            when regexp_full_match(texts.occurred_at, '{minute}(:[0-5]\d(\.\d+)?)?') then 'occurred_at has no offset'
            when regexp_matches(texts.occurred_at, '\.\d{{7}}')
                then 'occurred_at has more than six digits after the second'
            else 'occurred_at is not a time'
        end as unreadable
    from texts
)

select
    parsed.* exclude (customer, instant),
    parsed.customer as customer_id,
    parsed.instant as occurred_at,
    contract_periods.* exclude (customer_id, opens, closes),
    parsed.unreadable is null and contract_periods.customer_id is null as turned_away
from parsed
left join contract_periods
    on parsed.customer = contract_periods.customer_id
    and parsed.instant >= contract_periods.opens
    and parsed.instant < contract_periods.closes;

-- name: judged
-- One row per row that a contract covers, read by the rules of the raw format. `fault` is null if the row follows them.
with let_in as (
    select * from ({arrived})
    where not turned_away
),

understood as (
    select
        let_in.*,
        events.* exclude (event),
        coalesce(let_in.platform, platform_default) as service,
        service in ({line_platforms}) as is_line,
        truth(let_in.number_withheld) as marked_withheld,
        coalesce(marked_withheld, false) or coalesce(is_withheld(let_in.other_number), false) as withheld,
        case
            when events.tells_number and not withheld then telephone_number(let_in.other_number)
        end as number,
        case when let_in.event = 'transferred' then let_in.target_kind end as kind,
        case when kind = 'number' then telephone_number(let_in.target) end as target_number,
        case
            when regexp_full_match(let_in.duration_s, '[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?')
                then try_cast(let_in.duration_s as double)
        end as duration,
        concat_ws('', {texts}) as all_texts,
        case
            when let_in.event <> 'agent_status' then let_in.reason
            when lower(trim(let_in.reason)) in ({statuses}) then lower(trim(let_in.reason))
            else coalesce(statuses.status, 'other')
        end as cause,
        case
            when let_in.event = 'agent_status' and lower(trim(let_in.reason)) not in ({statuses})
                then lower(trim(let_in.reason))
        end as own_word
    from let_in
    left join events on let_in.event = events.event
    left join statuses
        on let_in.customer_id = statuses.customer_id
        and let_in.event = 'agent_status'
        and lower(trim(let_in.reason)) = statuses.word
)

select
    understood.*,
    case
        when unreadable is not null then unreadable
        when occurred_at > getvariable('latest')
            then 'occurred_at is more than a day ahead of the database''s clock'
        when platform_given and platform <> platform_default
            then 'platform differs from the platform given with the file'
        when service not in ({platforms}) then 'platform is not one of the raw format'
        when event is null then 'event is missing'
        when known is null then 'event is not one of the raw format'
        when
            is_line
            and (
                queue is not null
                or agent is not null
                or needs_queue
                or needs_agent
                or coalesce(kind in ('queue', 'agent'), false)
            )
            then 'a line has no queues and no agents'
        when needs_call_id and call_id is null then 'call_id is missing'
        when needs_queue and queue is null then 'queue is missing'
        when needs_agent and agent is null and not is_queue_log then 'agent is missing'
        when reason_needed and reason is null then 'reason is missing'
        when len(reasons) > 0 and not list_contains(reasons, reason)
            then 'reason is not allowed for this event'
        when event = 'call_started' and direction is null then 'direction is missing'
        when event = 'call_started' and direction not in ({directions})
            then 'direction is not one of the raw format'
        when event = 'transferred' and kind is null then 'target_kind is missing'
        when kind not in ({target_kinds}) then 'target_kind is not one of the raw format'
        when kind = 'number' and target is not null and target_number is null
            then 'target is not a telephone number'
        when number_withheld is not null and marked_withheld is null
            then 'number_withheld is not true or false'
        when tells_number and not withheld and other_number is not null and number is null
            then 'other_number is not a telephone number'
        when duration_s is not null and duration is null then 'duration_s is not a number'
        when duration < 0 or duration > {longest_duration_s} then 'duration_s is negative or far too long'
        when recorded is not null and truth(recorded) is null then 'recorded is not true or false'
        when regexp_matches(all_texts, '{control}') then {control_character}
        when strlen(all_texts) > {longest_text} then {too_long}
    end as fault
from understood;
