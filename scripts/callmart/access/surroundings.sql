-- The statements of surroundings.py: what lies outside callmart's schemas.

-- name: run
-- What belongs to neither a superuser nor the owner and runs in the owner's sessions, each with why: a function that
-- something of callmart's calls, or something among PostgreSQL's own, by itself or by way of an operator, an operator
-- class, a type, a view or another function; one among PostgreSQL's own; or the type of a column, to which whoever owns
-- it may add a check at any time, and read all values by it. An event trigger runs in everybody's sessions, so that its
-- function may not even be the owner's. And who may put more among PostgreSQL's own. We go from callmart's own to what
-- it depends on: a chain of functions that nothing of ours calls costs nothing. What extensions bring is left out,
-- unless a stranger, who may put anything into one, owns the extension. All types are written out, so that these
-- conditions choose no operator of a stranger's.
with recursive ours as materialized (
    select oid from pg_namespace
    where nspname::text = any(%(schemas)s::text[])
),

strangers as materialized (
    select
        things.classid,
        things.objid,
        things.owner,
        things.namespace,
        r.rolname = current_user as is_owners
    from (
        select
            'pg_proc'::regclass::oid,
            oid,
            proowner,
            pronamespace
        from pg_proc
        where oid >= 16384::oid -- PostgreSQL's own have lower numbers
        union all
        select
            'pg_type'::regclass::oid,
            oid,
            typowner,
            typnamespace
        from pg_type
        where oid >= 16384::oid and typelem = 0::oid and typnamespace not in (select oid from ours)
    ) as things (classid, objid, owner, namespace)
    inner join pg_roles as r on things.owner = r.oid
    where
        not r.rolsuper
        and not exists (
            select 1
            from pg_depend as d
            inner join pg_extension as e on d.refobjid = e.oid
            inner join pg_roles as brings on e.extowner = brings.oid
            where
                d.classid = things.classid and d.objid = things.objid and d.deptype = 'e'::"char" -- noqa: RF06
                and (brings.rolsuper or brings.rolname = current_user)
        )
),

-- Where what runs in the owner's sessions begins.
roots as materialized (
    select
        'pg_event_trigger'::regclass::oid as classid,
        oid as objid
    from pg_event_trigger
    union all
    select
        'pg_cast'::regclass::oid,
        oid
    from pg_cast
    where castsource < 16384::oid and casttarget < 16384::oid and oid >= 16384::oid
    union all
    select
        'pg_operator'::regclass::oid,
        oid
    from pg_operator
    where
        oid >= 16384::oid
        and (oprnamespace = 'pg_catalog'::regnamespace::oid or oprnamespace in (select oid from ours))
    union all
    select
        'pg_amproc'::regclass::oid,
        oid
    from pg_amproc
    where amprocfamily < 16384::oid and oid >= 16384::oid
    union all
    select
        'pg_proc'::regclass::oid,
        oid
    from pg_proc
    where
        oid >= 16384::oid
        and (pronamespace = 'pg_catalog'::regnamespace::oid or pronamespace in (select oid from ours))
    union all
    select
        'pg_type'::regclass::oid,
        oid
    from pg_type
    where typnamespace in (select oid from ours)
    union all
    select
        'pg_class'::regclass::oid,
        oid
    from pg_class
    where relnamespace in (select oid from ours)
    union all
    -- Defaults, checks, triggers, policies, rules and statistics.
    select
        d.classid,
        d.objid
    from pg_depend as d
    inner join pg_class as c on d.refobjid = c.oid
    where
        d.refclassid = 'pg_class'::regclass::oid
        and d.deptype in ('a'::"char", 'i'::"char") -- noqa: RF06
        and d.classid not in ('pg_class'::regclass::oid, 'pg_type'::regclass::oid)
        and c.relnamespace in (select oid from ours)
),

reached as (
    select
        classid as root_class,
        objid as root,
        classid,
        objid
    from roots
    -- Mostly there are no strangers, and there is nothing to look for.
    where
        classid = 'pg_event_trigger'::regclass::oid
        or exists (
            select 1 from strangers
            where not is_owners
        )
    union
    select
        reached.root_class,
        reached.root,
        next.classid,
        next.objid
    from reached
    cross join
        lateral (
            select
                d.refclassid as classid,
                d.refobjid as objid
            from pg_depend as d
            where d.classid = reached.classid and d.objid = reached.objid and d.refobjid >= 16384::oid
            union all
            -- A part depends on its whole, not the whole on its parts.
            select
                d.classid,
                d.objid
            from pg_depend as d
            where
                d.refclassid = reached.classid and d.refobjid = reached.objid
                and d.deptype in ('a'::"char", 'i'::"char") -- noqa: RF06
                and reached.classid in (
                    'pg_class'::regclass::oid, 'pg_type'::regclass::oid,
                    'pg_opclass'::regclass::oid, 'pg_opfamily'::regclass::oid
                )
                and d.classid not in ('pg_proc'::regclass::oid, 'pg_type'::regclass::oid)
        ) as next
    where
        -- What else is ours has its own root.
        reached.root_class = 'pg_event_trigger'::regclass::oid
        or (next.classid, next.objid) not in (select * from roots)
),

