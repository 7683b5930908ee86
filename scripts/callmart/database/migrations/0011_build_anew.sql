-- What dbt has made in `build` does not say whom its columns point to, and only a build can say it. The next one makes
-- all of it anew.
do $$
declare
    made text;
begin
    for made in
        select format('drop %s if exists build.%I cascade', case relkind when 'v' then 'view' else 'table' end, relname)
        from pg_catalog.pg_class
        where relnamespace = 'build'::regnamespace and relkind in ('r', 'v') and relname <> 'window'
    loop
        execute made;
    end loop;
end
$$;
