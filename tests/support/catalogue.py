"""What the catalogue says of the marts' protection."""

import psycopg

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
