{# The models that dbt has run, as callmart notes their definitions (scripts/callmart/build/definitions.py). #}
{% macro compiled_models(results) -%}
    {%- set models = [] -%}
    {%- for result in results if result.node.resource_type == 'model' -%}
        {%- set node = result.node -%}
        {%- set model = {'model': node.unique_id, 'reads': node.depends_on.nodes, 'query': node.compiled_code} -%}
        {%- if node.config.materialized == 'store' -%}
            {%- do model.update({
                'mart': node.name,
                'columns': node.columns | list,
                'reach_days': node.config.meta.get('reach_days', 0),
            }) -%}
        {%- endif -%}
        {%- do models.append(model) -%}
    {%- endfor -%}
    {{ return(models) }}
{%- endmacro %}
