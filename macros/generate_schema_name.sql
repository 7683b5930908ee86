{#
    Schemas have the names that are declared (build, store, usage), in every database. Only marts may be built into
    `store`, and only frozen statistics into `usage`: a plain table there would have no policy.
#}
{% macro generate_schema_name(custom_schema_name, node) -%}
    {%- set only = {'store': 'store', 'usage': 'frozen'} -%}
    {%- if custom_schema_name in only and node.config.materialized != only[custom_schema_name] -%}
        {%- do exceptions.raise_compiler_error(
            node.name ~ ' is no ' ~ only[custom_schema_name] ~ ', and schema ' ~ custom_schema_name
            ~ ' takes nothing else: remove its own materialized or schema'
        ) -%}
    {%- endif -%}
    {{ custom_schema_name or target.schema }}
{%- endmacro %}
