{# The file that declares a model: its YAML, or its SQL if it has no YAML. #}
{% macro model_file(model) -%}
    {{ return((model.patch_path or model.original_file_path).split('://') | last) }}
{%- endmacro %}
