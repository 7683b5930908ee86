-- The tables of the emulator's state. A change is a file of its own beside this one, with the next number.

create table site (
    id text primary key, name text not null, content_url text not null unique,
    settings text not null  -- JSON: attributes of the site by their names in the API
);

create table user (
    id text primary key, site_id text not null references site, name text not null collate nocase,
    full_name text not null, email text not null, site_role text not null, auth_setting text not null,
    password_hash text, last_login text,
    unique (site_id, name)
);

create table token (
    name text primary key, secret_hash text not null, user_id text not null references user on delete cascade
);

create table session (
    key_hash text primary key, expires_at real not null,
    token_name text unique references token on delete cascade,  -- one live session per token
    user_id text not null references user on delete cascade,
    scopes text  -- JSON, from a connected app; null: not limited by scopes
);

create table connected_app (secret_id text primary key, client_id text not null, secret text not null);

create table used_jwt (jti text primary key, expires_at real not null);

create table user_group (
    id text primary key, site_id text not null references site, name text not null collate nocase,
    minimum_site_role text,
    unique (site_id, name)
);

create table membership (
    group_id text not null references user_group on delete cascade,
    user_id text not null references user on delete cascade,
    primary key (group_id, user_id)
) without rowid;
create index membership_user on membership (user_id);

create table project (
    id text primary key, site_id text not null references site, name text not null collate nocase,
    description text not null,
    content_permissions text not null, parent_id text references project,
    owner_id text not null references user, created_at text not null, updated_at text not null
);
create unique index project_name on project (site_id, coalesce(parent_id, ''), name);
create index project_parent on project (parent_id);

create table datasource (
    id text primary key, site_id text not null references site, name text not null collate nocase,
    description text not null,
    content_url text not null, type text not null, project_id text not null references project,
    owner_id text not null references user, size integer not null,
    is_certified integer not null default 0, certification_note text, created_at text not null,
    updated_at text not null,
    unique (site_id, content_url), unique (project_id, name)
);

create table workbook (
    id text primary key, site_id text not null references site, name text not null collate nocase,
    description text not null,
    content_url text not null, type text not null, project_id text not null references project,
    owner_id text not null references user, size integer not null,
    show_tabs integer not null default 0, created_at text not null, updated_at text not null,
    unique (site_id, content_url), unique (project_id, name)
);

create table "view" (
    id text primary key, site_id text not null references site,
    workbook_id text not null references workbook on delete cascade, position integer not null,
    name text not null, content_url text not null, sheet_type text not null, hidden integer not null,
    created_at text not null, updated_at text not null,
    unique (workbook_id, name)
);

create table revision (  -- the kept publications of a data source or workbook; the last one is current
    content_id text not null, number integer not null, file text not null, size integer not null,
    publisher_id text not null, published_at text not null,
    primary key (content_id, number)
);

create table favorite (
    user_id text not null references user on delete cascade, content_kind text not null,
    content_id text not null, label text not null, added_at text not null,
    primary key (user_id, content_id)
) without rowid;

create table connection (
    id text primary key, site_id text not null references site, content_id text not null,
    position integer not null, type text not null, server text not null, port text not null,
    user_name text not null, embed integer not null, datasource_id text, datasource_name text
);
create index connection_content on connection (content_id);

create table tag (
    content_id text not null, label text not null, primary key (content_id, label)
) without rowid;

create table rule (
    content_id text not null,
    scope text not null,  -- 'own', or the kind of content for which this is a project's default
    grantee_kind text not null, grantee_id text not null, capability text not null, mode text not null,
    primary key (content_id, scope, grantee_kind, grantee_id, capability)
) without rowid;
create index rule_grantee on rule (grantee_kind, grantee_id);

create table schedule (
    id text primary key, name text not null unique, type text not null, priority integer not null,
    execution_order text not null, state text not null, frequency text not null,
    details text not null,  -- JSON: start, end, intervals
    created_at text not null, updated_at text not null
);

create table subscription (
    id text primary key, site_id text not null references site, subject text not null, message text,
    attach_image integer not null, attach_pdf integer not null, page_orientation text, page_size_option text,
    suspended integer not null, content_type text not null, content_id text not null,
    send_if_view_empty integer not null, user_id text not null references user on delete cascade,
    schedule_id text references schedule on delete cascade,
    frequency text, details text,  -- instead of a schedule, on Tableau Cloud
    created_at text not null
);

create table task (  -- refreshes an extract at the times of a schedule
    id text primary key, site_id text not null references site, content_kind text not null,
    content_id text not null, type text not null, priority integer not null,
    schedule_id text references schedule on delete cascade,
    frequency text, details text,  -- instead of a schedule, on Tableau Cloud
    created_at text not null
);

create table job (
    id text primary key, site_id text not null references site, type text not null, user_id text not null,
    content_kind text not null, content_id text, title text not null,
    polls integer,  -- how many more queries are answered that it is running; null: until somebody ends it
    outcome text not null, notes text not null, created_at text not null, ended_at text
);

create table upload (
    id text primary key, site_id text not null references site,
    user_id text not null references user on delete cascade, file text not null, created_at real not null
);

create table fault (
    id integer primary key, settings text not null, skip integer not null, count integer, injected_at real not null
);

create table request (
    id integer primary key, at text not null, method text not null, path text not null,
    status integer not null, bytes integer not null
);
