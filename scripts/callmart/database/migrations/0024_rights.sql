-- The register knows all rights. `lifting` takes an objection, a restriction or a withdrawal back.
alter table privacy.request
add column is_by_consent boolean, -- of a withdrawal: consent was the reason to have the data, the contact says
drop constraint request_asked_right_check,
add constraint request_asked_right_check check (
    asked_right in (
        'erasure', 'access', 'portability', 'rectification', 'objection', 'restriction', 'withdrawal', 'lifting'
    )
),
alter column asked_right drop default;

-- One open request per person and right.
drop index privacy.open_request;
create unique index open_request on privacy.request (customer_id, asked_right, kind, subject)
where ended_at is null and answered_at is null;

-- The ledger also says who objects to being shown, and who does no longer.
alter table privacy.ledger_entry
add column asked_right text default 'erasure' check (asked_right in ('erasure', 'objection', 'lifting'));
update privacy.ledger_entry set asked_right = null
where ended_at is not null;

alter table privacy.tombstone
drop constraint tombstone_kind_check,
add check (kind in ('agent', 'device', 'caller', 'call', 'contact', 'recipient', 'name', 'objector'));

-- A day waits because of a person: not only of one who was erased.
drop trigger if exists keep_erased on ops.dirty_day;
update ops.dirty_day set cause = 'person'
where cause = 'erased';

-- They return or take other columns.
drop function if exists privacy.requests();
drop function if exists privacy.open_request(integer, text, text, date, text);
drop function if exists privacy.verify(integer, text, boolean, boolean, text, text);
drop function if exists privacy.refuse_second(integer, text, text);
