{% macro store_refuse(model, what) -%}
    {%- do exceptions.raise_compiler_error(
        'mart ' ~ model.name ~ ' is not declared: add to ' ~ model_file(model) ~ ' ' ~ what
    ) -%}
{%- endmacro %}
