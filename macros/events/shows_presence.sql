{# Whether an event begins or ends an agent's presence: a login at a device, or a membership of a queue. #}
{% macro shows_presence(event='event') -%}
    ({{ begins_presence(event) }} or {{ ends_presence(event) }})
{%- endmacro %}
