{#
    Agents' parts with their talk, holds and wrap-up. Talk is the time connected less the holds that the source shows.
    Holds and wrap-ups are null where no source of the call shows them.
#}
{% macro timed_parts(relation) -%}
    select
        customer_id,
        call_key,
        part,
        queue,
        visit_no,
        agent_key,
        begins_contact,
        begins_call,
        connected_moment,
        connected_at,
        placed_at,
        wait_s,
        release_reason,
        ring_s,
        -- greatest() takes no notice of nulls, and would give a talk that goes on 0 seconds.
        case when connected_s is not null then greatest(connected_s - coalesce(hold_s, 0), 0) end as talk_s,
        case when shows_holds then holds end as holds,
        case when shows_holds and holds = 0 then 0 else hold_s end as hold_s,
        case when shows_wrapups and wrapups = 0 then 0 else wrapup_s end as wrapup_s,
        transferred,
        target_kind
    from {{ relation }}
{%- endmacro %}
