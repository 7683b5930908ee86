{#
    The rows of `relation`, each with the number of the phase that it belongs to, as `name`: how many phases have started
    among the rows of `partition` up to its moment. 0 is before the first.

    Rows of one moment have no order, so they get the order in which phases follow each other: first the end of the phase
    that is open, then starts and ends by turns. A phase is open where, in the last moment with unequal numbers of starts
    and ends, there were more starts. `starts` and `ends` are conditions on a row. Rows have a `moment`, an `event`, a
    `reason` and a `duration_s`.
#}
{% macro number_phases(relation, name, starts, ends, partition) -%}
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
            > coalesce(max(moment) filter (where starting < ending) over earlier, 0) as was_open,
            row_number() over (
                partition by {{ partition }}, moment, {{ starts }}, {{ ends }}
                order by event, reason, duration_s
            ) as nth_of_moment
        from (
            select
                *,
                count(*) filter (where {{ starts }}) over of_moment as starting,
                count(*) filter (where {{ ends }}) over of_moment as ending
            from {{ relation }}
            window of_moment as (partition by {{ partition }}, moment)
        ) as counted
        window earlier as (
            partition by {{ partition }} order by moment
            range between unbounded preceding and 1 preceding
        )
    ) as compared
{%- endmacro %}
