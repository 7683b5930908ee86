{#
    Schemas are named as they are declared: build, store and usage, in every database. Only a mart stands in `store`,
    and only what is frozen in `usage`: a plain table would stand there without a policy.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set only = {'store': 'store', 'usage': 'frozen'} -%}
    {%- if custom_schema_name in only and node.config.materialized != only[custom_schema_name] -%}
        {%- do exceptions.raise_compiler_error(
            node.name ~ ' is no ' ~ only[custom_schema_name] ~ ', and nothing else stands in ' ~ custom_schema_name
            ~ ': remove its own materialized or schema'
        ) -%}
    {%- endif -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
