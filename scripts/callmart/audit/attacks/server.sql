-- The longer statements of server.py. {database}, {ours}, {calls} and so on are filled in for each attacker.

-- name: functions
select format('%s.%s', nspname, proname)
from pg_proc as p
inner join pg_namespace as n on p.pronamespace = n.oid
where
    nspname = any({ours})
    and has_function_privilege(p.oid, 'execute')
    and format('%s.%s', nspname, proname) <> all(array[{calls}]::pg_catalog.text[]);

-- name: privileges_to_write
select 1
from pg_class as c
where
    relnamespace::regnamespace::pg_catalog.text = any({ours})
    and relkind in ('r', 'p', 'v', 'm', 'f')
    and format('%s', c.oid::regclass) <> all(array[{writes}]::pg_catalog.text[])
    and (
        has_table_privilege(c.oid, 'insert, update, delete, truncate, references, trigger')
        or has_any_column_privilege(c.oid, 'insert, update, references')
    )
limit 1;

-- name: privileges_to_make
select nspname from pg_namespace
where nspname !~ '^pg_(temp|toast)' and has_schema_privilege(oid, 'create')
union all
select datname from pg_database
where datname = current_database() and has_database_privilege(oid, 'create');

-- name: powers
select 1 from pg_roles
where
    rolname = current_user
    and (rolsuper or rolcreatedb or rolcreaterole or rolreplication or rolbypassrls)
union all
select 1
where
    has_parameter_privilege('row_security', 'alter system')
    or has_parameter_privilege('session_replication_role', 'set');
