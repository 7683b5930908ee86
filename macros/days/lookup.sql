{#
    A join that looks the rows of `events` up for each row of `relation`, by an index: those of the same customer that meet
    all `conditions`. `columns` are those wanted, or all.

    The planner has no samples of a month that just began, and would otherwise read the whole history, or compare each
    event with each row. The offset keeps it from taking the look-up apart.
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
        offset 0 -- noqa: AM09
    )
{%- endmacro %}
