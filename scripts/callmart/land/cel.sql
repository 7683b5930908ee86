-- name: events
-- The events found in a channel event log (`found`), with times as text and the target of each transfer.
select
    * exclude (dialled, target_queue) replace (
        cast(timezone('UTC', make_timestamp(occurred_at)) as varchar) as occurred_at
    ),
    case
        when event <> 'transferred' then null
        when target_queue is not null then 'queue'
        when is_dialled(dialled) then 'number'
        else 'other'
    end as target_kind,
    case target_kind when 'queue' then target_queue when 'number' then dialled end as target
from found;
