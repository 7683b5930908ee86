{#
    Joins that add opening hours to each row of `relation`: as `of_all` those of all queues that have none of their own,
    and if `of_queues`, as `of_queue` those of the row's queue. The rows need a customer and an `interval_local`.
#}
{% macro opening(relation, of_queues=false) -%}
    left join open_quarters as of_all
        on {{ relation }}.customer_id = of_all.customer_id
        and {{ relation }}.interval_local = of_all.interval_local
        and of_all.queue is null
    {%- if of_queues %}
    left join open_quarters as of_queue
        on {{ relation }}.customer_id = of_queue.customer_id
        and {{ relation }}.interval_local = of_queue.interval_local
        and {{ relation }}.queue = of_queue.queue
    {%- endif %}
{%- endmacro %}
