-- What a search finds before anything is erased is evidence, too.
alter table privacy.step
drop constraint step_step_check,
add check (step in ('find', 'control', 'treat', 'prove', 'attest'));

-- A registry.yml can name an agent among the contacts, where nobody has an id.
alter table privacy.tombstone
drop constraint tombstone_kind_check,
add check (kind in ('agent', 'device', 'caller', 'call', 'contact', 'recipient', 'name'));

-- They return other columns.
drop function if exists raw.settle_erased();
drop function if exists raw.rows_of_erased();
