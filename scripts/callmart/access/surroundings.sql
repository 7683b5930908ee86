-- The statements of surroundings.py: what lies outside callmart's schemas.

-- name: run
-- Functions of neither a superuser nor the owner that run in the owner's sessions, each with its owner, and why: it is
-- among PostgreSQL's own, or behind one of their operators or casts; something of callmart's calls it, by itself or by
-- way of an operator, an operator class, a domain or another function; or an event trigger does, in everybody's
-- sessions, so that one may not even be the owner's. And who may put more among PostgreSQL's own. What extensions bring
-- is left out. Types are exact, so that these conditions call none of them.
with recursive others as materialized (
    select
        p.oid,
        p.proowner as owner,
        r.rolname = current_user as is_owners,
        p.pronamespace = 'pg_catalog'::regnamespace::oid as is_among_theirs
    from pg_proc as p
    inner join pg_roles as r on p.proowner = r.oid
    where
        not r.rolsuper
        and not exists (
            select 1 from pg_depend
            where classid = 'pg_proc'::regclass::oid and objid = p.oid and deptype = 'e'::"char" -- noqa: RF06
        )
),

ours as materialized (
    select oid from pg_namespace
    where nspname::text = any(%(schemas)s::text[])
),

calls as (
    select
        oid,
        owner,
        is_owners,
        'pg_proc'::regclass::oid as classid,
        oid as objid
    from others
    union
    select
        calls.oid,
        calls.owner,
        calls.is_owners,
        next.classid,
        next.objid
    from calls
    cross join lateral (
        select
            d.classid,
            d.objid
        from pg_depend as d
        where
            d.refclassid = calls.classid and d.refobjid = calls.objid
            and calls.classid in (
                'pg_proc'::regclass::oid, 'pg_operator'::regclass::oid, 'pg_type'::regclass::oid,
                'pg_opclass'::regclass::oid, 'pg_opfamily'::regclass::oid
            )
        union all
        -- What is part of an operator class or of a domain depends on it, not it on its parts.
        select
            d.refclassid,
            d.refobjid
        from pg_depend as d
        where
            d.classid = calls.classid and d.objid = calls.objid
            and calls.classid in (
                'pg_amproc'::regclass::oid, 'pg_amop'::regclass::oid, 'pg_constraint'::regclass::oid
            )
            and d.refclassid in (
                'pg_opclass'::regclass::oid, 'pg_opfamily'::regclass::oid, 'pg_type'::regclass::oid
            )
            and d.deptype in ('a'::"char", 'i'::"char") -- noqa: RF06
    ) as next
),

-- What runs in the owner's sessions. Defaults, checks, indexes, triggers, policies and rules depend on their table.
run_by_owner as (
    select
        'pg_cast'::regclass::oid as classid,
        oid as objid
    from pg_cast
    where castsource < 16384::oid and casttarget < 16384::oid -- PostgreSQL's own types
    union all
    select
        'pg_operator'::regclass::oid,
        oid
    from pg_operator
    where oprnamespace = 'pg_catalog'::regnamespace::oid
    union all
    select
        'pg_proc'::regclass::oid,
        oid
    from pg_proc
    where pronamespace in (select oid from ours)
    union all
    select
        'pg_class'::regclass::oid,
        oid
    from pg_class
    where relnamespace in (select oid from ours)
    union all
    select
        of_table.classid,
        of_table.objid
    from pg_depend as of_table
    inner join pg_class as c on of_table.refobjid = c.oid
    where
        of_table.refclassid = 'pg_class'::regclass::oid
        and c.relnamespace in (select oid from ours)
),

found as (
    select
        oid,
        owner,
        classid,
        objid
    from calls
    where classid = 'pg_event_trigger'::regclass::oid
    union
    select
        calls.oid,
        calls.owner,
        calls.classid,
        calls.objid
    from calls
    inner join run_by_owner on calls.classid = run_by_owner.classid and calls.objid = run_by_owner.objid
    where
        not calls.is_owners
        and (calls.classid <> 'pg_proc'::regclass::oid or calls.objid <> calls.oid)
    union
    select
        oid,
        owner,
        'pg_namespace'::regclass::oid,
        'pg_catalog'::regnamespace::oid
    from others
    where is_among_theirs
)

select
    format('%%s of %%s', oid::regprocedure, pg_get_userbyid(owner)),
    pg_describe_object(classid, objid, 0)
from found
union all
select
    'whatever is made there by '
    || case grantee when 0::oid then 'everybody' else pg_get_userbyid(grantee) end,
    'the right to create in the schema pg_catalog'
