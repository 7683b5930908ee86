-- name: state
-- What decides what a build computes: the day, the project's files, which days are dirty, and which of those that are
-- held back were released.
select
    jsonb_build_object(
        'day', (now() at time zone %(zone)s)::date,
        'project', %(project)s::text,
        'days', count(*),
        'mark', max(d.mark),
        'released', (select max(released_at) from ops.held_back)
    ) as state
from {dirty} as d;

-- name: note_state
insert into ops.built_state (state) values (%(state)s)
on conflict (one_row) do update set state = excluded.state;

-- name: is_built
-- Whether a build was computed from this state, and none waits to be opened.
select
    exists (
        select 1 from ops.built_state
        where state = %(state)s
    )
    and not exists (
        select 1 from ops.build
        where opened_at is null and build_id = (select max(b.build_id) from ops.build as b)
    );
