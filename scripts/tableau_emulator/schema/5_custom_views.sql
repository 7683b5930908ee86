-- Custom views: what a user has chosen in a workbook, as a file.

create table custom_view (
    id text primary key, site_id text not null references site,
    workbook_id text not null references workbook on delete cascade,
    owner_id text not null references user on delete cascade, name text not null, shared integer not null,
    content blob not null, created_at text not null, updated_at text not null,
    unique (workbook_id, owner_id, name)
);
create index custom_view_owner on custom_view (owner_id);
