-- The tables and views of models that no longer exist. Nothing else would remove their rows.
do $$
declare
    obsolete text;
begin
    for obsolete in
        select format('drop %s if exists build.%I cascade', case relkind when 'v' then 'view' else 'table' end, relname)
        from pg_catalog.pg_class
        where
            relnamespace = 'build'::regnamespace
            and relkind in ('r', 'v')
            and relname in ('int_call_event', 'int_hold', 'int_talk', 'int_transfer', 'int_wrapup')
    loop
        execute obsolete;
    end loop;
end
$$;
