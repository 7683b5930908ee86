{#
    How long a status, a login or a membership lasts at most after the last event that tells of it; as far as landing
    looks for its two ends when it marks days. In hours, as the length of days depends on the session's time zone.
#}
{% macro longest_phase() -%}
    interval '744 hours'
{%- endmacro %}
