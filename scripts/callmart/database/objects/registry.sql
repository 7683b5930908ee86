-- registry: who the customers are and what they have ordered.

-- What each customer has ordered today, by its own clock: the option, and the list of contacts besides. A customer
-- without a contract has no row.
create or replace view registry.current_option as
select
    c.customer_id,
    k.option,
    case when c.contact_list_days is null then '{{}}' else array['contact_list'] end as orders
from registry.customer as c
inner join registry.contract as k
    on c.customer_id = k.customer_id
    and k.valid_from <= (now() at time zone c.time_zone)::date
    and ((now() at time zone c.time_zone)::date < k.valid_until or k.valid_until is null);

-- The customers whose role may log in: those that ordered a login, or live data sources, and are not closed because
-- ledger and database differ.
create or replace view registry.ordered_login as
select o.customer_id
from registry.current_option as o
inner join registry.customer as c using (customer_id)
where
    (c.sql_login or c.connection = 'live')
    and not exists (
        select 1
        from privacy.closed as p
        where p.customer_id = c.customer_id
    );

-- The customers of whom somebody was erased under another key than theirs, or than theirs was before rotations; and the
-- day from which on nobody who was erased is in the data.
create or replace view registry.former_key as
select
    e.customer_id,
    max((e.until at time zone c.time_zone)::date) + 1 as kept_from
from privacy.ledger_entry as e
inner join registry.customer as c using (customer_id)
where
    e.kind in ('agent', 'caller')
    and e.asked_right = 'erasure'
    and e.key_fingerprint <> c.key_fingerprint
    and not exists (
        select 1 from registry.former_fingerprint as f
        where f.customer_id = e.customer_id and f.key_fingerprint = e.key_fingerprint
    )
group by e.customer_id;

-- The contracts that keep data today. Contracts that follow each other without a gap form a span, and only the span
-- that covers today in the customer's time zone keeps data. So a customer without a contract today has no row. A
-- detailed period that standard has followed counts as standard: data about agents is kept only for the detailed period
-- that covers today, and for later ones.
--
-- A customer that comes back after everything of it was removed has another key: not one to which a rotation added a
-- layer. Whoever was erased under the former one can't be known again. So nothing is kept of the days up to the end of
-- what was erased, nor of the day after, on which such a call may have ended. If an agent objected under the former
-- one, none is shown until that is entered again (privacy/unknown.py).
create or replace view registry.kept_contract as
with contracts as (
    select
        k.*,
        (now() at time zone c.time_zone)::date as today,
        (k.valid_from = lag(k.valid_until) over (partition by k.customer_id order by k.valid_from)) is not true
            as after_gap
    from registry.contract as k
    inner join registry.customer as c using (customer_id)
),

numbered as (
    select
        *,
        count(*) filter (where after_gap) over (partition by customer_id order by valid_from) as span_no
    from contracts
),

spans as (
    select
        *,
        bool_or(valid_from <= today and (today < valid_until or valid_until is null)) over span as covers_today,
        max(valid_from) filter (where option = 'standard' and valid_from <= today) over span as last_standard
    from numbered
    window span as (partition by customer_id, span_no)
),

nobody_known as (
    select distinct customer_id from privacy.unknown_objector
)

select
    s.customer_id,
    case
        when s.valid_from < s.last_standard or u.customer_id is not null then 'standard'
        else s.option
    end as option,
    greatest(s.valid_from, f.kept_from) as valid_from,
    s.valid_until
from spans as s
left join registry.former_key as f using (customer_id)
left join nobody_known as u using (customer_id)
where s.covers_today and (s.valid_until > f.kept_from) is not false;

-- With each version of the registry, note for which customers it lets other rows in, or keeps other ids of agents. What
-- else a customer orders changes nothing about a file.
create or replace function registry.note_gates() returns trigger
language plpgsql
as $$
begin
    insert into registry.gate as known (customer_id, says, version, added_in)
    select
        c.customer_id,
        md5(jsonb_build_array(c.time_zone, c.anonymous_agents, contracts.kept, words.known)::text),
        new.version,
        new.version
    from registry.customer as c
    left join (
        select customer_id, jsonb_agg(to_jsonb(k) order by valid_from) as kept
        from registry.kept_contract as k
        group by customer_id
    ) as contracts using (customer_id)
    left join (
        select customer_id, jsonb_agg(to_jsonb(w) order by word) as known
        from registry.status_word as w
        group by customer_id
    ) as words using (customer_id)
    on conflict (customer_id) do update
    set says = excluded.says, version = excluded.version
    where known.says <> excluded.says;
    return null;
end
$$;

create or replace trigger noted after insert on registry.version
for each row execute function registry.note_gates();

-- Make a version of the registry under which the files with rows of a customer are read again, although nothing else
-- has changed.
create or replace function registry.read_again(customer integer) returns void
language sql
begin atomic
    update registry.gate set says = ''
    where customer_id = customer;
    insert into registry.version default values;
end;

-- From which day on a customer's list of contacts is kept. A customer that has not ordered it has no row.
create or replace view registry.contact_list as
select
    customer_id,
    (now() at time zone {time_zone})::date - contact_list_days as first_day
from registry.customer
where contact_list_days is not null;

-- The name of an agent in reports. The mart and every later renaming use this rule.
create or replace function registry.agent_label(customer integer, key text) returns text
stable
language plpgsql
as $$
begin
    return coalesce(
        (
            select case when not c.anonymous_agents then coalesce(a.name, a.agent) end
            from registry.customer as c
            left join registry.agent as a on c.customer_id = a.customer_id and a.agent_key = key
            where c.customer_id = customer
        ),
        'agent-' || left(key, 10)
    );
end
$$;

-- Which of these words identify an agent of a customer: as an id, a name, an address, a key, or the label that reports
-- make from a key. A word that is also a queue of the customer does not count. Keys of anonymous agents, and of agents
-- under standard, are only in the events, which are read only for words that look like a key.
create or replace function registry.known_agents(customer integer, words text[]) returns text[]
stable
security definer
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return array(
        select word
        from unnest(words) as word
        where
            not exists (
                select 1
                from registry.queue as q
                where q.customer_id = customer and q.queue = word
            )
            and case
                when exists (
                    select 1
                    from registry.agent as a
                    where a.customer_id = customer and word in (a.agent_key, a.agent, a.name, a.email)
                ) then true
                when word ~ '^(agent-[0-9a-f]{{10}}|~?[0-9a-f]{{32}})$'
                    then word = any(
                        array(
                            select distinct unnest(array[e.agent_key, 'agent-' || left(e.agent_key, 10)])
                            from raw.event as e
                            where e.customer_id = customer and e.agent_key is not null
                        )
                    )
                else false
            end
    );
end
$$;
