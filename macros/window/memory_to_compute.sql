{#
    Gives the session memory to compute a table, until its transaction ends. With PostgreSQL's own 4 MB it would sort and
    join on the disk.
#}
{% macro memory_to_compute() -%}
    set local work_mem = '64MB';
{%- endmacro %}
