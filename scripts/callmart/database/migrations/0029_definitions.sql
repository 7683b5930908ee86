-- By which definition of its mart each open day was computed.

create table ops.definition (
    definition_id integer generated always as identity primary key,
    mart text not null,
    fingerprint text, -- null for what was computed before callmart noted it
    columns text[] not null, -- all others of the mart are null on days that were computed by it
    unique nulls not distinct (mart, fingerprint)
);

insert into ops.definition (mart, columns)
select
    c.relname,
    array(
        select attname::text from pg_attribute
        where attrelid = c.oid and attnum > 0 and not attisdropped
        order by attnum
    )
from pg_class as c
where c.relnamespace = to_regnamespace('store') and c.relkind in ('r', 'p') and not c.relispartition;

-- Null where the mart was not declared yet when the day was opened.
alter table ops.opened_day add column definition_id integer;

update ops.opened_day as o
set definition_id = d.definition_id
from ops.definition as d
where o.mart = d.mart;

create index opened_day_by_definition on ops.opened_day (definition_id);

alter table ops.build
add column definitions jsonb, -- per mart the definition by which it was computed
add column project text; -- hash of the project's files; null if dbt computed it by itself
