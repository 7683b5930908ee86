-- Parses text files. `block` is a block of lines: file_number, line_number and text. A line with a fault is rejected.

-- name: ndjson
with objects as (
    select
        file_number,
        line_number,
        text,
        case when json_valid(text) and json_type(text) = 'OBJECT' then text end as object
    from block
),

parsed as (
    select
        file_number,
        line_number,
        json_extract_string(object, $paths) as fields,
        case
            when object is null then 'the line is not a JSON object'
            -- DuckDB takes bare NaN and Infinity for JSON. Few lines have these letters at all, which is quickly seen.
            when
                (
                    contains(text, 'NaN') or contains(text, 'nan') or contains(text, 'NAN')
                    or contains(text, 'Inf') or contains(text, 'inf') or contains(text, 'INF')
                )
                and len(
                    list_filter(
                        json_extract(object, $paths),
                        lambda value: regexp_matches(value::varchar, '^-?(?i:nan|inf)')
                    )
                ) > 0
                then 'the line is not a JSON object'
            when not list_has_all($columns, json_keys(object))
                then 'a key is not in the raw format'
            when len(list_distinct(json_keys(object))) < len(json_keys(object))
                then 'a key occurs twice'
            when list_has_any(json_type(object, $paths), ['OBJECT', 'ARRAY'])
                then 'a value is a list or an object'
        end as fault
    from objects
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
