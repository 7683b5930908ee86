-- name: noted
-- What was noted, with what it is now; a relation that has gone since has no kind.
select
    v.relation,
    c.relkind,
    c.reltuples >= 0
from ops.to_vacuum as v
left join pg_class as c on c.oid = to_regclass(v.relation)
order by 1;
