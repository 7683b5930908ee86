-- privacy: the register of requests. Logins can read and write none of its tables. What they see of it is here; what
-- they do is in privacy_steps.sql, made of the parts that are here. A mistake of the user has the SQLSTATE CM001, and
-- its message is a sentence for that person. A refusal is not raised, because it has to stay in the log: functions that
-- ask for somebody's authority return its sentence, or null.

-- The day at the provider.
create or replace function privacy.today() returns date
stable
return (now() at time zone {time_zone})::date;

-- A request goes five years after it has ended, and its evidence with it. Nothing else goes, and no evidence changes.
create or replace function privacy.refuse_change() returns trigger
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if tg_op = 'DELETE' and tg_table_name = 'request' then
        if old.ended_at < now() - interval '5 years' then
            return old;
        end if;
    elsif tg_op = 'DELETE' and tg_table_name = 'step' then
        if not exists (select 1 from privacy.request as r where r.number = old.request) then
            return old;
        end if;
    end if;
    raise exception 'the register of requests keeps what it has for five years';
end
$$;

create or replace trigger kept
before delete on privacy.request
for each row execute function privacy.refuse_change();

create or replace trigger not_emptied
before truncate on privacy.request
for each statement execute function privacy.refuse_change();

create or replace trigger kept
before update or delete on privacy.step
for each row execute function privacy.refuse_change();

create or replace trigger not_emptied
before truncate on privacy.step
for each statement execute function privacy.refuse_change();

-- Whether something of a customer's data is stored. If no contract keeps it any more, the next run removes it.
create or replace function privacy.has_data(customer integer) returns boolean
stable
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return exists (select 1 from raw.file_customer as f where f.customer_id = customer)
        or exists (select 1 from ops.opened_day as o where o.customer_id = customer)
        or exists (select 1 from ops.extract as e where e.customer_id = customer);
end
$$;

-- Whether a request's customer has the key that its subject was made with: `here`; or another one, since everything of
-- it was removed and it came `back`; or none, as it is `leaving`, and still stored or on Tableau, or `gone`. Without a
-- contract now or later it has left already: the registry has its contacts no more, and the next run takes the key.
create or replace function privacy.customer_is(request privacy.request) returns text
stable
return (
    select
        case
            when
                bool_or(
                    c.key_fingerprint = request.key_fingerprint
                    and exists (
                        select 1 from registry.contract as k
                        where
                            k.customer_id = request.customer_id
                            and (
                                k.valid_until is null
                                or (now() at time zone c.time_zone)::date < k.valid_until
                            )
                    )
                )
                then 'here'
            when bool_or(c.key_fingerprint is distinct from request.key_fingerprint and c.key_fingerprint is not null)
                then 'back'
            when
                privacy.has_data(request.customer_id)
                or request.customer_id in (select p.customer_id from ops.publication as p)
                then 'leaving'
            else 'gone'
        end
    from registry.customer as c
    where c.customer_id = request.customer_id -- one row or none
);

-- Whether a request gives a package.
create or replace function privacy.makes_package(request privacy.request) returns boolean
stable
return request.asked_right in ('access', 'portability');

-- The latest evidence of a step in each place of a request's plan; `entry` is null where there is none. If another
-- contact takes an access over, the package goes, so what was done for the one before doesn't count.
create or replace function privacy.evidence(asked integer, wanted text)
returns table (place text, counts jsonb, entry bigint)
stable
begin atomic
    select
        planned.place,
        latest.counts,
        latest.entry
    from (
        select distinct s.place
        from privacy.step as s
        inner join privacy.request as r on s.request = r.number and s.at >= r.planned_at
        where r.number = asked and s.step = 'find'
    ) as planned
    left join lateral (
        select
            s.counts,
            s.entry
        from privacy.step as s
        inner join privacy.request as r on s.request = r.number and s.at >= r.planned_at
        where
            s.request = asked and s.place = planned.place and s.step = wanted
            and (not privacy.makes_package(r) or s.at >= r.identified_at)
        order by s.entry desc
        limit 1
    ) as latest on true
    order by planned.place;
end;

-- A place of the plan that was not treated, or null.
create or replace function privacy.untreated(asked integer) returns text
stable
return (
    select e.place
    from privacy.evidence(asked, 'treat') as e
    where e.entry is null
    limit 1
);

-- A place of the plan that was not proved since it was treated, or in which something is left; null if there is none.
create or replace function privacy.unproved(asked integer) returns text
stable
return (
    select proof.place
    from privacy.evidence(asked, 'prove') as proof
    inner join privacy.evidence(asked, 'treat') as treated on proof.place = treated.place
    where (proof.entry > treated.entry and (proof.counts ->> 'left')::integer = 0) is not true
    limit 1
);

