-- name: nodes
select
    nodename,
    nodeport
from pg_dist_node
where isactive and shouldhaveshards and noderole = 'primary' and groupid <> 0 -- not the coordinator
order by nodename, nodeport;

-- name: distributed_by
-- The column by which a table is distributed; no row if it is not.
select coalesce(column_to_column_name(logicalrelid, partkey), 'nothing')
from pg_dist_partition
where logicalrelid = %(table)s::regclass and partmethod <> 'n';

-- name: distribute
select create_distributed_table(%(table)s, 'customer_id', colocate_with => %(together)s);

-- name: places
-- Per group of shards its node, the names of its shards, and those of the customers whose rows it has.
with located as (
    select
        get_shard_id_for_distribution_column((%(tables)s::text[])[1]::regclass, customer_id) as shardid,
        array_agg(customer_id order by customer_id) as customers
    from unnest(%(customers)s::integer[]) as customer_id
    group by shardid
)

select
    n.nodename,
    n.nodeport,
    (
        select array_agg(shard_name(other.logicalrelid, other.shardid) order by t.place)
        from unnest(%(tables)s::text[]) with ordinality as t (name, place)
        inner join pg_dist_shard as other on t.name::regclass = other.logicalrelid
        where other.shardminvalue = s.shardminvalue
    ) as shards,
    l.customers
from located as l
inner join pg_dist_shard as s using (shardid)
inner join pg_dist_placement using (shardid)
inner join pg_dist_node as n using (groupid)
where n.noderole = 'primary'
order by n.nodename, n.nodeport, s.shardid;

-- name: copies
select 1 from pg_dist_cleanup
where object_type = 1 and starts_with(object_name, 'raw.') -- 1: a shard
limit 1;

-- name: unfinished
-- What the coordinator may have committed and this node not yet. A session of callmart's would not see it here.
select 1 from pg_prepared_xacts
where database = current_database() and starts_with(gid, 'citus_')
limit 1;

-- name: version
-- Of Citus in this database, and of the one that the server has loaded.
select
    (
        select extversion from pg_extension
        where extname = 'citus'
    ) as present,
    current_setting('citus.version', true) as loaded;
