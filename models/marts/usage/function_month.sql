-- One row per function and month, over all customers.

with months_over as (
    select * from {{ ref('int_month_over') }}
),

-- Not materialized: on a night without a month to freeze, nothing of it is read.
contributions as not materialized (
    select * from {{ ref('function_use') }}
),

frozen as (
    select * from {{ this }}
),

due as (
    select min(months_over.month) as month -- noqa: RF04
    from months_over
    where
        exists (
            select 1
            from contributions
            where contributions.month = months_over.month
        )
        and not exists (
            select 1
            from frozen
            where frozen.month = months_over.month
        )
),

uses as (
    select *
    from contributions
    where month = (select due.month from due)
),

cells as (
    select
        function,
        sum(uses) as uses,
        {{ is_safe('uses') }} as is_safe
    from uses
    group by function
),

-- Whoever knows two cells knows their difference. So every difference must be as safe as a cell, or 0 for every
-- customer. First the differences with every other month that shows the function.
shown as (
    select
        frozen.month,
        frozen.function,
        frozen.uses
    from frozen
    inner join cells using (function)
    where frozen.uses is not null
),

shown_uses as (
    select
        contributions.month,
        contributions.function,
        contributions.customer_id,
        contributions.uses
    from shown
    inner join contributions using (month, function)
    union all
    -- Customers that have left since: together they have what the others' uses lack of the sum. They weigh as one.
    select
        shown.month,
        shown.function,
        null as customer_id,
        shown.uses - coalesce(sum(contributions.uses), 0) as uses
    from shown
    left join contributions using (month, function)
    group by shown.month, shown.function, shown.uses
),

month_terms as (
    select
        shown.month,
        shown.function,
        uses.customer_id,
        uses.uses as term,
        false as is_of_shown
    from shown
    inner join uses using (function)
    union all
    select
        month,
        function,
        customer_id,
        -uses as term,
        true as is_of_shown
    from shown_uses
),

month_differences as (
    select
        month,
        function,
        customer_id,
        abs(sum(term)) as difference,
        abs(sum(term)) * (customer_id is not null and bool_or(is_of_shown))::integer as known_difference
    from month_terms
    group by month, function, customer_id
),

-- If customers have left, a new one may be one that came back. So the difference must also be safe without the new
-- ones.
month_steps as (
    select
        function,
        ({{ is_safe('difference') }} or sum(difference) = 0)
        and ({{ is_safe('known_difference') }} or sum(difference) filter (where customer_id is null) = 0) as is_safe
    from month_differences
    group by month, function
),

-- Whoever knows three months or more can add and subtract them with weights, so that customers with steady use cancel
-- out, except for a few. So no customer's steady use may have a large part in any such sum, whatever the weights.
shown_repeatedly as (
    select function
    from shown
    group by function
    having count(*) > 1
),

month_uses as (
    select
        month,
        function,
        customer_id,
        uses
    from shown_uses
    union all
    select
        month,
        function,
        customer_id,
        uses
    from uses
),

-- Here too: if customers have left, a new one may be one that came back. So the sums are also looked at without the new
-- ones.
steady as (
    select
        variants.without_new,
        month_uses.function,
        month_uses.customer_id,
        avg(month_uses.uses) filter (where month_uses.uses > 0) as uses
    from month_uses
    inner join shown_repeatedly using (function)
    cross join (values (false), (true)) as variants (without_new)
    where
        not variants.without_new
        or (
            month_uses.function in (
                select shown_uses.function
                from shown_uses
                where shown_uses.customer_id is null and shown_uses.uses > 0
            )
            and exists (
                select 1
                from shown_uses
                where
                    shown_uses.function = month_uses.function
                    and shown_uses.customer_id is not distinct from month_uses.customer_id
            )
        )
    group by variants.without_new, month_uses.function, month_uses.customer_id
    having max(month_uses.uses) > 0
),

months_to_weigh as (
    select distinct
        month_uses.month,
        month_uses.function
    from month_uses
    inner join shown_repeatedly using (function)
),

series as (
    select
        steady.without_new,
        steady.function,
        steady.customer_id,
        array_agg(coalesce(month_uses.uses, 0)::double precision order by months.month) as uses,
        array_agg(
            case when month_uses.uses > 0 then steady.uses else 0 end::double precision order by months.month
        ) as steady_uses
    from steady
    inner join months_to_weigh as months using (function)
    left join month_uses
        on steady.function = month_uses.function
        and months.month = month_uses.month
        and steady.customer_id is not distinct from month_uses.customer_id
    group by steady.without_new, steady.function, steady.customer_id
),

month_sums as (
    select
        function,
        raw.weighs_little(array_agg(uses), array_agg(steady_uses)) as is_safe
    from series
    group by without_new, function
),

candidates as (
    select cells.function
    from cells
    where
        cells.is_safe
        and not exists (
            select 1
            from month_steps
            where month_steps.function = cells.function and not month_steps.is_safe
        )
        and not exists (
            select 1
            from month_sums
            where month_sums.function = cells.function and month_sums.is_safe is not true
        )
),

-- Then the differences with the other functions of the month, since one can be a part of another. If one is not safe,
-- the later function in the alphabet is left out.
pairs as (
    select
        kept.function as kept_function,
        candidates.function
    from candidates
    inner join candidates as kept on candidates.function > kept.function
),

pair_terms as (
    select
        pairs.kept_function,
        pairs.function,
        uses.customer_id,
        uses.uses as term
    from pairs
    inner join uses using (function)
    union all
    select
        pairs.kept_function,
        pairs.function,
        uses.customer_id,
        -uses.uses as term
    from pairs
    inner join uses on pairs.kept_function = uses.function
),

pair_differences as (
    select
        kept_function,
        function,
        customer_id,
        abs(sum(term)) as difference
    from pair_terms
    group by kept_function, function, customer_id
),

pair_steps as (
    select
        function,
        {{ is_safe('difference') }} or sum(difference) = 0 as is_safe
    from pair_differences
    group by kept_function, function
)

select
    due.month,
    cells.function,
    case
        when
            exists (
                select 1
                from candidates
                where candidates.function = cells.function
            )
            and not exists (
                select 1
                from pair_steps
                where pair_steps.function = cells.function and not pair_steps.is_safe
            )
            then cells.uses
    end::bigint as uses
from due
cross join cells
