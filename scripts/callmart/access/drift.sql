-- name: of_others
-- Objects in callmart's schemas that belong to somebody else. The marts' views are left out: their owner is part of
-- access.current_definition.
with ours as (
    select oid from pg_namespace
    where nspname = any(%(schemas)s)
)

select
    thing,
    pg_get_userbyid(owner)
from (
    select
        'schema ' || nspname,
        nspowner
    from pg_namespace
    where oid in (select oid from ours)
    union all
    select
        format('%%I.%%I', relnamespace::regnamespace, relname),
        relowner
    from pg_class
    where
        relnamespace in (select oid from ours)
        and relkind in ('r', 'p', 'v', 'm', 'S')
        and not (relnamespace = 'mart'::regnamespace and relkind = 'v')
    union all
    select
        format('%%I.%%I()', pronamespace::regnamespace, proname),
        proowner
    from pg_proc
    where pronamespace in (select oid from ours)
    union all
    select
        format('type %%I.%%I', typnamespace::regnamespace, typname),
        typowner
    from pg_type
    where typnamespace in (select oid from ours) and typrelid = 0 and typelem = 0
) as things (thing, owner)
where pg_get_userbyid(owner) <> current_user;

-- name: roles
-- All roles with their powers, limits and settings, and the databases in which they have settings of their own. A login
-- may set something of half a gigabyte: that is not read.
with kept as (
    select
        setrole,
        array_agg(setting order by setting) filter (where setdatabase = 0) as settings,
        array_agg(distinct quote_ident(datname)) filter (where setdatabase <> 0) as databases
    from pg_db_role_setting
    cross join
        lateral unnest(
            case when pg_column_size(setconfig) < 2000 then setconfig else array['something long'] end
        ) as setting
    left join pg_database on pg_database.oid = setdatabase
    group by setrole
)

select
    rolname,
    rolcanlogin,
    rolsuper or rolcreaterole or rolcreatedb or rolreplication or rolbypassrls,
    rolconnlimit,
    coalesce(rolvaliduntil, 'infinity') = 'infinity',
    coalesce(settings, '{}'),
    coalesce(databases, '{}')
from pg_roles
left join kept on setrole = oid;

-- name: of_citus
-- How many functions and relations of Citus are open to everybody, and one of them.
with of_extension as (
    select
        d.classid,
        d.objid
    from pg_extension as e
    inner join pg_depend as d on d.refclassid = 'pg_extension'::regclass and e.oid = d.refobjid and d.deptype = 'e'
    where e.extname = 'citus'
),

everybodys as (
    select p.proname as name
    from of_extension
    inner join pg_proc as p on classid = 'pg_proc'::regclass and objid = p.oid
    cross join lateral aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
    where grantee = 0 and p.proname <> all(%(needed_by_all)s)
    union all
    select c.relname
    from of_extension
    inner join pg_class as c on classid = 'pg_class'::regclass and objid = c.oid
    cross join lateral aclexplode(c.relacl)
    where grantee = 0
)

select
    count(*),
    min(name)
from everybodys;

-- name: objects
-- Objects in callmart's schemas that are not callmart's, or not as callmart made them; and the statement that corrects
-- it, or null.
with ours as (
    select oid from pg_namespace
    where nspname = any(%(schemas)s)
),

found as materialized (
    select
        object,
        definition
    from access.current_definition
),

unprotected as (
    select
        oid,
        relrowsecurity
    from pg_class
    where
        relkind in ('r', 'p')
        and relnamespace in (select oid from ours)
        and relnamespace not in ('store'::regnamespace, 'usage'::regnamespace)
        and oid::regclass::text <> all(access.shared())
),

