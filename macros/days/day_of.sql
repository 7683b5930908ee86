{#
    A join that adds the day (of the CTE `days`) on which `moment` of each row of `relation` lies. A `left join` keeps
    rows on other days.
#}
{% macro day_of(relation, moment, join='inner join') -%}
    {{ join }} {{ days_by_utc_day() }} as days
        on {{ relation }}.customer_id = days.customer_id
        and {{ utc_day(moment) }} = days.utc_day
        and {{ moment }} >= days.begins_at
        and {{ moment }} < days.ends_at
{%- endmacro %}
