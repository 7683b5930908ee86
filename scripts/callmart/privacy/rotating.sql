-- name: approved_requests
-- The requests that are approved and not answered, whether they have begun, and the command that goes on.
select
    number,
    state <> 'approved',
    privacy.next_command(request)
from privacy.request
where customer_id = %(customer)s and state in ('approved', 'executing', 'proving')
order by number;

-- name: other_tombstone
select kind
from privacy.tombstone
where customer_id = %(customer)s and kind <> all(%(kinds)s)
limit 1;

-- name: unknown
-- A column with keys that no rotation can key anew. What is in `build` is computed again.
select format('%s.%I', c.relation, c.column_name)
from access.pointing_column as c
inner join pg_catalog.pg_class on c.relation = pg_class.oid
where
    c.has_keys
    and pg_class.relkind in ('r', 'p')
    and c.schema_name <> 'build'
    and (
        c.data_type not in ('bigint', 'text')
        or not exists (
            select 1 from pg_catalog.pg_attribute
            where attrelid = c.relation and attname = 'customer_id' and not attisdropped
        )
    )
order by format('%s.%I', c.relation, c.column_name)
limit 1;

-- name: tables
-- The tables and months with keys, and the column that stands behind customer_id in an index: a moment that never
-- changes, by which a table is cut into batches.
with keyed as (
    select
        coalesce(inhrelid, c.relation) as relation,
        array_agg(c.column_name::text) filter (where c.data_type = 'bigint') as numbers,
        array_agg(c.column_name::text) filter (where c.data_type = 'text') as texts
    from access.pointing_column as c
    left join pg_catalog.pg_inherits on c.relation = inhparent
    where c.has_keys and c.schema_name <> 'build'
    group by coalesce(inhrelid, c.relation)
)

select
    format('%I.%I', nspname, relname) collate "C" as name,
    nspname::text,
    coalesce(numbers, '{}'),
    coalesce(texts, '{}'),
    (
        select moment.attname::text
        from pg_catalog.pg_index as i
        inner join pg_catalog.pg_attribute as customer
            on i.indrelid = customer.attrelid and i.indkey[0] = customer.attnum and customer.attname = 'customer_id'
        inner join pg_catalog.pg_attribute as moment
            on i.indrelid = moment.attrelid and i.indkey[1] = moment.attnum and moment.attnotnull
        where
            i.indrelid = keyed.relation
            and i.indpred is null
            and moment.atttypid in ('timestamptz'::regtype, 'date'::regtype)
        order by moment.attnum
        limit 1
    )
from keyed
inner join pg_catalog.pg_class on keyed.relation = pg_class.oid
inner join pg_catalog.pg_namespace on pg_namespace.oid = relnamespace
where relkind = 'r'
order by name;

-- name: starts
-- The moments with which the batches begin.
select found.start::text
from (
    select distinct numbered.start
    from (
        select
            {moment} as start,
            row_number() over (order by {moment}) as number
        from {table}
        where {rows}
    ) as numbered
    where mod(numbered.number, %(batch)s::bigint) = 1
) as found
order by found.start;

-- name: values
-- What the columns of a batch hold.
select distinct value
from (
    select unnest(array[{columns}]) as value
    from {table}
    where {rows}
) as found
where value is not null;

-- name: make_new
create temporary table if not exists new_text (former text primary key, new text not null) on commit drop;

-- name: empty_new
truncate new_text;

-- name: key_anew
-- The new keys come with the statement: in a cluster, a node has no table of ours to join.
update {table} as t
set ({columns}) = (select {keyed})
from (
    select
        e.ctid as place,
        {news}
    from {joined}
    where {rows}
) as keyed
where t.ctid = keyed.place and t.customer_id = %(customer)s;

-- name: labelled
-- The columns of marts, and of their months, in which the label of a queue or line can be.
select
    pg_class.oid::regclass::text as relation,
    c.column_name::text
from access.pointing_column as c
left join pg_catalog.pg_inherits as i on c.relation = i.inhparent
inner join pg_catalog.pg_class on pg_class.oid = coalesce(i.inhrelid, c.relation) and relkind = 'r'
where c.schema_name = 'store' and c.data_type = 'text' and c.persons = array['nobody']
order by relation, column_name;

-- name: labels
select distinct {label}
from {table}
where customer_id = %(customer)s and {label} ~ '^number-[0-9a-f]{{10}}$';

-- name: names
-- Of queues and lines, and of what was called.
select distinct name
from raw.event
cross join lateral unnest(array[queue, line, target]) as name
where customer_id = %(customer)s and name is not null;

-- name: relabel
update {table} as t
set {label} = n.new
from new_text as n
where t.customer_id = %(customer)s and t.{label} = n.former;

-- name: lock_register
-- So that nobody enters a request under the former key meanwhile.
lock table privacy.request in share row exclusive mode;

-- name: keys_of_files
select name_key from raw.file
union
select content_key from raw.file;

-- name: key_files_anew
update raw.file as f
set
    name_key = n.new,
    content_key = c.new
from
    new_text as n,
    new_text as c
where n.former = f.name_key and c.former = f.content_key;

-- name: forget_files
-- Their key is lost, so their names and contents are not known again. Random ones don't wait for whoever finds it.
update raw.file
set
    name_key = replace(gen_random_uuid()::text, '-', ''),
    content_key = replace(gen_random_uuid()::text, '-', '');

-- name: forget_looks
-- They are keyed by the former key. The next run reads the files, and notes their looks under the new one.
truncate raw.file_look;

-- name: new_installation
update ops.installation
set key_fingerprint = %(fingerprint)s;

-- name: note_former
insert into registry.former_fingerprint (customer_id, key_fingerprint)
select
    customer_id,
    key_fingerprint
from registry.customer
where customer_id = %(customer)s;

-- name: plan_again
-- A plan has a hash of the former keys. Also what the ledger has, if a restored register has it as approved: under the
-- new key that entry is not its own any more (privacy.is_in_ledger).
update privacy.request as r
set
    state = 'identified',
    planned_at = null,
    planned_by = null,
    plan_hash = null,
    until = null,
    approved_at = null,
    approved_by = null,
    begun_at = null,
    blocked_place = null,
    blocked_code = null
where r.customer_id = %(customer)s and r.state in ('planned', 'approved');

-- name: of_requests
update privacy.request as r
set key_fingerprint = %(fingerprint)s
from registry.customer as c
where r.customer_id = %(customer)s and c.customer_id = r.customer_id and r.key_fingerprint = c.key_fingerprint;

-- name: new_fingerprint
update registry.customer
set key_fingerprint = %(fingerprint)s
where customer_id = %(customer)s;

-- name: write_anew
-- Extracts with keys are written again, and published again where their rows are others.
update ops.extract
set basis = '{}'
where customer_id = %(customer)s;

-- name: begin
insert into ops.rotation (customer_id, rows_keyed)
values (%(customer)s, %(rows)s);

-- name: name_agents
update store.agent
set agent = registry.agent_label(customer_id, agent_key)
where customer_id = %(customer)s;

-- name: at_work
select
    r.customer_id,
    c.key_fingerprint,
    r.reached,
    r.left_from
from ops.rotation as r
inner join registry.customer as c using (customer_id);

-- name: note_batch
update ops.rotation
set
    rows_keyed = rows_keyed + %(rows)s,
    reached = %(reached)s,
    left_from = %(left_from)s;

-- name: end
delete from ops.rotation
returning rows_keyed;
