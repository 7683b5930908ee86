{# The quarter-hour of a moment. All time zones of today differ by whole quarter-hours, so those of UTC fit all. #}
{% macro quarter_hour(moment) -%}
    date_bin(interval '15 minutes', {{ moment }}, timestamptz '2000-01-01 00:00:00+00')
{%- endmacro %}
