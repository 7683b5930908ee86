-- The books of publications had the project's name, which contains the customer's. Its id on Tableau takes its place.
alter table ops.publication
add column if not exists project_id text, -- Tableau's LUID; null if not made yet, or if is_from_before
add column if not exists is_from_before boolean not null default false; -- published without an installation's mark

do $$
begin
    if exists (
        select from pg_attribute
        where attrelid = 'ops.publication'::regclass and attname = 'project' and not attisdropped
    ) then
        update ops.publication set project = null, is_from_before = true;
        alter table ops.publication drop column project;
        insert into ops.to_vacuum (relation) values ('ops.publication') on conflict do nothing;
    end if;
end
$$;
