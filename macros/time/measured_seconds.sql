{# How long a phase lasted, in whole seconds, half up. The source's own measure wins over the difference of its times. #}
{% macro measured_seconds(duration_s, started_at, ended_at) -%}
    {{ whole_seconds('coalesce(' ~ duration_s ~ ', ' ~ seconds_between(started_at, ended_at) ~ ')') }}
{%- endmacro %}
