-- Nothing that dbt has made says whom its columns point to. What is in `build` the next build makes anew, and says it.
-- Marts and statistics stay. Until now only marts of agents could show agents or callers, so their columns point to
-- both, and others to nobody; the rest of the upgrade writes what the YAML of each mart says. A mart that has left the
-- project keeps this.
do $$
declare
    made text;
begin
    for made in
        select format('drop %s if exists build.%I cascade', case relkind when 'v' then 'view' else 'table' end, relname)
        from pg_catalog.pg_class
        where relnamespace = 'build'::regnamespace and relkind in ('r', 'v') and relname <> 'window'
        union all
        select
            format(
                'comment on column %s.%I is %L',
                m.relation, attname, case m.mart_group when 'agent' then 'person: agent, caller' else 'person: nobody' end
            )
        from access.mart as m
        join pg_catalog.pg_attribute on attrelid = m.relation and attnum > 0 and not attisdropped
        where
            format_type(atttypid, null) not in (
                'smallint', 'integer', 'double precision', 'boolean', 'date', 'timestamp with time zone',
                'timestamp without time zone'
            )
    loop
        execute made;
    end loop;
end
$$;