-- The triggers that keep everybody, the owner included, from changing a log, from taking a person's mark off a day, and
-- from leaving files unread under another version of the registry.
keeping (relation, name, at, does) as (
    values
    ('ops.audit_log'::regclass, 'append_only'::name, 'BEFORE UPDATE OR TRUNCATE', 'STATEMENT ops.refuse_change()'),
    ('ops.audit_log', 'kept', 'BEFORE DELETE', 'ROW ops.refuse_deletion()'),
    ('ops.dirty_day', 'keep_person', 'BEFORE UPDATE', 'ROW WHEN ((old.cause = ''person''::text)) ops.keep_person()'),
    ('registry.version', 'noted', 'AFTER INSERT', 'ROW registry.note_gates()'),
    ('privacy.request', 'kept', 'BEFORE DELETE', 'ROW privacy.refuse_change()'),
    ('privacy.request', 'not_emptied', 'BEFORE TRUNCATE', 'STATEMENT privacy.refuse_change()'),
    ('privacy.step', 'kept', 'BEFORE DELETE OR UPDATE', 'ROW privacy.refuse_change()'),
    ('privacy.step', 'not_emptied', 'BEFORE TRUNCATE', 'STATEMENT privacy.refuse_change()')
)

select
    case
        when starts_with(object, 'columns of ')
            then 'the ' || object || ' do not point to whom objects/persons.sql says'
        when object ~ '^(policies|samples) of ' then 'the ' || object || ' are not as callmart made them'
        else 'function or view ' || object || ' is not as callmart made it'
    end,
    null
from access.definition as was
full join found as now using (object)
where
    was.definition is distinct from now.definition
    and (object not like 'mart.%%' or (%(of_marts)s and was.object is not null))
union all
select
    'view ' || object || ' is not callmart''s',
    'drop view ' || object
from found
where object like 'mart.%%' and object not in (select object from access.definition) and %(of_marts)s
union all
select
    member::regrole || ' acts as ' || roleid::regrole || ', the owner',
    null
from pg_auth_members
where roleid = quote_ident(current_user)::regrole and (inherit_option or set_option)
union all
-- Whoever administers a role may grant it to itself. PostgreSQL lets those administer it who have made it, which takes
-- the right to make roles.
select
    format(
        '%%1$s can give itself the rights of %%2$s, the owner: have a superuser run revoke %%2$s from %%1$s cascade',
        member::regrole, roleid::regrole
    ),
    null
from pg_auth_members as m
inner join pg_roles as r on m.member = r.oid
where
    m.roleid = quote_ident(current_user)::regrole
    and m.admin_option
    and not (m.inherit_option or m.set_option or r.rolcreaterole or r.rolsuper)
union all
-- In these schemas callmart makes none, and what a check, a default or a type calls there has the rights of whoever
-- writes.
select
    format(
        'function %%1$s is not callmart''s: run drop routine %%1$s cascade, which also drops what calls it',
        oid::regprocedure
    ),
    null
from pg_proc
where pronamespace::regnamespace::text = any(array['build', 'mart', 'store', 'usage'])
union all
select
    member::regrole || ' has the rights of ' || roleid::regrole || ', which owns the views of the marts',
    format('revoke inherit option for %%s from %%s cascade', roleid::regrole, member::regrole)
from pg_auth_members
where pg_get_userbyid(roleid) = any(%(showing)s) and inherit_option
union all
select
    'rule ' || rulename || ' on ' || ev_class::regclass || ' is not callmart''s',
    format('drop rule %%I on %%s', rulename, ev_class::regclass)
from pg_rewrite inner join pg_class on pg_class.oid = ev_class
where relnamespace in (select oid from ours) and rulename <> '_RETURN'
union all
select
    'publication ' || pubname || ' copies tables of callmart''s',
    null
from pg_publication as p
where
    puballtables
    or exists (
        select 1 from pg_publication_rel inner join pg_class on pg_class.oid = prrelid
        where prpubid = p.oid and relnamespace in (select oid from ours)
    )
    or exists (
        select 1 from pg_publication_namespace
        where pnpubid = p.oid and pnnspid in (select oid from ours)
    )
