{# The seconds between two moments, unrounded. #}
{% macro seconds_between(from_moment, until_moment) -%}
    extract(epoch from {{ until_moment }} - {{ from_moment }})::double precision
{%- endmacro %}
