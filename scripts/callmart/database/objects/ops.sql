-- ops: callmart's books: what it has done, and what is still to do.

create or replace function ops.refuse_change() returns trigger language plpgsql as $$
begin
    raise exception 'the audit log is append-only';
end
$$;

create or replace trigger append_only
before update or delete or truncate on ops.audit_log
for each statement execute function ops.refuse_change();

-- An erasure waits until its days are opened anew, also if files land on them meanwhile.
create or replace function ops.keep_erased() returns trigger language plpgsql as $$
begin
    new.cause := old.cause;
    return new;
end
$$;

create or replace trigger keep_erased
before update on ops.dirty_day
for each row when (old.cause = 'erased') execute function ops.keep_erased();