union all
select
    'statistics ' || stxname || ' keep a sample of ' || stxrelid::regclass,
    format('drop statistics %%s.%%I', stxnamespace::regnamespace, stxname)
from pg_statistic_ext inner join pg_class on pg_class.oid = stxrelid
where relnamespace in (select oid from ours)
union all
select
    'new functions are open to everybody',
    'alter default privileges revoke execute on functions from public'
where
    not exists (
        select 1 from pg_default_acl
        where
            defaclrole = quote_ident(current_user)::regrole and defaclnamespace = 0 and defaclobjtype = 'f'
            and not exists (
                select 1 from aclexplode(defaclacl)
                where grantee = 0
            )
    )
union all
select
    'event trigger ' || evtname || ' is off',
    null
from pg_event_trigger
where evtname = 'refuse_definitions' and evtenabled <> 'O'
union all
select
    'trigger ' || tgname || ' on ' || tgrelid::regclass
    || case tgenabled when 'O' then ' is not callmart''s' else ' is off' end,
    case
        when keeping.name is null then format('drop trigger %%I on %%s', tgname, tgrelid::regclass)
        else format('alter table %%s enable trigger %%I', tgrelid::regclass, tgname)
    end
from pg_trigger
inner join pg_class on pg_class.oid = tgrelid
left join keeping on tgrelid = keeping.relation and tgname = keeping.name
where
    relnamespace in (select oid from ours) and not tgisinternal and (keeping.name is null or tgenabled <> 'O')
union all
select
    format('%%s does not keep what it has: its trigger %%s is gone', keeping.relation, keeping.name),
    null
from keeping
where
    not exists (
        select 1 from pg_trigger
        where tgname = keeping.name and tgrelid = keeping.relation
    )
union all
select
    'trigger ' || tgname || ' on ' || tgrelid::regclass || ' is not as callmart made it',
    null
from keeping
inner join pg_trigger on tgrelid = keeping.relation and tgname = keeping.name
where
    replace(pg_get_triggerdef(pg_trigger.oid), 'EXECUTE FUNCTION ', '')
    <> format('CREATE TRIGGER %%I %%s ON %%s FOR EACH %%s', tgname, keeping.at, tgrelid::regclass, keeping.does)
union all
select distinct
    'view ' || reader.oid::regclass || ' reads ' || source.oid::regclass,
    null
from pg_rewrite
inner join pg_class as reader on reader.oid = ev_class
inner join pg_depend on classid = 'pg_rewrite'::regclass and objid = pg_rewrite.oid
inner join pg_class as source on refclassid = 'pg_class'::regclass and source.oid = refobjid
where source.relnamespace in (select oid from ours) and reader.relnamespace not in (select oid from ours)
union all
-- Whoever may write into a table sees by its foreign keys which rows there are.
select
    format(
        'constraint %%I on %%s tells which rows %%s has: have a superuser run alter table %%2$s drop constraint %%1$I',
        conname, conrelid::regclass, confrelid::regclass
    ),
    null
from pg_constraint
inner join pg_class as referring on referring.oid = conrelid
inner join pg_class as referred on referred.oid = confrelid
where
    contype = 'f'
    and conparentid = 0 -- of a part: it goes with that of its table
    and referred.relnamespace in (select oid from ours) and referring.relnamespace not in (select oid from ours)
union all
-- Whoever may read a table reads what inherits from it, whatever the rights and policies of that are. A part of a table
-- keeps some of its rows, for whoever owns the part. Callmart's own parts are months, in the schema of their table.
select
    'table ' || whole.oid::regclass || ' has the part ' || part.oid::regclass,
    case
        when
            not part.relispartition
            and whole.relnamespace in (select oid from ours) and part.relnamespace in (select oid from ours)
            then format('alter table %%s no inherit %%s', part.oid::regclass, whole.oid::regclass)
    end
