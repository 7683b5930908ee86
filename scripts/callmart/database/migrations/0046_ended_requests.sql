-- A request can also end because the contact withdraws it, or because it was entered by mistake.
alter table privacy.request
drop constraint request_refused_why_check,
add constraint request_refused_why_check check (
    refused_why in (
        'authority', 'identity', 'no such customer', 'withdrawn by the contact', 'entered by mistake'
    )
);
