-- A row is a customer's use of a function in a month: how often. The oldest month that is over, open and not here yet
-- is added, once; on most nights there is none. For nobody to read: function_month is made of it, and later months are
-- compared with what made up the shown ones.

{%- set sources = usage_functions() %}

with months_over as (
    select * from {{ ref('int_month_over') }}
),

opened_days as (
    select * from {{ source('ops', 'opened_day') }}
),

customers as (
    select * from {{ source('registry', 'customer') }}
),

{% for mart in sources %}
    {{ mart }} as (
        select * from {{ ref(mart) }}
    ),

{% endfor %}

due as (
    select
        months_over.month,
        months_over.next_month
    from months_over
    where
        not exists (
            select 1
            from {{ this }} as frozen
            where frozen.month = months_over.month
        )
        -- Customer by customer, as the days are indexed.
        and exists (
            select 1
            from customers
            inner join opened_days on customers.customer_id = opened_days.customer_id
            where
                opened_days.call_date >= months_over.month
                and opened_days.call_date < months_over.next_month
                and opened_days.row_count > 0
                and opened_days.mart in (
                    {% for mart in sources %}
                        '{{ mart }}'{{ ',' if not loop.last }}
                    {% endfor %}
                )
        )
    order by months_over.month
    limit 1
),

-- The bounds are known before a mart is read, so that no other month of it is.
{% for mart, functions in sources.items() %}
    {{ mart }}_sums as (
        select
            customer_id,
        {% for function, uses in functions.items() %}
            coalesce(sum({{ uses }}), 0) as {{ function }}{{ ',' if not loop.last }}
        {% endfor %}
        from {{ mart }}
        where
            call_date >= (select due.month from due)
            and call_date < (select due.next_month from due)
        group by customer_id
    ),

{% endfor %}

uses as (
    {% for mart, functions in sources.items() %}
        select
            {{ mart }}_sums.customer_id,
            of_mart.function,
            of_mart.uses
        from {{ mart }}_sums
        cross join
            lateral (
                values
                {% for function in functions %}
                    ('{{ function }}', {{ mart }}_sums.{{ function }}){{ ',' if not loop.last }}
                {% endfor %}
            ) as of_mart (function, uses)
        {% if not loop.last %}
            union all
        {% endif %}
    {% endfor %}
)

select
    due.month,
    uses.function,
    uses.customer_id,
    uses.uses::bigint as uses
from due
cross join uses
