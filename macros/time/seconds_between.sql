{# The seconds between two moments, unrounded. PostgreSQL's extract() would make them numeric, which takes longer. #}
{% macro seconds_between(from_moment, until_moment) -%}
    date_part('epoch', {{ until_moment }} - {{ from_moment }})
{%- endmacro %}
