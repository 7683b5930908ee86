-- name: declared
-- Each table that is on the nodes, with what its shards must be like there: the columns, and that nothing else is set.
select
    t.name,
    array_agg(format('%%s %%s %%s', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull) order by a.attname)
from unnest(%(tables)s::text[]) as t (name)
inner join pg_attribute as a on t.name::regclass = a.attrelid
where a.attnum > 0 and not a.attisdropped
group by t.name;

-- name: open
-- What is not to be on a node, or open to somebody, with the statement that corrects it, or null.
select
    'everybody may connect',
    format('revoke connect on database %I from public', datname)
from pg_database
cross join lateral aclexplode(coalesce(datacl, acldefault('d', datdba)))
where
    datname = current_database()
    and grantee = 0
    and privilege_type = 'CONNECT'
    and pg_get_userbyid(datdba) = current_user
union all
select
    format('%s may use the schema %s', case grantee when 0 then 'public' else grantee::regrole::text end, nspname),
    format(
        'revoke all on schema %I from %s cascade',
        nspname, case grantee when 0 then 'public' else grantee::regrole::text end
    )
from pg_namespace
cross join lateral aclexplode(nspacl)
where nspowner = quote_ident(current_user)::regrole and grantee <> nspowner
group by nspname, grantee
union all
select
    format('%s has rights on %s', case grantee when 0 then 'public' else grantee::regrole::text end, c.oid::regclass),
    format(
        'revoke all on %s from %s cascade',
        c.oid::regclass, case grantee when 0 then 'public' else grantee::regrole::text end
    )
from pg_class as c
cross join lateral aclexplode(c.relacl)
where c.relowner = quote_ident(current_user)::regrole and grantee <> c.relowner
group by c.oid, grantee
union all
select
    format(
        '%s has rights on columns of %s',
        case grantee when 0 then 'public' else grantee::regrole::text end, c.oid::regclass
    ),
    format(
        'revoke all (%I) on %s from %s cascade',
        a.attname, c.oid::regclass, case grantee when 0 then 'public' else grantee::regrole::text end
    )
from pg_class as c
inner join pg_attribute as a on c.oid = a.attrelid
cross join lateral aclexplode(a.attacl)
where c.relowner = quote_ident(current_user)::regrole and grantee <> c.relowner
union all
select
    format('the function %s is callmart''s', oid::regprocedure),
    format('drop function %s', oid::regprocedure)
from pg_proc
where proowner = quote_ident(current_user)::regrole
union all
select
    format('the view %s is callmart''s', oid::regclass),
    format('drop view %s', oid::regclass)
from pg_class
where relowner = quote_ident(current_user)::regrole and relkind in ('v', 'm');

-- name: logins
-- Who may log in on a node, besides its superusers and the owner.
select rolname
from pg_roles
where
    rolcanlogin
    and not rolsuper
    and rolname <> current_user
    and has_database_privilege(rolname, current_database(), 'connect');

-- name: other_shards
-- The shards of a table, and of its months, that have other columns or another owner, or a policy, rule or trigger.
select c.oid::regclass::text
from pg_class as c
where
    c.relnamespace::regnamespace::text = split_part(%(table)s, '.', 1)
    and c.relname ~ ('^' || split_part(%(table)s, '.', 2) || '(_[0-9]{6})?_[0-9]+$')
    and c.relkind in ('r', 'p')
    and (
        pg_get_userbyid(c.relowner) <> current_user
        or c.relrowsecurity
        or c.relhasrules
        or c.relpersistence <> 'p'
        or %(columns)s is distinct from (
            select
                array_agg(
                    format('%%s %%s %%s', a.attname, format_type(a.atttypid, a.atttypmod), a.attnotnull)
                    order by a.attname
                )
            from pg_attribute as a
            where a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
        )
        or exists (
            select 1 from pg_trigger
            where tgrelid = c.oid and not tgisinternal
        )
    );

-- name: tables
-- The owner's tables on a node.
select oid::regclass::text
from pg_class
where relowner = quote_ident(current_user)::regrole and relkind in ('r', 'p') and relpersistence <> 't';

-- name: strangers
-- Those of a node's tables that are neither shards that the cluster has there, nor on the coordinator, too; nor copies
-- that Citus is to remove after it has moved a shard.
select t.name
from unnest(%(tables)s::text[]) as t (name)
where
    to_regclass(t.name) is null
    and t.name not in (
        select shard_name(s.logicalrelid, s.shardid)
        from pg_dist_shard as s
        inner join pg_dist_placement using (shardid)
        inner join pg_dist_node as n using (groupid)
        where n.nodename = %(host)s and n.nodeport = %(port)s
        union all
        select c.object_name
        from pg_dist_cleanup as c
        inner join pg_dist_node as n on c.node_group_id = n.groupid
        where n.nodename = %(host)s and n.nodeport = %(port)s
    );
