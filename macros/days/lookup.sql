{#
    A join that looks up the rows of `events` for each row of `relation`, by an index: rows of the same customer that
    meet all `conditions`.

    The planner has no samples of a month that has just begun. Without this it would read the whole history, or compare
    each event with each row. The offset keeps it from taking the look-up apart.
#}
{% macro lookup(relation, conditions, columns=['*'], events='events') -%}
    cross join lateral (
        select
        {%- for column in columns %}
            {{ events }}.{{ column }}{{ ',' if not loop.last }}
        {%- endfor %}
        from {{ events }}
        where
            {{ events }}.customer_id = {{ relation }}.customer_id
        {%- for condition in conditions %}
            and {{ condition }}
        {%- endfor %}
        offset 0
    )
{%- endmacro %}
