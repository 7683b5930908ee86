-- name: landed
-- The newest landing of a content: whether its last line is missing, and the last day on which the file may be kept.
-- Every row that landed from it then is at most two years old.
select
    f.incomplete_last_line,
    least(
        %(today)s::date + %(keep_days)s::integer,
        (
            select (min(c.first_day) + interval '2 years')::date
            from raw.file_customer as c
            where c.file_id = f.file_id
        )
    ) as last_day
from raw.file as f
where f.content_key = %(content_key)s and f.asked = %(asked)s
order by f.file_id desc
limit 1;
