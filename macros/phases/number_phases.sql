{#
    Adds to each row of `relation`, as column `name`, the number of the phase that it belongs to. Phases are counted
    within `partition`, from 1. Rows before the first phase have 0. `starts` and `ends` are conditions on a row. Rows
    need a `moment`, an `event`, a `reason` and a `duration_s`.

    Rows of one moment have no order of their own. They get the order in which phases follow each other: first the end
    of the phase that is open, then starts and ends by turns. A phase is open if there were more starts than ends in the
    last earlier moment in which they were not equally many.
#}
{% macro number_phases(relation, name, starts, ends, partition, then_by=none) -%}
    select
        *,
        started_before
        + case
            when {{ starts }} then nth_of_moment
            when {{ ends }} then least(nth_of_moment - was_open::integer, starting)
            else starting
        end as {{ name }}
    from (
        select
            *,
            count(*) filter (where {{ starts }}) over earlier as started_before,
            coalesce(max(moment) filter (where starting > ending) over earlier, 0)
            > coalesce(max(moment) filter (where starting < ending) over earlier, 0) as was_open
        from (
            -- Beside each other, so that PostgreSQL sorts once for both windows.
            select
                *,
                count(*) filter (where {{ starts }}) over of_moment as starting,
                count(*) filter (where {{ ends }}) over of_moment as ending,
                row_number() over (
                    partition by {{ partition }}, moment, {{ starts }}, {{ ends }}
                    order by event, reason, duration_s{{ ', ' ~ then_by if then_by }}
                ) as nth_of_moment
            from {{ relation }}
            window of_moment as (partition by {{ partition }}, moment)
        ) as counted
        window earlier as (
            partition by {{ partition }} order by moment
            range between unbounded preceding and 1 preceding
        )
    ) as compared
{%- endmacro %}
