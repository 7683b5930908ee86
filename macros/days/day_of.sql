{#
    A join that adds the day (of the CTE `days`) on which `moment` of each row of `relation` lies.

    The date in UTC is that day, or one next to it. It comes first, because by the bounds alone each row would be
    compared with each day of the customer.
#}
{% macro day_of(relation, moment) -%}
    cross join unnest(array[-1, 0, 1]) as next_to (days_on)
    inner join days
        on {{ relation }}.customer_id = days.customer_id
        and {{ local_date(moment, "'UTC'") }} + next_to.days_on = days.call_date
        and {{ moment }} >= days.begins_at
        and {{ moment }} < days.ends_at
{%- endmacro %}
