{# Where a mart is declared; in its SQL, where it has no YAML. #}
{% macro store_file(model) -%}
    {{ return((model.patch_path or model.original_file_path).split('://') | last) }}
{%- endmacro %}
