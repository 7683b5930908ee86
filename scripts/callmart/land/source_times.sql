-- Converts the times of Asterisk's logs to instants. `log_rows` is the batch. The result has occurred_at in place of
-- time; it is null where the time can't be read.

-- name: epoch_times
-- Seconds since 1970, with or without a fraction.
select
    * exclude (time),
    case
        when regexp_full_match(time, '{epoch_time}')
            then timezone('UTC', make_timestamp(
                cast(split_part(time, '.', 1) as bigint) * 1000000
                + cast(rpad(split_part(time, '.', 2), 6, '0') as bigint)
            ))
    end as occurred_at
from log_rows;

-- name: local_times
-- When clocks go back, an hour occurs twice. A time in it is taken as the first occurrence until a row proves that it
-- is the second: the row's call began after the first occurrence, or an earlier row has a later time. From then on, the
-- times of that day are the second. One minute of slack allows for rows that are not exactly in order. A table that was
-- exported from its end is read from there. Each file is read for itself; $latest is of the one that came in parts.
with read as (
    select
        *,
        case
            when regexp_full_match(time, '\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d{1,6})?')
                then try_cast(time as timestamp)
        end as local_time,
        to_timestamp(try_cast(regexp_extract(callid, '(?:^|-)(\d{9,10})\.\d+$', 1) as bigint)) as call_began
    from log_rows
),

directions as (
    select
        file_number,
        arg_min(local_time, line_number) - arg_max(local_time, line_number) > interval 2 hours as is_from_end
    from read
    group by file_number
),

offsets as (
    select
        read.*,
        is_from_end,
        case when is_from_end then -line_number else line_number end as place,
        timezone($zone, local_time) as about,
        list_transform(
            [about - interval 1 day, about + interval 1 day],
            lambda near: local_time - (timezone($zone, near) - timezone('UTC', near))
        ) as guesses
    from read
    inner join directions on read.file_number = directions.file_number
),

candidates as (
    select
        * exclude (about, guesses),
        list_filter(
            list_transform(guesses, lambda guess: timezone('UTC', guess)),
            lambda instant: timezone($zone, instant) = local_time
        ) as instants,
        list_min(instants) as first_instant,
        list_max(instants) as last_instant
    from offsets
),

bounded as (
    select
        *,
        greatest(
            case when not is_from_end then $latest::timestamptz end,
            max(first_instant)
                over (partition by file_number order by place rows between unbounded preceding and 1 preceding),
            max(case when call_began <= last_instant + interval 1 minute then call_began end)
                over (partition by file_number order by place)
        ) as not_before
    from candidates
)

select
    * exclude (
        time, local_time, call_began, is_from_end, place, instants, first_instant, last_instant, not_before
    ),
    case
        when
            bool_or(first_instant < last_instant and first_instant < not_before - interval 1 minute)
                over (partition by file_number, cast(local_time as date) order by place)
            then last_instant
        else first_instant
    end as occurred_at
from bounded;
