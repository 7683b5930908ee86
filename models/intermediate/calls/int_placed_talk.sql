-- A row is a call that an agent placed, as that agent's part of it.

with calls as (
    select * from {{ ref('int_call') }}
)

select
    customer_id,
    call_key,
    0 as part,
    null::text as queue,
    0::bigint as visit_no,
    placed_by as agent_key,
    answered_at is not null as begins_contact,
    0::bigint as connected_moment,
    answered_at as connected_at,
    ended_at as released_at,
    started_at as placed_at,
    null::double precision as wait_s,
    -- The source's own measure of the call would include the ringing.
    {{ whole_seconds(seconds_between('answered_at', 'ended_at')) }} as connected_s,
    end_reason as release_reason,
    shows_holds,
    shows_wrapups
from calls
where direction in ('outbound', 'internal') and placed_by is not null
