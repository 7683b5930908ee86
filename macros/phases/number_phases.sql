{#
    The rows of `relation`, each with the how-manieth phase of its kind it belongs to, as `name`: as many as have
    started among the rows of `partition` up to its moment; 0 is before the first.

    Rows of one moment have no order, so they get the one in which phases follow each other: the end of the phase that
    is still open, then starts and ends by turns. A phase is open where, in the last moment in which starts and ends
    were not as many, there were more starts. `starts` and `ends` are conditions on a row; rows have a `moment`, an
    `event`, a `reason` and a `duration_s`.
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
