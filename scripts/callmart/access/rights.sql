-- name: given
-- All rights on objects in callmart's schemas, or of its owner, except the owner's own rights.
with objects (kind, object, part, owner, acl) as (
    select
        'database',
        quote_ident(datname),
        '',
        datdba,
        coalesce(datacl, acldefault('d', datdba))
    from pg_database
    where datname = current_database() and pg_get_userbyid(datdba) = current_user
    union all
    select
        'schema',
        quote_ident(nspname),
        '',
        nspowner,
        coalesce(nspacl, acldefault('n', nspowner))
    from pg_namespace
    where nspname = any(%(schemas)s)
    union all
    select
        case relkind when 'S' then 'sequence' else 'table' end,
        format('%%I.%%I', nspname, relname),
        '',
        relowner,
        coalesce(relacl, acldefault(case relkind when 'S' then 's' else 'r' end::"char", relowner)) -- noqa: RF06
    from pg_class inner join pg_namespace on pg_namespace.oid = relnamespace
    where
        relkind in ('r', 'p', 'v', 'm', 'S', 'f')
        and (nspname = any(%(schemas)s) or pg_get_userbyid(relowner) = current_user)
        and not starts_with(nspname, 'pg_t')
    union all
    select
        'table',
        format('%%I.%%I', nspname, relname),
        quote_ident(attname),
        relowner,
        attacl
    from pg_attribute
    inner join pg_class on pg_class.oid = attrelid
    inner join pg_namespace on pg_namespace.oid = relnamespace
    where
        attacl is not null
        and (nspname = any(%(schemas)s) or pg_get_userbyid(relowner) = current_user)
    union all
    select
        'function',
        format('%%I.%%I(%%s)', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid)),
        '',
        proowner,
        coalesce(proacl, acldefault('f', proowner))
    from pg_proc inner join pg_namespace on pg_namespace.oid = pronamespace
    where
        (nspname = any(%(schemas)s) or pg_get_userbyid(proowner) = current_user)
        and not starts_with(nspname, 'pg_t')
    union all
    select
        'default',
        coalesce(quote_ident(nspname), ''),
        defaclobjtype::text,
        defaclrole,
        defaclacl
    from pg_default_acl left join pg_namespace on pg_namespace.oid = defaclnamespace
    where pg_get_userbyid(defaclrole) = current_user
)

select
    kind,
    object,
    part,
    case grantee when 0 then '' else pg_get_userbyid(grantee) end,
    privilege_type,
    is_grantable
from objects, aclexplode(acl)
where grantee <> owner;

-- name: relations
-- The relations of the schemas, with their columns.
select
    format('%%I.%%I', nspname, relname),
    array_agg(quote_ident(attname))
from pg_class
inner join pg_namespace on pg_namespace.oid = relnamespace
left join pg_attribute on attrelid = pg_class.oid and attnum > 0 and not attisdropped
where nspname = any(%(schemas)s) and relkind in ('r', 'p', 'v', 'm', 'f')
group by 1;

-- name: functions
-- The functions of the schemas, with their signatures.
select
    format('%%I.%%I', nspname, proname),
    array_agg(format('%%I.%%I(%%s)', nspname, proname, pg_get_function_identity_arguments(pg_proc.oid)))
from pg_proc inner join pg_namespace on pg_namespace.oid = pronamespace
where nspname = any(%(schemas)s)
group by 1;

-- name: ratios
-- The views with ratios of marts, as callmart made them: view and group.
with ratio as materialized (
    select distinct ev_class as view
    from pg_class as t
    inner join pg_depend on refclassid = 'pg_class'::regclass and refobjid = t.oid
    inner join pg_rewrite on classid = 'pg_rewrite'::regclass and objid = pg_rewrite.oid
    inner join pg_class as v on v.oid = ev_class
    where
        t.relnamespace = 'store'::regnamespace and v.relnamespace = 'mart'::regnamespace and t.relname <> v.relname
)

select
    object,
    substring(pg_get_userbyid(v.relowner) from '_shows_([a-z]+)$')
from access.definition
inner join pg_class as v on v.oid = to_regclass(object)
where object like 'mart.%' and v.oid in (select view from ratio) and access.view_definition(v.oid) = definition;

-- name: shared
-- The views for customers that read no mart, as callmart made them: view, group, and each column that it reads.
with shared as materialized (
    select distinct
        ev_class as view,
        format('%I.%I', nspname, t.relname) as relation,
        quote_ident(a.attname) as column_name
    from pg_class as v
    inner join pg_rewrite on v.oid = ev_class
    inner join pg_depend on pg_rewrite.oid = objid
    inner join pg_class as t on t.oid = refobjid
    inner join pg_namespace as n on t.relnamespace = n.oid
    inner join pg_attribute as a on t.oid = a.attrelid and refobjsubid = a.attnum
    where
        v.relnamespace = 'mart'::regnamespace
        and classid = 'pg_rewrite'::regclass
        and refclassid = 'pg_class'::regclass
        and nspname in ('registry', 'ops')
        and refobjsubid > 0
),

unchanged as materialized (
    select
        v.oid,
        d.object,
        substring(pg_get_userbyid(v.relowner) from '_shows_([a-z]+)$') as mart_group
    from access.definition as d
    inner join pg_class as v on v.oid = to_regclass(d.object)
    where d.object like 'mart.%' and v.oid in (select view from shared) and access.view_definition(v.oid) = d.definition
)

select
    u.object,
    u.mart_group,
    s.relation,
    s.column_name
from unchanged as u
inner join shared as s on u.oid = s.view;
