{# The length of a phase in whole seconds, half up. The source's own measure wins over the difference of the times. #}
{% macro measured_seconds(duration_s, started_at, ended_at) -%}
    {{ whole_seconds('coalesce(' ~ duration_s ~ ', ' ~ seconds_between(started_at, ended_at) ~ ')') }}
{%- endmacro %}
