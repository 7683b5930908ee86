{#
    Schemas are named as they are declared: build and mart, in every database. What stands in `mart` is a store: a plain
    table would stand there without a policy.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- if custom_schema_name == 'mart' and node.config.materialized != 'store' -%}
        {%- do exceptions.raise_compiler_error(
            node.name ~ ' is no store, and only stores stand in mart: remove its own materialized or schema'
        ) -%}
    {%- endif -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
