{# The seconds in all ranges of a multirange, unrounded. #}
{% macro seconds_in(times) -%}
    (
        select coalesce(sum({{ seconds_between('lower(stretch.during)', 'upper(stretch.during)') }}), 0)
        from unnest({{ times }}) as stretch (during)
    )
{%- endmacro %}
