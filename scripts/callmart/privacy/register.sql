-- name: requests
select * from privacy.requests();

-- name: steps
select
    place,
    step,
    counts
from privacy.steps(%(number)s);

-- name: log
-- What was done with a request, when and by whom.
select
    at,
    actor,
    replace(action, 'privacy ', '') as step,
    details - 'request' as details
from ops.audit_log
where starts_with(action, 'privacy ') and details ->> 'request' = %(number)s::text
order by entry;

-- name: corrections
select * from privacy.corrections();

-- name: is_about
select privacy.is_about(%(number)s, %(subject)s);

-- name: is_authorised
select privacy.is_authorised(%(customer)s, %(contact)s);

-- name: open_request
select
    number,
    refusal
from privacy.open_request(
    %(customer)s::integer, %(asked_right)s::text, %(kind)s::text, %(subject)s::text, %(received)s::date,
    %(contact)s::text, %(made_with)s::text
);

-- name: require_received
select privacy.require_received(%(received)s::date);

-- name: forward
select privacy.forward(%(customer)s::integer, %(asked_right)s::text, %(received)s::date);

-- name: verify
select privacy.verify(
    %(number)s::integer, %(how)s::text, %(alone)s::boolean, %(instructed)s::boolean, %(by_consent)s::boolean,
    %(taking_over)s::text, %(person)s::text, %(made_with)s::text
);

-- name: note_plan
select privacy.note_plan(%(number)s::integer, %(hash)s::text, %(until)s::timestamptz);

-- name: planned
-- Whether the plan of a request has this hash. The request keeps its plan until the transaction ends.
select number
from privacy.request
where number = %(number)s and plan_hash = %(hash)s
for update;

-- name: approve
select privacy.approve(%(number)s::integer, %(hash)s::text);

-- name: begin_doing
select privacy.begin_doing(%(number)s::integer, %(hash)s::text);

-- name: note_step
select privacy.note_step(%(number)s::integer, %(place)s::text, %(step)s::text, %(counts)s::jsonb);

-- name: attest
select privacy.attest(%(number)s::integer, %(place)s::text);

-- name: begin_proving
select privacy.begin_proving(%(number)s::integer);

-- name: block
select privacy.block(%(number)s::integer, %(place)s::text, %(code)s::text);

-- name: answer
select privacy.answer(%(number)s::integer);

-- name: refuse
select privacy.refuse(%(number)s::integer, %(why)s::text);

-- name: close
select privacy.close(%(number)s::integer);