found as (
    select
        s.classid,
        s.objid,
        s.owner,
        reached.root_class,
        reached.root
    from reached
    inner join strangers as s on reached.classid = s.classid and reached.objid = s.objid
    where
        (reached.root_class = 'pg_event_trigger'::regclass::oid or not s.is_owners)
        and (reached.root_class <> s.classid or reached.root <> s.objid)
    union
    select
        classid,
        objid,
        owner,
        'pg_namespace'::regclass::oid,
        namespace
    from strangers
    where classid = 'pg_proc'::regclass::oid and namespace = 'pg_catalog'::regnamespace::oid
)

select
    case
        when classid = 'pg_type'::regclass::oid then format('use the type %%s', objid::regtype)
        else format('run %%s', objid::regprocedure)
    end
    || format(' of %%s', pg_get_userbyid(owner)),
    pg_describe_object(root_class, root, 0)
from found
union all
select
    'run whatever is made there by '
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

-- name: closed
-- What PostgreSQL, or an extension, keeps to itself, and a role may use that is no superuser and none of PostgreSQL's
-- own; null is everybody: passwords, samples of all tables, functions that read files, the write-ahead log or the
-- server's memory. And whether the role is the owner, and the thing a function for the server's files.
with initial as materialized (
    select
        objoid,
        classoid,
        objsubid,
        grantee,
        privilege_type
    from pg_init_privs
    cross join lateral aclexplode(initprivs)
),

of_extensions as materialized (
    select
        classid,
        objid
    from pg_depend
    where deptype = 'e'
),

given (class, oid, part, acl) as (
    select
        'pg_class'::regclass,
        oid,
        0,
        relacl
    from pg_class
    where relacl is not null
    union all
    select
        'pg_class'::regclass,
        attrelid,
        attnum,
        attacl
    from pg_attribute
    where attacl is not null
    union all
    select
        'pg_proc'::regclass,
        oid,
        0,
        proacl
    from pg_proc
    where proacl is not null
),

open as (
    select distinct
        given.class,
        given.oid,
        given.part,
        g.grantee
    from given
    cross join lateral aclexplode(given.acl) as g
    where
        (
            g.grantee = 0
            or g.grantee in (
                select oid from pg_roles
                where oid >= 16384 and not rolsuper
            )
        )
        and (
            exists (
                select 1 from pg_init_privs as i
                where i.classoid = given.class and i.objoid = given.oid
            )
            -- A table is closed by itself.
            or (given.class = 'pg_class'::regclass and (given.class, given.oid) in (select * from of_extensions))
        )
        and not exists (
            select 1 from initial as i
            where
                i.objoid = given.oid
                and i.classoid = given.class
                and i.objsubid in (0, given.part)
                and i.grantee in (0, g.grantee)
                and i.privilege_type = g.privilege_type
        )
)

select
    case when grantee <> 0 then pg_get_userbyid(grantee) end as role,
    grantee <> 0 and pg_get_userbyid(grantee) = current_user as is_owner,
    pg_describe_object(class, oid, part) as thing,
    class = 'pg_proc'::regclass and oid in (
        select p.oid from pg_proc as p
        where p.proname ~ '^(pg_read_(binary_)?file|pg_ls_dir|pg_stat_file|lo_import|lo_export|pg_file_.*)$'
    ) as is_for_files
from open
order by thing, role;

-- name: showing
-- The views, and functions with their owner's rights, by which everybody reads what PostgreSQL keeps from everybody in
-- its catalogue, also by way of other views; each with the statement that closes it. PostgreSQL notes no dependency on
-- its own tables, so the parsed definitions are read. Of a function whose body is a text nobody knows what it reads.
-- Left out are callmart's own, which are compared, and what extensions bring.
with recursive ours as (
    select oid from pg_namespace
    where nspname = any(%(schemas)s)
),

readers as (
    select
        'pg_class'::regclass as class,
        v.oid,
        v.relowner as owner,
        v.relkind = 'm' as reads_as_owner, -- for others the reader's rights count, if a view asks for them
        coalesce(
            (
                select option_value::boolean from pg_options_to_table(v.reloptions)
                where option_name = 'security_invoker'
            ),
            false
        ) as asks_reader,
        has_schema_privilege('public', v.relnamespace, 'usage')
        and has_any_column_privilege('public', v.oid, 'select') as is_everybodys,
        r.ev_action::text as definition
    from pg_class as v
    inner join pg_rewrite as r on v.oid = r.ev_class
    where
        v.oid >= 16384 -- PostgreSQL's own have lower numbers
        and v.relkind in ('v', 'm')
        and v.relnamespace not in (select oid from ours)
    union all
    select
        'pg_proc'::regclass,
        oid,
        proowner,
        true,
        false,
        has_schema_privilege('public', pronamespace, 'usage') and has_function_privilege('public', oid, 'execute'),
        prosqlbody::text
    from pg_proc
    where oid >= 16384 and prosecdef and prosqlbody is not null and pronamespace not in (select oid from ours)
),

