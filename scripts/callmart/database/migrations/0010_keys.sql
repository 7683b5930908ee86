-- The key of the installation is known by its fingerprint, as those of customers are.
create table ops.installation (
    one_row boolean primary key default true check (one_row),
    key_fingerprint text not null
);
comment on column ops.installation.key_fingerprint is 'person: nobody';

-- The names that the registry knows as the customer's own, though they look like telephone numbers. Raw events have
-- their keys.
alter table registry.queue add queue_key text; -- null if the name does not look like a number
comment on column registry.queue.queue_key is 'person: nobody';

create table registry.line (
    customer_id integer not null references registry.customer on delete cascade,
    line text not null,
    label text,
    channels integer, -- how many calls it carries at once
    line_key text, -- null if the name does not look like a number
    primary key (customer_id, line)
);
comment on column registry.line.line is 'person: nobody';
comment on column registry.line.label is 'person: nobody';
comment on column registry.line.line_key is 'person: nobody';

-- A table that is vacuumed whole is written anew: nothing of what was deleted is left in its free space.
alter table ops.to_vacuum add is_whole boolean not null default false;
