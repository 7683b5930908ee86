{#
    What a mart's YAML declares, checked: group, key, day (or `day: none`), columns with types, persons. A mart that
    leaves one of them out does not build, and the error says what to add.
#}
{% macro store_declaration(model) -%}
    {%- set meta = model.config.meta -%}
    {%- set columns = model.columns.values() | list -%}
    {%- set names = columns | map(attribute='name') | list -%}
    {#- A frozen statistic is over all customers, and no customer reads it. -#}
    {%- set of_customers = model.config.materialized != 'frozen' -%}
    {%- set groups = mart_groups() if of_customers else ['usage'] -%}

    {%- if meta.get('group') not in groups -%}
        {%- do store_refuse(model, 'config.meta.group: one of ' ~ groups | join(', ')) -%}
    {%- endif -%}
    {%- if not meta.get('key') or of_customers and meta.key[0] != 'customer_id' -%}
        {%- do store_refuse(model, 'config.meta.key: the columns of its grain, customer_id first') -%}
    {%- endif -%}
    {%- if not of_customers and names | select('in', ['customer_id', 'queue', 'call_date']) | list -%}
        {%- do exceptions.raise_compiler_error(
            'statistic ' ~ model.name ~ ' has a column per customer, queue or day: sum over them'
        ) -%}
    {%- endif -%}
    {%- if 'day' not in meta -%}
        {%- do store_refuse(model, 'config.meta.day: the column of its local day, or none') -%}
    {%- endif -%}
    {%- set day = none if meta.day in [none, 'none'] else meta.day -%}
    {%- for name in meta.key + ([day] if day else []) if name not in names -%}
        {%- do store_refuse(model, 'a column ' ~ name ~ ': its key or day names it') -%}
    {%- endfor -%}
    {%- if day and day not in meta.key -%}
        {%- do store_refuse(model, day ~ ' to config.meta.key: a partitioned key holds the day') -%}
    {%- endif -%}
    {%- set reach_days = meta.get('reach_days', 0) -%}
    {%- if reach_days is not integer or reach_days < 0 or (reach_days and not day) -%}
        {%- do store_refuse(model, 'config.meta.reach_days: a number of days, to a mart that has days') -%}
    {%- endif -%}
    {%- if not model.config.contract.enforced -%}
        {%- do store_refuse(model, 'config.contract.enforced: true') -%}
    {%- endif -%}
    {%- if model.config.get('grants') -%}
        {%- do exceptions.raise_compiler_error(
            'mart ' ~ model.name ~ ' has grants of its own: remove them, its group decides who reads it'
        ) -%}
    {%- endif -%}
    {%- if model.config['pre-hook'] or model.config['post-hook'] -%}
        {%- do exceptions.raise_compiler_error(
            'mart ' ~ model.name ~ ' has hooks of its own: remove them, they could open what its policies close'
        ) -%}
    {%- endif -%}
    {%- set persons = persons_shown(meta.group) -%}
    {%- set harmless = counts_and_moments() -%}
    {%- for column in columns if column.data_type not in harmless or 'person' in column.meta -%}
        {%- if 'person' not in column.meta -%}
            {%- do store_refuse(
                model,
                'config: {meta: {person: ' ~ persons | join(' | ') ~ '}} to the column ' ~ column.name
                ~ ': whom its values point to'
            ) -%}
        {%- endif -%}
        {%- if column.meta.person not in persons -%}
            {%- do exceptions.raise_compiler_error(
                'mart ' ~ model.name ~ ' of the group ' ~ meta.group ~ ' may not show a person (' ~ column.meta.person
                ~ '): take the column ' ~ column.name ~ ' out, or declare the mart in the group agent in '
                ~ model_file(model)
            ) -%}
        {%- endif -%}
    {%- endfor -%}
    {%- set renamed_from = meta.get('renamed_from', []) -%}
    {{ return({
        'group': meta.group, 'key': meta.key, 'day': day, 'reach_days': reach_days, 'columns': columns,
        'renamed_from': [renamed_from] if renamed_from is string else renamed_from
    }) }}
{%- endmacro %}
