-- The hashes of the months that a file has, and of the rest; and of the file as it was written.
alter table ops.extract add column part_hashes jsonb not null default '{}', add column file_hash text;
