-- What the last build was computed from. A run in which all of that is the same builds nothing.
create table ops.built_state (
    one_row boolean primary key default true check (one_row),
    state jsonb not null
);

-- The definitions of the marts as dbt last compiled them without a build.
create table ops.compiled_project (
    one_row boolean primary key default true check (one_row),
    project text not null,
    definitions jsonb not null
);

-- What a customer should have had on Tableau when callmart last looked there, and the day on which that was. It is null
-- while something changes there.
alter table ops.publication
add column wanted text, -- a digest
add column looked_on date;
