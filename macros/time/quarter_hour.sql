{# The quarter-hour that a moment lies in. All time zones of today differ by whole quarters, so UTC's will do. #}
{% macro quarter_hour(moment) -%}
    date_bin(interval '15 minutes', {{ moment }}, timestamptz '2000-01-01 00:00:00+00')
{%- endmacro %}
