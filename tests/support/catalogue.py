"""What the catalogue says of the marts' protection."""

import psycopg

from callmart.access.rights import SCHEMAS

# A mart or a month of one that is not enabled, forced and guarded by two policies as its parent is, or a month that
# is granted to anybody.
UNPROTECTED = """
with policies as (
    select
        polrelid,
        array_agg((polname, polcmd, polpermissive, polroles, pg_get_expr(polqual, polrelid),
            pg_get_expr(polwithcheck, polrelid))::text order by polname) as guard
    from pg_policy group by polrelid
)
select c.oid::regclass::text
from pg_class as c
left join policies on policies.polrelid = c.oid
left join pg_inherits on inhrelid = c.oid
left join policies as parents on parents.polrelid = inhparent
where
    c.relnamespace = 'store'::regnamespace
    and c.relkind in ('r', 'p')
    and (
        not c.relrowsecurity
        or not c.relforcerowsecurity
        or cardinality(policies.guard) is distinct from 2
        or (inhparent is not null and policies.guard is distinct from parents.guard)
        or (inhparent is not null and exists (
            select from aclexplode(c.relacl) where grantee <> c.relowner
        ))
    )
"""


def unprotected(connection: psycopg.Connection) -> list[str]:
    """The marts and months that are not guarded as they should be."""
    return [name for (name,) in connection.execute(UNPROTECTED)]


# Everything that callmart's schemas consist of, without the months of partitioned tables and what dbt makes per build:
# of each thing what it is, and how it is made.
STRUCTURE = """
with ours as (
    select oid, nspname from pg_namespace where nspname = any(%(schemas)s)
),

relations as (
    select c.*, nspname
    from pg_class as c join ours on ours.oid = relnamespace
    where not relispartition and (nspname <> 'build' or relname = 'window')
)

select 'schema', nspname, (select array_agg(a::text order by a::text)::text from unnest(nspacl) as a)
from pg_namespace where nspname = any(%(schemas)s)
union all
select
    'relation', format('%%s.%%s', nspname, relname),
    concat_ws(' ', relkind, relpersistence, relowner::regrole, relrowsecurity, relforcerowsecurity,
        reloptions, pg_get_partkeydef(oid), (select array_agg(a::text order by a::text) from unnest(relacl) as a))
from relations where relkind in ('r', 'p', 'v', 'S')
union all
select
    'column', format('%%s.%%s.%%s', nspname, relname, attname),
    concat_ws(' ', format_type(atttypid, atttypmod), attnotnull, attidentity, attstattarget, attacl,
        pg_get_expr(adbin, adrelid), col_description(relations.oid, attnum))
from relations join pg_attribute on attrelid = relations.oid and attnum > 0 and not attisdropped
left join pg_attrdef on adrelid = attrelid and adnum = attnum
where relkind in ('r', 'p', 'v')
union all
select 'view', format('%%s.%%s', nspname, relname), pg_get_viewdef(oid) from relations where relkind = 'v'
union all
select 'index', indexrelid::regclass::text, pg_get_indexdef(indexrelid)
from pg_index join relations on indrelid = relations.oid
union all
select 'constraint', format('%%s on %%s', conname, conrelid::regclass), pg_get_constraintdef(pg_constraint.oid)
from pg_constraint join relations on conrelid = relations.oid where contype <> 'n'
union all
select
    'policy', format('%%s on %%s', polname, polrelid::regclass),
    concat_ws(' ', polcmd, polpermissive, polroles::regrole[], pg_get_expr(polqual, polrelid),
        pg_get_expr(polwithcheck, polrelid))
from pg_policy join relations on polrelid = relations.oid
union all
select 'trigger', tgname, pg_get_triggerdef(pg_trigger.oid)
from pg_trigger join relations on tgrelid = relations.oid where not tgisinternal
union all
select 'function', p.oid::regprocedure::text, concat_ws(' ', proowner::regrole,
    (select array_agg(a::text order by a::text) from unnest(proacl) as a), pg_get_functiondef(p.oid))
from pg_proc as p join ours on ours.oid = pronamespace
union all
select 'default', concat_ws(' ', defaclnamespace::regnamespace, defaclobjtype), defaclacl::text from pg_default_acl
union all
select 'group', relation::text, mart_group from access.mart
union all
select 'defined', object, query from access.definition
union all
select 'migration', number::text, name || checksum from ops.migration
"""


# How many locks a session has for which readers of a mart, or the builds of other marts, would wait.
HELD_LOCKS = """(
    select count(*)::integer from pg_locks
    where pid = pg_backend_pid() and mode in ('ShareRowExclusiveLock', 'AccessExclusiveLock')
    and (relation = 'access.definition'::regclass or relation in (select relation from access.mart))
)"""


def structure(connection: psycopg.Connection) -> set[tuple[str, str, str | None]]:
    """What the database consists of, without its rows, and without the table that the first run makes as its lock."""
    found = connection.execute(STRUCTURE, {"schemas": list(SCHEMAS)}).fetchall()
    return {(kind, name, made) for kind, name, made in found if not name.startswith("ops.running_now")}
