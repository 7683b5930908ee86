-- name: close_died
-- Close the records of runs that died, and return their numbers. Only the holder of the lock may do this: no other run
-- is at work then.
with

died as (
    update ops.run
    set outcome = 'died'
    where outcome = 'at work'
    returning run_id
),

left_at_work as (
    update ops.run_stage as s
    set outcome = 'died'
    from died
    where s.run_id = died.run_id and s.outcome = 'at work'
)

select run_id from died
order by run_id;

-- name: forget
-- Forget the good runs before the last ones, and of a day's others all but the last of each outcome: a problem that
-- lasts would leave a run every five minutes for two years. The last good run stays: `health` says how long ago it was.
with old as (
    select
        run_id,
        outcome,
        row_number() over (
            partition by outcome, (began_at at time zone 'UTC')::date
            order by run_id desc
        ) as nth_last
    from ops.run
    where run_id <= (select max(newest.run_id) from ops.run as newest) - %(kept)s::bigint
)

delete from ops.run as r
using old
where
    r.run_id = old.run_id
    and (old.outcome = 'done' or old.nth_last > 1)
    and r.run_id is distinct from (
        select max(good.run_id) from ops.run as good
        where good.outcome = 'done'
    );

-- name: begin
-- Begin a record, and name its session.
with begun as (
    insert into ops.run default values
    returning run_id
)

select
    run_id,
    set_config('application_name', 'callmart run ' || run_id, false)
from begun;

-- name: name_session
-- By this name, `last_run` knows that the run is still at work.
select set_config('application_name', 'callmart run ' || %(run)s::bigint, false);

-- name: begin_stage
insert into ops.run_stage (run_id, stage) values (%(run)s, %(stage)s);

-- name: end_stage
update ops.run_stage
set
    ended_at = clock_timestamp(),
    outcome = %(outcome)s,
    counts = %(counts)s,
    error = %(error)s
where run_id = %(run)s and stage = %(stage)s;

-- name: end
with left_at_work as (
    update ops.run_stage
    set
        ended_at = clock_timestamp(),
        outcome = %(outcome)s
    where run_id = %(run)s and outcome = 'at work'
)

update ops.run
set
    ended_at = clock_timestamp(),
    outcome = %(outcome)s,
    problems = %(problems)s,
    error = %(error)s
where run_id = %(run)s;

-- name: last_run
-- Customers can give their sessions any name, so only a session of the owner counts.
select
    run_id,
    began_at,
    ended_at,
    case
        when
            outcome = 'at work'
            and not exists (
                select 1 from pg_stat_activity
                where
                    datname = current_database()
                    and usename = current_user
                    and application_name = 'callmart run ' || run_id
            )
            then 'died'
        else outcome
    end as outcome,
    problems,
    error
from ops.run
where run_id < %(before)s::bigint or %(before)s::bigint is null
order by run_id desc
limit 1;

-- name: stages
select
    stage,
    began_at,
    ended_at,
    case when outcome = 'at work' and %(has_died)s then 'died' else outcome end as outcome,
    counts,
    error
from ops.run_stage
where run_id = %(run)s
order by began_at;

-- name: runs_come_often
-- Whether the last run began less than an hour after the one before it had ended, however long that was. Not if that is
-- long ago: what has been at work for six hours may hang, and the runs that it keeps from beginning are in no record.
select
    count(*) = 2
    and max(began_at) - min(coalesce(ended_at, began_at)) < interval '1 hour'
    and max(began_at) > now() - interval '6 hours'
from (
    select
        began_at,
        ended_at
    from ops.run
    order by run_id desc
    limit 2
) as latest;
