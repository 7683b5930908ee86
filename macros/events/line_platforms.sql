{# The platforms whose calls are calls on lines, without queues or agents. #}
{% macro line_platforms() -%}
    ('sip_trunk', 'isdn2', 'isdn30')
{%- endmacro %}
