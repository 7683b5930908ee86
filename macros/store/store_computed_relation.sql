{# Where the window of a mart is computed. #}
{% macro store_computed_relation(relation) -%}
    {{ return(api.Relation.create(
        database=relation.database, schema='build', identifier=relation.identifier, type='table'
    )) }}
{%- endmacro %}
