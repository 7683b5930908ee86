{# The midnight in UTC before a moment. Unlike `at time zone`, this looks up no time zone, so it is quick. #}
{% macro utc_day(moment) -%}
    date_bin(interval '24 hours', {{ moment }}, timestamptz '2000-01-01 00:00:00+00')
{%- endmacro %}
