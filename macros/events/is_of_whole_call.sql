{# Whether an event is about its call as a whole, and not a step in it. #}
{% macro is_of_whole_call(event='event') -%}
    {{ event }} in ('call_started', 'call_answered', 'call_ended')
{%- endmacro %}