-- The places in which something was left at the last proof, and which were not treated since; null if there are none.
create or replace function privacy.unfinished(asked integer) returns text
stable
return (
    select string_agg(proof.place, ', ' order by proof.place)
    from privacy.evidence(asked, 'prove') as proof
    inner join privacy.evidence(asked, 'treat') as treated on proof.place = treated.place
    where proof.entry > treated.entry and (proof.counts ->> 'left')::integer > 0
);

create or replace function privacy.mistake(sentence text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    raise exception using errcode = 'CM001', message = sentence;
end
$$;

-- The mistake of a step that is not the next one.
create or replace function privacy.out_of_turn(request privacy.request) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform privacy.mistake(
        format(
            'request %s is %s: %s', request.number, request.state, privacy.next_step(request)
        )
    );
end
$$;

-- Lock a request that is in one of these states.
create or replace function privacy.take(asked integer, variadic states text[]) returns privacy.request
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request;
begin
    select * into request from privacy.request as r where r.number = asked for update;
    if not found then
        perform privacy.mistake(format('there is no request %s: `callmart privacy status` lists them', asked));
    end if;
    if request.state <> all (states) then
        perform privacy.out_of_turn(request);
    end if;
    return request;
end
$$;

-- Write what was done with a request into the audit log. Others read that, so no counts of a person are in it.
create or replace function privacy.log(request privacy.request, step text, details jsonb default '{{}}') returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    insert into ops.audit_log (action, customer_id, details)
    values ('privacy ' || step, request.customer_id, jsonb_build_object('request', request.number) || details);
end
$$;

-- Bring a request that was taken into a state, and log it.
create or replace function privacy.enter(request privacy.request, entered text, details jsonb default '{{}}')
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    update privacy.request as r
    set
        state = entered,
        ended_at = case when entered in ('closed', 'refused', 'forwarded') then clock_timestamp() end,
        blocked_place = null,
        blocked_code = null
    where r.number = request.number;
    perform privacy.log(request, entered, details);
end
$$;

-- Whether somebody may speak for a customer now.
create or replace function privacy.is_authorised(customer integer, contact text) returns boolean
stable
security definer
return exists (
    select 1 from registry.contact as c
    where c.customer_id = customer and c.contact_key = contact and c.authorised
);

-- Log that a step was refused, and return the sentence that says so.
create or replace function privacy.refusal(request privacy.request, attempt text, why text, sentence text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    perform privacy.log(request, 'refused', jsonb_build_object('attempt', attempt, 'why', why));
    return format('request %s: %s; the refusal is in the audit log', request.number, sentence);
end
$$;

-- Whether the contact of a request may still speak for the customer. Who asked to be erased is no contact any more, by
-- the request itself, and is answered.
create or replace function privacy.may_ask(request privacy.request, is_done boolean) returns boolean
stable
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    return privacy.is_authorised(request.customer_id, request.contact_key)
        or is_done and exists (
            select 1
            from privacy.ledger_entry as e
            inner join privacy.tombstone as t using (entry)
            inner join privacy.secret as s on e.customer_id = s.customer_id
            where
                e.request = request.number
                and e.customer_id = request.customer_id
                and t.tombstone = privacy.tombstone_of(s.secret, 'contact', request.contact_key)
        );
end
$$;

-- The refusal if the contact of a request may not speak for the customer any more, otherwise null.
create or replace function privacy.lost_authority(request privacy.request, attempt text) returns text
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if privacy.may_ask(request, attempt = 'answer') then
        return null;
    end if;
    return privacy.refusal(
        request, attempt, 'authority',
        format(
            case attempt
                when 'take over' then 'who takes over is not an authorised contact of customer %s; let one who is do so'
                else 'who asked is not an authorised contact of customer %s any more; let another one take over'
            end
            || ' with `callmart privacy verify %s --take-over`, or refuse it',
            request.customer_id, request.number
        )
    );
end
$$;

-- The mistake of entering somebody about whom there is an open request for the same right.
create or replace function privacy.refuse_second(customer integer, asked_right text, kind text, subject text)
returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    open_one integer;
begin
    select r.number into open_one
    from privacy.request as r
    where
        r.customer_id = customer and r.asked_right = refuse_second.asked_right
        and r.kind = refuse_second.kind and r.subject = refuse_second.subject
        and r.ended_at is null and r.answered_at is null;
    if found then
        perform privacy.mistake(format('request %s is about the same person, and still open: go on with that', open_one));
    end if;
end
$$;

-- The mistake of a day of receipt that is yet to come, or so long ago that it is a slip. With a day before the year 1
-- nobody could read the register any more, for the five years that it keeps it.
create or replace function privacy.require_received(received date) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if received > privacy.today() then
        perform privacy.mistake(format('%s lies ahead: enter the day on which the letter came', received));
    end if;
    if (privacy.today() - interval '5 years' < received) is not true then
        perform privacy.mistake(
            format('%s is more than five years ago: enter the day on which the letter came', received)
        );
    end if;
end
$$;

-- The mistake of a request that was entered under a key that is another one by now: it would be about nobody. A
-- rotation holds the table while it keys the register anew, so one of both waits for the other. Null: no key was read.
create or replace function privacy.require_key(customer integer, made_with text) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    lock table privacy.request in row exclusive mode;
    if made_with is not null and made_with is distinct from (
        select c.key_fingerprint from registry.customer as c where c.customer_id = customer
    ) then
        perform privacy.mistake(
            format('nothing was entered, as the key of customer %s was rotated meanwhile: enter it again', customer)
        );
    end if;
end
$$;

-- Evidence is counts under words that are listed (base/evidence.py), so that nothing of a person can get in. The names
-- of marts are such words as well. No count is as long as a telephone number.
create or replace function privacy.require_counts(counts jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
begin
    if jsonb_typeof(counts) <> 'object' or exists (
        select 1 from jsonb_each(counts) as c (word, value)
        where
            (
                word <> all ({counted})
                and not exists (
                    select 1 from access.mart as m where 'mart.' || split_part(m.relation::text, '.', 2) = word
                )
            )
            or (value::text ~ '^[0-9]{{1,8}}$') is not true
    ) then
        perform privacy.mistake(
            'evidence is counts under words that are listed, and nothing else: correct base/evidence.py, then run '
            '`callmart upgrade`'
        );
    end if;
end
$$;

-- A place that is not in the plan of a request, or null. A plan has all places that there are.
create or replace function privacy.unplanned(asked integer) returns text
stable
return (
    select place from unnest({places}) as place
    where place not in (select e.place from privacy.evidence(asked, 'find') as e)
    limit 1
);

-- Whether a request waits for a written instruction, because it is about what several persons share. A package of what
-- is others' as well is made on no instruction.
create or replace function privacy.is_held(request privacy.request) returns boolean
stable
return (
    request.is_alone or (request.is_instructed and not privacy.makes_package(request))
) is not true;

-- Whether a request erases.
create or replace function privacy.erases(request privacy.request) returns boolean
stable
return request.asked_right = 'erasure' or (request.asked_right = 'withdrawal' and request.is_by_consent is true);

-- Whether what a request does has to be in the ledger before it is done, so that nothing undoes it.
create or replace function privacy.needs_ledger(request privacy.request) returns boolean
stable
return request.asked_right in ('erasure', 'objection', 'restriction', 'withdrawal', 'lifting');

-- Whether the ledger says that this was done, or is about to be: only the owner writes it.
create or replace function privacy.is_in_ledger(request privacy.request) returns boolean
stable
return exists (
    select 1 from privacy.ledger_entry as e
    where
        e.request = request.number and e.customer_id = request.customer_id and e.kind = request.kind
        and e.until = request.until and coalesce(e.key_fingerprint, '') = coalesce(request.key_fingerprint, '')
);

-- Whether a request goes on, whoever may still ask: it has begun, and the ledger has it.
create or replace function privacy.goes_on(request privacy.request) returns boolean
stable
return request.state in ('executing', 'proving') and privacy.is_in_ledger(request);

-- The command by which an approved request goes on, up to the answer.
create or replace function privacy.next_command(request privacy.request) returns text
stable
return case
    when request.state in ('approved', 'executing') then 'do'
    when privacy.unproved(request.number) is not null then 'prove'
    else 'answer'
end;

-- What to do next with a request.
create or replace function privacy.next_step(request privacy.request) returns text
stable
return format(
    case
        when request.state in ('closed', 'refused', 'forwarded')
            then 'it has ended; enter another letter with `callmart privacy open`'
        when request.state = 'answered' then '`callmart privacy close %1$s` is next'
        when privacy.customer_is(request) = 'back'
            then 'the customer left and came back: check who asks, then `callmart privacy verify %1$s --take-over`'
        when privacy.customer_is(request) = 'leaving' and privacy.has_data(request.customer_id)
            then 'the customer has left, and its data is not removed yet: run `callmart run`'
        when privacy.customer_is(request) = 'leaving'
            then 'the customer has left, and it is still on Tableau: run `callmart publish`'
        when privacy.customer_is(request) = 'gone'
            then 'the customer has left, with all its data: `callmart privacy refuse %1$s --because no-such-customer`'
        when
            not privacy.may_ask(request, request.state in ('executing', 'proving'))
            and (not privacy.goes_on(request) or privacy.unproved(request.number) is null)
            then
                'who asked is not an authorised contact any more: let another one take over with '
                '`callmart privacy verify %1$s --take-over`'
        when request.state = 'received' then 'check who asks, then `callmart privacy verify %1$s`'
        when privacy.is_held(request) and privacy.makes_package(request)
            then 'it is about what several persons share, so nobody gets it: `callmart privacy answer %1$s` says so'
        when privacy.is_held(request)
            then
                'it is about what several persons share, so nothing is done without a written instruction: when you '
                'have it, `callmart privacy verify %1$s --shared --written-instruction`; otherwise '
                '`callmart privacy answer %1$s` says so'
        when request.state = 'identified' then '`callmart privacy plan %1$s` is next'
        when request.state = 'planned' and privacy.unplanned(request.number) is not null
            then '`callmart privacy plan %1$s` again: a place is not in the plan'
        when request.state = 'planned' then '`callmart privacy approve %1$s` is next, by the approver'
        when request.state = 'approved' then '`callmart privacy do %1$s` is next'
        when privacy.untreated(request.number) is not null then '`callmart privacy do %1$s` goes on'
        when privacy.unfinished(request.number) is not null
            then
                'something is left in ' || privacy.unfinished(request.number)
                || ': `callmart privacy do %1$s`, then prove it again; what it leaves there, remove by hand'
        when request.state = 'executing' then '`callmart privacy prove %1$s` is next'
        when privacy.unproved(request.number) is not null then '`callmart privacy prove %1$s` goes on'
        else '`callmart privacy answer %1$s` is next'
    end,
    request.number
);

-- What the officer and the approver see: every request, and nobody in it.
create or replace function privacy.requests()
returns table (
    number integer, customer_id integer, asked_right text, kind text, received date, due date, days_left integer,
    state text, blocked_place text, blocked_code text, refused_why text, is_alone boolean, is_instructed boolean,
    is_by_consent boolean, identified_how text, plan_hash text, until timestamptz, opened_by name, planned_by name,
    approved_by name,
    opened_at timestamptz, identified_at timestamptz, planned_at timestamptz, approved_at timestamptz,
    begun_at timestamptz, answered_at timestamptz, ended_at timestamptz, customer_is text, next_step text
)
stable
security definer
begin atomic
    select
        r.number,
        r.customer_id,
        r.asked_right,
        r.kind,
        r.received,
        r.due,
        case when r.ended_at is null and r.answered_at is null then r.due - privacy.today() end,
        r.state,
        r.blocked_place,
        r.blocked_code,
        r.refused_why,
        r.is_alone,
        r.is_instructed,
        r.is_by_consent,
        r.identified_how,
        r.plan_hash,
        r.until,
        r.opened_by,
        r.planned_by,
        r.approved_by,
        r.opened_at,
        r.identified_at,
        r.planned_at,
        r.approved_at,
        r.begun_at,
        r.answered_at,
        r.ended_at,
        privacy.customer_is(r),
        case when r.ended_at is null then privacy.next_step(r) end
    from privacy.request as r
    order by r.number;
end;

-- The latest evidence of each step in each place of the plan.
create or replace function privacy.steps(asked integer)
returns table (place text, step text, counts jsonb)
stable
security definer
begin atomic
    select
        e.place,
        s.step,
        e.counts
    from unnest(array['find', 'control', 'treat', 'prove', 'attest']) with ordinality as s (step, place_in_order)
    cross join lateral privacy.evidence(asked, s.step) as e
    where e.entry is not null
    order by s.place_in_order, e.place;
end;

-- The corrections of events that seemed to be of one agent and are another's. Agents are shown as their keys begin.
create or replace function privacy.corrections()
returns table (
    request integer, customer_id integer, mistaken text, corrected text, since timestamptz, until timestamptz
)
stable
security definer
begin atomic
    select
        e.request::integer,
        c.customer_id,
        left(c.mistaken, 6),
        left(coalesce(c.agent_key, c.erased), 6),
        c.since,
        c.until
    from privacy.correction as c
    inner join privacy.ledger_entry as e using (entry)
    order by c.entry, c.mistaken;
end;

-- Whether a request is about this person.
create or replace function privacy.is_about(asked integer, person text) returns boolean
stable
security definer
return exists (
    select 1 from privacy.request as r
    where r.number = asked and r.subject = person
);

-- The customer's calls that name a person by this key in an event between two moments.
create or replace function raw.calls_naming(customer integer, key text, since timestamptz, until timestamptz)
returns setof bigint
stable
language plpgsql
as $$
begin
    return query
    select distinct e.call_key
    from raw.event as e
    where
        e.customer_id = customer
        and key in (e.agent_key, e.number_key, e.target_key)
        and e.occurred_at >= since
        and e.occurred_at < until
        and e.call_key is not null;
end
$$;
