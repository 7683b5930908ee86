{% macro store_refuse(model, what) -%}
    {%- do exceptions.raise_compiler_error(
        'the declaration of mart ' ~ model.name ~ ' is wrong: add to ' ~ model_file(model) ~ ' ' ~ what
    ) -%}
{%- endmacro %}
