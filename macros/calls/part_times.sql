{#
    The columns talk_s, holds, hold_s and wrapup_s of an agent's part, from its connected_at, connected_s, holds, hold_s,
    wrapups and wrapup_s. Talk is the time connected less the holds that the source shows. Holds and wrap-ups are null
    where no source of the call shows them.
#}
{% macro part_times() -%}
    case when connected_at is not null then greatest(connected_s - coalesce(hold_s, 0), 0) end as talk_s,
    case when shows_holds then holds end as holds,
    case when shows_holds and holds = 0 then 0 else hold_s end as hold_s,
    case when shows_wrapups and wrapups = 0 then 0 else wrapup_s end as wrapup_s
{%- endmacro %}
