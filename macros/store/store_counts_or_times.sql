{#
    Whether values of a type are counts or moments. A value of any other type can be a name, a telephone number or a
    key; bigint and numeric are such types.
#}
{% macro store_counts_or_times(data_type) -%}
    {{ return(data_type in [
        'smallint', 'integer', 'double precision', 'boolean', 'date', 'timestamp with time zone',
        'timestamp without time zone'
    ]) }}
{%- endmacro %}
