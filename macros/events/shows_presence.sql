{# Whether an event begins or ends an agent's presence: a login at a device, or a membership of a queue. #}
{% macro shows_presence(event='event') -%}
    {{ event }} in ('agent_logged_in', 'agent_logged_out', 'agent_joined_queue', 'agent_left_queue')
{%- endmacro %}
