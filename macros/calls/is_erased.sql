{# Whether an agent was erased: such an agent has another key in each call (land/places.sql). #}
{% macro is_erased(agent_key) -%}
    {{ agent_key }} like '~%'
{%- endmacro %}
