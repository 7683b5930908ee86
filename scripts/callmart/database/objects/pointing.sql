-- Whom the columns of the database point to. A column says it in its comment: `person: caller`, or for several
-- `person: agent, caller`, as a line or sentence of its own. Every column must, unless its type is one of
-- access.counts_and_moments(). Models of dbt say it in their YAML, and the build writes it into the comments. For
-- everything else persons.sql does that.

create or replace function access.counts_and_moments() returns text[]
immutable
return {counts_and_moments};

-- The persons that a mart of a group may show.
create or replace function access.persons_shown(mart_group text) returns text[]
immutable
return coalesce(
    (
        select shown.persons
        from {persons_shown} as shown (mart_group, persons)
        where shown.mart_group = persons_shown.mart_group
    ),
    {nobody}
);

-- The persons that a comment names; null if it doesn't say it, or not in this form. In plpgsql, as it is called for
-- each column of the database: that takes a fifth of the time. What declare_persons writes needs no regular expression.
create or replace function access.persons(comment text) returns text[]
immutable strict
language plpgsql
as $$
declare
    named text[] := string_to_array(substr(comment, length('person: ') + 1), ', ');
begin
    if not starts_with(comment, 'person: ') or named = '{{}}' or not named <@ {whom} then
        if cardinality(string_to_array(comment, 'person:')) <> 2 then
            return null;
        end if;
        named := string_to_array(
            substring(comment from '(?:^|[.;\n])\s*person: ([a-z]+(?:, [a-z]+)*)\s*(?:[.;\n]|$)'), ', '
        );
    end if;
    if named <@ {whom} and ('nobody' <> all(named) or cardinality(named) = 1) then
        return named;
    end if;
    return null;
end
$$;

-- Every column of a table or view of the owner's, with the persons that it points to, or null if it doesn't say so.
-- Months are left out: they have the columns of their table. A column that points to persons has keys, unless it says
-- `In clear` behind that. A column of nobody has keys if it says `Keyed`: those of names that look like numbers.
create or replace view access.pointing_column as
select
    c.oid::regclass as relation,
    n.nspname as schema_name,
    c.relname as relation_name,
    a.attname as column_name,
    format_type(a.atttypid, a.atttypmod) as data_type,
    access.persons(d.description) as persons,
    format_type(a.atttypid, null) <> all(access.counts_and_moments())
    or strpos(coalesce(d.description, ''), 'person:') > 0 as must_say,
    coalesce(
        (
            access.persons(d.description) && array['agent', 'caller', 'contact', 'recipient']
            and strpos(d.description, '. In clear') = 0
        )
        or strpos(d.description, '. Keyed') > 0,
        false
    ) as has_keys
from pg_catalog.pg_class as c
inner join pg_catalog.pg_namespace as n on c.relnamespace = n.oid
inner join pg_catalog.pg_attribute as a on c.oid = a.attrelid and a.attnum > 0 and not a.attisdropped
left join lateral (
    select description
    from pg_catalog.pg_description
    where classoid = 'pg_catalog.pg_class'::regclass and objoid = c.oid and objsubid = a.attnum
    limit 1 -- so it is looked up by index: as a join, all comments were read for each column until they are analyzed
) as d on true
where
    c.relkind in ('r', 'p', 'v', 'm', 'f')
    and not c.relispartition
    and current_user in (pg_get_userbyid(n.nspowner), pg_get_userbyid(c.relowner))
    and not starts_with(n.nspname, 'pg_') and n.nspname <> 'information_schema';

-- Write into the comments of a relation whom its columns point to: `declared` has it by column, null if a column need
-- not say it. A comment that is as it should be is left alone, and so locks nothing. Returns the columns that must say
-- it and do not.
create or replace function access.declare_persons(relation regclass, declared jsonb) returns setof name
language plpgsql
as $$
declare
    one record;
begin
    for one in
        select
            attname,
            'person: ' || said.persons as said
        from pg_catalog.pg_attribute
        join jsonb_each_text(declared) as said (column_name, persons) on said.column_name = attname
        where
            attrelid = relation and attnum > 0 and not attisdropped
            and col_description(relation, attnum) is distinct from 'person: ' || said.persons
    loop
        execute format('comment on column %s.%I is %L', relation, one.attname, one.said);
    end loop;
    return query
    select c.column_name from access.pointing_column as c
    where c.relation = declare_persons.relation and c.must_say and c.persons is null;
end
$$;

-- Whom the columns of a relation point to, in the form of `declared`.
create or replace function access.declared_persons(relation regclass) returns jsonb
stable
return (
    select coalesce(jsonb_object_agg(c.column_name, array_to_string(c.persons, ', ')), '{{}}')
    from access.pointing_column as c
    where c.relation = declared_persons.relation and c.persons is not null
);

-- Whom the columns of a mart's view must point to: the same as the columns of these names in the tables that it reads.
create or replace function access.persons_seen(seen regclass) returns jsonb
stable
return (
    select coalesce(jsonb_object_agg(shown.attname, array_to_string(c.persons, ', ')), '{{}}')
    from pg_catalog.pg_attribute as shown
    inner join access.pointing_column as c on shown.attname = c.column_name
    where
        shown.attrelid = seen
        and c.persons is not null
        and c.relation in (
            select refobjid
            from pg_catalog.pg_depend
            inner join pg_catalog.pg_rewrite on pg_rewrite.oid = objid
            where ev_class = seen and classid = 'pg_rewrite'::regclass and refobjid <> seen
        )
);
