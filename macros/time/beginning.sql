{# When a phase began. If the source does not show it, its end less its duration. #}
{% macro beginning(started_at, ended_at, duration_s) -%}
    coalesce({{ started_at }}, {{ ended_at }} - {{ seconds_interval('coalesce(' ~ duration_s ~ ', 0)') }})
{%- endmacro %}
