{% macro store_drifted(mart, difference) -%}
    {%- do exceptions.raise_compiler_error(
        mart ~ ' differs from its declaration: ' ~ difference ~ '. Its history is kept as it is: correct the YAML, or'
        ~ ' declare the change there and run `callmart upgrade` (docs/runbook.md, "A mart has drifted")'
    ) -%}
{%- endmacro %}