reading as materialized (
    select distinct
        readers.class,
        readers.oid,
        readers.owner,
        readers.reads_as_owner,
        readers.asks_reader,
        readers.is_everybodys,
        source.found[1]::oid as source
    from readers
    cross join lateral regexp_matches(readers.definition, ':relid ([1-9][0-9]*) ', 'g') as source (found)
    where
        (readers.class, readers.oid) not in (
            select
                classid,
                objid
            from pg_depend
            where deptype = 'e'
        )
),

showing as (
    select
        'pg_class'::regclass as class,
        oid,
        false as asks_reader,
        false as is_everybodys
    from pg_class
    where
        relnamespace = 'pg_catalog'::regnamespace
        and relkind in ('r', 'v')
        and not has_table_privilege('public', oid, 'select') -- of pg_subscription one column is closed
    union
    select
        reading.class,
        reading.oid,
        reading.asks_reader,
        reading.is_everybodys
    from showing
    inner join reading on showing.class = 'pg_class'::regclass and showing.oid = reading.source
    where
        -- A view that reads with the rights of whoever asks shows nothing, unless its owner is the one who asks it.
        (reading.reads_as_owner or not showing.asks_reader)
        and (reading.asks_reader or has_any_column_privilege(reading.owner, reading.source, 'select'))
)

select
    pg_describe_object(class, oid, 0) as thing,
    case
        when class = 'pg_class'::regclass then format('revoke all on %%s from public', oid::regclass)
        else format('revoke execute on routine %%s from public', oid::regprocedure)
    end
from showing
where is_everybodys and not asks_reader
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
-- server may have some of it for others. What extensions bring is left out, unless a stranger, who may put anything
-- into one, owns the extension.
with of_extensions as (
    select
        d.classid,
        d.objid
    from pg_depend as d
    inner join pg_extension as e on d.refobjid = e.oid
    inner join pg_roles as brings on e.extowner = brings.oid
    where
        d.refclassid = 'pg_extension'::regclass
        and d.deptype = 'e'
        and (brings.rolsuper or brings.rolname = current_user)
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
-- Nobody knows what a copy has, nor with whose password another server is asked. Of a shared server tables are others'.
select
    format(
        'everybody may read %%s, which is not callmart''s: revoke all on %%s from public',
        pg_describe_object('pg_class'::regclass, oid, 0), oid::regclass
    )
from pg_class
where
    oid >= 16384
    and (relkind = 'f' or (%(is_own)s and relkind in ('r', 'p', 'v', 'm')))
    and relnamespace not in (select oid from ours)
    and ('pg_class'::regclass, oid) not in (select * from of_extensions)
    and has_schema_privilege('public', relnamespace, 'usage')
    and has_any_column_privilege('public', oid, 'select')
union all
select format('everybody may use the server %%I: revoke usage on foreign server %%1$I from public', srvname)
from pg_foreign_server
where has_server_privilege('public', oid, 'usage')
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
    and of_table.deptype in ('a', 'i') -- what only reads a table is no part of it
union all
-- PostgreSQL notes no dependency on its own functions, so the parsed expressions are read.
select distinct
    format(
        '%%s calls %%s, as nothing of callmart''s does: drop it', pg_describe_object(e.class, e.oid, 0),
        p.oid::regprocedure
    )
from (
    select
        'pg_constraint'::regclass,
        c.oid,
        c.conbin::text
    from pg_constraint as c
    inner join tables on c.conrelid = tables.oid
    union all
    select
        'pg_attrdef'::regclass,
        d.oid,
        d.adbin::text
    from pg_attrdef as d
    inner join tables on d.adrelid = tables.oid
) as e (class, oid, expression)
cross join lateral regexp_matches(e.expression, ':(?:op)?funcid ([1-9][0-9]*) ', 'g') as called (found)
inner join pg_proc as p on called.found[1]::oid = p.oid
where
    p.provolatile = 'v' -- others can't do or tell anything
    and p.proname not in ('nextval', 'clock_timestamp')
    and p.pronamespace not in (select oid from ours)
    and p.oid not in (select oid from functions)
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
from pg_roles as r
where
    %(is_own)s
    and r.oid >= 16384
    and (
        r.rolsuper
        or r.rolreplication
        or r.rolbypassrls
        or exists (
            select 1 from pg_roles as power
            where
                power.rolname in ('pg_read_server_files', 'pg_write_server_files', 'pg_execute_server_program')
                and pg_has_role(r.oid, power.oid, 'member')
        )
    );
