-- name: persons
-- The columns of marts that point to persons.
select
    relation_name,
    column_name
from access.pointing_column
where schema_name = 'store' and not persons <@ array['nobody'];
