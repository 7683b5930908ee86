-- Parses text files. `block` is a block of lines: file_number, line_number and text. A line with a fault is rejected.

-- name: ndjson
with read as materialized (
    select
        *,
        try(json_keys(text)) as keys
    from block
),

-- Most lines have the keys of another one, so these are judged once.
various as (
    select distinct keys
    from read
),

judged as (
    select
        keys,
        case
            when not list_has_all($columns, keys) then 'a key is not in the raw format'
            when len(list_distinct(keys)) < len(keys) then 'a key occurs twice'
        end as fault
    from various
),

parsed as (
    select
        read.file_number,
        read.line_number,
        json_extract_string(case when read.keys is not null then read.text end, $paths) as fields,
        case
            when read.keys is null or (read.keys = [] and json_type(read.text) <> 'OBJECT')
                then 'the line is not a JSON object'
            -- DuckDB takes bare NaN and Infinity for JSON. Few lines have these letters at all, which is quickly seen.
            when
                (
                    contains(read.text, 'NaN') or contains(read.text, 'nan') or contains(read.text, 'NAN')
                    or contains(read.text, 'Inf') or contains(read.text, 'inf') or contains(read.text, 'INF')
                )
                and len(
                    list_filter(
                        json_extract(read.text, $paths),
                        lambda value: regexp_matches(value::varchar, '^-?(?i:nan|inf)')
                    )
                ) > 0
                then 'the line is not a JSON object'
            when judged.fault is not null then judged.fault
            -- Few lines have a bracket but for the first one.
            when
                (contains(read.text[2:], '{{') or contains(read.text, '['))
                and list_has_any(json_type(read.text, $paths), ['OBJECT', 'ARRAY'])
                then 'a value is a list or an object'
        end as fault
    from read
    left join judged on read.keys = judged.keys
)

select
    file_number,
    line_number,
    fault,
    {values}
from parsed;

-- name: queue_log
-- `data` holds the parameters, joined with |.
with split as (
    select
        file_number,
        line_number,
        string_split(text, '|') as fields
    from block
)

select
    file_number,
    line_number,
    case when len(fields) < 5 then 'the line has fewer than five fields' end as fault,
    fields[1] as time,
    fields[2] as callid,
    fields[3] as queue,
    fields[4] as agent,
    fields[5] as event,
    array_to_string(fields[6:], '|') as data
from split;
