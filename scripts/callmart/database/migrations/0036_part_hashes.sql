-- The hashes of the months that a file has, and of the rest.
alter table ops.extract add column part_hashes jsonb not null default '{}';
