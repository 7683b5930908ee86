{#
    One row per phase of an agent in a call, such as a hold: its number, its first moment, when it started and ended
    (null if the source does not show it), and the source's own measure. `relation` has the events `starts` and `ends`
    of int_tangled_event.
#}
{% macro pair_phases(relation, starts, ends) -%}
    select
        customer_id,
        call_key,
        queue,
        agent_key,
        phase_no,
        min(moment) as moment,
        min(occurred_at) filter (where event = '{{ starts }}') as started_at,
        min(occurred_at) filter (where event = '{{ ends }}') as ended_at,
        -- The first end counts, with its own measure.
        {{ first_measure("event = '" ~ ends ~ "'") }} as duration_s
    from (
        {{ number_measured_ends(
            '(' ~ number_phases(
                relation,
                name='phase_no',
                starts="event = '" ~ starts ~ "'",
                ends="event = '" ~ ends ~ "'",
                partition='customer_id, call_key, queue, agent_key',
            ) ~ ') as numbered',
            ends="event = '" ~ ends ~ "'",
            partition='customer_id, call_key, queue, agent_key, phase_no',
        ) }}
    ) as parted
    group by customer_id, call_key, queue, agent_key, phase_no, end_no
{%- endmacro %}
