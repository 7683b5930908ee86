{#
    The days (of the CTE `days`) by the dates in UTC on which a part of them can lie: the day itself, or one next to it.

    By the bounds alone, what happened would be compared with each day of the customer. The offset keeps the planner
    from doing that first.
#}
{% macro days_by_utc_date() -%}
    (
        select
            days.*,
            days.call_date + next_to.days_on as utc_date
        from days
        cross join unnest(array[-1, 0, 1]) as next_to (days_on)
        offset 0
    )
{%- endmacro %}
