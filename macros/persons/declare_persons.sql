{#
    Writes into the comments of a relation whom its columns point to, as the model's YAML declares it. If a column must
    say so and does not, the build stops, and what was made is rolled back.
#}
{% macro declare_persons(relation, model) -%}
    {%- set declared = {} -%}
    {%- for column in model.columns.values() -%}
        {%- set person = column.meta.get('person') -%}
        {%- do declared.update({column.name: person if person is string or not person else person | join(', ')}) -%}
    {%- endfor -%}
    {%- set undeclared = run_query(
        "select * from access.declare_persons('" ~ relation ~ "', '" ~ tojson(declared) ~ "')"
    ).columns[0].values() -%}
    {%- if undeclared -%}
        {%- do exceptions.raise_compiler_error(
            'model ' ~ model.name ~ ' does not say whom its columns ' ~ undeclared | join(', ') ~ ' point to: add to '
            ~ model_file(model) ~ ', at each of them, config: {meta: {person: agent | caller | contact | recipient'
            ~ ' | staff | nobody}}'
        ) -%}
    {%- endif -%}
{%- endmacro %}
