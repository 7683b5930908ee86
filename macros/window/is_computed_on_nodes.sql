{# Whether callmart has computed a mart on the nodes of a cluster: its rows are in `build` already. #}
{% macro is_computed_on_nodes(model) -%}
    {{ return(model.name in env_var('DBT_COMPUTED_ON_NODES', '').split(',')) }}
{%- endmacro %}
