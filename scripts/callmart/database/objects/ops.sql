-- ops: callmart's books: what it has done, and what is still to do.

create or replace function ops.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only';
end
$$;

create or replace trigger append_only
before update or delete or truncate on ops.audit_log
for each statement execute function ops.refuse_change();
