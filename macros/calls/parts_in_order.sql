{# The moments in which parts of calls began, in order, and of each moment the first part, as two arrays per `group`. #}
{% macro parts_in_order(talks, group) -%}
    select
        {{ group }},
        array_agg(connected_moment order by connected_moment) as moments,
        array_agg(part order by connected_moment) as parts
    from (
        select
            {{ group }},
            connected_moment,
            min(part) as part
        from {{ talks }}
        group by {{ group }}, connected_moment
    ) as begun
    group by {{ group }}
{%- endmacro %}
