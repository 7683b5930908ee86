{#
    What the session needs to compute a table, until its transaction ends. With PostgreSQL's own 4 MB of memory it would
    sort and join on the disk. Rows lie in the order of their call, so PostgreSQL would choose a merge join by the call
    alone: of a source that gives all its calls one id, it would compare each row with all others.
#}
{% macro settings_to_compute() -%}
    set local work_mem = '64MB';
    set local enable_mergejoin = off;
{%- endmacro %}
