{#
    How long a status, a login or a membership lasts at most after its last event. Landing looks just as far for the
    other end when it marks days: LONGEST_PHASE in scripts/callmart/base/raw_format.py. In hours, because the length of a
    day depends on the session's time zone.
#}
{% macro longest_phase() -%}
    interval '744 hours'
{%- endmacro %}
