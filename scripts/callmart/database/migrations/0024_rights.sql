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

-- They return or take other columns.
drop function if exists privacy.requests();
drop function if exists privacy.open_request(integer, text, text, date, text);
drop function if exists privacy.verify(integer, text, boolean, boolean, text, text);
drop function if exists privacy.refuse_second(integer, text, text);
