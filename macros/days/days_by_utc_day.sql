{#
    The days (of the CTE `days`) by the days of UTC on which a part of them lies or, if they begin late, can lie: the one
    on which they begin, and two more.

    By the bounds alone, what happened would be compared with each day of the customer. The offset keeps the planner
    from doing that first.
#}
{% macro days_by_utc_day() -%}
    (
        select
            days.*,
            {{ utc_day('days.begins_at') }} + later.days_on * interval '24 hours' as utc_day
        from days
        cross join unnest(array[0, 1, 2]) as later (days_on)
        offset 0
    )
{%- endmacro %}
