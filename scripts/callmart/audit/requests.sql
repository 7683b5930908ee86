-- name: requests
-- The requests of persons, each with what is wrong with it. What several persons share is answered without being done.
select
    r.number,
    r.customer_id,
    case
        when r.answered_at is null and r.ended_at is null and r.due < privacy.today()
            then
                format('had to be answered by %s: `callmart privacy status` says what is next', r.due)
        when r.approved_by in (r.opened_by, r.planned_by)
            then format('is approved by the login that opened or planned it: `callmart privacy status %s`', r.number)
        when
            r.answered_at is not null
            and not privacy.is_held(r)
            and (
                privacy.unproved(r.number) is not null
                or not exists (
                    select 1 from privacy.step as s
                    where s.request = r.number and s.step = 'prove'
                )
            )
            then format('was answered, and the register has no proof of it: `callmart privacy status %s`', r.number)
    end
from privacy.request as r
order by r.number;
