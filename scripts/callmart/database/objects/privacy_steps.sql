-- What the officer and the approver do with a request. Each step is a function of the owner: it looks who is logged in,
-- in what state the request is and what the contact may do, and writes the change into the audit log, in counts. What
-- it is given it looks at before it writes: the error of a constraint would show the whole row, with the keys of the
-- person and of the contact.

-- Enter a request. One from somebody who is no authorised contact of the customer is entered as refused. `made_with` is
-- the fingerprint of the key of `subject` and `contact`.
create or replace function privacy.open_request(
    customer integer, asked_right text, kind text, subject text, received date, contact text, made_with text,
    out number integer, out refusal text
)
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request;
    fault text;
begin
    perform privacy.require_received(received);
    perform privacy.require_key(customer, made_with);
    fault := case
        when not exists (select 1 from registry.customer as c where c.customer_id = customer) then 'no such customer'
        when not privacy.is_authorised(customer, contact) then 'authority'
    end;
    if fault is not null then
        insert into privacy.request (customer_id, asked_right, contact_key, received, state, refused_why, ended_at)
        values (customer, asked_right, contact, received, 'refused', fault, clock_timestamp())
        returning * into request;
        number := request.number;
        refusal := privacy.refusal(
            request, 'open', fault,
            case fault
                when 'authority' then format('refused, as who asks is not an authorised contact of customer %s', customer)
                else format('refused, as there is no customer %s', customer)
            end
        );
        return;
    end if;
    if kind is null or subject is null then
        perform privacy.mistake('say whom the request is about');
    end if;
    if (asked_right || ' of ' || kind = any ({rights})) is not true then
        perform privacy.mistake(format('a %s has no right of %s here: docs/privacy.md lists who has which', kind, asked_right));
    end if;
    perform privacy.refuse_second(customer, asked_right, kind, subject);
    insert into privacy.request (
        customer_id, asked_right, kind, subject, key_fingerprint, contact_key, received, state
    )
    select customer, asked_right, kind, subject, c.key_fingerprint, contact, received, 'received'
    from registry.customer as c
    where c.customer_id = customer
    returning * into request;
    perform privacy.enter(request, 'received');
    number := request.number;
end
$$;

-- Enter that a person asked directly, and was sent to the customer. Nothing is kept of the person.
create or replace function privacy.forward(customer integer, asked_right text, received date) returns integer
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request;
begin
    perform privacy.require_received(received);
    if not exists (select 1 from registry.customer as c where c.customer_id = customer) then
        perform privacy.mistake(format('there is no customer %s: `callmart status` lists them', customer));
    end if;
    insert into privacy.request (customer_id, asked_right, received, state, ended_at)
    values (customer, asked_right, received, 'forwarded', clock_timestamp())
    returning * into request;
    perform privacy.enter(request, 'forwarded');
    return request.number;
end
$$;

-- Record how the contact's identity was checked, and what the contact says of the number or id. Before anything is
-- erased, this also begins anew, so plan and approval have to be given again. `taking_over` is another contact, who
-- goes on with the request. If the customer left and came back, that begins anew in every state, and `person` is whom
-- it is about, under the customer's other key; otherwise nobody can put another person into a request. `made_with` is
-- the fingerprint of the key of both.
create or replace function privacy.verify(
    asked integer, how text, alone boolean, instructed boolean, by_consent boolean, taking_over text default null,
    person text default null, made_with text default null
) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request := privacy.take(
        asked, 'received', 'identified', 'planned', 'approved', 'executing', 'proving'
    );
    is_back boolean := privacy.customer_is(request) = 'back';
    has_begun boolean := request.state in ('executing', 'proving') and not is_back;
    refused text;
