{# Whether an agent is in nothing that shows agents: erased ones have such a key (land/places.sql), and objectors get one
   (agent_key_shown). #}
{% macro is_left_out(agent_key) -%}
    {{ agent_key }} like '~%'
{%- endmacro %}
