-- The hashes of the months that were read since the file was last read whole.
alter table ops.extract add column months jsonb not null default '{}';
