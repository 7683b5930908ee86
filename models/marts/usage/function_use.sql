-- One row per customer, function and month. Each build adds the oldest complete month that is not here yet; on most
-- nights there is none.

{%- set sources = {
    'queue_interval': {
        'queue_answer': 'answered',
        'queue_overflow': 'overflowed',
        'queue_callback': 'callbacks',
        'queue_time_limit': 'timed_out',
        'queue_exit_by_key': 'left_by_key',
        'queue_exit_without_agents': 'left_empty',
        'queue_refusal_full': 'refused_full',
        'queue_refusal_without_agents': 'refused_empty',
        'queue_refusal_closed': 'refused_closed',
        'queue_refusal_busy': 'refused_busy',
        'ring': 'rings',
        'hold': 'holds',
        'transfer_blind': 'transferred_blind',
        'transfer_attended': 'transferred_attended',
    },
    'queue_day': {
        'withheld_caller': 'contacts_withheld',
    },
    'agent_interval': {
        'outbound_call': 'outbound_calls',
    },
    'agent_status_interval': {
        'status_wrap_up': "times_entered * (status = 'wrap_up')::integer",
        'status_break': "times_entered * (status = 'break')::integer",
        'status_away': "times_entered * (status = 'away')::integer",
        'status_training': "times_entered * (status = 'training')::integer",
        'status_other': "times_entered * (status = 'other')::integer",
    },
    'agent_session': {
        'device_login': 'logins',
    },
    'line_interval': {
        'line_call_in_sip_trunk': "calls_in * (platform = 'sip_trunk')::integer",
        'line_call_in_isdn2': "calls_in * (platform = 'isdn2')::integer",
        'line_call_in_isdn30': "calls_in * (platform = 'isdn30')::integer",
        'line_call_out_sip_trunk': "calls_out * (platform = 'sip_trunk')::integer",
        'line_call_out_isdn2': "calls_out * (platform = 'isdn2')::integer",
        'line_call_out_isdn30': "calls_out * (platform = 'isdn30')::integer",
    },
} %}

with months_over as (
    select * from {{ ref('int_month_over') }}
),

opened_days as (
    select * from {{ ref('stg_opened_day') }}
),

customers as (
    select * from {{ ref('stg_customer') }}
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
        -- By customer, because opened days are indexed by customer.
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

-- The month is known before a mart is read, so that PostgreSQL reads no other month of it.
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

active_customers as (
    {% for mart in sources %}
        select customer_id from {{ mart }}_sums
        {% if not loop.last %}
            union distinct
        {% endif %}
    {% endfor %}
),

uses as (
    {% for mart, functions in sources.items() %}
        select
            active_customers.customer_id,
            of_mart.function,
            of_mart.uses
        from active_customers
        left join {{ mart }}_sums on active_customers.customer_id = {{ mart }}_sums.customer_id
        cross join
            lateral (
                values
                {% for function in functions %}
                    ('{{ function }}', coalesce({{ mart }}_sums.{{ function }}, 0)){{ ',' if not loop.last }}
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