from pg_inherits
inner join pg_class as whole on whole.oid = inhparent
inner join pg_class as part on part.oid = inhrelid
where
    (whole.relnamespace in (select oid from ours) or part.relnamespace in (select oid from ours))
    and (whole.relnamespace <> part.relnamespace or not part.relispartition)
    and part.relkind not in ('i', 'I')
union all
-- An index that a reader's condition can be looked up in without the customer shows how many rows of all customers meet
-- it, in EXPLAIN ANALYZE. One of an expression has samples, and the catalogue counts the rows of one with a condition.
-- The two of callmart's own are of columns that no reader's condition reaches.
select
    'index ' || i.oid::regclass || ' on ' || t.oid::regclass || ' lets customers count rows of others, as it is no '
    || 'plain B-tree that begins with customer_id',
    coalesce(
        (
            select format('alter table %%s drop constraint %%I', t.oid::regclass, conname)
            from pg_constraint
            where conindid = i.oid and contype in ('p', 'u', 'x')
            limit 1
        ),
        format('drop index %%s', i.oid::regclass)
    )
from pg_index
inner join pg_class as i on i.oid = indexrelid
inner join pg_class as t on t.oid = indrelid
where
    (t.relnamespace = 'store'::regnamespace or t.oid::regclass::text = any(access.shared()))
    and not i.relispartition
    and i.oid::regclass::text <> all(array['ops.opened_day_by_definition', 'ops.opened_day_so_far'])
    and not (
        exists (
            select 1 from pg_attribute
            where attrelid = t.oid and attnum = indkey[0] and attname = 'customer_id'
        )
        and indexprs is null
        and indpred is null
        and exists (
            select 1 from pg_am
            where pg_am.oid = i.relam and amname = 'btree'
        )
    )
union all
-- Whoever hides rows from callmart hides who was erased or objected, and what was done.
select
    'row security is on for ' || oid::regclass || ', of which callmart reads all rows',
    format('alter table %%s disable row level security, no force row level security', oid::regclass)
from unprotected
where relrowsecurity
union all
select
    format('policy %%I on %%s is not callmart''s', polname, polrelid::regclass),
    format('drop policy %%I on %%s', polname, polrelid::regclass)
from pg_policy inner join unprotected on unprotected.oid = polrelid
union all
-- Whoever checks reads all of `build`, and by a view whatever its owner may read.
select
    format('view %%s reads with the rights of its owner, not of whoever asks', oid::regclass),
    format('alter view %%s set (security_invoker = true)', oid::regclass)
from pg_class
where
    relkind = 'v'
    and relnamespace = 'build'::regnamespace
    and not exists (
        select 1 from pg_options_to_table(reloptions)
        where option_name = 'security_invoker' and option_value::boolean
    )
union all
select
    'subscription ' || subname || ' writes into ' || srrelid::regclass,
    null
from pg_subscription_rel
inner join pg_subscription on pg_subscription.oid = srsubid
inner join pg_class on pg_class.oid = srrelid
where relnamespace in (select oid from ours)
union all
-- What comes anew with each build and each file may be lost.
select
    format('a crash empties %%1$s, which is unlogged: run alter table %%1$s set logged', pg_class.oid::regclass),
    null
from pg_class
where
    relpersistence = 'u' and relkind = 'r' and relnamespace in (select oid from ours)
    and relnamespace <> 'build'::regnamespace
    and not (relnamespace = 'raw'::regnamespace and starts_with(relname, 'incoming'))
union all
-- Of a function whose body is a text nobody knows what it reads.
select distinct
    'function ' || p.oid::regprocedure || ' reads ' || source.oid::regclass,
    null
from pg_proc as p
inner join pg_depend on classid = 'pg_proc'::regclass and objid = p.oid
inner join pg_class as source on refclassid = 'pg_class'::regclass and source.oid = refobjid
where p.prosecdef and source.relnamespace in (select oid from ours) and p.pronamespace not in (select oid from ours);

