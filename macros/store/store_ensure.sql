{#
    Makes sure that a mart's table is as declared. A new column is added in place. Any other difference stops the build,
    and the error says what to do: `callmart upgrade` renames and widens what the YAML declares. Nothing is ever dropped.
#}
{% macro store_ensure(mart, declared) -%}
    {%- set existing = run_query(
        "select attname, format_type(atttypid, atttypmod) as data_type"
        ~ " from pg_catalog.pg_attribute"
        ~ " where attrelid = to_regclass('" ~ mart ~ "') and attnum > 0 and not attisdropped"
    ) -%}
    {%- if existing | length == 0 -%}
        {%- for former in declared.renamed_from -%}
            {%- set earlier = mart.incorporate(path={'identifier': former}) -%}
            {%- if run_query("select to_regclass('" ~ earlier ~ "')::text").columns[0][0] -%}
                {%- do store_drifted(mart, 'in the database it is still called ' ~ former) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- do store_create(mart, declared) -%}
    {%- else -%}
        {%- set types = {} -%}
        {%- for row in existing -%}
            {%- do types.update({row['attname']: row['data_type']}) -%}
        {%- endfor -%}
        {%- set names = declared.columns | map(attribute='name') | list -%}
        {%- for name in types if name not in names -%}
            {%- do store_drifted(mart, 'the column ' ~ name ~ ' is not declared any more') -%}
        {%- endfor -%}
        {%- for column in declared.columns -%}
            {%- if column.name not in types -%}
                {#- Readers have to wait while this waits for its lock. The planner may keep no sample of the column. -#}
                {%- do run_query(
                    "set local lock_timeout = '10s'; alter table " ~ mart ~ ' add column ' ~ adapter.quote(column.name) ~ ' ' ~ column.data_type
                    ~ '; alter table ' ~ mart ~ ' alter column ' ~ adapter.quote(column.name) ~ ' set statistics 0'
                ) -%}
            {%- elif types[column.name] != column.data_type -%}
                {%- do store_drifted(
                    mart, column.name ~ ' is ' ~ types[column.name] ~ ', declared as ' ~ column.data_type
                ) -%}
            {%- endif -%}
        {%- endfor -%}
        {%- set groups = run_query(
            "select mart_group from access.mart where relation = to_regclass('" ~ mart ~ "')"
        ).columns[0].values() | list -%}
        {%- if groups and groups != [declared.group] -%}
            {%- do store_drifted(
                mart, 'it was made in the group ' ~ groups[0] ~ ', and is declared in the group ' ~ declared.group
            ) -%}
        {%- endif -%}
        {%- set key = run_query(
            "select attname from pg_catalog.pg_index"
            ~ " join pg_catalog.pg_attribute on attrelid = indrelid and attnum = any(indkey)"
            ~ " where indrelid = to_regclass('" ~ mart ~ "') and indisprimary"
            ~ " order by array_position(indkey::smallint[], attnum)"
        ).columns[0].values() | list -%}
        {%- if key != declared.key -%}
            {%- do store_drifted(mart, 'its key is ' ~ key | join(', ')) -%}
        {%- endif -%}
        {%- set months = run_query("select pg_get_partkeydef(to_regclass('" ~ mart ~ "'))").columns[0][0] -%}
        {%- if months != ('RANGE (' ~ declared.day ~ ')' if declared.day else none) -%}
            {%- do store_drifted(mart, 'it is partitioned by ' ~ (months or 'nothing')) -%}
        {%- endif -%}
    {%- endif -%}
{%- endmacro %}
