-- The readings of version 0.2.0 that have changed since. The macros take the place of those of today on a connection.

-- name: macros
create or replace temp macro _undecorated(number) as regexp_replace(
    regexp_replace(
        regexp_replace(number, '[\s./\x{A0}-]', '', 'g'),
        '^(\+31|0031)\(0\)', '\1'
    ),
    '[()]', '', 'g'
);

create or replace temp macro _international(digits) as regexp_replace(
    regexp_replace(
        regexp_replace(digits, '^00', '+'),
        '^0([1-9]\d{6,})$', '+31\1'
    ),
    '^(31\d{9})$', '+\1'
);

create or replace temp macro agent_id(id) as id;

-- name: with_former_keys
-- `judged` is the batch by the readings of today, `formerly` the rows of it that were read otherwise. A line of a log
-- can yield several events.
select judged.* replace (coalesce(formerly.event_key, judged.event_key) as event_key)
from judged
left join formerly
    on judged.file_number = formerly.file_number
    and judged.line_number = formerly.line_number
    and judged.event = formerly.event
    and formerly.fault is null;
