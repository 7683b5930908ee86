{# Whether an event begins an agent's presence: a login at a device, or a membership of a queue. #}
{% macro begins_presence(event='event') -%}
    {{ event }} in ('agent_logged_in', 'agent_joined_queue')
{%- endmacro %}
