{# Whether an event ends an agent's presence: a login at a device, or a membership of a queue. #}
{% macro ends_presence(event='event') -%}
    {{ event }} in ('agent_logged_out', 'agent_left_queue')
{%- endmacro %}
