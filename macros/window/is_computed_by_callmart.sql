{# Whether callmart has computed a model itself, at several places at once: its rows are in `build` already. #}
{% macro is_computed_by_callmart(model) -%}
    {{ return(model.name in env_var('DBT_COMPUTED_BY_CALLMART', '').split(',')) }}
{%- endmacro %}
