{# The file that declares a mart: its YAML, or its SQL if it has no YAML. #}
{% macro store_file(model) -%}
    {{ return((model.patch_path or model.original_file_path).split('://') | last) }}
{%- endmacro %}
