{#
    Adds to each row of `relation` its `moment`, and its `chain_no` within `partition`. After a time of `longest` without
    an event a new chain begins: beginnings and ends of phases are paired within a chain.
#}
{% macro number_chains(relation, partition, longest) -%}
    select
        *,
        count(*) filter (where begins_chain) over (partition by {{ partition }} order by occurred_at) as chain_no
    from (
        select
            *,
            dense_rank() over (
                partition by {{ partition }}
                order by {{ moment_order(relation) }}
            ) as moment,
            lag(occurred_at) over (partition by {{ partition }} order by occurred_at)
            < occurred_at - {{ longest }} as begins_chain
        from {{ relation }}
    ) as moments
{%- endmacro %}