begin
    if (has_begun and taking_over is null) or (is_back and (taking_over is null or person is null)) then
        perform privacy.out_of_turn(request);
    end if;
    if (how = any (array['code', 'called_back', 'in_person'])) is not true then
        perform privacy.mistake('say how it was checked who asks: --how code, --how called-back or --how in-person');
    end if;
    if is_back and not raw.is_key(person) then
        perform privacy.mistake('whom the request is about comes as a key');
    end if;
    if alone is null and not has_begun then
        perform privacy.mistake('say what the contact says of the number or id: --alone or --shared');
    end if;
    if request.asked_right = 'withdrawal' and by_consent is null and not has_begun then
        perform privacy.mistake('say whether consent was the reason to have the data: --by-consent or --not-by-consent');
    end if;
    perform privacy.require_key(request.customer_id, made_with);
    request.contact_key := coalesce(taking_over, request.contact_key);
    refused := privacy.lost_authority(request, case when taking_over is null then 'verify' else 'take over' end);
    if refused is not null then
        return refused;
    end if;
    if is_back then
        perform privacy.refuse_second(request.customer_id, request.asked_right, request.kind, person);
    end if;
    update privacy.request as r
    set
        subject = case when is_back then person else r.subject end,
        key_fingerprint = case when is_back then c.key_fingerprint else r.key_fingerprint end,
        contact_key = request.contact_key,
        identified_at = clock_timestamp(),
        identified_by = session_user,
        identified_how = how,
        is_alone = case when has_begun then r.is_alone else alone end,
        is_instructed = case when has_begun then r.is_instructed else instructed end,
        is_by_consent = case when has_begun then r.is_by_consent when r.asked_right = 'withdrawal' then by_consent end,
        plan_hash = case when has_begun then r.plan_hash end,
        planned_at = case when has_begun then r.planned_at end,
        planned_by = case when has_begun then r.planned_by end,
        until = case when has_begun then r.until end,
        approved_at = case when has_begun then r.approved_at end,
        approved_by = case when has_begun then r.approved_by end
    from registry.customer as c
    where r.number = asked and r.customer_id = c.customer_id;
    if has_begun then
        perform privacy.log(request, 'taken over');
    else
        perform privacy.enter(
            request, 'identified', jsonb_build_object('how', how, 'alone', alone, 'entered anew', is_back)
        );
    end if;
    return null;
end
$$;

-- Record a plan, up to a moment. What it found in each place is evidence, and comes afterwards. An earlier plan and its
-- approval no longer count. As long as nothing stands in the ledger, one can plan again.
create or replace function privacy.note_plan(asked integer, hash text, until timestamptz) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request := privacy.take(
        asked, 'identified', 'planned', 'approved', 'executing', 'proving'
    );
begin
    if privacy.goes_on(request) or privacy.is_held(request) then
        perform privacy.out_of_turn(request);
    end if;
    if
        (hash ~ '^[0-9a-f]{{8,64}}$') is not true
        or (until < clock_timestamp()) is not true
        or until < clock_timestamp() - interval '5 years'
    then
        perform privacy.mistake('a plan has a hash, and goes up to the end of a day that is over, of the last five years');
    end if;
    update privacy.request as r
    set
        planned_at = clock_timestamp(),
        planned_by = session_user,
        plan_hash = hash,
        until = note_plan.until,
        approved_at = null,
        approved_by = null,
        begun_at = null
    where r.number = asked;
    perform privacy.enter(request, 'planned');
end
$$;

-- The approver's step: approve the plan that has this hash. Whoever opened or planned the request can't, nor can the
-- owner, who can do everything else.
create or replace function privacy.approve(asked integer, hash text) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request := privacy.take(asked, 'planned');
    refused text;
    unplanned text;
begin
    if session_user in (request.opened_by, request.planned_by, current_user) then
        return privacy.refusal(
            request, 'approve', 'same login',
            'nobody approves a request of one''s own; let the approver do it, with the approver''s password'
        );
    end if;
    refused := privacy.lost_authority(request, 'approve');
    if refused is not null then
        return refused;
    end if;
    unplanned := privacy.unplanned(asked);
    if unplanned is not null then
        perform privacy.mistake(
            format('request %s: %s is not in the plan; `callmart privacy plan %s` again', asked, unplanned, asked)
        );
    end if;
    if hash is distinct from request.plan_hash then
        perform privacy.mistake(
            format('request %s has another plan than that: look at it with `callmart privacy approve %s`', asked, asked)
        );
    end if;
    update privacy.request as r
    set approved_at = clock_timestamp(), approved_by = session_user
    where r.number = asked;
    perform privacy.enter(request, 'approved');
    return null;
end
$$;

