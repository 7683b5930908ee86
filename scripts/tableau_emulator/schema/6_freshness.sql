-- Data quality warnings, how often a view was opened, and the scopes that a connected app has.

create table quality_warning (
    id text primary key, site_id text not null references site, content_kind text not null,
    content_id text not null, type text not null, message text, active integer not null, severe integer not null,
    owner_id text not null, created_at text not null, updated_at text not null,
    unique (content_id, type)
);

create table view_use (
    view_id text primary key references "view" on delete cascade, opened integer not null
) without rowid;

create table app_scope (  -- an app without any has them all
    secret_id text not null references connected_app on delete cascade, scope text not null,
    primary key (secret_id, scope)
) without rowid;
