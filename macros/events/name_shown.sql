{# What reports call a queue or line. Only a text of 32 characters can be a key. #}
{% macro name_shown(name, customer_id='customer_id') -%}
    case when length({{ name }}) = 32 then registry.name_shown({{ customer_id }}, {{ name }}) else {{ name }} end
{%- endmacro %}