-- Begin, or go on, to do the approved plan. The hash is that of the plan as it would be made now; it is null once the
-- ledger has it, because then the counts become smaller. In a register that was restored it can still be approved only.
create or replace function privacy.begin_doing(asked integer, hash text) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request := privacy.take(asked, 'approved', 'executing', 'proving');
    refused text;
begin
    if not privacy.goes_on(request) then
        refused := privacy.lost_authority(request, 'do');
        if refused is not null then
            return refused;
        end if;
        if hash is distinct from request.plan_hash and (hash is not null or not privacy.is_in_ledger(request)) then
            perform privacy.mistake(
                format(
                    'request %s: the data has changed since the plan was approved, and nothing was done; '
                    '`callmart privacy plan %s` shows it as it is now, to be approved again%s',
                    asked, asked,
                    case request.kind when 'agent' then '; if the agent has several ids, enter all of them' end
                )
            );
        end if;
    end if;
    update privacy.request as r
    set begun_at = coalesce(r.begun_at, clock_timestamp()), blocked_place = null, blocked_code = null
    where r.number = asked;
    if request.state <> 'executing' then
        perform privacy.enter(request, 'executing');
    end if;
    return null;
end
$$;

-- Record what was found, treated or proved in a place, or what a control has found before. Only the owner may: no
-- person says what the machine has done. Nothing is erased before the control, and nothing that must stay done is done
-- before the ledger entry. Of a proof the counts have to say what is `left`; `to_attest` is what a person still has to
-- confirm.
create or replace function privacy.note_step(asked integer, place text, step text, counts jsonb) returns void
language plpgsql
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request;
begin
    request := case step
        when 'find' then privacy.take(asked, 'planned')
        when 'control' then privacy.take(asked, 'executing')
        when 'treat' then privacy.take(asked, 'executing')
        when 'prove' then privacy.take(asked, 'proving')
    end;
    if request.number is null then
        perform privacy.mistake(format('%s is no step of evidence: record find, control, treat or prove', step));
    end if;
    perform privacy.require_counts(counts);
    if (place = any ({places})) is not true then
        perform privacy.mistake(format('request %s: that is none of the places in base/evidence.py', asked));
    end if;
    if step <> 'find' and not exists (
        select 1 from privacy.evidence(asked, 'find') as e where e.place = note_step.place
    ) then
        perform privacy.mistake(format('request %s has no place of this name in its plan', asked));
    end if;
    if step = 'treat' and privacy.needs_ledger(request) and not privacy.is_in_ledger(request) then
        perform privacy.mistake(format('request %s: nothing is done before the ledger has it', asked));
    end if;
    if step = 'treat' and privacy.erases(request) and not exists (
        select 1 from privacy.evidence(asked, 'control') as e where e.entry is not null
    ) then
        perform privacy.mistake(format('request %s: nothing is erased before a control has looked for it', asked));
    end if;
    insert into privacy.step (request, place, step, counts) values (asked, place, step, counts);
    if step <> 'find' then
        perform privacy.log(request, step, jsonb_build_object('place', place));
    end if;
end
$$;

-- Record that somebody has done in a place of the plan what callmart can't do itself.
create or replace function privacy.attest(asked integer, place text) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request := privacy.take(asked, 'answered');
begin
    if not exists (select 1 from privacy.evidence(asked, 'prove') as e where e.place = attest.place) then
        perform privacy.mistake(format(
            'request %s has no place of this name in its plan: `callmart privacy close %s` names those that wait, if any',
            asked, asked
        ));
    end if;
    insert into privacy.step (request, place, step, counts) values (asked, place, 'attest', '{{}}');
    perform privacy.log(request, 'attest', jsonb_build_object('place', place));
end
$$;

-- Begin, or go on, to prove that nothing is left. What blocked may be gone by now. Every place of the plan has been
-- treated.
create or replace function privacy.begin_proving(asked integer) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request := privacy.take(asked, 'executing', 'proving');
    missing text := privacy.untreated(asked);
begin
    if missing is not null then
        perform privacy.mistake(
            format('request %s: %s is not done yet; `callmart privacy do %s` goes on', asked, missing, asked)
        );
    end if;
    update privacy.request as r
    set blocked_place = null, blocked_code = null
    where r.number = asked;
    if request.state = 'executing' then
        perform privacy.enter(request, 'proving');
    end if;
end
$$;