from pg_namespace
cross join lateral aclexplode(nspacl)
where
    nspname = 'pg_catalog'::name
    and privilege_type = 'CREATE'::text
    and grantee not in (
        select oid from pg_roles
        where rolsuper
    );

-- name: held
-- What each role owns, or may use, of any kind. Left out is what `given` and `of_others` compare, the views of the
-- marts with their owners, databases and parameters.
with ours as (
    select oid from pg_namespace
    where nspname = any(%(schemas)s)
),

owner as (
    select oid from pg_roles
    where rolname = current_user
),

compared (class, oid) as (
    select
        'pg_namespace'::regclass,
        oid
    from ours
    union all
    select
        'pg_class'::regclass,
        oid
    from pg_class
    where
        relnamespace in (select oid from ours)
        or (relowner in (select oid from owner) and relnamespace <> 'pg_toast'::regnamespace)
    union all
    select
        'pg_proc'::regclass,
        oid
    from pg_proc
    where pronamespace in (select oid from ours) or proowner in (select oid from owner)
    union all
    select
        'pg_default_acl'::regclass,
        oid
    from pg_default_acl
    where defaclrole in (select oid from owner)
)

select
    r.rolname,
    d.deptype = 'o' as owned,
    pg_describe_object(d.classid, d.objid, d.objsubid) as thing
from pg_shdepend as d
inner join pg_roles as r on d.refobjid = r.oid
where
    d.refclassid = 'pg_authid'::regclass
    and d.deptype in ('o', 'a')
    and d.dbid in (
        select 0
        union all
        select oid from pg_database
        where datname = current_database()
    )
    and d.classid not in ('pg_database'::regclass, 'pg_parameter_acl'::regclass, 'pg_auth_members'::regclass)
    and (d.classid, d.objid) not in (select * from compared)
    and r.rolname <> current_user
order by thing, r.rolname;

-- name: everybodys
-- What PostgreSQL keeps from everybody in its catalogue, and everybody may use: passwords, samples of all tables,
-- functions that read files.
with initial as materialized (
    select
        objoid,
        classoid,
        objsubid,
        privilege_type
    from pg_init_privs
    cross join lateral aclexplode(initprivs)
    where grantee = 0
),

given (class, oid, part, acl) as (
    select
        'pg_class'::regclass,
        oid,
        0,
        relacl
    from pg_class
    where relacl is not null and relnamespace = 'pg_catalog'::regnamespace
    union all
    select
        'pg_class'::regclass,
        attrelid,
        attnum,
        attacl
    from pg_attribute inner join pg_class on pg_class.oid = attrelid
    where attacl is not null and relnamespace = 'pg_catalog'::regnamespace
    union all
    select
        'pg_proc'::regclass,
        oid,
        0,
        proacl
    from pg_proc
    where proacl is not null and pronamespace = 'pg_catalog'::regnamespace
),

open as (
    select distinct
        given.class,
        given.oid,
        given.part
    from given
    cross join lateral aclexplode(given.acl) as g
    where
        g.grantee = 0
        and exists (
            select 1 from pg_init_privs as i
            where i.classoid = given.class and i.objoid = given.oid
        )
        and (given.oid, given.class, 0, g.privilege_type) not in (select * from initial)
        and (given.oid, given.class, given.part, g.privilege_type) not in (select * from initial)
)

select pg_describe_object(class, oid, part) as thing
from open
order by thing;

-- name: reaching
-- Who has, or can give itself, one of PostgreSQL's own roles that reaches around all rights: the owner those for files
-- and programs of the server, others who get into this database those for all tables. Left out are callmart's logins,
-- whose memberships are compared, and whoever administers roles.
with recursive members as (
    select
        r.oid as reached,
        m.member
    from pg_roles as r
    inner join pg_auth_members as m on r.oid = m.roleid
    where
        r.rolname in (
            'pg_read_all_data', 'pg_write_all_data',
            'pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program'
        )
    union
    select
        members.reached,
        m.member
    from members
    inner join pg_auth_members as m on members.member = m.roleid
)

select
    r.rolname,
    pg_get_userbyid(members.reached)
from members
inner join pg_roles as r on members.member = r.oid
where
    case
        when r.rolname = current_user then pg_get_userbyid(members.reached) not like '%%_all_data'
        else
            pg_get_userbyid(members.reached) like '%%_all_data'
            and r.rolcanlogin
            and not (r.rolsuper or r.rolcreaterole)
            and has_database_privilege(r.oid, current_database(), 'connect')
    end
order by r.rolname, members.reached;

