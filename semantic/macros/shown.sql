{# callmart itself makes what these models show. #}
{% materialization shown, default %}
    {%- do exceptions.raise_compiler_error('nothing is built here: run `dbt parse`, then ask with `mf query`') -%}
{% endmaterialization %}
