-- Why a day was released is one of a list, as texts can name persons and the log keeps them without end. What was
-- written before is replaced, with its own entry, and leaves the files with the next vacuum. A further reason needs a
-- migration.
with replaced as (
    update ops.held_back
    set release_reason = 'not-listed'
    where release_reason is not null
    returning 1
)

insert into ops.audit_log (action, details)
select
    'reasons replaced',
    jsonb_build_object('days', (select count(*) from replaced), 'entries', count(*))
from ops.audit_log
where action = 'released'
having count(*) > 0 or exists (select 1 from replaced);

alter table ops.audit_log disable trigger user;
update ops.audit_log
set details = details || '{"reason": "not-listed"}'
where action = 'released';
alter table ops.audit_log enable trigger user;

insert into ops.to_vacuum as noted (relation, is_whole) values
('ops.audit_log', true),
('ops.held_back', true)
on conflict (relation) do update set is_whole = true;

alter table ops.held_back
add constraint held_back_release_reason_check check (
    release_reason in ('agreed-with-customer', 'data-is-right', 'not-mendable', 'check-is-wrong', 'not-listed')
);

alter table ops.audit_log
add constraint audit_log_release_reason_check check (
    action <> 'released'
    or (
        details ->> 'reason'
        in ('agreed-with-customer', 'data-is-right', 'not-mendable', 'check-is-wrong', 'not-listed')
    ) is true
);