-- name: parameters
-- The parameters that somebody was let set, each with the role; null is everybody.
select distinct
    parname,
    case when grantee <> 0 then pg_get_userbyid(grantee) end
from pg_parameter_acl, aclexplode(paracl);

-- name: of_database
-- Who owns the database, if that is not the current user, and who else may create in it then (null is everybody); each
-- with the statement that corrects it.
with here as (
    select
        datname,
        datdba,
        coalesce(datacl, acldefault('d', datdba)) as acl
    from pg_database
    where datname = current_database() and datdba <> quote_ident(current_user)::regrole
)

select
    pg_get_userbyid(datdba) as role,
    format('alter database %I owner to %I', datname, current_user) as remedy
from here
union all
select
    case when grantee <> 0 then pg_get_userbyid(grantee) end,
    format(
        'revoke create on database %I from %s',
        datname, case grantee when 0 then 'public' else grantee::regrole::text end
    )
from here
cross join lateral aclexplode(acl)
where privilege_type = 'CREATE' and grantee <> datdba;

-- name: switches
-- The parameters of these names that have another value than a harmless one: by a setting of everybody (null), of the
-- owner or of another role, or, of those that everybody is shown, by the server's configuration; each with what
-- corrects it. What logins can set for themselves is left out: it is among their own settings.
with set_by as (
    select
        setrole,
        setdatabase,
        split_part(setting, '=', 1) as parameter,
        split_part(setting, '=', 2) as value
    from pg_db_role_setting
    cross join
        lateral unnest(
            case when setrole = 0 or pg_column_size(setconfig) < 2000 then setconfig end
        ) as setting
    left join pg_database on pg_database.oid = setdatabase
    where
        (setdatabase = 0 or datname = current_database())
        and split_part(setting, '=', 1) = any(%(names)s)
        and lower(setting) <> all(%(harmless)s)
)

select
    parameter,
    value,
    case when setrole <> 0 then pg_get_userbyid(setrole) end as role,
    setrole = quote_ident(current_user)::regrole as is_owners,
    'have a superuser run alter '
    || case
        when setrole <> 0 then 'role ' || setrole::regrole
        when setdatabase <> 0 then format('database %%I', current_database())
        else 'role all'
    end
    || case when setrole <> 0 and setdatabase <> 0 then format(' in database %%I', current_database()) else '' end
    || ' reset ' || parameter as remedy
from set_by
where
    setrole in (0, quote_ident(current_user)::regrole)
    or (parameter <> 'synchronous_commit' and not starts_with(parameter, 'debug_print_'))
union all
select
    parameter,
    current_setting(parameter),
    null,
    false,
    'correct the server''s configuration, and reload it'
from unnest(%(shown)s::text[]) as parameter
where
    parameter || '=' || current_setting(parameter, true) <> all(%(harmless)s)
    and parameter not in (select parameter from set_by);

-- name: unguarded
-- Tables of marts whose policies are not those of their mart; each mart with its group and its column of the day.
select
    m.relation,
    u.relation::text
from unnest(%(relations)s::text[], %(groups)s::text[], %(days)s::name[]) as m (relation, mart_group, day)
cross join lateral access.unguarded(to_regclass(m.relation), m.mart_group, m.day) as u (relation);

-- name: guard
-- Whether the event trigger refuse_definitions is that of administrator.sql.
select
    t.evtevent = 'ddl_command_start'
    and t.evttags is null
    and p.prosrc = %(refusing)s
    and p.proconfig = array['search_path=pg_catalog, pg_temp']
from pg_event_trigger as t
inner join pg_proc as p on t.evtfoid = p.oid
where t.evtname = 'refuse_definitions';

-- name: open_functions
-- How many functions of a kind everybody may call, and one of them.
select
    count(distinct p.oid),
    min(p.proname)
from pg_proc as p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner)))
where
    (p.pronamespace = 'pg_catalog'::regnamespace or p.proname = 'pg_stat_statements')
    and p.proname ~ %(which)s
    and grantee = 0;