-- name: beside
-- What a superuser may have put beside callmart, each with what takes it away. That is no drift, because a shared
-- server may have some of it for others. What extensions bring is left out.
with of_extensions as (
    select
        classid,
        objid
    from pg_depend
    where refclassid = 'pg_extension'::regclass and deptype = 'e'
),

ours as (
    select oid from pg_namespace
    where nspname = any(%(schemas)s)
),

tables as (
    select
        c.oid,
        c.oid::regclass::text as name
    from pg_class as c
    where c.relnamespace in (select oid from ours) and c.relkind in ('r', 'p')
),

functions as (
    select
        p.oid,
        p.oid::regprocedure::text as name,
        p.pronamespace,
        p.proowner,
        p.prosecdef
    from pg_proc as p
    where
        p.oid >= 16384 -- PostgreSQL's own have lower numbers
        and p.pronamespace not in (select oid from ours)
        and ('pg_proc'::regclass, p.oid) not in (select * from of_extensions)
)

select format('event trigger %%I runs %%s: drop event trigger %%1$I', t.evtname, t.evtfoid::regprocedure) as found
from pg_event_trigger as t
where
    t.evtname <> 'refuse_definitions'
    and ('pg_event_trigger'::regclass, t.oid) not in (select * from of_extensions)
union all
select format('%%s is among PostgreSQL''s own functions: drop function %%1$s', name)
from functions
where pronamespace = 'pg_catalog'::regnamespace
union all
select
    format(
        'everybody may call %%s, which has the rights of %%s: revoke execute on routine %%1$s from public',
        name, proowner::regrole
    )
from functions
where prosecdef and has_function_privilege('public', oid, 'execute')
union all
select
    format(
        'PostgreSQL''s own types have the %%s: drop cast (%%s as %%s)',
        pg_describe_object('pg_cast'::regclass, oid, 0), castsource::regtype, casttarget::regtype
    )
from pg_cast
where
    oid >= 16384 and castsource < 16384 and casttarget < 16384
    and ('pg_cast'::regclass, oid) not in (select * from of_extensions)
union all
select format('%%s is among PostgreSQL''s own operators: drop operator %%1$s', oid::regoperator)
from pg_operator
where
    oid >= 16384 and oprnamespace = 'pg_catalog'::regnamespace
    and ('pg_operator'::regclass, oid) not in (select * from of_extensions)
union all
-- Defaults, checks, generated columns and indexes.
select distinct
    format(
        '%%s calls %%s, which is not callmart''s: drop it', pg_describe_object(d.classid, d.objid, d.objsubid), f.name
    )
from pg_depend as d
inner join functions as f on d.refobjid = f.oid
inner join pg_depend as of_table on d.classid = of_table.classid and d.objid = of_table.objid
inner join tables on of_table.refobjid = tables.oid
where
    d.refclassid = 'pg_proc'::regclass
    and d.classid <> 'pg_trigger'::regclass -- drift compares those
    and of_table.refclassid = 'pg_class'::regclass
union all
-- Who did what, and when, is a default.
select format('alter table %%s alter column %%I set default %%s', told.relation, told.name, told.expression)
from (
    values
    ('ops.audit_log'::regclass, 'actor', 'SESSION_USER'),
    ('ops.audit_log', 'at', 'clock_timestamp()'),
    ('privacy.step', 'actor', 'SESSION_USER'),
    ('privacy.step', 'at', 'clock_timestamp()'),
    ('privacy.request', 'opened_by', 'SESSION_USER')
) as told (relation, name, expression)
left join pg_attribute as a on told.relation = a.attrelid and told.name = a.attname
left join pg_attrdef as d on a.attrelid = d.adrelid and a.attnum = d.adnum
where pg_get_expr(d.adbin, d.adrelid) is distinct from told.expression
union all
-- Foreign keys are kept by triggers of PostgreSQL's own.
select distinct format('the foreign keys of %%s are off: alter table %%1$s enable trigger all', tables.name)
from pg_trigger
inner join tables on tgrelid = tables.oid
where tgisinternal and tgenabled not in ('O', 'A')
union all
select
    format(
        'replication slot %%s takes along all that changes here: select pg_drop_replication_slot(%%L)',
        slot_name, slot_name
    )
from pg_replication_slots
where slot_type = 'logical' and database = current_database()
union all
-- On a server of its own callmart has one administrator.
select format('role %%I may do everything on the server: drop it, or take its powers away', rolname)
from pg_roles
where %(is_own)s and (rolsuper or rolreplication or rolbypassrls) and oid >= 16384;
