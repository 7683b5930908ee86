{# The quarter-hours that a phase touches, as a table of `interval_start`. A phase without length touches one. #}
{% macro quarter_hours(from_moment, until_moment) -%}
    generate_series(
        {{ quarter_hour(from_moment) }},
        greatest({{ from_moment }}, {{ until_moment }} - interval '1 microsecond'),
        interval '15 minutes'
    ) as quarter_hours (interval_start)
{%- endmacro %}
