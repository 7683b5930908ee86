-- name: hiding
-- A table with a policy that could hide rows from who asks, if there is one.
select format('%%I.%%I', nspname, relname)
from pg_catalog.pg_class as c inner join pg_catalog.pg_namespace on pg_namespace.oid = relnamespace
where
    nspname = any(%(schemas)s) and relkind in ('r', 'p') and relrowsecurity
    and (
        not exists (
            select 1 from pg_catalog.pg_policy
            where
                polrelid = c.oid and polcmd = '*'
                and (
                    (
                        polname = 'builder' and polroles = array[to_regrole(quote_ident(current_user))::oid]
                        and pg_get_expr(polqual, polrelid) = 'true'
                    )
                    -- Of what customers read besides marts, everybody who is no customer sees all.
                    or (
                        polroles = array[0::oid]
                        and pg_get_expr(polqual, polrelid) like '((access.own() IS NULL) OR %%'
                    )
                )
        )
        or exists (
            select 1 from pg_catalog.pg_policy
            where polrelid = c.oid and not polpermissive
        )
    )
order by 1
limit 1;