-- Record that a place can't be reached, which keeps the request open. Once it is answered, everything is done.
create or replace function privacy.block(asked integer, place text, code text) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request := privacy.take(
        asked, 'identified', 'planned', 'approved', 'executing', 'proving'
    );
begin
    if (place = any ({blocking}) and code = any ({codes})) is not true then
        perform privacy.mistake(format('request %s: that is no place or no reason of base/evidence.py', asked));
    end if;
    update privacy.request as r
    set blocked_place = place, blocked_code = code
    where r.number = asked;
    perform privacy.log(request, 'blocked', jsonb_build_object('place', place, 'code', code));
end
$$;

-- Record that the contact was answered. Everything is proved, or it is about what several persons share, and the
-- contact didn't instruct us to do it all the same.
create or replace function privacy.answer(asked integer) returns text
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request := privacy.take(asked, 'identified', 'proving');
    unproved text;
    refused text;
begin
    if request.state = 'identified' and not privacy.is_held(request) then
        perform privacy.out_of_turn(request);
    end if;
    if request.blocked_place is not null then
        perform privacy.mistake(
            format(
                'request %s is blocked by %s (%s): run the command again that said so', asked, request.blocked_place,
                request.blocked_code
            )
        );
    end if;
    refused := privacy.lost_authority(request, 'answer');
    if refused is not null then
        return refused;
    end if;
    unproved := privacy.unproved(asked);
    if unproved is not null then
        perform privacy.mistake(
            format(
                'request %s: %s is not proved; `callmart privacy prove %s`, and if something is left, '
                '`callmart privacy do %s` before it', asked, unproved, asked, asked
            )
        );
    end if;
    update privacy.request as r
    set answered_at = clock_timestamp()
    where r.number = asked;
    perform privacy.enter(request, 'answered');
    return null;
end
$$;

-- End a request before anything was done. We judge authority and identity, and never whether a request is right; the
-- contact can withdraw it, and we can have entered it by mistake. A package can be made and not sent. If the customer
-- has left, everything of it was removed, so the request ends in whatever state it is.
create or replace function privacy.refuse(asked integer, why text) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request := privacy.take(
        asked, 'received', 'identified', 'planned', 'approved', 'executing', 'proving'
    );
    customer_is text := privacy.customer_is(request);
    is_gone boolean := customer_is = 'gone';
begin
    if customer_is = 'leaving' then
        perform privacy.out_of_turn(request);
    end if;
    if (
        why = any (
            array['authority', 'identity', 'no such customer', 'withdrawn by the contact', 'entered by mistake']
        )
    ) is not true then
        perform privacy.mistake('say why it ends with one of the reasons of `callmart privacy refuse --help`');
    end if;
    if why = 'no such customer' and not is_gone then
        perform privacy.mistake(format('request %s: customer %s has not left', asked, request.customer_id));
    end if;
    if request.state in ('executing', 'proving') and not (is_gone or privacy.makes_package(request)) then
        perform privacy.out_of_turn(request);
    end if;
    update privacy.request as r
    set refused_why = why, subject = null, state = 'refused', ended_at = clock_timestamp()
    where r.number = asked;
    perform privacy.enter(request, 'refused', jsonb_build_object('why', why));
end
$$;

-- Close a request that was answered, when everything that a person has to do elsewhere is attested.
create or replace function privacy.close(asked integer) returns void
language plpgsql
security definer
set search_path = pg_catalog, pg_temp
as $$
declare
    request privacy.request := privacy.take(asked, 'answered');
    missing text := privacy.unproved(asked);
begin
    if missing is not null then
        perform privacy.mistake(format('request %s: %s is not proved, so it can''t be closed', asked, missing));
    end if;
    select string_agg(format('--attested "%s"', proof.place), ' ') into missing
    from privacy.evidence(asked, 'prove') as proof
    inner join privacy.evidence(asked, 'attest') as attested on proof.place = attested.place
    where coalesce((proof.counts ->> 'to_attest')::numeric, 0) > 0 and attested.entry is null;
    if missing is not null then
        perform privacy.mistake(
            format(
                'request %s waits for what a person does elsewhere; when it is done, `callmart privacy close %s %s`',
                asked, asked, missing
            )
        );
    end if;
    perform privacy.enter(request, 'closed');
end
$$;
