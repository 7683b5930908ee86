-- name: state
-- What decides what a build computes and opens: the project's files, which days are dirty, which of those that are held
-- back were released, and which customers are closed; for dirty days also the day, and for the statistics which months
-- are over, which of them wait for days, and whether one was frozen since: then another can wait.
select
    jsonb_build_object(
        'dirty', jsonb_build_object(
            'day', case when count(*) > 0 then (now() at time zone %(zone)s)::date end,
            'days', count(*),
            'mark', max(d.mark),
            'released', (select max(released_at) from ops.held_back)
        ),
        'month', ops.last_month_over(),
        'waiting', (
            select jsonb_agg(distinct to_char(w.call_date, 'YYYY-MM'))
            from ops.dirty_day as w
            where w.call_date < ops.last_month_over() + interval '1 month'
        ),
        'frozen', (
            select max(a.at) from ops.audit_log as a
            where a.action = 'statistics frozen'
        ),
        'project', %(project)s::text,
        'closed', (select jsonb_agg(c.customer_id order by c.customer_id) from privacy.closed as c)
    ) as state
from ({dirty}) as d;

-- name: note_state
insert into ops.built_state (state) values (%(state)s)
on conflict (one_row) do update set state = excluded.state;

-- name: unopened
-- The last build, if it is not open.
select
    build_id,
    built_at,
    validated_at is not null as is_validated,
    tables,
    definitions
from ops.build
where opened_at is null and build_id = (select max(b.build_id) from ops.build as b);

-- name: is_built
-- Whether a build was computed from this state, and none waits to be opened. If no day is dirty any more, only what
-- concerns the statistics has to be the same.
select
    exists (
        select 1 from ops.built_state
        where
            state = %(state)s
            or (
                (%(state)s -> 'dirty' ->> 'days')::integer = 0
                and state - 'dirty' = %(state)s - 'dirty'
            )
    )
    and not exists (
        select 1 from ops.build
        where opened_at is null and build_id = (select max(b.build_id) from ops.build as b)
    );
